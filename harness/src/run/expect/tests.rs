//! A good session, and each piece of its evidence taken away in turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use netns::nat::Preset::{self, FullCone, Open, PortRestricted, Symmetric};
use rstest::rstest;

use super::*;
use crate::peer::control::event::{CheckedPair, IceState, PairState};
use crate::run::observed::TransferSeen;
use crate::scenario::{Attached, NatChoice, Pair, Peer, Scenario, Transfer, Wanted, cases};

const SIZE: u64 = 1024;

#[test]
fn with_all_of_its_evidence_no_path_is_as_expected() {
    assert_eq!(judge(&case(Symmetric, Symmetric, Wanted::default()), &apart()), Outcome::Pass);
}

#[rstest]
#[case::nothing_seen_of_bob(|seen: &mut Observed| drop(seen.peers.remove("bob")), Stage::Peer, "nothing was seen of bob")]
#[case::no_session(|seen: &mut Observed| alice(seen).sessions.clear(), Stage::Discovery, "alice never discovered bob")]
#[case::not_discovered(|seen: &mut Observed| towards(seen, "bob").discovered_us = None, Stage::Discovery, "bob never discovered alice")]
#[case::discovered_late(|seen: &mut Observed| towards(seen, "bob").discovered_us = Some(5_000_001), Stage::Discovery, "not within 5s")]
#[case::no_offer(|seen: &mut Observed| towards(seen, "bob").offer_us = None, Stage::Signaling, "alice's offer never reached bob")]
#[case::no_answer(|seen: &mut Observed| towards(seen, "alice").answer_us = None, Stage::Signaling, "bob's answer never reached alice")]
#[case::no_candidates(|seen: &mut Observed| towards(seen, "bob").remote.clear(), Stage::Signaling, "bob got no candidate of alice")]
#[case::a_candidate_lost(
    |seen: &mut Observed| drop(towards(seen, "bob").remote.pop()), Stage::Signaling, "alice's candidate 198.18.0.2:4001 never reached bob"
)]
#[case::no_srflx(
    |seen: &mut Observed| drop(towards(seen, "alice").local.pop()), Stage::Gathering, "alice gathered no server-reflexive candidate"
)]
#[case::a_wrong_srflx(
    |seen: &mut Observed| {
        towards(seen, "alice").local[1].address = "198.18.0.9".to_owned();
        towards(seen, "bob").remote[1].address = "198.18.0.9".to_owned();
    },
    Stage::Gathering,
    "alice gathered the server-reflexive address 198.18.0.9, but its router's outside address is 198.18.0.2"
)]
#[case::outside_unknown(
    |seen: &mut Observed| alice(seen).outside = None, Stage::Gathering, "its router's outside address is not known"
)]
#[case::no_check(|seen: &mut Observed| drop(towards(seen, "bob").checks.pop()), Stage::Ice, "bob sent no check to 198.18.0.2:4001")]
#[case::a_check_never_sent(
    |seen: &mut Observed| towards(seen, "alice").checks[0].requests_sent = 0, Stage::Ice, "alice sent no check to 10.1.0.3:4000"
)]
#[case::a_check_answered(
    |seen: &mut Observed| towards(seen, "alice").checks[1].responses_received = 1,
    Stage::Ice,
    "a check of alice to 198.18.0.3:4001 was answered"
)]
#[case::nothing_dropped(
    |seen: &mut Observed| alice(seen).filtered = Some(0), Stage::Ice, "the router of alice dropped nothing"
)]
#[case::drops_not_counted(
    |seen: &mut Observed| alice(seen).filtered = None, Stage::Ice, "nobody counted what the router of alice dropped"
)]
#[case::still_checking(
    |seen: &mut Observed| towards(seen, "bob").ice.truncate(1), Stage::Ice, "ICE of bob did not fail"
)]
#[case::connected_for_a_while(
    |seen: &mut Observed| towards(seen, "bob").ice.insert(1, (9, IceState::Connected)), Stage::Ice, "ICE of bob was connected for a while"
)]
#[case::open_at_one_end(
    |seen: &mut Observed| towards(seen, "bob").open_us = Some(9), Stage::Ice, "the channel of bob opened"
)]
fn no_path_without_one_piece_of_its_evidence_fails_where_it_is_missing(
    #[case] take_away: fn(&mut Observed),
    #[case] stage: Stage,
    #[case] words: &str,
) {
    let mut seen = apart();
    take_away(&mut seen);
    assert_fails(&judge(&case(Symmetric, Symmetric, Wanted::default()), &seen), stage, words);
}

