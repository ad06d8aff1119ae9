//! What works.

use std::time::Duration;

use harness::peer::control::event::{
    CandidateType, ChannelState, CheckedPair, Event, IceState, PairState, Report, Side, SignalKind,
};
use harness::peer::control::{Role, SessionPlan, Start};
use rstest::rstest;

use crate::process::{Peer, pair, task, transfer};
use crate::relay::Relay;

#[tokio::test]
async fn files_pass_in_both_directions_and_are_acknowledged_with_their_hash() {
    let relay = Relay::start().await;
    let transfers = [
        transfer(0, "alice", "bob", 3_000_001),
        transfer(1, "bob", "alice", 100_000),
        transfer(2, "alice", "bob", 0),
    ];
    let (alice, bob) = pair(&relay.url(), &transfers);
    let (mut alice, mut bob) = (Peer::start(&alice).await, Peer::start(&bob).await);
    let last = |event: &Event| matches!(event, Event::Acknowledged { transfer: 2, .. });
    alice.until("the last ack", last).await;
    bob.until("the last file", |event| matches!(event, Event::Received { transfer: 2, .. })).await;
    let (alice, bob) = (alice.stop().await, bob.stop().await);
    for (sender, receiver, plan) in [(&alice, &bob, 0), (&bob, &alice, 1), (&alice, &bob, 2)] {
        let (sent, received) = (sent(sender, plan), received(receiver, plan));
        assert_eq!(sent.0, transfers[plan as usize].size);
        assert_eq!(received, (sent.0, sent.1.clone(), sent.1.clone()));
        let acknowledged = Event::Acknowledged { transfer: plan, sha256: sent.1 };
        assert!(sender.iter().any(|report| report.event == acknowledged));
    }
    for reports in [&alice, &bob] {
        assert_in_order(reports);
        assert!(errors(reports).is_empty(), "{:?}", errors(reports));
    }
}

#[tokio::test]
async fn a_flipped_byte_is_seen_as_another_hash() {
    let relay = Relay::start().await;
    let mut plan = transfer(0, "alice", "bob", 100_000);
    plan.flip_byte = true;
    let (alice, bob) = pair(&relay.url(), &[plan]);
    let (mut alice, mut bob) = (Peer::start(&alice).await, Peer::start(&bob).await);
    bob.until("the file", |event| matches!(event, Event::Received { .. })).await;
    alice.until("the ack", |event| matches!(event, Event::Acknowledged { .. })).await;
    let (bytes, sha256, expected) = received(&bob.reports, 0);
    assert_eq!(bytes, 100_000);
    assert_eq!(expected, sent(&alice.reports, 0).1);
    assert_ne!(sha256, expected);
}

#[rstest]
#[case::both_everywhere(&["127.0.0.1", "::1"], &["127.0.0.1", "::1"], "::1")]
#[case::the_offerer_has_ipv4_only(&["127.0.0.1"], &["127.0.0.1", "::1"], "127.0.0.1")]
#[case::the_answerer_has_ipv4_only(&["::1", "127.0.0.1"], &["127.0.0.1"], "127.0.0.1")]
#[case::the_offerer_has_ipv6_only(&["::1"], &["127.0.0.1", "::1"], "::1")]
#[case::ipv6_alone(&["::1"], &["::1"], "::1")]
#[tokio::test]
async fn peers_meet_in_an_address_family_that_both_have(
    #[case] alices: &[&str],
    #[case] bobs: &[&str],
    #[case] met: &str,
) {
    let relay = Relay::start_at("[::1]:0").await;
    let (alice, bob) = pair(&relay.url(), &[transfer(0, "alice", "bob", 300_000)]);
    let at = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
    let (alice, bob) = (Start { addresses: at(alices), ..alice }, Start { addresses: at(bobs), ..bob });
    let (mut alice, mut bob) = (Peer::start(&alice).await, Peer::start(&bob).await);
    alice.until("the ack", |event| matches!(event, Event::Acknowledged { .. })).await;
    bob.until("the file", |event| matches!(event, Event::Received { .. })).await;
    for (peer, own) in [(alice, alices), (bob, bobs)] {
        let reports = peer.stop().await;
        assert!(errors(&reports).is_empty());
        let selected = reports.iter().rev().find_map(|report| match &report.event {
            Event::Selected { local, remote, .. } => Some([local.clone(), remote.clone()]),
            _ => None,
        });
        for candidate in selected.unwrap() {
            // Where one end was told another address for its checks than they came from, it would be peer-reflexive.
            assert_eq!((candidate.kind, candidate.address.as_str()), (CandidateType::Host, met));
        }
        let gathered = reports.iter().filter_map(|report| match &report.event {
            Event::Candidate { side: Side::Local, candidate, .. } => Some(candidate.address.as_str()),
            _ => None,
        });
        let (mut gathered, mut own) = (gathered.collect::<Vec<_>>(), own.to_vec());
        gathered.sort_unstable();
        own.sort_unstable();
        assert_eq!(gathered, own);
    }
}

