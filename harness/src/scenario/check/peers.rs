//! `peers` and `matrix`: who takes part, and behind which NATs.

use std::time::Duration;

use netns::nat::Family;

use super::PEERS_EXAMPLE;
use super::walk::{Field, Walk, preset_names};
use crate::scenario::error::{Span, echo};
use crate::scenario::file::{Node, Value};
use crate::scenario::nearest::suggest;
use crate::scenario::{Attached, Axis, NatChoice, Peer};

const MOST_PEERS: usize = 32;
const START: [Duration; 2] = [Duration::ZERO, Duration::from_secs(600)];
const MATRIX_EXAMPLE: &str = "`matrix: { alice.nat: [full-cone, symmetric] }`";

/// The lab's own nodes: a peer of such a name could not be told apart from them.
const RESERVED: [&str; 2] = ["signaling", "stun"];

/// The peers of a scenario.
pub(super) struct Roster {
    pub(super) peers: Vec<Peer>,
    /// False where some peers could not be read: then nobody is called unknown.
    is_complete: bool,
}

impl Roster {
    /// The peer that a node names.
    pub(super) fn peer(&self, walk: &mut Walk<'_>, node: &Node) -> Option<String> {
        let name = walk.text(node, "a peer", "the name of a peer")?;
        self.known(walk, name, node.written)
    }

    /// The peer of this name.
    pub(super) fn known(&self, walk: &mut Walk<'_>, name: &str, at: Span) -> Option<String> {
        if self.get(name).is_none() {
            if self.is_complete {
                let names: Vec<&str> = self.peers.iter().map(|peer| peer.name.as_str()).collect();
                walk.problem(
                    at,
                    format!("unknown peer `{}`", echo(name)),
                    suggest(name, "the peers are", &names),
                );
            }
            return None;
        }
        Some(name.to_owned())
    }

    /// Every NAT that a peer may stand behind.
    pub(super) fn nats(&self, axes: &[Axis], name: &str) -> Vec<NatChoice> {
        if let Some(axis) = axes.iter().find(|axis| axis.owner == name) {
            return axis.values.clone();
        }
        match self.get(name).map(|peer| &peer.attached) {
            Some(Attached::Own(choice)) => vec![choice.clone()],
            Some(Attached::Public(family)) => vec![NatChoice::public(*family)],
            _ => Vec::new(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.name == name)
    }
}

/// The axes of `matrix`.
pub(super) fn axes(walk: &mut Walk<'_>, field: Field<'_>) -> Vec<Axis> {
    let Some(fields) = walk.any_map(field.node, "`matrix`", MATRIX_EXAMPLE) else { return Vec::new() };
    if fields.entries.is_empty() {
        walk.problem(field.key_span, "`matrix` is empty", format!("write {MATRIX_EXAMPLE}, or leave it out"));
    }
    fields.entries.into_iter().map(|field| axis(walk, field)).collect()
}

/// An axis. Where its key or its values are wrong it still declares its peer, so that nobody calls that unknown.
fn axis(walk: &mut Walk<'_>, field: Field<'_>) -> Axis {
    let (peer, key) = field.key.split_once('.').unwrap_or((field.key, ""));
    let mut axis = Axis { owner: peer.to_owned(), values: Vec::new() };
    if !may_be_peer(walk, peer, field.key_span) {
        return axis;
    }
    if key != "nat" {
        let message = format!("the matrix cannot vary `{}`", echo(field.key));
        walk.problem(field.key_span, message, format!("write `{peer}.nat`: only `nat` can be varied"));
        return axis;
    }
    let example = format!("a list of presets, such as [{}]", preset_names().collect::<Vec<_>>().join(", "));
    for node in walk.list(field.node, &format!("`{}`", field.key), &example).unwrap_or_default() {
        let Some(preset) = walk.preset(node) else { continue };
        let choice = NatChoice::from(preset);
        if axis.values.contains(&choice) {
            let message = format!("`{preset}` is twice among the values of `{}`", field.key);
            walk.problem(node.written, message, "remove one of the two: every cell of the matrix runs once");
        }
        axis.values.push(choice);
    }
    axis
}

/// The peers of `peers`, then those that only the matrix declares.
pub(super) fn roster(walk: &mut Walk<'_>, field: Option<Field<'_>>, axes: &[Axis]) -> Roster {
    let mut roster = Roster { peers: Vec::new(), is_complete: true };
    match field {
        Some(field) => declared(walk, field, axes, &mut roster),
        None if axes.is_empty() => {
            roster.is_complete = false;
            walk.problem(Span::default(), "a scenario needs `peers`", format!("write {PEERS_EXAMPLE}"));
        }
        None => {}
    }
    for axis in axes {
        if roster.get(&axis.owner).is_none() {
            let (name, attached) = (axis.owner.clone(), Attached::Public(Family::Ipv4));
            roster.peers.push(Peer { name, attached, start: Duration::ZERO });
        }
    }
    if roster.peers.len() > MOST_PEERS {
        let at = field.map_or(Span::default(), |field| field.key_span);
        let message = format!("{} peers are more than one lab holds", roster.peers.len());
        walk.problem(at, message, format!("use at most {MOST_PEERS} peers"));
    }
    roster
}

fn declared(walk: &mut Walk<'_>, field: Field<'_>, axes: &[Axis], roster: &mut Roster) {
    let Some(fields) = walk.any_map(field.node, "`peers`", PEERS_EXAMPLE) else {
        roster.is_complete = false;
        return;
    };
    if fields.entries.is_empty() {
        roster.is_complete = false;
        walk.problem(field.key_span, "`peers` is empty", format!("write {PEERS_EXAMPLE}"));
    }
    for field in fields.entries {
        may_be_peer(walk, field.key, field.key_span);
        let (choice, start) = peer(walk, field, axes);
        let attached =
            if choice.nat.is_some() { Attached::Own(choice) } else { Attached::Public(choice.family) };
        roster.peers.push(Peer { name: field.key.to_owned(), attached, start });
    }
}

/// What a peer says of itself; nothing at all makes it a public one that starts at once.
fn peer(walk: &mut Walk<'_>, field: Field<'_>, axes: &[Axis]) -> (NatChoice, Duration) {
    let plain = (NatChoice::public(Family::Ipv4), Duration::ZERO);
    if matches!(field.node.value, Value::Null) {
        return plain;
    }
    let what = format!("the peer `{}`", echo(field.key));
    let Some(fields) = walk.map(field.node, &what, &["nat", "start"], "`{ nat: full-cone }`, or `{}`") else {
        return plain;
    };
    let nat = fields.get("nat").and_then(|field| walk.preset(field.node));
    if let (Some(nat), Some(_)) = (fields.get("nat"), axes.iter().find(|axis| axis.owner == field.key)) {
        let message = format!("`nat` of `{}` is set here and varied by the matrix", echo(field.key));
        walk.problem(nat.key_span, message, "leave it out here: the matrix sets it in every cell");
    }
    let start = fields.get("start").and_then(|field| walk.duration(field.node, "`start`", START));
    (nat.map_or(plain.0, NatChoice::from), start.unwrap_or(plain.1))
}

fn may_be_peer(walk: &mut Walk<'_>, name: &str, at: Span) -> bool {
    if RESERVED.contains(&name) {
        let message = format!("a peer cannot be called `{name}`");
        walk.problem(at, message, "the lab has a node of that name: choose another");
        return false;
    }
    walk.is_name(name, at, "the name of a peer")
}
