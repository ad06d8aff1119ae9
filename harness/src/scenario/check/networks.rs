//! `networks`: routers that peers and other networks share.

use netns::nat::{Family, Translation};
use netns::topology::Ipv4Range;

use super::nats;
use super::roster::{Declared, Roster, may_be_node};
use super::walk::{Field, Fields, Walk};
use crate::scenario::error::{Span, echo};
use crate::scenario::file::{Node, Value};
use crate::scenario::nat_choice::family_name;
use crate::scenario::nearest::suggest;
use crate::scenario::{Attached, NatChoice, Network};

const MOST_NETWORKS: usize = 32;
const KEYS: [&str; 3] = ["nat", "uplink", "inside"];
const NETWORK_EXAMPLE: &str = "`{ nat: port-restricted }`";
const EXAMPLE: &str = "`networks: { home: { nat: port-restricted } }`";

/// Where a network's keys stand that are looked at again once everybody is known.
pub(super) struct Placed {
    network: String,
    uplink_at: Option<Span>,
    inside_at: Option<Span>,
}
/// The names of the networks, before anything else is known of them.
pub(super) fn names(field: Option<Field<'_>>) -> Vec<&str> {
    let Some(Field { node: Node { value: Value::Map(entries), .. }, .. }) = field else { return Vec::new() };
    entries
        .iter()
        .filter_map(|(key, _)| if let Value::Text(name) = &key.value { Some(name.as_str()) } else { None })
        .collect()
}

/// Reads the networks into the roster; what depends on who is on them is left to [`whole`].
pub(super) fn declare(walk: &mut Walk<'_>, field: Field<'_>, roster: &mut Roster) -> Vec<Placed> {
    let Some(fields) = walk.any_map(field.node, "`networks`", EXAMPLE) else {
        roster.is_complete = false;
        return Vec::new();
    };
    if fields.entries.is_empty() {
        let help = format!("write {EXAMPLE}, or leave it out");
        walk.problem(field.key_span, "`networks` is empty", help);
    }
    if fields.entries.len() > MOST_NETWORKS {
        let message = format!("{} networks are more than one lab holds", fields.entries.len());
        walk.problem(field.key_span, message, format!("use at most {MOST_NETWORKS} networks"));
    }
    let known: Vec<&str> = fields.entries.iter().map(|field| field.key).collect();
    let mut placed = Vec::new();
    for field in &fields.entries {
        may_be_node(walk, field.key, field.key_span, "a network");
        roster.places.push(Declared { name: field.key.to_owned(), at: field.key_span });
        let (network, place) = network(walk, *field, roster, &known);
        roster.networks.push(network);
        placed.push(place);
    }
    circles(walk, roster, &placed);
    placed
}

fn network(walk: &mut Walk<'_>, field: Field<'_>, roster: &Roster, known: &[&str]) -> (Network, Placed) {
    let what = format!("the network `{}`", echo(field.key));
    let fields = match field.node.value {
        Value::Null => Some(Fields { entries: Vec::new() }),
        _ => walk.map(field.node, &what, &KEYS, NETWORK_EXAMPLE),
    };
    let get = |key: &str| fields.as_ref().and_then(|fields| fields.get(key));
    let is_varied = roster.axis(field.key).is_some();
    let nat = match get("nat") {
        None if !is_varied && fields.is_some() => {
            let help = format!("write {NETWORK_EXAMPLE}: a network is what is behind a router");
            walk.problem(field.key_span, format!("{what} needs a `nat`"), help);
            None
        }
        None => None,
        Some(nat) if is_varied => {
            let message = format!("`nat` of `{}` is set here and varied by the matrix", echo(field.key));
            walk.problem(nat.key_span, message, "leave it out here: the matrix sets it in every cell");
            None
        }
        Some(nat) => nats::nat(walk, nat.node).inspect(|choice| needs_router(walk, nat.node, choice)),
    };
    let (uplink, uplink_at) = get("uplink").and_then(|field| uplink(walk, field.node, known)).unzip();
    let (inside, inside_at) = get("inside").and_then(|field| inside(walk, field.node)).unzip();
    let name = field.key.to_owned();
    let placed = Placed { network: name.clone(), uplink_at, inside_at };
    (Network { name, nat: nat.unwrap_or_else(|| NatChoice::public(Family::Ipv4)), uplink, inside }, placed)
}

