//! Bounded queues: who does not read is closed, who reads is never closed for a burst, and nobody waits for another.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use signaling_server::Limits;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{TestServer, before_it_hangs};

#[tokio::test]
async fn a_reader_that_stops_reading_is_closed_with_a_code_and_its_sender_never_blocks() {
    let server = TestServer::with(Limits { closing: Duration::from_secs(60), ..Limits::default() }).await;
    let mut paused = server.join("paused").await;
    let mut alice = server.join("alice").await;
    let chunk = format!(r#"{{"type":"chunk","to":"paused","from":"alice","d":"{}"}}"#, "x".repeat(20_000));
    // The kernel's buffers take some megabytes; the server takes 256 KiB more and no 100 MB.
    let mut sent = 0;
    let errors = loop {
        for _ in 0..10 {
            alice.send(&chunk).await;
        }
        sent += 10;
        let errors = alice.messages_until_pong().await;
        if !errors.is_empty() || sent > 5000 {
            break errors;
        }
    };
    assert_eq!(errors[0], r#"{"type":"error","message":"Peer paused not found"}"#, "after {sent} chunks");
    assert_eq!(paused.close_code().await, 4002);
}

#[tokio::test]
async fn a_burst_in_one_piece_reaches_a_reader_whole_and_in_order() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    let candidate =
        |number: usize| format!(r#"{{"type":"candidate","n":{number},"to":"bob","from":"alice"}}"#);
    for number in 0..1000 {
        alice.socket.feed(Message::text(candidate(number))).await.unwrap();
    }
    alice.socket.flush().await.unwrap();
    for number in 0..1000 {
        assert_eq!(bob.message().await, candidate(number));
    }
    assert_eq!(bob.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn a_burst_from_everybody_to_one_reader_at_once_reaches_it_whole() {
    const SENDERS: usize = 20;
    const EACH: usize = 20;
    let server = TestServer::start().await;
    let mut bob = server.join("bob").await;
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        let mut sender = server.join(&format!("sender {number}")).await;
        for _ in 0..EACH {
            sender.socket.feed(Message::text(r#"{"type":"candidate","to":"bob"}"#)).await.unwrap();
        }
        senders.push(sender);
    }
    for sender in &mut senders {
        sender.socket.flush().await.unwrap();
    }
    for _ in 0..SENDERS * EACH {
        bob.message().await;
    }
    assert_eq!(bob.messages_until_pong().await, [""; 0]);
}

#[tokio::test]
async fn a_flood_of_pings_never_fills_the_pingers_own_queue() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    for ts in 0..1000 {
        alice.socket.feed(Message::text(format!(r#"{{"type":"ping","ts":{ts}}}"#))).await.unwrap();
    }
    alice.socket.flush().await.unwrap();
    for ts in 0..1000 {
        assert_eq!(alice.message().await, format!(r#"{{"type":"pong","ts":{ts},"from":"alice"}}"#));
    }
}

#[tokio::test]
async fn two_peers_that_flood_each_other_both_get_everything() {
    let server = TestServer::start().await;
    let alice = server.join("alice").await;
    let bob = server.join("bob").await;
    let flood = |client: crate::client::Client, to: &'static str| async move {
        let (mut writer, mut reader) = client.socket.split();
        let writing = async {
            for number in 0..3000 {
                writer
                    .feed(Message::text(format!(r#"{{"type":"x","to":"{to}","n":{number}}}"#)))
                    .await
                    .unwrap();
            }
            writer.flush().await.unwrap();
        };
        let reading = async {
            let mut next = 0;
            while next < 3000 {
                let message = reader.next().await.unwrap().unwrap();
                if message.to_text().unwrap().ends_with(&format!(r#""n":{next}}}"#)) {
                    next += 1;
                }
            }
        };
        tokio::join!(writing, reading);
    };
    before_it_hangs(async { tokio::join!(flood(alice, "bob"), flood(bob, "alice")) }).await;
}
