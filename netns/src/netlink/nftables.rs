//! nf_tables, typed: the expressions that our rules are made of, and their encoding. What the rules say is
//! `nat::ruleset`'s; numbers are those of `linux/netfilter/nf_tables.h`.

use std::time::Duration;

use super::Socket;
use super::wire::{self, Batch, Writer};
use crate::error::Error;

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

/// What to read of the connection that a packet belongs to; a rule that reads any makes the kernel track connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// One bit, see [`INVALID`]..; 4 bytes.
    State = 0,
    /// The packets of both directions; 8 bytes. A rule that reads them makes the kernel count them.
    Packets = 14,
}

/// Bits of [`Tracking::State`], as a register holds them.
pub(crate) const INVALID: u32 = 1;
pub(crate) const ESTABLISHED: u32 = 1 << 1;
pub(crate) const RELATED: u32 = 1 << 2;

/// How `numgen` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generator {
    Random = 1,
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
    LoadTracking(Tracking, Register),
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
    /// Holds where the map has the key; loads its value.
    Find { map: &'static str, key: Register, value: Register },
    /// Create or refresh an element.
    Update { set: &'static str, key: Register, value: Option<Register>, lifetime: Duration },
    /// Create an element where there is none; one that is there stays as it is, and is not refreshed.
    Add { set: &'static str, key: Register, value: Register, lifetime: Duration },
    /// A number in `first .. first + count`, in network byte order.
    Port { first: u16, count: u16, how: Generator, into: Register },
    /// Translate the source of the connection to the address of the link by which it leaves (in a `nat` chain only).
    Masquerade,
    /// Count the packet.
    Count(&'static str),
    /// Never evaluated: a rule that holds it makes the kernel put fragments together before the first chain, for as
    /// long as the rule exists. (It is a `tproxy` to the port in the register.)
    Defragment(Register),
    /// Decide.
    Verdict(Verdict),
}

/// A set or a map of the router's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    /// Bytes of a key, a multiple of 4.
    pub(crate) key: u32,
    /// Bytes of a value; `None` makes it a plain set.
    pub(crate) value: Option<u32>,
    pub(crate) lifetime: Duration,
}

/// Where the kernel calls a chain, with its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting(i32),
    Input(i32),
    Forward(i32),
    /// After routing, asked only about the first packet of a connection, to decide its translation.
    Translate(i32),
}

/// Whose packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Ip = 2,
    Ip6 = 10,
}

/// Rules that are tried in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// `None`: reached only by a verdict.
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<Vec<Expr>>,
}

/// All that one table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) counters: Vec<&'static str>,
    pub(crate) sets: Vec<Set>,
    pub(crate) chains: Vec<Chain>,
}

/// An element of a set, as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// How long it still lives without a refresh.
    pub(crate) expires_in: Duration,
}

const TABLE: &str = "nat";
const SUBSYSTEM: u16 = 10;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLM_F_DUMP: u16 = 0x300;
const NFT_OBJECT_COUNTER: u32 = 1;

const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const NEWSET: u16 = 9;
const GETSETELEM: u16 = 13;
const NEWOBJ: u16 = 18;
const GETOBJ: u16 = 19;

/// Installs the tables where there are none yet.
pub(crate) fn install(socket: &Socket, tables: &[Table]) -> Result<(), Error> {
    commit(socket, tables, |_| ())
}

/// Installs the tables in place of those of the same families before them: their sets, counters and state are gone in
/// the same transaction.
pub(crate) fn replace(socket: &Socket, tables: &[Table]) -> Result<(), Error> {
    commit(socket, tables, |batch| {
        for table in tables {
            message(batch, table.family, "delete the old NAT table", DELTABLE, 0, |w| {
                w.text(1, TABLE);
            });
        }
    })
}

fn commit(socket: &Socket, tables: &[Table], before: impl FnOnce(&mut Batch)) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.request("begin a transaction", 0x10, 0, |w| generic(w, 0, SUBSYSTEM));
    before(&mut batch);
    for table in tables {
        table.create(&mut batch);
    }
    batch.acknowledge_here();
    batch.request("commit the rules", 0x11, 0, |w| generic(w, 0, SUBSYSTEM));
    socket.commit(batch)
}

/// The packets that a counter has counted.
pub(crate) fn packets(socket: &Socket, family: Family, counter: &str) -> Result<u64, Error> {
    let mut batch = Batch::new();
    message(&mut batch, family, format!("read counter {counter}"), GETOBJ, 0, |w| {
        w.text(1, TABLE).text(2, counter).be32(3, NFT_OBJECT_COUNTER);
    });
    let mut packets = 0;
    socket.dump(batch, |_, payload| {
        let data = payload.get(4..).and_then(|attributes| wire::attribute(attributes, 4));
        packets = data.and_then(|data| wire::attribute(data, 2)).and_then(wire::be64).unwrap_or_default();
    })?;
    Ok(packets)
}

/// The elements of a set.
pub(crate) fn elements(socket: &Socket, family: Family, set: &str) -> Result<Vec<Element>, Error> {
    let mut batch = Batch::new();
    message(&mut batch, family, format!("list set {set}"), GETSETELEM, NLM_F_DUMP, |w| {
        w.text(1, TABLE).text(2, set);
    });
    let mut found = Vec::new();
    socket.dump(batch, |_, payload| {
        let list = payload.get(4..).and_then(|attributes| wire::attribute(attributes, 3)).unwrap_or_default();
        found.extend(wire::attributes(list).filter_map(|(_, element)| Element::decode(element)));
    })?;
    Ok(found)
}

