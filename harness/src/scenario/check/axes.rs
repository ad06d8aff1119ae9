//! `matrix`: whose NATs are varied, and which values they take.

use super::roster::{Declared, may_be_node};
use super::walk::{Field, Walk, preset_names};
use super::{nats, networks};
use crate::scenario::Axis;
use crate::scenario::error::echo;

const EXAMPLE: &str = "`matrix: { alice.nat: [full-cone, symmetric] }`";

/// The axes, and where each stands; those of these networks never take `open`.
pub(super) fn axes(
    walk: &mut Walk<'_>,
    field: Field<'_>,
    network_names: &[&str],
) -> (Vec<Axis>, Vec<Declared>) {
    let Some(fields) = walk.any_map(field.node, "`matrix`", EXAMPLE) else { return Default::default() };
    if fields.entries.is_empty() {
        walk.problem(field.key_span, "`matrix` is empty", format!("write {EXAMPLE}, or leave it out"));
    }
    let all = fields.entries.into_iter().map(|field| {
        let axis = axis(walk, field, network_names);
        let place = Declared { name: axis.owner.clone(), at: field.key_span };
        (axis, place)
    });
    all.unzip()
}

/// An axis. Where its key or its values are wrong it still declares its peer, so that nobody calls that unknown.
fn axis(walk: &mut Walk<'_>, field: Field<'_>, network_names: &[&str]) -> Axis {
    let (owner, key) = field.key.split_once('.').unwrap_or((field.key, ""));
    let mut axis = Axis { owner: owner.to_owned(), values: Vec::new() };
    let is_network = network_names.contains(&owner);
    if !is_network && !may_be_node(walk, owner, field.key_span, "a peer") {
        return axis;
    }
    if key != "nat" {
        let message = format!("the matrix cannot vary `{}`", echo(field.key));
        let help = format!("write `{}.nat`: only `nat` can be varied", echo(owner));
        walk.problem(field.key_span, message, help);
        return axis;
    }
    let example = format!("a list of presets, such as [{}]", preset_names().collect::<Vec<_>>().join(", "));
    for node in walk.list(field.node, &format!("`{}`", field.key), &example).unwrap_or_default() {
        let Some(choice) = nats::nat(walk, node) else { continue };
        if is_network {
            networks::needs_router(walk, node, &choice);
        }
        if axis.values.contains(&choice) {
            let message = format!("`{choice}` is twice among the values of `{}`", field.key);
            walk.problem(node.written, message, "remove one of the two: every cell of the matrix runs once");
        }
        axis.values.push(choice);
    }
    axis
}
