//! What a plain Linux router does: `masquerade`, with the kernel's own connection tracking. None of its behaviour is
//! ours; docs/decisions/0006-quirk-classes.md says what it is. The rules around it are those of common home routers:
//! what is not an answer is not forwarded inwards, and what cannot be tracked does not leave untranslated.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::packet::{DESTINATION, SCRATCH};
use super::{COUNTERS, FILTERED, UNTRANSLATABLE, chain};
use crate::nat::table::{Entry, MappingTable, Protocol};
use crate::netlink::conntrack::{ASSURED, SOURCE_TRANSLATED, Tracked};
use crate::netlink::nftables::{Chain, Connection, Expr, Family, Hook, Meta, Table, Verdict};

/// The table of a router with this outside address, whose outside link has this index.
pub(super) fn table(input_drop: bool, outside: Ipv4Addr, outside_link: u32) -> Table {
    const AFTER_ROUTING: i32 = 100;
    let hooked = |name, hook, rules| Chain { name, hook: Some(hook), rules };
    let link = outside_link.to_ne_bytes().to_vec();
    let from_outside = [Expr::LoadMeta(Meta::InputInterface, SCRATCH), Expr::Is(SCRATCH, link.clone())];
    let to_outside = [Expr::LoadMeta(Meta::OutputInterface, SCRATCH), Expr::Is(SCRATCH, link)];
    let rule = |condition: &[Expr], steps: Vec<Expr>| [condition, &steps].concat();
    // To the router itself, from whichever side: the input that nobody inside ever sees.
    let counted = |verdict| vec![Expr::Count(FILTERED), Expr::Verdict(verdict)];
    let strangers = if input_drop { Verdict::Drop } else { Verdict::Accept };
    let to_own_address = [Expr::Load(DESTINATION, SCRATCH), Expr::Is(SCRATCH, outside.octets().to_vec())];
    let input =
        vec![rule(&from_outside, counted(strangers)), rule(&to_own_address, counted(Verdict::Accept))];
    let mut uninvited = state_is_none_of(Connection::ESTABLISHED | Connection::RELATED);
    uninvited.extend(counted(Verdict::Drop));
    let mut invalid = vec![
        Expr::LoadConnection(Connection::State, SCRATCH),
        Expr::And(SCRATCH, Connection::INVALID.to_ne_bytes().to_vec()),
        Expr::IsNot(SCRATCH, vec![0; 4]),
    ];
    invalid.extend([Expr::Count(UNTRANSLATABLE), Expr::Verdict(Verdict::Drop)]);
    let forward = vec![rule(&from_outside, uninvited), rule(&to_outside, invalid)];
    let chains = vec![
        hooked("input", Hook::Input(0), input),
        hooked("forward", Hook::Forward(0), forward),
        hooked("translate", Hook::Translate(AFTER_ROUTING), vec![rule(&to_outside, vec![Expr::Masquerade])]),
        // Never reached; that it is there makes the kernel count packets.
        chain("count", vec![vec![Expr::LoadConnection(Connection::Packets, SCRATCH)]]),
    ];
    Table { family: Family::Ipv4, counters: COUNTERS.to_vec(), sets: Vec::new(), chains }
}

/// Holds where the state of the packet's connection is none of these bits.
fn state_is_none_of(bits: u32) -> Vec<Expr> {
    vec![
        Expr::LoadConnection(Connection::State, SCRATCH),
        Expr::And(SCRATCH, bits.to_ne_bytes().to_vec()),
        Expr::Is(SCRATCH, vec![0; 4]),
    ]
}

/// How long the kernel remembers UDP without a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UdpTimers {
    /// While it goes one way only, and for its first two seconds.
    pub(crate) young: Duration,
    /// Afterwards.
    pub(crate) stream: Duration,
}

impl UdpTimers {
    /// Those of a namespace that nobody has changed.
    pub(crate) const LINUX: UdpTimers =
        UdpTimers { young: Duration::from_secs(30), stream: Duration::from_secs(120) };
}

/// The mappings among what the kernel tracks: what leaves by another address than it came from. One row a connection,
/// since each has its own port, timer and filter, though Linux gives most of one socket the same port.
pub(crate) fn mappings(tracked: &[Tracked], udp: UdpTimers) -> MappingTable {
    let translated = tracked.iter().filter(|tracked| tracked.status & SOURCE_TRANSLATED != 0);
    let entries = translated.filter_map(|tracked| {
        let remote = SocketAddr::from(tracked.original.destination);
        Some(Entry {
            protocol: Protocol::of(tracked.protocol)?,
            inside: tracked.original.source.into(),
            outside: tracked.reply.destination.into(),
            remote: Some(remote),
            idle: lifetime(tracked, udp).saturating_sub(tracked.expires_in),
            left: tracked.expires_in,
            packets: tracked.packets,
            admits: Some(vec![remote]),
        })
    });
    MappingTable { entries: entries.collect() }.and(MappingTable::default())
}

/// How long the kernel remembers this connection after a packet of it: Linux's own timers.
fn lifetime(tracked: &Tracked, udp: UdpTimers) -> Duration {
    match Protocol::of(tracked.protocol) {
        Some(Protocol::Udp) if tracked.status & ASSURED != 0 => udp.stream,
        Some(Protocol::Udp) => udp.young,
        // From SYN_SENT (1) to CLOSE (8), and simultaneous open (9); else ESTABLISHED, five days.
        Some(Protocol::Tcp) => Duration::from_secs(match tracked.tcp_state {
            Some(1 | 4 | 7 | 9) => 120,
            Some(2 | 5) => 60,
            Some(6) => 30,
            Some(8) => 10,
            _ => 432_000,
        }),
        Some(Protocol::Echo) | None => Duration::from_secs(30),
    }
}
