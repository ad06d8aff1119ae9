//! TCP through a firewall: sessions open, close and are forgotten as through a NAT (RFC 5382).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use netns::lab::Lab;
use netns::nat::Filtering::{self, AddressDependent, EndpointIndependent};
use netns::nat::{Nat, Preset};
use netns::topology::{Topology, Uplink};
use nix::sys::socket::{setsockopt, sockopt};
use rstest::rstest;

use super::firewall::firewall;
use super::home::{Home, PATIENCE};
use super::tcp::{connect_from, finish_connect, listen, start_connect};

pub(crate) const ESTABLISHED: Duration = Duration::from_secs(7440);
pub(crate) const TRANSITORY: Duration = Duration::from_secs(240);

#[test]
fn tcp_goes_out_and_a_simultaneous_open_comes_through() {
    let topology = Topology::default()
        .router("here", Uplink::Internet, firewall())
        .router("there", Uplink::Internet, firewall())
        .host("alice", "here".into())
        .host("bob", "there".into())
        .server("server", 1);
    let lab = Lab::build(&topology).unwrap();
    let node = |name| lab.node(name).unwrap();
    let address = |name, port| SocketAddr::from((node(name).address(), port));
    let listener = listen(node("server"), 80);
    let mut inside = connect_from(node("alice"), 4000, address("server", 80));
    let (mut outside, from) = listener.accept().unwrap();
    assert_eq!(from, address("alice", 4000));
    speak(&mut inside, &mut outside);

    let alice = start_connect(node("alice"), 5000, address("bob", 6000));
    let start = Instant::now();
    while lab.router("there").unwrap().drops().unwrap().filtered == 0 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    let bob = start_connect(node("bob"), 6000, address("alice", 5000));
    speak(&mut finish_connect(alice), &mut finish_connect(bob));
}

/// RFC 5382 REQ-5: 2 hours 4 minutes once established, 4 minutes before and after, whichever side ends it.
#[rstest]
#[case::both_close(true)]
#[case::the_outside_resets(false)]
fn a_session_lives_by_what_it_does(#[case] both_close: bool) {
    let home = Home::new(Preset::Firewall, &["alice"]);
    let listener = listen(home.node("server"), 80);
    let left = |port| {
        let table = home.router().mappings().unwrap();
        table.entries.iter().find(|entry| entry.inside.port() == port).map(|entry| entry.left)
    };
    // Nobody has this address, so nobody answers.
    let nowhere = (std::net::Ipv4Addr::new(203, 0, 113, 200), 80);
    let _opening = start_connect(home.node("alice"), 3999, nowhere.into());
    assert!(left(3999).unwrap() <= TRANSITORY);

    let inside = connect_from(home.node("alice"), 4000, listener.local_addr().unwrap());
    let (mut outside, _) = listener.accept().unwrap();
    await_that(|| left(4000).unwrap() > ESTABLISHED - PATIENCE);
    if both_close {
        drop(inside);
        outside.read_to_end(&mut Vec::new()).unwrap();
        drop(outside);
        // Until the last acknowledgement has come, which is without a flag.
        let sockets = || std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        const LAST_ACK: &str = " 09 ";
        await_that(|| !home.node("server").within(sockets).unwrap().contains(LAST_ACK));
    } else {
        setsockopt(&outside, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
        drop(outside);
        await_that(|| left(4000).unwrap() <= TRANSITORY);
    }
    assert!(left(4000).unwrap() <= TRANSITORY && left(4000).unwrap() > TRANSITORY - PATIENCE);
}

#[test]
fn data_after_a_fin_keeps_a_session_where_it_is() {
    let home = Home::new(Preset::Firewall, &["alice"]);
    let listener = listen(home.node("server"), 80);
    let mut inside = connect_from(home.node("alice"), 4000, listener.local_addr().unwrap());
    let (mut outside, _) = listener.accept().unwrap();
    inside.shutdown(std::net::Shutdown::Write).unwrap();
    outside.read_to_end(&mut Vec::new()).unwrap();
    outside.write_all(b"hello").unwrap();
    inside.read_exact(&mut [0; 5]).unwrap();
    // Until all that the outside has sent is acknowledged, without a flag.
    let sockets = || std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    const CLOSE_WAIT_WITH_NOTHING_TO_SEND: &str = " 08 00000000:";
    await_that(|| home.node("server").within(sockets).unwrap().contains(CLOSE_WAIT_WITH_NOTHING_TO_SEND));
    assert!(home.router().mappings().unwrap().entries[0].left <= TRANSITORY);
}

/// A flow that sessions share is never shortened: which of them still live, nobody counts.
#[rstest]
fn a_session_that_closes_does_not_shorten_what_others_use(
    #[values(EndpointIndependent, AddressDependent)] filtering: Filtering,
) {
    let home = Home::of(Nat { filtering, ..firewall() }, &["alice"]);
    let listeners = [80, 81].map(|port| listen(home.node("server"), port));
    let streams = listeners.each_ref().map(|listener| {
        let to = listener.local_addr().unwrap();
        (connect_from(home.node("alice"), 4000, to), listener.accept().unwrap())
    });
    let left = || home.router().mappings().unwrap().entries[0].left;
    await_that(|| left() > ESTABLISHED - PATIENCE);
    let [(closing, (mut closed, _)), (mut open, (mut other_end, _))] = streams;
    drop(closing);
    closed.read_to_end(&mut Vec::new()).unwrap();
    assert!(left() > ESTABLISHED - PATIENCE, "its FIN has passed");
    speak(&mut open, &mut other_end);
}

#[track_caller]
pub(crate) fn await_that(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never holds");
        std::thread::yield_now();
    }
}

fn speak(one: &mut TcpStream, other: &mut TcpStream) {
    let mut heard = [0; 5];
    one.write_all(b"hello").unwrap();
    other.read_exact(&mut heard).unwrap();
    other.write_all(&heard).unwrap();
    one.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}
