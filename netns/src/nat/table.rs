//! A router's mappings as people read them.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use super::{Filtering, Mapping, Nat, ruleset};
use crate::netlink::nftables::Element;

/// Transport protocols that a router maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// ICMP or ICMPv6 echo; its port is the identifier.
    Echo,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One mapping of a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of which protocol.
    pub protocol: Protocol,
    /// The host behind the router.
    pub inside: SocketAddr,
    /// What the world sees; the same where nothing is translated.
    pub outside: SocketAddr,
    /// For which remote address (and port, else 0) it exists; `None` where for all.
    pub remote: Option<SocketAddr>,
    /// How long since it was last refreshed.
    pub idle: Duration,
    /// How much longer it lives without a refresh.
    pub left: Duration,
    /// How many packets it has carried, both ways, where they are counted.
    pub packets: Option<u64>,
    /// Whose packets the filter admits (port 0: any port); `None` where anybody's.
    pub admits: Option<Vec<SocketAddr>>,
}

/// The mappings of a router at one moment, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingTable {
    /// One row a mapping.
    pub entries: Vec<Entry>,
}

impl MappingTable {
    /// `packets` has those of each mapping, where they are counted.
    pub(crate) fn read(
        nat: &Nat,
        mappings: &[Element],
        filter: &[Element],
        packets: Option<&[Element]>,
    ) -> Self {
        let carried: HashMap<&[u8], u64> = packets
            .unwrap_or_default()
            .iter()
            .map(|element| (element.key.as_slice(), element.packets))
            .collect();
        let mut admitted: HashMap<(Protocol, SocketAddrV4), Vec<SocketAddr>> = HashMap::new();
        for Element { key, .. } in filter {
            let read = || {
                let outside = SocketAddrV4::new(address(key, 4)?, port(key, 8)?);
                let remote = SocketAddrV4::new(address(key, 12)?, port(key, 16).unwrap_or(0));
                Some(((protocol(key)?, outside), remote))
            };
            if let Some((mapping, remote)) = read() {
                admitted.entry(mapping).or_default().push(remote.into());
            }
        }
        let mut entries: Vec<Entry> = mappings
            .iter()
            .filter_map(|element| {
                let key = &element.key;
                let protocol = protocol(key)?;
                let outside = SocketAddrV4::new(address(&element.value, 0)?, port(&element.value, 4)?);
                let mut admits = admitted.remove(&(protocol, outside)).unwrap_or_default();
                admits.sort();
                Some(Entry {
                    protocol,
                    inside: SocketAddrV4::new(address(key, 4)?, port(key, 8)?).into(),
                    outside: outside.into(),
                    remote: match nat.mapping {
                        Mapping::EndpointIndependent => None,
                        _ => Some(SocketAddrV4::new(address(key, 12)?, port(key, 16).unwrap_or(0)).into()),
                    },
                    idle: ruleset::lifetime(nat, protocol, element.expires_in)
                        .saturating_sub(element.expires_in),
                    left: element.expires_in,
                    packets: packets.map(|_| carried.get(key.as_slice()).copied().unwrap_or_default()),
                    admits: (nat.filtering != Filtering::EndpointIndependent).then_some(admits),
                })
            })
            .collect();
        entries.sort_by_key(|entry| (entry.protocol, entry.inside, entry.remote));
        MappingTable { entries }
    }

    /// All rows of both.
    #[must_use]
    pub(crate) fn and(mut self, other: MappingTable) -> Self {
        self.entries.extend(other.entries);
        self.entries.sort_by_key(|entry| (entry.protocol, entry.inside, entry.remote));
        self
    }
}

impl fmt::Display for MappingTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["inside", "outside", "remote"].map(str::to_owned);
        let sockets = self.entries.iter().map(|entry| {
            let remote = entry.remote.map_or("any".to_owned(), shown);
            [entry.inside.to_string(), entry.outside.to_string(), remote]
        });
        let rows: Vec<[String; 3]> = std::iter::once(heads).chain(sockets).collect();
        // As wide as IPv4 needs at most, and wider where there is IPv6.
        let width = rows.iter().flatten().map(String::len).fold(21, usize::max);
        let columns = |[inside, outside, remote]: &[String; 3]| {
            format!("{inside:<width$} {outside:<width$} {remote:<width$}")
        };
        writeln!(out, "{:<5} {} {:>7} {:>8}  admits", "proto", columns(&rows[0]), "idle", "packets")?;
        for (entry, sockets) in self.entries.iter().zip(&rows[1..]) {
            let protocol = match entry.protocol {
                Protocol::Echo => "icmp",
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            let admits = match &entry.admits {
                None => "anybody".to_owned(),
                Some(remotes) => remotes.iter().copied().map(shown).collect::<Vec<_>>().join(" "),
            };
            let idle = format!("{:.1} s", entry.idle.as_secs_f64());
            let packets = entry.packets.map_or("-".to_owned(), |packets| packets.to_string());
            writeln!(out, "{protocol:<5} {} {idle:>7} {packets:>8}  {admits}", columns(sockets))?;
        }
        Ok(())
    }
}

fn shown(remote: SocketAddr) -> String {
    match remote {
        SocketAddr::V4(remote) if remote.port() == 0 => format!("{}:*", remote.ip()),
        SocketAddr::V6(remote) if remote.port() == 0 => format!("[{}]:*", remote.ip()),
        _ => remote.to_string(),
    }
}

fn protocol(key: &[u8]) -> Option<Protocol> {
    Protocol::of(*key.first()?)
}

impl Protocol {
    /// That of this number in an IP header.
    pub(crate) fn of(number: u8) -> Option<Self> {
        match number {
            1 | 58 => Some(Protocol::Echo),
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            _ => None,
        }
    }
}

fn address(key: &[u8], at: usize) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(key.get(at..at + 4)?).ok()?))
}

/// Ports fill the first half of a 32-bit register, in network byte order.
fn port(key: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(key.get(at..at + 2)?.try_into().ok()?))
}
