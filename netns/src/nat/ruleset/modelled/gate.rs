//! Inbound packets: the filter admits them to a mapping and they are rewritten, or they are counted and end. So do those
//! of neighbours who use an outside address (RFC 4787 section 6).

use std::time::Duration;

use super::super::packet::{
    DESTINATION, DESTINATION_PORT, FIN, FOUND, ICMP, INSIDE, INSIDE_PORT, IP_CHECKSUM, OUTSIDE, OUTSIDE_PORT,
    PROTOCOL, PROTOCOL_AGAIN, REMOTE, REMOTE_PORT, RST, SOURCE, SOURCE_PORT, SYN, TCP, TO, TO_PORT, UDP,
    flags_any, flags_none, is_protocol,
};
use super::super::{TCP_ESTABLISHED, TCP_TRANSITORY};
use super::known::{CLOSING, SESSIONS, SHARED, update};
use super::{FILTER, FILTERED, Flow, HEARD, MAPPINGS, REVERSE, Rules, chain, then};
use crate::nat::{Filtering, Hairpin};
use crate::netlink::nftables::{Chain, Checksum, Expr, Meta, Verdict};

impl Rules<'_> {
    pub(super) fn gate(&self) -> [Chain; 2] {
        let closes = [is_protocol(TCP), flags_any(FIN | RST)].concat();
        let mut rules = vec![then(closes, Verdict::Jump("closes"))];
        if self.nat.inbound_refresh {
            let open = [is_protocol(TCP), flags_none(FIN | SYN | RST)].concat();
            rules.push(self.admitted(is_protocol(UDP), Some(self.nat.timeout)));
            rules.push(self.admitted(open, Some(TCP_ESTABLISHED)));
        }
        // A protocol without mappings admits nothing.
        let with_ports = vec![
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
            Expr::IsNot(PROTOCOL_AGAIN, vec![ICMP]),
        ];
        rules.push(self.admitted(with_ports, None));
        rules.push(then(is_protocol(ICMP), Verdict::Goto("icmp-in")));
        rules.push(self.refuse(FILTERED));
        [chain("gate", rules), chain("closes", self.closes())]
    }

    /// The rule for what the filter admits, and perhaps refreshes its mapping (RFC 4787 REQ-6).
    fn admitted(&self, condition: Vec<Expr>, refresh: Option<Duration>) -> Vec<Expr> {
        let mut rule = [condition, inbound_session(), self.admit()].concat();
        if let Some(lifetime) = refresh {
            if lifetime == TCP_ESTABLISHED {
                rule.push(Expr::NotIn(CLOSING, PROTOCOL_AGAIN));
            }
            rule.push(Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL));
            rule.extend(self.refresh(lifetime));
        }
        rule.extend(self.remember_remote(Expr::Load(SOURCE, TO)));
        rule.push(Expr::Write(DESTINATION, INSIDE, Checksum::AtAndTransport(IP_CHECKSUM)));
        rule.push(Expr::Write(DESTINATION_PORT, INSIDE_PORT, Checksum::Transport));
        rule.push(Expr::Verdict(match refresh {
            Some(_) if self.blocks_on_demand() => Verdict::Goto("hold-inbound"),
            _ => Verdict::Accept,
        }));
        rule
    }

    /// A FIN or RST that is admitted: its session closes, and with it a mapping that no other one shares. It goes on. That
    /// of a stranger, who is in no session of the mapping, leaves the mapping as it is.
    fn closes(&self) -> Vec<Vec<Expr>> {
        let mut session = [inbound_session(), self.admit()].concat();
        let mut mapping = session.clone();
        let closing = update(CLOSING, PROTOCOL_AGAIN, TCP_TRANSITORY);
        let both =
            [vec![Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL)], self.refresh(TCP_TRANSITORY)].concat();
        session.push(closing);
        if !self.sessions_share() {
            // Where strangers are admitted the answer of the inside tells whose session it was.
            if !self.admits_others() {
                session.extend(both);
            }
            return vec![session];
        }
        mapping.push(Expr::In(SESSIONS, PROTOCOL_AGAIN));
        mapping.push(Expr::NotIn(SHARED, PROTOCOL_AGAIN));
        mapping.extend(both);
        vec![session, mapping]
    }

    /// From inside to an outside address, with a mapping: like the gate. The sender is whom its mapping says, and shows
    /// that to the target, or its inside address.
    pub(super) fn turned(&self) -> Vec<Expr> {
        let mut rule = self.load_mapping_key(Flow::Ports);
        rule.extend([
            Expr::Find { map: MAPPINGS, key: PROTOCOL, value: REMOTE },
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
            Expr::Load(DESTINATION, OUTSIDE),
            Expr::Load(DESTINATION_PORT, OUTSIDE_PORT),
        ]);
        rule.extend(self.admit());
        if self.nat.hairpin == Hairpin::External {
            rule.push(Expr::Mark(REMOTE));
            rule.push(Expr::Write(SOURCE_PORT, REMOTE_PORT, Checksum::Transport));
            rule.extend(self.remember_remote(Expr::LoadMeta(Meta::Mark, TO)));
        }
        rule.push(Expr::Write(DESTINATION, INSIDE, Checksum::AtAndTransport(IP_CHECKSUM)));
        rule.push(Expr::Write(DESTINATION_PORT, INSIDE_PORT, Checksum::Transport));
        rule.push(Expr::Verdict(Verdict::Accept));
        rule
    }

    /// By which outside port a remote came in cannot be told from the inside's own mappings, where they differ with the
    /// remote; TCP answers and errors about its packets need it.
    fn remember_remote(&self, load_address: Expr) -> Vec<Expr> {
        if !self.admits_others() {
            return Vec::new();
        }
        // As long as any answer may be due. A remote that comes in by two ports is known by the first: the kernel changes
        // no value of a map, and lets rules delete from sets only.
        let lifetime = self.nat.timeout.max(TCP_ESTABLISHED);
        vec![
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL),
            load_address,
            Expr::Load(SOURCE_PORT, TO_PORT),
            Expr::Update { set: HEARD, key: PROTOCOL, value: Some(OUTSIDE), lifetime },
        ]
    }

    /// Holds where the filter admits the remote; loads the owner of the port.
    pub(super) fn admit(&self) -> Vec<Expr> {
        let find = Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: INSIDE };
        if self.nat.filtering != Filtering::EndpointIndependent {
            return vec![Expr::In(FILTER, PROTOCOL_AGAIN), find];
        }
        // A port belongs to its owner a little longer than its mapping lives.
        vec![
            find,
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL),
            Expr::Find { map: MAPPINGS, key: PROTOCOL, value: FOUND },
        ]
    }
}

/// Which outside port an inbound packet is for, and whose it is.
fn inbound_session() -> Vec<Expr> {
    vec![
        Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
        Expr::Load(DESTINATION, OUTSIDE),
        Expr::Load(DESTINATION_PORT, OUTSIDE_PORT),
        Expr::Load(SOURCE, REMOTE),
        Expr::Load(SOURCE_PORT, REMOTE_PORT),
    ]
}
