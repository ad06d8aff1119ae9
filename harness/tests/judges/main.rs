//! Judges from outside: coturn's `turnutils_natdiscovery` inside `natlab shell`, against our STUN server, behind every
//! class of NAT. Without coturn, or without labs, this is skipped, and says so.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic like a test")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use rstest::rstest;

const PROGRAM: &str = env!("CARGO_BIN_EXE_natlab");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const EI: &str = "endpoint-independent";
const AD: &str = "address-dependent";
const APD: &str = "address-and-port-dependent";

#[rstest]
#[case::open("open", EI, EI)]
#[case::firewall("firewall", EI, APD)]
#[case::full_cone("full-cone", EI, EI)]
#[case::address_restricted("address-restricted", EI, AD)]
#[case::port_restricted("port-restricted", EI, APD)]
#[case::symmetric("symmetric", APD, APD)]
#[case::symmetric_sequential("symmetric-sequential", APD, APD)]
#[case::address_dependent("address-dependent", AD, AD)]
#[case::cgnat("cgnat", EI, EI)]
#[case::linux_masquerade("linux-masquerade", EI, APD)]
#[case::linux_masquerade_input_drop("linux-masquerade-input-drop", EI, APD)]
#[case::maps_by_address_and_filters_nothing(
    "{ mapping: address-dependent, filtering: endpoint-independent }",
    AD,
    EI
)]
#[case::maps_by_port_and_filters_nothing(
    "{ mapping: address-and-port-dependent, filtering: endpoint-independent }",
    APD,
    EI
)]
#[case::maps_by_port_and_filters_by_address(
    "{ mapping: address-and-port-dependent, filtering: address-dependent }",
    APD,
    AD
)]
#[case::maps_by_address_and_filters_by_port(
    "{ mapping: address-dependent, filtering: address-and-port-dependent }",
    AD,
    APD
)]
fn coturn_sees_behind_our_nats_what_they_are_called(
    #[case] nat: &str,
    #[case] mapping: &str,
    #[case] filtering: &str,
) {
    let found = Command::new("turnutils_natdiscovery").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        return skip(&format!("coturn's judgement of {nat} (apt-get install coturn)"));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("judged.yaml");
    let text = format!(
        "name: judged\npeers: {{ alice: {{ nat: {nat} }}, bob: }}\ntransfer: {{ from: alice, to: bob, size: 1 KiB }}\n"
    );
    std::fs::write(&file, text).unwrap();
    let ask = "turnutils_natdiscovery -m -f -p ${NATLAB_STUN#*:} ${NATLAB_STUN%:*}";
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", "120", PROGRAM, "shell"])
        .arg(&file)
        .args(["alice", "--", "sh", "-c", ask]);
    let Output { status, stdout, stderr } = command.current_dir(ROOT).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.code() == Some(6) {
        return skip(&format!("coturn's judgement of {nat}: {errors}"));
    }
    let (first, second) =
        said.split_once("Filtering Behavior Discovery").unwrap_or_else(|| panic!("{said}\n{errors}"));
    assert_eq!(mapping_of(first), mapping, "{said}");
    let words = match filtering {
        EI => "NAT with Endpoint Independent Filtering!",
        AD => "NAT with Address Dependent Filtering!",
        _ => "NAT with Address and Port Dependent Filtering!",
    };
    assert!(second.contains(words), "{words} is not in {second}");
}

/// Past the test harness, which shows nothing of tests that pass.
fn skip(what: &str) {
    let mut loud = std::io::stderr();
    writeln!(loud, "skipped: {what}").unwrap();
}

/// From what each place saw of coturn's socket. Its own words tell address-dependent from address-and-port-dependent
/// only with servers whose OTHER-ADDRESS is the same in every answer: its third question goes to the other address of
/// the second answer, which by RFC 5780 section 7.4 is the first address again, with the other port.
fn mapping_of(said: &str) -> &'static str {
    let after = |marker: &str| -> Vec<&str> {
        said.lines().filter_map(|line| Some(line.split_once(marker)?.1.trim())).collect()
    };
    let seen = after("UDP reflexive addr:");
    let mut origins = after("Response origin:");
    // The first is told twice by some versions.
    origins.dedup();
    if said.contains("NAT with Endpoint Independent Mapping!") || said.contains("No NAT!") {
        assert!(seen.iter().all(|at| at == &seen[0]), "{said}");
        return EI;
    }
    let ([first, second, third], [at, elsewhere, again]) = (&seen[..], &origins[..]) else {
        panic!("three questions: {said}")
    };
    let address = |endpoint: &str| endpoint.rsplit_once(':').unwrap().0.to_owned();
    assert_ne!(address(at), address(elsewhere));
    assert_eq!(address(at), address(again), "the address of the first question");
    assert_ne!(first, second, "{said}");
    if first == third { AD } else { APD }
}
