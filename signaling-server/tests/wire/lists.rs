//! Who learns of whom, and at what cost.

use std::time::{Duration, Instant};

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
        let mut client = server.connect().await;
        client.register(&format!("peer-{number:03}")).await;
        // One after the other, so that nothing is coalesced by mere haste; all keep reading meanwhile.
        let first = client.next().await;
        wave.spawn(count_until_all(client, first, PEERS - 1));
    }
    let counted = wave.join_all().await;
    let windows = start.elapsed().div_duration_f64(window).ceil() as usize;
    let (lists, bytes) =
        counted.iter().fold((0, 0), |sum, (_, each)| (sum.0 + each.len(), sum.1 + size(each)));

    // To each its own first list, and one more for each window that has ended, and for the lone first change.
    assert!(lists <= PEERS * (2 + windows), "{lists} lists in {windows} windows");
    assert!(bytes <= lists * (28 + PEERS * r#""peer-000","#.len()), "{bytes} bytes");
    // Telling everybody at every join takes n²/2 lists.
    assert!(lists < PEERS * PEERS / 8, "{lists} lists in {windows} windows");
}

/// Reads until a list has that many others; the client comes back, lest its leaving be news.
async fn count_until_all(mut client: Client, first: String, others: usize) -> (Client, Vec<String>) {
    let mut lists = vec![first];
    while lists[lists.len() - 1].matches("peer-").count() < others {
        lists.push(client.next().await);
    }
    (client, lists)
}

fn size(lists: &[String]) -> usize {
    lists.iter().map(String::len).sum()
}
