//! A router of a lab while it runs: its counters, its mappings, its reboot.

use std::net::Ipv4Addr;

use crate::address::OUTWARD;
use crate::error::Error;
use crate::nat::table::MappingTable;
use crate::nat::{Egress, Nat, ruleset};
use crate::netlink::Socket;
use crate::netlink::nftables::{self, Table};

/// A NAT router of a lab.
#[derive(Debug)]
pub struct Router {
    nat: Nat,
    outsides: Vec<Ipv4Addr>,
    netfilter: Socket,
    table: Table,
}

/// What a router has dropped since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// Inbound packets that its filter did not admit.
    pub filtered: u64,
    /// Outbound packets for which no free port was left.
    pub exhausted: u64,
    /// Outbound packets of a kind that it does not translate.
    pub untranslatable: u64,
    /// Outbound packets that its egress policy does not let leave.
    pub refused: u64,
}

impl Router {
    /// Installs the rules of a router by a socket of its namespace.
    pub(crate) fn start(nat: Nat, outsides: &[Ipv4Addr], netfilter: Socket) -> Result<Self, Error> {
        let outside = outsides.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let table = ruleset::ruleset(&nat, outside, OUTWARD);
        nftables::install(&netfilter, &table)?;
        Ok(Router { nat, outsides: outsides.to_vec(), netfilter, table })
    }

    /// How it behaves.
    pub fn nat(&self) -> &Nat {
        &self.nat
    }

    /// Its outside address, the first where it has a pool of them; 0.0.0.0 where it serves IPv6 only.
    pub fn outside(&self) -> Ipv4Addr {
        self.outsides.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// All its outside addresses. Those of IPv6 are its node's: nothing is translated to them.
    pub fn outsides(&self) -> &[Ipv4Addr] {
        &self.outsides
    }

    /// Ends every mapping, filter entry, counter and login at once, in one transaction, as losing power would.
    pub fn reboot(&self) -> Result<(), Error> {
        nftables::replace(&self.netfilter, &self.table)
    }

    /// Somebody logs in at its captive portal: from now on everything leaves. Refused by a router without one.
    pub fn log_in(&self) -> Result<(), Error> {
        if self.nat.egress != Egress::Portal {
            return Err(Error::NoPortal);
        }
        Err(Error::system("log in at a captive portal", std::io::ErrorKind::Unsupported))
    }

    /// What it has dropped since it was built or rebooted.
    pub fn drops(&self) -> Result<Drops, Error> {
        let read = |counter| nftables::packets(&self.netfilter, counter);
        Ok(Drops {
            filtered: read(ruleset::FILTERED)?,
            exhausted: read(ruleset::EXHAUSTED)?,
            untranslatable: read(ruleset::UNTRANSLATABLE)?,
            refused: read(ruleset::REFUSED)?,
        })
    }

    /// Its mappings as they are now.
    pub fn mappings(&self) -> Result<MappingTable, Error> {
        let elements = |set| nftables::elements(&self.netfilter, set);
        Ok(MappingTable::read(
            &self.nat,
            self.outside(),
            &elements(ruleset::MAPPINGS)?,
            &elements(ruleset::FILTER)?,
        ))
    }
}
