//! From a scenario to its cases: every cell of the matrix, every repetition, each with its id and its own seed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use netns::nat::{Path, Vantage};
use sha2::{Digest, Sha256};

use super::expectation::expectation;
use super::layout::{Layout, lay_out, ready, routers_of, vantage};
use super::{After, Axis, Break, CaseId, CasePeer, CaseRouter, Expectation, NatChoice, Pair, Scenario, Step};

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
    /// The routers, the outermost first: an uplink stands before what is behind it.
    pub routers: Vec<CaseRouter>,
    /// The peers, in the order of the file.
    pub peers: Vec<CasePeer>,
    /// What is sent, in the order of the file.
    pub transfers: Vec<CaseTransfer>,
    /// Who is connected with whom.
    pub sessions: Vec<Session>,
    /// What happens to routers meanwhile, in this order.
    pub steps: Vec<Step>,
    /// How long ICE may look for a path before it gives up.
    pub patience: Duration,
    /// What is broken on purpose.
    pub broken: Option<Break>,
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

impl Case {
    /// The routers between a peer and the internet, innermost first.
    pub fn routers_of(&self, peer: &CasePeer) -> Vec<&CaseRouter> {
        routers_of(&self.routers, peer)
    }

    /// What a peer is behind, innermost first, for people: `port-restricted behind cgnat`.
    pub fn behind(&self, peer: &CasePeer) -> String {
        match self.routers_of(peer).as_slice() {
            [] => peer.nat.label.clone(),
            routers => {
                let labels: Vec<&str> = routers.iter().map(|router| router.label.as_str()).collect();
                labels.join(" behind ")
            }
        }
    }

    /// Where a peer stands, as the oracle is asked: once everybody has logged in who is going to.
    pub fn vantage(&self, peer: &CasePeer) -> Vantage {
        vantage(&self.routers, &self.steps, peer)
    }
}

/// All cases of a scenario, or those it was asked for by id. `run_seed` counts where the scenario fixes no seed,
/// `repeat_override` instead of its `repeat`. A repetition that was asked for by number is there whatever `repeat`
/// says, so that the id of a case that failed under `--repeat 50` runs again alone.
pub fn cases(scenario: &Arc<Scenario>, run_seed: u64, repeat_override: Option<u32>) -> Vec<Case> {
    let repeat = repeat_override.unwrap_or(scenario.repeat).max(1);
    let seed = scenario.seed.unwrap_or(run_seed);
    let mut all = Vec::new();
    for choices in cells(&scenario.axes) {
        let cell: Vec<(String, String)> = scenario
            .axes
            .iter()
            .zip(&choices)
            .map(|(axis, choice)| (axis.name(), choice.label.clone()))
            .collect();
        for (repetition, is_numbered) in repetitions(scenario, &cell, repeat) {
            let repetition_shown = is_numbered.then_some(repetition);
            let id = CaseId { name: scenario.name.clone(), cell: cell.clone(), repetition: repetition_shown };
            all.push(case(scenario, &choices, id, repetition, seed));
        }
    }
    all
}

