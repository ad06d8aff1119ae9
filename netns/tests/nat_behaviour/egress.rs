//! What may leave at all: no UDP, HTTPS only, nothing until somebody has logged in at the portal.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use netns::nat::Preset::{CaptivePortal, FullCone, HttpsOnly, PortRestricted, UdpBlocked};
use netns::nat::{Hairpin, Nat, OnDrop, Preset};
use nix::sys::socket::SockProtocol;
use rstest::rstest;

use super::home::{Home, at, hear, raw, seen_by, tell};
use super::icmp::send_echo;

#[rstest]
fn udp_that_may_not_leave_is_counted_and_tcp_is_fine(#[values(UdpBlocked, CaptivePortal)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    if kind == CaptivePortal {
        home.router().log_in().unwrap();
    }
    let (alice, server) = (home.udp("alice", 5000), home.server());
    if kind == UdpBlocked {
        tell(&alice, at(&server[0]), "let me out");
        home.await_drops(|drops| drops.refused == 1);
        tell(&alice, home.outside(5000), "let me round");
        home.await_drops(|drops| drops.refused == 2);
        assert!(home.router().mappings().unwrap().entries.is_empty());
    } else {
        assert_eq!(seen_by(&server[0], &alice), home.outside(5000));
    }
    both_speak(&home, 80);
    assert_eq!(home.filtered(), 0);
}

#[test]
fn https_only_lets_tcp_to_port_443_leave_and_nothing_else() {
    let home = Home::new(HttpsOnly, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    tell(&alice, at(&server[0]), "let me out");
    home.await_drops(|drops| drops.refused == 1);
    send_echo(&raw(home.node("alice"), SockProtocol::Icmp), *at(&server[0]).ip(), 77, b"ping");
    home.await_drops(|drops| drops.refused == 2);
    let to = SocketAddr::from((*at(&server[0]).ip(), 80));
    let _knocking = super::tcp::start_connect(home.node("alice"), 6000, to);
    home.await_drops(|drops| drops.refused >= 3);
    assert!(home.router().mappings().unwrap().entries.is_empty());
    both_speak(&home, 443);
}

#[test]
fn a_portal_lets_nothing_leave_until_the_login_and_again_after_a_reboot() {
    let home = Home::new(CaptivePortal, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let refused = |count| {
        tell(&alice, at(&server[0]), "let me out");
        home.await_drops(|drops| drops.refused == count);
    };
    refused(1);
    send_echo(&raw(home.node("alice"), SockProtocol::Icmp), *at(&server[0]).ip(), 77, b"ping");
    home.await_drops(|drops| drops.refused == 2);
    home.router().log_in().unwrap();
    assert_eq!(seen_by(&server[0], &alice), home.outside(5000));
    home.router().reboot().unwrap();
    refused(1);
    home.router().log_in().unwrap();
    home.router().log_in().unwrap();
    assert_eq!(seen_by(&server[0], &alice), home.outside(5000));
}

#[test]
fn the_portal_itself_is_reached_by_dns_and_http_before_the_login() {
    let home = Home::new(CaptivePortal, &["alice"]);
    let portal = home.router_inside();
    let router = home.node("home");
    let dns = super::home::udp(router, portal, 53);
    let alice = home.udp("alice", 5000);
    tell(&alice, at(&dns), "who is example.org?");
    let (_, from) = hear(&dns);
    tell(&dns, from, "it is me");
    assert_eq!(hear(&alice), ("it is me".to_owned(), at(&dns)));
    let http = router.within(|| TcpListener::bind((portal, 80)).unwrap()).unwrap();
    let to = http.local_addr().unwrap();
    let _page = home.node("alice").within(|| TcpStream::connect(to).unwrap()).unwrap();
    http.accept().unwrap();
    assert_eq!(home.router().drops().unwrap(), Default::default());
}

#[rstest]
fn what_may_not_leave_is_told_so_where_the_router_rejects(
    #[values(UdpBlocked, HttpsOnly, CaptivePortal)] kind: Preset,
) {
    let home = Home::of(Nat { on_drop: OnDrop::Reject, ..kind.nat().unwrap() }, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    alice.connect(at(&server[0])).unwrap();
    for refused in 1..=10 {
        alice.send(b"let me out").unwrap();
        // Administratively prohibited (RFC 1812 section 5.2.7.1): to a socket, as if the host could not be reached.
        assert_eq!(alice.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::HostUnreachable);
        assert_eq!(home.router().drops().unwrap().refused, refused, "every one is answered, at any rate");
    }
    if kind != UdpBlocked {
        let to = SocketAddr::from((*at(&server[0]).ip(), 80));
        let reset = home.node("alice").within(|| TcpStream::connect(to).unwrap_err()).unwrap();
        assert_eq!(reset.kind(), ErrorKind::ConnectionRefused);
    }
}

#[rstest]
fn neighbours_speak_to_each_other_whatever_may_leave(
    #[values(UdpBlocked, HttpsOnly, CaptivePortal)] kind: Preset,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob) = (home.udp("alice", 5000), home.udp("bob", 5000));
    tell(&alice, at(&bob), "hello");
    assert_eq!(hear(&bob), ("hello".to_owned(), at(&alice)));
    assert_eq!(home.router().drops().unwrap(), Default::default());
}

#[test]
fn a_router_without_a_portal_refuses_a_login() {
    let home = Home::of(Nat { hairpin: Hairpin::Off, ..PortRestricted.nat().unwrap() }, &[]);
    assert!(home.router().log_in().is_err());
    assert!(Home::new(FullCone, &[]).router().log_in().is_err());
}

/// A connection from Alice to this port of the server, used both ways.
fn both_speak(home: &Home, port: u16) {
    let address = home.node("server").address();
    let listener = home.node("server").within(|| TcpListener::bind((address, port)).unwrap()).unwrap();
    let to = listener.local_addr().unwrap();
    let mut inside = home.node("alice").within(|| TcpStream::connect(to).unwrap()).unwrap();
    let (mut outside, _) = listener.accept().unwrap();
    inside.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    outside.read_exact(&mut heard).unwrap();
    outside.write_all(&heard).unwrap();
    inside.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}
