//! Many flows of one host: which ports and addresses they are given, and what happens when there are no more.

use std::collections::HashSet;
use std::net::{SocketAddrV4, UdpSocket};

use super::Broken;
use super::bench::{Bench, Outbound, Seen, at, fact, unproven};
use super::facts::{Exhaustion, Fact};
use crate::nat::{Allocation, Pooling};

/// Enough that chance keeps the parity of all, or one address of two for all, less than once in a million times.
const FLOWS: u16 = 24;

/// What each of many flows of alice's, from these ports on, was seen as.
fn open(bench: &Bench, first: u16) -> Seen<Vec<(u16, SocketAddrV4)>> {
    let [near, ..] = bench.server()?;
    // Two odd ones after two even ones: ports in order keep the parity of no such row.
    let ports = (0..FLOWS).map(|number| first + 4 * number + (number / 2) % 2);
    ports.map(|port| Ok((port, bench.seen(&bench.udp("alice", port)?, &near)?))).collect()
}

pub(super) fn parity(bench: &Bench) -> Seen<bool> {
    bench.fresh()?;
    Ok(open(bench, 7000)?.iter().all(|(inside, outside)| inside % 2 == outside.port() % 2))
}

pub(super) fn pooling(bench: &Bench) -> Result<Fact<Pooling>, Broken> {
    if bench.router()?.outsides().len() < 2 {
        return Ok(Fact::NotTested("it has one outside address"));
    }
    fact(pool(bench))
}

fn pool(bench: &Bench) -> Seen<Pooling> {
    bench.fresh()?;
    let addresses: HashSet<_> = open(bench, 7200)?.iter().map(|(_, outside)| *outside.ip()).collect();
    let known = bench.router()?.outsides();
    if let Some(stranger) = addresses.iter().find(|address| !known.contains(address)) {
        return unproven(format!("a flow was seen from {stranger}, which is not the router's"));
    }
    Ok(if addresses.len() == 1 { Pooling::Paired } else { Pooling::Arbitrary })
}

pub(super) fn exhaustion(bench: &Bench) -> Result<Fact<Exhaustion>, Broken> {
    match bench.router()?.nat().allocation {
        Allocation::Blocks { size, .. } if size <= MOST_PORTS => fact(exhaust(bench, size)),
        _ => Ok(Fact::NotTested("a host has too many ports to use them up")),
    }
}

/// Blocks up to this size are filled.
const MOST_PORTS: u16 = 2048;

fn exhaust(bench: &Bench, size: u16) -> Seen<Exhaustion> {
    const FIRST: u16 = 10_000;
    bench.fresh()?;
    let [near, far_port, ..] = bench.server()?;
    let mut ports = HashSet::new();
    let mut shared = false;
    let mut first: Option<(UdpSocket, SocketAddrV4)> = None;
    for number in 0..size {
        let socket = bench.udp("alice", FIRST + number)?;
        match bench.outward(&socket, &near)? {
            Outbound::Left(outside) => {
                shared |= !ports.insert(outside);
                first.get_or_insert((socket, outside));
            }
            Outbound::Exhausted => break,
            Outbound::Refused => return unproven("a flow was refused by policy"),
        }
    }
    let Some((witness, outside)) = first else { return unproven("a host was given no port at all") };
    let last = bench.udp("alice", FIRST + size)?;
    // Where ICMP tells its sender, the socket hears of it.
    last.connect(at(&far_port)?)?;
    let dropped = match bench.outward(&last, &far_port)? {
        Outbound::Left(outside) => {
            shared |= !ports.insert(outside);
            false
        }
        Outbound::Exhausted => true,
        Outbound::Refused => return unproven("a flow was refused by policy"),
    };
    let others_live = bench.admits(&near, outside, &witness)?;
    let told = last.take_error()?.is_some();
    let bob = bench.udp("bob", FIRST)?;
    let bobs = bench.outward(&bob, &near)?;
    let next_host_has_ports = matches!(bobs, Outbound::Left(outside) if !ports.contains(&outside));
    Ok(Exhaustion { ports: ports.len(), shared, dropped, told, others_live, next_host_has_ports })
}
