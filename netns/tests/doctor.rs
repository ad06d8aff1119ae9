//! The doctor examines this very machine, on which the other tests pass, from inside a sandbox.

use netns::doctor::{Check, Outcome, examine, render};
use netns::nat::{Egress, Preset};

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}

#[test]
fn a_machine_that_runs_labs_is_found_fit() {
    let checks = examine();
    let report = render(&checks);
    assert!(!checks.iter().any(Check::is_fatal), "{report}");
    for (preset, nat) in Preset::ALL.into_iter().filter_map(|preset| Some((preset, preset.nat()?))) {
        let works = if nat.egress == Egress::Everything { "fragments pass" } else { "UDP is refused" };
        let name = format!("NAT {preset}");
        let check = checks.iter().find(|check| check.name == name).unwrap();
        assert!(matches!(&check.outcome, Outcome::Ok(found) if found.contains(works)), "{report}");
    }
    println!("{report}");
}
