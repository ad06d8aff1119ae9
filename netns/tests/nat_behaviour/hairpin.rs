//! Two hosts behind one router meet by its outside address (RFC 4787 REQ-9a).

use netns::nat::Preset::{self, AddressRestricted, FullCone, PortRestricted, Symmetric};
use netns::nat::{Hairpin, Nat};
use rstest::rstest;

use super::home::{Home, at, hear, seen_by, tell};

#[rstest]
#[case::full_cone(FullCone, true)]
#[case::address_restricted(AddressRestricted, false)]
#[case::port_restricted(PortRestricted, false)]
#[case::symmetric(Symmetric, false)]
fn a_neighbour_is_filtered_like_anybody_else(#[case] kind: Preset, #[case] admitted: bool) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    let (alices, bobs) = (seen_by(&server[0], &alice), seen_by(&server[0], &bob));
    tell(&bob, alices, "hello, neighbour");
    if admitted {
        assert_eq!(hear(&alice), ("hello, neighbour".to_owned(), bobs), "the source is the outside address");
        tell(&alice, bobs, "hello back");
        assert_eq!(hear(&bob), ("hello back".to_owned(), alices));
    } else {
        home.await_filtered(1);
        tell(&server[0], alices, "from the server");
        assert_eq!(hear(&alice).0, "from the server");
    }
}

#[rstest]
fn neighbours_who_both_send_meet_unless_their_ports_move(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    let (alices, bobs) = (seen_by(&server[0], &alice), seen_by(&server[0], &bob));
    tell(&alice, bobs, "one");
    if kind == Symmetric {
        home.await_filtered(1);
        tell(&bob, alices, "two");
        home.await_filtered(2);
        return;
    }
    if kind == FullCone {
        assert_eq!(hear(&bob), ("one".to_owned(), alices));
    } else {
        home.await_filtered(1);
    }
    tell(&bob, alices, "two");
    assert_eq!(hear(&alice), ("two".to_owned(), bobs));
    tell(&alice, bobs, "three");
    assert_eq!(hear(&bob), ("three".to_owned(), alices));
}

#[test]
fn a_host_meets_itself_by_its_outside_address() {
    let home = Home::new(FullCone, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    tell(&alice, outside, "is this me?");
    assert_eq!(hear(&alice), ("is this me?".to_owned(), outside));
}

#[test]
fn a_hairpin_to_nobody_is_counted_and_leaves_the_router_well() {
    let home = Home::new(FullCone, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    tell(&alice, home.outside(4444), "is anybody here?");
    home.await_filtered(1);
    assert_eq!(seen_by(&server[0], &alice), home.outside(5000));
}

#[test]
fn a_hairpinned_tcp_connection_works() {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    let home = Home::new(FullCone, &["alice", "bob"]);
    // Alice's port becomes known outside because she has sent from it: TCP port 5000 is mapped by a connection.
    let server = home.node("server").within(|| TcpListener::bind("203.0.113.2:80").unwrap()).unwrap();
    let alice = home.node("alice");
    let out = super::tcp::connect_from(alice, 5000, server.local_addr().unwrap());
    let (_held, seen) = server.accept().unwrap();
    assert_eq!(seen.port(), 5000);
    let listener = super::tcp::listen(alice, 5000);
    let mut bob = home.node("bob").within(|| TcpStream::connect(seen).unwrap()).unwrap();
    let (mut accepted, from) = listener.accept().unwrap();
    assert_eq!(from.ip(), seen.ip(), "bob is seen at the outside address");
    bob.write_all(b"over the hair").unwrap();
    let mut heard = [0; 13];
    accepted.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"over the hair");
    drop(out);
}

#[rstest]
fn where_there_is_no_hairpin_it_is_dropped_and_counted(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::of(Nat { hairpin: Hairpin::Off, ..kind.nat().unwrap() }, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    let (alices, bobs) = (seen_by(&server[0], &alice), seen_by(&server[0], &bob));
    for dropped in [1, 3] {
        tell(&bob, alices, "hello, neighbour");
        home.await_filtered(dropped);
        tell(&alice, bobs, "hello back");
        home.await_filtered(dropped + 1);
    }
    tell(&server[0], alices, "from the server");
    assert_eq!(hear(&alice).0, "from the server");
}

#[rstest]
#[case::full_cone(FullCone, true)]
#[case::address_restricted(AddressRestricted, false)]
#[case::port_restricted(PortRestricted, false)]
#[case::symmetric(Symmetric, false)]
fn an_internal_hairpin_shows_the_inside_address_to_whom_the_filter_lets_it(
    #[case] kind: Preset,
    #[case] admitted: bool,
) {
    let home = Home::of(Nat { hairpin: Hairpin::Internal, ..kind.nat().unwrap() }, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    let (alices, bobs) = (seen_by(&server[0], &alice), seen_by(&server[0], &bob));
    tell(&bob, alices, "hello, neighbour");
    if !admitted {
        home.await_filtered(1);
        if kind == Symmetric {
            return;
        }
        // She sends to his outside address, which admits that to hers.
        tell(&alice, bobs, "hello");
        assert_eq!(hear(&bob), ("hello".to_owned(), at(&alice)), "hers is the inside address");
        tell(&bob, alices, "hello, neighbour");
    }
    assert_eq!(hear(&alice), ("hello, neighbour".to_owned(), at(&bob)));
    // An answer to that goes straight, and not through the router's translation.
    tell(&alice, at(&bob), "straight");
    assert_eq!(hear(&bob), ("straight".to_owned(), at(&alice)));
}

#[rstest]
fn an_error_about_what_has_turned_round_goes_back_to_who_sent_it(
    #[values(FullCone, AddressRestricted, Symmetric)] kind: Preset,
) {
    use netns::nat::Filtering::EndpointIndependent;
    let nat = Nat { filtering: EndpointIndependent, ..kind.nat().unwrap() };
    let home = Home::of(nat, &["alice", "bob"]);
    let (bob, server) = (home.udp("bob", 5001), home.server());
    let alices = seen_by(&server[0], &home.udp("alice", 5000));
    // Alice's socket is closed by now.
    bob.connect(alices).unwrap();
    bob.send(b"are you there?").unwrap();
    assert_eq!(bob.recv(&mut [0; 16]).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}
