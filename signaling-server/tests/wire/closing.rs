//! How a connection ends: close handshakes, broken framing, giants, and a server that stops.

use futures_util::{SinkExt, StreamExt};
use rstest::rstest;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::client::{TestServer, before_it_hangs};

#[rstest]
#[case(1000)]
#[case(1001)]
#[case(4321)]
#[tokio::test]
async fn a_close_frame_is_answered_with_its_own_code(#[case] code: u16) {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    alice.socket.close(Some(CloseFrame { code: code.into(), reason: "".into() })).await.unwrap();
    assert_eq!(alice.close_code().await, code);
}

#[tokio::test]
async fn a_close_frame_without_a_code_is_answered_without_one() {
    let server = TestServer::start().await;
    let mut nameless = server.connect().await;
    nameless.socket.close(None).await.unwrap();
    let answer = before_it_hangs(nameless.socket.next()).await;
    assert!(matches!(answer, Some(Ok(Message::Close(None)))), "{answer:?}");
    assert!(before_it_hangs(nameless.socket.next()).await.is_none());
}

/// Client frames with an all-zero mask.
#[rstest]
#[case::reserved_bits(&[0xf1, 0x80, 0, 0, 0, 0], 1002)]
#[case::no_mask(&[0x81, 0x01, b'x'], 1002)]
#[case::reserved_opcode(&[0x83, 0x80, 0, 0, 0, 0], 1002)]
#[case::a_fragmented_ping(&[0x09, 0x80, 0, 0, 0, 0], 1002)]
#[case::a_tail_without_a_head(&[0x80, 0x80, 0, 0, 0, 0], 1002)]
#[case::text_that_is_not_utf8(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe], 1007)]
#[case::a_length_of_8_exabytes(&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009)]
#[tokio::test]
async fn broken_framing_is_closed_with_a_code_and_hurts_nobody_else(#[case] bytes: &[u8], #[case] code: u16) {
    let server = TestServer::start().await;
    let mut bob = server.join("bob").await;
    let mut mallory = server.join("mallory").await;
    bob.list_of(1).await;
    mallory.send_raw(bytes).await;
    assert_eq!(mallory.close_code().await, code);
    assert_eq!(bob.list_of(0).await, [""; 0]);
}

#[tokio::test]
async fn a_message_of_64_kib_passes_and_one_byte_more_is_closed_with_1009() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    let frame = r#"{"type":"x","to":"bob","from":"alice","d":""}"#;
    let fill =
        |length: usize| frame.replace(r#""d":""#, &format!(r#""d":"{}"#, "x".repeat(length - frame.len())));
    alice.send(&fill(65_536)).await;
    assert_eq!(bob.message().await, fill(65_536));
    alice.send(&fill(65_537)).await;
    assert_eq!(alice.close_code().await, 1009);
    assert_eq!(bob.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn a_giant_in_small_fragments_is_closed_with_1009() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    alice.socket.send(fragment(Data::Text)).await.unwrap();
    for _ in 0..7 {
        alice.socket.send(fragment(Data::Continue)).await.unwrap();
    }
    assert_eq!(alice.close_code().await, 1009);
}

#[tokio::test]
async fn the_sender_of_a_40_mib_message_can_read_why_it_was_closed() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    alice.send(&"x".repeat(40 << 20)).await;
    assert_eq!(alice.close_code().await, 1009);
}

#[tokio::test]
async fn a_server_that_stops_closes_its_clients_with_1001_and_is_done_when_they_have_answered() {
    let mut server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut nameless = server.connect().await;
    server.stop();
    assert_eq!(alice.close_code().await, 1001);
    assert_eq!(nameless.close_code().await, 1001);
    server.stopped().await;
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_those_who_never_answer() {
    let mut server = TestServer::start().await;
    let _deaf = server.join("deaf").await;
    let _in_the_handshake = tokio::net::TcpStream::connect(server.address).await.unwrap();
    server.stop();
    server.stopped().await;
}

fn fragment(opcode: Data) -> Message {
    Message::Frame(Frame::message(vec![b'x'; 10_000], OpCode::Data(opcode), false))
}
