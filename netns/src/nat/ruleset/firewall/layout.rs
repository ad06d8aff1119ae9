//! Where the packets of a family have what makes a flow, and how its key lies in the registers.

use std::net::{IpAddr, SocketAddr};

use crate::nat::Filtering;
use crate::nat::ruleset::packet::{
    DESTINATION_PORT, ECHO_IDENTIFIER, ICMP, ICMP_ERRORS, SOURCE_PORT, is_icmp,
};
use crate::nat::table::Protocol;
use crate::netlink::nftables::{Base, Expr, Family, Field, Meta, Register, Verdict};

/// The first register of a key: the protocol's.
pub(super) const KEY: Register = Register(0);
/// Behind the longest key.
pub(super) const SCRATCH: Register = Register(11);

/// Whose flow a packet belongs to, or is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// The sender's: UDP or TCP.
    Outbound,
    /// The receiver's.
    Inbound,
    /// The sender's: an echo request.
    Echo,
    /// The receiver's: an echo reply.
    EchoReply,
    /// The receiver's: an error quotes a UDP or TCP packet of it.
    QuotedOutbound,
    /// The receiver's: an error quotes an echo request.
    QuotedEcho,
    /// Whose packet an error to outside quotes, though another may complain: a router further inside.
    QuotedInbound,
}

/// Where things are in the packets of one family.
#[derive(Debug)]
pub(super) struct Layout {
    family: Family,
    source: Field,
    destination: Field,
    pub(super) icmp: u8,
    pub(super) echo_request: u8,
    pub(super) echo_reply: u8,
    pub(super) errors: &'static [u8],
    quoted_protocol: Field,
    quoted_source: Field,
    quoted_destination: Field,
    /// Where the ports of a quoted packet begin.
    quoted_ports: u32,
}

/// The packet that an ICMP error quotes starts behind its own header.
const QUOTED: u32 = 8;

const V4: Layout = Layout {
    family: Family::Ipv4,
    source: at_network(12, 4),
    destination: at_network(16, 4),
    icmp: ICMP,
    echo_request: 8,
    echo_reply: 0,
    errors: &ICMP_ERRORS,
    quoted_protocol: at_transport(QUOTED + 9, 1),
    quoted_source: at_transport(QUOTED + 12, 4),
    quoted_destination: at_transport(QUOTED + 16, 4),
    quoted_ports: QUOTED + 20,
};

const V6: Layout = Layout {
    family: Family::Ipv6,
    source: at_network(8, 16),
    destination: at_network(24, 16),
    icmp: 58,
    echo_request: 128,
    echo_reply: 129,
    // Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4890 section 4.3.1).
    errors: &[1, 2, 3, 4],
    quoted_protocol: at_transport(QUOTED + 6, 1),
    quoted_source: at_transport(QUOTED + 8, 16),
    quoted_destination: at_transport(QUOTED + 24, 16),
    quoted_ports: QUOTED + 40,
};

const fn at_network(offset: u32, length: u32) -> Field {
    Field { base: Base::Network, offset, length }
}

const fn at_transport(offset: u32, length: u32) -> Field {
    Field { base: Base::Transport, offset, length }
}

