//! Many flows, opened on two CPUs at once: what the router is at the start it is at the end, and no port is given twice.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::time::Instant;

use super::Broken;
use super::bench::{Bench, PATIENCE, Seen, at, hear, unproven, v4};
use super::facts::Steadiness;
use super::udp;
use crate::nat::Allocation;
use crate::race::at_once;

const HOSTS: [&str; 2] = ["alice", "bob"];
/// Of each host; together a thousand.
const FLOWS: usize = 500;
/// Packets of so many flows fit into a socket's buffer.
const ROUND: usize = 50;
const FIRST: u16 = 10_000;
/// The port of the packet that ends a round.
const LAST_WORDS: u16 = 9000;

/// A host and a port of it.
type Owner = (usize, u16);

pub(super) fn ask(bench: &Bench) -> Seen<Steadiness> {
    bench.fresh()?;
    let flows = match bench.router()?.nat().allocation {
        // Some of a block's ports are for the measurement at the end.
        Allocation::Blocks { size, .. } => FLOWS.min(usize::from(size).saturating_sub(16)),
        _ => FLOWS,
    };
    let rounds = flows.div_ceil(ROUND);
    let mut given: HashMap<Owner, SocketAddrV4> = HashMap::new();
    let (mut lost, mut moved, mut unreached) = (0, 0, 0);
    for round in (0..rounds).chain((0..rounds).rev()) {
        let first = FIRST + (round * ROUND) as u16;
        let number = ROUND.min(flows - round * ROUND) as u16;
        let heard = speak(bench, first, number)?;
        lost += heard.lost;
        for (owner, outside, is_reached) in heard.flows {
            let before = *given.entry(owner).or_insert(outside);
            moved += usize::from(before != outside);
            unreached += usize::from(!is_reached);
        }
    }
    let mut owners: HashMap<SocketAddrV4, usize> = HashMap::new();
    given.values().for_each(|&outside| *owners.entry(outside).or_default() += 1);
    let given_twice = owners.values().map(|owners| owners - 1).sum();
    let end = udp::measure(bench)?;
    Ok(Steadiness {
        flows: given.len(),
        lost,
        given_twice,
        moved,
        unreached,
        at_the_end: (end.translation(), end.filtering),
    })
}

/// What one round has shown.
struct Heard {
    /// Who was seen where, and whether the answer came.
    flows: Vec<(Owner, SocketAddrV4, bool)>,
    /// How many had to send again, because the first packet was lost.
    lost: usize,
}

/// Both hosts send from the same ports at the same moments; the server answers each.
fn speak(bench: &Bench, first: u16, number: u16) -> Seen<Heard> {
    let [near, ..] = bench.server()?;
    let to = at(&near)?;
    let sockets: Vec<Vec<UdpSocket>> =
        HOSTS.iter().map(|host| open(bench, host, first, number)).collect::<Result<_, _>>()?;
    // Of other ports, so that nothing is in their way: what a CPU sent before its last word has arrived before it.
    let last_words = [bench.udp("alice", LAST_WORDS)?, bench.udp("bob", LAST_WORDS + 1)?];
    at_once(usize::from(number) + 1, |host, step| {
        let (socket, owner) = match sockets[host].get(step) {
            Some(socket) => (socket, (host, first + step as u16)),
            None => (&last_words[host], (host, LAST_WORDS)),
        };
        // One that is not sent is missed below.
        let _ = socket.send_to(&mark(owner), to);
    });
    let mut seen = HashMap::new();
    listen(&near, &mut seen, |seen| (0..2).all(|host| seen.contains_key(&(host, LAST_WORDS))))?;
    seen.retain(|(_, port), _| *port != LAST_WORDS);
    let all = (0..2).flat_map(|host| (first..first + number).map(move |port| (host, port)));
    let missing: Vec<Owner> = all.filter(|owner| !seen.contains_key(owner)).collect();
    for &owner in &missing {
        sockets[owner.0][usize::from(owner.1 - first)].send_to(&mark(owner), to)?;
        listen(&near, &mut seen, |seen| seen.contains_key(&owner))?;
    }
    let mut flows = Vec::with_capacity(seen.len());
    for (owner, outside) in seen {
        let socket = &sockets[owner.0][usize::from(owner.1 - first)];
        let came = hear(&[socket], &mark(owner), PATIENCE)?;
        let is_reached = came.is_some_and(|(_, from)| from == to.into());
        flows.push((owner, outside, is_reached));
        // One is enough to tell, and every other would be waited for as long.
        if !is_reached {
            break;
        }
    }
    Ok(Heard { flows, lost: missing.len() })
}

/// Takes in what the server hears, and answers, until it is enough.
fn listen(
    server: &UdpSocket,
    seen: &mut HashMap<Owner, SocketAddrV4>,
    is_enough: impl Fn(&HashMap<Owner, SocketAddrV4>) -> bool,
) -> Seen<()> {
    let (start, mut buffer) = (Instant::now(), [0; 64]);
    while !is_enough(seen) {
        match server.recv_from(&mut buffer) {
            Ok((length, source)) => {
                let Some(owner) = owner(&buffer[..length]) else { continue };
                seen.insert(owner, v4(source)?);
                server.send_to(&buffer[..length], source)?;
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if start.elapsed() < PATIENCE => std::thread::yield_now(),
            Err(_) => return unproven("a packet of many flows neither arrived nor was counted"),
        }
    }
    Ok(())
}

fn open(bench: &Bench, host: &str, first: u16, number: u16) -> Result<Vec<UdpSocket>, Broken> {
    let node = bench.node(host)?;
    let bind = |port| {
        let socket = UdpSocket::bind((node.address(), port))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    Ok(node.within(|| (first..first + number).map(bind).collect::<io::Result<_>>())??)
}

fn mark((host, port): Owner) -> [u8; 3] {
    let [high, low] = port.to_be_bytes();
    [host as u8, high, low]
}

fn owner(bytes: &[u8]) -> Option<Owner> {
    match *bytes {
        [host, high, low] => Some((host.into(), u16::from_be_bytes([high, low]))),
        _ => None,
    }
}
