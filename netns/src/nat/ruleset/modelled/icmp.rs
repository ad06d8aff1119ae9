//! ICMP both ways: an echo is a flow whose port is its identifier (RFC 5508 section 3); an error is told in the terms of
//! the other side, and neither makes, refreshes nor ends a mapping (RFC 5508 section 4, RFC 4787 REQ-12).

use super::super::packet::{
    DESTINATION, ECHO_IDENTIFIER, ECHO_REPLY, ECHO_REQUEST, ICMP, ICMP_CHECKSUM, ICMP_ERRORS, ICMP_TYPE,
    INSIDE, INSIDE_PORT, IP_CHECKSUM, OUTSIDE, OUTSIDE_PORT, PROTOCOL, PROTOCOL_AGAIN, QUOTED_DESTINATION,
    QUOTED_DESTINATION_PORT, QUOTED_ECHO_IDENTIFIER, QUOTED_IP_CHECKSUM, QUOTED_LENGTH, QUOTED_PROTOCOL,
    QUOTED_SOURCE, QUOTED_SOURCE_PORT, REDIRECT, REMOTE, REMOTE_PORT, SCRATCH, SOURCE, TARGET, TARGET_PORT,
    TO, TO_PORT, is_icmp, is_protocol,
};
use super::{FILTERED, HEARD, MAPPINGS, REVERSE, Rules, UNTRANSLATABLE, chain, then};
use crate::nat::Hairpin;
use crate::netlink::nftables::{Chain, Checksum, Expr, Field, Hook, Meta, Register, Set, Verdict};

/// The types of ICMP messages that are errors.
const ERRORS: &str = "errors";

