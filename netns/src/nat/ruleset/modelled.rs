//! RFC 4787's model by stateless rewriting: all the state that it speaks of is in three sets of the router's namespace;
//! there is no conntrack, so nothing of its habits can show.
//!
//! | set | key | meaning |
//! |---|---|---|
//! | `mappings` | protocol, inside address and port, then by the mapping: remote address, remote port | the outside port |
//! | `reverse` | protocol, outside port | its owner: the key of the mapping, but for the protocol |
//! | `filter` | protocol, outside port, then by the filtering: remote address, remote port | who may send |
//!
//! A fourth, `same`, is no state: it holds pairs of equals for a second, so that two registers can be compared.

mod allocate;
mod icmp;

pub(super) use allocate::opens_or_closes;

use std::net::Ipv4Addr;

use super::packet::{
    DESTINATION, DESTINATION_PORT, ICMP, INSIDE, INSIDE_PORT, IP_CHECKSUM, OUTSIDE_PORT, PROTOCOL_AGAIN,
    REMOTE, REMOTE_PORT, SCRATCH, SOURCE, SOURCE_PORT, TCP, UDP, is_protocol,
};
use super::{CLAIM_LIFETIME, COUNTERS, FILTER, FILTERED, MAPPINGS, UDP_LIFETIME, UNTRANSLATABLE, refuse};
use crate::nat::{Filtering, Nat};
use crate::netlink::nftables::{Chain, Checksum, Expr, Family, Hook, Meta, Set, Table, Verdict};

const REVERSE: &str = "reverse";
const SAME: &str = "same";

const HAIRPIN_MARK: u32 = 1;

/// The rules of a router with this outside address, whose outside link has this index.
pub(super) fn table(nat: &Nat, outside: Ipv4Addr, outside_link: u32) -> Table {
    let rules =
        Rules { nat, outside: outside.octets().to_vec(), outside_link: outside_link.to_ne_bytes().to_vec() };
    let chain = |name, rules| Chain { name, hook: None, rules };
    let mut chains = vec![
        rules.prerouting(),
        rules.forward(),
        chain("gate", rules.gate()),
        chain("turn", rules.turn()),
        chain("defragment", vec![vec![Expr::Set(SCRATCH, vec![0; 4]), Expr::Defragment(SCRATCH)]]),
    ];
    chains.extend(rules.allocate());
    chains.extend(rules.icmp());
    Table { family: Family::Ipv4, counters: COUNTERS.to_vec(), sets: rules.sets(), chains }
}

struct Rules<'a> {
    nat: &'a Nat,
    outside: Vec<u8>,
    outside_link: Vec<u8>,
}

