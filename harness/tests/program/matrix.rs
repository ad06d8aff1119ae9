//! Every kind of NAT against every other, through the real program.

use harness::run::outcome::Outcome;
use netns::nat::{CandidateType, Preset, direct_path};

use super::natlab::Natlab;

#[test]
fn every_cell_of_the_matrix_passes_and_is_joined_as_the_oracle_says() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let done = natlab.run(&["stun-only", "--format", "plain"]);
    let report = natlab.report();
    let mut wrong = Vec::new();
    for (row, (alice, bob)) in report.cases.iter().zip(cells()) {
        assert_eq!(row.id, format!("stun-only[alice.nat={alice},bob.nat={bob}]"));
        let predicted = direct_path(alice.access(), bob.access());
        let via: Vec<&str> = predicted.via.iter().copied().map(CandidateType::name).collect();
        let [session] = &row.sessions[..] else { panic!("one session: {row:?}") };
        let is_allowed = match &session.via {
            Some(found) => via.contains(&found.as_str()),
            None => via.is_empty(),
        };
        if row.outcome != Outcome::Pass || session.path != predicted.path.name() || !is_allowed {
            wrong.push(format!("{}: {:?}, {} {:?}", row.id, row.outcome, session.path, session.via));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((report.cases.len(), report.counts.passed, report.counts.succeeded), (25, 25, 22));
    assert_eq!(done.code, Some(0));
    let grid: Vec<&str> = done.stdout.lines().filter(|line| line.starts_with("symmetric ")).collect();
    let [last] = grid[..] else { panic!("one row for symmetric in {}", done.stdout) };
    assert_eq!(
        last.split_whitespace().collect::<Vec<_>>(),
        ["symmetric", "prflx", "prflx", "prflx", "none", "none"]
    );
}

fn cells() -> impl Iterator<Item = (Preset, Preset)> {
    use Preset::{AddressRestricted, FullCone, Open, PortRestricted, Symmetric};
    let kinds = [Open, FullCone, AddressRestricted, PortRestricted, Symmetric];
    kinds.into_iter().flat_map(move |alice| kinds.into_iter().map(move |bob| (alice, bob)))
}
