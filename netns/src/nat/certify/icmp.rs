//! ICMP: queries, and errors about UDP from both sides.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::socket::SockProtocol;

use super::Broken;
use super::bench::{Bench, Inbound, PATIENCE, Seen, at, fact, unproven, until};
use super::facts::{Errors, Icmp};
use crate::nat::table::Protocol;
use crate::raw;

const PORT: u16 = 5000;
/// Of an unreachable port.
const CLOSED: u8 = 3;

pub(super) fn ask(bench: &Bench) -> Result<Icmp, Broken> {
    let icmp = Icmp {
        queries: fact(queries(bench))?,
        reported: fact(reported(bench))?,
        bad_checksum_comes_in: fact(bad_checksum(bench))?,
        from_outside: fact(from_outside(bench))?,
        unfounded_comes_in: fact(unfounded(bench))?,
        from_inside: fact(from_inside(bench))?,
        hairpinned: fact(hairpinned(bench))?,
    };
    bench.fresh()?;
    Ok(icmp)
}

/// Two hosts send echo requests with one identifier.
fn queries(bench: &Bench) -> Seen<bool> {
    const IDENTIFIER: u16 = 77;
    bench.fresh()?;
    let (near, _) = bench.server_addresses()?;
    let wires = [
        raw::open(bench.node("alice")?, SockProtocol::Icmp)?,
        raw::open(bench.node("bob")?, SockProtocol::Icmp)?,
    ];
    let words = [b"for alice", b"for bob  "];
    for (wire, word) in wires.iter().zip(words) {
        raw::send(wire, near, &raw::echo(IDENTIFIER, word))?;
    }
    for (wire, word) in wires.iter().zip(words) {
        let is_reply = |message: &[u8]| {
            message.first() == Some(&raw::ECHO_REPLY)
                && message.get(4..6) == Some(&IDENTIFIER.to_be_bytes()[..])
                && message.get(8..) == Some(&word[..])
                && raw::sum(message) == 0xffff
        };
        if hear(wire, is_reply, |_| Ok(false))?.is_none() {
            return unproven("an echo request has no reply in its own terms");
        }
    }
    Ok(true)
}

fn reported(bench: &Bench) -> Seen<Duration> {
    bench.fresh()?;
    let (near, _) = bench.server_addresses()?;
    let wire = raw::open(bench.node("alice")?, SockProtocol::Icmp)?;
    raw::send(&wire, near, &raw::echo(78, b"how long?"))?;
    let mut entry = None;
    until("an echo request is not in the router's table", || {
        entry = bench.entry(|entry| entry.protocol == Protocol::Echo)?;
        Ok(entry.is_some())
    })?;
    Ok(entry.map_or(Duration::ZERO, |entry| entry.left))
}

/// Alice's socket, her outside address and the server's place.
struct Flow {
    alice: std::net::UdpSocket,
    near: std::net::UdpSocket,
    outside: SocketAddrV4,
}

impl Flow {
    fn open(bench: &Bench) -> Seen<Flow> {
        bench.fresh()?;
        let (alice, [near, ..]) = (bench.udp("alice", PORT)?, bench.server()?);
        let outside = bench.seen(&alice, &near)?;
        Ok(Flow { alice, near, outside })
    }

    /// Says that alice's port is closed, as the server would of its own.
    fn error(&self) -> Seen<Vec<u8>> {
        Ok(raw::error(raw::UNREACHABLE, CLOSED, &raw::quoted(raw::UDP, self.outside, at(&self.near)?)))
    }
}

fn bad_checksum(bench: &Bench) -> Seen<bool> {
    let flow = Flow::open(bench)?;
    let wire = raw::open(bench.node("alice")?, SockProtocol::Icmp)?;
    let mut error = flow.error()?;
    error[2] ^= 0x55;
    Ok(send_error(bench, &error, *flow.outside.ip(), &wire)?.is_some())
}

fn from_outside(bench: &Bench) -> Seen<Errors> {
    let flow = Flow::open(bench)?;
    let (here, there) = (at(&flow.alice)?, at(&flow.near)?);
    let wire = raw::open(bench.node("alice")?, SockProtocol::Icmp)?;
    let left = || {
        let entry = bench.entry(|entry| entry.protocol == Protocol::Udp && entry.inside == here.into())?;
        Ok::<_, super::bench::Trouble>(entry.map(|entry| entry.left))
    };
    // A timer that has run for so long shows it if it is started again.
    std::thread::sleep(Duration::from_millis(50));
    let before = left()?;
    let came = send_error(bench, &flow.error()?, *flow.outside.ip(), &wire)?;
    let refreshed = before.zip(left()?).map(|(before, after)| after > before);
    Ok(Errors {
        translated: came.is_some_and(|error| is_about(&error, here, there)),
        mapping_lives: bench.admits(&flow.near, flow.outside, &flow.alice)?,
        refreshed,
    })
}

