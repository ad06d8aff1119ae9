//! Outbound packets whose mapping exists: it is refreshed, and written into them. TCP's lifetime is that of its state.
//!
//! | set | key | meaning |
//! |---|---|---|
//! | `closing` | the session: protocol, outside address and port, remote address and port | a FIN or RST was seen, either way |
//! | `sessions` | the session | a SYN has gone out |
//! | `shared` | protocol, outside address and port | more than one session has used the mapping |
//!
//! A mapping of one session lives four minutes while the session opens or closes, and 2 hours 4 minutes in between (RFC
//! 5382 REQ-5). One that sessions share is never shortened: which of them still live, nobody counts. What comes from
//! outside refreshes nothing unless the NAT says so (the acknowledgements of the inside do); its FIN or RST is seen.

use std::time::Duration;

use super::super::packet::{
    DESTINATION, DESTINATION_PORT, FIN, INSIDE, INSIDE_PORT, IP_CHECKSUM, OUTSIDE, OUTSIDE_PORT, PROTOCOL,
    PROTOCOL_AGAIN, REMOTE, REMOTE_PORT, RST, SOURCE, SOURCE_PORT, SYN, TCP, TO, TO_PORT, UDP, flags_any,
    flags_none, is_protocol,
};
use super::super::{ECHO_LIFETIME, TCP_ESTABLISHED, TCP_TRANSITORY};
use super::{EXHAUSTED, FILTER, FILTERED, Flow, HEARD, MAPPINGS, REVERSE, Rules, chain, growing, then};
use crate::nat::{Filtering, Hairpin, Mapping};
use crate::netlink::nftables::{Chain, Checksum, Expr, Meta, Register, Set, Verdict};

pub(super) const CLOSING: &str = "closing";
pub(super) const SHARED: &str = "shared";
pub(super) const SESSIONS: &str = "sessions";

/// A port stays its owner's this much longer than the mapping lives, so that the two never expire in the wrong order.
pub(super) const PORT_GRACE: Duration = Duration::from_millis(100);

/// Where a known flow goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Outside, rewritten.
    Out,
    /// Round to another inside host, which may refuse it: rewritten there.
    Round,
}

