//! Which peers are to be connected, and which saying of `expect` is about which of them.

use netns::nat::{Path, Prediction, predict};

use super::expect::Entry;
use super::peers::Roster;
use super::walk::Walk;
use super::{PlacedTransfer, TRANSFER_EXAMPLE};
use crate::scenario::error::Span;
use crate::scenario::layout::{lay_out, vantage};
use crate::scenario::matrix::cells;
use crate::scenario::units::show_duration;
use crate::scenario::{Axis, Pair, Wanted};

/// The pairs in the order in which they are first named: by the transfers, then by `expect`.
pub(super) fn pairs(
    walk: &mut Walk<'_>,
    roster: &Roster,
    axes: &[Axis],
    transfers: &[PlacedTransfer],
    entries: Vec<Entry>,
) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for PlacedTransfer { transfer, at } in transfers {
        name_pair(walk, &mut pairs, [&transfer.from, &transfer.to], *at);
    }
    for entry in &entries {
        if let Some([first, second]) = &entry.between {
            name_pair(walk, &mut pairs, [first, second], entry.at);
        }
    }
    if pairs.is_empty() && walk.is_clean() {
        let help = format!(
            "add `transfer: {}`, or `between: [alice, bob]` to `expect`",
            TRANSFER_EXAMPLE.trim_matches('`')
        );
        walk.problem(Span::default(), "no two peers are to be connected", help);
    }
    let mut told: Vec<usize> = Vec::new();
    for entry in entries {
        let Some(index) = pair_of(walk, &pairs, &entry) else { continue };
        if told.contains(&index) {
            let message = format!("{} is expected twice", shown(&pairs[index]));
            walk.problem(entry.at, message, "put everything that is expected of a pair into one map");
            continue;
        }
        told.push(index);
        possible(walk, roster, axes, transfers, &pairs[index], &entry);
        pairs[index].line = walk.line(entry.at);
        pairs[index].wanted = entry.wanted;
    }
    pairs
}

fn name_pair(walk: &Walk<'_>, pairs: &mut Vec<Pair>, [first, second]: [&String; 2], at: Span) {
    if !pairs.iter().any(|pair| is_of(pair, first, second)) {
        let (offerer, answerer) = (first.clone(), second.clone());
        pairs.push(Pair { offerer, answerer, wanted: Wanted::default(), line: walk.line(at) });
    }
}

/// The pair that an entry is about; without `between`, the only one there is.
fn pair_of(walk: &mut Walk<'_>, pairs: &[Pair], entry: &Entry) -> Option<usize> {
    if let Some([first, second]) = &entry.between {
        return pairs.iter().position(|pair| is_of(pair, first, second));
    }
    if pairs.len() > 1 {
        let all: Vec<String> = pairs.iter().map(shown).collect();
        let message = "which two peers is this expected of?";
        walk.problem(entry.at, message, format!("add `between: [..]`; the pairs are {}", all.join(", ")));
        return None;
    }
    (!pairs.is_empty()).then_some(0)
}

/// What is wanted of a pair must be possible with its transfers, its delays and its NATs.
fn possible(
    walk: &mut Walk<'_>,
    roster: &Roster,
    axes: &[Axis],
    transfers: &[PlacedTransfer],
    pair: &Pair,
    entry: &Entry,
) {
    let sends = transfers.iter().any(|placed| is_of(pair, &placed.transfer.from, &placed.transfer.to));
    if let (Some(at), false) = (entry.file_at, sends) {
        let message = format!("no file is sent between {}", shown(pair));
        walk.problem(at, message, "add a `transfer` between the two, or leave out `file`");
    }
    let peers = [&pair.offerer, &pair.answerer].map(|name| roster.get(name));
    let latest = peers.into_iter().flatten().max_by_key(|peer| peer.start);
    if let (Some(at), Some(within), Some(latest)) =
        (entry.connected_at, entry.wanted.connected_within, latest)
        && within <= latest.start
    {
        let message = format!("`{}` starts only after {}", latest.name, show_duration(latest.start));
        walk.problem(at, message, "`connected-within` counts from the start of the case: make it longer");
    }
    let Some(at) = entry.via_at.or(entry.file_at).filter(|_| entry.wanted.path.is_none() && walk.is_clean())
    else {
        return;
    };
    let predictions: Vec<Prediction> = cells(axes)
        .iter()
        .filter_map(|cell| {
            let layout = lay_out(&[], &roster.peers, axes, cell);
            let [first, second] = [&pair.offerer, &pair.answerer].map(|name| layout.peer(name));
            let stands = |peer| vantage(&layout.routers, &[], peer);
            Some(predict(&stands(first?), &stands(second?)))
        })
        .collect();
    if predictions.iter().all(|prediction| prediction.path == Path::None)
        && let Some(prediction) = predictions.first()
    {
        let why = prediction.reason.words(&pair.offerer, &pair.answerer);
        let message = format!("no path is possible between {}", shown(pair));
        walk.problem(at, message, format!("{why}; leave this out, or write `path: direct` to insist"));
    }
}

fn is_of(pair: &Pair, first: &str, second: &str) -> bool {
    let names = (pair.offerer.as_str(), pair.answerer.as_str());
    names == (first, second) || names == (second, first)
}

fn shown(pair: &Pair) -> String {
    format!("[{}, {}]", pair.offerer, pair.answerer)
}
