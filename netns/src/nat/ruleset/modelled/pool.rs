//! Which outside address, and which block of ports, is whose.
//!
//! | set | key | meaning |
//! |---|---|---|
//! | `ours` | outside address | where there are several |
//! | `pool` | number | an outside address |
//! | `pairs` | inside address | its outside address, for ever: whom a flow of it was the first |
//! | `blocks` | subscriber | the address and the number of its block; constant, or for as long as its mappings live |
//! | `block-owners` | outside address, number of a block | the subscriber, on demand |
//! | `places` | number | the address and number of a block, where there are several addresses |
//! | `long`, `medium` | subscriber | had established TCP, other TCP or an echo: its block lives as long as these |
//!
//! A subscriber is an inside address. Static blocks are those of the addresses that follow the router's own: the first
//! host has the first block, and who comes after the last block has none. On demand the first packet claims the next
//! block that is free, in the way in which ports are claimed.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::packet::{
    DESTINATION, FIN, INSIDE, OUTSIDE, OWNER, RST, SCRATCH, SOURCE, SYN, TCP, UDP, flags_none, is_protocol,
};
use super::super::{CLAIM_LIFETIME, TCP_ESTABLISHED, TCP_TRANSITORY};
use super::known::{PORT_GRACE, update};
use super::search::{FIRST_PORT, repeated};
use super::{Allocation, Pooling, Rules, chain, growing, then};
use crate::netlink::nftables::{Chain, Expr, Field, Generator, Meta, Register, Set, Verdict};

const OURS: &str = "ours";
const POOL: &str = "pool";
const PAIRS: &str = "pairs";
const BLOCKS: &str = "blocks";
const BLOCK_OWNERS: &str = "block-owners";
const SAME_SUBSCRIBER: &str = "same-subscriber";
const PLACES: &str = "places";
const LONG: &str = "long";
const MEDIUM: &str = "medium";

/// The registers of a claim: the subscriber, then its own again, to be paired with the owner before it.
const SUBSCRIBER: Register = INSIDE;
const AGAIN: Register = Register(OWNER.0 + 1);

