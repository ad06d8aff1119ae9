//! Steps: what happens to routers in the middle of a case, and what that does to it.

use harness::run::outcome::{Outcome, Stage};

use super::networks::run;

/// How many bytes of the transfer had arrived when each step happened.
fn arrived_at_steps(events: &[serde_json::Value]) -> Vec<u64> {
    let mut arrived = 0;
    let mut at_steps = Vec::new();
    for event in events {
        match event["event"].as_str() {
            Some("progress") if event["node"] == "bob" => arrived = event["bytes"].as_u64().unwrap(),
            Some("stepped") => at_steps.push(arrived),
            _ => {}
        }
    }
    at_steps
}

#[test]
fn a_router_that_forgets_in_the_middle_of_a_file_maps_anew_and_the_file_arrives() {
    // Whoever sends maps himself again, to the same port; the filter of a full cone has nothing to forget.
    let text = "
name: forgetful
peers: { alice: { nat: full-cone }, bob: { nat: port-restricted } }
transfer: { from: alice, to: bob, size: 16 MiB }
steps: [{ after: connected, forget: bob }, { after: 10%, forget: alice }, { after: 20%, forget: bob }]
";
    let Some((row, events)) = run(text) else { return };
    assert_eq!(row.outcome, Outcome::Pass);
    assert!(row.files[0].identical);
    let stepped: Vec<_> = events.iter().filter(|event| event["event"] == "stepped").collect();
    let nodes: Vec<&str> = stepped.iter().map(|event| event["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["bob.router", "alice.router", "bob.router"]);
    assert_eq!(row.observed.steps.len(), 3);
    let arrived = arrived_at_steps(&events);
    assert!(arrived[1] * 10 >= 16 << 20 && arrived[2] * 5 >= 16 << 20, "{arrived:?}");
    assert!(arrived[2] < 16 << 20, "in the middle of it");
}

#[test]
fn where_nobody_can_map_anew_the_path_is_lost_and_the_file_with_it() {
    // Alice's new port is one that bob's filter has never been opened for, and nothing tells bob of it.
    let text = "
name: lost
patience: 2s
peers: { alice: { nat: { mapping: endpoint-independent, filtering: address-and-port-dependent, allocation: random } }, bob: { nat: port-restricted } }
transfer: { from: alice, to: bob, size: 64 MiB }
steps: [{ after: 5%, forget: alice }]
";
    let Some((row, _)) = run(text) else { return };
    let Outcome::Fail { unmet } = &row.outcome else { panic!("{:?}", row.outcome) };
    assert!(
        unmet.iter().any(|unmet| unmet.stage == Stage::Transfer && unmet.expectation == "file"),
        "{unmet:?}"
    );
    assert!(!row.files[0].identical && !row.success);
    assert!(row.observed.session("bob", "alice").unwrap().ice_failed(), "bob's consent ran out");
}

#[test]
fn a_step_that_never_comes_due_is_told_at_its_line() {
    let text = "
name: never
peers: { alice: { nat: full-cone }, bob: { nat: full-cone } }
transfer: { from: alice, to: bob, size: 1 KiB }
steps:
  - { after: connected, forget: alice }
  - { after: 10min, forget: bob }
";
    let Some((row, _)) = run(text) else { return };
    let Outcome::Fail { unmet } = &row.outcome else { panic!("{:?}", row.outcome) };
    let [missed] = &unmet[..] else { panic!("{unmet:?}") };
    assert_eq!(missed.expectation, "steps");
    assert!(missed.message.contains("line 7") && missed.message.contains("bob.router"), "{}", missed.message);
    assert_eq!(row.observed.steps.keys().collect::<Vec<_>>(), [&0]);
}
