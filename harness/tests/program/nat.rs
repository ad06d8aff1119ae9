//! `natlab nat`: routers are certified as what they are called, and tell their mappings to whoever is inside.

use std::process::Command;

use rstest::rstest;

use super::natlab::{Done, Natlab, PROGRAM, ROOT};

#[test]
fn a_table_has_a_row_for_each_requirement_and_a_column_for_each_nat() {
    let Some(_) = Natlab::with_labs() else { return };
    let done = natlab(&["nat", "certify", "port-restricted", "symmetric", "cgnat", "linux-masquerade"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    insta::assert_snapshot!(done.stdout);
    let told: Vec<&str> = done.stderr.lines().filter(|line| line.starts_with("certified")).collect();
    assert_eq!(told.len(), 4, "one line each as it is done: {}", done.stderr);
}

#[test]
fn all_that_was_found_is_there_for_programs() {
    let Some(natlab_folder) = Natlab::with_labs() else { return };
    let text = "name: two\npeers:\n  alice: { nat: { preset: full-cone, hairpin: off } }\n  bob: { nat: udp-blocked }\n\
                transfer: { from: alice, to: bob, size: 1 KiB }\n";
    let file = natlab_folder.file("two.yaml", text);
    let done = natlab(&["nat", "certify", "--format", "json", file.to_str().unwrap()]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let told: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let nats = told["nats"].as_array().unwrap();
    let names: Vec<&str> = nats.iter().map(|nat| nat["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["full-cone-hairpin-off", "udp-blocked"]);
    let verdict = |nat: usize, source: &str, requirement: &str| {
        let rows = nats[nat]["requirements"].as_array().unwrap();
        let row =
            rows.iter().find(|row| row["source"] == source && row["requirement"] == requirement).unwrap();
        row["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict(0, "RFC 4787", "REQ-9"), "violates-as-named");
    assert_eq!(verdict(0, "RFC 4787", "REQ-1"), "conforms");
    assert_eq!(verdict(1, "RFC 4787", "REQ-1"), "not-applicable");
    assert_eq!(verdict(1, "declared", "egress"), "conforms");
    assert!(nats.iter().all(|nat| nat["as_declared"] == true));
}

#[rstest]
#[case::a_mistyped_preset(&["nat", "certify", "symetric"], 2, "did you mean `symmetric`?")]
#[case::no_preset_at_all(&["nat", "certify", "gateway"], 2, "presets: open, firewall")]
#[case::a_file_that_is_wrong(&["nat", "certify", "harness/tests/invalid/units.yaml"], 3, "help:")]
#[case::no_such_file(&["nat", "certify", "no/such.yaml"], 3, "no file or folder")]
#[case::no_router(&["nat", "certify", "open"], 4, "there is no router")]
#[case::no_format(&["nat", "certify", "--format", "prose"], 2, "--format")]
#[case::a_table_of_nothing(&["nat", "table"], 2, "natlab shell CASE ROUTER")]
fn what_cannot_be_done_is_told_and_nothing_starts(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] words: &str,
) {
    let done = natlab(arguments);
    assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{}", done.stderr);
    assert!(done.stderr.contains(words), "{}", done.stderr);
}

#[test]
fn a_router_tells_its_mappings_inside_its_own_node_only() {
    let Some(_) = Natlab::with_labs() else { return };
    let shell = |node: &str, command: &str| natlab(&["shell", "two-homes", node, "--", "sh", "-c", command]);
    let table = format!("{PROGRAM} nat table");
    let router = shell("alice.router", &table);
    assert_eq!(router.code, Some(0), "{router:?}");
    assert!(router.stdout.starts_with("proto inside"), "{}", router.stdout);
    let peer = shell("alice", &table);
    assert_eq!(peer.code, Some(2), "{peer:?}");
    assert!(peer.stderr.contains("not inside a router"), "{}", peer.stderr);
}

fn natlab(arguments: &[&str]) -> Done {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "--signal=KILL", "180", PROGRAM]).args(arguments).current_dir(ROOT);
    Done::of(&command.env_remove("CI").env_remove("NO_COLOR").output().unwrap())
}
