//! Frames that nobody should send: an error each, the connection kept, until there are too many.

use futures_util::SinkExt;
use rstest::rstest;
use signaling_server::Limits;
use tokio_tungstenite::tungstenite::Message;

use crate::client::TestServer;

#[rstest]
#[case::no_json("hello", "malformed message: ")]
#[case::half_an_object(r#"{"type":"offer""#, "malformed message: ")]
#[case::an_array(r#"["register","alice"]"#, "malformed message: expected a JSON object")]
#[case::nothing("", "malformed message: ")]
#[case::no_type("{}", "`type` is missing")]
#[case::a_type_of_another_kind(r#"{"type":{}}"#, "`type` must be a string")]
#[case::unknown_and_to_nobody(r#"{"type":"hello"}"#, "`to` is missing")]
#[case::an_offer_to_nobody(r#"{"type":"offer","from":"alice"}"#, "`to` is missing")]
#[case::to_a_number(r#"{"type":"offer","to":5}"#, "`to` must be a string")]
#[case::to_null(r#"{"type":"candidate","to":null}"#, "`to` must be a string")]
#[case::to_an_empty_id(r#"{"type":"candidate","to":""}"#, "`to` must not be empty")]
#[case::two_types(r#"{"type":"ping","type":"offer"}"#, "malformed message: duplicate field `type`")]
#[tokio::test]
async fn a_mistake_is_answered_and_the_connection_kept(#[case] text: &str, #[case] message: &str) {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    alice.send(text).await;
    let error = alice.error().await;
    assert!(error.starts_with(message), "{error}");
    assert_eq!(alice.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn absurd_nesting_is_an_error_and_no_overflow() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    for text in
        ["[".repeat(65_000), r#"{"a":"#.repeat(13_000), format!(r#"{{"type":"x","a":{}"#, "[".repeat(60_000))]
    {
        alice.send(&text).await;
        assert_eq!(alice.error().await, "a message must not nest more than 100 levels deep");
    }
}

#[tokio::test]
async fn binary_that_is_not_utf8_is_an_error_and_the_connection_kept() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    alice.socket.send(Message::binary(vec![0xff, 0xfe, 0x00])).await.unwrap();
    assert_eq!(alice.error().await, "a message must be UTF-8");
    assert_eq!(alice.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn a_hundred_mistakes_at_once_are_borne_and_a_flood_of_them_ends_with_a_code() {
    let server = TestServer::with(Limits { patience_per_second: 0, ..Limits::default() }).await;
    let mut bob = server.join("bob").await;
    let mut alice = server.join("alice").await;
    for _ in 0..100 {
        alice.send("hello").await;
        alice.error().await;
    }
    assert_eq!(alice.messages_until_pong().await, [""; 0]);
    alice.send("hello").await;
    assert_eq!(alice.close_code().await, 4003);
    assert_eq!(bob.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn large_offers_to_absent_peers_without_end_are_closed_with_a_code() {
    let server = TestServer::start().await;
    let alice = server.join("alice").await;
    let (mut writer, mut reader) = futures_util::StreamExt::split(alice.socket);
    let offer = format!(r#"{{"type":"offer","to":"zoe","sdp":"{}"}}"#, "x".repeat(50_000));
    let writing =
        tokio::spawn(async move { while writer.send(Message::text(offer.clone())).await.is_ok() {} });
    let code = crate::client::before_it_hangs(async {
        loop {
            let message = futures_util::StreamExt::next(&mut reader).await;
            if let Some(Ok(Message::Close(frame))) = message {
                return u16::from(frame.unwrap().code);
            }
        }
    });
    assert_eq!(code.await, 4003);
    writing.abort();
}