impl Rules<'_> {
    pub(super) fn session_sets(&self) -> Vec<Set> {
        let mut sets = vec![growing(CLOSING, 20, None, Some(TCP_TRANSITORY))];
        if self.sessions_share() {
            sets.push(growing(SESSIONS, 20, None, Some(TCP_ESTABLISHED)));
            sets.push(growing(SHARED, 12, None, Some(TCP_ESTABLISHED)));
        }
        sets
    }

    /// All end the packet's walk where there is a mapping, and return where there is none.
    pub(super) fn known(&self) -> Vec<Chain> {
        let echo = self.refreshed(Flow::Echo, ECHO_LIFETIME, Way::Out);
        let mut again: Vec<_> = self.hold_block().into_iter().collect();
        again.push(then(is_protocol(UDP), Verdict::Jump("known-udp")));
        again.extend(self.new_session());
        again.push(then(is_protocol(TCP), Verdict::Jump("known-tcp")));
        again.push(vec![Expr::Verdict(Verdict::Jump("known-echo"))]);
        again.push(self.refuse(EXHAUSTED));
        vec![
            chain("known-udp", vec![self.refreshed(Flow::Ports, self.nat.timeout, Way::Out)]),
            chain("known-tcp", self.known_tcp()),
            chain("session", self.session()),
            chain("known-echo", vec![echo]),
            chain("leave-again", again),
        ]
    }

    /// The same for what is sent from inside to an outside address.
    pub(super) fn turn(&self) -> Vec<Chain> {
        if self.nat.hairpin == Hairpin::Off {
            return Vec::new();
        }
        let turn_tcp = vec![
            vec![Expr::Verdict(Verdict::Jump("session"))],
            [self.known_flow(Flow::Ports), end(Flow::Ports, Way::Round)].concat(),
        ];
        vec![
            chain("turn", vec![self.turned(), self.refuse(FILTERED)]),
            chain("turn-udp", vec![self.refreshed(Flow::Ports, self.nat.timeout, Way::Round)]),
            chain("turn-tcp", turn_tcp),
        ]
    }

    /// TCP to a remote that was admitted though its mapping would be another: it leaves by the port that the remote came
    /// in on, since a connection has one pair of sockets (RFC 5382 REQ-2). Only datagrams can be answered from elsewhere.
    pub(super) fn answer_to_a_stranger(&self) -> Option<Vec<Expr>> {
        if !self.admits_others() {
            return None;
        }
        let mut rule = is_protocol(TCP);
        rule.extend([
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL),
            Expr::Load(SOURCE, INSIDE),
            Expr::Load(SOURCE_PORT, INSIDE_PORT),
            Expr::Load(DESTINATION, TO),
            Expr::Load(DESTINATION_PORT, TO_PORT),
            Expr::Find { map: HEARD, key: PROTOCOL, value: OUTSIDE },
            Expr::Update { set: HEARD, key: PROTOCOL, value: Some(OUTSIDE), lifetime: TCP_ESTABLISHED },
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
            Expr::Load(DESTINATION, REMOTE),
            Expr::Load(DESTINATION_PORT, REMOTE_PORT),
            // Whose port it is: that mapping is kept alive.
            Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: INSIDE },
        ]);
        rule.extend(self.refresh(TCP_ESTABLISHED));
        rule.extend(end(Flow::Ports, Way::Out));
        Some(rule)
    }

    /// Remembers a session whose mapping was made for it; others share the mapping.
    pub(super) fn new_session(&self) -> Option<Vec<Expr>> {
        let remember = update(SESSIONS, PROTOCOL_AGAIN, TCP_ESTABLISHED);
        self.sessions_share().then(|| [is_protocol(TCP), self.known_session(), vec![remember]].concat())
    }

    fn refreshed(&self, flow: Flow, lifetime: Duration, way: Way) -> Vec<Expr> {
        let mut rule = self.known_flow(flow);
        rule.extend(self.refresh(lifetime));
        rule.extend(end(flow, way));
        rule
    }

    /// Data of an open session first: it is most of what there is.
    fn known_tcp(&self) -> Vec<Vec<Expr>> {
        vec![
            [self.open_session(), end(Flow::Ports, Way::Out)].concat(),
            vec![Expr::Verdict(Verdict::Jump("session"))],
            [self.known_flow(Flow::Ports), end(Flow::Ports, Way::Out)].concat(),
        ]
    }

    /// Holds for data of a session that is open; refreshes it.
    fn open_session(&self) -> Vec<Expr> {
        let mut steps = [flags_none(FIN | SYN | RST), self.known_session()].concat();
        steps.push(Expr::NotIn(CLOSING, PROTOCOL_AGAIN));
        steps.extend(self.refresh(TCP_ESTABLISHED));
        steps
    }

    /// The state of a session that has a mapping, and what it means to the mapping.
    fn session(&self) -> Vec<Vec<Expr>> {
        let when = |condition: Vec<Expr>, steps: Vec<Expr>| [condition, self.known_session(), steps].concat();
        let mut alone = Vec::new();
        let mut rules = vec![
            then(self.open_session(), Verdict::Return),
            when(flags_any(SYN), vec![Expr::Delete { set: CLOSING, key: PROTOCOL_AGAIN }]),
        ];
        if self.sessions_share() {
            alone.push(Expr::NotIn(SHARED, PROTOCOL_AGAIN));
            let another = vec![
                Expr::NotIn(SESSIONS, PROTOCOL_AGAIN),
                update(SESSIONS, PROTOCOL_AGAIN, TCP_ESTABLISHED),
                update(SHARED, PROTOCOL_AGAIN, TCP_ESTABLISHED),
            ];
            rules.push(when(flags_any(SYN), another));
        }
        // Data after a FIN keeps the session where it is.
        let still_closing = vec![Expr::In(CLOSING, PROTOCOL_AGAIN)];
        let closing = || vec![update(CLOSING, PROTOCOL_AGAIN, TCP_TRANSITORY)];
        rules.push(when(flags_any(FIN | RST), closing()));
        rules.push(when(flags_none(FIN | SYN | RST), [still_closing, closing()].concat()));
        rules.push(then(when(Vec::new(), [alone, self.refresh(TCP_TRANSITORY)].concat()), Verdict::Return));
        if self.sessions_share() {
            rules.push(when(Vec::new(), self.refresh(TCP_ESTABLISHED)));
        }
        rules
    }

    /// Holds where a TCP packet has a mapping; loads all keys of it and its session.
    fn known_session(&self) -> Vec<Expr> {
        let mut steps = self.known_flow(Flow::Ports);
        if self.nat.filtering == Filtering::EndpointIndependent {
            steps.push(Expr::Load(DESTINATION, REMOTE));
        }
        if self.nat.filtering != Filtering::AddressAndPortDependent {
            steps.push(Expr::Load(DESTINATION_PORT, REMOTE_PORT));
        }
        steps
    }

    /// Whether sessions can share a mapping.
    pub(super) fn sessions_share(&self) -> bool {
        self.nat.mapping != Mapping::AddressAndPortDependent
    }

    /// Creates or refreshes a mapping and all that belongs to it, with the keys of a known flow.
    pub(super) fn refresh(&self, lifetime: Duration) -> Vec<Expr> {
        let grace = lifetime + PORT_GRACE;
        let mut steps =
            vec![Expr::Update { set: REVERSE, key: PROTOCOL_AGAIN, value: Some(INSIDE), lifetime: grace }];
        if self.nat.filtering != Filtering::EndpointIndependent {
            steps.push(update(FILTER, PROTOCOL_AGAIN, lifetime));
        }
        steps.push(Expr::Update { set: MAPPINGS, key: PROTOCOL, value: Some(OUTSIDE), lifetime });
        steps
    }
}

fn end(flow: Flow, way: Way) -> Vec<Expr> {
    match way {
        Way::Out => vec![
            Expr::Write(flow.own_port(), OUTSIDE_PORT, flow.checksum()),
            Expr::Write(SOURCE, OUTSIDE, Checksum::AtAndTransport(IP_CHECKSUM)),
            Expr::Verdict(Verdict::Accept),
        ],
        Way::Round => vec![Expr::Verdict(Verdict::Goto("turn"))],
    }
}

pub(super) fn update(set: &'static str, key: Register, lifetime: Duration) -> Expr {
    Expr::Update { set, key, value: None, lifetime }
}
