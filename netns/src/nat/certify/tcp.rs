//! TCP, with plain connections; what comes too early is a SYN that dies on its way.

mod connection;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{SockProtocol, setsockopt, sockopt};

use super::Broken;
use super::bench::{Bench, PATIENCE, Seen, fact, unproven, until, v4};
use super::facts::{Collision, Errors, Fact, Tcp};
use super::icmp;
use crate::nat::table::{Entry, Protocol};
use crate::nat::{Filtering, Hairpin, Mapping};
use crate::raw;
use connection::{Connected, is_over, listen, open_at, start, start_at};
pub(super) use connection::{Opened, open};

pub(super) const HTTPS: u16 = 443;
/// The ports that the server is asked on, where both leave.
pub(super) const PORTS: [u16; 2] = [80, HTTPS];
/// A packet that passes the router and dies at the next hop.
const SHORT_LIVED: i32 = 2;

pub(super) fn ask(bench: &Bench, ports: [u16; 2]) -> Result<Tcp, Broken> {
    let mapping = fact(mapping(bench, ports))?;
    let is_stable =
        !matches!(mapping, Fact::Is(Some(Mapping::AddressDependent | Mapping::AddressAndPortDependent)));
    let filtering = fact(filtering(bench, ports))?;
    let hairpin = if is_stable {
        fact(hairpin(bench, ports, &filtering))?
    } else {
        Fact::NotTested("neighbours behind such a router do not know each other's ports")
    };
    let tcp = Tcp {
        simultaneous_open: fact(simultaneous(bench, ports))?,
        syn_is_answered: fact(unsolicited(bench, ports))?,
        established: fact(established(bench, ports))?,
        transitory: fact(transitory(bench, ports))?,
        collision: fact(collision(bench, ports))?,
        errors: fact(errors(bench, ports))?,
        payload_is_left_alone: fact(payload(bench, ports))?,
        mapping,
        filtering,
        hairpin,
    };
    bench.fresh()?;
    Ok(tcp)
}

fn mapping(bench: &Bench, [low, high]: [u16; 2]) -> Seen<Option<Mapping>> {
    const PORT: u16 = 5000;
    bench.fresh()?;
    let (near, far) = bench.server_addresses()?;
    let square = [(near, low), (far, low), (far, high), (near, high)]
        .map(|(address, port)| SocketAddrV4::new(address, port));
    let mut connections: Vec<Connected> = Vec::new();
    for to in square.iter().take(if low == high { 2 } else { 4 }) {
        connections.push(Connected::of(bench, "alice", PORT, *to)?);
    }
    let seen: Vec<SocketAddrV4> = connections.iter().map(|connection| connection.seen).collect();
    let here = SocketAddrV4::new(alice(bench)?, PORT);
    if seen.iter().all(|seen| *seen == here) {
        return Ok(None);
    }
    match seen.as_slice() {
        // One port leaves: whether it is told apart cannot be seen.
        [one, other] if one == other => Ok(Some(Mapping::EndpointIndependent)),
        [_, _] => Ok(Some(Mapping::AddressDependent)),
        seen => Mapping::of_square(seen)
            .map_or_else(|| unproven(format!("the mappings are no pattern: {seen:?}")), |it| Ok(Some(it))),
    }
}

fn alice(bench: &Bench) -> Result<std::net::Ipv4Addr, Broken> {
    Ok(bench.node("alice")?.address())
}

/// Strangers open connections to a mapping that alice listens behind.
fn filtering(bench: &Bench, [low, _]: [u16; 2]) -> Seen<Filtering> {
    const PORT: u16 = 5010;
    bench.fresh()?;
    let (near, far) = bench.server_addresses()?;
    let connection = Connected::of(bench, "alice", PORT, SocketAddrV4::new(near, low))?;
    let _listener = listen(bench.node("alice")?, SocketAddrV4::new(alice(bench)?, PORT))?;
    for (from, filtering) in [(far, Filtering::EndpointIndependent), (near, Filtering::AddressDependent)] {
        match open_at(bench, bench.node("server")?, SocketAddrV4::new(from, 6001), connection.seen)? {
            Opened::Connected(_) => return Ok(filtering),
            Opened::Dropped => {}
            Opened::Answered(error) => return unproven(format!("a stranger's connection failed: {error}")),
        }
    }
    Ok(Filtering::AddressAndPortDependent)
}

