//! Every kind of NAT against every other, through the real program.

use harness::report::Row;
use harness::run::outcome::Outcome;
use netns::nat::{Access, CandidateType, Filtering, Mapping, Preset, direct_path};

use super::natlab::Natlab;

#[test]
fn every_cell_of_the_matrix_passes_and_is_joined_as_the_oracle_says() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let done = natlab.run(&["stun-only", "--format", "plain"]);
    let report = natlab.report();
    use Preset::{AddressRestricted, FullCone, Open, PortRestricted, Symmetric};
    let kinds = [Open, FullCone, AddressRestricted, PortRestricted, Symmetric];
    assert_cells("stun-only", &report.cases, &kinds.map(|preset| (preset.name(), preset.access())));
    assert_eq!((report.cases.len(), report.counts.passed, report.counts.succeeded), (25, 25, 22));
    assert_eq!(done.code, Some(0));
    let grid: Vec<&str> = done.stdout.lines().filter(|line| line.starts_with("symmetric ")).collect();
    let [last] = grid[..] else { panic!("one row for symmetric in {}", done.stdout) };
    assert_eq!(
        last.split_whitespace().collect::<Vec<_>>(),
        ["symmetric", "prflx", "prflx", "prflx", "none", "none"]
    );
}

#[test]
fn all_nine_pairs_of_mapping_and_filtering_meet_each_other_as_rfc_4787_has_it() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let done = natlab.run(&["rfc4787", "--format", "plain"]);
    let report = natlab.report();
    use Filtering::{AddressAndPortDependent as Apdf, AddressDependent as Adf, EndpointIndependent as Eif};
    use Mapping::{AddressAndPortDependent as Apdm, AddressDependent as Adm, EndpointIndependent as Eim};
    let pairs = [
        ("full-cone", Eim, Eif),
        ("address-restricted", Eim, Adf),
        ("port-restricted", Eim, Apdf),
        ("ad-ei", Adm, Eif),
        ("address-dependent", Adm, Adf),
        ("ad-apd", Adm, Apdf),
        ("apd-ei", Apdm, Eif),
        ("apd-ad", Apdm, Adf),
        ("symmetric", Apdm, Apdf),
    ];
    let kinds = pairs.map(|(label, mapping, filtering)| (label, Access::Translated(mapping, filtering)));
    assert_cells("rfc4787", &report.cases, &kinds);
    assert_eq!((report.cases.len(), report.counts.passed, report.counts.succeeded), (81, 81, 42));
    assert_eq!(done.code, Some(0));
}

/// Every cell, in order, passed and was joined as the oracle says of these two.
fn assert_cells(scenario: &str, cases: &[Row], kinds: &[(&str, Access)]) {
    let cells = kinds.iter().flat_map(|alice| kinds.iter().map(move |bob| (alice, bob)));
    let mut wrong = Vec::new();
    for (row, ((alice, of_alice), (bob, of_bob))) in cases.iter().zip(cells) {
        assert_eq!(row.id, format!("{scenario}[alice.nat={alice},bob.nat={bob}]"));
        let predicted = direct_path(*of_alice, *of_bob);
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
}
