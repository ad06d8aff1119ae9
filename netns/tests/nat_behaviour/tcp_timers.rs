//! How long a TCP mapping lives (RFC 5382 REQ-5): four minutes while it opens or closes, 2 hours 4 minutes in between. Read
//! from what is left of it in the router's table.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use netns::nat::Nat;
use netns::nat::Preset::{self, AddressDependent, Cgnat, FullCone, PortRestricted, Symmetric};
use netns::nat::table::Protocol;
use nix::sys::socket::{setsockopt, sockopt};
use rstest::rstest;

use super::home::{Home, PATIENCE};
use super::tcp::{connect_from, connected, start_connect};

const TRANSITORY: Duration = Duration::from_secs(4 * 60);
const ESTABLISHED: Duration = Duration::from_secs(2 * 3600 + 4 * 60);

#[rstest]
fn a_connection_lives_long_only_between_its_handshake_and_its_first_end(
    #[values(FullCone, PortRestricted, AddressDependent, Symmetric, Cgnat)] kind: Preset,
    #[values(true, false)] the_inside_ends_it: bool,
) {
    let home = Home::new(kind, &["alice"]);
    let (inside, outside, _listener) = connected(&home);
    await_lifetime(&home, ESTABLISHED);
    let (mut ends, mut goes_on) = if the_inside_ends_it { (inside, outside) } else { (outside, inside) };
    ends.shutdown(Shutdown::Write).unwrap();
    await_lifetime(&home, TRANSITORY);
    // The other half goes on; the connection closes all the same.
    let mut heard = [0; 4];
    for _ in 0..3 {
        goes_on.write_all(b"more").unwrap();
        ends.read_exact(&mut heard).unwrap();
    }
    await_lifetime(&home, TRANSITORY);
}

#[rstest]
fn a_reset_from_either_side_ends_the_long_life(
    #[values(FullCone, Symmetric)] kind: Preset,
    #[values(true, false)] by_the_inside: bool,
) {
    let home = Home::new(kind, &["alice"]);
    let (inside, outside, _listener) = connected(&home);
    await_lifetime(&home, ESTABLISHED);
    let (resets, _kept) = if by_the_inside { (inside, outside) } else { (outside, inside) };
    reset(resets);
    await_lifetime(&home, TRANSITORY);
}

#[rstest]
fn an_unanswered_syn_lives_shortly(#[values(FullCone, Symmetric)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let nobody = SocketAddr::from(([203, 0, 113, 200], 80));
    let _knocking = start_connect(home.node("alice"), 5000, nobody);
    await_lifetime(&home, TRANSITORY);
}

#[test]
fn a_connection_that_closes_does_not_take_anothers_mapping_with_it() {
    let home = Home::new(FullCone, &["alice"]);
    let node = home.node("server");
    let listeners: Vec<TcpListener> = node
        .addresses()
        .iter()
        .map(|&address| node.within(|| TcpListener::bind((address, 80)).unwrap()).unwrap())
        .collect();
    let ends: Vec<(TcpStream, TcpStream)> = listeners
        .iter()
        .map(|listener| {
            let inside = connect_from(home.node("alice"), 5000, listener.local_addr().unwrap());
            (inside, listener.accept().unwrap().0)
        })
        .collect();
    assert_eq!(home.router().mappings().unwrap().entries.len(), 1, "they share one");
    ends[0].0.shutdown(Shutdown::Write).unwrap();
    ends[0].1.shutdown(Shutdown::Write).unwrap();
    (&ends[0].0).read_to_end(&mut Vec::new()).unwrap();
    (&ends[0].1).read_to_end(&mut Vec::new()).unwrap();
    await_lifetime(&home, ESTABLISHED);
}

#[rstest]
fn the_same_socket_may_connect_again(#[values(PortRestricted, Symmetric)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let node = home.node("server");
    let listener = node.within(|| TcpListener::bind((node.address(), 80)).unwrap()).unwrap();
    let to = listener.local_addr().unwrap();
    reset(connect_from(home.node("alice"), 5000, to));
    await_lifetime(&home, TRANSITORY);
    let _again = connect_from(home.node("alice"), 5000, to);
    await_lifetime(&home, ESTABLISHED);
}

#[test]
fn a_shortened_udp_lifetime_is_not_tcps() {
    let nat = Nat { timeout: Duration::from_secs(1), ..PortRestricted.nat().unwrap() };
    let home = Home::of(nat, &["alice"]);
    let _ends = connected(&home);
    await_lifetime(&home, ESTABLISHED);
}

fn reset(stream: TcpStream) {
    setsockopt(&stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
}

/// The packets that bring a state about may still be on their way.
#[track_caller]
fn await_lifetime(home: &Home, lifetime: Duration) {
    let start = Instant::now();
    loop {
        let table = home.router().mappings().unwrap();
        let [entry] = &table.entries[..] else { panic!("{table}") };
        assert_eq!(entry.protocol, Protocol::Tcp);
        if entry.left <= lifetime && entry.left > lifetime - 2 * PATIENCE {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{:?} are left", entry.left);
        std::thread::yield_now();
    }
}