/// About a packet that nobody has sent.
fn unfounded(bench: &Bench) -> Seen<bool> {
    let flow = Flow::open(bench)?;
    let wire = raw::open(bench.node("alice")?, SockProtocol::Icmp)?;
    let nobody = SocketAddrV4::new(*flow.outside.ip(), 4446);
    let error = raw::error(raw::UNREACHABLE, CLOSED, &raw::quoted(raw::UDP, nobody, at(&flow.near)?));
    Ok(send_error(bench, &error, *flow.outside.ip(), &wire)?.is_some())
}

/// Alice's socket is closed when the server's packet comes.
fn from_inside(bench: &Bench) -> Seen<Errors> {
    let Flow { alice, near, outside } = Flow::open(bench)?;
    let there = at(&near)?;
    drop(alice);
    let wire = raw::open(bench.node("server")?, SockProtocol::Icmp)?;
    near.send_to(b"are you there?", outside)?;
    let before = bench.drops()?.all();
    let heard = hear(&wire, is_error, |_| Ok(bench.drops()?.all() > before))?;
    let translated = heard.is_some_and(|error| is_about(&error, there, outside));
    let alice = bench.udp("alice", PORT)?;
    let mapping_lives = bench.inward(&near, outside, &[&alice])? != Inbound::Dropped;
    Ok(Errors { translated, mapping_lives, refreshed: None })
}

/// Bob's socket is closed when alice's packet comes by the outside address.
fn hairpinned(bench: &Bench) -> Seen<bool> {
    let Flow { alice, near, outside } = Flow::open(bench)?;
    let bob = bench.udp("bob", PORT + 1)?;
    let bobs = bench.seen(&bob, &near)?;
    // He lets her in first, where he filters.
    bench.inward(&bob, outside, &[&alice])?;
    drop(bob);
    let wire = raw::open(bench.node("alice")?, SockProtocol::Icmp)?;
    let (here, before, taken) = (at(&alice)?, bench.drops()?.all(), taken_by_router(bench)?);
    alice.send_to(b"are you there?", bobs)?;
    let is_lost = |_: &OwnedFd| Ok(bench.drops()?.all() > before || taken_by_router(bench)? > taken);
    let heard = hear(&wire, is_error, is_lost)?;
    Ok(heard.is_some_and(|error| is_about(&error, here, bobs)))
}

/// How many errors the router has taken for itself, as its kernel counts them.
fn taken_by_router(bench: &Bench) -> Result<u64, Broken> {
    let router = bench.node("router")?;
    let text = router.within(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))??;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Icmp: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut counters = names.split(' ').zip(values.split(' '));
    let counter = counters.find(|(name, _)| *name == "InDestUnreachs");
    counter.and_then(|(_, value)| value.parse().ok()).ok_or_else(|| Broken::missing("counters of ICMP"))
}

/// The server sends an error to the router's outside; what comes in of it, else `None`: it was counted as dropped.
pub(super) fn send_error(
    bench: &Bench,
    error: &[u8],
    outside: Ipv4Addr,
    wire: &OwnedFd,
) -> Seen<Option<Vec<u8>>> {
    let server = raw::open(bench.node("server")?, SockProtocol::Icmp)?;
    let before = bench.drops()?.all();
    raw::send(&server, outside, error)?;
    hear(wire, is_error, |_| Ok(bench.drops()?.all() > before))
}

fn is_error(message: &[u8]) -> bool {
    message.first() == Some(&raw::UNREACHABLE)
}

/// The next message that it is; `None` where something else says that there is none.
fn hear(
    wire: &OwnedFd,
    is_it: impl Fn(&[u8]) -> bool,
    mut is_lost: impl FnMut(&OwnedFd) -> Seen<bool>,
) -> Seen<Option<Vec<u8>>> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        while let Some(packet) = raw::next(wire)? {
            let header = usize::from(packet[0] & 0xf) * 4;
            if is_it(&packet[header..]) {
                return Ok(Some(packet[header..].to_vec()));
            }
        }
        if is_lost(wire)? {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    unproven("an ICMP message neither arrived nor was counted")
}

/// Whether an error quotes a packet of this flow, and all its checksums hold.
pub(super) fn is_about(error: &[u8], source: SocketAddrV4, destination: SocketAddrV4) -> bool {
    let Some(quoted) = error.get(8..).filter(|quoted| quoted.len() >= 28) else { return false };
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    quoted[12..16] == source.ip().octets()
        && quoted[16..20] == destination.ip().octets()
        && quoted[20..24] == ports[..]
        && (raw::sum(error), raw::sum(&quoted[..20])) == (0xffff, 0xffff)
}