#[test]
fn no_path_between_two_public_peers_is_never_believed() {
    let wanted = Wanted { path: Some(Path::None), ..Wanted::default() };
    let outcome = judge(&case(Open, Open, wanted), &apart());
    assert_fails(&outcome, Stage::Ice, "no router stands between the two");
}

#[test]
fn a_router_that_admits_everybody_drops_nothing_and_shows_the_checks_that_came_instead() {
    let wanted = Wanted { path: Some(Path::None), ..Wanted::default() };
    let case = case(FullCone, Symmetric, wanted);
    let mut seen = apart();
    alice(&mut seen).filtered = Some(0);
    let words = "the router of alice admits everybody, and no check of bob came";
    assert_fails(&judge(&case, &seen), Stage::Ice, words);
    towards(&mut seen, "alice").checks[1].requests_received = 1;
    assert_eq!(judge(&case, &seen), Outcome::Pass);
}

#[test]
fn who_lets_no_udp_out_has_refused_some_and_nothing_need_come_to_the_other() {
    let case = case(Preset::UdpBlocked, PortRestricted, Wanted::default());
    let mut seen = apart();
    // Nobody could answer alice, and nothing of hers came to bob.
    drop(towards(&mut seen, "alice").local.pop());
    drop(towards(&mut seen, "bob").remote.pop());
    seen.peers.get_mut("bob").unwrap().filtered = Some(0);
    assert_fails(&judge(&case, &seen), Stage::Ice, "the router of alice refused nothing");
    alice(&mut seen).refused = Some(96);
    assert_eq!(judge(&case, &seen), Outcome::Pass);
}

#[test]
fn two_without_a_common_family_have_nothing_to_check_and_nothing_to_drop() {
    let wanted = Wanted { path: Some(Path::None), ..Wanted::default() };
    let case = case(Preset::Firewall, Preset::Firewall, wanted);
    let mut seen = apart();
    for peer in ["alice", "bob"] {
        let six = peer == "alice";
        let session = towards(&mut seen, peer);
        session.checks.clear();
        let (own, other) = (&mut session.local, &mut session.remote);
        for candidate in if six { own } else { other } {
            candidate.address = format!("2001:db8::{}", candidate.port);
        }
    }
    alice(&mut seen).filtered = Some(0);
    assert_eq!(judge(&case, &seen), Outcome::Pass);
}

#[test]
fn behind_a_firewall_there_is_no_server_reflexive_candidate_to_ask_for() {
    let case = case(Preset::Firewall, FullCone, Wanted::default());
    let mut seen = together();
    drop(towards(&mut seen, "alice").local.pop());
    assert_eq!(judge(&case, &seen), Outcome::Pass);
}

#[rstest]
fn what_comes_of_a_race_is_never_judged_but_what_comes_before_it_is(
    #[values(apart(), together())] seen: Observed,
) {
    let mut case = case(PortRestricted, PortRestricted, Wanted::default());
    case.sessions[0].expect.race = true;
    assert_eq!(judge(&case, &seen), Outcome::Pass);
    let mut undiscovered = seen;
    towards(&mut undiscovered, "bob").discovered_us = None;
    assert_fails(&judge(&case, &undiscovered), Stage::Discovery, "bob never discovered alice");
}

#[test]
fn an_unexpected_success_fails() {
    let outcome = judge(&case(Symmetric, Symmetric, Wanted::default()), &together());
    assert_fails(
        &outcome,
        Stage::Ice,
        "expected no path, found a direct one via srflx: an unexpected success",
    );
}

#[test]
fn two_that_met_and_sent_their_file_are_as_expected() {
    let case = case(FullCone, PortRestricted, Wanted::default());
    let seen = together();
    assert_eq!(judge(&case, &seen), Outcome::Pass);
    assert!(succeeded(&case, &seen, &case.sessions[0]));
}

