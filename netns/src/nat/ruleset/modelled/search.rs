//! A flow without a mapping looks for a port: tries follow each other until one is its own. Who finds none is dropped, no
//! port is ever shared.
//!
//! A try is one rule. Whoever creates the port's element of `reverse` owns it, and exactly one flow does, on any number of
//! CPUs; another packet of the same flow finds itself the owner. Registers cannot be compared with each other, but `same`
//! holds only pairs of equals: owner and flow are the same where the pair of them is in it.
//!
//! Tries in order share the place they have come to only by going through one rule, so that one is jumped to again and
//! again, by chains of eight jumps, eight of which are jumped to by the next chain, and so on.

use super::super::CLAIM_LIFETIME;
use super::super::packet::{INSIDE, OUTSIDE, OUTSIDE_PORT, OWNER, PROTOCOL, PROTOCOL_AGAIN, REMOTE};
use super::{Allocation, EXHAUSTED, Flow, MAPPINGS, REVERSE, Rules, chain, growing};
use crate::netlink::nftables::{Chain, Expr, Generator, Meta, Register, Set, Verdict};

const SAME: &str = "same";

/// Outside ports that are handed out: never a well-known one unless it is preserved.
pub(super) const FIRST_PORT: u32 = 1024;
const PORTS: u32 = 0x1_0000 - FIRST_PORT;
/// With one port in eight taken, four misses in a row are one in 4,096.
const RANDOM_TRIES: u32 = 4;
/// So many ports in order are tried after that; the next packet's search goes on where this one ended. Beyond it a packet
/// would hold up its CPU for longer than a lab should.
const TRIES_IN_ORDER: u32 = 256;
/// Of echoes there are never so many that more tries are needed, of either kind; in a block, that is small, eight times as
/// many in order.
const ECHO_TRIES: u32 = 8;

/// The chains of a search.
struct Names {
    search: &'static str,
    random: &'static str,
    next: &'static str,
    scans: [&'static str; 5],
}

const PORT: Names = Names {
    search: "search-port",
    random: "try-port",
    next: "try-next-port",
    scans: ["ports-8", "ports-64", "ports-512", "ports-4096", "ports-all"],
};
const ECHO: Names = Names {
    search: "search-echo",
    random: "try-echo",
    next: "try-next-echo",
    scans: ["echoes-8", "echoes-64", "echoes-512", "echoes-4096", "echoes-all"],
};

impl Rules<'_> {
    pub(super) fn search_sets(&self) -> [Set; 1] {
        let owner = 4 * self.nat.mapping.owner_registers() as u32;
        [growing(SAME, 2 * owner, None, Some(CLAIM_LIFETIME))]
    }

    /// They end a packet's walk of the table: it is dropped, or has a mapping and goes on to the next.
    pub(super) fn search(&self) -> Vec<Chain> {
        [(Flow::Ports, PORT), (Flow::Echo, ECHO)]
            .into_iter()
            .flat_map(|(flow, names)| self.search_of(flow, &names))
            .collect()
    }

    fn search_of(&self, flow: Flow, names: &Names) -> Vec<Chain> {
        let mut rules = self.find_place();
        let mut chains = Vec::new();
        if self.nat.allocation == Allocation::Preserve {
            let mut preserved = self.pick_outside();
            preserved.push(Expr::Load(flow.own_port(), OUTSIDE_PORT));
            rules.push(self.tried(flow, preserved));
        }
        let (random, in_order) = self.tries(flow);
        if random > 0 {
            chains.push(chain(names.random, vec![self.tried(flow, self.candidate(Generator::Random))]));
            rules.extend(repeated(&mut chains, names.random, random, &[], &[]));
        }
        if in_order > 0 {
            chains.push(chain(names.next, vec![self.tried(flow, self.candidate(Generator::InOrder))]));
            rules.extend(repeated(&mut chains, names.next, in_order, &names.scans, &[]));
        }
        rules.push(self.refuse(EXHAUSTED));
        chains.push(chain(names.search, rules));
        chains
    }

