//! The packets of each mapping between inside and outside, both ways, for those who look into a router: one more set,
//! with the key of a mapping and a counter in each element. It is apart from what the NAT is made of: where the kernel has
//! no counter to give (in the path of a packet it takes them from a small reserve) a number is lost, never a packet. Not
//! counted: what turns round inside, and strangers whose mapping would be another than the one they came in by.

use std::time::Duration;

use super::packet::{
    DESTINATION, DESTINATION_PORT, ECHO_IDENTIFIER, ECHO_REPLY, ECHO_REQUEST, INSIDE, INSIDE_PORT, PROTOCOL,
    SOURCE, SOURCE_PORT, TCP, TO, TO_PORT, UDP, is_icmp, is_protocol,
};
use super::{ECHO_LIFETIME, TCP_ESTABLISHED, firewall, growing, modelled};
use crate::nat::{Nat, Translation};
use crate::netlink::nftables::{Chain, Expr, Family, Field, Hook, Meta, Register, Table};

pub(crate) const PACKETS: &str = "packets";

/// What is counted of one kind of packet: which they are, the key of their mapping, how long that can live.
pub(super) struct Counted {
    pub(super) condition: Vec<Expr>,
    pub(super) key: Vec<Expr>,
    pub(super) lifetime: Duration,
}

/// Both ways, and where the keys are.
pub(super) struct Ways {
    pub(super) key: Register,
    pub(super) key_registers: u32,
    pub(super) out: Vec<Counted>,
    pub(super) back: Vec<Counted>,
}

/// Makes a table count. What the kernel translates it counts itself.
pub(super) fn add(table: &mut Table, nat: &Nat, outside_link: u32) {
    let ways = match (table.family, nat.translation) {
        (Family::Ipv4, Translation::Masquerade { .. }) => return,
        (Family::Ipv4, Translation::Modelled) => of_mappings(nat),
        (family, _) => firewall::counted(nat, family),
    };
    const BEFORE_REWRITING: i32 = -10;
    let link = outside_link.to_ne_bytes().to_vec();
    let rules = |counted: Vec<Counted>, side| {
        let rule = |Counted { mut condition, key, lifetime }: Counted| {
            condition.splice(0..0, [Expr::LoadMeta(side, ways.key), Expr::Is(ways.key, link.clone())]);
            condition.extend(key);
            condition.push(Expr::CountIn { set: PACKETS, key: ways.key, lifetime });
            condition
        };
        counted.into_iter().map(rule).collect()
    };
    let out = rules(ways.out, Meta::OutputInterface);
    // What comes in has its inside address by then.
    let back = rules(ways.back, Meta::InputInterface);
    let hook = Some(Hook::Forward(BEFORE_REWRITING));
    table.chains.push(Chain { name: "count-out", hook, rules: out });
    table.chains.push(Chain { name: "count-back", hook, rules: back });
    table.sets.push(growing(PACKETS, 4 * ways.key_registers, None, Some(nat.timeout)));
}

/// Of a modelled NAT; keys are those of `mappings`.
fn of_mappings(nat: &Nat) -> Ways {
    let registers = modelled::owner_registers(nat);
    let key = |[own, own_port, other]: [Field; 3], other_port: Expr| {
        let mut steps = vec![
            Expr::Load(own, INSIDE),
            Expr::Load(own_port, INSIDE_PORT),
            Expr::Load(other, TO),
            other_port,
        ];
        steps.truncate(registers);
        steps.insert(0, Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL));
        steps
    };
    let no_port = || Expr::Set(TO_PORT, vec![0; 4]);
    let way = |own: [Field; 3], other_port: Field, echo: u8| {
        let [address, _, other] = own;
        let ports = || key(own, Expr::Load(other_port, TO_PORT));
        vec![
            Counted { condition: is_protocol(UDP), key: ports(), lifetime: nat.timeout },
            Counted { condition: is_protocol(TCP), key: ports(), lifetime: TCP_ESTABLISHED },
            Counted {
                condition: is_icmp(echo),
                key: key([address, ECHO_IDENTIFIER, other], no_port()),
                lifetime: ECHO_LIFETIME,
            },
        ]
    };
    Ways {
        key: PROTOCOL,
        key_registers: 1 + registers as u32,
        out: way([SOURCE, SOURCE_PORT, DESTINATION], DESTINATION_PORT, ECHO_REQUEST),
        back: way([DESTINATION, DESTINATION_PORT, SOURCE], SOURCE_PORT, ECHO_REPLY),
    }
}
