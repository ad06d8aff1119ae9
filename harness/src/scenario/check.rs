//! From what a file says to a scenario that cannot be wrong: all its problems at once.

mod axes;
mod breaks;
mod expect;
mod nats;
mod networks;
mod pairs;
mod peers;
mod roster;
mod steps;
mod walk;

use std::time::Duration;

use roster::Roster;
use walk::{Fields, Walk};

use super::error::{Problem, Span, echo};
use super::file::{Node, ScenarioFile, Value};
use super::{Axis, Scenario, Transfer};

const KEYS: [&str; 13] = [
    "name", "why", "tags", "networks", "peers", "transfer", "matrix", "steps", "expect", "repeat", "seed",
    "patience", "break",
];
const PEERS_EXAMPLE: &str = "`peers: { alice: { nat: full-cone }, bob: {} }`";
const TRANSFER_EXAMPLE: &str = "`{ from: alice, to: bob, size: 1 MiB }`";

/// How long ICE looks for a path where the file does not say.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(600)];
const MOST_REPETITIONS: u64 = 10_000;
const MOST_CASES: u64 = 10_000;
const LARGEST_TRANSFER: u64 = 16 << 30;

/// A transfer and where it stands.
struct PlacedTransfer {
    transfer: Transfer,
    at: Span,
}

/// Checks one file.
pub(super) fn check(file: &ScenarioFile, allow_break: bool) -> Result<Scenario, Vec<Problem>> {
    let mut walk = Walk::new(file);
    let scenario = scenario(&mut walk, file, allow_break);
    match scenario {
        Some(found) if walk.is_clean() => Ok(found),
        _ => Err(walk.into_problems()),
    }
}

fn scenario(walk: &mut Walk<'_>, file: &ScenarioFile, allow_break: bool) -> Option<Scenario> {
    if matches!(file.root.value, Value::Null) {
        walk.problem(Span::default(), "the file is empty", "`natlab init -` prints a scenario to start from");
        return None;
    }
    let top =
        walk.map(&file.root, "a scenario", &KEYS, "`name: two-homes` and the other keys of a scenario")?;
    let name = name(walk, &top);
    let why = top.get("why").and_then(|field| walk.text(field.node, "`why`", "a sentence"));
    let tags = tags(walk, &top);
    let (roster, placed) = roster(walk, &top);
    let transfers = top.get("transfer").map(|field| transfers(walk, field.node, &roster)).unwrap_or_default();
    let entries = top.get("expect").map(|field| expect::entries(walk, field, &roster)).unwrap_or_default();
    let steps =
        top.get("steps").map(|field| steps::steps(walk, field, &roster, &transfers)).unwrap_or_default();
    let repeat =
        top.get("repeat").and_then(|field| walk.whole(field.node, "`repeat`", [1, MOST_REPETITIONS]));
    let seed = top.get("seed").and_then(|field| walk.whole(field.node, "`seed`", [0, u64::MAX]));
    let patience = top.get("patience").and_then(|field| walk.duration(field.node, "`patience`", PATIENCE));
    let broken =
        top.get("break").and_then(|field| breaks::broken(walk, field, &roster, &transfers, allow_break));
    let repeat = repeat.unwrap_or(1);
    too_many_cases(walk, &top, &roster.axes, repeat);
    networks::whole(walk, &roster, &placed);
    let pairs = pairs::pairs(walk, &roster, &transfers, &steps, entries);
    steps::possible(walk, &roster, &pairs, &steps);

    Some(Scenario {
        name: name?,
        why: why.map(str::to_owned),
        tags,
        file: file.path.clone(),
        source: file.source.clone(),
        networks: roster.networks,
        peers: roster.peers,
        axes: roster.axes,
        transfers: transfers.into_iter().map(|placed| placed.transfer).collect(),
        pairs,
        steps: steps.into_iter().map(|placed| placed.step).collect(),
        repeat: u32::try_from(repeat).ok()?,
        seed,
        patience: patience.unwrap_or(DEFAULT_PATIENCE),
        broken,
        selected: Vec::new(),
    })
}