/// Alice's SYN opens the router and dies behind it; then the server's comes, while she still waits.
fn simultaneous(bench: &Bench, [low, _]: [u16; 2]) -> Seen<bool> {
    const PORT: u16 = 5020;
    bench.fresh()?;
    let (near, _) = bench.server_addresses()?;
    let to = SocketAddrV4::new(near, low);
    let fd = start(bench.node("alice")?, PORT, to, Some(SHORT_LIVED))?;
    let outside = v4(entry_of(bench, PORT)?.outside)?;
    setsockopt(&fd, sockopt::Ipv4Ttl, &64).map_err(io::Error::from)?;
    let (here, there) =
        (TcpStream::from(fd), TcpStream::from(start_at(bench.node("server")?, to, outside, None)?));
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match (is_over(&here)?, is_over(&there)?) {
            (Some(Ok(())), Some(Ok(()))) => return Ok(true),
            (Some(Err(error)), _) | (_, Some(Err(error))) => {
                return unproven(format!("a simultaneous open fails: {error}"));
            }
            _ => {}
        }
    }
    unproven("a simultaneous open does not come about")
}

/// The row of the router's table for a TCP port of alice's.
fn entry_of(bench: &Bench, port: u16) -> Seen<Entry> {
    let here = SocketAddr::from((alice(bench)?, port));
    let mut entry = None;
    until("a new TCP mapping is not in the router's table", || {
        entry = bench.entry(|entry| entry.protocol == Protocol::Tcp && entry.inside == here)?;
        Ok(entry.is_some())
    })?;
    entry.map_or_else(|| unproven("a new TCP mapping is not in the router's table"), Ok)
}

