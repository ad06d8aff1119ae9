//! What goes from peer to peer, and what comes back to the sender alone.

use rstest::rstest;
use tokio_tungstenite::tungstenite::Message;

use crate::client::TestServer;
use futures_util::SinkExt;

const OFFER: &str = r#"{ "type":"offer", "sdp":{"type":"offer","sdp":"v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\n"},
  "z":1, "a":[1.0, 1e3, "\u00e9é"], "to":"bob", "from":"alice" }"#;

#[rstest]
#[case::offer(OFFER)]
#[case::answer(r#"{"type":"answer","sdp":{"type":"answer","sdp":"v=0"},"to":"bob","from":"alice"}"#)]
#[case::candidate(
    r#"{"type":"candidate","candidate":{"candidate":"candidate:1","sdpMid":"0"},"to":"bob","from":"alice"}"#
)]
#[case::anything(r#"{"type":"file-offer 🦀","name":"x","to":"bob","from":"alice"}"#)]
#[case::a_ping_to_somebody(r#"{"type":"ping","ts":1,"to":"bob","from":"alice"}"#)]
#[tokio::test]
async fn a_message_reaches_its_receiver_byte_for_byte_and_nobody_else(#[case] text: &str) {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    let mut carol = server.join("carol").await;
    alice.send(text).await;
    assert_eq!(bob.message().await, text);
    assert_eq!(alice.messages_until_pong().await, [""; 0]);
    assert_eq!(carol.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn a_missing_from_is_filled_in() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.send(r#"{"type":"x", "n":1.50, "to":"bob"}"#).await;
    assert_eq!(bob.message().await, r#"{"from":"alice","type":"x", "n":1.50, "to":"bob"}"#);
}

#[rstest]
#[case::somebody_else(r#"{"type":"offer","to":"bob","from":"carol"}"#, "`from` must be your own id")]
#[case::the_receiver(r#"{"type":"offer","to":"bob","from":"bob"}"#, "`from` must be your own id")]
#[case::null(r#"{"type":"offer","to":"bob","from":null}"#, "`from` must be a string")]
#[tokio::test]
async fn a_wrong_from_is_refused(#[case] text: &str, #[case] message: &str) {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.send(text).await;
    assert_eq!(alice.error().await, message);
    assert_eq!(bob.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn a_second_from_is_refused_because_the_receiver_might_believe_it() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.send(r#"{"type":"offer","to":"bob","from":"alice","from":"carol"}"#).await;
    assert!(alice.error().await.contains("duplicate field `from`"));
    assert_eq!(bob.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn who_has_not_registered_can_send_nothing() {
    let server = TestServer::start().await;
    let mut bob = server.join("bob").await;
    let mut nameless = server.connect().await;
    for text in [r#"{"type":"offer","to":"bob","from":"bob"}"#, r#"{"type":"ping","ts":1,"from":"bob"}"#] {
        nameless.send(text).await;
        assert_eq!(nameless.error().await, "register first");
    }
    assert_eq!(bob.messages_until_pong().await, [""; 0]);
}

#[rstest]
#[case::offer(r#"{"type":"offer","to":"zoe","from":"alice"}"#, &["Peer zoe not found"])]
#[case::answer(r#"{"type":"answer","to":"zoe","from":"alice"}"#, &["Peer zoe not found"])]
#[case::candidate(r#"{"type":"candidate","to":"zoe","from":"alice"}"#, &[])]
#[tokio::test]
async fn an_unknown_receiver_is_an_error_but_for_candidates(#[case] text: &str, #[case] errors: &[&str]) {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    alice.send(text).await;
    let expected: Vec<String> =
        errors.iter().map(|error| format!(r#"{{"type":"error","message":"{error}"}}"#)).collect();
    assert_eq!(alice.messages_until_pong().await, expected);
}

#[tokio::test]
async fn who_has_left_is_not_found() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let bob = server.join("bob").await;
    alice.list_of(1).await;
    drop(bob);
    alice.list_of(0).await;
    alice.send(r#"{"type":"offer","to":"bob","from":"alice"}"#).await;
    assert_eq!(alice.error().await, "Peer bob not found");
}

#[tokio::test]
async fn a_ping_is_answered_with_its_very_ts_and_told_nobody() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    for ts in ["1700000000000", "1.70e12", "-0", "123456789012345678901234567890"] {
        alice.send(&format!(r#"{{"type":"ping","ts":{ts},"from":"alice"}}"#)).await;
        assert_eq!(alice.message().await, format!(r#"{{"type":"pong","ts":{ts},"from":"alice"}}"#));
    }
    alice.send(r#"{"type":"ping","ts":1,"from":"bob"}"#).await;
    assert_eq!(alice.error().await, "`from` must be your own id");
    assert_eq!(bob.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn a_pong_to_the_server_is_swallowed() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.send(r#"{"type":"pong","ts":1,"from":"alice"}"#).await;
    assert_eq!(alice.messages_until_pong().await, [""; 0]);
    assert_eq!(bob.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn a_binary_frame_of_json_is_read_as_text_and_forwarded_as_text() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.socket.send(Message::binary(OFFER.as_bytes().to_vec())).await.unwrap();
    assert_eq!(bob.message().await, OFFER);
}
