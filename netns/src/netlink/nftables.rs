//! nf_tables, typed: tables and chains, transactions, and what the kernel tells of them. What rules say is
//! `nat::ruleset`'s; numbers are those of `linux/netfilter/nf_tables.h`.

mod expr;
mod set;

pub(crate) use expr::{
    Base, Checksum, Connection, Expr, Field, Generator, Meta, Register, Rejection, Verdict,
};
pub(crate) use set::{Element, Set};

use super::Socket;
use super::wire::{self, Batch, Writer};
use crate::error::Error;

/// Whose packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Ipv4 = 2,
    Ipv6 = 10,
}

/// Where the kernel calls a chain, with its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting(i32),
    Forward(i32),
    Output(i32),
    Input(i32),
    /// After routing, asked only about the first packet of a connection, to decide its translation.
    Translate(i32),
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
const DELRULE: u16 = 8;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const GETSETELEM: u16 = 13;
const NEWOBJ: u16 = 18;
const GETOBJ: u16 = 19;

/// Installs the tables of a namespace that has none yet.
pub(crate) fn install(socket: &Socket, tables: &[Table]) -> Result<(), Error> {
    transaction(socket, |batch| tables.iter().for_each(|table| table.create(batch)))
}

/// Installs the tables in place of those before them: their sets, counters and state are gone in the same transaction.
pub(crate) fn replace(socket: &Socket, tables: &[Table]) -> Result<(), Error> {
    transaction(socket, |batch| {
        for table in tables {
            message(batch, table.family, "delete the old NAT table", DELTABLE, 0, |w| {
                w.text(1, TABLE);
            });
            table.create(batch);
        }
    })
}

/// Ends all rules of a chain in every table that has it; the chain itself stays, and lets everything through.
pub(crate) fn flush(socket: &Socket, tables: &[Table], chain: &str) -> Result<(), Error> {
    let having = tables.iter().filter(|table| table.chains.iter().any(|has| has.name == chain));
    transaction(socket, |batch| {
        for table in having {
            message(batch, table.family, format!("flush chain {chain}"), DELRULE, 0, |w| {
                w.text(1, TABLE).text(2, chain);
            });
        }
    })
}

fn transaction(socket: &Socket, requests: impl FnOnce(&mut Batch)) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.request("begin a transaction", 0x10, 0, |w| generic(w, 0, SUBSYSTEM));
    requests(&mut batch);
    batch.acknowledge_here();
    batch.request("commit the rules", 0x11, 0, |w| generic(w, 0, SUBSYSTEM));
    socket.commit(batch)
}

/// Every counter of these tables: its name, and the packets that it has counted. One question a table, because whoever
/// awaits a drop asks often.
pub(crate) fn counters(socket: &Socket, tables: &[Table]) -> Result<Vec<(String, u64)>, Error> {
    let mut found = Vec::new();
    for table in tables {
        let mut batch = Batch::new();
        message(&mut batch, table.family, "read the counters", GETOBJ, NLM_F_DUMP, |w| {
            w.text(1, TABLE).be32(3, NFT_OBJECT_COUNTER);
        });
        socket.dump(batch, |_, payload| {
            let Some(attributes) = payload.get(4..) else { return };
            let name = wire::attribute(attributes, 2).and_then(|name| name.split(|&byte| byte == 0).next());
            let packets = wire::attribute(attributes, 4).and_then(|data| wire::attribute(data, 2));
            let packets = packets.and_then(wire::be64).unwrap_or_default();
            found.extend(name.map(|name| (String::from_utf8_lossy(name).into_owned(), packets)));
        })?;
    }
    Ok(found)
}

/// The elements of a set; none where the table has no such set.
pub(crate) fn elements(socket: &Socket, table: &Table, set: &str) -> Result<Vec<Element>, Error> {
    let mut found = Vec::new();
    if !table.sets.iter().any(|has| has.name == set) {
        return Ok(found);
    }
    let mut batch = Batch::new();
    message(&mut batch, table.family, format!("list set {set}"), GETSETELEM, NLM_F_DUMP, |w| {
        w.text(1, TABLE).text(2, set);
    });
    socket.dump(batch, |_, payload| {
        let list = payload.get(4..).and_then(|attributes| wire::attribute(attributes, 3)).unwrap_or_default();
        found.extend(wire::attributes(list).filter_map(|(_, element)| Element::decode(element)));
    })?;
    Ok(found)
}

impl Table {
    fn create(&self, batch: &mut Batch) {
        message(batch, self.family, "create the NAT table", NEWTABLE, NLM_F_CREATE, |w| {
            w.text(1, TABLE);
        });
        for name in &self.counters {
            message(batch, self.family, format!("create counter {name}"), NEWOBJ, NLM_F_CREATE, |w| {
                w.text(1, TABLE).text(2, name).be32(3, NFT_OBJECT_COUNTER).nest(4, |_| ());
            });
        }
        for (index, set) in self.sets.iter().enumerate() {
            message(batch, self.family, format!("create set {}", set.name), NEWSET, NLM_F_CREATE, |w| {
                set.encode(w, index as u32 + 1)
            });
            for portion in set.portions() {
                let what = format!("fill set {}", set.name);
                message(batch, self.family, what, NEWSETELEM, NLM_F_CREATE, |w| {
                    set.encode_elements(portion, w);
                });
            }
        }
        // Every chain before any rule: verdicts name chains.
        for chain in &self.chains {
            message(
                batch,
                self.family,
                format!("create chain {}", chain.name),
                NEWCHAIN,
                NLM_F_CREATE,
                |w| chain.encode(w),
            );
        }
        for chain in &self.chains {
            for (number, rule) in chain.rules.iter().enumerate() {
                let what = format!("create rule {} of chain {}", number + 1, chain.name);
                message(batch, self.family, what, NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |w| {
                    w.text(1, TABLE)
                        .text(2, chain.name)
                        .nest(4, |w| rule.iter().for_each(|expr| expr.encode(w, self.family)));
                });
            }
        }
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
                Hook::Output(priority) => (3, priority, "filter"),
                Hook::Translate(priority) => (4, priority, "nat"),
            };
            w.nest(4, |w| {
                w.be32(1, number).be32(2, priority as u32);
            })
            .text(7, kind);
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
