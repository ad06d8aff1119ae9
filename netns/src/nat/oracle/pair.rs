//! Two hosts on one network, which may be the internet: what they know of each other is what STUN saw there.

use super::access::{Access, Side};
use super::{CandidateType, Path, Prediction, Reason};
use crate::nat::{Filtering, Mapping};

/// Can these two be joined by UDP with STUN alone and full ICE? Symmetric in its arguments but for the reason.
pub fn direct_path(first: Access, second: Access) -> Prediction {
    meet(&first.into(), &second.into())
}

/// The same for two hosts whose routers are known: also whether it is a matter of order or chance.
pub(super) fn meet(first: &Side, second: &Side) -> Prediction {
    let prediction = nominal(first, second);
    if prediction.path != Path::Direct {
        return prediction;
    }
    if let Some((router, first_roams)) = left_to_chance(first, second) {
        return Prediction::drawn(router, first_roams);
    }
    match hasty(first, second) {
        None => prediction,
        Some((router, first_is_hasty)) => {
            let reason = Reason::TooEarly { router, first_is_hasty, otherwise: Box::new(prediction.reason) };
            Prediction { reason, race: true, ..prediction }
        }
    }
}

/// What comes of it where nobody speaks too early and every host keeps its address.
fn nominal(first: &Side, second: &Side) -> Prediction {
    use CandidateType::{Host, PeerReflexive, ServerReflexive};
    let (a, b) = (first.access, second.access);
    for (side, is_first) in [(first, true), (second, false)] {
        if side.access == Access::UdpBlocked {
            let by = side.blocker.clone();
            return Prediction::none(Reason::UdpBlocked { first: is_first, by });
        }
    }
    match (a.moves(), b.moves()) {
        (false, false) if a.mapping().or(b.mapping()).is_some() => {
            Prediction::direct(&[ServerReflexive, PeerReflexive], Reason::BothKeepTheirPort)
        }
        (false, false) => Prediction::direct(&[Host, ServerReflexive, PeerReflexive], Reason::BothPublic),
        (mover_is_first, _) if a.moves() != b.moves() => {
            let (mover, keeper) = if mover_is_first { (first, second) } else { (second, first) };
            let mapper = mover.mapper.clone();
            if keeper.access.filtering() == Filtering::AddressAndPortDependent {
                let filterer = keeper.filterer.clone();
                Prediction::none(Reason::NewPortRefused { mover_is_first, mapper, filterer })
            } else {
                Prediction::direct(&[PeerReflexive], Reason::NewPortAdmitted { mover_is_first, mapper })
            }
        }
        _ if one_settles(first, second) || one_settles(second, first) => {
            Prediction::direct(&[PeerReflexive], Reason::BothMoveButOneSettles)
        }
        _ => Prediction::none(Reason::BothMove),
    }
}

/// Neither keeps its port: the ports of `open` must admit anybody, those of `other` anybody of an address, and one must
/// map by address.
fn one_settles(open: &Side, other: &Side) -> bool {
    let by_port = Filtering::AddressAndPortDependent;
    open.moved == Filtering::EndpointIndependent
        && [open, other].iter().all(|side| side.access.filtering() != by_port)
        && [open, other].iter().any(|side| side.access.mapping() == Some(Mapping::AddressDependent))
}

/// Where the other side speaks first, what it hits is a plain Linux router that takes the ports for itself, and the
/// host behind it is symmetric towards the other from then on. Which side that ruins, if any.
fn hasty(first: &Side, second: &Side) -> Option<(String, bool)> {
    [(first, second, true), (second, first, false)].into_iter().find_map(|(side, other, is_first)| {
        let (router, instead) = side.hasty.as_ref()?;
        let meets = nominal(instead, other).path == Path::Direct && left_to_chance(instead, other).is_none();
        (!meets).then(|| (router.clone(), is_first))
    })
}

