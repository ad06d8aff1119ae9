//! From a [`Nat`] to the rules that make it true. Stateless rewriting: all the state that RFC 4787 speaks of is in
//! five sets of the router's namespace; there is no conntrack, so nothing of its habits can show.
//!
//! | set | key | meaning |
//! |---|---|---|
//! | `mappings` | protocol, inside address and port, then by the mapping: remote address, remote port | the outside port |
//! | `reverse` | protocol, outside port | inside address and port |
//! | `taken` | protocol, outside port | the keys of `reverse`, where absence can be tested |
//! | `filter` | protocol, outside port, then by the filtering: remote address, remote port | who may send |
//! | `claims` | protocol, outside port, for a second | whoever creates an element owns the port, on any number of CPUs |
//!
//! An ICMP echo is a flow whose port is its identifier (RFC 5508 section 3).

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Allocation, Filtering, Mapping, Nat};
use crate::netlink::nftables::{
    Base, Chain, Checksum, Expr, Field, Generator, Hook, Meta, Register, Set, Table, Verdict,
};

/// Names that others read.
pub(crate) const MAPPINGS: &str = "mappings";
pub(crate) const FILTER: &str = "filter";
/// Inbound packets that the filter did not admit.
pub(crate) const FILTERED: &str = "filtered";
/// Outbound packets for which no free port was left.
pub(crate) const EXHAUSTED: &str = "exhausted";
/// Outbound packets that this router does not translate.
pub(crate) const UNTRANSLATABLE: &str = "untranslatable";

const REVERSE: &str = "reverse";
const TAKEN: &str = "taken";
const CLAIMS: &str = "claims";

/// RFC 4787 REQ-5: two minutes or more.
const UDP_LIFETIME: Duration = Duration::from_secs(120);
/// RFC 5382 REQ-5: 2 hours 4 minutes once established, 4 minutes before and after.
const TCP_ESTABLISHED: Duration = Duration::from_secs(2 * 3600 + 4 * 60);
const TCP_TRANSITORY: Duration = Duration::from_secs(4 * 60);
/// RFC 5508 REQ-1: 60 seconds or more.
const ECHO_LIFETIME: Duration = Duration::from_secs(60);
/// Longer than two CPUs can be apart on one packet.
const CLAIM_LIFETIME: Duration = Duration::from_secs(1);
/// A port stays taken this much longer than its mapping lives, so that the two never expire in the wrong order.
const PORT_GRACE: Duration = Duration::from_millis(100);

/// Outside ports that are handed out: never a well-known one unless it is preserved.
const FIRST_PORT: u16 = 1024;
const PORTS: u16 = u16::MAX - FIRST_PORT;
/// With one port in eight taken, eight misses in a row are one in 16 million.
const RANDOM_TRIES: usize = 8;

const PROTOCOL: Register = Register(0);
const INSIDE: Register = Register(1);
const INSIDE_PORT: Register = Register(2);
const TO: Register = Register(3);
const TO_PORT: Register = Register(4);
const PROTOCOL_AGAIN: Register = Register(5);
const OUTSIDE_PORT: Register = Register(6);
const REMOTE: Register = Register(7);
const REMOTE_PORT: Register = Register(8);
const SCRATCH: Register = Register(9);

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const HAIRPIN_MARK: u32 = 1;

const SOURCE: Field = Field { base: Base::Network, offset: 12, length: 4 };
const DESTINATION: Field = Field { base: Base::Network, offset: 16, length: 4 };
const IP_CHECKSUM: u32 = 10;
const SOURCE_PORT: Field = Field { base: Base::Transport, offset: 0, length: 2 };
const DESTINATION_PORT: Field = Field { base: Base::Transport, offset: 2, length: 2 };
const TCP_FLAGS: Field = Field { base: Base::Transport, offset: 13, length: 1 };
const ICMP_TYPE: Field = Field { base: Base::Transport, offset: 0, length: 1 };
const ICMP_CHECKSUM: u32 = 2;
const ECHO_IDENTIFIER: Field = Field { base: Base::Transport, offset: 4, length: 2 };
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
/// Destination unreachable, time exceeded, parameter problem (RFC 5508 section 4).
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];