impl Rules<'_> {
    fn sets(&self) -> Vec<Set> {
        let owner = 4 * self.nat.mapping.owner_registers() as u32;
        let filter = match self.nat.filtering {
            Filtering::EndpointIndependent => 0,
            Filtering::AddressDependent => 4,
            Filtering::AddressAndPortDependent => 8,
        };
        let set = |name, key, value, lifetime| Set {
            name,
            key,
            value,
            lifetime: Some(lifetime),
            constant: Vec::new(),
        };
        vec![
            set(MAPPINGS, 4 + owner, Some(4), UDP_LIFETIME),
            set(REVERSE, 8, Some(owner), UDP_LIFETIME),
            set(FILTER, 8 + filter, None, UDP_LIFETIME),
            set(SAME, 2 * owner, None, CLAIM_LIFETIME),
        ]
    }

    /// Before routing: what comes from outside passes the gate or ends; what an inside host sends to the outside
    /// address turns round.
    fn prerouting(&self) -> Chain {
        const RAW: i32 = -300;
        let verdict = |mut condition: Vec<Expr>, verdict| {
            condition.push(Expr::Verdict(verdict));
            condition
        };
        let from_outside =
            vec![Expr::LoadMeta(Meta::InputInterface, SCRATCH), Expr::Is(SCRATCH, self.outside_link.clone())];
        let not_icmp =
            vec![Expr::LoadMeta(Meta::TransportProtocol, SCRATCH), Expr::IsNot(SCRATCH, vec![ICMP])];
        let rules = vec![
            verdict(from_outside, Verdict::Goto("gate")),
            verdict(self.not_to_us(), Verdict::Accept),
            verdict(is_protocol(UDP), Verdict::Jump("allocate-udp")),
            verdict(is_protocol(TCP), Verdict::Jump("allocate-tcp")),
            verdict(not_icmp, Verdict::Goto("turn")),
        ];
        Chain { name: "prerouting", hook: Some(Hook::Prerouting(RAW)), rules }
    }

    /// After routing: what goes outside gets its mapping.
    fn forward(&self) -> Chain {
        let mut turned =
            vec![Expr::LoadMeta(Meta::Mark, SCRATCH), Expr::Is(SCRATCH, HAIRPIN_MARK.to_ne_bytes().to_vec())];
        turned.extend(self.leave_from_outside_address());
        let stays_inside = vec![
            Expr::LoadMeta(Meta::OutputInterface, SCRATCH),
            Expr::IsNot(SCRATCH, self.outside_link.clone()),
            Expr::Verdict(Verdict::Accept),
        ];
        let outbound = |protocol: u8, verdict| {
            let mut rule = is_protocol(protocol);
            rule.push(Expr::Verdict(verdict));
            rule
        };
        let mut neither = vec![Expr::LoadMeta(Meta::TransportProtocol, SCRATCH)];
        neither.extend([UDP, TCP].map(|protocol| Expr::IsNot(SCRATCH, vec![protocol])));
        neither.extend(refuse(UNTRANSLATABLE));
        let rules = vec![
            turned,
            stays_inside,
            outbound(UDP, Verdict::Jump("allocate-udp")),
            outbound(TCP, Verdict::Jump("allocate-tcp")),
            outbound(ICMP, Verdict::Goto("icmp-out")),
            neither,
            self.leave_from_outside_address().to_vec(),
        ];
        Chain { name: "forward", hook: Some(Hook::Forward(0)), rules }
    }

    /// From outside: admitted and rewritten, or counted and dropped. A protocol without mappings admits nothing.
    fn gate(&self) -> Vec<Vec<Expr>> {
        let mut to_others = self.not_to_us();
        to_others.extend(refuse(FILTERED));
        let mut icmp = is_protocol(ICMP);
        icmp.push(Expr::Verdict(Verdict::Goto("icmp-in")));
        let mut admitted = vec![
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
            Expr::Load(DESTINATION_PORT, OUTSIDE_PORT),
            Expr::Load(SOURCE, REMOTE),
            Expr::Load(SOURCE_PORT, REMOTE_PORT),
        ];
        admitted.extend(self.admit());
        admitted.push(Expr::Write(DESTINATION_PORT, INSIDE_PORT, Checksum::Transport));
        admitted.push(Expr::Verdict(Verdict::Accept));
        vec![to_others, icmp, admitted, refuse(FILTERED)]
    }

    /// From inside to the outside address, its source port already that of its mapping: like the gate, and the
    /// source becomes the outside address after routing (RFC 4787 REQ-9a; before it, it would be a martian).
    fn turn(&self) -> Vec<Vec<Expr>> {
        let mut rule = vec![
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
            Expr::Load(DESTINATION_PORT, OUTSIDE_PORT),
            Expr::Set(REMOTE, self.outside.clone()),
            Expr::Load(SOURCE_PORT, REMOTE_PORT),
        ];
        rule.extend(self.admit());
        rule.push(Expr::Write(DESTINATION_PORT, INSIDE_PORT, Checksum::Transport));
        rule.push(Expr::Set(SCRATCH, HAIRPIN_MARK.to_ne_bytes().to_vec()));
        rule.push(Expr::Mark(SCRATCH));
        rule.push(Expr::Verdict(Verdict::Accept));
        vec![rule, refuse(FILTERED)]
    }

    /// Holds where the filter admits the remote; writes the inside address.
    fn admit(&self) -> Vec<Expr> {
        let mut steps = Vec::new();
        if self.nat.filtering != Filtering::EndpointIndependent {
            steps.push(Expr::In(FILTER, PROTOCOL_AGAIN));
        }
        steps.push(Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: INSIDE });
        steps.push(Expr::Write(DESTINATION, INSIDE, Checksum::AtAndTransport(IP_CHECKSUM)));
        steps
    }

    fn not_to_us(&self) -> Vec<Expr> {
        vec![Expr::Load(DESTINATION, SCRATCH), Expr::IsNot(SCRATCH, self.outside.clone())]
    }

    fn leave_from_outside_address(&self) -> [Expr; 3] {
        [
            Expr::Set(SCRATCH, self.outside.clone()),
            Expr::Write(SOURCE, SCRATCH, Checksum::AtAndTransport(IP_CHECKSUM)),
            Expr::Verdict(Verdict::Accept),
        ]
    }
}