/// A network is what is behind a router; `open` has none.
pub(super) fn needs_router(walk: &mut Walk<'_>, node: &Node, choice: &NatChoice) {
    if choice.nat.is_none() {
        let help = "`firewall` is a router that does not translate; a peer that is on no network is public";
        walk.problem(node.written, "a network cannot be `open`: that is to have no router", help);
    }
}

fn uplink(walk: &mut Walk<'_>, node: &Node, known: &[&str]) -> Option<(String, Span)> {
    let name = walk.text(node, "`uplink`", "the name of another network")?;
    if known.contains(&name) {
        return Some((name.to_owned(), node.written));
    }
    walk.problem(
        node.written,
        format!("unknown network `{}`", echo(name)),
        suggest(name, "the networks are", known),
    );
    None
}

fn inside(walk: &mut Walk<'_>, node: &Node) -> Option<(Ipv4Range, Span)> {
    let example = "a range of private addresses, such as 192.168.1.0/24";
    let text = walk.text(node, "`inside`", example)?; // A range is short, and the reason repeats it.
    match echo(text).parse::<Ipv4Range>() {
        Ok(range) => Some((range, node.written)),
        Err(reason) => {
            walk.problem(node.written, format!("`inside`: {reason}"), format!("write {example}"));
            None
        }
    }
}

/// Nobody is behind itself. Each circle is told once, at the network of it that stands first.
fn circles(walk: &mut Walk<'_>, roster: &Roster, placed: &[Placed]) {
    let mut told: Vec<&str> = Vec::new();
    for Placed { network, uplink_at, .. } in placed {
        let Some(at) = uplink_at else { continue };
        let up = |name: &&str| roster.network(name)?.uplink.as_deref();
        let chain: Vec<&str> =
            std::iter::successors(Some(network.as_str()), up).take(roster.networks.len() + 1).collect();
        let Some(again) = chain.iter().skip(1).position(|name| name == network) else { continue };
        let circle = &chain[..again + 2];
        if !circle.iter().any(|name| told.contains(name)) {
            let message = format!("`{network}` is behind itself: {}", circle.join(" -> "));
            walk.problem(*at, message, "leave out one `uplink`: the outermost network is on the internet");
        }
        told.extend(circle);
    }
}

/// Everything that can only be said once all are known: somebody is on every network, what is served inside is served
/// by the network around it, and only who translates has addresses of its own to choose.
pub(super) fn whole(walk: &mut Walk<'_>, roster: &Roster, placed: &[Placed]) {
    if !walk.is_clean() {
        return;
    }
    for network in &roster.networks {
        let is_on = |peer: &crate::scenario::Peer| matches!(&peer.attached, Attached::Lan(lan) if *lan == network.name);
        let is_used = roster.peers.iter().any(is_on)
            || roster.networks.iter().any(|inner| inner.uplink.as_ref() == Some(&network.name));
        if !is_used {
            let message = format!("nobody is on the network `{}`", network.name);
            let help = format!("put a peer on it with `lan: {}`, or remove it", network.name);
            walk.problem(roster.place(&network.name), message, help);
        }
    }
    for Placed { network, uplink_at, inside_at } in placed {
        if let Some(at) = inside_at
            && roster
                .choices(network)
                .iter()
                .filter_map(|choice| choice.nat)
                .any(|nat| nat.translation == Translation::None)
        {
            let message = format!("`{network}` translates nothing: inside it are the addresses of outside");
            walk.problem(*at, message, "leave out `inside`, or choose a `nat` that translates");
        }
        let Some((uplink, at)) =
            roster.network(network).and_then(|network| network.uplink.as_ref()).zip(*uplink_at)
        else {
            continue;
        };
        let (inner, outer) = (roster.choices(network), roster.choices(uplink));
        let unserved = outer.iter().flat_map(|outer| inner.iter().map(move |inner| (outer, inner)));
        let unserved = unserved.into_iter().find(|(outer, inner)| !serves(outer.family, inner.family));
        if let Some((outer, inner)) = unserved {
            let message = format!(
                "`{network}` ({}) is behind `{uplink}`, which passes {} only",
                family_name(inner.family),
                family_name(outer.family)
            );
            let help = format!("give `{uplink}` a `family` that has both, or `{network}` one that fits");
            walk.problem(at, message, help);
        }
    }
}

fn serves(outer: Family, inner: Family) -> bool {
    outer == Family::Dual || outer == inner
}
