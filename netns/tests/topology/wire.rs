//! Sockets in nodes, and how many packets a node has taken in.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use netns::lab::Lab;
use netns::nat::{Family, Nat, Preset};

/// What is awaited comes in microseconds; this is for a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The port of every socket that these tests open.
pub(crate) const PORT: u16 = 5000;

/// A full cone that serves these families.
pub(crate) fn full_cone(family: Family) -> Nat {
    Nat { family, ..Preset::FullCone.nat().unwrap() }
}

/// A socket on the first IPv4 address of a node.
pub(crate) fn udp(lab: &Lab, node: &str) -> UdpSocket {
    udp_on(lab, node, lab.node(node).unwrap().address().into())
}

/// A socket on the first IPv6 address of a node.
pub(crate) fn udp_v6(lab: &Lab, node: &str) -> UdpSocket {
    udp_on(lab, node, lab.node(node).unwrap().addresses_v6()[0].into())
}

pub(crate) fn udp_on(lab: &Lab, node: &str, address: IpAddr) -> UdpSocket {
    let node = lab.node(node).unwrap();
    let socket = node.within(|| UdpSocket::bind((address, PORT)).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[track_caller]
pub(crate) fn tell(socket: &UdpSocket, to: SocketAddr, text: &str) {
    socket.send_to(text.as_bytes(), to).unwrap();
}

/// The next datagram, as text, and who sent it.
#[track_caller]
pub(crate) fn hear(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).expect("a datagram arrives");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

pub(crate) fn at(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

/// Sends to a server's socket and gives what it saw as the source.
#[track_caller]
pub(crate) fn seen_by(server: &UdpSocket, from: &UdpSocket) -> SocketAddr {
    tell(from, at(server), "who am I?");
    hear(server).1
}

/// There and back, each under its own address.
#[track_caller]
pub(crate) fn assert_they_meet(one: &UdpSocket, other: &UdpSocket) {
    tell(one, at(other), "there");
    assert_eq!(hear(other), ("there".to_owned(), at(one)));
    tell(other, at(one), "and back");
    assert_eq!(hear(one), ("and back".to_owned(), at(other)));
}

/// How many packets all links of a node have taken in, but its loopback.
pub(crate) fn packets_into(lab: &Lab, node: &str) -> u64 {
    let node = lab.node(node).unwrap();
    let text = node.within(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
    let links = text.lines().filter_map(|line| line.trim().split_once(':'));
    links
        .filter(|(name, _)| *name != "lo")
        .map(|(_, counters)| counters.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
        .sum()
}
