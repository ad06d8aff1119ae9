//! What fails, and how it is told.

use harness::peer::control::event::{ChannelState, Event, IceState, PairState, Stage};
use harness::peer::control::{Command, Role, SessionPlan, Start};
use serde_json::json;
use tokio::net::{TcpListener, UdpSocket};

use crate::process::{Peer, pair, task, transfer};
use crate::relay::Relay;

#[tokio::test]
async fn dead_signaling_is_an_error_of_signaling_whether_it_refuses_or_is_silent() {
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Long enough for the handshake to be given up.
    for (address, discovery_ms, words) in [
        (refusing, 300, "Connection refused"),
        (silent.local_addr().unwrap(), 2_500, "no answer to the handshake"),
    ] {
        let start = Start { discovery_ms, ..task("alice", &format!("ws://{address}")) };
        let mut peer = Peer::start(&start).await;
        let (stage, partner, message) = peer.error().await;
        assert_eq!((stage, partner), (Stage::Signaling, None), "{message}");
        assert!(message.contains(&address.to_string()) && message.contains(words), "{message}");
        peer.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_address_of_a_server_is_told_at_once() {
    for url in ["ws://localhost:9000", "wss://127.0.0.1:9000", "nonsense"] {
        let mut peer = Peer::start(&task("alice", url)).await;
        let (stage, _, message) = peer.error().await;
        assert_eq!(stage, Stage::Signaling);
        assert!(message.starts_with(&format!("{url} is no address of a signaling server")), "{message}");
    }
}

#[tokio::test]
async fn a_partner_that_is_never_listed_fails_the_discovery() {
    let relay = Relay::start().await;
    let (alice, _) = pair(&relay.url(), &[]);
    let mut alice = Peer::start(&Start { discovery_ms: 300, ..alice }).await;
    let (stage, partner, _) = alice.error().await;
    assert_eq!((stage, partner.as_deref()), (Stage::Discovery, Some("bob")));
}

#[tokio::test]
async fn a_partner_that_never_answers_fails_the_signaling() {
    let relay = Relay::start().await;
    let (alice, _) = pair(&relay.url(), &[]);
    let mut alice = Peer::start(&Start { patience_ms: 300, ..alice }).await;
    let _bob = Peer::start(&task("bob", &relay.url())).await;
    let (stage, partner, message) = alice.error().await;
    assert_eq!((stage, partner.as_deref()), (Stage::Signaling, Some("bob")), "{message}");
    alice.stop().await;
}

#[tokio::test]
async fn a_partner_that_never_offers_fails_the_signaling() {
    let relay = Relay::start().await;
    let (_, bob) = pair(&relay.url(), &[]);
    let mut bob = Peer::start(&Start { patience_ms: 300, ..bob }).await;
    let _alice = Peer::start(&task("alice", &relay.url())).await;
    let (stage, partner, message) = bob.error().await;
    assert_eq!((stage, partner.as_deref()), (Stage::Signaling, Some("alice")), "{message}");
}

#[tokio::test]
async fn without_a_path_both_ends_fail_in_ice() {
    let relay = Relay::start().await;
    let (alice, bob) = pair(&relay.url(), &[]);
    // From 127.0.0.1 nothing can be sent to ::1, and the other way round.
    let bob = Start { addresses: vec!["::1".parse().unwrap()], patience_ms: 1_000, ..bob };
    let (mut alice, mut bob) =
        (Peer::start(&Start { patience_ms: 1_000, ..alice }).await, Peer::start(&bob).await);
    for (peer, partner) in [(&mut alice, "bob"), (&mut bob, "alice")] {
        let (stage, with, message) = peer.error().await;
        assert_eq!((stage, with.as_deref()), (Stage::Ice, Some(partner)), "{message}");
        let failed = |event: &Event| matches!(event, Event::Ice { state: IceState::Failed, .. });
        assert!(peer.reports.iter().any(|report| failed(&report.event)));
    }
}

#[tokio::test]
async fn checks_into_a_hole_are_counted_and_their_pair_is_failed() {
    let relay = Relay::start().await;
    let hole = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (alice, _) = pair(&relay.url(), &[]);
    let mut alice = Peer::start(&Start { patience_ms: 1_000, ..alice }).await;
    let bob = answering_by_hand(
        &relay,
        &format!("candidate:1 1 udp 2130706431 127.0.0.1 {} typ host", hole.local_addr().unwrap().port()),
    )
    .await;
    let (stage, ..) = alice.error().await;
    assert_eq!(stage, Stage::Ice);
    bob.abort();
    let pairs = alice.reports.iter().rev().find_map(|report| match &report.event {
        Event::Checks { pairs, .. } => Some(pairs.clone()),
        _ => None,
    });
    let pairs = pairs.unwrap();
    assert_eq!(pairs.len(), 1, "{pairs:#?}");
    assert_eq!((pairs[0].state, pairs[0].responses_received), (PairState::Failed, 0));
    let mut came = 0;
    while hole.try_recv(&mut [0; 500]).is_ok() {
        came += 1;
    }
    assert_eq!(pairs[0].requests_sent, came, "what is counted is what was sent");
    assert!(came > 8, "the library gives a pair up after 8 checks; patience is what counts here");
}

#[tokio::test]
async fn a_killed_partner_is_noticed() {
    let relay = Relay::start().await;
    let (alice, bob) = pair(&relay.url(), &[]);
    let alice = Start { patience_ms: 1_000, ..alice };
    let (mut alice, mut bob) = (Peer::start(&alice).await, Peer::start(&bob).await);
    for peer in [&mut alice, &mut bob] {
        let open = |event: &Event| matches!(event, Event::Channel { state: ChannelState::Open, .. });
        peer.until("an open channel", open).await;
    }
    bob.kill().await;
    let disconnected = |event: &Event| matches!(event, Event::Ice { state: IceState::Disconnected, .. });
    alice.until("a path in trouble", disconnected).await;
    let (stage, partner, _) = alice.error().await;
    assert_eq!((stage, partner.as_deref()), (Stage::Ice, Some("bob")));
    let closed = |event: &Event| matches!(event, Event::Channel { state: ChannelState::Closed, .. });
    alice.until("a closed channel", closed).await;
}

#[tokio::test]
async fn a_partner_killed_in_the_middle_of_a_file_is_noticed_and_the_file_is_never_received() {
    let relay = Relay::start().await;
    let (alice, bob) = pair(&relay.url(), &[transfer(0, "alice", "bob", 1 << 40)]);
    let bob = Start { patience_ms: 1_000, ..bob };
    let (alice, mut bob) = (Peer::start(&alice).await, Peer::start(&bob).await);
    bob.until("progress", |event| matches!(event, Event::Progress { .. })).await;
    alice.kill().await;
    let (stage, ..) = bob.error().await;
    assert_eq!(stage, Stage::Ice);
    let bob = bob.stop().await;
    assert!(!bob.iter().any(|report| matches!(report.event, Event::Received { .. })));
}

#[tokio::test]
async fn two_that_are_connected_do_not_need_the_server_any_more_and_who_still_waits_does() {
    let relay = Relay::start().await;
    let (alice, bob) = pair(&relay.url(), &[transfer(0, "alice", "bob", 64 << 20)]);
    let mut alice = alice;
    alice.sessions.push(SessionPlan { with: "carol".to_owned(), role: Role::Offer });
    let (mut alice, mut bob) = (Peer::start(&alice).await, Peer::start(&bob).await);
    bob.until("progress", |event| matches!(event, Event::Progress { .. })).await;
    drop(relay);
    let (stage, partner, message) = alice.error().await;
    assert_eq!((stage, partner.as_deref()), (Stage::Signaling, Some("carol")), "{message}");
    assert!(message.contains("the connection is gone"), "{message}");
    let received = bob.until("the file", |event| matches!(event, Event::Received { .. })).await;
    let Event::Received { sha256, expected_sha256, .. } = received.event else { panic!() };
    assert_eq!(sha256, expected_sha256);
    alice.until("an acknowledgement", |event| matches!(event, Event::Acknowledged { .. })).await;
    let errors = |reports: Vec<harness::peer::control::event::Report>| {
        reports.into_iter().filter(|report| matches!(report.event, Event::Error { .. })).count()
    };
    assert_eq!((errors(alice.stop().await), errors(bob.stop().await)), (1, 0));
}

#[tokio::test]
async fn what_is_no_command_is_an_error_and_changes_nothing() {
    let relay = Relay::start().await;
    let mut peer = Peer::spawn().await;
    for line in ["nonsense", r#"{"cmd":"dance"}"#, r#"{"cmd":"start","protocol":1}"#] {
        peer.write(line).await;
        assert_eq!(peer.error().await.0, Stage::Control, "{line}");
    }
    let start = Start { protocol: 2, ..task("alice", &relay.url()) };
    peer.tell(&Command::Start(Box::new(start.clone()))).await;
    assert_eq!(peer.error().await.0, Stage::Control);
    peer.tell(&Command::Start(Box::new(Start { protocol: 1, ..start }))).await;
    peer.until("registration", |event| matches!(event, Event::Registered { .. })).await;
    peer.stop().await;
}

#[tokio::test]
async fn the_end_of_stdin_ends_a_peer_before_and_after_its_start() {
    Peer::spawn().await.leave().await;
    let relay = Relay::start().await;
    let sessions = vec![SessionPlan { with: "bob".to_owned(), role: Role::Offer }];
    let start = Start { sessions, hold_signaling_ms: 60_000, ..task("alice", &relay.url()) };
    Peer::start(&start).await.leave().await;
}

/// A partner called bob that answers any offer with one candidate and does nothing else.
async fn answering_by_hand(relay: &Relay, candidate: &str) -> tokio::task::JoinHandle<()> {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;

    let (mut socket, _) = tokio_tungstenite::connect_async(relay.url()).await.unwrap();
    socket.send(Message::text(json!({"type": "register", "clientId": "bob"}).to_string())).await.unwrap();
    let sdp = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
        c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 AB\r\n\
        a=setup:active\r\na=mid:0\r\na=sctp-port:5000\r\na={candidate}\r\n"
    );
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() && message.to_text().unwrap().contains("offer") {
                let answer = json!({"type": "answer", "sdp": {"type": "answer", "sdp": sdp}, "to": "alice", "from": "bob"});
                socket.send(Message::text(answer.to_string())).await.unwrap();
            }
        }
    })
}
