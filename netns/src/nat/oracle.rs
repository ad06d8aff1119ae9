//! The oracle: can two hosts find a direct UDP path with STUN alone, through which candidates, and why.
//! Strict reading of RFC 4787: every outbound packet, answers included, takes the port of its own mapping key.

mod access;
mod common;
mod family;
mod pair;
mod reason;
#[cfg(test)]
mod simulation;

pub use access::Access;
pub use pair::direct_path;
pub use reason::Reason;

use super::{Egress, Family, Nat};

/// Where a host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vantage {
    /// The routers between the host and the internet with their names, innermost first; none for a public host.
    /// Two hosts whose first router has one name are on one LAN.
    pub routers: Vec<(String, Nat)>,
    /// The address families of a public host; those of another are what all its routers serve.
    pub family: Family,
}

/// How two peers are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// On one LAN, no router crossed.
    Lan,
    /// Peer to peer.
    Direct,
    /// Through a TURN relay.
    Relayed,
    /// Not at all.
    None,
}

/// RFC 8445 candidate types, from the most direct to the most indirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CandidateType {
    /// An address of the host itself.
    Host,
    /// Seen by a STUN server.
    ServerReflexive,
    /// Seen only by the other peer.
    PeerReflexive,
    /// On a TURN server.
    Relayed,
}

/// What the oracle expects of two hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// `Lan`, `Direct` or `None`; the oracle knows no relays.
    pub path: Path,
    /// What the most indirect of the four selected candidates may be; empty where there is no path.
    pub via: &'static [CandidateType],
    /// Why.
    pub reason: Reason,
    /// Whether it is a matter of who speaks first (a quirk of `linux-masquerade`) or of chance (a pool of addresses,
    /// arbitrarily used): `path` and `via` are then what happens where nobody speaks too early and no two draws are
    /// alike, and nothing is to be asked of the pair.
    pub race: bool,
}

/// Can two hosts, wherever they stand, be joined with STUN alone and full ICE? Symmetric in its arguments but for the
/// order of the names in the reason.
pub fn predict(first: &Vantage, second: &Vantage) -> Prediction {
    if let (Some((router, _)), Some((other, _))) = (first.routers.first(), second.routers.first())
        && router == other
    {
        let reason = Reason::OneLan { router: router.clone() };
        return Prediction { path: Path::Lan, via: &[CandidateType::Host], reason, race: false };
    }
    let (ipv4, ipv6) = (family::ipv4(first, second), family::ipv6(first, second));
    match (ipv4, ipv6) {
        (Some(ipv4), Some(ipv6)) => family::either(ipv4, ipv6),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => {
            let reason = Reason::NoCommonFamily { first: family::of(first), second: family::of(second) };
            Prediction::none(reason)
        }
    }
}

impl Vantage {
    /// A public host that has both address families.
    pub fn public() -> Self {
        Self { routers: Vec::new(), family: Family::Dual }
    }

    /// The same place once somebody has logged in at this router: its portal is open. Nothing changes at another.
    #[must_use]
    pub fn logged_in(mut self, router: &str) -> Self {
        for (name, nat) in &mut self.routers {
            if name == router && nat.egress == Egress::Portal {
                nat.egress = Egress::Everything;
            }
        }
        self
    }
}

impl Prediction {
    fn none(reason: Reason) -> Self {
        Prediction { path: Path::None, via: &[], reason, race: false }
    }

    fn direct(via: &'static [CandidateType], reason: Reason) -> Self {
        Prediction { path: Path::Direct, via, reason, race: false }
    }
}

impl CandidateType {
    /// The word of RFC 8839: `host`, `srflx`, `prflx`, `relay`.
    pub const fn name(self) -> &'static str {
        match self {
            CandidateType::Host => "host",
            CandidateType::ServerReflexive => "srflx",
            CandidateType::PeerReflexive => "prflx",
            CandidateType::Relayed => "relay",
        }
    }
}

impl Path {
    /// The word of a scenario file: `lan`, `direct`, `relayed`, `none`.
    pub const fn name(self) -> &'static str {
        match self {
            Path::Lan => "lan",
            Path::Direct => "direct",
            Path::Relayed => "relayed",
            Path::None => "none",
        }
    }
}