/// Whether a SYN to a port without mapping is answered.
fn unsolicited(bench: &Bench, [low, _]: [u16; 2]) -> Seen<bool> {
    const NOBODY: u16 = 4445;
    bench.fresh()?;
    let (near, _) = bench.server_addresses()?;
    let first = Connected::of(bench, "alice", 5030, SocketAddrV4::new(near, low))?;
    let before = bench.drops()?.filtered;
    let to = SocketAddrV4::new(*first.seen.ip(), NOBODY);
    let knocking = TcpStream::from(start(bench.node("server")?, 6002, to, None)?);
    until("an unsolicited SYN is not counted", || Ok(bench.drops()?.filtered > before))?;
    // What the router has answered was sent before these, on the same wire.
    for number in 1..4 {
        Connected::of(bench, "alice", 5030 + number, SocketAddrV4::new(near, low))?;
        if is_over(&knocking)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn established(bench: &Bench, [low, _]: [u16; 2]) -> Seen<Duration> {
    const PORT: u16 = 5040;
    bench.fresh()?;
    let (near, _) = bench.server_addresses()?;
    let mut connection = Connected::of(bench, "alice", PORT, SocketAddrV4::new(near, low))?;
    connection.inside.write_all(b"hello")?;
    connection.speaks(b"hello")?;
    Ok(entry_of(bench, PORT)?.left)
}

fn transitory(bench: &Bench, [low, _]: [u16; 2]) -> Seen<Duration> {
    const PORT: u16 = 5041;
    bench.fresh()?;
    let (near, _) = bench.server_addresses()?;
    let _asking = start(bench.node("alice")?, PORT, SocketAddrV4::new(near, low), Some(SHORT_LIVED))?;
    Ok(entry_of(bench, PORT)?.left)
}

/// Two hosts that connect from one port: to different addresses first, then to the same.
fn collision(bench: &Bench, [low, _]: [u16; 2]) -> Seen<Collision> {
    const PORT: u16 = 5050;
    bench.fresh()?;
    let (near, far) = bench.server_addresses()?;
    let [near, far] = [near, far].map(|address| SocketAddrV4::new(address, low));
    let mut alices = Connected::of(bench, "alice", PORT, near)?;
    let mut bobs_far = Connected::of(bench, "bob", PORT, far)?;
    let mut bobs_near = Connected::of(bench, "bob", PORT, near)?;
    let mut each_reached = true;
    for (connection, text) in [(&mut alices, "alice"), (&mut bobs_far, "bob 1"), (&mut bobs_near, "bob 2")] {
        each_reached &= connection.speaks(text.as_bytes())?;
    }
    Ok(Collision {
        shared_towards_one: alices.seen == bobs_near.seen,
        shared_towards_two: alices.seen == bobs_far.seen,
        each_reached,
        second_has_one_port: bobs_far.seen == bobs_near.seen,
    })
}

/// Bob opens a connection to alice's outside address. Where she filters, she has spoken to his before, in vain.
fn hairpin(bench: &Bench, [low, _]: [u16; 2], filtering: &Fact<Filtering>) -> Seen<Hairpin> {
    const ALICES: u16 = 5060;
    const BOBS: u16 = 5061;
    bench.fresh()?;
    let (near, _) = bench.server_addresses()?;
    let to = SocketAddrV4::new(near, low);
    let alices = Connected::of(bench, "alice", ALICES, to)?;
    let bobs = Connected::of(bench, "bob", BOBS, to)?;
    if *filtering != Fact::Is(Filtering::EndpointIndependent) {
        match open(bench, "alice", ALICES, bobs.seen)? {
            Opened::Dropped => {}
            Opened::Answered(error) => return unproven(format!("a neighbour's connection failed: {error}")),
            Opened::Connected(_) => return unproven("a neighbour was connected where nobody listens"),
        }
    }
    let _listener = listen(bench.node("alice")?, SocketAddrV4::new(alice(bench)?, ALICES))?;
    let wire = raw::open(bench.node("alice")?, SockProtocol::Tcp)?;
    let before = bench.drops()?.all();
    let stream = TcpStream::from(start(bench.node("bob")?, BOBS, alices.seen, None)?);
    let mut shown = None;
    until("a neighbour's SYN neither arrives nor is counted", || {
        while shown.is_none()
            && let Some(packet) = raw::next(&wire)?
        {
            shown = syn_to(&packet, ALICES);
        }
        Ok(shown.is_some() || bench.drops()?.all() > before)
    })?;
    match shown {
        None => Ok(Hairpin::Off),
        // The answer goes to where he is, and he does not know who that is.
        Some(shown) if shown != bobs.seen => Ok(Hairpin::Internal),
        Some(_) => {
            until("a neighbour's SYN arrives, but no connection comes about", || {
                Ok(matches!(is_over(&stream)?, Some(Ok(()))))
            })?;
            Ok(Hairpin::External)
        }
    }
}

/// Who asks for a connection to this port by this packet.
fn syn_to(packet: &[u8], port: u16) -> Option<SocketAddrV4> {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    let header = usize::from(packet.first()? & 0xf) * 4;
    let word = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let is_it = word(header + 2)? == port && packet.get(header + 13)? & (SYN | ACK) == SYN;
    let source = <[u8; 4]>::try_from(packet.get(12..16)?).ok()?;
    is_it.then_some(SocketAddrV4::new(source.into(), word(header)?))
}

/// A host unreachable about a connection that lives.
fn errors(bench: &Bench, [low, _]: [u16; 2]) -> Seen<Errors> {
    const PORT: u16 = 5070;
    const TCP: u8 = 6;
    bench.fresh()?;
    let (near, _) = bench.server_addresses()?;
    let mut connection = Connected::of(bench, "alice", PORT, SocketAddrV4::new(near, low))?;
    let wire = raw::open(bench.node("alice")?, SockProtocol::Icmp)?;
    let quoted = raw::quoted(TCP, connection.seen, connection.to);
    let here = SocketAddrV4::new(alice(bench)?, PORT);
    let came =
        icmp::send_error(bench, &raw::error(raw::UNREACHABLE, 1, &quoted), *connection.seen.ip(), &wire)?;
    let translated = came.is_some_and(|error| icmp::is_about(&error, here, connection.to));
    Ok(Errors { translated, mapping_lives: connection.speaks(b"still here")?, refreshed: None })
}

/// A line that names the host's address where an FTP gateway would rewrite it.
fn payload(bench: &Bench, ports: [u16; 2]) -> Seen<bool> {
    const FTP: u16 = 21;
    bench.fresh()?;
    let (near, _) = bench.server_addresses()?;
    let port = if ports == PORTS { FTP } else { HTTPS };
    let mut connection = Connected::of(bench, "alice", 5080, SocketAddrV4::new(near, port))?;
    let line = format!("PORT {},19,136\r\n", alice(bench)?.to_string().replace('.', ","));
    connection.inside.write_all(line.as_bytes())?;
    connection.outside.set_nonblocking(false)?;
    connection.outside.set_read_timeout(Some(PATIENCE))?;
    let mut heard = vec![0; line.len()];
    match connection.outside.read_exact(&mut heard) {
        Ok(()) => Ok(heard == line.as_bytes()),
        Err(error) => unproven(format!("what a connected host says does not arrive: {error}")),
    }
}
