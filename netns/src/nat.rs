//! What a NAT is: the RFC 4787 model, the named presets ([`Preset`]), and [`predict`], the oracle that says whether
//! two hosts can be joined with STUN alone. Pure data and pure functions; [`ruleset`] makes rules of it.

pub mod certify;
mod oracle;
mod possible;
mod preset;
pub mod probe;
pub(crate) mod ruleset;
pub mod stun;
pub mod table;

pub use oracle::{Access, CandidateType, Path, Prediction, Reason, Sharing, Vantage, direct_path, predict};
pub use preset::{Preset, UnknownPreset};

use std::fmt;
use std::time::Duration;

/// When two outbound flows of one inside socket share an outside port (RFC 4787 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mapping {
    /// One outside port whatever the destination.
    EndpointIndependent,
    /// One outside port for each destination address.
    AddressDependent,
    /// One outside port for each destination address and port.
    AddressAndPortDependent,
}

/// Which inbound packets reach a mapping (RFC 4787 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Filtering {
    /// Anybody's.
    EndpointIndependent,
    /// Those of an address that the mapping has sent to.
    AddressDependent,
    /// Those of an address and port that the mapping has sent to.
    AddressAndPortDependent,
}

/// How the outside port of a new mapping is chosen (RFC 4787 section 4.2). Never one that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Allocation {
    /// The inside port where it is free, else a random free one.
    Preserve,
    /// A random free port.
    Random,
    /// The port after the one that was given out last.
    Sequential,
    /// A random free port of the subscriber's own block (RFC 7422); a subscriber is an inside address.
    Blocks {
        /// Ports of a block: a power of two, 64 to 4096.
        size: u16,
        /// Whether a subscriber gets its block with its first packet; else the addresses that follow the router's own
        /// have one each from the start, as far as there are blocks.
        on_demand: bool,
    },
}

/// What becomes of a packet from inside to the router's own outside address (RFC 4787 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hairpin {
    /// It is dropped.
    Off,
    /// It turns round and shows the sender's outside address and port (REQ-9a).
    External,
    /// It turns round and shows the sender's inside address and port.
    Internal,
}

/// How an inbound packet that the filter does not admit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnDrop {
    /// Without a word.
    Silent,
    /// With an ICMP error (administratively prohibited), TCP with a reset: that ends a simultaneous open which came early.
    /// UDP is punched through all the same, since agents do not heed ICMP errors.
    Reject,
}

/// Which address of a pool a mapping gets (RFC 4787 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pooling {
    /// All mappings of an inside address share one outside address (REQ-2).
    Paired,
    /// Any.
    Arbitrary,
}

/// Which address families a router serves inside, or a public host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 only.
    Ipv4,
    /// IPv6 only. A router never translates it, it is a stateful firewall to it (RFC 6092).
    Ipv6,
    /// Both.
    Dual,
}

/// How a router comes by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Translation {
    /// RFC 4787's model, exact: `nat::ruleset`'s own state.
    Modelled,
    /// None: a stateful firewall in front of public addresses. Mapping and allocation mean nothing to it.
    None,
    /// What a plain Linux router does: conntrack and `masquerade`, quirks included. Its mapping and filtering are
    /// nominal: they hold where nobody collides and nobody speaks too early.
    Masquerade {
        /// Whether unsolicited packets to the router itself are dropped before conntrack confirms them.
        input_drop: bool,
    },
}

/// What may leave at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Egress {
    /// Everything that is translated.
    Everything,
    /// No UDP.
    NoUdp,
    /// TCP to port 443, nothing else.
    HttpsOnly,
    /// Nothing but DNS and HTTP to the portal, which is the router's inside address, until somebody has logged in;
    /// then everything.
    Portal,
}

/// One router's behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nat {
    /// By what means.
    pub translation: Translation,
    /// How outside ports are shared between flows.
    pub mapping: Mapping,
    /// Who may send to an outside port.
    pub filtering: Filtering,
    /// How an outside port is chosen.
    pub allocation: Allocation,
    /// How long a UDP mapping outlives its last refresh.
    pub timeout: Duration,
    /// Whether inbound packets refresh a mapping too (RFC 4787 REQ-6); outbound ones always do.
    pub inbound_refresh: bool,
    /// What becomes of packets to the own outside address.
    pub hairpin: Hairpin,
    /// How refused packets end.
    pub on_drop: OnDrop,
    /// How many outside addresses there are, 1 or more.
    pub addresses: u8,
    /// Which of them a mapping gets.
    pub pooling: Pooling,
    /// What it serves.
    pub family: Family,
    /// What may leave.
    pub egress: Egress,
}

/// A combination that cannot be made true, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(pub String);

impl Nat {
    /// The default lifetime of a UDP mapping: RFC 4787 REQ-5 asks for two minutes or more.
    pub const TIMEOUT: Duration = Duration::from_secs(120);

    /// A NAT of RFC 4787's model with the defaults of everything else.
    pub const fn new(mapping: Mapping, filtering: Filtering, allocation: Allocation) -> Self {
        Nat {
            translation: Translation::Modelled,
            mapping,
            filtering,
            allocation,
            timeout: Self::TIMEOUT,
            inbound_refresh: false,
            hairpin: Hairpin::External,
            on_drop: OnDrop::Silent,
            addresses: 1,
            pooling: Pooling::Paired,
            family: Family::Ipv4,
            egress: Egress::Everything,
        }
    }

    /// Whether it can be made true, all its axes at once.
    pub fn check(&self) -> Result<(), Impossible> {
        possible::check(self)
    }
}

impl Family {
    /// Whether there is IPv4.
    pub const fn has_v4(self) -> bool {
        matches!(self, Family::Ipv4 | Family::Dual)
    }

    /// Whether there is IPv6.
    pub const fn has_v6(self) -> bool {
        matches!(self, Family::Ipv6 | Family::Dual)
    }
}

impl Mapping {
    /// RFC 4787's words.
    pub const fn name(self) -> &'static str {
        match self {
            Mapping::EndpointIndependent => "endpoint-independent",
            Mapping::AddressDependent => "address-dependent",
            Mapping::AddressAndPortDependent => "address-and-port-dependent",
        }
    }
}

impl Mapping {
    /// Which it is that four destinations saw so, in the order around the square of two addresses and two ports: near,
    /// far, far with the other port, near with the other port. None of the pure patterns is no mapping.
    pub fn of_square<T: Ord + Copy>(seen: &[T]) -> Option<Mapping> {
        let &[near, far, far_other_port, near_other_port] = seen else { return None };
        let mut distinct = seen.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        match distinct.len() {
            1 => Some(Mapping::EndpointIndependent),
            2 if near == near_other_port && far == far_other_port => Some(Mapping::AddressDependent),
            4 => Some(Mapping::AddressAndPortDependent),
            _ => None,
        }
    }
}

impl Filtering {
    /// RFC 4787's words.
    pub const fn name(self) -> &'static str {
        match self {
            Filtering::EndpointIndependent => "endpoint-independent",
            Filtering::AddressDependent => "address-dependent",
            Filtering::AddressAndPortDependent => "address-and-port-dependent",
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl fmt::Display for Filtering {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}
