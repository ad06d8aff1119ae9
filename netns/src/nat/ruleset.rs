//! From a [`Nat`] to the rules that make it true, by one of three means: [`modelled`] is RFC 4787 itself; a firewall and
//! a Linux masquerade have rules of their own.

pub(crate) mod count;
pub(crate) mod firewall;
pub(crate) mod masquerade;
mod modelled;
mod packet;
mod policy;

use std::net::Ipv4Addr;
use std::time::Duration;

use super::table::Protocol;
use super::{Nat, Translation};
use crate::error::Error;
use crate::netlink::nftables::{Chain, Expr, Family, Set, Table, Verdict};

/// Names that others read.
pub(crate) const MAPPINGS: &str = "mappings";
pub(crate) const FILTER: &str = "filter";
/// Inbound packets that the filter did not admit.
pub(crate) const FILTERED: &str = "filtered";
/// Outbound packets for which no free port was left.
pub(crate) const EXHAUSTED: &str = "exhausted";
/// Outbound packets that this router does not translate.
pub(crate) const UNTRANSLATABLE: &str = "untranslatable";
/// Outbound packets that the egress policy does not let leave.
pub(crate) const REFUSED: &str = "refused";

/// Every table counts all kinds of drops, also those that it never makes.
const COUNTERS: [&str; 4] = [FILTERED, EXHAUSTED, UNTRANSLATABLE, REFUSED];

/// The chain that a captive portal closes the router with; empty once somebody has logged in.
pub(crate) const PORTAL: &str = "portal";

/// RFC 5382 REQ-5: 2 hours 4 minutes once established, 4 minutes before and after.
const TCP_ESTABLISHED: Duration = Duration::from_secs(2 * 3600 + 4 * 60);
const TCP_TRANSITORY: Duration = Duration::from_secs(4 * 60);
/// RFC 5508 REQ-1: 60 seconds or more.
const ECHO_LIFETIME: Duration = Duration::from_secs(60);
/// How long a port is its owner's before the mapping is made: longer than that takes.
const CLAIM_LIFETIME: Duration = Duration::from_secs(1);

/// The lifetime that a mapping got when it was last refreshed: the shortest that is not yet over. (The kernel tells
/// only what is left of it.)
pub(crate) fn lifetime(nat: &Nat, protocol: Protocol, left: Duration) -> Duration {
    match protocol {
        Protocol::Udp => nat.timeout,
        Protocol::Echo => ECHO_LIFETIME,
        Protocol::Tcp if left <= TCP_TRANSITORY => TCP_TRANSITORY,
        Protocol::Tcp => TCP_ESTABLISHED,
    }
}

/// The rules of a router with these outside addresses, whose outside link has this index; a table for each family.
/// `inside` is its own address there: those of hosts follow it. On demand the packets of each mapping are counted.
pub(crate) fn rules(
    nat: &Nat,
    outsides: &[Ipv4Addr],
    outside_link: u32,
    inside: Option<Ipv4Addr>,
    counts_packets: bool,
) -> Result<Vec<Table>, Error> {
    nat.check().map_err(|impossible| Error::Topology(impossible.to_string()))?;
    let mut tables = Vec::new();
    if let (Some(&outside), Some(inside)) = (outsides.first(), inside) {
        tables.push(match nat.translation {
            Translation::Modelled => modelled::table(nat, outsides, outside_link, inside),
            Translation::None => firewall::table(nat, Family::Ipv4, outside_link),
            Translation::Masquerade { input_drop } => masquerade::table(input_drop, outside, outside_link),
        });
    }
    if nat.family.has_v6() {
        tables.push(firewall::table(nat, Family::Ipv6, outside_link));
    }
    if counts_packets {
        tables.iter_mut().for_each(|table| count::add(table, nat, outside_link));
    }
    Ok(tables)
}

/// Tables are walked at the priority of `raw`: before anything else could look at a packet.
const RAW: i32 = -300;

fn chain(name: &'static str, rules: Vec<Vec<Expr>>) -> Chain {
    Chain { name, hook: None, rules }
}

/// A set that rules add to.
fn growing(name: &'static str, key: u32, value: Option<u32>, lifetime: Option<Duration>) -> Set {
    Set { name, key, value, lifetime, constant: Vec::new() }
}

/// A rule: the verdict where the conditions hold.
fn then(mut conditions: Vec<Expr>, verdict: Verdict) -> Vec<Expr> {
    conditions.push(Expr::Verdict(verdict));
    conditions
}
