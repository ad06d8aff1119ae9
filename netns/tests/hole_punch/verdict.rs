//! What was seen against what the oracle says; many cells at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use netns::nat::{Allocation, Family, Filtering, Mapping, Nat, Path, Prediction, Vantage, predict};

use crate::cell::{Cell, FORCED, Seen};

/// Labs that stand at one time. Most of the time they wait.
const AT_ONCE: usize = 24;

pub(crate) const MAPPINGS: [Mapping; 3] =
    [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent];
pub(crate) const FILTERINGS: [Filtering; 3] =
    [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];

/// All pairs of mapping and filtering. Both ways to choose a port have their turn.
pub(crate) fn nine() -> [Nat; 9] {
    std::array::from_fn(|index| {
        let allocation = if index % 2 == 0 { Allocation::Preserve } else { Allocation::Random };
        Nat::new(MAPPINGS[index / 3], FILTERINGS[index % 3], allocation)
    })
}

/// A host behind these routers, innermost first.
pub(crate) fn behind(routers: &[(&str, Nat)]) -> Vantage {
    let routers = routers.iter().map(|&(name, nat)| (name.to_owned(), nat)).collect();
    Vantage { routers, family: Family::Ipv4 }
}

/// Judges every pair in all forced orders, where the oracle is sure of it; panics with all that differs.
pub(crate) fn all_meet_as_said(pairs: &[(Vantage, Vantage)]) {
    let wrong = many(pairs, |(first, second)| {
        let said = predict(first, second);
        let cell = Cell::new([first, second]);
        let seen = FORCED.map(|order| cell.punch(order));
        let judged = if said.race { Ok(()) } else { judge(&said, &seen) };
        judged.err().map(|why| format!("{}\n  {} with {}", why, place(first), place(second)))
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {} pairs:\n{}", wrong.len(), pairs.len(), wrong.join("\n"));
}

/// A vantage in a line.
fn place(vantage: &Vantage) -> String {
    let routers = vantage.routers.iter().map(|(name, nat)| {
        let (mapping, filtering, hairpin) = (nat.mapping.name(), nat.filtering.name(), nat.hairpin);
        format!("{name} ({:?} {mapping}/{filtering} {hairpin:?})", nat.translation)
    });
    if vantage.routers.is_empty() {
        "a public host".to_owned()
    } else {
        routers.collect::<Vec<_>>().join(" < ")
    }
}

/// Whether it is as the oracle says, each time; no path only with evidence.
pub(crate) fn judge(said: &Prediction, seen: &[Seen]) -> Result<(), String> {
    let tell = || {
        let runs: Vec<String> = seen
            .iter()
            .map(|seen| format!("{:?} {} {} {:?}", seen.order, word(seen), seen.dropped, seen.strayed))
            .collect();
        let via: Vec<&str> = said.via.iter().map(|kind| kind.name()).collect();
        let why = said.reason.words("first", "second");
        format!("said {} {via:?}: {why}; seen {}", said.path.name(), runs.join(", "))
    };
    for run in seen {
        let holds = match said.path {
            Path::None => run.via.is_none() && is_proven(run),
            Path::Lan | Path::Direct | Path::Relayed => run.via.is_some_and(|via| said.via.contains(&via)),
        };
        if !holds {
            return Err(tell());
        }
    }
    // And nothing is promised that cannot be.
    if said.path != Path::None && seen.iter().all(|run| run.via.as_ref() != said.via.first()) {
        return Err(tell());
    }
    Ok(())
}

/// That no path was found is the routers' doing: they dropped something, or every answer came from an address that
/// was not asked.
fn is_proven(run: &Seen) -> bool {
    run.dropped > 0 || run.strayed.iter().all(|&strayed| strayed > 0)
}

/// What became of it, in five letters.
pub(crate) fn word(seen: &Seen) -> &'static str {
    seen.via.map_or("none", |via| via.name())
}

/// Does something for every two of them, many at a time; the results are in order.
pub(crate) fn table<K: Sync, T: Send>(kinds: &[K], cell: impl Fn(&K, &K) -> T + Sync) -> Vec<Vec<T>> {
    let pairs: Vec<(&K, &K)> = kinds.iter().flat_map(|a| kinds.iter().map(move |b| (a, b))).collect();
    let mut results = many(&pairs, |(a, b)| cell(a, b)).into_iter();
    kinds.iter().map(|_| results.by_ref().take(kinds.len()).collect()).collect()
}

/// Does something for every one of them, many at a time; the results are in order.
pub(crate) fn many<J: Sync, T: Send>(jobs: &[J], work: impl Fn(&J) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<T>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { return };
                    *results[index].lock().unwrap() = Some(work(job));
                }
            });
        }
    });
    results.into_iter().map(|result| result.into_inner().unwrap().unwrap()).collect()
}

/// A table as people read it.
pub(crate) fn shown(names: &[String], cells: &[Vec<&String>]) -> String {
    let row = |name: &str, cells: &[&String]| {
        let cells: Vec<String> = cells.iter().map(|cell| format!(" {cell:>11}")).collect();
        format!("{name:>28}{}", cells.join(""))
    };
    names.iter().zip(cells).map(|(name, cells)| row(name, cells)).collect::<Vec<_>>().join("\n")
}

/// The path of each skew, one word where all are alike.
pub(crate) fn summary(seen: &[Seen]) -> String {
    let words: Vec<&str> = seen.iter().map(word).collect();
    if words.iter().all(|&word| word == words[0]) { words[0].to_owned() } else { words.join("/") }
}
