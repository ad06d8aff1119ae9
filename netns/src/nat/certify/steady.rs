//! Many flows, opened on two CPUs at once: what the router is at the start it is at the end, and no port is given twice.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::Broken;
use super::bench::{Bench, PATIENCE, Seen, at, hear, unproven, v4};
use super::facts::Steadiness;
use super::udp;
use crate::nat::Allocation;

const HOSTS: [&str; 2] = ["alice", "bob"];
/// Of each host; together a thousand.
const FLOWS: usize = 500;
/// Packets of so many flows fit into a socket's buffer.
const ROUND: usize = 50;
const FIRST: u16 = 10_000;

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
    let (mut moved, mut unreached) = (0, 0);
    for round in (0..rounds).chain((0..rounds).rev()) {
        let first = FIRST + (round * ROUND) as u16;
        let number = ROUND.min(flows - round * ROUND) as u16;
        for (owner, outside, is_reached) in speak(bench, first, number)? {
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
        given_twice,
        moved,
        unreached,
        at_the_end: (end.translation(), end.filtering),
    })
}

/// Both hosts send from the same ports at the same moments; the server answers each. Who was seen where, and whether
/// the answer came.
fn speak(bench: &Bench, first: u16, number: u16) -> Seen<Vec<(Owner, SocketAddrV4, bool)>> {
    let [near, ..] = bench.server()?;
    let to = at(&near)?;
    let sockets = HOSTS.map(|host| open(bench, host, first, number));
    let sockets: Vec<Vec<UdpSocket>> = sockets.into_iter().collect::<Result<_, _>>()?;
    at_once(number.into(), |host, flow| {
        sockets[host][flow].send_to(&mark((host, first + flow as u16)), to).is_ok()
    });
    let mut seen: HashMap<Owner, SocketAddrV4> = HashMap::new();
    let (start, mut buffer) = (Instant::now(), [0; 64]);
    while seen.len() < 2 * usize::from(number) {
        match near.recv_from(&mut buffer) {
            Ok((length, source)) => {
                let Some(owner) = owner(&buffer[..length]) else { continue };
                seen.insert(owner, v4(source)?);
                near.send_to(&buffer[..length], source)?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && start.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return unproven(format!("of {} flows only {} arrived", 2 * number, seen.len()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut heard = Vec::with_capacity(seen.len());
    for (owner, outside) in seen {
        let socket = &sockets[owner.0][usize::from(owner.1 - first)];
        let came = hear(&[socket], &mark(owner), PATIENCE)?;
        heard.push((
            owner,
            outside,
            came.is_some_and(|(_, from)| SocketAddr::V4(from) == SocketAddr::V4(to)),
        ));
    }
    Ok(heard)
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

/// Does step 0, 1, .. on two CPUs; each step begins on both within nanoseconds.
fn at_once(steps: usize, step: impl Fn(usize, usize) -> bool + Sync) {
    let arrived = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for cpu in 0..2 {
            let (arrived, step) = (&arrived, &step);
            scope.spawn(move || {
                let mut set = CpuSet::new();
                // A machine with one CPU does the same without the race.
                let _ = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
                for number in 0..steps {
                    arrived.fetch_add(1, Ordering::AcqRel);
                    let mut spins = 0u32;
                    while arrived.load(Ordering::Acquire) < 2 * (number + 1) {
                        spins += 1;
                        if spins.is_multiple_of(10_000) {
                            std::thread::yield_now();
                        }
                        std::hint::spin_loop();
                    }
                    step(cpu, number);
                }
            });
        }
    });
}
