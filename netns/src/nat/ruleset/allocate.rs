//! Outbound packets: the mapping of each is found or made, refreshed, and written into it.

use std::time::Duration;

use super::packet::{
    DESTINATION, DESTINATION_PORT, ECHO_IDENTIFIER, ICMP_CHECKSUM, INSIDE, INSIDE_PORT, OUTSIDE_PORT,
    PROTOCOL, PROTOCOL_AGAIN, REMOTE, REMOTE_PORT, SCRATCH, SOURCE, SOURCE_PORT, TCP_FLAGS, TO, TO_PORT,
};
use super::{CLAIMS, EXHAUSTED, FILTER, MAPPINGS, REVERSE, Rules, TAKEN, refuse};
use super::{ECHO_LIFETIME, TCP_ESTABLISHED, TCP_TRANSITORY, UDP_LIFETIME};
use crate::nat::{Allocation, Filtering};
use crate::netlink::nftables::{Chain, Checksum, Expr, Generator, Meta, Verdict};

/// A port stays taken this much longer than its mapping lives, so that the two never expire in the wrong order.
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
            rule.extend(flow.load_mapping_key());
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

    /// Tries ports until one is free and claimed by this packet alone, and makes it the mapping's.
    fn create(&self, flow: Flow) -> Vec<Vec<Expr>> {
        let preserved = Expr::Load(flow.own_port(), OUTSIDE_PORT);
        let random =
            Expr::Port { first: FIRST_PORT, count: PORTS, how: Generator::Random, into: OUTSIDE_PORT };
        let tried = |candidate: Expr| {
            let mut rule = flow.load_mapping_key();
            rule.push(Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN));
            rule.push(candidate);
            rule.push(Expr::NotIn(TAKEN, PROTOCOL_AGAIN));
            rule.push(Expr::Claim { set: CLAIMS, key: PROTOCOL_AGAIN });
            // Another packet of this flow may have been first on another CPU: its element stays as it is. Either
            // way the mapping is now known, and gets its real lifetime as such.
            let lifetime = UDP_LIFETIME;
            rule.push(Expr::Update { set: MAPPINGS, key: PROTOCOL, value: Some(OUTSIDE_PORT), lifetime });
            rule.push(Expr::Verdict(Verdict::Return));
            rule
        };
        let preserved = (self.nat.allocation == Allocation::Preserve).then_some(preserved);
        preserved.into_iter().chain(std::iter::repeat_n(random, RANDOM_TRIES)).map(tried).collect()
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
}

/// UDP and TCP have their ports in the same place, and their protocol is part of every key.
const SOURCE_PORT_OF_BOTH: Flow = Flow::Udp;

impl Flow {
    fn load_mapping_key(self) -> Vec<Expr> {
        vec![
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL),
            Expr::Load(SOURCE, INSIDE),
            Expr::Load(self.own_port(), INSIDE_PORT),
            Expr::Load(DESTINATION, TO),
            self.load_remote_port(TO_PORT),
        ]
    }

    fn load_remote_port(self, to: crate::netlink::nftables::Register) -> Expr {
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

    fn own_port(self) -> crate::netlink::nftables::Field {
        match self {
            Flow::Echo => ECHO_IDENTIFIER,
            Flow::Udp | Flow::Tcp => SOURCE_PORT,
        }
    }
}

/// Compares the flags of a TCP packet that opens or closes a connection with none at all.
fn opens_or_closes(step: fn(crate::netlink::nftables::Register, Vec<u8>) -> Expr) -> Vec<Expr> {
    const FIN_SYN_RST: u8 = 0x07;
    vec![Expr::Load(TCP_FLAGS, SCRATCH), Expr::And(SCRATCH, vec![FIN_SYN_RST]), step(SCRATCH, vec![0])]
}
