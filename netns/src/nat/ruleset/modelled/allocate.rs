//! Outbound packets: the mapping of each is found or made, refreshed, and written into it.

use std::time::Duration;

use super::super::packet::{
    DESTINATION, DESTINATION_PORT, ECHO_IDENTIFIER, ICMP_CHECKSUM, INSIDE, OUTSIDE_PORT, OWNER, PROTOCOL,
    PROTOCOL_AGAIN, REMOTE, REMOTE_PORT, SCRATCH, SOURCE, SOURCE_PORT, TCP_FLAGS,
};
use super::super::{CLAIM_LIFETIME, ECHO_LIFETIME, EXHAUSTED, TCP_ESTABLISHED, TCP_TRANSITORY, UDP_LIFETIME};
use super::{FILTER, MAPPINGS, REVERSE, Rules, SAME, refuse};
use crate::nat::{Allocation, Filtering, Mapping};
use crate::netlink::nftables::{Chain, Checksum, Expr, Field, Generator, Meta, Register, Verdict};

/// A port stays its owner's this much longer than the mapping lives, so that the two never expire in the wrong order.
const PORT_GRACE: Duration = Duration::from_millis(100);

/// Outside ports that are handed out: never a well-known one unless it is preserved.
const FIRST_PORT: u16 = 1024;
const PORTS: u16 = u16::MAX - FIRST_PORT + 1;
/// With one port in eight taken, eight misses in a row are one in 16 million.
const RANDOM_TRIES: usize = 8;

/// A kind of flow: where its ports are, and how long it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Udp,
    Tcp,
    Echo,
}

impl Rules<'_> {
    /// Get or create the mapping, refresh it, open the filter, write the outside port; return. No free port: drop.
    pub(super) fn allocate(&self) -> [Chain; 5] {
        let chain = |name, rules| Chain { name, hook: None, rules };
        let get_or_create = |flow: Flow, create| {
            let mut rules = self.known(flow);
            rules.push(vec![Expr::Verdict(Verdict::Jump(create))]);
            rules.extend(self.known(flow));
            rules.push(refuse(EXHAUSTED));
            rules
        };
        [
            chain("create-port", self.create(SOURCE_PORT_OF_BOTH)),
            chain("create-echo", self.create(Flow::Echo)),
            chain("allocate-udp", get_or_create(Flow::Udp, "create-port")),
            chain("allocate-tcp", get_or_create(Flow::Tcp, "create-port")),
            chain("allocate-echo", get_or_create(Flow::Echo, "create-echo")),
        ]
    }

    /// The rules for a flow whose mapping exists, one for each lifetime that its packets can ask for.
    fn known(&self, flow: Flow) -> Vec<Vec<Expr>> {
        let hit = |condition: Vec<Expr>, lifetime| {
            let mut rule = condition;
            rule.extend(self.load_mapping_key(flow));
            rule.push(Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN));
            rule.extend([Expr::Load(DESTINATION, REMOTE), flow.load_remote_port(REMOTE_PORT)]);
            rule.push(Expr::Find { map: MAPPINGS, key: PROTOCOL, value: OUTSIDE_PORT });
            rule.extend(self.keep(lifetime));
            rule.push(Expr::Update { set: MAPPINGS, key: PROTOCOL, value: Some(OUTSIDE_PORT), lifetime });
            rule.extend(flow.leave());
            rule
        };
        match flow {
            Flow::Udp => vec![hit(Vec::new(), UDP_LIFETIME)],
            Flow::Echo => vec![hit(Vec::new(), ECHO_LIFETIME)],
            Flow::Tcp => vec![
                hit(opens_or_closes(Expr::Is), TCP_ESTABLISHED),
                hit(opens_or_closes(Expr::IsNot), TCP_TRANSITORY),
            ],
        }
    }

    /// Tries ports until one is this flow's own, and makes it the mapping's.
    fn create(&self, flow: Flow) -> Vec<Vec<Expr>> {
        let preserved = Expr::Load(flow.own_port(), OUTSIDE_PORT);
        let (first, count) = (u32::from(FIRST_PORT), u32::from(PORTS));
        let random = vec![
            Expr::Number { first, count, how: Generator::Random, into: OUTSIDE_PORT },
            Expr::ToPort(OUTSIDE_PORT),
        ];
        let preserved = (self.nat.allocation == Allocation::Preserve).then_some(vec![preserved]);
        let candidates = preserved.into_iter().chain(std::iter::repeat_n(random, RANDOM_TRIES));
        candidates.map(|candidate| self.tried(flow, candidate)).collect()
    }

    /// The rule that tries one port. Whoever creates its element of `reverse` owns it, and exactly one does, on any
    /// number of CPUs; another packet of the same flow finds itself the owner. Registers cannot be compared with each
    /// other, but `same` holds only pairs of equals: owner and flow are the same where the pair of them is in it.
    fn tried(&self, flow: Flow, candidate: Vec<Expr>) -> Vec<Expr> {
        let mut rule = self.load_mapping_key(flow);
        rule.push(Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN));
        rule.extend(candidate);
        let owner = self.owner(flow);
        for (register, load) in (OWNER.0..).zip(owner.iter().chain(&owner)) {
            rule.push(load(Register(register)));
        }
        let lifetime = CLAIM_LIFETIME;
        rule.extend([
            Expr::Update { set: SAME, key: OWNER, value: None, lifetime },
            Expr::Add { set: REVERSE, key: PROTOCOL_AGAIN, value: INSIDE, lifetime: Some(lifetime) },
            Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: OWNER },
            Expr::In(SAME, OWNER),
            // A flow that has a mapping by now, from a packet on another CPU, keeps that one. Either way the flow is
            // known from here on, and gets its real lifetime as such.
            Expr::Update { set: MAPPINGS, key: PROTOCOL, value: Some(OUTSIDE_PORT), lifetime: UDP_LIFETIME },
            Expr::Verdict(Verdict::Return),
        ]);
        rule
    }

    /// Creates or refreshes all that belongs to an outside port, but for the mapping itself.
    fn keep(&self, lifetime: Duration) -> Vec<Expr> {
        let grace = lifetime + PORT_GRACE;
        let mut steps =
            vec![Expr::Update { set: REVERSE, key: PROTOCOL_AGAIN, value: Some(INSIDE), lifetime: grace }];
        if self.nat.filtering != Filtering::EndpointIndependent {
            steps.push(Expr::Update { set: FILTER, key: PROTOCOL_AGAIN, value: None, lifetime });
        }
        steps
    }

    fn load_mapping_key(&self, flow: Flow) -> Vec<Expr> {
        let mut key = vec![Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL)];
        key.extend((INSIDE.0..).zip(self.owner(flow)).map(|(register, load)| load(Register(register))));
        key
    }

    /// What a mapping belongs to: the inside socket, and what of the destination its class tells apart.
    fn owner(&self, flow: Flow) -> Vec<Box<dyn Fn(Register) -> Expr>> {
        let mut owner: Vec<Box<dyn Fn(Register) -> Expr>> = vec![
            Box::new(|to| Expr::Load(SOURCE, to)),
            Box::new(move |to| Expr::Load(flow.own_port(), to)),
            Box::new(|to| Expr::Load(DESTINATION, to)),
            Box::new(move |to| flow.load_remote_port(to)),
        ];
        owner.truncate(self.nat.mapping.owner_registers());
        owner
    }
}

