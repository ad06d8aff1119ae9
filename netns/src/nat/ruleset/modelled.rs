//! RFC 4787's model by stateless rewriting: all the state that it speaks of is in sets of the router's namespace; there
//! is no conntrack, so nothing of its habits can show.
//!
//! | set | key | meaning |
//! |---|---|---|
//! | `mappings` | protocol, inside address and port, then by the mapping: remote address, remote port | the outside address and port |
//! | `reverse` | protocol, outside address and port | its owner: the key of the mapping, but for the protocol |
//! | `filter` | protocol, outside address and port, then by the filtering: remote address, remote port | who may send |
//! | `heard` | protocol, inside address and port, remote address and port | by which outside address and port the remote came in, where the filter admits remotes whose mapping would be another |
//!
//! [`known`] has the state of TCP sessions, [`pool`] which address and which block of ports is whose. `same` is no state:
//! it holds pairs of equals for a second, so that two registers can be compared.

mod flow;
mod gate;
mod icmp;
mod known;
mod pool;
mod search;

use std::net::Ipv4Addr;

use super::packet::{DESTINATION, ICMP, IP_CHECKSUM, SCRATCH, SOURCE, TCP, UDP, is_protocol};
use super::{
    COUNTERS, EXHAUSTED, FILTER, FILTERED, MAPPINGS, RAW, UNTRANSLATABLE, chain, growing, policy, then,
};
use crate::nat::{Allocation, Filtering, Hairpin, Nat, OnDrop, Pooling};
use crate::netlink::nftables::{Chain, Checksum, Expr, Family, Hook, Meta, Set, Table, Verdict};
use flow::Flow;

const REVERSE: &str = "reverse";
const HEARD: &str = "heard";

/// How many registers hold what a mapping of this NAT belongs to.
pub(super) const fn owner_registers(nat: &Nat) -> usize {
    nat.mapping.owner_registers()
}

/// The rules of a router with these outside addresses, whose outside link has this index and whose inside address is
/// `inside`.
pub(super) fn table(nat: &Nat, outsides: &[Ipv4Addr], outside_link: u32, inside: Ipv4Addr) -> Table {
    let outside_link = outside_link.to_ne_bytes().to_vec();
    let rules = Rules { nat, outsides, outside_link, inside };
    let mut chains = vec![
        chain("defragment", vec![vec![Expr::Set(SCRATCH, vec![0; 4]), Expr::Defragment(SCRATCH)]]),
        rules.prerouting(),
        rules.prerouting_again(),
        rules.forward(),
        rules.forward_again(),
        chain("leave", rules.leave()),
    ];
    chains.extend(policy::egress(nat));
    if nat.on_drop == OnDrop::Reject {
        chains.push(policy::rejections());
    }
    chains.extend(rules.gate());
    chains.extend(rules.known());
    chains.extend(rules.turn());
    chains.extend(rules.search());
    chains.extend(rules.pool());
    chains.extend(rules.icmp());
    Table { family: Family::Ipv4, counters: COUNTERS.to_vec(), sets: rules.sets(), chains }
}

struct Rules<'a> {
    nat: &'a Nat,
    outsides: &'a [Ipv4Addr],
    outside_link: Vec<u8>,
    inside: Ipv4Addr,
}