impl Rules<'_> {
    pub(super) fn icmp(&self) -> Vec<Chain> {
        // The router itself complains about a packet whose destination it has rewritten already.
        let own = [self.to_outside(), is_protocol(ICMP), is_error()].concat();
        // Of a packet that turns round the kernel thinks that it went a roundabout way, and says so.
        let redirect = [is_protocol(ICMP), is_icmp(REDIRECT)].concat();
        vec![
            chain("icmp-in", self.icmp_in()),
            chain("icmp-out", self.icmp_out()),
            chain("icmp-turn", self.icmp_turn()),
            chain("error-in", self.error_in()),
            chain("error-out", self.error_out()),
            Chain {
                name: "output",
                hook: Some(Hook::Output(0)),
                rules: vec![then(redirect, Verdict::Drop), then(own, Verdict::Goto("error-out"))],
            },
        ]
    }

    pub(super) fn icmp_sets(&self) -> [Set; 1] {
        let constant = ICMP_ERRORS.map(|kind| (vec![kind, 0, 0, 0], Vec::new())).to_vec();
        [Set { name: ERRORS, key: 4, value: None, lifetime: None, constant }]
    }

    /// From outside: the reply to an echo of ours, or an error about a packet of ours.
    fn icmp_in(&self) -> Vec<Vec<Expr>> {
        let mut reply = is_icmp(ECHO_REPLY);
        reply.extend([
            Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN),
            Expr::Load(DESTINATION, OUTSIDE),
            Expr::Load(ECHO_IDENTIFIER, OUTSIDE_PORT),
            Expr::Load(SOURCE, REMOTE),
            Expr::Set(REMOTE_PORT, vec![0; 4]),
        ]);
        reply.extend(self.admit());
        reply.extend([
            Expr::Write(DESTINATION, INSIDE, Checksum::At(IP_CHECKSUM)),
            Expr::Write(ECHO_IDENTIFIER, INSIDE_PORT, Checksum::At(ICMP_CHECKSUM)),
            Expr::Verdict(Verdict::Accept),
        ]);
        let mut rules = vec![reply];
        rules.push(then(is_error(), Verdict::Goto("error-in")));
        rules.push(self.refuse(FILTERED));
        rules
    }

    /// To outside: an echo gets a mapping, an error does not.
    fn icmp_out(&self) -> Vec<Vec<Expr>> {
        let mut rules = vec![
            then(is_icmp(ECHO_REQUEST), Verdict::Jump("known-echo")),
            then(is_icmp(ECHO_REQUEST), Verdict::Goto("search-echo")),
        ];
        rules.push(then(is_error(), Verdict::Jump("error-out")));
        rules.push(self.refuse(UNTRANSLATABLE));
        rules
    }

    /// From inside to an outside address: an error about a packet that has turned round goes back to who sent it (RFC
    /// 5508 REQ-7); anything else is for the router itself.
    fn icmp_turn(&self) -> Vec<Vec<Expr>> {
        let mut rules = Vec::new();
        if self.nat.hairpin == Hairpin::External {
            for map in self.inbound_ports() {
                let mut rule = [is_error(), quotes_a_plain_header().to_vec()].concat();
                rule.extend([
                    Expr::Load(QUOTED_PROTOCOL, PROTOCOL_AGAIN),
                    Expr::IsNot(PROTOCOL_AGAIN, vec![ICMP]),
                    Expr::Load(QUOTED_SOURCE, OUTSIDE),
                    Expr::Load(QUOTED_SOURCE_PORT, OUTSIDE_PORT),
                    Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: TARGET },
                    Expr::Load(QUOTED_PROTOCOL, PROTOCOL),
                    Expr::Load(QUOTED_DESTINATION, INSIDE),
                    Expr::Load(QUOTED_DESTINATION_PORT, INSIDE_PORT),
                    Expr::Load(QUOTED_SOURCE, TO),
                    Expr::Load(QUOTED_SOURCE_PORT, TO_PORT),
                    Expr::Find { map, key: PROTOCOL, value: REMOTE },
                ]);
                rule.extend(quote(QUOTED_SOURCE, TARGET, QUOTED_SOURCE_PORT, TARGET_PORT));
                rule.extend(quote(QUOTED_DESTINATION, REMOTE, QUOTED_DESTINATION_PORT, REMOTE_PORT));
                rule.extend([
                    Expr::Mark(REMOTE),
                    Expr::Write(DESTINATION, TARGET, Checksum::At(IP_CHECKSUM)),
                    Expr::Verdict(Verdict::Accept),
                ]);
                rules.push(rule);
            }
        }
        rules.push(vec![Expr::Verdict(Verdict::Accept)]);
        rules
    }

    /// The world complains about a packet of ours; RFC 5508 REQ-4 drops what quotes no mapping.
    fn error_in(&self) -> Vec<Vec<Expr>> {
        let quoting = |is: fn(Register, Vec<u8>) -> Expr, own_port: Field| {
            let mut rule = quotes_a_plain_header().to_vec();
            rule.extend([
                Expr::Load(QUOTED_PROTOCOL, PROTOCOL_AGAIN),
                is(PROTOCOL_AGAIN, vec![ICMP]),
                Expr::Load(QUOTED_SOURCE, OUTSIDE),
                Expr::Load(own_port, OUTSIDE_PORT),
                Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: INSIDE },
            ]);
            rule.extend(quote(QUOTED_SOURCE, INSIDE, own_port, INSIDE_PORT));
            rule.push(Expr::Write(DESTINATION, INSIDE, Checksum::At(IP_CHECKSUM)));
            then(rule, Verdict::Accept)
        };
        vec![
            quoting(Expr::IsNot, QUOTED_SOURCE_PORT),
            quoting(Expr::Is, QUOTED_ECHO_IDENTIFIER),
            self.refuse(FILTERED),
        ]
    }

    /// Where it is found by which outside port a remote's packet came in.
    fn inbound_ports(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(MAPPINGS).chain(self.admits_others().then_some(HEARD))
    }

    /// Holds for an error that quotes an inbound packet as the inside saw it; it quotes what the remote has sent
    /// afterwards.
    fn errors_about_inbound(&self) -> Vec<Vec<Expr>> {
        let quoting = |map, is: fn(Register, Vec<u8>) -> Expr, own_port: Field, remote_port: Expr| {
            let mut rule = quotes_a_plain_header().to_vec();
            rule.extend([
                Expr::Load(QUOTED_PROTOCOL, PROTOCOL),
                is(PROTOCOL, vec![ICMP]),
                Expr::Load(QUOTED_DESTINATION, INSIDE),
                Expr::Load(own_port, INSIDE_PORT),
                Expr::Load(QUOTED_SOURCE, TO),
                remote_port,
                Expr::Find { map, key: PROTOCOL, value: OUTSIDE },
            ]);
            rule.extend(quote(QUOTED_DESTINATION, OUTSIDE, own_port, OUTSIDE_PORT));
            rule
        };
        let remote_port = || Expr::Load(QUOTED_SOURCE_PORT, TO_PORT);
        let ports =
            self.inbound_ports().map(|map| quoting(map, Expr::IsNot, QUOTED_DESTINATION_PORT, remote_port()));
        let echo = quoting(MAPPINGS, Expr::Is, QUOTED_ECHO_IDENTIFIER, Expr::Set(TO_PORT, vec![0; 4]));
        ports.chain([echo]).collect()
    }

    /// Somebody on this side complains about a packet that came in: it leaves, or comes back untranslated.
    fn error_out(&self) -> Vec<Vec<Expr>> {
        let leaves = |mut rule: Vec<Expr>| {
            rule.push(Expr::Write(SOURCE, OUTSIDE, Checksum::At(IP_CHECKSUM)));
            then(rule, Verdict::Accept)
        };
        self.errors_about_inbound().into_iter().map(leaves).collect()
    }
}

/// Writes an address and a port into the packet that an error quotes. The quoted header's own checksum moves with its
/// address: the sum over both stays what it was.
fn quote(address: Field, from: Register, port: Field, from_port: Register) -> [Expr; 2] {
    [
        Expr::Write(address, from, Checksum::At(QUOTED_IP_CHECKSUM)),
        Expr::Write(port, from_port, Checksum::At(ICMP_CHECKSUM)),
    ]
}

fn is_error() -> Vec<Expr> {
    vec![Expr::Load(ICMP_TYPE, SCRATCH), Expr::In(ERRORS, SCRATCH)]
}

fn quotes_a_plain_header() -> [Expr; 2] {
    const IPV4_NO_OPTIONS: u8 = 0x45;
    [Expr::Load(QUOTED_LENGTH, SCRATCH), Expr::Is(SCRATCH, vec![IPV4_NO_OPTIONS])]
}
