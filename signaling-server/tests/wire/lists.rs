//! Who learns of whom, and at what cost.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use signaling_server::Limits;
use tokio::task::JoinSet;

use crate::client::{Client, TestServer};

#[tokio::test]
async fn the_newcomer_gets_the_list_without_itself_and_the_others_get_theirs() {
    let server = TestServer::start().await;
    let mut alice = server.connect().await;
    alice.register("alice").await;
    assert_eq!(alice.list().await, [""; 0]);
    let mut bob = server.connect().await;
    bob.register("bob").await;
    assert_eq!(bob.list().await, ["alice"]);
    assert_eq!(alice.list().await, ["bob"]);
    let mut carol = server.connect().await;
    carol.register("carol").await;
    assert_eq!(carol.list().await, ["alice", "bob"]);
    assert_eq!(alice.list().await, ["bob", "carol"]);
    assert_eq!(bob.list().await, ["alice", "carol"]);
}

#[tokio::test]
async fn a_leave_reaches_the_others_as_a_shorter_list_with_or_without_a_close_frame() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    let bob = server.join("bob").await;
    let mut carol = server.join("carol").await;
    alice.list_of(2).await;
    drop(bob);
    assert_eq!(alice.list_of(1).await, ["carol"]);
    carol.socket.close(None).await.unwrap();
    assert_eq!(alice.list_of(0).await, [""; 0]);
}

#[tokio::test]
async fn a_join_wave_costs_each_peer_one_list_a_window() {
    const PEERS: usize = 200;
    let window = Duration::from_millis(300);
    let server = TestServer::with(Limits { coalesce: window, ..Limits::default() }).await;
    let start = Instant::now();
    let mut wave = JoinSet::new();
    for number in 0..PEERS {
        wave.spawn(join_and_count(server.address, number, PEERS));
    }
    let counted = wave.join_all().await;
    let windows = start.elapsed().div_duration_f64(window).ceil() as usize;
    let (lists, bytes) = counted.iter().fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));

    // To each its own first list, and one more for each window that has ended, and for the lone first change.
    assert!(lists <= PEERS * (2 + windows), "{lists} lists in {windows} windows");
    let longest = 28 + PEERS * r#""peer-000","#.len();
    assert!(bytes <= lists * longest, "{bytes} bytes");
    // Telling everybody at every join takes n²/2 lists.
    assert!(lists < PEERS * PEERS / 8, "{lists} lists in {windows} windows");
}

/// Joins, reads until everybody is in the list, and says how many lists and bytes that took.
async fn join_and_count(address: std::net::SocketAddr, number: usize, peers: usize) -> (usize, usize) {
    let mut client = Client::connect(address).await;
    client.register(&format!("peer-{number:03}")).await;
    let (mut lists, mut bytes) = (0, 0);
    while let Some(Ok(message)) = client.socket.next().await {
        lists += 1;
        bytes += message.len();
        let others = message.to_text().unwrap().matches("peer-").count();
        if others == peers - 1 {
            break;
        }
    }
    // Its place is kept until all have seen it.
    std::mem::forget(client);
    (lists, bytes)
}
