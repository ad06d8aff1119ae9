//! Where things are in a packet, and which register holds what while a rule runs.

use crate::netlink::nftables::{Base, Expr, Field, Meta, Register};

pub(super) const PROTOCOL: Register = Register(0);
pub(super) const INSIDE: Register = Register(1);
pub(super) const INSIDE_PORT: Register = Register(2);
pub(super) const TO: Register = Register(3);
pub(super) const TO_PORT: Register = Register(4);
pub(super) const PROTOCOL_AGAIN: Register = Register(5);
pub(super) const OUTSIDE: Register = Register(6);
pub(super) const OUTSIDE_PORT: Register = Register(7);
pub(super) const REMOTE: Register = Register(8);
pub(super) const REMOTE_PORT: Register = Register(9);
/// The owner of a port, then the flow that asks, four registers each at most; in rules that need no remote.
pub(super) const OWNER: Register = Register(8);
/// Whom a packet turns round to, its address and its port.
pub(super) const TARGET: Register = Register(10);
pub(super) const TARGET_PORT: Register = Register(11);
/// A value that is looked up only to see whether it is there, two registers.
pub(super) const FOUND: Register = Register(10);
/// With room for one more behind it.
pub(super) const SCRATCH: Register = Register(14);

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

pub(super) const SOURCE: Field = Field { base: Base::Network, offset: 12, length: 4 };
pub(super) const DESTINATION: Field = Field { base: Base::Network, offset: 16, length: 4 };
pub(super) const IP_CHECKSUM: u32 = 10;
pub(super) const SOURCE_PORT: Field = Field { base: Base::Transport, offset: 0, length: 2 };
pub(super) const DESTINATION_PORT: Field = Field { base: Base::Transport, offset: 2, length: 2 };
const TCP_FLAGS: Field = Field { base: Base::Transport, offset: 13, length: 1 };
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ICMP_TYPE: Field = Field { base: Base::Transport, offset: 0, length: 1 };
pub(super) const ICMP_CHECKSUM: u32 = 2;
pub(super) const ECHO_IDENTIFIER: Field = Field { base: Base::Transport, offset: 4, length: 2 };
pub(super) const ECHO_REPLY: u8 = 0;
pub(super) const ECHO_REQUEST: u8 = 8;
pub(super) const REDIRECT: u8 = 5;
/// Destination unreachable, time exceeded, parameter problem (RFC 5508 section 4).
pub(super) const ICMP_ERRORS: [u8; 3] = [3, 11, 12];

/// The packet that an ICMP error quotes, where its header has no options.
const QUOTED: u32 = 8;
pub(super) const QUOTED_LENGTH: Field = Field { base: Base::Transport, offset: QUOTED, length: 1 };
pub(super) const QUOTED_PROTOCOL: Field = Field { base: Base::Transport, offset: QUOTED + 9, length: 1 };
pub(super) const QUOTED_IP_CHECKSUM: u32 = QUOTED + IP_CHECKSUM;
pub(super) const QUOTED_SOURCE: Field = Field { base: Base::Transport, offset: QUOTED + 12, length: 4 };
pub(super) const QUOTED_DESTINATION: Field = Field { base: Base::Transport, offset: QUOTED + 16, length: 4 };
pub(super) const QUOTED_SOURCE_PORT: Field = Field { base: Base::Transport, offset: QUOTED + 20, length: 2 };
pub(super) const QUOTED_DESTINATION_PORT: Field =
    Field { base: Base::Transport, offset: QUOTED + 22, length: 2 };
pub(super) const QUOTED_ECHO_IDENTIFIER: Field =
    Field { base: Base::Transport, offset: QUOTED + 24, length: 2 };

pub(super) fn is_protocol(protocol: u8) -> Vec<Expr> {
    vec![Expr::LoadMeta(Meta::TransportProtocol, SCRATCH), Expr::Is(SCRATCH, vec![protocol])]
}

pub(super) fn is_icmp(kind: u8) -> Vec<Expr> {
    vec![Expr::Load(ICMP_TYPE, SCRATCH), Expr::Is(SCRATCH, vec![kind])]
}

/// Holds for TCP where one of these flags is set.
pub(super) fn flags_any(flags: u8) -> Vec<Expr> {
    vec![Expr::Load(TCP_FLAGS, SCRATCH), Expr::And(SCRATCH, vec![flags]), Expr::IsNot(SCRATCH, vec![0])]
}

/// Holds for TCP where none of these flags is set.
pub(super) fn flags_none(flags: u8) -> Vec<Expr> {
    vec![Expr::Load(TCP_FLAGS, SCRATCH), Expr::And(SCRATCH, vec![flags]), Expr::Is(SCRATCH, vec![0])]
}