impl Rules<'_> {
    fn sets(&self) -> Vec<Set> {
        let owner = 4 * self.nat.mapping.owner_registers() as u32;
        let mut sets = vec![
            growing(MAPPINGS, 4 + owner, Some(8), Some(self.nat.timeout)),
            growing(REVERSE, 12, Some(owner), Some(self.nat.timeout)),
        ];
        match self.nat.filtering {
            Filtering::EndpointIndependent => {}
            Filtering::AddressDependent => sets.push(growing(FILTER, 16, None, Some(self.nat.timeout))),
            Filtering::AddressAndPortDependent => {
                sets.push(growing(FILTER, 20, None, Some(self.nat.timeout)));
            }
        }
        if self.admits_others() {
            sets.push(growing(HEARD, 20, Some(8), Some(self.nat.timeout)));
        }
        sets.extend(self.search_sets());
        sets.extend(self.session_sets());
        sets.extend(self.pool_sets());
        sets.extend(self.icmp_sets());
        sets
    }

    /// Before routing: what comes from outside passes the gate or ends; what an inside host sends to an outside address
    /// turns round.
    fn prerouting(&self) -> Chain {
        let from_outside =
            vec![Expr::LoadMeta(Meta::InputInterface, SCRATCH), Expr::Is(SCRATCH, self.outside_link.clone())];
        let mut rules = vec![
            then(from_outside, Verdict::Goto("gate")),
            then(self.not_to_us(), Verdict::Accept),
            then(is_protocol(ICMP), Verdict::Goto("icmp-turn")),
        ];
        rules.extend(policy::asked(self.nat));
        if self.nat.hairpin != Hairpin::Off {
            rules.extend(self.hold_block());
            rules.push(then(is_protocol(UDP), Verdict::Jump("turn-udp")));
            rules.push(then(is_protocol(TCP), Verdict::Jump("turn-tcp")));
            for protocol in [UDP, TCP] {
                rules.push(then(is_protocol(protocol), Verdict::Goto("search-port")));
            }
        }
        rules.push(self.refuse(FILTERED));
        Chain { name: "prerouting", hook: Some(Hook::Prerouting(RAW)), rules }
    }

    /// What turns round and has found its mapping only just now is not yet rewritten; so far for the rest.
    fn prerouting_again(&self) -> Chain {
        let mut rules = Vec::new();
        if self.nat.hairpin != Hairpin::Off {
            rules.push(then(self.not_to_us(), Verdict::Accept));
            rules.push(then(is_protocol(ICMP), Verdict::Accept));
            rules.extend(self.hold_block());
            rules.push(then(is_protocol(UDP), Verdict::Jump("turn-udp")));
            rules.extend(self.new_session());
            rules.push(then(is_protocol(TCP), Verdict::Jump("turn-tcp")));
            rules.push(self.refuse(EXHAUSTED));
        }
        Chain { name: "prerouting-again", hook: Some(Hook::Prerouting(RAW + 1)), rules }
    }

    /// After routing: what goes outside gets its mapping; what has turned round shows its outside address from here on
    /// (RFC 4787 REQ-9a; before routing, it would be a martian).
    fn forward(&self) -> Chain {
        let mut rules = vec![then(self.to_outside(), Verdict::Goto("leave"))];
        if self.nat.hairpin == Hairpin::External {
            rules.push(vec![
                Expr::LoadMeta(Meta::Mark, SCRATCH),
                Expr::IsNot(SCRATCH, vec![0; 4]),
                Expr::Write(SOURCE, SCRATCH, Checksum::AtAndTransport(IP_CHECKSUM)),
                Expr::Verdict(Verdict::Accept),
            ]);
        }
        Chain { name: "forward", hook: Some(Hook::Forward(0)), rules }
    }

    fn leave(&self) -> Vec<Vec<Expr>> {
        let mut rules = Vec::new();
        rules.extend(policy::asked(self.nat));
        rules.extend(self.hold_block());
        rules.push(then(is_protocol(UDP), Verdict::Jump("known-udp")));
        rules.push(then(is_protocol(UDP), Verdict::Goto("search-port")));
        rules.push(then(is_protocol(TCP), Verdict::Jump("known-tcp")));
        rules.extend(self.answer_to_a_stranger());
        rules.push(then(is_protocol(TCP), Verdict::Goto("search-port")));
        rules.push(then(is_protocol(ICMP), Verdict::Goto("icmp-out")));
        rules.push(self.refuse(UNTRANSLATABLE));
        rules
    }

    /// What has found its mapping only just now is not yet rewritten: it still has its own address. That the search ends
    /// with one table walk and the rewriting begins with another keeps the kernel from checking the rules below a
    /// search once for every try.
    fn forward_again(&self) -> Chain {
        let mut still_its_own = self.to_outside();
        still_its_own.extend(self.is_not_ours(SOURCE));
        Chain {
            name: "forward-again",
            hook: Some(Hook::Forward(1)),
            rules: vec![then(still_its_own, Verdict::Goto("leave-again"))],
        }
    }

    /// Whether the filter admits remotes to a mapping that is not the one by which they are answered.
    fn admits_others(&self) -> bool {
        (self.nat.mapping as u8) > (self.nat.filtering as u8)
    }

    fn refuse(&self, counter: &'static str) -> Vec<Expr> {
        policy::refuse(self.nat, counter)
    }

    fn to_outside(&self) -> Vec<Expr> {
        vec![Expr::LoadMeta(Meta::OutputInterface, SCRATCH), Expr::Is(SCRATCH, self.outside_link.clone())]
    }

    fn not_to_us(&self) -> Vec<Expr> {
        self.is_not_ours(DESTINATION)
    }
}