impl Mapping {
    /// How many registers hold what a mapping belongs to.
    pub(super) const fn owner_registers(self) -> usize {
        match self {
            Mapping::EndpointIndependent => 2,
            Mapping::AddressDependent => 3,
            Mapping::AddressAndPortDependent => 4,
        }
    }
}

/// UDP and TCP have their ports in the same place, and their protocol is part of every key.
const SOURCE_PORT_OF_BOTH: Flow = Flow::Udp;

impl Flow {
    fn load_remote_port(self, to: Register) -> Expr {
        match self {
            Flow::Echo => Expr::Set(to, vec![0; 4]),
            Flow::Udp | Flow::Tcp => Expr::Load(DESTINATION_PORT, to),
        }
    }

    /// Writes the outside port; the address is the caller's.
    fn leave(self) -> [Expr; 2] {
        let checksum = match self {
            Flow::Echo => Checksum::At(ICMP_CHECKSUM),
            Flow::Udp | Flow::Tcp => Checksum::Transport,
        };
        [Expr::Write(self.own_port(), OUTSIDE_PORT, checksum), Expr::Verdict(Verdict::Return)]
    }

    fn own_port(self) -> Field {
        match self {
            Flow::Echo => ECHO_IDENTIFIER,
            Flow::Udp | Flow::Tcp => SOURCE_PORT,
        }
    }
}

/// Compares the flags of a TCP packet that opens or closes a connection with none at all.
pub(in crate::nat::ruleset) fn opens_or_closes(step: fn(Register, Vec<u8>) -> Expr) -> Vec<Expr> {
    const FIN_SYN_RST: u8 = 0x07;
    vec![Expr::Load(TCP_FLAGS, SCRATCH), Expr::And(SCRATCH, vec![FIN_SYN_RST]), step(SCRATCH, vec![0])]
}
