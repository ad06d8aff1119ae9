//! Deadlines: no handshake, no register, no answer to a ping.

use std::time::Duration;

use signaling_server::Limits;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::client::{TestServer, before_it_hangs};
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

const SOON: Duration = Duration::from_millis(40);

#[tokio::test]
async fn a_connection_without_a_handshake_is_dropped() {
    let server = TestServer::with(Limits { handshake: SOON, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(before_it_hangs(stream.read(&mut [0; 64])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_register_is_closed_with_a_code() {
    let server = TestServer::with(Limits { register: SOON, ..Limits::default() }).await;
    let mut nameless = server.connect().await;
    assert_eq!(nameless.close_code().await, 4004);
}

#[tokio::test]
async fn a_client_that_answers_pings_is_kept() {
    let limits = Limits { register: SOON, ping_after: SOON, ..Limits::default() };
    let server = TestServer::with(limits).await;
    let mut alice = server.join("alice").await;
    for _ in 0..3 {
        let message = before_it_hangs(alice.socket.next()).await;
        assert!(matches!(message, Some(Ok(Message::Ping(_)))), "{message:?}");
    }
    assert_eq!(alice.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed_and_the_others_are_told() {
    let limits = Limits { ping_after: SOON, pong_within: 10 * SOON, ..Limits::default() };
    let server = TestServer::with(limits).await;
    let mut bob = server.join("bob").await;
    // A client answers pings when it reads, and this one does not.
    let mut silent = server.join("silent").await;
    bob.list_of(1).await;
    assert_eq!(bob.list_of(0).await, [""; 0]);
    assert_eq!(silent.close_code().await, 4005);
}