#[tokio::test]
async fn a_server_that_comes_late_is_found_when_it_is_there() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (alice, bob) = pair(&format!("ws://{free}"), &[]);
    let (mut alice, mut bob) = (Peer::start(&alice).await, Peer::start(&bob).await);
    // Long after both have been refused for the first time.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(alice.reports.iter().all(|report| matches!(report.event, Event::Ready { .. })));
    let _relay = Relay::start_at(&free.to_string()).await;
    for peer in [&mut alice, &mut bob] {
        peer.until("an open channel", |event| matches!(event, Event::Channel { .. })).await;
    }
    assert!(errors(&alice.stop().await).is_empty() && errors(&bob.stop().await).is_empty());
}

#[rstest]
#[case::the_answerer_starts_late(0, 2_000, 0)]
#[case::the_offerer_starts_late(2_000, 0, 0)]
#[case::all_frames_are_held_back_on_both_sides(0, 0, 2_000)]
#[tokio::test]
async fn it_connects_however_late_the_signaling_is(
    #[case] alice_ms: u64,
    #[case] bob_ms: u64,
    #[case] hold_signaling_ms: u64,
) {
    let relay = Relay::start().await;
    let (alice, bob) = pair(&relay.url(), &[transfer(0, "alice", "bob", 10)]);
    let late = async |task: Start, late_ms| {
        tokio::time::sleep(Duration::from_millis(late_ms)).await;
        let mut peer = Peer::start(&Start { hold_signaling_ms, ..task }).await;
        peer.until("an open channel", |event| matches!(event, Event::Channel { .. })).await;
        peer
    };
    let (mut alice, mut bob) = tokio::join!(late(alice, alice_ms), late(bob, bob_ms));
    bob.until("the file", |event| matches!(event, Event::Received { .. })).await;
    alice.until("the ack", |event| matches!(event, Event::Acknowledged { .. })).await;
    let (alice, bob) = (alice.stop().await, bob.stop().await);
    assert!(errors(&alice).is_empty() && errors(&bob).is_empty());
}

#[tokio::test]
async fn the_checks_are_evidence_of_what_was_sent_and_answered() {
    let relay = Relay::start().await;
    let (alice, bob) = pair(&relay.url(), &[]);
    let (mut alice, mut bob) = (Peer::start(&alice).await, Peer::start(&bob).await);
    for peer in [&mut alice, &mut bob] {
        peer.until("an open channel", open).await;
    }
    for reports in [alice.stop().await, bob.stop().await] {
        let pairs = last_checks(&reports);
        let [pair] = &pairs[..] else { panic!("{pairs:#?}") };
        assert!(pair.requests_sent > 0 && pair.responses_received > 0, "{pair:?}");
        assert!(pair.requests_received > 0 && pair.responses_sent > 0, "{pair:?}");
        assert_eq!((pair.state, pair.nominated, pair.send_errors), (PairState::Succeeded, true, 0));
        let selected = reports.iter().find_map(|report| match &report.event {
            Event::Selected { local, remote, .. } => Some((local.clone(), remote.clone())),
            _ => None,
        });
        let (local, remote) = selected.unwrap();
        assert_eq!((&local, &remote), (&pair.local, &pair.remote));
        assert_eq!(local.kind, CandidateType::Host);
    }
}

