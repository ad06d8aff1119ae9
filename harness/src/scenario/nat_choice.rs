//! A NAT that a scenario chose, a preset or a map of its own, and the one short name by which ids and tables call it.

use std::fmt;

use netns::nat::{
    Allocation, Egress, Family, Filtering, Hairpin, Mapping, Nat, OnDrop, Pooling, Preset, Translation,
};

use super::units::show_duration;

/// What a peer stands behind, or what a network has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NatChoice {
    /// What it is called: a preset's name, or what makes it differ from the nearest one, such as
    /// `symmetric-timeout-30s`. Made of a-z, 0-9 and `-`. Two choices are equal exactly where their labels are.
    pub label: String,
    /// How the router behaves; `None` where there is no router (`open`).
    pub nat: Option<Nat>,
    /// The address families: those of the router, or of the public host.
    pub family: Family,
}

impl NatChoice {
    /// No router: a public host.
    pub fn public(family: Family) -> Self {
        let mut label = Preset::Open.name().to_owned();
        if family != Family::Ipv4 {
            label.push_str(&format!("-{}", family_name(family)));
        }
        NatChoice { label, nat: None, family }
    }

    /// A router that behaves so.
    pub fn router(nat: Nat) -> Self {
        NatChoice { label: label(&nat), nat: Some(nat), family: nat.family }
    }
}

impl From<Preset> for NatChoice {
    fn from(preset: Preset) -> Self {
        preset.nat().map_or_else(|| NatChoice::public(Family::Ipv4), NatChoice::router)
    }
}

impl fmt::Display for NatChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.label)
    }
}

/// How ports are chosen where nobody says: as the presets do.
pub(super) fn usual_allocation(mapping: Mapping) -> Allocation {
    match mapping {
        Mapping::EndpointIndependent => Allocation::Preserve,
        _ => Allocation::Random,
    }
}

/// The word of a scenario file.
pub(super) fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
        Family::Dual => "dual",
    }
}

/// The name of the nearest preset (or pair of mapping and filtering), then every axis on which the two differ.
fn label(nat: &Nat) -> String {
    let (name, base) = nearest(nat);
    let mut parts = vec![name];
    let mut differs = |is_so: bool, part: String| {
        if is_so {
            parts.push(part);
        }
    };
    differs(nat.mapping != base.mapping, format!("maps-{}", mapping_word(nat.mapping)));
    differs(nat.filtering != base.filtering, format!("filters-{}", filtering_word(nat.filtering)));
    differs(nat.allocation != base.allocation, allocation_word(nat.allocation));
    differs(nat.timeout != base.timeout, format!("timeout-{}", show_duration(nat.timeout)));
    let refresh = if nat.inbound_refresh { "inbound-refresh" } else { "no-inbound-refresh" };
    differs(nat.inbound_refresh != base.inbound_refresh, refresh.to_owned());
    differs(nat.hairpin != base.hairpin, format!("hairpin-{}", hairpin_word(nat.hairpin)));
    let on_drop = if nat.on_drop == OnDrop::Reject { "reject" } else { "silent" };
    differs(nat.on_drop != base.on_drop, on_drop.to_owned());
    differs(nat.addresses != base.addresses, format!("addresses-{}", nat.addresses));
    let pooling = if nat.pooling == Pooling::Arbitrary { "arbitrary" } else { "paired" };
    differs(nat.pooling != base.pooling, pooling.to_owned());
    differs(nat.family != base.family, family_name(nat.family).to_owned());
    parts.join("-")
}

/// What a NAT is told as a deviation of. It shares translation and egress, which have no words of their own.
fn nearest(nat: &Nat) -> (String, Nat) {
    let kin = || {
        let all = Preset::ALL.into_iter().filter_map(|preset| Some((preset.name(), preset.nat()?)));
        all.filter(|(_, kin)| (kin.translation, kin.egress) == (nat.translation, nat.egress))
    };
    let same_kind = |allocation: Allocation| {
        std::mem::discriminant(&allocation) == std::mem::discriminant(&nat.allocation)
    };
    let pairs = kin().filter(|(_, kin)| (kin.mapping, kin.filtering) == (nat.mapping, nat.filtering));
    let by_pair = pairs.min_by_key(|(_, kin)| (kin.allocation != nat.allocation, !same_kind(kin.allocation)));
    let is_plain = (nat.translation, nat.egress) == (Translation::Modelled, Egress::Everything);
    let found = by_pair.or_else(|| if is_plain { None } else { kin().next() });
    found.map_or_else(
        || {
            let name = format!("{}-{}", mapping_word(nat.mapping), filtering_word(nat.filtering));
            (name, Nat::new(nat.mapping, nat.filtering, usual_allocation(nat.mapping)))
        },
        |(name, kin)| (name.to_owned(), kin),
    )
}

fn mapping_word(mapping: Mapping) -> &'static str {
    match mapping {
        Mapping::EndpointIndependent => "ei",
        Mapping::AddressDependent => "ad",
        Mapping::AddressAndPortDependent => "apd",
    }
}

fn filtering_word(filtering: Filtering) -> &'static str {
    match filtering {
        Filtering::EndpointIndependent => "ei",
        Filtering::AddressDependent => "ad",
        Filtering::AddressAndPortDependent => "apd",
    }
}

