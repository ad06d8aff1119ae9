//! The doctor examines this very machine, on which the other tests pass, from inside a sandbox.

use netns::doctor::{Check, Outcome, examine, render};
use netns::nat::Preset;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}

#[test]
fn a_machine_that_runs_labs_is_found_fit() {
    let checks = examine();
    let report = render(&checks);
    assert!(!checks.iter().any(Check::is_fatal), "{report}");
    for preset in Preset::ALL.into_iter().filter(|preset| preset.nat().is_some()) {
        let name = format!("NAT {preset}");
        let check = checks.iter().find(|check| check.name == name).unwrap();
        assert!(matches!(&check.outcome, Outcome::Ok(found) if found.contains("fragments pass")), "{report}");
    }
    println!("{report}");
}