#[rstest]
#[case::alice_is_not_open(|seen: &mut Observed| towards(seen, "alice").open_us = None, Stage::Ice, "expected a direct path, found none")]
#[case::bob_selected_nothing(
    |seen: &mut Observed| towards(seen, "bob").selected = None, Stage::Ice, "found none: bob never told which pair of candidates it uses"
)]
#[case::too_late(
    |seen: &mut Observed| towards(seen, "bob").open_us = Some(10_000_001), Stage::Channel, "connected after 10.000 s, not within 10s"
)]
#[case::discovered_late(|seen: &mut Observed| towards(seen, "bob").discovered_us = Some(6_000_000), Stage::Discovery, "after 6.000 s")]
#[case::no_srflx(|seen: &mut Observed| drop(towards(seen, "bob").local.pop()), Stage::Gathering, "bob gathered no server-reflexive")]
#[case::another_via(
    |seen: &mut Observed| select(seen, Kind::Host, Kind::Host), Stage::Ice, "expected a path via srflx or prflx, found one via host"
)]
#[case::relayed(|seen: &mut Observed| select(seen, Kind::Srflx, Kind::Relay), Stage::Ice, "expected a direct path, found a relayed one")]
#[case::hash_differs(
    |seen: &mut Observed| file(seen).received = Some((SIZE, "beef".repeat(16))), Stage::File, "SHA-256 cafecafecafe.. was sent, beefbeefbeef.. arrived"
)]
#[case::bytes_short(
    |seen: &mut Observed| file(seen).received = Some((SIZE - 1, "cafe".repeat(16))), Stage::Transfer, "arrived with 1023 of 1024 bytes"
)]
#[case::bytes_over(
    |seen: &mut Observed| file(seen).received = Some((SIZE + 1, "cafe".repeat(16))), Stage::Transfer, "arrived with 1025 of 1024 bytes"
)]
#[case::nothing_arrived(
    |seen: &mut Observed| *file(seen) = TransferSeen { moved: 7, ..TransferSeen::default() }, Stage::Transfer, "did not arrive: 7 of 1024 bytes moved"
)]
#[case::nothing_known(|seen: &mut Observed| seen.transfers.clear(), Stage::Transfer, "did not arrive: 0 of 1024 bytes moved")]
#[case::never_said_what(|seen: &mut Observed| file(seen).sent = None, Stage::Transfer, "alice never said what it sent")]
#[case::not_acknowledged(|seen: &mut Observed| file(seen).acknowledged = false, Stage::Transfer, "alice never learned of it")]
fn a_meeting_without_one_piece_of_its_evidence_fails_where_it_is_missing(
    #[case] take_away: fn(&mut Observed),
    #[case] stage: Stage,
    #[case] words: &str,
) {
    let mut seen = together();
    take_away(&mut seen);
    assert_fails(&judge(&case(FullCone, PortRestricted, Wanted::default()), &seen), stage, words);
}

#[test]
fn the_most_indirect_of_the_four_candidates_tells_how_they_met() {
    let mut seen = together();
    select(&mut seen, Kind::Host, Kind::Host);
    // One of the four is enough.
    towards(&mut seen, "bob").selected.as_mut().unwrap().1.kind = Kind::Srflx;
    let only = |via| case(FullCone, PortRestricted, Wanted { via: vec![via], ..Wanted::default() });
    assert_eq!(judge(&only(CandidateType::ServerReflexive), &seen), Outcome::Pass);
    let outcome = judge(&only(CandidateType::Host), &seen);
    assert_fails(&outcome, Stage::Ice, "expected a path via host, found one via srflx");
}

#[test]
fn a_peer_that_died_leaves_no_verdict_whatever_else_was_seen() {
    for mut seen in [together(), apart()] {
        alice(&mut seen).died = Some("signal 11 (SIGSEGV)".to_owned());
        let outcome = judge(&case(FullCone, FullCone, Wanted::default()), &seen);
        let message = "the program of alice ended before the case did: signal 11 (SIGSEGV)".to_owned();
        assert_eq!(outcome, Outcome::Error { stage: Stage::Peer, message });
    }
}

#[test]
fn what_was_never_found_is_told_once_for_each_end_and_not_again_by_what_follows() {
    let case = case(Symmetric, Symmetric, Wanted::default());
    let Outcome::Fail { unmet } = judge(&case, &Observed::of(["alice", "bob"])) else { panic!("it fails") };
    let early: Vec<Stage> =
        unmet.iter().map(|unmet| unmet.stage).filter(|stage| *stage < Stage::Ice).collect();
    assert_eq!(early, [Stage::Discovery, Stage::Discovery]);
}

#[test]
fn a_failure_names_what_the_peer_said_of_it() {
    let mut seen = Observed::of(["alice", "bob"]);
    let failure =
        Failure { at_us: 1, stage: PeerStage::Signaling, partner: None, message: "refused".to_owned() };
    alice(&mut seen).errors.push(failure);
    let outcome = judge(&case(FullCone, FullCone, Wanted::default()), &seen);
    assert_fails(&outcome, Stage::Discovery, "alice never discovered bob: refused");
}

#[track_caller]
fn assert_fails(outcome: &Outcome, stage: Stage, words: &str) {
    let Outcome::Fail { unmet } = outcome else { panic!("not a fail: {outcome:?}") };
    assert_eq!(outcome.stage(), Some(stage), "{unmet:#?}");
    assert!(unmet.iter().any(|unmet| unmet.message.contains(words)), "{words:?} is not in {unmet:#?}");
}

