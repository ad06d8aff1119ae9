//! What a declaration says that a packet can show, quirk classes included.

use std::time::Duration;

use crate::nat::{Egress, Filtering, Hairpin, Mapping, Nat, OnDrop, Translation};

/// RFC 5382 REQ-5.
pub(super) const ESTABLISHED: Duration = Duration::from_secs(2 * 3600 + 4 * 60);
pub(super) const TRANSITORY: Duration = Duration::from_secs(4 * 60);
/// RFC 5508 REQ-2.
pub(super) const QUERY: Duration = Duration::from_secs(60);
/// A timer is read so long after it was started, at most.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// Linux's own timers: of UDP that has not been answered, of TCP and of ICMP queries (net.netfilter).
const LINUX_UDP: Duration = Duration::from_secs(30);
const LINUX_ESTABLISHED: Duration = Duration::from_secs(432_000);
const LINUX_SYN_SENT: Duration = Duration::from_secs(120);
const LINUX_QUERY: Duration = Duration::from_secs(30);

/// A declaration.
pub(super) struct Said<'a>(pub(super) &'a Nat);

impl Said<'_> {
    pub(super) fn is_linux(&self) -> bool {
        matches!(self.0.translation, Translation::Masquerade { .. })
    }

    /// A Linux router that hears what is for itself, and answers.
    pub(super) fn hears_input(&self) -> bool {
        self.0.translation == Translation::Masquerade { input_drop: false }
    }

    pub(super) fn mapping(&self) -> Option<Mapping> {
        (self.0.translation != Translation::None).then_some(self.0.mapping)
    }

    pub(super) fn filtering(&self) -> Filtering {
        self.0.filtering
    }

    /// What is a router with translation to IPv4 filters IPv6 as strictly as there is (RFC 6092).
    pub(super) fn filtering_v6(&self) -> Filtering {
        match self.0.translation {
            Translation::None => self.0.filtering,
            Translation::Modelled | Translation::Masquerade { .. } => Filtering::AddressAndPortDependent,
        }
    }

    /// Why nothing of UDP was seen.
    pub(super) fn without_udp(&self) -> &'static str {
        if self.0.family.has_v4() { "no UDP leaves" } else { "it has IPv6 only" }
    }

    pub(super) fn hairpin(&self) -> Hairpin {
        if self.is_linux() { Hairpin::Off } else { self.0.hairpin }
    }

    pub(super) fn tells_refusals(&self) -> bool {
        self.0.on_drop == OnDrop::Reject || self.hears_input()
    }

    pub(super) fn inbound_refresh(&self) -> bool {
        // Connection tracking knows no directions.
        self.is_linux() || self.0.inbound_refresh
    }

    pub(super) fn udp_timer(&self) -> Duration {
        if self.is_linux() { LINUX_UDP } else { self.0.timeout }
    }

    pub(super) fn established(&self) -> Duration {
        if self.is_linux() { LINUX_ESTABLISHED } else { ESTABLISHED }
    }

    pub(super) fn transitory(&self) -> Duration {
        if self.is_linux() { LINUX_SYN_SENT } else { TRANSITORY }
    }

    pub(super) fn query(&self) -> Duration {
        if self.is_linux() { LINUX_QUERY } else { QUERY }
    }

    pub(super) fn has_portal(&self) -> bool {
        self.0.egress == Egress::Portal
    }
}

/// Whether a timer of this length was read.
pub(super) fn is_timer(read: Duration, length: Duration) -> bool {
    read <= length && is_at_least(read, length)
}

/// Whether a timer of this length or a longer one was read.
pub(super) fn is_at_least(read: Duration, length: Duration) -> bool {
    read + READ_WITHIN >= length
}
