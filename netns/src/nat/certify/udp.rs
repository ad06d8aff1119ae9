//! UDP: what the short form measures, and what it leaves out.

use std::net::SocketAddrV4;
use std::os::unix::net::UnixStream;

use super::Broken;
use super::bench::{Bench, Inbound, PATIENCE, SERVER_PORTS, Seen, at, fact, hear, unproven, v4};
use super::facts::{Collision, Fact, Fragments, Reboot, Udp};
use super::{flows, lifetime, steady};
use crate::nat::probe::{self, Measured, ProbeError, Questions};
use crate::nat::stun::Server;
use crate::nat::{Hairpin, Mapping, Nat};
use crate::raw;

pub(super) fn ask(bench: &Bench, nat: &Nat) -> Result<Udp, Broken> {
    std::thread::scope(|scope| {
        // On benches of their own, and most of it is waiting.
        let lifetime = scope.spawn(|| fact(lifetime::ask(nat)));
        let mut udp = look(bench, nat)?;
        udp.lifetime = lifetime.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(udp)
    })
}

/// Everything but the shortened timers.
fn look(bench: &Bench, nat: &Nat) -> Result<Udp, Broken> {
    let start = fact(measure(bench))?;
    let udp = Udp {
        mapping: of(&start, Measured::translation),
        filtering: of(&start, |measured| measured.filtering),
        ports: match &start {
            Fact::Is(Measured { ports: Some(ports), .. }) => Fact::Is(ports.clone()),
            other => of(other, |_| unreachable!("ports were asked for")),
        },
        hairpin: hairpin(&start),
        collision: fact(collision(bench))?,
        parity: fact(flows::parity(bench))?,
        pooling: flows::pooling(bench)?,
        exhaustion: flows::exhaustion(bench)?,
        reported: fact(lifetime::reported(bench))?,
        lifetime: Fact::NotTested("it is looked at elsewhere"),
        early_packet_costs: fact(early_packet(bench))?,
        refusal_is_told: fact(refusal(bench))?,
        reboot: fact(reboot(bench))?,
        fragments: fact(fragments(bench))?,
        steadiness: fact(steady::ask(bench))?,
        overlap: lifetime::overlap(nat)?,
        payload_is_left_alone: fact(payload(bench))?,
    };
    bench.fresh()?;
    Ok(udp)
}

fn of<T, U>(fact: &Fact<T>, value: impl FnOnce(&T) -> U) -> Fact<U> {
    match fact {
        Fact::Is(seen) => Fact::Is(value(seen)),
        Fact::Unproven(why) => Fact::Unproven(why.clone()),
        Fact::NotTested(why) => Fact::NotTested(why),
    }
}

fn hairpin(measured: &Fact<Measured>) -> Fact<Hairpin> {
    match measured {
        Fact::Is(Measured { hairpin: Some(hairpin), .. }) => Fact::Is(*hairpin),
        Fact::Is(_) => Fact::NotTested("no packet can show it: a hairpin leaves by a port that nobody knows"),
        other => of(other, |_| Hairpin::Off),
    }
}

/// The short form, with all its questions.
pub(super) fn measure(bench: &Bench) -> Seen<Measured> {
    let (near, far) = bench.server_addresses()?;
    let server =
        bench.node("server")?.within(|| Server::bind(&[[near.into(), far.into()]], SERVER_PORTS))??;
    let endpoint = SocketAddrV4::new(near, SERVER_PORTS[0]);
    let (stop, stopped) = UnixStream::pair()?;
    let (alice, router) = (bench.node("alice")?, bench.router()?);
    let questions = Questions { allocation: true, hairpin: true, tcp: Vec::new() };
    let found = std::thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve(stopped));
        let mut drops = || router.drops();
        let found = alice.within(|| probe::measure(alice.address(), endpoint, &mut drops, &questions));
        drop(stop);
        let served = serving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        served.map(|()| found)
    })??;
    match found {
        Ok(found) => found.udp.map_or_else(|| unproven("the router lets no UDP out any more"), Ok),
        Err(ProbeError::Io { source, .. }) => Err(Broken::from(source).into()),
        Err(error) => unproven(error.to_string()),
    }
}

/// Two hosts that send from one port: towards different destinations first, then towards the same.
fn collision(bench: &Bench) -> Seen<Collision> {
    bench.fresh()?;
    let (alice, bob, [near, _, far, _]) =
        (bench.udp("alice", 5000)?, bench.udp("bob", 5000)?, bench.server()?);
    let alices = bench.seen(&alice, &near)?;
    let bobs_far = bench.seen(&bob, &far)?;
    let bobs_near = bench.seen(&bob, &near)?;
    let mut each_reached = true;
    for (from, to, index) in [(&near, alices, 0), (&near, bobs_near, 1), (&far, bobs_far, 1)] {
        let came = bench.inward(from, to, &[&alice, &bob])?;
        each_reached &= came == Inbound::Arrived(index, at(from)?);
    }
    Ok(Collision {
        shared_towards_one: alices == bobs_near,
        shared_towards_two: alices == bobs_far,
        each_reached,
        second_has_one_port: bobs_near == bobs_far,
    })
}