#[tokio::test]
async fn one_peer_connects_to_several_at_the_same_time() {
    let relay = Relay::start().await;
    let names = ["bob", "carol", "dave"];
    let transfers: Vec<_> = (0..).zip(names).map(|(n, name)| transfer(n, "alice", name, 200_000)).collect();
    let sessions = names.map(|name| SessionPlan { with: name.to_owned(), role: Role::Offer }).to_vec();
    let alice = Start { sessions, transfers: transfers.clone(), ..task("alice", &relay.url()) };
    let mut alice = Peer::start(&alice).await;
    let mut others = Vec::new();
    for name in names {
        let sessions = vec![SessionPlan { with: "alice".to_owned(), role: Role::Answer }];
        let other = Start { sessions, transfers: transfers.clone(), ..task(name, &relay.url()) };
        others.push(Peer::start(&other).await);
    }
    for (number, other) in (0..).zip(&mut others) {
        other.until("its file", |event| matches!(event, Event::Received { .. })).await;
        let (_, sha256, expected) = received(&other.reports, number);
        assert_eq!(sha256, expected);
    }
    for _ in names {
        alice.until("an ack", |event| matches!(event, Event::Acknowledged { .. })).await;
    }
}

#[tokio::test]
async fn a_partner_that_stops_says_bye_and_the_other_is_left_without_an_error() {
    let relay = Relay::start().await;
    let (alice, bob) = pair(&relay.url(), &[]);
    let (mut alice, mut bob) = (Peer::start(&alice).await, Peer::start(&bob).await);
    for peer in [&mut alice, &mut bob] {
        peer.until("an open channel", open).await;
    }
    alice.stop().await;
    let closed = |event: &Event| matches!(event, Event::Channel { state: ChannelState::Closed, .. });
    bob.until("a closed channel", closed).await;
    let bob = bob.stop().await;
    let bye = |report: &Report| matches!(report.event, Event::Signal { kind: SignalKind::Bye, .. });
    assert!(bob.iter().any(bye));
    assert!(errors(&bob).is_empty(), "{:?}", errors(&bob));
}

fn open(event: &Event) -> bool {
    matches!(event, Event::Channel { state: ChannelState::Open, .. })
}

fn sent(reports: &[Report], number: u32) -> (u64, String) {
    let found = reports.iter().find_map(|report| match &report.event {
        Event::Sent { transfer, bytes, sha256, .. } if *transfer == number => Some((*bytes, sha256.clone())),
        _ => None,
    });
    found.unwrap()
}

fn received(reports: &[Report], number: u32) -> (u64, String, String) {
    let found = reports.iter().find_map(|report| match &report.event {
        Event::Received { transfer, bytes, sha256, expected_sha256, .. } if *transfer == number => {
            Some((*bytes, sha256.clone(), expected_sha256.clone()))
        }
        _ => None,
    });
    found.unwrap()
}

fn errors(reports: &[Report]) -> Vec<&Event> {
    reports.iter().map(|report| &report.event).filter(|event| matches!(event, Event::Error { .. })).collect()
}

fn last_checks(reports: &[Report]) -> Vec<CheckedPair> {
    let found = reports.iter().rev().find_map(|report| match &report.event {
        Event::Checks { pairs, .. } => Some(pairs.clone()),
        _ => None,
    });
    found.unwrap()
}

/// Time never runs back, and each step of a session comes after the one before.
fn assert_in_order(reports: &[Report]) {
    assert!(reports.is_sorted_by_key(|report| report.at_us));
    let steps: [fn(&Event) -> bool; 8] = [
        |event| matches!(event, Event::Ready { .. }),
        |event| matches!(event, Event::Registered { .. }),
        |event| matches!(event, Event::Discovered { .. }),
        |event| matches!(event, Event::Socket { receive_buffer, .. } if *receive_buffer > 0),
        |event| matches!(event, Event::Ice { state: IceState::Checking, .. }),
        |event| matches!(event, Event::Ice { state: IceState::Connected, .. }),
        open,
        |event| matches!(event, Event::Finished { peak_rss_kib } if *peak_rss_kib > 0),
    ];
    let mut reports = reports.iter();
    for (number, step) in steps.iter().enumerate() {
        assert!(reports.any(|report| step(&report.event)), "step {number} is missing or came too early");
    }
}