/// The packet that an ICMP error quotes, where its header has no options.
const QUOTED: u32 = 8;
const QUOTED_LENGTH: Field = Field { base: Base::Transport, offset: QUOTED, length: 1 };
const QUOTED_PROTOCOL: Field = Field { base: Base::Transport, offset: QUOTED + 9, length: 1 };
const QUOTED_IP_CHECKSUM: u32 = QUOTED + IP_CHECKSUM;
const QUOTED_SOURCE: Field = Field { base: Base::Transport, offset: QUOTED + 12, length: 4 };
const QUOTED_DESTINATION: Field = Field { base: Base::Transport, offset: QUOTED + 16, length: 4 };
const QUOTED_SOURCE_PORT: Field = Field { base: Base::Transport, offset: QUOTED + 20, length: 2 };
const QUOTED_DESTINATION_PORT: Field = Field { base: Base::Transport, offset: QUOTED + 22, length: 2 };

/// A kind of flow: where its ports are, and how long it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Udp,
    Tcp,
    Echo,
}

/// The rules of a router with this outside address, whose outside link has this index.
pub(crate) fn ruleset(nat: &Nat, outside: Ipv4Addr, outside_link: u32) -> Table {
    let rules =
        Rules { nat, outside: outside.octets().to_vec(), outside_link: outside_link.to_ne_bytes().to_vec() };
    Table {
        counters: vec![FILTERED, EXHAUSTED, UNTRANSLATABLE],
        sets: rules.sets(),
        chains: vec![
            rules.inbound(),
            rules.forward(),
            chain("allocate-udp", rules.allocate(Flow::Udp)),
            chain("allocate-tcp", rules.allocate(Flow::Tcp)),
            chain("allocate-echo", rules.allocate(Flow::Echo)),
            chain("gate", rules.gate()),
            chain("turn", rules.turn()),
            chain("gate-icmp", rules.gate_icmp()),
            chain("out-icmp", rules.out_icmp()),
        ],
    }
}

fn chain(name: &'static str, rules: Vec<Vec<Expr>>) -> Chain {
    Chain { name, hook: None, rules }
}

struct Rules<'a> {
    nat: &'a Nat,
    outside: Vec<u8>,
    outside_link: Vec<u8>,
}