/// A host that moves from address to address is met by those that filter nothing and stay where they are: always if
/// they keep their port; if they move as well, then if the host keeps its port for an address.
fn left_to_chance(first: &Side, second: &Side) -> Option<(String, bool)> {
    [(first, second, true), (second, first, false)].into_iter().find_map(|(side, other, is_first)| {
        let router = side.roaming.clone()?;
        let settles = !other.access.moves()
            || other.roaming.is_none() && side.access.mapping() == Some(Mapping::AddressDependent);
        let sure = other.access.filtering() == Filtering::EndpointIndependent && settles;
        (!sure).then_some((router, is_first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPINGS: [Mapping; 3] =
        [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent];
    const FILTERINGS: [Filtering; 3] =
        [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];

    #[test]
    fn the_table_of_kinds_is_what_libwebrtc_and_289_hole_punches_showed() {
        let (ei, ad, apd) = (FILTERINGS[0], FILTERINGS[1], FILTERINGS[2]);
        let kinds = [
            Access::Public,
            Access::Firewalled(apd),
            Access::Translated(MAPPINGS[0], ei),
            Access::Translated(MAPPINGS[0], ad),
            Access::Translated(MAPPINGS[0], apd),
            Access::Translated(MAPPINGS[1], ad),
            Access::Translated(MAPPINGS[2], apd),
            Access::UdpBlocked,
        ];
        let table = "
             Y   Y   Y   Y   Y   y*  y*  .
             Y   Y   Y   Y   Y   .   .   .
             Y   Y   Y   Y   Y   y*  y*  .
             Y   Y   Y   Y   Y   y*  y*  .
             Y   Y   Y   Y   Y   .   .   .
             y*  .   y*  y*  .   .   .   .
             y*  .   y*  y*  .   .   .   .
             .   .   .   .   .   .   .   .";
        assert_table(&kinds, table);
    }

    #[test]
    fn the_nine_by_nine_grid_of_mapping_and_filtering_holds() {
        let kinds: Vec<Access> = MAPPINGS
            .into_iter()
            .flat_map(|m| FILTERINGS.into_iter().map(move |f| Access::Translated(m, f)))
            .collect();
        let table = "
             Y     Y     Y     y*    y*    y*     y*     y*     y*
             Y     Y     Y     y*    y*    y*     y*     y*     y*
             Y     Y     Y     .     .     .      .      .      .
             y*    y*    .     y*    y*    .      y*     y*     .
             y*    y*    .     y*    .     .      y*     .      .
             y*    y*    .     .     .     .      .      .      .
             y*    y*    .     y*    y*    .      .      .      .
             y*    y*    .     y*    .     .      .      .      .
             y*    y*    .     .     .     .      .      .      .";
        assert_table(&kinds, table);
    }

    #[test]
    fn two_public_hosts_may_use_their_host_candidates_and_nobody_else_may() {
        assert!(direct_path(Access::Public, Access::Public).via.contains(&CandidateType::Host));
        let cone = Access::Translated(MAPPINGS[0], FILTERINGS[0]);
        assert!(!direct_path(Access::Public, cone).via.contains(&CandidateType::Host));
    }

    #[test]
    fn the_reason_names_the_peer_that_moves() {
        let symmetric = Access::Translated(MAPPINGS[2], FILTERINGS[2]);
        let restricted = Access::Translated(MAPPINGS[0], FILTERINGS[2]);
        let words = direct_path(restricted, symmetric).reason.words("alice", "bob");
        assert!(words.starts_with("bob sends to alice from a port that STUN never saw"), "{words}");
    }

    fn assert_table(kinds: &[Access], table: &str) {
        let rows: Vec<Vec<&str>> =
            table.trim().lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), kinds.len());
        for (row, &first) in kinds.iter().enumerate() {
            for (column, &second) in kinds.iter().enumerate() {
                let prediction = direct_path(first, second);
                let shown = match (prediction.path, prediction.via) {
                    (Path::None, _) => ".",
                    (_, [CandidateType::PeerReflexive]) => "y*",
                    _ => "Y",
                };
                assert_eq!(shown, rows[row][column], "{first:?} with {second:?}");
            }
        }
    }
}
