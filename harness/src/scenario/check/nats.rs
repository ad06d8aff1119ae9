//! `nat`: a preset, or a map with axes of its own. What cannot be made true is refused at the key that asks for it.

use std::time::Duration;

use netns::nat::{Allocation, Family, Filtering, Hairpin, Mapping, Nat, OnDrop, Pooling, Preset};

use super::walk::{Field, Fields, Walk, preset_names};
use crate::scenario::NatChoice;
use crate::scenario::error::Span;
use crate::scenario::file::{Node, Value};
use crate::scenario::nat_choice::usual_allocation;

const KEYS: [&str; 11] = [
    "preset",
    "mapping",
    "filtering",
    "allocation",
    "timeout",
    "inbound-refresh",
    "hairpin",
    "on-drop",
    "addresses",
    "pooling",
    "family",
];
const EXAMPLE: &str = "`nat: { preset: symmetric, timeout: 30s }`";
const PAIR: &str =
    "`mapping: endpoint-independent` and `filtering: address-dependent`, or the `preset` to start from";
const BLOCKS_EXAMPLE: &str = "`{ blocks: 512, on-demand: true }`";

const MAPPINGS: [Mapping; 3] =
    [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent];
const FILTERINGS: [Filtering; 3] =
    [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];
const ALLOCATIONS: [(&str, Allocation); 3] = [
    ("preserve", Allocation::Preserve),
    ("random", Allocation::Random),
    ("sequential", Allocation::Sequential),
];
const HAIRPINS: [(&str, Hairpin); 3] =
    [("off", Hairpin::Off), ("external", Hairpin::External), ("internal", Hairpin::Internal)];
const ON_DROPS: [(&str, OnDrop); 2] = [("silent", OnDrop::Silent), ("reject", OnDrop::Reject)];
const POOLINGS: [(&str, Pooling); 2] = [("paired", Pooling::Paired), ("arbitrary", Pooling::Arbitrary)];
const FAMILIES: [(&str, Family); 3] =
    [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6), ("dual", Family::Dual)];

/// How long a mapping may live: short enough to see it end, and no longer than a day.
const TIMEOUT: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(24 * 60 * 60)];

/// One key of the map, and what it makes of a NAT.
struct Change {
    at: Span,
    apply: Box<dyn Fn(&mut Nat)>,
}

/// The value of `nat`, or one value of a matrix.
pub(super) fn nat(walk: &mut Walk<'_>, node: &Node) -> Option<NatChoice> {
    match node.value {
        Value::Text(_) => walk.preset(node).map(NatChoice::from),
        Value::Map(_) => map(walk, node),
        _ => {
            let names: Vec<&str> = preset_names().collect();
            let example = format!("one of: {}; or a map such as {EXAMPLE}", names.join(", "));
            walk.wrong_type(node, "`nat`", "a preset or a map", &example)
        }
    }
}

fn map(walk: &mut Walk<'_>, node: &Node) -> Option<NatChoice> {
    let fields = walk.map(node, "`nat`", &KEYS, EXAMPLE)?;
    let preset = fields.get("preset").map(|field| walk.preset(field.node));
    let keys =
        || fields.entries.iter().copied().filter(|field| KEYS.contains(&field.key) && field.key != "preset");
    if preset == Some(Some(Preset::Open)) {
        return open(walk, keys());
    }
    let changes: Vec<Option<Change>> = keys().map(|field| change(walk, field)).collect();
    let base = match preset {
        Some(preset) => preset?.nat()?,
        None => bare(walk, node, &fields)?,
    };
    let changes: Vec<Change> = changes.into_iter().collect::<Option<_>>()?;
    possible(walk, base, &changes, node)
}

/// A public host: nothing can be said of its router.
fn open<'n>(walk: &mut Walk<'_>, keys: impl Iterator<Item = Field<'n>>) -> Option<NatChoice> {
    let mut family = Some(Family::Ipv4);
    for field in keys {
        if field.key == "family" {
            family = walk.word(field.node, "`family`", &FAMILIES);
        } else {
            let message = format!("`open` has no router, and so no `{}`", field.key);
            walk.problem(field.key_span, message, "leave it out: a public host has nothing but a `family`");
        }
    }
    family.map(NatChoice::public)
}

