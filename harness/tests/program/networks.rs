//! Networks, layers, portals and address families, from the file to the report: what was measured, which path there
//! was, and what was refused.

use std::fs;

use harness::report::Row;
use harness::run::outcome::{Outcome, Stage};

use super::natlab::Natlab;

#[test]
fn two_peers_on_one_lan_meet_without_their_router() {
    let text = "
name: lan
networks: { home: { nat: port-restricted } }
peers: { alice: { lan: home }, bob: { lan: home } }
transfer: { from: alice, to: bob, size: 64 KiB }
";
    let Some((row, _)) = run(text) else { return };
    assert_eq!(row.outcome, Outcome::Pass);
    assert_eq!((row.sessions[0].path.as_str(), row.sessions[0].via.as_deref()), ("lan", Some("host")));
    assert!(row.success);
}

#[test]
fn every_router_is_measured_alone_and_every_peer_through_all_its_layers() {
    let text = "
name: layers
networks:
  carrier: { nat: full-cone, inside: 10.0.0.0/24 }
  home: { nat: port-restricted, uplink: carrier, inside: 10.0.0.0/24 }
  office: { nat: symmetric, uplink: carrier }
peers: { alice: { lan: home }, bob: { lan: office }, carol: { nat: full-cone } }
transfer:
  - { from: alice, to: carol, size: 64 KiB }
  - { from: bob, to: carol, size: 64 KiB }
";
    let Some((row, events)) = run(text) else { return };
    assert_eq!(row.outcome, Outcome::Pass);
    let measured = |node: &str| -> Vec<String> {
        let of = |event: &serde_json::Value| event["event"] == "measured" && event["node"] == node;
        events.iter().filter(|event| of(event)).map(|event| event["measured"].to_string()).collect()
    };
    for (node, mapping, filtering) in [
        ("carrier", "endpoint-independent mapping", "endpoint-independent filtering"),
        ("home", "endpoint-independent mapping", "address-and-port-dependent filtering"),
        ("office", "address-and-port-dependent mapping", "address-and-port-dependent filtering"),
        ("alice", "endpoint-independent mapping", "address-and-port-dependent filtering"),
        ("bob", "address-and-port-dependent mapping", "address-and-port-dependent filtering"),
    ] {
        let [words] = &measured(node)[..] else { panic!("{node} was measured once: {:?}", measured(node)) };
        assert!(words.contains(mapping) && words.contains(filtering), "{node}: {words}");
    }
    let outside = |peer: &str| row.observed.peers[peer].outside.clone();
    assert_eq!(outside("alice"), outside("bob"), "the world sees the carrier's address");
    let vias: Vec<_> = row.sessions.iter().map(|session| session.via.as_deref()).collect();
    assert_eq!(vias[1], Some("prflx"), "{vias:?}");
}

#[test]
fn an_inner_router_that_is_not_what_it_is_called_is_found_although_the_outer_one_hides_it() {
    let text = "
name: hidden-lie
networks:
  carrier: { nat: symmetric }
  home: { nat: full-cone, uplink: carrier }
peers: { alice: { lan: home }, bob: { nat: full-cone } }
transfer: { from: alice, to: bob, size: 1 KiB }
break: { lie: { home: symmetric } }
";
    let Some((row, _)) = run(text) else { return };
    let Outcome::Error { stage: Stage::Nat, message } = &row.outcome else { panic!("{:?}", row.outcome) };
    assert!(message.contains("full-cone of home is not what it is called"), "{message}");
}