    /// How many ports are tried at random, and then in order.
    const fn tries(&self, flow: Flow) -> (u32, u32) {
        match (self.nat.allocation, flow) {
            // All ports of a block, twice: another CPU may take every other turn.
            (Allocation::Blocks { size, .. }, Flow::Ports) => (RANDOM_TRIES, 2 * size as u32),
            (Allocation::Blocks { .. }, Flow::Echo) => (ECHO_TRIES, 8 * ECHO_TRIES),
            (Allocation::Sequential, Flow::Ports) => (0, TRIES_IN_ORDER),
            (Allocation::Sequential, Flow::Echo) => (0, ECHO_TRIES),
            (Allocation::Preserve | Allocation::Random, Flow::Ports) => (RANDOM_TRIES, TRIES_IN_ORDER),
            (Allocation::Preserve | Allocation::Random, Flow::Echo) => (ECHO_TRIES, 0),
        }
    }

    /// The rule that tries one port.
    fn tried(&self, flow: Flow, candidate: Vec<Expr>) -> Vec<Expr> {
        let mut rule = self.load_mapping_key(flow);
        rule.push(Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN));
        rule.extend(candidate);
        let lifetime = CLAIM_LIFETIME;
        let registers = self.nat.mapping.owner_registers() as u32;
        rule.extend(self.load_owner(flow, OWNER));
        rule.extend(self.load_owner(flow, Register(OWNER.0 + registers)));
        rule.extend([
            Expr::Update { set: SAME, key: OWNER, value: None, lifetime },
            Expr::Add { set: REVERSE, key: PROTOCOL_AGAIN, value: INSIDE, lifetime: Some(lifetime) },
            Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: OWNER },
            Expr::In(SAME, OWNER),
            // A flow that has a mapping by now, from a packet on another CPU, keeps that one. Either way the flow is
            // known from here on, and gets its real lifetime as such.
            Expr::Update { set: MAPPINGS, key: PROTOCOL, value: Some(OUTSIDE), lifetime: self.nat.timeout },
            Expr::Verdict(Verdict::Accept),
        ]);
        rule
    }

    /// Loads an outside address and port to be tried.
    fn candidate(&self, how: Generator) -> Vec<Expr> {
        let Allocation::Blocks { size, .. } = self.nat.allocation else {
            let mut steps = self.pick_outside();
            steps.push(Expr::Number { first: FIRST_PORT, count: PORTS, how, into: OUTSIDE_PORT });
            steps.push(Expr::ToPort(OUTSIDE_PORT));
            return steps;
        };
        // The number of the block, then the low bits: both move up by as many bits as there are of these, which come
        // from the top of the next register. Two registers cannot be combined by older kernels in another way.
        let bits = size.trailing_zeros();
        let mut steps = self.find_block();
        steps.extend([
            Expr::Number { first: 0, count: u32::from(size), how, into: REMOTE },
            Expr::Shift(REMOTE, u32::BITS - bits),
            Expr::ShiftPair(OUTSIDE_PORT, bits),
            Expr::ToPort(OUTSIDE_PORT),
        ]);
        steps
    }
}

/// The rules that jump to a chain so often at least, with chains of jumps below them. What stands in `between` is there
/// after each jump.
pub(super) fn repeated(
    chains: &mut Vec<Chain>,
    what: &'static str,
    times: u32,
    names: &[&'static str],
    between: &[Vec<Expr>],
) -> Vec<Vec<Expr>> {
    const AT_ONCE: u32 = 8;
    let jumps = |to, times| {
        let once = std::iter::once(jump(to)).chain(between.iter().cloned()).collect::<Vec<_>>();
        std::iter::repeat_n(once, times as usize).flatten().collect::<Vec<_>>()
    };
    match names.split_first() {
        Some((&name, names)) if times > AT_ONCE => {
            chains.push(chain(name, jumps(what, AT_ONCE)));
            repeated(chains, name, times.div_ceil(AT_ONCE), names, between)
        }
        _ => jumps(what, times),
    }
}

fn jump(to: &'static str) -> Vec<Expr> {
    vec![Expr::Verdict(Verdict::Jump(to))]
}