/// Somebody speaks to a mapping before it has spoken to them.
fn early_packet(bench: &Bench) -> Seen<bool> {
    bench.fresh()?;
    let (alice, [near, _, far, _]) = (bench.udp("alice", 5000)?, bench.server()?);
    let before = bench.seen(&alice, &near)?;
    let is_one_port = {
        let other = bench.udp("alice", 5001)?;
        bench.seen(&other, &near)? == bench.seen(&other, &far)?
    };
    bench.inward(&far, before, &[&alice])?;
    let after = bench.seen(&alice, &far)?;
    Ok((is_one_port && after != before) || !bench.admits(&far, after, &alice)?)
}

/// Whether who sends to a port without mapping is told that nobody is there.
fn refusal(bench: &Bench) -> Seen<bool> {
    const NOBODY: u16 = 4444;
    bench.fresh()?;
    let (alice, [near, far_port, ..]) = (bench.udp("alice", 5000)?, bench.server()?);
    let outside = bench.seen(&alice, &near)?;
    let nobody = SocketAddrV4::new(*outside.ip(), NOBODY);
    far_port.connect(nobody)?;
    if bench.inward(&far_port, nobody, &[&alice])? != Inbound::Dropped {
        return unproven(format!("a packet to {nobody}, which nobody has, came in"));
    }
    // What the router has answered was sent before these, on the same wire.
    for _ in 0..3 {
        if far_port.take_error()?.is_some() {
            return Ok(true);
        }
        bench.seen(&alice, &near)?;
    }
    Ok(far_port.take_error()?.is_some())
}

fn reboot(bench: &Bench) -> Seen<Reboot> {
    bench.fresh()?;
    let (alice, [near, ..]) = (bench.udp("alice", 5000)?, bench.server()?);
    let before = bench.seen(&alice, &near)?;
    bench.fresh()?;
    let is_empty = bench.drops()?.all() == 0 && bench.router()?.mappings()?.entries.is_empty();
    let forgets = bench.inward(&near, before, &[&alice])? == Inbound::Dropped;
    let after = bench.seen(&alice, &near)?;
    Ok(Reboot { forgets, is_empty, new_ones_work: bench.admits(&near, after, &alice)? })
}

/// A datagram in three fragments, there and back, in two orders.
fn fragments(bench: &Bench) -> Seen<Fragments> {
    bench.fresh()?;
    Ok(Fragments {
        in_order: pass(bench, [0, 1, 2])?,
        out_of_order: pass(bench, [2, 1, 0])? && pass(bench, [1, 0, 2])?,
    })
}

fn pass(bench: &Bench, order: [usize; 3]) -> Seen<bool> {
    const PIECE: usize = 1008;
    let (alice, [near, ..]) = (bench.udp("alice", 5000)?, bench.server()?);
    let (inside, public) = (at(&alice)?, at(&near)?);
    let text: Vec<u8> = (0..2 * PIECE + 500).map(|n| (n % 251) as u8 ^ order[0] as u8).collect();
    let send = |node: &str, source: SocketAddrV4, destination: SocketAddrV4| -> Seen<()> {
        let payload = raw::datagram(source.port(), destination.port(), &text);
        let pieces = raw::fragments(*source.ip(), *destination.ip(), &payload, PIECE);
        let node = bench.node(node)?;
        Ok(order.iter().try_for_each(|&index| raw::send_packet(node, *destination.ip(), &pieces[index]))?)
    };
    send("alice", inside, public)?;
    let Some((_, outside)) = hear(&[&near], &text, PATIENCE)? else {
        return unproven(format!("fragments in the order {order:?} do not leave"));
    };
    send("server", public, v4(outside)?)?;
    match hear(&[&alice], &text, PATIENCE)? {
        Some(_) => Ok(true),
        None => unproven(format!("fragments in the order {order:?} do not come in")),
    }
}

/// A datagram that names the host's address where a SIP gateway would rewrite it.
fn payload(bench: &Bench) -> Seen<bool> {
    const SIP: u16 = 5060;
    bench.fresh()?;
    let (alice, server) = (bench.udp("alice", SIP)?, bench.udp("server", SIP)?);
    let here = at(&alice)?;
    let text =
        format!("REGISTER sip:server SIP/2.0\r\nContact: <sip:alice@{here}>\r\nContent-Length: 0\r\n\r\n");
    alice.send_to(text.as_bytes(), at(&server)?)?;
    let heard = hear(&[&server], text.as_bytes(), PATIENCE)?;
    heard.map_or_else(|| unproven("a datagram to port 5060 does not arrive as it was sent"), |_| Ok(true))
}

impl Measured {
    /// The mapping; `None` where nothing is translated.
    pub(super) fn translation(&self) -> Option<Mapping> {
        self.translated.then_some(self.mapping)
    }
}