impl Rules<'_> {
    fn sets(&self) -> Vec<Set> {
        let set = |name, key, value, lifetime| Set { name, key, value, lifetime };
        vec![
            set(MAPPINGS, 12 + self.mapping_extra(), Some(4), UDP_LIFETIME),
            set(REVERSE, 8, Some(8), UDP_LIFETIME),
            set(TAKEN, 8, None, UDP_LIFETIME),
            set(FILTER, 8 + self.filter_extra(), None, UDP_LIFETIME),
            set(CLAIMS, 8, None, CLAIM_LIFETIME),
        ]
    }

    fn mapping_extra(&self) -> u32 {
        match self.nat.mapping {
            Mapping::EndpointIndependent => 0,
            Mapping::AddressDependent => 4,
            Mapping::AddressAndPortDependent => 8,
        }
    }

    fn filter_extra(&self) -> u32 {
        match self.nat.filtering {
            Filtering::EndpointIndependent => 0,
            Filtering::AddressDependent => 4,
            Filtering::AddressAndPortDependent => 8,
        }
    }

    /// Before routing: what comes from outside passes the gate or ends; what an inside host sends to the outside
    /// address turns round.
    fn inbound(&self) -> Chain {
        const RAW: i32 = -300;
        let from_outside = |mut more: Vec<Expr>| {
            let mut rule = vec![
                Expr::LoadMeta(Meta::InputInterface, SCRATCH),
                Expr::Is(SCRATCH, self.outside_link.clone()),
            ];
            rule.append(&mut more);
            rule
        };
        let to_us = || [Expr::Load(DESTINATION, SCRATCH), Expr::Is(SCRATCH, self.outside.clone())];
        let hairpin = |protocol: u8, allocate| {
            let mut rule = is_protocol(protocol);
            rule.extend(to_us());
            rule.push(Expr::Verdict(Verdict::Jump(allocate)));
            rule
        };
        let mut turn = to_us().to_vec();
        turn.push(Expr::LoadMeta(Meta::TransportProtocol, SCRATCH));
        turn.extend([Expr::IsNot(SCRATCH, vec![ICMP]), Expr::Verdict(Verdict::Goto("turn"))]);
        let mut not_to_us =
            vec![Expr::Load(DESTINATION, SCRATCH), Expr::IsNot(SCRATCH, self.outside.clone())];
        not_to_us.extend(refuse(FILTERED));
        let gate = |protocol: u8, gate| {
            let mut rule = is_protocol(protocol);
            rule.push(Expr::Verdict(Verdict::Goto(gate)));
            from_outside(rule)
        };
        let rules = vec![
            from_outside(not_to_us),
            gate(UDP, "gate"),
            gate(TCP, "gate"),
            gate(ICMP, "gate-icmp"),
            from_outside(refuse(FILTERED)),
            hairpin(UDP, "allocate-udp"),
            hairpin(TCP, "allocate-tcp"),
            turn,
        ];
        Chain { name: "inbound", hook: Some(Hook::Prerouting(RAW)), rules }
    }

    /// After routing: what goes outside gets its mapping.
    fn forward(&self) -> Chain {
        let outbound = |protocol: u8, verdict| {
            let mut rule = self.to_outside();
            rule.extend(is_protocol(protocol));
            rule.push(Expr::Verdict(verdict));
            rule
        };
        let mut turned =
            vec![Expr::LoadMeta(Meta::Mark, SCRATCH), Expr::Is(SCRATCH, HAIRPIN_MARK.to_ne_bytes().to_vec())];
        turned.extend(self.leave_from_outside_address());
        let not_these = |protocols: [u8; 2]| {
            let mut rule = self.to_outside();
            rule.push(Expr::LoadMeta(Meta::TransportProtocol, SCRATCH));
            rule.extend(protocols.map(|protocol| Expr::IsNot(SCRATCH, vec![protocol])));
            rule.extend(refuse(UNTRANSLATABLE));
            rule
        };
        let mut leave = self.to_outside();
        leave.extend(self.leave_from_outside_address());
        let rules = vec![
            turned,
            outbound(UDP, Verdict::Jump("allocate-udp")),
            outbound(TCP, Verdict::Jump("allocate-tcp")),
            outbound(ICMP, Verdict::Goto("out-icmp")),
            not_these([UDP, TCP]),
            leave,
        ];
        Chain { name: "forward", hook: Some(Hook::Forward(0)), rules }
    }

    /// Get or create the mapping, refresh it, open the filter, write the outside port; return. No free port: drop.
    fn allocate(&self, flow: Flow) -> Vec<Vec<Expr>> {
        let mut rules = self.known(flow);
        if self.nat.allocation == Allocation::Preserve {
            rules.push(self.created(flow, vec![Expr::Load(flow.own_port_outbound(), OUTSIDE_PORT)]));
        }
        for _ in 0..RANDOM_TRIES {
            let port =
                Expr::Port { first: FIRST_PORT, count: PORTS, how: Generator::Random, into: OUTSIDE_PORT };
            rules.push(self.created(flow, vec![port]));
        }
        rules.push(refuse(EXHAUSTED));
        rules
    }

    /// The rules for a flow whose mapping exists, one for each lifetime that its packets can ask for.
    fn known(&self, flow: Flow) -> Vec<Vec<Expr>> {
        let hit = |condition: Vec<Expr>, lifetime| {
            let mut rule = condition;
            rule.extend(flow.load_outbound());
            rule.push(Expr::Find { map: MAPPINGS, key: PROTOCOL, value: OUTSIDE_PORT });
            rule.extend(self.keep(lifetime));
            rule.push(Expr::Update { set: MAPPINGS, key: PROTOCOL, value: Some(OUTSIDE_PORT), lifetime });
            rule.extend(flow.leave());
            rule
        };
        if flow != Flow::Tcp {
            return vec![hit(Vec::new(), flow.first_lifetime())];
        }
        const FIN_SYN_RST: u8 = 0x07;
        let flags = |step: fn(Register, Vec<u8>) -> Expr| {
            vec![
                Expr::Load(TCP_FLAGS, SCRATCH),
                Expr::And(SCRATCH, vec![FIN_SYN_RST]),
                step(SCRATCH, vec![0]),
            ]
        };
        vec![hit(flags(Expr::Is), TCP_ESTABLISHED), hit(flags(Expr::IsNot), TCP_TRANSITORY)]
    }

    /// The rule that tries one port for a new mapping: free, claimed by this packet alone, then recorded.
    fn created(&self, flow: Flow, candidate: Vec<Expr>) -> Vec<Expr> {
        let lifetime = flow.first_lifetime();
        let mut rule = flow.load_outbound();
        rule.extend(candidate);
        rule.push(Expr::NotIn(TAKEN, PROTOCOL_AGAIN));
        rule.push(Expr::Claim { set: CLAIMS, key: PROTOCOL_AGAIN });
        rule.push(Expr::Update { set: MAPPINGS, key: PROTOCOL, value: Some(OUTSIDE_PORT), lifetime });
        // Another packet of this flow may have been first on another CPU: its port is the mapping's.
        rule.push(Expr::Find { map: MAPPINGS, key: PROTOCOL, value: OUTSIDE_PORT });
        rule.extend(self.keep(lifetime));
        rule.extend(flow.leave());
        rule
    }

    /// Creates or refreshes all that belongs to an outside port, but for the mapping itself.
    fn keep(&self, lifetime: Duration) -> Vec<Expr> {
        let grace = lifetime + PORT_GRACE;
        let mut steps = vec![
            Expr::Update { set: TAKEN, key: PROTOCOL_AGAIN, value: None, lifetime: grace },
            Expr::Update { set: REVERSE, key: PROTOCOL_AGAIN, value: Some(INSIDE), lifetime: grace },
        ];
        if self.nat.filtering != Filtering::EndpointIndependent {
            steps.push(Expr::Update { set: FILTER, key: PROTOCOL_AGAIN, value: None, lifetime });
        }
        steps
    }

    /// From outside, UDP or TCP: admitted and rewritten, or counted and dropped.
    fn gate(&self) -> Vec<Vec<Expr>> {
        let mut rule = vec![
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
            Expr::Load(DESTINATION_PORT, OUTSIDE_PORT),
            Expr::Load(SOURCE, REMOTE),
            Expr::Load(SOURCE_PORT, REMOTE_PORT),
        ];
        rule.extend(self.admit());
        rule.push(Expr::Write(DESTINATION_PORT, INSIDE_PORT, Checksum::Transport));
        rule.push(Expr::Verdict(Verdict::Accept));
        vec![rule, refuse(FILTERED)]
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

    /// From outside, ICMP: the reply to an echo of ours, or an error about a packet of ours.
    fn gate_icmp(&self) -> Vec<Vec<Expr>> {
        let mut reply = is_icmp(ECHO_REPLY);
        reply.extend([
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
            Expr::Load(ECHO_IDENTIFIER, OUTSIDE_PORT),
            Expr::Load(SOURCE, REMOTE),
            Expr::Set(REMOTE_PORT, vec![0; 4]),
        ]);
        reply.extend(self.admit());
        reply.push(Expr::Write(ECHO_IDENTIFIER, INSIDE_PORT, Checksum::At(ICMP_CHECKSUM)));
        reply.push(Expr::Verdict(Verdict::Accept));

        let error = |kind| {
            let mut rule = is_icmp(kind);
            rule.extend(quotes_a_plain_header());
            rule.extend([
                Expr::Load(QUOTED_PROTOCOL, PROTOCOL_AGAIN),
                Expr::Load(QUOTED_SOURCE_PORT, OUTSIDE_PORT),
                Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: INSIDE },
                // The quoted header's own checksum moves with its address: the sum over both stays what it was.
                Expr::Write(QUOTED_SOURCE, INSIDE, Checksum::At(QUOTED_IP_CHECKSUM)),
                Expr::Write(QUOTED_SOURCE_PORT, INSIDE_PORT, Checksum::At(ICMP_CHECKSUM)),
                Expr::Write(DESTINATION, INSIDE, Checksum::At(IP_CHECKSUM)),
                Expr::Verdict(Verdict::Accept),
            ]);
            rule
        };
        let mut rules = vec![reply];
        rules.extend(ICMP_ERRORS.map(error));
        rules.push(refuse(FILTERED));
        rules
    }

    /// To outside, ICMP: an echo gets a mapping, an error is told in outside terms and refreshes nothing.
    fn out_icmp(&self) -> Vec<Vec<Expr>> {
        let mut echo = is_icmp(ECHO_REQUEST);
        echo.push(Expr::Verdict(Verdict::Jump("allocate-echo")));
        let mut leave = is_icmp(ECHO_REQUEST);
        leave.extend(self.leave_from_outside_address());

        let error = |kind| {
            let mut rule = is_icmp(kind);
            rule.extend(quotes_a_plain_header());
            rule.extend([
                Expr::Load(QUOTED_PROTOCOL, PROTOCOL),
                Expr::Load(QUOTED_DESTINATION, INSIDE),
                Expr::Load(QUOTED_DESTINATION_PORT, INSIDE_PORT),
                Expr::Load(QUOTED_SOURCE, TO),
                Expr::Load(QUOTED_SOURCE_PORT, TO_PORT),
                Expr::Find { map: MAPPINGS, key: PROTOCOL, value: OUTSIDE_PORT },
                Expr::Set(SCRATCH, self.outside.clone()),
                Expr::Write(QUOTED_DESTINATION, SCRATCH, Checksum::At(QUOTED_IP_CHECKSUM)),
                Expr::Write(QUOTED_DESTINATION_PORT, OUTSIDE_PORT, Checksum::At(ICMP_CHECKSUM)),
            ]);
            rule.extend(self.leave_from_outside_address());
            rule
        };
        let mut rules = vec![echo, leave];
        rules.extend(ICMP_ERRORS.map(error));
        rules.push(refuse(UNTRANSLATABLE));
        rules
    }

    fn to_outside(&self) -> Vec<Expr> {
        vec![Expr::LoadMeta(Meta::OutputInterface, SCRATCH), Expr::Is(SCRATCH, self.outside_link.clone())]
    }

    fn leave_from_outside_address(&self) -> [Expr; 3] {
        [
            Expr::Set(SCRATCH, self.outside.clone()),
            Expr::Write(SOURCE, SCRATCH, Checksum::AtAndTransport(IP_CHECKSUM)),
            Expr::Verdict(Verdict::Accept),
        ]
    }
}

