//! `peers`: who takes part, and what each is plugged into.

use std::time::Duration;

use netns::nat::Family;

use super::PEERS_EXAMPLE;
use super::nats;
use super::roster::{Declared, Roster, may_be_node};
use super::walk::{Field, Walk};
use crate::scenario::error::{Span, echo};
use crate::scenario::file::{Node, Value};
use crate::scenario::nearest::suggest;
use crate::scenario::{Attached, NatChoice, Peer};

const MOST_PEERS: usize = 32;
const START: [Duration; 2] = [Duration::ZERO, Duration::from_secs(600)];
const KEYS: [&str; 3] = ["nat", "lan", "start"];

/// Reads the peers of `peers` into the roster, then those that only the matrix declares.
pub(super) fn declare(walk: &mut Walk<'_>, field: Option<Field<'_>>, roster: &mut Roster) {
    match field {
        Some(field) => read(walk, field, roster),
        None if roster.axes.iter().all(|axis| roster.network(&axis.owner).is_some()) => {
            roster.is_complete = false;
            walk.problem(Span::default(), "a scenario needs `peers`", format!("write {PEERS_EXAMPLE}"));
        }
        None => {}
    }
    for index in 0..roster.axes.len() {
        let name = roster.axes[index].owner.clone();
        if roster.get(&name).is_none() && roster.network(&name).is_none() {
            let attached = Attached::Public(Family::Ipv4);
            roster.peers.push(Peer { name, attached, start: Duration::ZERO });
        }
    }
    if roster.peers.len() > MOST_PEERS {
        let at = field.map_or(Span::default(), |field| field.key_span);
        let message = format!("{} peers are more than one lab holds", roster.peers.len());
        walk.problem(at, message, format!("use at most {MOST_PEERS} peers"));
    }
}

fn read(walk: &mut Walk<'_>, field: Field<'_>, roster: &mut Roster) {
    let Some(fields) = walk.any_map(field.node, "`peers`", PEERS_EXAMPLE) else {
        roster.is_complete = false;
        return;
    };
    if fields.entries.is_empty() {
        roster.is_complete = false;
        walk.problem(field.key_span, "`peers` is empty", format!("write {PEERS_EXAMPLE}"));
    }
    for field in fields.entries {
        if roster.network(field.key).is_some() {
            let message = format!("`{}` is both a network and a peer", echo(field.key));
            walk.problem(field.key_span, message, "give one of the two another name");
        } else {
            may_be_node(walk, field.key, field.key_span, "a peer");
        }
        let (attached, start) = peer(walk, field, roster);
        roster.places.push(Declared { name: field.key.to_owned(), at: field.key_span });
        roster.peers.push(Peer { name: field.key.to_owned(), attached, start });
    }
}

/// What a peer says of itself; nothing at all makes it a public one that starts at once.
fn peer(walk: &mut Walk<'_>, field: Field<'_>, roster: &Roster) -> (Attached, Duration) {
    let plain = (Attached::Public(Family::Ipv4), Duration::ZERO);
    if matches!(field.node.value, Value::Null) {
        return plain;
    }
    let what = format!("the peer `{}`", echo(field.key));
    let Some(fields) = walk.map(field.node, &what, &KEYS, "`{ nat: full-cone }`, or `{}`") else {
        return plain;
    };
    let nat = fields.get("nat").and_then(|field| nats::nat(walk, field.node));
    let lan = fields.get("lan").and_then(|field| lan(walk, field.node, roster));
    let is_varied = roster.axis(field.key).is_some();
    match (fields.get("nat"), fields.get("lan")) {
        (Some(_), Some(lan)) => {
            let message = format!("`{}` has both `nat` and `lan`", echo(field.key));
            let help = "`nat` is a router of its own, `lan` the one of a network: leave out one of the two";
            walk.problem(lan.key_span, message, help);
        }
        (Some(nat), None) if is_varied => {
            let message = format!("`nat` of `{}` is set here and varied by the matrix", echo(field.key));
            walk.problem(nat.key_span, message, "leave it out here: the matrix sets it in every cell");
        }
        (None, Some(lan)) if is_varied => {
            let message =
                format!("`{}` is on a network here and gets a router from the matrix", echo(field.key));
            walk.problem(lan.key_span, message, "vary the `nat` of the network, or leave out `lan`");
        }
        _ => {}
    }
    let start = fields.get("start").and_then(|field| walk.duration(field.node, "`start`", START));
    let attached = match (lan, nat) {
        (Some(lan), _) => Attached::Lan(lan),
        (None, Some(NatChoice { nat: None, family, .. })) => Attached::Public(family),
        (None, Some(choice)) => Attached::Own(choice),
        (None, None) => plain.0,
    };
    (attached, start.unwrap_or(plain.1))
}

fn lan(walk: &mut Walk<'_>, node: &Node, roster: &Roster) -> Option<String> {
    let name = walk.text(node, "`lan`", "the name of a network")?;
    if roster.network(name).is_some() {
        return Some(name.to_owned());
    }
    if roster.is_complete {
        let names: Vec<&str> = roster.networks.iter().map(|network| network.name.as_str()).collect();
        let help = if names.is_empty() {
            format!("declare it: `networks: {{ {}: {{ nat: port-restricted }} }}`", echo(name))
        } else {
            suggest(name, "the networks are", &names)
        };
        walk.problem(node.written, format!("unknown network `{}`", echo(name)), help);
    }
    None
}
