//! Which peers are to be connected, and which saying of `expect` is about which of them.

use netns::nat::{Path, Prediction, predict};

use super::expect::Entry;
use super::roster::Roster;
use super::steps::PlacedStep;
use super::walk::Walk;
use super::{PlacedTransfer, TRANSFER_EXAMPLE};
use crate::scenario::error::Span;
use crate::scenario::layout::vantage;
use crate::scenario::units::show_duration;
use crate::scenario::{Attached, Pair, Step, Wanted};

/// The pairs in the order in which they are first named: by the transfers, then by `expect`.
pub(super) fn pairs(
    walk: &mut Walk<'_>,
    roster: &Roster,
    transfers: &[PlacedTransfer],
    steps: &[PlacedStep],
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
        possible(walk, roster, transfers, &pairs[index], &entry);
        predicted(walk, roster, steps, &pairs[index], &entry);
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

/// What is wanted of a pair must be possible with its transfers, its delays and its networks.
fn possible(walk: &mut Walk<'_>, roster: &Roster, transfers: &[PlacedTransfer], pair: &Pair, entry: &Entry) {
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
    let [first, second] = peers.map(|peer| peer.map(|peer| &peer.attached));
    let lan = match (first, second) {
        (Some(Attached::Lan(first)), Some(Attached::Lan(second))) if first == second => Some(first),
        _ => None,
    };
    match (entry.path_at, entry.wanted.path, lan) {
        (Some(at), Some(Path::Lan), None) => {
            let message = format!("a path cannot be `lan`: {} are not on one network", shown(pair));
            walk.problem(at, message, "put both on one with `lan: NAME`, or write `direct` or `none`");
        }
        (Some(at), Some(Path::Direct), Some(lan)) => {
            let message = format!("a path cannot be `direct`: {} are both on `{lan}`", shown(pair));
            walk.problem(at, message, "no router is between the two: write `path: lan`");
        }
        _ => {}
    }
}

/// What is wanted of a pair must not be what the oracle rules out everywhere, unless the file insists.
fn predicted(walk: &mut Walk<'_>, roster: &Roster, steps: &[PlacedStep], pair: &Pair, entry: &Entry) {
    let Some(at) = entry.via_at.or(entry.file_at).filter(|_| entry.wanted.path.is_none() && walk.is_clean())
    else {
        return;
    };
    let steps: Vec<Step> = steps.iter().map(|placed| placed.step.clone()).collect();
    let predictions: Vec<Prediction> = roster
        .layouts()
        .filter_map(|layout| {
            let here = layout.steps(&steps);
            let [first, second] = [&pair.offerer, &pair.answerer].map(|name| layout.peer(name));
            let stands = |peer| vantage(&layout.routers, &here, peer);
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