/// Alice sends bob a file.
fn case(alice: Preset, bob: Preset, wanted: Wanted) -> Case {
    let peer = |name: &str, preset: Preset| {
        let choice = NatChoice::from(preset);
        let attached =
            if choice.nat.is_some() { Attached::Own(choice) } else { Attached::Public(choice.family) };
        Peer { name: name.to_owned(), attached, start: Duration::ZERO }
    };
    let names = ("alice".to_owned(), "bob".to_owned());
    let scenario = Scenario {
        name: "pair".to_owned(),
        why: None,
        tags: Vec::new(),
        file: PathBuf::from("pair.yaml"),
        source: "".into(),
        networks: Vec::new(),
        peers: vec![peer("alice", alice), peer("bob", bob)],
        axes: Vec::new(),
        transfers: vec![Transfer { from: names.0.clone(), to: names.1.clone(), size: SIZE }],
        pairs: vec![Pair { offerer: names.0, answerer: names.1, wanted, line: 1 }],
        steps: Vec::new(),
        repeat: 1,
        seed: None,
        patience: Duration::from_secs(5),
        broken: None,
        selected: Vec::new(),
    };
    cases(&Arc::new(scenario), 1, None).remove(0)
}

/// Two behind routers that found each other, tried everything and gave up.
fn apart() -> Observed {
    let mut seen = Observed::of(["alice", "bob"]);
    for (peer, own, partner, other) in [("alice", 2, "bob", 3), ("bob", 3, "alice", 2)] {
        let session = SessionSeen {
            discovered_us: Some(1_000),
            offer_us: Some(2_000),
            answer_us: Some(3_000),
            gathered_us: Some(4_000),
            local: candidates(own).to_vec(),
            remote: candidates(other).to_vec(),
            ice: vec![(4_000, IceState::Checking), (5_000_000, IceState::Failed)],
            checks: candidates(other).map(|remote| unanswered(candidates(own)[0].clone(), remote)).to_vec(),
            ..SessionSeen::default()
        };
        let seen = seen.peers.get_mut(peer).unwrap();
        seen.outside = Some(format!("198.18.0.{own}"));
        (seen.filtered, seen.refused) = (Some(96), Some(0));
        seen.sessions.insert(partner.to_owned(), session);
    }
    seen
}

/// The same two, met, and the file moved.
fn together() -> Observed {
    let mut seen = apart();
    for peer in ["alice", "bob"] {
        let session = towards(&mut seen, peer);
        session.ice = vec![(4_000, IceState::Checking), (5_000, IceState::Connected)];
        session.open_us = Some(6_000);
        session.selected = Some((session.local[1].clone(), session.remote[1].clone()));
    }
    let hash = "cafe".repeat(16);
    let moved = TransferSeen {
        moved: SIZE,
        sent: Some((SIZE, hash.clone())),
        received: Some((SIZE, hash)),
        seconds: Some(0.1),
        acknowledged: true,
    };
    seen.transfers.insert(0, moved);
    seen
}

fn candidates(host: u8) -> [Candidate; 2] {
    let candidate = |kind, address: String, port| Candidate {
        kind,
        protocol: "udp".to_owned(),
        address,
        port,
        related_address: None,
        related_port: None,
    };
    [
        candidate(Kind::Host, format!("10.1.0.{host}"), 4000),
        candidate(Kind::Srflx, format!("198.18.0.{host}"), 4001),
    ]
}

fn unanswered(local: Candidate, remote: Candidate) -> CheckedPair {
    CheckedPair {
        local,
        remote,
        state: PairState::Failed,
        nominated: false,
        requests_sent: 96,
        responses_received: 0,
        requests_received: 0,
        responses_sent: 0,
        send_errors: 0,
        round_trip_us: None,
    }
}

fn alice(seen: &mut Observed) -> &mut PeerSeen {
    seen.peers.get_mut("alice").unwrap()
}

/// What `peer` saw of the other.
fn towards<'a>(seen: &'a mut Observed, peer: &str) -> &'a mut SessionSeen {
    seen.peers.get_mut(peer).unwrap().sessions.values_mut().next().unwrap()
}

fn select(seen: &mut Observed, own: Kind, other: Kind) {
    for peer in ["alice", "bob"] {
        let (local, remote) = towards(seen, peer).selected.as_mut().unwrap();
        (local.kind, remote.kind) = (own, other);
    }
}

fn file(seen: &mut Observed) -> &mut TransferSeen {
    seen.transfers.get_mut(&0).unwrap()
}