/// Who is there, and the places of the networks, of which more is said once everybody is known.
fn roster(walk: &mut Walk<'_>, top: &Fields<'_>) -> (Roster, Vec<networks::Placed>) {
    let names = networks::names(top.get("networks"));
    let (axes, places) = top.get("matrix").map(|field| axes::axes(walk, field, &names)).unwrap_or_default();
    let mut roster = Roster { networks: Vec::new(), peers: Vec::new(), axes, places, is_complete: true };
    let placed = top.get("networks").map(|field| networks::declare(walk, field, &mut roster));
    peers::declare(walk, top.get("peers"), &mut roster);
    (roster, placed.unwrap_or_default())
}

fn name(walk: &mut Walk<'_>, top: &Fields<'_>) -> Option<String> {
    let Some(field) = top.get("name") else {
        walk.problem(
            Span::default(),
            "a scenario needs a `name`",
            "write `name: two-homes` on its first line",
        );
        return None;
    };
    walk.name(field.node, "the name of a scenario").map(str::to_owned)
}

/// The tags; where there are none, the name of the folder.
fn tags(walk: &mut Walk<'_>, top: &Fields<'_>) -> Vec<String> {
    let Some(field) = top.get("tags") else {
        let folder = std::path::absolute(walk.path())
            .ok()
            .and_then(|path| Some(path.parent()?.file_name()?.to_owned()));
        return folder.map(|folder| folder.to_string_lossy().into_owned()).into_iter().collect();
    };
    let mut tags: Vec<String> = Vec::new();
    for node in walk.list(field.node, "`tags`", "`tags: [smoke]`").unwrap_or_default() {
        let Some(tag) = walk.name(node, "a tag") else { continue };
        if tags.iter().any(|known| known == tag) {
            walk.problem(node.written, format!("the tag `{tag}` is there twice"), "remove one of the two");
        }
        tags.push(tag.to_owned());
    }
    tags
}

fn transfers(walk: &mut Walk<'_>, node: &Node, roster: &Roster) -> Vec<PlacedTransfer> {
    let nodes = match &node.value {
        Value::List(_) => walk.list(node, "`transfer`", TRANSFER_EXAMPLE).unwrap_or_default(),
        _ => std::slice::from_ref(node),
    };
    nodes.iter().filter_map(|node| transfer(walk, node, roster)).collect()
}

fn transfer(walk: &mut Walk<'_>, node: &Node, roster: &Roster) -> Option<PlacedTransfer> {
    let fields = walk.map(node, "a transfer", &["from", "to", "size"], TRANSFER_EXAMPLE)?;
    let mut needed = |key: &str| {
        let field = fields.get(key);
        if field.is_none() {
            walk.problem(node.used, format!("a transfer needs `{key}`"), format!("write {TRANSFER_EXAMPLE}"));
        }
        field
    };
    let (from, to, size) = (needed("from"), needed("to"), needed("size"));
    let from_name = from.and_then(|field| roster.peer(walk, field.node));
    let to_name = to.and_then(|field| roster.peer(walk, field.node));
    let size = size.and_then(|field| walk.size(field.node, "`size`", [1, LARGEST_TRANSFER]));
    let (from, to) = (from_name?, to_name?);
    if from == to {
        let at = fields.get("to").map_or(node.used, |field| field.node.written);
        walk.problem(at, format!("`{}` cannot send to itself", echo(&from)), "name two different peers");
        return None;
    }
    Some(PlacedTransfer { transfer: Transfer { from, to, size: size? }, at: fields.entries[0].key_span })
}

fn too_many_cases(walk: &mut Walk<'_>, top: &Fields<'_>, axes: &[Axis], repeat: u64) {
    let cells = axes.iter().fold(1u64, |cells, axis| cells.saturating_mul(axis.values.len() as u64));
    let cases = cells.saturating_mul(repeat);
    if let Some(field) = top.get("matrix").or(top.get("repeat"))
        && cases > MOST_CASES
    {
        let message = format!("{cells} cells times {repeat} repetitions are more than {MOST_CASES} cases");
        walk.problem(field.key_span, message, "split the scenario into several files");
    }
}