impl Table {
    fn create(&self, batch: &mut Batch) {
        let mut create = |what: String, kind, flags, write: &dyn Fn(&mut Writer<'_>)| {
            message(batch, self.family, what, kind, NLM_F_CREATE | flags, write);
        };
        create("create the NAT table".to_owned(), NEWTABLE, 0, &|w| {
            w.text(1, TABLE);
        });
        for name in &self.counters {
            create(format!("create counter {name}"), NEWOBJ, 0, &|w| {
                w.text(1, TABLE).text(2, name).be32(3, NFT_OBJECT_COUNTER).nest(4, |_| ());
            });
        }
        for (index, set) in self.sets.iter().enumerate() {
            create(format!("create set {}", set.name), NEWSET, 0, &|w| set.encode(w, index as u32 + 1));
        }
        // Every chain before any rule: verdicts name chains.
        for chain in &self.chains {
            create(format!("create chain {}", chain.name), NEWCHAIN, 0, &|w| chain.encode(w));
        }
        for chain in &self.chains {
            for (number, rule) in chain.rules.iter().enumerate() {
                let what = format!("create rule {} of chain {}", number + 1, chain.name);
                create(what, NEWRULE, NLM_F_APPEND, &|w| {
                    w.text(1, TABLE).text(2, chain.name);
                    w.nest(4, |w| rule.iter().for_each(|expr| expr.encode(w, self.family)));
                });
            }
        }
    }
}

impl Element {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let data = |kind| {
            wire::attribute(bytes, kind).and_then(|nested| wire::attribute(nested, 1)).map(<[u8]>::to_vec)
        };
        let left = wire::attribute(bytes, 5).and_then(wire::be64).map(Duration::from_millis);
        Some(Element {
            key: data(1)?,
            value: data(2).unwrap_or_default(),
            expires_in: left.unwrap_or_default(),
        })
    }
}

impl Set {
    fn encode(&self, w: &mut Writer<'_>, id: u32) {
        const MAP: u32 = 0x08;
        const TIMEOUT: u32 = 0x10;
        const DYNAMIC: u32 = 0x20;
        // No NFTA_SET_DESC size: it is also the hash hint, and makes installing ten times slower.
        let flags = TIMEOUT | DYNAMIC | if self.value.is_some() { MAP } else { 0 };
        w.text(1, TABLE).text(2, self.name).be32(3, flags).be32(4, 0).be32(5, self.key);
        if let Some(length) = self.value {
            w.be32(6, 0).be32(7, length);
        }
        w.be32(10, id).be64(11, self.lifetime.as_millis() as u64);
    }
}

impl Chain {
    fn encode(&self, w: &mut Writer<'_>) {
        w.text(1, TABLE).text(3, self.name);
        if let Some(hook) = self.hook {
            let (number, priority, kind) = match hook {
                Hook::Prerouting(priority) => (0, priority, "filter"),
                Hook::Input(priority) => (1, priority, "filter"),
                Hook::Forward(priority) => (2, priority, "filter"),
                Hook::Translate(priority) => (4, priority, "nat"),
            };
            w.nest(4, |w| {
                w.be32(1, number).be32(2, priority as u32);
            })
            .text(7, kind);
        }
    }
}

impl Expr {
    fn encode(&self, w: &mut Writer<'_>, family: Family) {
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
            Expr::LoadTracking(what, to) => expr("ct", &|w| {
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
                dynamic(w, UPDATE, set, *key, *value, *lifetime);
            }),
            Expr::Port { first, count, how, into } => {
                let into = into.number();
                expr("numgen", &|w| {
                    w.be32(1, into)
                        .be32(2, u32::from(*count))
                        .be32(3, *how as u32)
                        .be32(4, u32::from(*first));
                });
                const HTON: u32 = 1;
                expr("byteorder", &|w| {
                    w.be32(1, into).be32(2, into).be32(3, HTON).be32(4, 2).be32(5, 2);
                });
            }
            Expr::Count(counter) => expr("objref", &|w| {
                w.be32(1, NFT_OBJECT_COUNTER).text(2, counter);
            }),
            Expr::Defragment(port) => expr("tproxy", &|w| {
                w.be32(1, family as u32).be32(3, port.number());
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
    lifetime: Duration,
) {
    w.text(1, set).be32(3, operation).be32(4, key.number());
    if let Some(value) = value {
        w.be32(5, value.number());
    }
    w.be64(6, lifetime.as_millis() as u64);
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

fn message(
    batch: &mut Batch,
    family: Family,
    what: impl Into<String>,
    kind: u16,
    flags: u16,
    write: impl FnOnce(&mut Writer<'_>),
) {
    batch.request(what, SUBSYSTEM << 8 | kind, flags, |w| {
        generic(w, family as u8, 0);
        write(w);
    });
}

/// `struct nfgenmsg`.
fn generic(w: &mut Writer<'_>, family: u8, resource: u16) {
    let [high, low] = resource.to_be_bytes();
    w.raw(&[family, 0, high, low]);
}
