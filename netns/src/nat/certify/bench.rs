//! The bench that a router is certified on: two hosts inside, a server with two addresses outside. Everything that is
//! awaited is an event: a packet that arrives, or a counter of the router that rises.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Broken;
use super::facts::Fact;
use crate::lab::{Drops, Lab, Router};
use crate::nat::table::Entry;
use crate::nat::{Egress, Nat};
use crate::node::Node;
use crate::topology::{Topology, Uplink};

/// What is awaited comes in microseconds; this is for a machine that has much else to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How often a counter is read while nothing arrives.
const RECOUNT: Duration = Duration::from_millis(2);

/// The two ports at each of the server's addresses.
pub(super) const SERVER_PORTS: [u16; 2] = [3478, 3479];

/// The router, its hosts and the server.
pub(super) struct Bench {
    pub(super) lab: Lab,
    marks: AtomicU64,
}

/// Why a fact could not be had.
pub(super) enum Trouble {
    /// The machine failed: there is no certificate at all.
    Broken(Broken),
    /// What was awaited did not happen: the router is not what it should be.
    Unproven(String),
}

pub(super) type Seen<T> = Result<T, Trouble>;

impl<E: Into<Broken>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Trouble::Broken(error.into())
    }
}

/// What a packet from outside, or from one inside host to the outside address, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inbound {
    /// It arrived at the socket of this number, and showed this source.
    Arrived(usize, SocketAddrV4),
    /// The router has counted it as dropped.
    Dropped,
}

/// What a packet from inside came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outbound {
    /// The server saw it from here.
    Left(SocketAddrV4),
    /// The router has counted it as one that it has no port for.
    Exhausted,
    /// The router has counted it as one that its policy refuses.
    Refused,
}

/// Turns what was seen into a fact; only the machine's own failure goes on.
pub(super) fn fact<T>(seen: Seen<T>) -> Result<Fact<T>, Broken> {
    match seen {
        Ok(seen) => Ok(Fact::Is(seen)),
        Err(Trouble::Unproven(why)) => Ok(Fact::Unproven(why)),
        Err(Trouble::Broken(broken)) => Err(broken),
    }
}

pub(super) fn unproven<T>(why: impl Into<String>) -> Seen<T> {
    Err(Trouble::Unproven(why.into()))
}

impl Bench {
    /// A router of this kind, with its neighbours.
    pub(super) fn build(nat: &Nat) -> Result<Bench, Broken> {
        let topology = Topology::default().router("router", Uplink::Internet, *nat).server("server", 2);
        Self::of(&topology.host("alice", "router".into()).host("bob", "router".into()))
    }

    /// Any topology that has these names.
    pub(super) fn of(topology: &Topology) -> Result<Bench, Broken> {
        Ok(Bench { lab: Lab::build(topology)?, marks: AtomicU64::new(0) })
    }

    pub(super) fn node(&self, name: &str) -> Result<&Node, Broken> {
        self.lab.node(name).ok_or_else(|| Broken::missing(name))
    }

    pub(super) fn router(&self) -> Result<&Router, Broken> {
        self.lab.router("router").ok_or_else(|| Broken::missing("router"))
    }

    /// The router as it was when it was built; where it has a portal, somebody has logged in.
    pub(super) fn fresh(&self) -> Result<(), Broken> {
        let router = self.router()?;
        router.reboot()?;
        if router.nat().egress == Egress::Portal {
            router.log_in()?;
        }
        Ok(())
    }

    pub(super) fn drops(&self) -> Result<Drops, Broken> {
        Ok(self.router()?.drops()?)
    }

    /// A socket of a host on this port of its first address.
    pub(super) fn udp(&self, node: &str, port: u16) -> Result<UdpSocket, Broken> {
        let node = self.node(node)?;
        bind(node, node.address(), port)
    }

    /// The server's sockets: near address and near port, near and far, far and near, far and far.
    pub(super) fn server(&self) -> Result<[UdpSocket; 4], Broken> {
        let node = self.node("server")?;
        let (near, far) = self.server_addresses()?;
        let [low, high] = SERVER_PORTS;
        Ok([bind(node, near, low)?, bind(node, near, high)?, bind(node, far, low)?, bind(node, far, high)?])
    }

    pub(super) fn server_addresses(&self) -> Result<(Ipv4Addr, Ipv4Addr), Broken> {
        match self.node("server")?.addresses() {
            &[near, far, ..] => Ok((near, far)),
            _ => Err(Broken::missing("the server's second address")),
        }
    }

