//! Address families: IPv4 is translated, IPv6 is only filtered, and either may join two hosts that have both.

use super::access::{Access, Side};
use super::layers::{self, Shared};
use super::pair::meet;
use super::{CandidateType, Path, Prediction, Reason, Vantage};
use crate::nat::{Family, Filtering, Nat, Translation};

/// The families a host has, and can reach the internet with: what all its routers serve.
pub(super) fn of(vantage: &Vantage) -> Option<Family> {
    let Some((_, innermost)) = vantage.routers.first() else { return Some(vantage.family) };
    vantage.routers.iter().try_fold(innermost.family, |inner, (_, nat)| match (inner, nat.family) {
        (inner, Family::Dual) => Some(inner),
        (Family::Dual, outer) => Some(outer),
        (inner, outer) => (inner == outer).then_some(inner),
    })
}

/// What comes of IPv4; `None` where not both have it.
pub(super) fn ipv4(first: &Vantage, second: &Vantage) -> Option<Prediction> {
    let have = [first, second].map(of).map(|family| matches!(family, Some(Family::Ipv4 | Family::Dual)));
    (have == [true, true]).then(|| layers::predict(&first.routers, &second.routers))
}

/// What comes of IPv6; `None` where not both have it. Nobody translates it, so both know each other's addresses
/// without STUN, and what the hosts have in common does not matter.
pub(super) fn ipv6(first: &Vantage, second: &Vantage) -> Option<Prediction> {
    let have = [first, second].map(of).map(|family| matches!(family, Some(Family::Ipv6 | Family::Dual)));
    (have == [true, true]).then(|| {
        let shared = Shared::of(&first.routers, &second.routers);
        let side = |own: &[(String, Nat)]| {
            let firewalls: Vec<_> = own.iter().map(|(name, nat)| (name.clone(), firewall(nat))).collect();
            Side::of(&firewalls)
        };
        let (first, second) = (side(shared.first), side(shared.second));
        let filtered = [first.access, second.access].iter().any(|&access| access != Access::Public);
        let prediction = meet(&first, &second);
        match prediction.path {
            Path::Direct => Prediction { reason: Reason::Ipv6 { filtered }, ..prediction },
            _ => prediction,
        }
    })
}

/// What a router is to IPv6 (RFC 6092): whatever it does to IPv4, it filters by address and port, and translates nothing.
fn firewall(nat: &Nat) -> Nat {
    let filtering = match nat.translation {
        Translation::None => nat.filtering,
        Translation::Modelled | Translation::Masquerade { .. } => Filtering::AddressAndPortDependent,
    };
    Nat { translation: Translation::None, filtering, ..*nat }
}

/// Both families are tried at once: what one of them can do the two can do, by the candidates of either.
pub(super) fn either(ipv4: Prediction, ipv6: Prediction) -> Prediction {
    match (ipv4.path, ipv6.path) {
        // What keeps UDP away keeps it away in both.
        (_, Path::None) => ipv4,
        (Path::None, _) => ipv6,
        _ => Prediction { via: union(ipv4.via, ipv6.via), ..ipv6 },
    }
}

/// All that is in one of them.
pub(super) fn union(a: &[CandidateType], b: &[CandidateType]) -> &'static [CandidateType] {
    use CandidateType::{Host, PeerReflexive, ServerReflexive};
    const ALL: [&[CandidateType]; 4] =
        [&[], &[PeerReflexive], &[ServerReflexive, PeerReflexive], &[Host, ServerReflexive, PeerReflexive]];
    let holds = |set: &&[CandidateType]| a.iter().chain(b).all(|kind| set.contains(kind));
    ALL.into_iter().find(holds).unwrap_or(ALL[3])
}
