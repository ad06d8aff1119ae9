//! Who may send to an outside port (RFC 4787 section 5). A negative is a drop that the router has counted, and a later
//! packet that arrives first.

use netns::nat::Preset::{self, AddressRestricted, FullCone, PortRestricted, Symmetric};
use rstest::rstest;

use super::home::{Home, at, datagram, hear, packet, seen_by, send_packet, tell};

#[rstest]
#[case::full_cone(FullCone, true, true)]
#[case::address_restricted(AddressRestricted, true, false)]
#[case::port_restricted(PortRestricted, false, false)]
#[case::symmetric(Symmetric, false, false)]
fn a_stranger_is_admitted_as_the_class_says(
    #[case] kind: Preset,
    #[case] other_port: bool,
    #[case] other_address: bool,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    let mut dropped = 0;
    for (stranger, admitted) in
        [(&server[1], other_port), (&server[2], other_address), (&server[3], other_address)]
    {
        tell(stranger, outside, "from a stranger");
        if admitted {
            assert_eq!(hear(&alice), ("from a stranger".to_owned(), at(stranger)));
        } else {
            dropped += 1;
            home.await_filtered(dropped);
        }
        tell(&server[0], outside, "from a friend");
        assert_eq!(hear(&alice), ("from a friend".to_owned(), at(&server[0])));
    }
    assert_eq!(home.filtered(), dropped);
}

#[rstest]
fn sending_to_a_stranger_admits_it(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    for server in &server {
        let outside = seen_by(server, &alice);
        tell(server, outside, "an answer");
        assert_eq!(hear(&alice), ("an answer".to_owned(), at(server)));
    }
    assert_eq!(home.filtered(), 0);
}

#[rstest]
fn what_one_host_opened_does_not_open_the_port_of_another(
    #[values(AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    let (alices, _) = (seen_by(&server[0], &alice), seen_by(&server[2], &bob));
    tell(&server[2], alices, "bob's friend");
    home.await_filtered(1);
    tell(&server[0], alices, "alice's friend");
    assert_eq!(hear(&alice).0, "alice's friend");
}

#[rstest]
fn a_packet_without_mapping_is_dropped_in_silence(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    server[0].connect(home.outside(4444)).unwrap();
    server[0].send(b"is anybody here?").unwrap();
    home.await_filtered(1);
    // Whatever the router had answered would have come before this, on the same wire.
    seen_by(&server[1], &alice);
    assert!(server[0].take_error().unwrap().is_none());
}

#[rstest]
fn the_private_address_of_a_host_is_not_reachable_from_outside(#[values(FullCone, Symmetric)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    // The internet itself drops it where it has no route; here it is handed to the router's own door.
    let forged = packet(
        *at(&server[0]).ip(),
        home.node("alice").address(),
        17,
        &datagram(at(&server[0]).port(), 5000, b"forged"),
    );
    send_packet(home.node("internet"), home.router().outside(), &forged);
    home.await_filtered(1);
    send_packet(home.node("server"), home.router().outside(), &forged);
    tell(&server[0], outside, "honest");
    assert_eq!(hear(&alice).0, "honest");
    assert_eq!(home.filtered(), 1);
}