    /// Something that no other packet of this bench carries.
    pub(super) fn mark(&self) -> [u8; 8] {
        (0x6e61_746c_0000_0000 | self.marks.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
    }

    /// Sends from inside to the server, which says what it saw.
    pub(super) fn outward(&self, from: &UdpSocket, server: &UdpSocket) -> Seen<Outbound> {
        let (mark, to) = (self.mark(), at(server)?);
        let before = self.drops()?;
        from.send_to(&mark, to)?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some((_, seen)) = hear(&[server], &mark, RECOUNT)? {
                return Ok(Outbound::Left(v4(seen)?));
            }
            let now = self.drops()?;
            if now.exhausted > before.exhausted {
                return Ok(Outbound::Exhausted);
            }
            if now.refused > before.refused {
                return Ok(Outbound::Refused);
            }
        }
        unproven(format!("a packet from {} to {to} neither arrived nor was counted", at(from)?))
    }

    /// The same where it must leave.
    pub(super) fn seen(&self, from: &UdpSocket, server: &UdpSocket) -> Seen<SocketAddrV4> {
        match self.outward(from, server)? {
            Outbound::Left(seen) => Ok(seen),
            other => {
                unproven(format!("a packet from {} to {} was not let out: {other:?}", at(from)?, at(server)?))
            }
        }
    }

    /// Sends to an outside address, and watches who of these gets it.
    pub(super) fn inward(&self, from: &UdpSocket, to: SocketAddrV4, sockets: &[&UdpSocket]) -> Seen<Inbound> {
        let mark = self.mark();
        let before = self.drops()?.filtered;
        // An error that an earlier packet has brought back is not about this one.
        while let Err(error) = from.send_to(&mark, to) {
            if error.kind() != io::ErrorKind::ConnectionRefused {
                return Err(error.into());
            }
        }
        match until_counted(self, sockets, &mark, before)? {
            Some((index, source)) => Ok(Inbound::Arrived(index, v4(source)?)),
            None => Ok(Inbound::Dropped),
        }
    }

    /// Whether the only socket that should get it does.
    pub(super) fn admits(&self, from: &UdpSocket, to: SocketAddrV4, socket: &UdpSocket) -> Seen<bool> {
        Ok(self.inward(from, to, &[socket])? != Inbound::Dropped)
    }

    /// The row of the router's table that this is about.
    pub(super) fn entry(&self, is: impl Fn(&Entry) -> bool) -> Seen<Option<Entry>> {
        Ok(self.router()?.mappings()?.entries.into_iter().find(is))
    }
}

/// Who of these gets a packet from outside, and from where; `None` where the router has counted it as dropped.
pub(super) fn until_counted(
    bench: &Bench,
    sockets: &[&UdpSocket],
    mark: &[u8],
    before: u64,
) -> Seen<Option<(usize, SocketAddr)>> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(heard) = hear(sockets, mark, RECOUNT)? {
            return Ok(Some(heard));
        }
        if bench.drops()?.filtered > before {
            return Ok(None);
        }
    }
    unproven("a packet from outside neither arrived nor was counted as dropped")
}

/// Waits a moment for a datagram that carries this mark, at any of these sockets.
pub(super) fn hear(
    sockets: &[&UdpSocket],
    mark: &[u8],
    patience: Duration,
) -> io::Result<Option<(usize, SocketAddr)>> {
    let mut ready: Vec<PollFd<'_>> =
        sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
    match poll(&mut ready, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut buffer = vec![0; 65_536];
    for (index, socket) in sockets.iter().enumerate() {
        loop {
            match socket.recv_from(&mut buffer) {
                Ok((length, source)) if buffer[..length] == *mark => {
                    return Ok(Some((index, source)));
                }
                // Something older, or an error about it.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// Waits for something that is no packet.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> Seen<bool>) -> Seen<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if is_so()? {
            return Ok(());
        }
        std::thread::sleep(RECOUNT);
    }
    unproven(what)
}

fn bind(node: &Node, address: Ipv4Addr, port: u16) -> Result<UdpSocket, Broken> {
    socket(node, (address, port).into())
}

/// A socket of a node that waits for nothing.
pub(super) fn socket(node: &Node, at: SocketAddr) -> Result<UdpSocket, Broken> {
    let socket = node.within(|| UdpSocket::bind(at))??;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Where a socket is.
pub(super) fn at(socket: &UdpSocket) -> Result<SocketAddrV4, Broken> {
    v4(socket.local_addr()?)
}

pub(super) fn v4(address: SocketAddr) -> Result<SocketAddrV4, Broken> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => Err(Broken::missing(&format!("an IPv4 address instead of {address}"))),
    }
}
