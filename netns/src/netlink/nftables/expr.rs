//! What rules are made of: registers, the bytes of a packet, and the steps ([`Expr`]), with their encoding.

use std::time::Duration;

use super::{Family, NFT_OBJECT_COUNTER};
use crate::netlink::wire::Writer;

/// One 32-bit register; a key of several fields lies in consecutive ones. Registers live through one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) u32);

impl Register {
    const fn number(self) -> u32 {
        const NFT_REG32_00: u32 = 8;
        NFT_REG32_00 + self.0
    }
}

/// What a payload offset counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Network = 1,
    Transport = 2,
}

/// Bytes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) base: Base,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// Which checksum a written field is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// The 16-bit sum at this offset of the same header.
    At(u32),
    /// TCP's or UDP's (where it has one), through the pseudo header or the ports.
    Transport,
    /// Both.
    AtAndTransport(u32),
}

/// What to read of a packet beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meta {
    Mark = 3,
    InputInterface = 4,
    OutputInterface = 5,
    TransportProtocol = 16,
}

/// What to read of the connection that a packet belongs to. A rule that reads any makes the kernel track connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// One of the bits below; 4 bytes.
    State = 0,
    /// The packets of both directions; 8 bytes. A rule that reads them makes the kernel count them.
    Packets = 14,
}

impl Connection {
    /// Of [`Connection::State`]: it is none that the kernel can track.
    pub(crate) const INVALID: u32 = 1;
    /// Packets have gone both ways.
    pub(crate) const ESTABLISHED: u32 = 1 << 1;
    /// It is an error about another connection.
    pub(crate) const RELATED: u32 = 1 << 2;
}

/// How `numgen` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generator {
    /// One after the other, from the first again after the last. The place is the expression's own: tries that shall
    /// share it go through one rule.
    InOrder = 0,
    Random = 1,
}

/// What who sent a packet is told when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Destination unreachable, communication administratively prohibited.
    Prohibited,
    /// A TCP reset.
    Reset,
}

/// Where a packet goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(&'static str),
    Goto(&'static str),
}