/// Every cell of the matrix, the last axis varying fastest. Without a matrix, one cell.
pub(super) fn cells(axes: &[Axis]) -> Vec<Vec<NatChoice>> {
    axes.iter().fold(vec![Vec::new()], |cells, axis| {
        let longer = |cell: &Vec<NatChoice>| {
            let cell = cell.clone();
            axis.values.iter().map(move |value| cell.iter().chain([value]).cloned().collect()).collect()
        };
        cells.iter().flat_map::<Vec<Vec<NatChoice>>, _>(longer).collect()
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

fn case(scenario: &Arc<Scenario>, cell: &[NatChoice], id: CaseId, repetition: u32, seed: u64) -> Case {
    let layout = lay_out(&scenario.networks, &scenario.peers, &scenario.axes, cell);
    let steps = layout.steps(&scenario.steps);
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
    let sessions: Vec<Session> =
        scenario.pairs.iter().filter_map(|pair| session(pair, &layout, &steps, &transfers)).collect();
    // What waits for somebody to be connected never comes where nobody is to be.
    let nobody_connects = sessions.iter().all(|session| session.expect.path == Path::None);
    let comes = |step: &Step| matches!(step.after, After::Time(_)) || !nobody_connects;
    let steps = steps.into_iter().take_while(comes).collect();
    let text = id.to_string();
    Case {
        seed: case_seed(seed, &text),
        id: text,
        scenario: Arc::clone(scenario),
        cell: id.cell,
        repetition,
        routers: layout.routers,
        peers: layout.peers,
        transfers,
        sessions,
        steps,
        patience: scenario.patience,
        broken: scenario.broken.clone(),
    }
}

fn session(pair: &Pair, layout: &Layout, steps: &[Step], transfers: &[CaseTransfer]) -> Option<Session> {
    let (offerer, answerer) = (layout.peer(&pair.offerer)?, layout.peer(&pair.answerer)?);
    let vantages = [offerer, answerer].map(|peer| vantage(&layout.routers, steps, peer));
    let start = [offerer, answerer].map(|peer| ready(&layout.routers, steps, peer)).into_iter().max();
    let sends = transfers.iter().any(|transfer| {
        let names = [&transfer.from, &transfer.to];
        names == [&pair.offerer, &pair.answerer] || names == [&pair.answerer, &pair.offerer]
    });
    let expect = expectation(pair, &vantages, start.unwrap_or_default(), sends);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::check::check;
    use super::super::file::ScenarioFile;
    use super::*;

    const PLAIN: &str = "
name: plain
peers: { alice: { nat: symmetric }, bob: { start: 2s } }
transfer:
  - { from: bob, to: alice, size: 1 KiB }
  - { from: alice, to: bob, size: 2 KiB }
";
    const MATRIX: &str = "
name: matrix
matrix: { alice.nat: [open, symmetric], bob.nat: [restricted-cone, symmetric] }
transfer: { from: alice, to: bob, size: 1 MiB }
expect: { between: [bob, carol] , path: direct }
peers: { carol: {} }
seed: 7
repeat: 2
";

    #[test]
    fn without_a_matrix_there_is_one_case_and_its_id_is_the_name() {
        let [case] = &all(PLAIN, &[], None)[..] else { panic!("one case") };
        assert_eq!((case.id.as_str(), case.cell.len(), case.repetition), ("plain", 0, 1));
        assert_eq!(case.sessions.len(), 1, "two transfers between the same two are one session");
        assert_eq!(case.sessions[0].offerer, "bob", "the peer that is named first");
        assert_eq!(case.transfers[1].index, 1);
        assert_eq!(case.peers[1].start, Duration::from_secs(2));
    }

    #[test]
    fn every_cell_and_every_repetition_is_a_case_in_the_order_of_the_file() {
        let ids: Vec<String> = all(MATRIX, &[], None).into_iter().map(|case| case.id).collect();
        assert_eq!(ids.len(), 8);
        assert_eq!(
            ids[0], "matrix[alice.nat=open,bob.nat=address-restricted]#1",
            "aliases get their own name"
        );
        assert_eq!(ids[1], "matrix[alice.nat=open,bob.nat=address-restricted]#2");
        assert_eq!(ids[2], "matrix[alice.nat=open,bob.nat=symmetric]#1");
        assert_eq!(ids[7], "matrix[alice.nat=symmetric,bob.nat=symmetric]#2");
    }

    #[test]
    fn a_cell_decides_the_nats_and_the_oracle_speaks_cell_by_cell() {
        let cases = all(MATRIX, &["matrix[alice.nat=symmetric,bob.nat=symmetric]#1"], None);
        let [case] = &cases[..] else { panic!("one case") };
        let nats: Vec<(&str, &str)> =
            case.peers.iter().map(|peer| (peer.name.as_str(), peer.nat.label.as_str())).collect();
        assert_eq!(nats, [("carol", "open"), ("alice", "symmetric"), ("bob", "symmetric")]);
        let routers: Vec<&str> = case.routers.iter().map(|router| router.name.as_str()).collect();
        assert_eq!(routers, ["alice.router", "bob.router"]);
        let paths: Vec<&str> = case.sessions.iter().map(|session| session.expect.path.name()).collect();
        assert_eq!(paths, ["none", "direct"]);
        assert_eq!(case.sessions[1].expect.line, 5, "the line of `expect`");
    }

    #[rstest]
    #[case(&["plain#3"], None, &["plain#3"])]
    #[case(&["plain#3"], Some(2), &["plain#3"])]
    #[case(&["plain#3", "plain#1"], None, &["plain#1", "plain#3"])]
    #[case(&["plain"], Some(2), &["plain#1", "plain#2"])]
    #[case(&["plain", "plain#2"], Some(2), &["plain#1", "plain#2"])]
    #[case(&[], Some(0), &["plain"])]
    fn an_id_selects_its_repetition_whatever_repeat_says(
        #[case] asked: &[&str],
        #[case] repeat: Option<u32>,
        #[case] ids: &[&str],
    ) {
        let found: Vec<String> = all(PLAIN, asked, repeat).into_iter().map(|case| case.id).collect();
        assert_eq!(found, ids);
    }

    #[test]
    fn a_case_draws_the_same_alone_as_among_others() {
        let among = all(PLAIN, &[], Some(5));
        let alone = all(PLAIN, &["plain#4"], None);
        assert_eq!(alone[0].seed, among[3].seed);
        assert_ne!(among[2].seed, among[3].seed);
    }

    #[test]
    fn the_seed_of_the_file_wins_over_that_of_the_run() {
        let seeds = |text, run_seed| -> Vec<[u8; 32]> {
            cases(&scenario(text, &[]), run_seed, None).into_iter().map(|case| case.seed).collect()
        };
        assert_eq!(seeds(MATRIX, 1), seeds(MATRIX, 2));
        assert_ne!(seeds(PLAIN, 1), seeds(PLAIN, 2));
    }

    #[test]
    fn seeds_stay_what_they_are_so_that_a_recorded_run_can_be_repeated() {
        let seed = all(PLAIN, &[], None)[0].seed;
        let shown: String = seed[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(shown, @"efe7405d049be91a");
    }

    proptest! {
        #[test]
        fn every_id_selects_exactly_its_own_case(picked in 0usize..8) {
            let case = all(MATRIX, &[], None).swap_remove(picked);
            let selected = all(MATRIX, &[&case.id], None);
            prop_assert_eq!(selected.len(), 1);
            prop_assert_eq!((&selected[0].id, selected[0].seed), (&case.id, case.seed));
        }
    }

    fn all(text: &str, asked: &[&str], repeat: Option<u32>) -> Vec<Case> {
        cases(&scenario(text, asked), 1, repeat)
    }

    fn scenario(text: &str, asked: &[&str]) -> Arc<Scenario> {
        let file = ScenarioFile::parse(Path::new("some.yaml"), text.into()).unwrap();
        let mut scenario = check(&file, false).unwrap();
        let selects_all = asked.contains(&scenario.name.as_str()) && asked.len() == 1;
        scenario.selected =
            if selects_all { Vec::new() } else { asked.iter().map(|id| id.parse().unwrap()).collect() };
        Arc::new(scenario)
    }
}