/// What the other keys change where there is no preset to start from.
fn bare(walk: &mut Walk<'_>, node: &Node, fields: &Fields<'_>) -> Option<Nat> {
    let missing: Vec<&str> =
        ["mapping", "filtering"].into_iter().filter(|key| fields.get(key).is_none()).collect();
    if !missing.is_empty() {
        let message = format!("a `nat` without `preset` needs `{}`", missing.join("` and `"));
        walk.problem(node.used, message, format!("add {PAIR}"));
        return None;
    }
    let find = |key: &str, word: &str| {
        fields.get(key).is_some_and(|field| matches!(&field.node.value, Value::Text(text) if text == word))
    };
    let mapping = MAPPINGS.into_iter().find(|known| find("mapping", known.name()))?;
    let filtering = FILTERINGS.into_iter().find(|known| find("filtering", known.name()))?;
    Some(Nat::new(mapping, filtering, usual_allocation(mapping)))
}

fn change(walk: &mut Walk<'_>, field: Field<'_>) -> Option<Change> {
    let (node, what) = (field.node, format!("`{}`", field.key));
    let apply: Box<dyn Fn(&mut Nat)> = match field.key {
        "mapping" => {
            let mapping = walk.word(node, &what, &MAPPINGS.map(|known| (known.name(), known)))?;
            Box::new(move |nat| nat.mapping = mapping)
        }
        "filtering" => {
            let filtering = walk.word(node, &what, &FILTERINGS.map(|known| (known.name(), known)))?;
            Box::new(move |nat| nat.filtering = filtering)
        }
        "allocation" => {
            let allocation = allocation(walk, node)?;
            Box::new(move |nat| nat.allocation = allocation)
        }
        "timeout" => {
            let timeout = walk.duration(node, &what, TIMEOUT)?;
            Box::new(move |nat| nat.timeout = timeout)
        }
        "inbound-refresh" => {
            let refresh = walk.switch(node, &what)?;
            Box::new(move |nat| nat.inbound_refresh = refresh)
        }
        "hairpin" => {
            // An editor that still reads YAML 1.1 takes `off` for false.
            let is_off = matches!(node.value, Value::Bool(false));
            let hairpin = if is_off { Hairpin::Off } else { walk.word(node, &what, &HAIRPINS)? };
            Box::new(move |nat| nat.hairpin = hairpin)
        }
        "on-drop" => {
            let on_drop = walk.word(node, &what, &ON_DROPS)?;
            Box::new(move |nat| nat.on_drop = on_drop)
        }
        "addresses" => {
            let addresses = walk.whole(node, &what, [1, u64::from(u8::MAX)])?;
            let addresses = u8::try_from(addresses).ok()?;
            Box::new(move |nat| nat.addresses = addresses)
        }
        "pooling" => {
            let pooling = walk.word(node, &what, &POOLINGS)?;
            Box::new(move |nat| nat.pooling = pooling)
        }
        _ => {
            let family = walk.word(node, &what, &FAMILIES)?;
            Box::new(move |nat| nat.family = family)
        }
    };
    Some(Change { at: field.key_span, apply })
}

/// A word, or a map with the size of a block.
fn allocation(walk: &mut Walk<'_>, node: &Node) -> Option<Allocation> {
    let Value::Map(_) = node.value else {
        let Value::Text(_) = node.value else {
            let example = format!("preserve, random, sequential or {BLOCKS_EXAMPLE}");
            return walk.wrong_type(node, "`allocation`", "a word or a map", &example);
        };
        return walk.word(node, "`allocation`", &ALLOCATIONS);
    };
    let fields = walk.map(node, "`allocation`", &["blocks", "on-demand"], BLOCKS_EXAMPLE)?;
    let on_demand = fields.get("on-demand").map(|field| walk.switch(field.node, "`on-demand`"));
    let Some(blocks) = fields.get("blocks") else {
        walk.problem(node.used, "`allocation` needs `blocks`", format!("write {BLOCKS_EXAMPLE}"));
        return None;
    };
    let size = walk.whole(blocks.node, "`blocks`", [1, u64::from(u16::MAX)])?;
    let on_demand = on_demand.unwrap_or(Some(false))?;
    Some(Allocation::Blocks { size: u16::try_from(size).ok()?, on_demand })
}

