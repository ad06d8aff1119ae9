//! How long a mapping lives: as the kernel reports it, and as a shortened timer shows it. And the bench on which two
//! networks have the same addresses.

use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use super::Broken;
use super::bench::{Bench, Inbound, Seen, at, fact, unproven, until};
use super::facts::{Fact, Lifetime};
use crate::nat::table::Protocol;
use crate::nat::{Nat, Preset, Translation};
use crate::topology::{Ipv4Range, Topology, Uplink};

/// The shortened timer; Linux's own are set in whole seconds.
const SHORT: Duration = Duration::from_secs(1);
/// When it is refreshed, and when it would be over without that.
const REFRESH: Duration = Duration::from_millis(600);
const OVER: Duration = Duration::from_millis(1300);
/// The kernel counts in jiffies, and a port may stay its owner's for a moment longer than the mapping lives.
const GRACE: Duration = Duration::from_millis(250);
/// How often a trial is made again that the machine was too slow for.
const TRIALS: usize = 6;

/// What is left of a mapping right after the packet that made it.
pub(super) fn reported(bench: &Bench) -> Seen<Duration> {
    bench.fresh()?;
    let (alice, [near, ..]) = (bench.udp("alice", 5000)?, bench.server()?);
    bench.seen(&alice, &near)?;
    let here = at(&alice)?.into();
    let entry = bench.entry(|entry| entry.protocol == Protocol::Udp && entry.inside == here)?;
    entry.map_or_else(|| unproven("a new mapping is not in the router's table"), |entry| Ok(entry.left))
}

/// Three benches at once: most of it is waiting.
pub(super) fn ask(nat: &Nat) -> Seen<Lifetime> {
    std::thread::scope(|scope| {
        let outbound = scope.spawn(|| refreshed(&short(nat)?, true));
        let inbound = scope.spawn(|| refreshed(&short(nat)?, false));
        let ends = ends(&short(nat)?);
        let joined = |thread: ScopedJoinHandle<'_, Seen<bool>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let (outbound, inbound) = (joined(outbound), joined(inbound));
        Ok(Lifetime { ends: ends?, outbound_refresh: outbound?, inbound_refresh: inbound? })
    })
}

/// A bench whose router has a shortened timer.
fn short(nat: &Nat) -> Result<Bench, Broken> {
    let is_linux = matches!(nat.translation, Translation::Masquerade { .. });
    let bench = Bench::build(&if is_linux { *nat } else { Nat { timeout: SHORT, ..*nat } })?;
    if is_linux {
        bench.router()?.remember_udp(SHORT, SHORT)?;
    }
    Ok(bench)
}

/// Admitted before the timer ends; not any more when the router's table has let it go, which is not earlier.
fn ends(bench: &Bench) -> Seen<bool> {
    bench.fresh()?;
    let [near, ..] = bench.server()?;
    for trial in 0..TRIALS {
        let alice = bench.udp("alice", 5100 + trial as u16)?;
        let here = at(&alice)?.into();
        let start = Instant::now();
        let outside = bench.seen(&alice, &near)?;
        let is_admitted = bench.admits(&near, outside, &alice)?;
        if start.elapsed() >= SHORT {
            continue;
        }
        if !is_admitted {
            return Ok(false);
        }
        until("a mapping outlives its timer in the router's table", || {
            Ok(bench.entry(|entry| entry.inside == here)?.is_none())
        })?;
        let is_early = start.elapsed() + GRACE / 10 < SHORT;
        std::thread::sleep(GRACE);
        return Ok(!is_early && bench.inward(&near, outside, &[&alice])? == Inbound::Dropped);
    }
    unproven("the machine was too slow to look at a timer of a second")
}

/// Whether a packet in the middle of the timer's time starts it again.
fn refreshed(bench: &Bench, outbound: bool) -> Seen<bool> {
    bench.fresh()?;
    let [near, ..] = bench.server()?;
    for trial in 0..TRIALS {
        let alice = bench.udp("alice", 5200 + trial as u16)?;
        let begun = Instant::now();
        let outside = bench.seen(&alice, &near)?;
        let start = Instant::now();
        std::thread::sleep(REFRESH);
        let (refreshing, was_there) = if outbound {
            let refreshing = Instant::now();
            (refreshing, bench.seen(&alice, &near)? == outside)
        } else {
            let refreshing = Instant::now();
            (refreshing, bench.admits(&near, outside, &alice)?)
        };
        let was_in_time = begun.elapsed() < SHORT;
        std::thread::sleep(OVER.saturating_sub(start.elapsed()));
        let came = bench.inward(&near, outside, &[&alice])?;
        // Too late for what it should show: the refreshed timer could be over as well.
        if !was_in_time || refreshing.elapsed() >= SHORT {
            continue;
        }
        if !was_there {
            return unproven("a mapping ended before its timer");
        }
        return Ok(came != Inbound::Dropped);
    }
    unproven("the machine was too slow to look at a timer of a second")
}

/// Behind a carrier whose inside has the same addresses as the router's own (RFC 4787 REQ-7).
pub(super) fn overlap(nat: &Nat) -> Result<Fact<bool>, Broken> {
    if nat.translation == Translation::None {
        return Ok(Fact::NotTested("nothing is translated: its hosts have public addresses"));
    }
    let Some(cone) = Preset::FullCone.nat() else { return Err(Broken::missing("carrier")) };
    let carrier = Nat { family: nat.family, ..cone };
    let range = Ipv4Range::new([10, 77, 0, 0].into(), 24).map_err(|_| Broken::missing("range"))?;
    let topology = Topology::default()
        .router("carrier", Uplink::Internet, carrier)
        .inside("carrier", range)
        .router("router", "carrier".into(), *nat)
        .inside("router", range)
        .server("server", 2)
        .host("alice", "router".into())
        .host("bob", "router".into());
    let bench = Bench::of(&topology)?;
    let reach = || {
        bench.fresh()?;
        let [near, ..] = bench.server()?;
        for host in ["alice", "bob"] {
            let socket = bench.udp(host, 5000)?;
            let outside = bench.seen(&socket, &near)?;
            if bench.inward(&near, outside, &[&socket])? == Inbound::Dropped {
                return Ok(false);
            }
        }
        Ok(true)
    };
    fact(reach())
}
