//! ICMP both ways: an echo is a flow whose port is its identifier (RFC 5508 section 3); an error is told in the terms of
//! the other side, and neither makes, refreshes nor ends a mapping (RFC 5508 section 4, RFC 4787 REQ-12).

use super::super::packet::{
    DESTINATION, ECHO_IDENTIFIER, ECHO_REPLY, ECHO_REQUEST, ICMP, ICMP_CHECKSUM, ICMP_ERRORS, INSIDE,
    INSIDE_PORT, IP_CHECKSUM, OUTSIDE_PORT, PROTOCOL, PROTOCOL_AGAIN, QUOTED_DESTINATION,
    QUOTED_DESTINATION_PORT, QUOTED_ECHO_IDENTIFIER, QUOTED_IP_CHECKSUM, QUOTED_LENGTH, QUOTED_PROTOCOL,
    QUOTED_SOURCE, QUOTED_SOURCE_PORT, REMOTE, REMOTE_PORT, SCRATCH, SOURCE, TO, TO_PORT, is_icmp,
};
use super::{FILTERED, MAPPINGS, REVERSE, Rules, UNTRANSLATABLE, refuse};
use crate::netlink::nftables::{Chain, Checksum, Expr, Field, Meta, Verdict};

impl Rules<'_> {
    pub(super) fn icmp(&self) -> [Chain; 4] {
        let chain = |name, rules| Chain { name, hook: None, rules };
        [
            chain("icmp-in", self.icmp_in()),
            chain("icmp-out", self.icmp_out()),
            chain("error-in", error_in()),
            chain("error-out", self.error_out()),
        ]
    }

    /// From outside: the reply to an echo of ours, or an error about a packet of ours.
    fn icmp_in(&self) -> Vec<Vec<Expr>> {
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

        let mut rules = vec![reply];
        rules.extend(errors_go_to("error-in"));
        rules.push(refuse(FILTERED));
        rules
    }

    /// To outside: an echo gets a mapping, an error does not.
    fn icmp_out(&self) -> Vec<Vec<Expr>> {
        let mut echo = is_icmp(ECHO_REQUEST);
        echo.push(Expr::Verdict(Verdict::Jump("allocate-echo")));
        let mut leave = is_icmp(ECHO_REQUEST);
        leave.extend(self.leave_from_outside_address());

        let mut rules = vec![echo, leave];
        rules.extend(errors_go_to("error-out"));
        rules.push(refuse(UNTRANSLATABLE));
        rules
    }

    /// An inside host complains about a UDP or TCP packet that reached it.
    fn error_out(&self) -> Vec<Vec<Expr>> {
        let mut rule = quotes_a_plain_header().to_vec();
        rule.extend([
            Expr::Load(QUOTED_PROTOCOL, PROTOCOL),
            Expr::IsNot(PROTOCOL, vec![ICMP]),
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
        vec![rule, refuse(UNTRANSLATABLE)]
    }
}

/// The world complains about a packet of ours; RFC 5508 REQ-4 drops what quotes no mapping.
fn error_in() -> Vec<Vec<Expr>> {
    let quoting = |is: fn(crate::netlink::nftables::Register, Vec<u8>) -> Expr, own_port: Field| {
        let mut rule = quotes_a_plain_header().to_vec();
        rule.extend([
            Expr::Load(QUOTED_PROTOCOL, PROTOCOL_AGAIN),
            is(PROTOCOL_AGAIN, vec![ICMP]),
            Expr::Load(own_port, OUTSIDE_PORT),
            Expr::Find { map: REVERSE, key: PROTOCOL_AGAIN, value: INSIDE },
            // The quoted header's own checksum moves with its address: the sum over both stays what it was.
            Expr::Write(QUOTED_SOURCE, INSIDE, Checksum::At(QUOTED_IP_CHECKSUM)),
            Expr::Write(own_port, INSIDE_PORT, Checksum::At(ICMP_CHECKSUM)),
            Expr::Write(DESTINATION, INSIDE, Checksum::At(IP_CHECKSUM)),
            Expr::Verdict(Verdict::Accept),
        ]);
        rule
    };
    vec![
        quoting(Expr::IsNot, QUOTED_SOURCE_PORT),
        quoting(Expr::Is, QUOTED_ECHO_IDENTIFIER),
        refuse(FILTERED),
    ]
}

fn errors_go_to(chain: &'static str) -> impl Iterator<Item = Vec<Expr>> {
    ICMP_ERRORS.into_iter().map(move |kind| {
        let mut rule = is_icmp(kind);
        rule.push(Expr::Verdict(Verdict::Goto(chain)));
        rule
    })
}

fn quotes_a_plain_header() -> [Expr; 2] {
    const IPV4_NO_OPTIONS: u8 = 0x45;
    [Expr::Load(QUOTED_LENGTH, SCRATCH), Expr::Is(SCRATCH, vec![IPV4_NO_OPTIONS])]
}
