//! Packets that no socket would send: built by hand, sent and received by raw sockets of a node.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, socket,
};

use crate::node::Node;

/// ICMP message types.
pub const ECHO_REPLY: u8 = 0;
/// Something could not be delivered.
pub const UNREACHABLE: u8 = 3;
/// A question.
pub const ECHO_REQUEST: u8 = 8;
/// A packet has met too many routers.
pub const TIME_EXCEEDED: u8 = 11;

/// UDP's number.
pub const UDP: u8 = 17;

/// A raw socket of this protocol in a node; it hears every packet of it that the node takes in.
pub fn open(node: &Node, protocol: SockProtocol) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let opened = node.within(|| socket(AddressFamily::Inet, SockType::Raw, flags, protocol));
    Ok(opened.map_err(io::Error::other)??)
}

/// Sends a whole IP packet, as its header says, by way of the neighbour that leads to `by`.
pub fn send_packet(node: &Node, by: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
    send(&open(node, SockProtocol::Raw)?, by, packet)
}

/// Sends what follows the IP header.
pub fn send(socket: &OwnedFd, to: Ipv4Addr, bytes: &[u8]) -> io::Result<()> {
    let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
    sendto(socket.as_raw_fd(), bytes, &to, MsgFlags::empty())?;
    Ok(())
}

/// The next packet, IP header and all, where one is waiting.
pub fn next(socket: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 65_536];
    match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
        Ok(length) => {
            buffer.truncate(length);
            Ok(Some(buffer))
        }
        Err(nix::errno::Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// An IP packet; the kernel completes length, identification (where 0) and checksum.
pub fn packet(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// A UDP datagram without checksum.
pub fn datagram(source_port: u16, destination_port: u16, text: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + text.len());
    datagram.extend(source_port.to_be_bytes());
    datagram.extend(destination_port.to_be_bytes());
    datagram.extend((8 + text.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(text);
    datagram
}

/// Cuts the payload of a UDP packet into IP fragments of at most `piece` bytes, a multiple of 8.
pub fn fragments(source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8], piece: usize) -> Vec<Vec<u8>> {
    const MORE: u16 = 0x2000;
    let cut = |(index, bytes): (usize, &[u8])| {
        let mut fragment = packet(source, destination, UDP, bytes);
        let offset = (index * piece / 8) as u16;
        let flags = if (index + 1) * piece < payload.len() { MORE | offset } else { offset };
        fragment[4..6].copy_from_slice(&[0x12, 0x34]);
        fragment[6..8].copy_from_slice(&flags.to_be_bytes());
        fragment
    };
    payload.chunks(piece).enumerate().map(cut).collect()
}

/// An echo request.
pub fn echo(identifier: u16, text: &[u8]) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    let mut message = vec![ECHO_REQUEST, 0, 0, 0, high, low, 0, 1];
    message.extend(text);
    with_checksum(message)
}

/// An error about a packet, which it quotes.
pub fn error(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend(quoted);
    with_checksum(message)
}

/// The first bytes of a packet between two places, as an error quotes them: the IP header, the ports and four more.
pub fn quoted(protocol: u8, source: SocketAddrV4, destination: SocketAddrV4) -> Vec<u8> {
    let start = datagram(source.port(), destination.port(), &[]);
    let mut quoted = packet(*source.ip(), *destination.ip(), protocol, &start);
    quoted[2..4].copy_from_slice(&28_u16.to_be_bytes());
    let checksum = !sum(&quoted[..20]);
    quoted[10..12].copy_from_slice(&checksum.to_be_bytes());
    quoted
}

fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    let checksum = !sum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// The one's complement sum of 16-bit words; 0xffff over whatever holds its own checksum.
pub fn sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()])));
    let total = words.sum::<u32>();
    let folded = (total >> 16) + (total & 0xffff);
    ((folded >> 16) + (folded & 0xffff)) as u16
}