#[test]
fn every_router_has_its_mapping_table_and_two_homes_of_a_carrier_meet_by_its_hairpin() {
    let text = "
name: hairpin
networks:
  carrier: { nat: cgnat }
  home: { nat: full-cone, uplink: carrier }
  office: { nat: port-restricted, uplink: carrier }
peers: { alice: { lan: home }, bob: { lan: office } }
transfer: { from: alice, to: bob, size: 64 KiB }
";
    let Some(natlab) = Natlab::with_labs() else { return };
    let done = natlab.run(&[natlab.file("hairpin.yaml", text)]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let row = natlab.row();
    assert_eq!(row.sessions[0].path, "direct");
    for router in ["carrier", "home", "office"] {
        let file = natlab.out().join("latest").join(&row.folder).join(format!("{router}.mappings.txt"));
        assert!(fs::read_to_string(&file).unwrap().contains("udp"), "{}", file.display());
    }
}

#[test]
fn who_may_only_browse_is_discovered_at_port_443_and_has_no_path() {
    let text = "
name: browsers
peers: { alice: { nat: https-only }, bob: { nat: udp-blocked }, carol: { nat: full-cone } }
patience: 2s
transfer:
  - { from: alice, to: carol, size: 1 KiB }
  - { from: bob, to: carol, size: 1 KiB }
";
    let Some((row, events)) = run(text) else { return };
    assert_eq!(row.outcome, Outcome::Pass);
    assert!(row.sessions.iter().all(|session| session.path == "none"));
    let alice = &row.observed.peers["alice"];
    let measured = alice.measured.as_deref().unwrap();
    assert!(measured.starts_with("UDP refused"), "{measured}");
    assert!(measured.contains(":9000 refused") && measured.contains(":443 connected"), "{measured}");
    assert!(alice.refused > Some(0) && alice.sessions["carol"].discovered_us.is_some());
    assert!(alice.sessions["carol"].server_reflexive().next().is_none());
    let listening =
        events.iter().filter(|event| event["event"] == "listening" && event["node"] == "signaling");
    assert_eq!(listening.count(), 2);
}

#[test]
fn a_portal_is_closed_until_somebody_logs_in_and_then_its_guests_connect() {
    let text = "
name: hotel
networks: { hotel: { nat: captive-portal } }
peers: { alice: { lan: hotel }, bob: { nat: full-cone } }
transfer: { from: alice, to: bob, size: 64 KiB }
steps: [{ after: 1500ms, log-in: hotel }]
";
    let Some((row, events)) = run(text) else { return };
    assert_eq!(row.outcome, Outcome::Pass);
    let of_hotel = events.iter().filter(|event| event["event"] == "measured" && event["node"] == "hotel");
    let closed: Vec<&serde_json::Value> = of_hotel.collect();
    assert!(closed[0]["measured"].as_str().unwrap().starts_with("UDP refused"), "{closed:?}");
    let login = row.observed.steps[&0];
    let alice = &row.observed.peers["alice"];
    assert!(login >= 1_500_000, "{login}");
    assert!(alice.registered_us.unwrap() > login, "before it is closed");
    assert!(alice.refused > Some(0), "she had knocked");
    assert!(alice.measured.as_deref().unwrap().contains("mapping"), "behind the open portal there is a NAT");
}

#[test]
fn address_families_meet_where_they_have_one_in_common() {
    let text = "
name: families
peers:
  alice: { nat: { preset: firewall, family: ipv6 } }
  bob: { nat: { preset: symmetric, family: dual } }
  carol: { nat: { preset: open, family: dual } }
  dave: { nat: full-cone }
patience: 2s
transfer:
  - { from: alice, to: bob, size: 64 KiB }
  - { from: carol, to: alice, size: 64 KiB }
  - { from: bob, to: dave, size: 64 KiB }
  - { from: dave, to: alice, size: 64 KiB }
";
    let Some((row, _)) = run(text) else { return };
    assert_eq!(row.outcome, Outcome::Pass);
    let found: Vec<_> =
        row.sessions.iter().map(|session| (session.path.as_str(), session.via.as_deref())).collect();
    let direct = |via| ("direct", Some(via));
    assert_eq!(found, [direct("host"), direct("host"), direct("prflx"), ("none", None)]);
    let measured = |peer: &str| row.observed.peers[peer].measured.clone().unwrap();
    assert_eq!(measured("alice"), "IPv6 not translated, filtered");
    assert!(measured("bob").ends_with("IPv6 not translated, filtered"), "{}", measured("bob"));
    assert!(measured("carol").ends_with("IPv6 not translated, not filtered"), "{}", measured("carol"));
    let (own, other) = row.observed.session("alice", "bob").and_then(|seen| seen.selected.as_ref()).unwrap();
    assert!(own.address.contains(':') && other.address.contains(':'));
}

/// The only case of a scenario, and its events; `None` where there are no labs.
pub(super) fn run(text: &str) -> Option<(Row, Vec<serde_json::Value>)> {
    let natlab = Natlab::with_labs()?;
    let file = natlab.file("case.yaml", text);
    let done = natlab.run(&[file.as_os_str(), "--allow-break".as_ref()]);
    assert!(done.code.is_some_and(|code| [0, 1, 6].contains(&code)), "{done:?}");
    let row = natlab.row();
    let events = natlab.out().join("latest").join(&row.folder).join("events.jsonl");
    let events = fs::read_to_string(events).unwrap();
    Some((row, events.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
}
