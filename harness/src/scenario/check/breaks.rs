//! `break`: what is broken on purpose, where that is allowed.

use std::time::Duration;

use super::PlacedTransfer;
use super::nats;
use super::roster::{Named, Roster};
use super::walk::{Field, Walk};
use crate::scenario::file::Node;
use crate::scenario::{Break, Lie, Victim};

const KEYS: [&str; 4] = ["flip-byte", "lie", "kill", "hold-signaling"];
const EXAMPLE: &str = "`break: { flip-byte: alice }`";
const HOLD: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(600)];

/// The one thing that is broken.
pub(super) fn broken(
    walk: &mut Walk<'_>,
    field: Field<'_>,
    roster: &Roster,
    transfers: &[PlacedTransfer],
    allow_break: bool,
) -> Option<Break> {
    if !allow_break {
        walk.problem(field.key_span, "this scenario is broken on purpose", "run with --allow-break");
    }
    let fields = walk.map(field.node, "`break`", &KEYS, EXAMPLE)?;
    let [one] = fields.entries.as_slice() else {
        let message = format!("`break` breaks one thing, not {}", fields.entries.len());
        walk.problem(field.key_span, message, format!("write one of: {}", KEYS.join(", ")));
        return None;
    };
    match one.key {
        "flip-byte" => flip_byte(walk, one.node, roster, transfers),
        "lie" => lies(walk, one.node, roster),
        "kill" => victim(walk, one.node, roster).map(Break::Kill),
        "hold-signaling" => walk.duration(one.node, "`hold-signaling`", HOLD).map(Break::HoldSignaling),
        _ => None,
    }
}

fn flip_byte(
    walk: &mut Walk<'_>,
    node: &Node,
    roster: &Roster,
    transfers: &[PlacedTransfer],
) -> Option<Break> {
    let peer = roster.peer(walk, node)?;
    if !transfers.iter().any(|placed| placed.transfer.from == peer) {
        walk.problem(node.written, format!("`{peer}` sends nothing"), "name the `from` of a transfer");
        return None;
    }
    Some(Break::FlipByte { peer })
}

fn lies(walk: &mut Walk<'_>, node: &Node, roster: &Roster) -> Option<Break> {
    let fields = walk.any_map(node, "`lie`", "`lie: { alice: symmetric }`")?;
    if fields.entries.is_empty() {
        walk.problem(node.used, "`lie` is empty", "write `lie: { alice: symmetric }`");
    }
    let lies: Vec<Lie> = fields.entries.into_iter().filter_map(|field| lie(walk, field, roster)).collect();
    Some(Break::Lie(lies))
}

fn lie(walk: &mut Walk<'_>, field: Field<'_>, roster: &Roster) -> Option<Lie> {
    let router = roster.router(walk, field.key, field.key_span);
    let really = nats::nat(walk, field.node);
    let (Named { shown, node, choices }, really) = (router?, really?);
    if choices.iter().any(|choice| choice.nat.is_none()) {
        let message = format!("`{shown}` has no router that could lie");
        walk.problem(field.key_span, message, "name a network, or a peer whose `nat` is never `open`");
    } else if really.nat.is_none() {
        let message = "a router cannot be `open`: that is to have none";
        walk.problem(field.node.written, message, "name another preset");
    } else if choices.contains(&really) {
        let message = format!("`{shown}` is declared `{really}`: that is no lie");
        walk.problem(field.node.written, message, "name another preset");
    }
    Some(Lie { router: node, really })
}

fn victim(walk: &mut Walk<'_>, node: &Node, roster: &Roster) -> Option<Victim> {
    match walk.text(node, "`kill`", "`signaling`, `stun` or the name of a peer")? {
        "signaling" => Some(Victim::Signaling),
        "stun" => Some(Victim::Stun),
        _ => roster.peer(walk, node).map(Victim::Peer),
    }
}
