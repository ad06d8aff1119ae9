//! Which combinations of a NAT's axes can be made true; the others are refused with the reason, never approximated.

use super::{Allocation, Egress, Family, Impossible, Nat, Preset, Translation};

/// The ports that are handed out, and so the largest block.
const MOST_PORTS_OF_A_BLOCK: u16 = 32_768;

pub(super) fn check(nat: &Nat) -> Result<(), Impossible> {
    let refuse = |why: &str| Err(Impossible(why.to_owned()));
    if let Allocation::Blocks { size, .. } = nat.allocation
        && (!size.is_power_of_two() || !(64..=MOST_PORTS_OF_A_BLOCK).contains(&size))
    {
        return refuse(
            "a block of ports has a power of two of them, 64 to 32768: its ports are told apart by bits",
        );
    }
    if nat.addresses == 0 {
        return refuse("a router without an outside address translates nothing");
    }
    if nat.timeout.is_zero() {
        return refuse("a mapping that lives for no time at all is none");
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
}
