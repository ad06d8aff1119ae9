//! From a scenario to its cases: every cell of the matrix, every repetition, each with its id and its own seed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use netns::nat::Preset;
use sha2::{Digest, Sha256};

use super::expectation::expectation;
use super::{Axis, Break, CaseId, Expectation, Pair, Scenario};

/// One scenario in one cell of its matrix, once: what is run.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is called everywhere, and what can be pasted back: `name[alice.nat=full-cone,bob.nat=open]#2`.
    pub id: String,
    /// Where it comes from.
    pub scenario: Arc<Scenario>,
    /// The axes of the matrix and their values here.
    pub cell: Vec<(String, String)>,
    /// Which repetition this is, counted from one.
    pub repetition: u32,
    /// Where every random draw of this case comes from.
    pub seed: [u8; 32],
    /// The peers, in the order of the file.
    pub peers: Vec<CasePeer>,
    /// What is sent, in the order of the file.
    pub transfers: Vec<CaseTransfer>,
    /// Who is connected with whom.
    pub sessions: Vec<Session>,
    /// How long ICE may look for a path before it gives up.
    pub patience: Duration,
    /// What is broken on purpose.
    pub broken: Option<Break>,
}

/// A peer of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CasePeer {
    /// Its name.
    pub name: String,
    /// Its router's NAT; `Open` where it has no router.
    pub nat: Preset,
    /// How long after the start of the case it starts.
    pub start: Duration,
}

/// A file that is sent in a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseTransfer {
    /// Its place in the file's list, counted from zero.
    pub index: usize,
    /// The peer that sends.
    pub from: String,
    /// The peer that receives.
    pub to: String,
    /// The size in bytes.
    pub size: u64,
}

/// Two peers that are to be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The peer that makes the offer.
    pub offerer: String,
    /// The peer that answers.
    pub answerer: String,
    /// What is expected of them.
    pub expect: Expectation,
}

/// All cases of a scenario, or those it was asked for by id. `run_seed` counts where the scenario fixes no seed,
/// `repeat_override` instead of its `repeat`. A repetition that was asked for by number is there whatever `repeat`
/// says, so that the id of a case that failed under `--repeat 50` runs again alone.
pub fn cases(scenario: &Arc<Scenario>, run_seed: u64, repeat_override: Option<u32>) -> Vec<Case> {
    let repeat = repeat_override.unwrap_or(scenario.repeat).max(1);
    let seed = scenario.seed.unwrap_or(run_seed);
    let mut all = Vec::new();
    for presets in cells(&scenario.axes) {
        let cell: Vec<(String, String)> = scenario
            .axes
            .iter()
            .zip(&presets)
            .map(|(axis, preset)| (axis.name(), preset.name().to_owned()))
            .collect();
        for (repetition, is_numbered) in repetitions(scenario, &cell, repeat) {
            let repetition_shown = is_numbered.then_some(repetition);
            let id = CaseId { name: scenario.name.clone(), cell: cell.clone(), repetition: repetition_shown };
            all.push(case(scenario, &presets, id, repetition, seed));
        }
    }
    all
}

/// Every cell of the matrix, the last axis varying fastest. Without a matrix, one cell.
fn cells(axes: &[Axis]) -> Vec<Vec<Preset>> {
    axes.iter().fold(vec![Vec::new()], |cells, axis| {
        let longer = |cell: &Vec<Preset>| {
            let cell = cell.clone();
            axis.values.iter().map(move |value| cell.iter().copied().chain([*value]).collect()).collect()
        };
        cells.iter().flat_map::<Vec<Vec<Preset>>, _>(longer).collect()
    })
}

/// Which repetitions of a cell run, and whether their ids carry the number.
fn repetitions(scenario: &Scenario, cell: &[(String, String)], repeat: u32) -> BTreeSet<(u32, bool)> {
    let every = || (1..=repeat).map(|repetition| (repetition, repeat > 1));
    if scenario.selected.is_empty() {
        return every().collect();
    }
    let mut wanted = BTreeSet::new();
    for id in scenario.selected.iter().filter(|id| id.matches_cell(cell)) {
        match id.repetition {
            Some(repetition) => wanted.extend([(repetition, true)]),
            None => wanted.extend(every()),
        }
    }
    wanted
}

fn case(scenario: &Arc<Scenario>, presets: &[Preset], id: CaseId, repetition: u32, seed: u64) -> Case {
    let nat_of = |name: &str| {
        let varied = scenario.axes.iter().zip(presets).find(|(axis, _)| axis.peer == name);
        varied.map(|(_, preset)| *preset)
    };
    let peers: Vec<CasePeer> = scenario
        .peers
        .iter()
        .map(|peer| CasePeer {
            name: peer.name.clone(),
            nat: nat_of(&peer.name).unwrap_or(peer.nat),
            start: peer.start,
        })
        .collect();
    let transfers: Vec<CaseTransfer> = scenario
        .transfers
        .iter()
        .enumerate()
        .map(|(index, transfer)| CaseTransfer {
            index,
            from: transfer.from.clone(),
            to: transfer.to.clone(),
            size: transfer.size,
        })
        .collect();
    let sessions = scenario.pairs.iter().filter_map(|pair| session(pair, &peers, &transfers)).collect();
    let text = id.to_string();
    Case {
        seed: case_seed(seed, &text),
        id: text,
        scenario: Arc::clone(scenario),
        cell: id.cell,
        repetition,
        peers,
        transfers,
        sessions,
        patience: scenario.patience,
        broken: scenario.broken.clone(),
    }
}

fn session(pair: &Pair, peers: &[CasePeer], transfers: &[CaseTransfer]) -> Option<Session> {
    let peer = |name: &str| peers.iter().find(|peer| peer.name == name);
    let (offerer, answerer) = (peer(&pair.offerer)?, peer(&pair.answerer)?);
    let sends = transfers.iter().any(|transfer| {
        let names = [&transfer.from, &transfer.to];
        names == [&pair.offerer, &pair.answerer] || names == [&pair.answerer, &pair.offerer]
    });
    let expect = expectation(pair, offerer, answerer, sends);
    Some(Session { offerer: pair.offerer.clone(), answerer: pair.answerer.clone(), expect })
}

/// A seed that depends on the id, so that a case draws the same alone as among others.
fn case_seed(seed: u64, id: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"natlab case");
    hash.update(seed.to_le_bytes());
    hash.update(id.as_bytes());
    hash.finalize().into()
}
