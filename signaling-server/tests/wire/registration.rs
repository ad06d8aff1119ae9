//! Who has an id: one for each socket, the newest socket wins.

use rstest::rstest;

use crate::client::TestServer;

#[tokio::test]
async fn the_newest_socket_with_an_id_wins_and_the_old_one_is_told() {
    let server = TestServer::start().await;
    let mut bob = server.join("bob").await;
    let mut old = server.join("alice").await;
    let mut new = server.connect().await;
    new.register("alice").await;
    assert_eq!(new.list().await, ["bob"]);
    assert_eq!(old.close_code().await, 4001);

    bob.send(r#"{"type":"offer","to":"alice","from":"bob"}"#).await;
    assert_eq!(new.message().await, r#"{"type":"offer","to":"alice","from":"bob"}"#);
}

#[tokio::test]
async fn a_late_close_of_the_old_socket_never_removes_the_new_one() {
    let server = TestServer::start().await;
    let mut bob = server.join("bob").await;
    let old = server.join("alice").await;
    let mut new = server.join("alice").await;
    // Without a close frame, after the new one is known to be in place.
    drop(old);
    assert_eq!(new.messages_until_pong().await, [""; 0]);
    let mut witness = server.connect().await;
    witness.register("witness").await;
    assert_eq!(witness.list().await, ["alice", "bob"]);
    bob.send(r#"{"type":"offer","to":"alice","from":"bob"}"#).await;
    assert_eq!(new.message().await, r#"{"type":"offer","to":"alice","from":"bob"}"#);
}

#[tokio::test]
async fn a_second_id_on_one_socket_is_refused_and_leaves_no_ghost() {
    let server = TestServer::start().await;
    let mut alice = server.join("alice").await;
    alice.register("mallory").await;
    assert_eq!(alice.error().await, "this connection has registered another id");
    let mut bob = server.connect().await;
    bob.register("bob").await;
    assert_eq!(bob.list().await, ["alice"]);
    drop(alice);
    assert_eq!(bob.list_of(0).await, [""; 0]);
}

#[tokio::test]
async fn registering_the_same_id_again_answers_with_the_list_again() {
    let server = TestServer::start().await;
    let _bob = server.join("bob").await;
    let mut alice = server.join("alice").await;
    for _ in 0..3 {
        alice.register("alice").await;
        assert_eq!(alice.list().await, ["bob"]);
    }
}

#[rstest]
#[case::missing(r#"{"type":"register"}"#, "`clientId` is missing")]
#[case::a_number(r#"{"type":"register","clientId":7}"#, "`clientId` must be a string")]
#[case::null(r#"{"type":"register","clientId":null}"#, "`clientId` must be a string")]
#[case::empty(r#"{"type":"register","clientId":""}"#, "`clientId` must not be empty")]
#[case::control(r#"{"type":"register","clientId":"a\nb"}"#, "`clientId` must not contain control characters")]
#[tokio::test]
async fn an_id_that_is_no_good_is_refused_and_the_connection_kept(
    #[case] frame: &str,
    #[case] message: &str,
) {
    let server = TestServer::start().await;
    let mut alice = server.connect().await;
    alice.send(frame).await;
    assert_eq!(alice.error().await, message);
    alice.register("alice").await;
    assert_eq!(alice.list().await, [""; 0]);
}

#[tokio::test]
async fn an_id_may_have_128_bytes_and_no_more() {
    let server = TestServer::start().await;
    let mut alice = server.connect().await;
    alice.register(&"a".repeat(129)).await;
    assert_eq!(alice.error().await, "`clientId` must not be longer than 128 bytes");
    alice.register(&"a".repeat(128)).await;
    assert_eq!(alice.list().await, [""; 0]);
}
