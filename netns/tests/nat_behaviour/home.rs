//! The lab of most tests: a few hosts behind one router, and a public server of two addresses.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use netns::lab::{Drops, Lab, Router};
use netns::nat::{Nat, Preset};
use netns::node::Node;
pub(crate) use netns::raw::{datagram, packet};
use netns::topology::{Topology, Uplink};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};

/// What is awaited comes in microseconds; this is for a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The two ports at each of the server's addresses.
pub(crate) const SERVER_PORTS: [u16; 2] = [3478, 3479];

pub(crate) struct Home {
    pub(crate) lab: Lab,
}

impl Home {
    /// A router of this kind with these hosts.
    pub(crate) fn new(kind: Preset, hosts: &[&str]) -> Self {
        Self::of(kind.nat().unwrap(), hosts)
    }

    /// A router that does this, with these hosts.
    pub(crate) fn of(nat: Nat, hosts: &[&str]) -> Self {
        let mut topology = Topology::default().router("home", Uplink::Internet, nat).server("server", 2);
        for host in hosts {
            topology = topology.host(host, "home".into());
        }
        Home { lab: Lab::build(&topology).unwrap() }
    }

    pub(crate) fn node(&self, name: &str) -> &Node {
        self.lab.node(name).unwrap()
    }

    pub(crate) fn router(&self) -> &Router {
        self.lab.router("home").unwrap()
    }

    /// The address that hosts know the router by: with one host, the one before it.
    pub(crate) fn router_inside(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.node("alice").address()) - 1)
    }

    /// A port of the router's outside address.
    pub(crate) fn outside(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.router().outside(), port)
    }

    pub(crate) fn udp(&self, node: &str, port: u16) -> UdpSocket {
        udp(self.node(node), self.node(node).address(), port)
    }

    /// The server's sockets: first address and first port, first and second, second and first, second and second.
    pub(crate) fn server(&self) -> [UdpSocket; 4] {
        let node = self.node("server");
        let [first, second] = node.addresses().try_into().unwrap();
        let [low, high] = SERVER_PORTS;
        [(first, low), (first, high), (second, low), (second, high)]
            .map(|(address, port)| udp(node, address, port))
    }

    /// Waits until the router has dropped so many inbound packets.
    pub(crate) fn await_filtered(&self, count: u64) {
        self.await_drops(|drops| drops.filtered >= count);
        assert_eq!(self.filtered(), count);
    }

    pub(crate) fn await_drops(&self, arrived: impl Fn(&Drops) -> bool) {
        let start = Instant::now();
        while !arrived(&self.router().drops().unwrap()) {
            assert!(start.elapsed() < PATIENCE, "still only {:?}", self.router().drops());
            std::thread::yield_now();
        }
    }

    pub(crate) fn filtered(&self) -> u64 {
        self.router().drops().unwrap().filtered
    }
}

pub(crate) fn udp(node: &Node, address: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = node.within(|| UdpSocket::bind((address, port)).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The next datagram, as text, and who sent it.
#[track_caller]
pub(crate) fn hear(socket: &UdpSocket) -> (String, SocketAddrV4) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).expect("a datagram arrives");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), v4(from))
}

#[track_caller]
pub(crate) fn tell(socket: &UdpSocket, to: SocketAddrV4, text: &str) {
    socket.send_to(text.as_bytes(), to).unwrap();
}

/// Where a socket is.
pub(crate) fn at(socket: &UdpSocket) -> SocketAddrV4 {
    v4(socket.local_addr().unwrap())
}

/// Sends to a server's socket and gives what it saw as the source.
#[track_caller]
pub(crate) fn seen_by(server: &UdpSocket, from: &UdpSocket) -> SocketAddrV4 {
    tell(from, at(server), "who am I?");
    hear(server).1
}

pub(crate) fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => panic!("{address} is not IPv4"),
    }
}

/// A raw socket of this protocol in a node.
pub(crate) fn raw(node: &Node, protocol: SockProtocol) -> OwnedFd {
    let opened = node.within(|| socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol));
    let fd = opened.unwrap().unwrap();
    let patience = nix::sys::time::TimeVal::new(PATIENCE.as_secs() as i64, 0);
    setsockopt(&fd, sockopt::ReceiveTimeout, &patience).unwrap();
    fd
}

/// Sends a whole IP packet, as its header says, by way of the neighbour that leads to `by`.
pub(crate) fn send_packet(node: &Node, by: Ipv4Addr, packet: &[u8]) {
    netns::raw::send_packet(node, by, packet).unwrap();
}
