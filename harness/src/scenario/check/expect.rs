//! `expect`: what the file says about pairs of peers, and the contradictions inside one such saying.

use std::time::Duration;

use netns::nat::{CandidateType, Path};

use super::roster::Roster;
use super::walk::{Field, Fields, Walk};
use crate::scenario::Wanted;
use crate::scenario::error::Span;
use crate::scenario::file::{Node, Value};

const KEYS: [&str; 7] =
    ["between", "discovered-within", "connected-within", "path", "via", "file", "because"];
const EXAMPLE: &str = "`expect: { path: direct, file: identical }`";
const WITHIN: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(3600)];

/// One map of `expect`, and the places that later checks point at.
pub(super) struct Entry {
    /// The two peers; `None` where `between` is left out.
    pub(super) between: Option<[String; 2]>,
    pub(super) wanted: Wanted,
    pub(super) at: Span,
    pub(super) connected_at: Option<Span>,
    pub(super) path_at: Option<Span>,
    pub(super) via_at: Option<Span>,
    pub(super) file_at: Option<Span>,
}

/// Every map of `expect`, but for those whose `between` cannot be read.
pub(super) fn entries(walk: &mut Walk<'_>, field: Field<'_>, roster: &Roster) -> Vec<Entry> {
    match &field.node.value {
        Value::List(_) => walk
            .list(field.node, "`expect`", EXAMPLE)
            .unwrap_or_default()
            .iter()
            .filter_map(|node| entry(walk, node, node.used, roster))
            .collect(),
        _ => entry(walk, field.node, field.key_span, roster).into_iter().collect(),
    }
}

fn entry(walk: &mut Walk<'_>, node: &Node, at: Span, roster: &Roster) -> Option<Entry> {
    let fields = walk.map(node, "`expect`", &KEYS, EXAMPLE)?;
    let within = |walk: &mut Walk<'_>, key: &str| {
        fields.get(key).and_then(|field| walk.duration(field.node, &format!("`{key}`"), WITHIN))
    };
    let discovered_within = within(walk, "discovered-within");
    let connected_within = within(walk, "connected-within");
    let path = fields.get("path").and_then(|field| path(walk, field.node));
    let via = fields.get("via").map(|field| via(walk, field.node)).unwrap_or_default();
    let file = fields.get("file").and_then(|field| walk.word(field.node, "`file`", &[("identical", ())]));
    let because = fields.get("because").and_then(|field| walk.text(field.node, "`because`", "a sentence"));
    contradictions(walk, &fields, path, discovered_within.zip(connected_within));
    let between = match fields.get("between") {
        Some(field) => Some(between(walk, field.node, roster)?),
        None => None,
    };
    let because = because.map(str::to_owned);
    let wanted = Wanted { discovered_within, connected_within, path, via, file: file.is_some(), because };
    let place = |key: &str| fields.get(key).map(|field| field.key_span);
    Some(Entry {
        between,
        wanted,
        at,
        connected_at: place("connected-within"),
        path_at: fields.get("path").map(|field| field.node.written),
        via_at: place("via"),
        file_at: place("file"),
    })
}

fn between(walk: &mut Walk<'_>, node: &Node, roster: &Roster) -> Option<[String; 2]> {
    let example = "the names of two peers, such as [alice, bob]";
    let nodes = walk.list(node, "`between`", example)?;
    let [first, second] = nodes else {
        let message = format!("`between` names two peers, not {}", nodes.len());
        walk.problem(node.used, message, format!("write {example}"));
        return None;
    };
    let (a, b) = (roster.peer(walk, first), roster.peer(walk, second));
    let (a, b) = (a?, b?);
    if a == b {
        walk.problem(second.written, format!("`{a}` is not a pair with itself"), "name two different peers");
        return None;
    }
    Some([a, b])
}

fn path(walk: &mut Walk<'_>, node: &Node) -> Option<Path> {
    let words = [Path::Direct, Path::None, Path::Lan, Path::Relayed].map(|path| (path.name(), path));
    let path = walk.word(node, "`path`", &words)?;
    if path == Path::Relayed {
        let help = "nothing in this version makes a TURN relay: write `direct`, `lan` or `none`";
        walk.problem(node.written, "a path cannot be `relayed`", help);
        return None;
    }
    Some(path)
}

/// One candidate type, or a list of those allowed.
fn via(walk: &mut Walk<'_>, node: &Node) -> Vec<CandidateType> {
    use CandidateType::{Host, PeerReflexive, Relayed, ServerReflexive};
    let words = [Host, ServerReflexive, PeerReflexive, Relayed].map(|kind| (kind.name(), kind));
    let nodes = match &node.value {
        Value::List(_) => walk.list(node, "`via`", "one or more of host, srflx, prflx").unwrap_or_default(),
        _ => std::slice::from_ref(node),
    };
    let mut kinds = Vec::new();
    for node in nodes {
        let Some(kind) = walk.word(node, "`via`", &words) else { continue };
        if kind == Relayed {
            let help = "nothing in this version makes a TURN relay: write host, srflx or prflx";
            walk.problem(node.written, "a path cannot go `via` relay", help);
        }
        if kinds.contains(&kind) {
            walk.problem(node.written, format!("`{}` is there twice", kind.name()), "remove one of the two");
        }
        kinds.push(kind);
    }
    kinds
}

fn contradictions(
    walk: &mut Walk<'_>,
    fields: &Fields<'_>,
    path: Option<Path>,
    within: Option<(Duration, Duration)>,
) {
    if path == Some(Path::None) {
        for key in ["via", "file", "connected-within"] {
            if let Some(field) = fields.get(key) {
                let message = format!("`path: none` and `{key}` contradict each other");
                walk.problem(field.key_span, message, format!("leave out `{key}`, or expect a path"));
            }
        }
    }
    if let (Some((discovered, connected)), Some(field)) = (within, fields.get("connected-within"))
        && connected < discovered
    {
        let help =
            "both count from the start of the case, and discovery comes first: make this the longer one";
        walk.problem(field.node.written, "`connected-within` is shorter than `discovered-within`", help);
    }
}
