//! IPv4 through layers of routers: what two hosts have in common decides where they can meet. Inside what they share
//! nothing is translated; at the addresses that STUN saw they meet only if the outermost router that they share turns
//! packets round.

use super::access::{Access, Side};
use super::family::union;
use super::pair::meet;
use super::{CandidateType, Path, Prediction, Reason, Sharing};
use crate::nat::{Egress, Filtering, Hairpin, Nat, Translation};

type Routers = [(String, Nat)];

/// The routers of two hosts, told apart into those of one and those of both; all innermost first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) first: &'a Routers,
    pub(super) second: &'a Routers,
    both: &'a Routers,
}

impl<'a> Shared<'a> {
    pub(super) fn of(first: &'a Routers, second: &'a Routers) -> Self {
        let pairs = first.iter().rev().zip(second.iter().rev());
        let shared = pairs.take_while(|((name, _), (other, _))| name == other).count();
        let (first, both) = first.split_at(first.len() - shared);
        Shared { first, second: &second[..second.len() - shared], both }
    }

    /// The outermost of the shared routers that translates, which is the one at whose address STUN sees both, with
    /// those inside it; `None` where none translates, so what is shared is as public as the internet.
    fn turning(&self) -> Option<&'a Routers> {
        let outermost = self.both.iter().rposition(|(_, nat)| nat.translation != Translation::None)?;
        Some(&self.both[..=outermost])
    }

    fn reaches_stun(&self) -> bool {
        self.both.iter().all(|(_, nat)| nat.egress == Egress::Everything)
    }
}

pub(super) fn predict(first: &Routers, second: &Routers) -> Prediction {
    let shared = Shared::of(first, second);
    let Some((innermost, _)) = shared.both.first() else { return meet(&Side::of(first), &Side::of(second)) };
    let within = inside(&shared, innermost);
    let Some(turning) = shared.turning().filter(|_| shared.reaches_stun()) else {
        let own = meet(&Side::of(shared.first), &Side::of(shared.second));
        return if shared.reaches_stun() {
            own
        } else {
            within.unwrap_or_else(|| nothing_in_common(&shared))
        };
    };
    let round = around(&shared, turning);
    match within {
        Some(within) if round.path == Path::Direct => {
            Prediction { via: union(within.via, round.via), ..within }
        }
        Some(within) => within,
        None => round,
    }
}

/// Inside what is shared, without STUN's help: one of them must have its own address there, for that is all the other
/// can be told. `None` where that is of no use.
fn inside(shared: &Shared<'_>, router: &str) -> Option<Prediction> {
    let (first, second) = (Side::of(shared.first), Side::of(shared.second));
    let (a, b) = (first.access, second.access);
    let router = router.to_owned();
    match (a.mapping().is_some(), b.mapping().is_some()) {
        _ if [a, b].contains(&Access::UdpBlocked) => None,
        (false, false) => {
            let met = meet(&first, &second);
            Some(Prediction { reason: sharing(router, Sharing::BothInside), ..met })
        }
        (first_moves, second_moves) if first_moves != second_moves => {
            let known = if first_moves { b } else { a };
            let reason = sharing(router, Sharing::OneInside { first_is_known: !first_moves });
            // It is spoken to from an address that nobody told it.
            let hears = known.filtering() == Filtering::EndpointIndependent;
            hears.then(|| Prediction::direct(&[CandidateType::PeerReflexive], reason))
        }
        _ => None,
    }
}

/// By the addresses that STUN saw, which are the outermost shared router's own.
fn around(shared: &Shared<'_>, turning: &Routers) -> Prediction {
    let Some((router, nat)) = turning.last().cloned() else { return nothing_in_common(shared) };
    let whole = |own: &Routers| Side::of(&[own, turning].concat());
    let (first, second) = (whole(shared.first), whole(shared.second));
    let met = meet(&first, &second);
    if let Reason::UdpBlocked { .. } = met.reason {
        return met;
    }
    match (nat.translation, nat.hairpin) {
        (Translation::Masquerade { .. }, _) | (_, Hairpin::Off) => {
            Prediction::none(sharing(router, Sharing::NoHairpin))
        }
        (_, Hairpin::External) => {
            Prediction { reason: sharing(router, Sharing::Turned { then: Box::new(met.reason) }), ..met }
        }
        (_, Hairpin::Internal) => turned_with_inside_source(shared, turning),
    }
}

/// A turned packet shows where it came from inside the shared router, an address that the other side has never sent
/// to; the answer goes there straight, and so comes from another address than was asked. So neither may filter at all,
/// one must be spoken to by way of the shared router, and from then on both are on one network: they meet as two do
/// there of which one knows the other.
fn turned_with_inside_source(shared: &Shared<'_>, turning: &Routers) -> Prediction {
    let Some(((router, nat), within)) = turning.split_last() else { return nothing_in_common(shared) };
    let router = router.clone();
    if let Some((forged, _)) = within.iter().rev().find(|(_, nat)| nat.translation != Translation::None) {
        return Prediction::none(sharing(router, Sharing::OwnAddressFromOutside { forged: forged.clone() }));
    }
    let sides = |inside: &Routers| [shared.first, shared.second].map(|own| Side::of(&[own, inside].concat()));
    let ([first, second], whole) = (sides(within), sides(turning));
    let filters = |side: &Side| side.access.filtering() != Filtering::EndpointIndependent;
    if filters(&first) || filters(&second) {
        let what = Sharing::InsideSourceRefused { first_refuses: filters(&first) };
        return Prediction::none(sharing(router, what));
    }
    let [one, other] = &whole;
    let admitted = [(one, other), (other, one)].map(|(speaker, target)| admits(nat, speaker, target));
    if admitted == [false, false] {
        return Prediction::none(sharing(router, Sharing::AdmitsNone));
    }
    // The one direction that is admitted may need the speaker's address to be the one that STUN saw.
    let drawn = |speaker: &Side| nat.filtering != Filtering::EndpointIndependent && speaker.roaming.is_some();
    let sure = admitted[0] && !drawn(one) || admitted[1] && !drawn(other);
    if !sure {
        return Prediction::drawn(router, drawn(one));
    }
    let met = meet(&first, &second);
    match met.path {
        Path::Direct => {
            let reason = sharing(router, Sharing::InsideSourceAdmitted);
            Prediction::direct(&[CandidateType::PeerReflexive], reason)
        }
        _ => met,
    }
}

/// The shared router filters like anybody: what was sent by the mapping that STUN saw is what it admits.
fn admits(shared: &Nat, speaker: &Side, target: &Side) -> bool {
    match shared.filtering {
        Filtering::EndpointIndependent => true,
        Filtering::AddressDependent => !target.access.moves(),
        Filtering::AddressAndPortDependent => !target.access.moves() && !speaker.access.moves(),
    }
}

/// Where no UDP leaves what they share, and neither can be told where the other is.
fn nothing_in_common(shared: &Shared<'_>) -> Prediction {
    let blocks = |routers: &Routers| {
        let mut closed = routers.iter().filter(|(_, nat)| nat.egress != Egress::Everything);
        closed.next().map(|(name, nat)| (name.clone(), nat.egress))
    };
    let by = [shared.first, shared.second, shared.both].map(blocks);
    let first = by[0].is_some() || by[1].is_none();
    Prediction::none(Reason::UdpBlocked { first, by: by.into_iter().flatten().next() })
}

fn sharing(router: String, what: Sharing) -> Reason {
    Reason::Sharing { router, what }
}