/// The whole, where the lab can make it true. Otherwise the reason is told at the first key without which it could,
/// or at the map where no single key is to blame.
fn possible(walk: &mut Walk<'_>, base: Nat, changes: &[Change], node: &Node) -> Option<NatChoice> {
    let without = |left_out: Option<usize>| {
        let mut nat = base;
        for (index, change) in changes.iter().enumerate() {
            if Some(index) != left_out {
                (change.apply)(&mut nat);
            }
        }
        nat
    };
    let nat = without(None);
    let Err(reason) = nat.check() else { return Some(NatChoice::router(nat)) };
    let guilty = (0..changes.len()).find(|&index| without(Some(index)).check().is_ok());
    let (at, help) = match guilty {
        Some(index) => (changes[index].at, "leave this out, or choose another value"),
        None => (node.used, "this NAT cannot be made true: change what the reason names"),
    };
    walk.problem(at, reason.to_string(), help);
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use crate::scenario::Attached;
    use crate::scenario::check::check;
    use crate::scenario::file::ScenarioFile;

    #[rstest]
    #[case("{ preset: restricted-cone }", "address-restricted")]
    #[case("{ mapping: address-and-port-dependent, filtering: address-and-port-dependent }", "symmetric")]
    #[case("{ mapping: endpoint-independent, filtering: address-dependent }", "address-restricted")]
    #[case(
        "{ mapping: endpoint-independent, filtering: address-dependent, allocation: random }",
        "address-restricted-random"
    )]
    #[case(
        "{ mapping: address-dependent, filtering: endpoint-independent, timeout: 90s }",
        "ad-ei-timeout-90s"
    )]
    #[case("{ preset: symmetric, allocation: sequential }", "symmetric-sequential")]
    #[case("{ preset: cgnat, allocation: { blocks: 1024, on-demand: on } }", "cgnat-blocks-1024-on-demand")]
    #[case("{ preset: cgnat, allocation: { blocks: 512 } }", "cgnat")]
    #[case("{ preset: full-cone, hairpin: off }", "full-cone-hairpin-off")]
    #[case("{ preset: full-cone, hairpin: false }", "full-cone-hairpin-off")]
    #[case("{ preset: full-cone, hairpin: \"off\" }", "full-cone-hairpin-off")]
    #[case("{ preset: full-cone, hairpin: external }", "full-cone")]
    #[case("{ preset: full-cone, inbound-refresh: true }", "full-cone-inbound-refresh")]
    #[case("{ preset: full-cone, inbound-refresh: on }", "full-cone-inbound-refresh")]
    #[case("{ preset: full-cone, inbound-refresh: off }", "full-cone")]
    #[case(
        "{ preset: full-cone, on-drop: reject, addresses: 3, pooling: arbitrary }",
        "full-cone-reject-addresses-3-arbitrary"
    )]
    #[case("{ preset: firewall, family: ipv6 }", "firewall-ipv6")]
    #[case("{ preset: udp-blocked, family: dual }", "udp-blocked-dual")]
    fn a_map_is_read_and_called_by_its_shortest_name(#[case] written: &str, #[case] label: &str) {
        let Attached::Own(choice) = attached(written) else { panic!("{written} has a router") };
        assert_eq!(choice.label, label);
    }

    #[rstest]
    #[case("open", "open")]
    #[case("{ preset: open, family: dual }", "open-dual")]
    #[case("{ preset: open, family: ipv4 }", "open")]
    fn without_a_router_there_is_nothing_but_the_family(#[case] written: &str, #[case] label: &str) {
        let Attached::Public(family) = attached(written) else { panic!("{written} is public") };
        assert_eq!(crate::scenario::NatChoice::public(family).label, label);
    }

    fn attached(nat: &str) -> Attached {
        let text = format!(
            "name: some\npeers: {{ alice: {{ nat: {nat} }}, bob: }}\nexpect: {{ between: [alice, bob] }}\n"
        );
        let file = ScenarioFile::parse(Path::new("some.yaml"), text.into()).unwrap();
        check(&file, false).unwrap().peers.remove(0).attached
    }
}