impl Rules<'_> {
    pub(super) fn pool_sets(&self) -> Vec<Set> {
        let mut sets = Vec::new();
        let constant = |name, value, constant| Set { name, key: 4, value, lifetime: None, constant };
        let octets = |address: &Ipv4Addr| address.octets().to_vec();
        if self.outsides.len() > 1 {
            let ours = self.outsides.iter().map(|address| (octets(address), Vec::new())).collect();
            sets.push(constant(OURS, None, ours));
        }
        match self.nat.allocation {
            Allocation::Blocks { on_demand: false, .. } => {
                let first = u32::from(self.inside) + 1;
                let subscribers = (first..).map(|address| address.to_be_bytes().to_vec());
                sets.push(constant(BLOCKS, Some(8), subscribers.zip(self.places()).collect()));
            }
            Allocation::Blocks { on_demand: true, .. } => {
                let numbered = (0u32..).map(|number| number.to_ne_bytes().to_vec());
                sets.push(constant(PLACES, Some(8), numbered.zip(self.places()).collect()));
                sets.push(growing(BLOCKS, 4, Some(8), Some(self.nat.timeout)));
                sets.push(growing(BLOCK_OWNERS, 8, Some(4), Some(self.nat.timeout)));
                sets.push(growing(SAME_SUBSCRIBER, 8, None, Some(CLAIM_LIFETIME)));
                sets.push(growing(LONG, 4, None, Some(TCP_ESTABLISHED)));
                sets.push(growing(MEDIUM, 4, None, Some(TCP_TRANSITORY)));
            }
            Allocation::Preserve | Allocation::Random | Allocation::Sequential if self.outsides.len() > 1 => {
                let numbered = (0u32..).map(|number| number.to_ne_bytes().to_vec());
                sets.push(constant(POOL, Some(4), numbered.zip(self.outsides.iter().map(octets)).collect()));
                if self.nat.pooling == Pooling::Paired {
                    sets.push(growing(PAIRS, 4, Some(4), None));
                }
            }
            Allocation::Preserve | Allocation::Random | Allocation::Sequential => {}
        }
        sets
    }

    pub(super) fn pool(&self) -> Vec<Chain> {
        if self.blocks_on_demand() {
            return self.claim();
        }
        if !self.pairs() {
            return Vec::new();
        }
        let known = vec![
            Expr::Load(SOURCE, SUBSCRIBER),
            Expr::Find { map: PAIRS, key: SUBSCRIBER, value: OUTSIDE },
            Expr::Verdict(Verdict::Return),
        ];
        let count = self.outsides.len() as u32;
        let new = vec![
            Expr::Load(SOURCE, SUBSCRIBER),
            Expr::Number { first: 0, count, how: Generator::InOrder, into: OUTSIDE },
            Expr::Find { map: POOL, key: OUTSIDE, value: OUTSIDE },
            Expr::Add { set: PAIRS, key: SUBSCRIBER, value: OUTSIDE, lifetime: None },
        ];
        vec![chain("pair", vec![known, new])]
    }

    /// What a search begins with: that a subscriber has its address, or its block.
    pub(super) fn find_place(&self) -> Vec<Vec<Expr>> {
        let jump = |to| vec![vec![Expr::Verdict(Verdict::Jump(to))]];
        if self.blocks_on_demand() {
            jump("claim-block")
        } else if self.pairs() {
            jump("pair")
        } else {
            Vec::new()
        }
    }

    /// Loads the outside address of a new mapping.
    pub(super) fn pick_outside(&self) -> Vec<Expr> {
        match (self.outsides, self.nat.pooling) {
            ([only], _) => vec![Expr::Set(OUTSIDE, only.octets().to_vec())],
            (_, Pooling::Paired) => {
                vec![Expr::Load(SOURCE, OUTSIDE), Expr::Find { map: PAIRS, key: OUTSIDE, value: OUTSIDE }]
            }
            (many, Pooling::Arbitrary) => vec![
                Expr::Number { first: 0, count: many.len() as u32, how: Generator::Random, into: OUTSIDE },
                Expr::Find { map: POOL, key: OUTSIDE, value: OUTSIDE },
            ],
        }
    }

    /// Holds where the subscriber has a block; loads the outside address and the block's number.
    pub(super) fn find_block(&self) -> Vec<Expr> {
        vec![Expr::Load(SOURCE, OUTSIDE), Expr::Find { map: BLOCKS, key: OUTSIDE, value: OUTSIDE }]
    }

    /// The rule that keeps a subscriber's block, where blocks come on demand.
    pub(super) fn hold_block(&self) -> Option<Vec<Expr>> {
        self.blocks_on_demand().then(|| vec![Expr::Verdict(Verdict::Jump("hold"))])
    }

    pub(super) fn blocks_on_demand(&self) -> bool {
        matches!(self.nat.allocation, Allocation::Blocks { on_demand: true, .. })
    }

    /// Holds where a field of the packet is no outside address.
    pub(super) fn is_not_ours(&self, field: Field) -> Vec<Expr> {
        let test = match self.outsides {
            [only] => Expr::IsNot(SCRATCH, only.octets().to_vec()),
            _ => Expr::NotIn(OURS, SCRATCH),
        };
        vec![Expr::Load(field, SCRATCH), test]
    }

    fn pairs(&self) -> bool {
        let blocks = matches!(self.nat.allocation, Allocation::Blocks { .. });
        self.outsides.len() > 1 && self.nat.pooling == Pooling::Paired && !blocks
    }

    /// The address and the number of every block, as the registers have them.
    fn places(&self) -> impl Iterator<Item = Vec<u8>> {
        let size = match self.nat.allocation {
            Allocation::Blocks { size, .. } => u32::from(size),
            Allocation::Preserve | Allocation::Random | Allocation::Sequential => 0x1_0000,
        };
        let numbers = FIRST_PORT.div_ceil(size)..0x1_0000 / size;
        self.outsides.iter().flat_map(move |address| {
            let octets = address.octets();
            numbers.clone().map(move |number| [octets, number.to_ne_bytes()].concat())
        })
    }

    fn claim(&self) -> Vec<Chain> {
        let known = vec![
            Expr::Load(SOURCE, SUBSCRIBER),
            Expr::Find { map: BLOCKS, key: SUBSCRIBER, value: OUTSIDE },
            Expr::Verdict(Verdict::Return),
        ];
        let blocks = self.places().count() as u32;
        let lifetime = CLAIM_LIFETIME;
        let next = vec![
            Expr::Load(SOURCE, SUBSCRIBER),
            Expr::Number { first: 0, count: blocks, how: Generator::InOrder, into: OUTSIDE },
            Expr::Find { map: PLACES, key: OUTSIDE, value: OUTSIDE },
            Expr::Load(SOURCE, AGAIN),
            Expr::Load(SOURCE, Register(AGAIN.0 + 1)),
            Expr::Update { set: SAME_SUBSCRIBER, key: AGAIN, value: None, lifetime },
            Expr::Add { set: BLOCK_OWNERS, key: OUTSIDE, value: SUBSCRIBER, lifetime: Some(lifetime) },
            Expr::Find { map: BLOCK_OWNERS, key: OUTSIDE, value: OWNER },
            Expr::In(SAME_SUBSCRIBER, OWNER),
            // It keeps the block that another CPU has found for it meanwhile.
            Expr::Add { set: BLOCKS, key: SUBSCRIBER, value: OUTSIDE, lifetime: Some(lifetime) },
        ];
        let mut chains = vec![chain("try-next-block", vec![next])];
        const NAMES: [&str; 4] = ["blocks-8", "blocks-64", "blocks-512", "blocks-4096"];
        let mut rules = vec![known.clone()];
        rules.extend(repeated(&mut chains, "try-next-block", 2 * blocks, &NAMES, &[known]));
        chains.push(chain("claim-block", rules));
        chains.push(chain("hold", self.hold(SOURCE, Verdict::Return)));
        if self.nat.inbound_refresh {
            let mut inbound = self.hold(DESTINATION, Verdict::Accept);
            inbound.push(vec![Expr::Verdict(Verdict::Accept)]);
            chains.push(chain("hold-inbound", inbound));
        }
        chains
    }

    /// Refreshes a subscriber's block for as long as its last mapping lives, or longer: a lifetime is not shortened while
    /// one of the longer ones may run.
    fn hold(&self, subscriber: Field, last: Verdict) -> Vec<Vec<Expr>> {
        let of = |mut condition: Vec<Expr>, steps: Vec<Expr>| {
            condition.push(Expr::Load(subscriber, SUBSCRIBER));
            condition.extend(steps);
            condition
        };
        let keep = |lifetime: Duration| {
            let lifetime = lifetime.max(self.nat.timeout) + PORT_GRACE;
            let (value, grace) = (Some(OUTSIDE), lifetime + PORT_GRACE);
            vec![
                Expr::Find { map: BLOCKS, key: SUBSCRIBER, value: OUTSIDE },
                Expr::Update { set: BLOCK_OWNERS, key: OUTSIDE, value: Some(SUBSCRIBER), lifetime: grace },
                Expr::Update { set: BLOCKS, key: SUBSCRIBER, value, lifetime },
            ]
        };
        let while_in = |set, lifetime| [vec![Expr::In(set, SUBSCRIBER)], keep(lifetime)].concat();
        let not_udp = [Expr::LoadMeta(Meta::TransportProtocol, SCRATCH), Expr::IsNot(SCRATCH, vec![UDP])];
        let open = [is_protocol(TCP), flags_none(FIN | SYN | RST)].concat();
        vec![
            of(open, vec![update(LONG, SUBSCRIBER, TCP_ESTABLISHED)]),
            of(not_udp.to_vec(), vec![update(MEDIUM, SUBSCRIBER, TCP_TRANSITORY)]),
            then(of(Vec::new(), while_in(LONG, TCP_ESTABLISHED)), last.clone()),
            then(of(Vec::new(), while_in(MEDIUM, TCP_TRANSITORY)), last.clone()),
            then(of(Vec::new(), keep(self.nat.timeout)), last),
        ]
    }
}