/// One step of a rule; a rule ends at the first step that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expr {
    /// Load a property of the packet.
    LoadMeta(Meta, Register),
    /// Load a property of the connection that the packet belongs to.
    LoadConnection(Connection, Register),
    /// Load bytes of the packet.
    Load(Field, Register),
    /// Load a constant.
    Set(Register, Vec<u8>),
    /// Write a register into the packet.
    Write(Field, Register, Checksum),
    /// Mark the packet.
    Mark(Register),
    /// Holds where the register is this.
    Is(Register, Vec<u8>),
    /// Holds where the register is not this.
    IsNot(Register, Vec<u8>),
    /// Mask a register of this many bytes.
    And(Register, Vec<u8>),
    /// Holds where the key is in the set.
    In(&'static str, Register),
    /// Holds where the key is not in the set, which is no map.
    NotIn(&'static str, Register),
    /// Holds where the map has the key; loads its value.
    Find { map: &'static str, key: Register, value: Register },
    /// Create or refresh an element.
    Update { set: &'static str, key: Register, value: Option<Register>, lifetime: Duration },
    /// Create an element where there is none; one that is there stays as it is, and is not refreshed. Without a
    /// lifetime it stays for ever.
    Add { set: &'static str, key: Register, value: Register, lifetime: Option<Duration> },
    /// Create or refresh an element, and count a packet in it.
    CountIn { set: &'static str, key: Register, lifetime: Duration },
    /// End an element's life; holds where there was none, too.
    Delete { set: &'static str, key: Register },
    /// A number in `first .. first + count`, as the machine has them.
    Number { first: u32, count: u32, how: Generator, into: Register },
    /// Shift the two registers from this one to the left, as one number of 64 bits whose high half is the first.
    ShiftPair(Register, u32),
    /// Shift a register to the left.
    Shift(Register, u32),
    /// From a number in a register to a port in network byte order.
    ToPort(Register),
    /// Translate the source of the connection to the address of the link by which it leaves; in a `nat` chain only.
    Masquerade,
    /// Count the packet.
    Count(&'static str),
    /// Never evaluated: a rule that holds it makes the kernel put fragments together before the first chain, for as
    /// long as the rule exists. (It is a `tproxy` to the port in the register.)
    Defragment(Register),
    /// Drop the packet and say so.
    Reject(Rejection),
    /// Decide.
    Verdict(Verdict),
}

impl Expr {
    pub(super) fn encode(&self, w: &mut Writer<'_>, family: Family) {
        let mut expr = |name: &str, write: &dyn Fn(&mut Writer<'_>)| {
            const NFTA_LIST_ELEM: u16 = 1;
            w.nest(NFTA_LIST_ELEM, |w| {
                w.text(1, name).nest(2, write);
            });
        };
        match self {
            Expr::LoadMeta(what, to) => expr("meta", &|w| {
                w.be32(1, to.number()).be32(2, *what as u32);
            }),
            Expr::LoadConnection(what, to) => expr("ct", &|w| {
                w.be32(1, to.number()).be32(2, *what as u32);
            }),
            Expr::Masquerade => expr("masq", &|_| ()),
            Expr::Mark(from) => expr("meta", &|w| {
                w.be32(3, from.number()).be32(2, Meta::Mark as u32);
            }),
            Expr::Load(field, to) => expr("payload", &|w| field.encode(w.be32(1, to.number()))),
            Expr::Write(field, from, checksum) => expr("payload", &|w| {
                field.encode(w.be32(5, from.number()));
                checksum.encode(w);
            }),
            Expr::Set(to, value) => expr("immediate", &|w| {
                w.be32(1, to.number()).nest(2, |w| {
                    w.bytes(1, value);
                });
            }),
            Expr::Is(register, value) => expr("cmp", &|w| compare(w, *register, 0, value)),
            Expr::IsNot(register, value) => expr("cmp", &|w| compare(w, *register, 1, value)),
            Expr::And(register, mask) => expr("bitwise", &|w| {
                let zero = vec![0; mask.len()];
                w.be32(1, register.number()).be32(2, register.number()).be32(3, mask.len() as u32);
                w.nest(4, |w| {
                    w.bytes(1, mask);
                })
                .nest(5, |w| {
                    w.bytes(1, &zero);
                });
            }),
            Expr::In(set, key) => expr("lookup", &|w| {
                w.text(1, set).be32(2, key.number());
            }),
            Expr::NotIn(set, key) => expr("lookup", &|w| {
                const INVERTED: u32 = 1;
                w.text(1, set).be32(2, key.number()).be32(5, INVERTED);
            }),
            Expr::Find { map, key, value } => {
                expr("lookup", &|w| {
                    w.text(1, map).be32(2, key.number()).be32(3, value.number());
                });
            }
            Expr::Add { set, key, value, lifetime } => expr("dynset", &|w| {
                const ADD: u32 = 0;
                dynamic(w, ADD, set, *key, Some(*value), *lifetime);
            }),
            Expr::Update { set, key, value, lifetime } => expr("dynset", &|w| {
                const UPDATE: u32 = 1;
                dynamic(w, UPDATE, set, *key, *value, Some(*lifetime));
            }),
            Expr::CountIn { set, key, lifetime } => expr("dynset", &|w| {
                const UPDATE: u32 = 1;
                dynamic(w, UPDATE, set, *key, None, Some(*lifetime));
                w.nest(7, |w| {
                    w.text(1, "counter").nest(2, |_| ());
                });
            }),
            Expr::Delete { set, key } => expr("dynset", &|w| {
                const DELETE: u32 = 2;
                w.text(1, set).be32(3, DELETE).be32(4, key.number());
            }),
            Expr::Number { first, count, how, into } => expr("numgen", &|w| {
                w.be32(1, into.number()).be32(2, *count).be32(3, *how as u32).be32(4, *first);
            }),
            Expr::ToPort(register) => expr("byteorder", &|w| {
                const HTON: u32 = 1;
                let register = register.number();
                w.be32(1, register).be32(2, register).be32(3, HTON).be32(4, 2).be32(5, 2);
            }),
            Expr::Shift(register, by) => expr("bitwise", &|w| shift_left(w, *register, 4, *by)),
            Expr::ShiftPair(register, by) => expr("bitwise", &|w| shift_left(w, *register, 8, *by)),
            Expr::Count(counter) => expr("objref", &|w| {
                w.be32(1, NFT_OBJECT_COUNTER).text(2, counter);
            }),
            Expr::Defragment(port) => expr("tproxy", &|w| {
                w.be32(1, family as u32).be32(3, port.number());
            }),
            Expr::Reject(rejection) => expr("reject", &|w| {
                const ICMP_UNREACH: u32 = 0;
                const TCP_RST: u32 = 1;
                let prohibited = match family {
                    Family::Ipv4 => 13,
                    Family::Ipv6 => 1,
                };
                match rejection {
                    Rejection::Prohibited => w.be32(1, ICMP_UNREACH).bytes(2, &[prohibited]),
                    Rejection::Reset => w.be32(1, TCP_RST).bytes(2, &[0]),
                };
            }),
            Expr::Verdict(verdict) => expr("immediate", &|w| {
                const NFT_REG_VERDICT: u32 = 0;
                w.be32(1, NFT_REG_VERDICT).nest(2, |w| {
                    w.nest(2, |w| verdict.encode(w));
                });
            }),
        }
    }
}

fn dynamic(
    w: &mut Writer<'_>,
    operation: u32,
    set: &str,
    key: Register,
    value: Option<Register>,
    lifetime: Option<Duration>,
) {
    w.text(1, set).be32(3, operation).be32(4, key.number());
    if let Some(value) = value {
        w.be32(5, value.number());
    }
    if let Some(lifetime) = lifetime {
        w.be64(6, lifetime.as_millis() as u64);
    }
}

fn shift_left(w: &mut Writer<'_>, register: Register, length: u32, by: u32) {
    const LEFT: u32 = 1;
    w.be32(1, register.number()).be32(2, register.number()).be32(3, length).be32(6, LEFT).nest(7, |w| {
        w.bytes(1, &by.to_ne_bytes());
    });
}

fn compare(w: &mut Writer<'_>, register: Register, operator: u32, value: &[u8]) {
    w.be32(1, register.number()).be32(2, operator).nest(3, |w| {
        w.bytes(1, value);
    });
}

impl Field {
    fn encode(&self, w: &mut Writer<'_>) {
        w.be32(2, self.base as u32).be32(3, self.offset).be32(4, self.length);
    }
}

impl Checksum {
    fn encode(self, w: &mut Writer<'_>) {
        const NFT_PAYLOAD_CSUM_INET: u32 = 1;
        const NFT_PAYLOAD_L4CSUM_PSEUDOHDR: u32 = 1;
        if let Checksum::At(offset) | Checksum::AtAndTransport(offset) = self {
            w.be32(6, NFT_PAYLOAD_CSUM_INET).be32(7, offset);
        }
        if let Checksum::Transport | Checksum::AtAndTransport(_) = self {
            w.be32(8, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
        }
    }
}

impl Verdict {
    fn encode(&self, w: &mut Writer<'_>) {
        let (code, chain): (i32, _) = match self {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
            Verdict::Return => (-5, None),
        };
        w.be32(1, code as u32);
        if let Some(chain) = chain {
            w.text(2, chain);
        }
    }
}