impl Flow {
    /// Loads the key of the mapping and the key of the filter; the outside port is still to come.
    fn load_outbound(self) -> Vec<Expr> {
        let remote_port = |to| match self {
            Flow::Echo => Expr::Set(to, vec![0; 4]),
            Flow::Udp | Flow::Tcp => Expr::Load(DESTINATION_PORT, to),
        };
        vec![
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL),
            Expr::Load(SOURCE, INSIDE),
            Expr::Load(self.own_port_outbound(), INSIDE_PORT),
            Expr::Load(DESTINATION, TO),
            remote_port(TO_PORT),
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
            Expr::Load(DESTINATION, REMOTE),
            remote_port(REMOTE_PORT),
        ]
    }

    /// Writes the outside port; the address is the caller's.
    fn leave(self) -> [Expr; 2] {
        let checksum = match self {
            Flow::Echo => Checksum::At(ICMP_CHECKSUM),
            Flow::Udp | Flow::Tcp => Checksum::Transport,
        };
        [Expr::Write(self.own_port_outbound(), OUTSIDE_PORT, checksum), Expr::Verdict(Verdict::Return)]
    }

    fn own_port_outbound(self) -> Field {
        match self {
            Flow::Echo => ECHO_IDENTIFIER,
            Flow::Udp | Flow::Tcp => SOURCE_PORT,
        }
    }

    fn first_lifetime(self) -> Duration {
        match self {
            Flow::Udp => UDP_LIFETIME,
            Flow::Tcp => TCP_TRANSITORY,
            Flow::Echo => ECHO_LIFETIME,
        }
    }
}

fn is_protocol(protocol: u8) -> Vec<Expr> {
    vec![Expr::LoadMeta(Meta::TransportProtocol, SCRATCH), Expr::Is(SCRATCH, vec![protocol])]
}

fn is_icmp(kind: u8) -> Vec<Expr> {
    vec![Expr::Load(ICMP_TYPE, SCRATCH), Expr::Is(SCRATCH, vec![kind])]
}

fn quotes_a_plain_header() -> [Expr; 2] {
    const IPV4_NO_OPTIONS: u8 = 0x45;
    [Expr::Load(QUOTED_LENGTH, SCRATCH), Expr::Is(SCRATCH, vec![IPV4_NO_OPTIONS])]
}

fn refuse(counter: &'static str) -> Vec<Expr> {
    vec![Expr::Count(counter), Expr::Verdict(Verdict::Drop)]
}