impl Layout {
    pub(super) const fn of(family: Family) -> &'static Layout {
        match family {
            Family::Ipv4 => &V4,
            Family::Ipv6 => &V6,
        }
    }

    /// The registers of an address.
    pub(super) const fn width(&self) -> u32 {
        self.source.length / 4
    }

    /// The registers of a key: what the filtering does not tell apart is not in it.
    pub(super) const fn key_registers(&self, filtering: Filtering) -> u32 {
        match filtering {
            Filtering::EndpointIndependent => self.width() + 2,
            Filtering::AddressDependent => 2 * self.width() + 2,
            Filtering::AddressAndPortDependent => 2 * self.width() + 3,
        }
    }

    /// Loads the key of a flow: protocol, inside address and port, remote address and port.
    pub(super) fn load(&self, flow: Flow, filtering: Filtering) -> Vec<Expr> {
        let inside_port = Register(1 + self.width());
        let remote = Register(inside_port.0 + 1);
        let remote_port = Register(remote.0 + self.width());
        let quoted_port = |index: u32| at_transport(self.quoted_ports + 2 * index, 2);
        let quoted_echo_identifier = at_transport(self.quoted_ports + 4, 2);
        // An echo has no remote port.
        let ((inside, port), (other, other_port)) = match flow {
            Flow::Outbound => ((self.source, SOURCE_PORT), (self.destination, Some(DESTINATION_PORT))),
            Flow::Inbound => ((self.destination, DESTINATION_PORT), (self.source, Some(SOURCE_PORT))),
            Flow::Echo => ((self.source, ECHO_IDENTIFIER), (self.destination, None)),
            Flow::EchoReply => ((self.destination, ECHO_IDENTIFIER), (self.source, None)),
            Flow::QuotedOutbound => {
                ((self.destination, quoted_port(0)), (self.quoted_destination, Some(quoted_port(1))))
            }
            Flow::QuotedEcho => ((self.destination, quoted_echo_identifier), (self.quoted_destination, None)),
            Flow::QuotedInbound => {
                ((self.quoted_destination, quoted_port(1)), (self.quoted_source, Some(quoted_port(0))))
            }
        };
        let mut steps = self.load_protocol(flow);
        steps.extend([Expr::Load(inside, Register(1)), Expr::Load(port, inside_port)]);
        if filtering != Filtering::EndpointIndependent {
            steps.push(Expr::Load(other, remote));
        }
        if filtering == Filtering::AddressAndPortDependent {
            steps.push(match other_port {
                Some(port) => Expr::Load(port, remote_port),
                None => Expr::Set(remote_port, vec![0; 4]),
            });
        }
        steps
    }

    /// The protocol, the inside socket and the remote one of a key (port 0: any; none at all: anybody).
    pub(super) fn read(
        &self,
        filtering: Filtering,
        key: &[u8],
    ) -> Option<(Protocol, SocketAddr, Option<SocketAddr>)> {
        let register = |register: u32| key.get(4 * register as usize..);
        let port = |at| Some(u16::from_be_bytes(register(at)?.get(..2)?.try_into().ok()?));
        let address = |at| self.address(register(at)?);
        let (inside_port, remote) = (1 + self.width(), 2 + self.width());
        let remote = match filtering {
            Filtering::EndpointIndependent => None,
            Filtering::AddressDependent => Some((address(remote)?, 0).into()),
            Filtering::AddressAndPortDependent => {
                Some((address(remote)?, port(remote + self.width())?).into())
            }
        };
        Some((Protocol::of(*key.first()?)?, (address(1)?, port(inside_port)?).into(), remote))
    }

    fn address(&self, bytes: &[u8]) -> Option<IpAddr> {
        Some(match self.family {
            Family::Ipv4 => <[u8; 4]>::try_from(bytes.get(..4)?).ok()?.into(),
            Family::Ipv6 => <[u8; 16]>::try_from(bytes.get(..16)?).ok()?.into(),
        })
    }

    fn load_protocol(&self, flow: Flow) -> Vec<Expr> {
        let quoted = |is: fn(Register, Vec<u8>) -> Expr| {
            let mut steps = self.quotes_a_plain_header();
            steps.extend([Expr::Load(self.quoted_protocol, KEY), is(KEY, vec![self.icmp])]);
            steps
        };
        match flow {
            Flow::QuotedOutbound | Flow::QuotedInbound => quoted(Expr::IsNot),
            Flow::QuotedEcho => quoted(Expr::Is),
            _ => vec![Expr::LoadMeta(Meta::TransportProtocol, KEY)],
        }
    }

    /// Holds where the ports of a quoted packet are where they are expected. (IPv6 says by its protocol whether there
    /// are options.)
    fn quotes_a_plain_header(&self) -> Vec<Expr> {
        const IPV4_NO_OPTIONS: u8 = 0x45;
        match self.family {
            Family::Ipv4 => {
                vec![Expr::Load(at_transport(QUOTED, 1), SCRATCH), Expr::Is(SCRATCH, vec![IPV4_NO_OPTIONS])]
            }
            Family::Ipv6 => Vec::new(),
        }
    }

    /// Accepts the ICMP by which the two ends of a link find each other, of which no flow knows: what goes to groups,
    /// which are never forwarded, and neighbour discovery, which shows by its hop limit that no router has forwarded it
    /// (RFC 4861 section 7.1, RFC 4890 section 4.4.1).
    pub(super) fn belongs_to_the_link(&self) -> Vec<Vec<Expr>> {
        const HOP_LIMIT: Field = at_network(7, 1);
        const NEVER_FORWARDED: u8 = 255;
        const GROUPS: u8 = 0xff;
        let accept = Expr::Verdict(Verdict::Accept);
        if self.family == Family::Ipv4 {
            return Vec::new();
        }
        let to_group =
            vec![Expr::Load(at_network(24, 1), SCRATCH), Expr::Is(SCRATCH, vec![GROUPS]), accept.clone()];
        let discovery = (133..=137).map(|kind| {
            let mut rule = is_icmp(kind);
            rule.push(Expr::Load(HOP_LIMIT, SCRATCH));
            rule.push(Expr::Is(SCRATCH, vec![NEVER_FORWARDED]));
            rule.push(accept.clone());
            rule
        });
        std::iter::once(to_group).chain(discovery).collect()
    }
}
