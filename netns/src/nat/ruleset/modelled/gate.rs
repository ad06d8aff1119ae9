//! Inbound packets: the filter admits them to a mapping and they are rewritten, or they are counted and end. So do those
//! of neighbours who use an outside address (RFC 4787 section 6).

use std::time::Duration;

use super::super::packet::{
    DESTINATION, DESTINATION_PORT, FIN, ICMP, INSIDE, INSIDE_PORT, IP_CHECKSUM, OUTSIDE, OUTSIDE_PORT,
    PROTOCOL, PROTOCOL_AGAIN, REMOTE, REMOTE_PORT, RST, SOURCE, SOURCE_PORT, SYN, TARGET, TARGET_PORT, TCP,
    UDP, flags_any, flags_none, is_protocol,
};
use super::super::{TCP_ESTABLISHED, TCP_TRANSITORY};
use super::known::{CLOSING, SHARED, update};
use super::{FILTER, FILTERED, Flow, MAPPINGS, REVERSE, Rules, chain, then};
use crate::nat::{Filtering, Hairpin};
use crate::netlink::nftables::{Chain, Checksum, Expr, Meta, Register, Verdict};

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
        let mut rule = [condition, inbound_session(), self.admit(INSIDE)].concat();
        if let Some(lifetime) = refresh {
            if lifetime == TCP_ESTABLISHED {
                rule.push(Expr::NotIn(CLOSING, PROTOCOL_AGAIN));
            }
            rule.push(Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL));
            rule.extend(self.refresh(lifetime));
        }
        rule.push(Expr::Write(DESTINATION, INSIDE, Checksum::AtAndTransport(IP_CHECKSUM)));
        rule.push(Expr::Write(DESTINATION_PORT, INSIDE_PORT, Checksum::Transport));
        rule.push(Expr::Verdict(match refresh {
            Some(_) if self.blocks_on_demand() => Verdict::Goto("hold-inbound"),
            _ => Verdict::Accept,
        }));
        rule
    }

    /// A FIN or RST that is admitted: its session closes, and with it a mapping that no other one shares. It goes on.
    fn closes(&self) -> Vec<Vec<Expr>> {
        let admitted = || [inbound_session(), self.admit(INSIDE)].concat();
        let mut session = admitted();
        session.push(update(CLOSING, PROTOCOL_AGAIN, TCP_TRANSITORY));
        let mut mapping = admitted();
        if self.sessions_share() {
            mapping.push(Expr::NotIn(SHARED, PROTOCOL_AGAIN));
        }
        mapping.push(Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL));
        mapping.extend(self.refresh(TCP_TRANSITORY));
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
        rule.extend(self.admit(TARGET));
        if self.nat.hairpin == Hairpin::External {
            rule.push(Expr::Mark(REMOTE));
            rule.push(Expr::Write(SOURCE_PORT, REMOTE_PORT, Checksum::Transport));
        }
        rule.push(Expr::Write(DESTINATION, TARGET, Checksum::AtAndTransport(IP_CHECKSUM)));
        rule.push(Expr::Write(DESTINATION_PORT, TARGET_PORT, Checksum::Transport));
        rule.push(Expr::Verdict(Verdict::Accept));
        rule
    }

    /// Holds where the filter admits the remote; loads the owner of the port.
    pub(super) fn admit(&self, owner: Register) -> Vec<Expr> {
        let mut steps = Vec::new();
        if self.nat.filtering != Filtering::EndpointIndependent {
            steps.push(Expr::In(FILTER, PROTOCOL_AGAIN));
        }
        steps.push(Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: owner });
        steps
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
