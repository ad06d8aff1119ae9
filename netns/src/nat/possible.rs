//! Which combinations of a NAT's axes can be made true; the others are refused with the reason, never approximated.

use std::time::Duration;

use super::{Allocation, Egress, Family, Impossible, Nat, Pooling, Preset, Translation};

/// One packet's search goes through a whole block, however few of its ports are free.
const MOST_PORTS_OF_A_BLOCK: u16 = 4096;
/// One packet's search for a free block goes through all of them.
const MOST_BLOCKS: u32 = 4096;
/// The kernel's clock ticks every 4 ms or so, and a first packet is translated in two steps.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);

pub(super) fn check(nat: &Nat) -> Result<(), Impossible> {
    let refuse = |why: &str| Err(Impossible(why.to_owned()));
    if let Allocation::Blocks { size, .. } = nat.allocation
        && (!size.is_power_of_two() || !(64..=MOST_PORTS_OF_A_BLOCK).contains(&size))
    {
        return refuse(
            "a block of ports has a power of two of them, 64 to 4096: its ports are told apart by bits",
        );
    }
    if let Allocation::Blocks { size, .. } = nat.allocation
        && u32::from(nat.addresses) * (0x1_0000 / u32::from(size)) > MOST_BLOCKS
    {
        return refuse(
            "so many addresses have more than 4096 blocks: ask for larger blocks or fewer addresses",
        );
    }
    if matches!(nat.allocation, Allocation::Blocks { .. })
        && nat.addresses > 1
        && nat.pooling == Pooling::Arbitrary
    {
        return refuse("a subscriber's block is on one address: its pooling is paired");
    }
    if nat.addresses == 0 {
        return refuse("a router without an outside address translates nothing");
    }
    if nat.timeout < SHORTEST_TIMEOUT {
        return refuse("a mapping lives for 100 ms or more: the kernel's clock is not finer");
    }
    match nat.translation {
        Translation::Modelled if nat.family == Family::Ipv6 => {
            refuse("IPv6 is not translated here: a router to it is a `firewall`")
        }
        Translation::Modelled => Ok(()),
        Translation::None => firewall(nat),
        Translation::Masquerade { .. } => masquerade(nat),
    }
}

fn firewall(nat: &Nat) -> Result<(), Impossible> {
    let plain =
        Preset::Firewall.nat().map(|plain| (plain.mapping, plain.allocation, plain.addresses, plain.hairpin));
    if plain != Some((nat.mapping, nat.allocation, nat.addresses, nat.hairpin)) {
        return Err(Impossible(
            "a firewall translates nothing: it has no mapping, allocation, hairpin or pool of addresses"
                .to_owned(),
        ));
    }
    Ok(())
}

fn masquerade(nat: &Nat) -> Result<(), Impossible> {
    let presets = [Preset::LinuxMasquerade, Preset::LinuxMasqueradeInputDrop].map(Preset::nat);
    let plain = Nat { family: Family::Ipv4, ..*nat };
    if nat.family == Family::Ipv6 || nat.egress != Egress::Everything || !presets.contains(&Some(plain)) {
        return Err(Impossible(
            "what Linux masquerade does is Linux's to decide: none of its behaviour can be chosen".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_possible() {
        for preset in Preset::ALL {
            assert_eq!(preset.nat().map_or(Ok(()), |nat| nat.check()), Ok(()), "{preset}");
        }
    }

    #[test]
    fn what_cannot_be_made_true_is_refused_with_the_reason() {
        let cgnat = Preset::Cgnat.nat().unwrap();
        let blocks = |size| Nat { allocation: Allocation::Blocks { size, on_demand: true }, ..cgnat };
        for (nat, why) in [
            (blocks(500), "power of two"),
            (blocks(8192), "power of two"),
            (Nat { addresses: 5, ..blocks(64) }, "more than 4096 blocks"),
            (Nat { addresses: 2, pooling: Pooling::Arbitrary, ..blocks(512) }, "on one address"),
            (Nat { addresses: 0, ..cgnat }, "without an outside address"),
            (Nat { timeout: Duration::from_millis(10), ..cgnat }, "100 ms"),
            (Nat { family: Family::Ipv6, ..cgnat }, "not translated"),
        ] {
            let refused = nat.check().unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        assert_eq!(Nat { addresses: 4, ..blocks(64) }.check(), Ok(()));
    }
}