fn allocation_word(allocation: Allocation) -> String {
    match allocation {
        Allocation::Preserve => "preserve".to_owned(),
        Allocation::Random => "random".to_owned(),
        Allocation::Sequential => "sequential".to_owned(),
        Allocation::Blocks { size, on_demand: false } => format!("blocks-{size}"),
        Allocation::Blocks { size, on_demand: true } => format!("blocks-{size}-on-demand"),
    }
}

fn hairpin_word(hairpin: Hairpin) -> &'static str {
    match hairpin {
        Hairpin::Off => "off",
        Hairpin::External => "external",
        Hairpin::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    fn of(preset: Preset) -> Nat {
        preset.nat().unwrap()
    }

    #[test]
    fn a_preset_is_called_by_its_name() {
        for preset in Preset::ALL {
            assert_eq!(NatChoice::from(preset).label, preset.name());
        }
    }

    #[rstest]
    #[case(Nat { timeout: Duration::from_secs(30), ..of(Preset::Symmetric) }, "symmetric-timeout-30s")]
    #[case(Nat { hairpin: Hairpin::Off, ..of(Preset::PortRestricted) }, "port-restricted-hairpin-off")]
    #[case(Nat { allocation: Allocation::Sequential, ..of(Preset::Symmetric) }, "symmetric-sequential")]
    #[case(
        Nat { allocation: Allocation::Blocks { size: 64, on_demand: true }, ..of(Preset::Cgnat) },
        "cgnat-blocks-64-on-demand"
    )]
    #[case(
        Nat { filtering: Filtering::EndpointIndependent, ..of(Preset::AddressDependent) },
        "ad-ei"
    )]
    #[case(
        Nat { allocation: Allocation::Preserve, ..of(Preset::AddressDependent) },
        "address-dependent-preserve"
    )]
    #[case(Nat { mapping: Mapping::AddressDependent, ..of(Preset::UdpBlocked) }, "udp-blocked-maps-ad")]
    #[case(
        Nat { addresses: 4, pooling: Pooling::Arbitrary, on_drop: OnDrop::Reject, ..of(Preset::FullCone) },
        "full-cone-reject-addresses-4-arbitrary"
    )]
    #[case(Nat { family: Family::Ipv6, ..of(Preset::Firewall) }, "firewall-ipv6")]
    fn another_is_called_by_what_makes_it_differ(#[case] nat: Nat, #[case] label: &str) {
        assert_eq!(NatChoice::router(nat).label, label);
    }

    #[test]
    fn equal_choices_have_equal_labels_and_different_ones_differ() {
        let mut known: HashMap<String, NatChoice> = HashMap::new();
        let mut count = 0;
        for choice in every_choice() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(choice.label.chars().all(plain), "{choice:?}");
            let twin = known.entry(choice.label.clone()).or_insert_with(|| choice.clone());
            assert_eq!(*twin, choice, "two choices share a label");
            count += 1;
        }
        assert!(count > 10_000, "{count}");
    }

    /// Every combination of a few values on every axis, with each preset's translation and egress.
    fn every_choice() -> impl Iterator<Item = NatChoice> {
        use Allocation::{Blocks, Preserve, Random, Sequential};
        let public = [Family::Ipv4, Family::Ipv6, Family::Dual].map(NatChoice::public);
        let mut nats: Vec<Nat> = Preset::ALL.into_iter().filter_map(Preset::nat).collect();
        let blocks = [(64, false), (64, true), (512, false)];
        let blocks = blocks.map(|(size, on_demand)| Blocks { size, on_demand });
        let allocations = [Preserve, Random, Sequential].into_iter().chain(blocks);
        let allocations: Vec<Allocation> = allocations.collect();
        vary(&mut nats, &[Mapping::EndpointIndependent, Mapping::AddressDependent], |nat, v| nat.mapping = v);
        vary(&mut nats, &[Filtering::EndpointIndependent, Filtering::AddressDependent], |nat, v| {
            nat.filtering = v;
        });
        vary(&mut nats, &allocations, |nat, v| nat.allocation = v);
        vary(&mut nats, &[Duration::from_millis(1500)], |nat, v| nat.timeout = v);
        vary(&mut nats, &[true], |nat, v| nat.inbound_refresh = v);
        vary(&mut nats, &[Hairpin::Off, Hairpin::Internal], |nat, v| nat.hairpin = v);
        vary(&mut nats, &[OnDrop::Reject], |nat, v| nat.on_drop = v);
        vary(&mut nats, &[2], |nat, v| nat.addresses = v);
        vary(&mut nats, &[Pooling::Arbitrary], |nat, v| nat.pooling = v);
        vary(&mut nats, &[Family::Dual], |nat, v| nat.family = v);
        public.into_iter().chain(nats.into_iter().map(NatChoice::router))
    }

    /// Adds every NAT with each of these values.
    fn vary<T: Copy>(nats: &mut Vec<Nat>, values: &[T], set: impl Fn(&mut Nat, T)) {
        let varied = nats.iter().flat_map(|nat| {
            values.iter().map(|&value| {
                let mut nat = *nat;
                set(&mut nat, value);
                nat
            })
        });
        let varied: Vec<Nat> = varied.collect();
        nats.extend(varied);
    }
}
