//! A router of a lab while it runs: its counters, its mappings, its reboot.

use std::iter::Sum;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::address::{OUTWARD, Place};
use crate::error::Error;
use crate::nat::ruleset::count::PACKETS;
use crate::nat::ruleset::firewall;
use crate::nat::ruleset::masquerade::{self, UdpTimers};
use crate::nat::table::MappingTable;
use crate::nat::{Egress, Nat, Translation, ruleset};
use crate::netlink::nftables::{self, Family, Table};
use crate::netlink::{Socket, conntrack};

/// A NAT router of a lab.
#[derive(Debug)]
pub struct Router {
    nat: Nat,
    outsides: Vec<Ipv4Addr>,
    /// One question at a time: an answer is whoever's turn it is.
    netfilter: Mutex<Socket>,
    tables: Vec<Table>,
    /// Means something to `masquerade` only.
    udp_timers: Mutex<UdpTimers>,
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

impl Drops {
    /// Whatever the reason.
    pub fn all(&self) -> u64 {
        self.filtered + self.exhausted + self.untranslatable + self.refused
    }
}

impl Sum for Drops {
    /// What several routers have dropped together.
    fn sum<I: Iterator<Item = Drops>>(routers: I) -> Drops {
        routers.fold(Drops::default(), |sum, drops| Drops {
            filtered: sum.filtered + drops.filtered,
            exhausted: sum.exhausted + drops.exhausted,
            untranslatable: sum.untranslatable + drops.untranslatable,
            refused: sum.refused + drops.refused,
        })
    }
}

impl Router {
    /// Installs the rules of a router by a socket of its namespace.
    pub(crate) fn start(
        nat: Nat,
        place: &Place,
        netfilter: Socket,
        counts_packets: bool,
    ) -> Result<Self, Error> {
        let v4 = |addresses: &[IpAddr]| {
            let v4 = addresses.iter().filter_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            });
            v4.collect::<Vec<_>>()
        };
        let outsides = v4(&place.addresses);
        let inside = v4(&place.gateways).first().copied();
        let tables = ruleset::rules(&nat, &outsides, OUTWARD, inside, counts_packets)?;
        nftables::install(&netfilter, &tables)?;
        let udp_timers = Mutex::new(UdpTimers::LINUX);
        Ok(Router { nat, outsides, netfilter: Mutex::new(netfilter), tables, udp_timers })
    }

    /// How it behaves.
    pub fn nat(&self) -> &Nat {
        &self.nat
    }

    /// The first of its outside IPv4 addresses; 0.0.0.0 where it has IPv6 only.
    pub fn outside(&self) -> Ipv4Addr {
        self.outsides.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// Its outside IPv4 addresses, as many as its NAT says.
    pub fn outsides(&self) -> &[Ipv4Addr] {
        &self.outsides
    }

    /// Ends every mapping, filter entry, counter and login at once, in one transaction, as losing power would. (Where
    /// it is the kernel that tracks connections, they end in a second step.)
    pub fn reboot(&self) -> Result<(), Error> {
        let netfilter = self.netfilter();
        nftables::replace(&netfilter, &self.tables)?;
        if self.is_linux() { conntrack::forget(&netfilter) } else { Ok(()) }
    }

    /// Shortens the UDP timers of a `linux-masquerade` router, which are Linux's own otherwise (30 s and 120 s): that of
    /// a flow which is young or goes one way, and that of a stream. Whole seconds. A reboot keeps them.
    pub fn remember_udp(&self, young: Duration, stream: Duration) -> Result<(), Error> {
        if !self.is_linux() {
            return Err(Error::NotLinux);
        }
        let mut timers = self.udp_timers.lock().unwrap_or_else(PoisonError::into_inner);
        conntrack::remember_udp(&self.netfilter(), young, stream)?;
        *timers = UdpTimers { young, stream };
        Ok(())
    }

    /// Somebody logs in at its captive portal: from now on everything leaves. Refused by a router without one.
    pub fn log_in(&self) -> Result<(), Error> {
        if self.nat.egress != Egress::Portal {
            return Err(Error::NoPortal);
        }
        nftables::flush(&self.netfilter(), &self.tables, ruleset::PORTAL)
    }

    /// What it has dropped since it was built or rebooted.
    pub fn drops(&self) -> Result<Drops, Error> {
        let counters = nftables::counters(&self.netfilter(), &self.tables)?;
        let of =
            |wanted| counters.iter().filter(|(name, _)| name == wanted).map(|(_, packets)| packets).sum();
        Ok(Drops {
            filtered: of(ruleset::FILTERED),
            exhausted: of(ruleset::EXHAUSTED),
            untranslatable: of(ruleset::UNTRANSLATABLE),
            refused: of(ruleset::REFUSED),
        })
    }

    /// Its mappings as they are now; the flows of what it does not translate, too.
    pub fn mappings(&self) -> Result<MappingTable, Error> {
        let netfilter = self.netfilter();
        let mut all = MappingTable::default();
        for table in &self.tables {
            let family = table.family;
            let elements = |set| nftables::elements(&netfilter, table, set);
            let is_counting = table.sets.iter().any(|set| set.name == PACKETS);
            let packets = is_counting.then(|| elements(PACKETS)).transpose()?;
            all = all.and(match (family, self.nat.translation) {
                (Family::Ipv6, _) | (_, Translation::None) => {
                    firewall::mappings(&self.nat, family, &elements(firewall::FLOWS)?, packets.as_deref())
                }
                (Family::Ipv4, Translation::Masquerade { .. }) => {
                    let timers = *self.udp_timers.lock().unwrap_or_else(PoisonError::into_inner);
                    masquerade::mappings(&conntrack::tracked(&netfilter)?, timers)
                }
                (Family::Ipv4, Translation::Modelled) => {
                    let (mappings, filter) = (elements(ruleset::MAPPINGS)?, elements(ruleset::FILTER)?);
                    MappingTable::read(&self.nat, &mappings, &filter, packets.as_deref())
                }
            });
        }
        Ok(all)
    }

    fn netfilter(&self) -> MutexGuard<'_, Socket> {
        self.netfilter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_linux(&self) -> bool {
        matches!(self.nat.translation, Translation::Masquerade { .. })
    }
}
