//! What the world sees of a host: the behaviour of all routers before it, taken together.

use crate::nat::{Egress, Filtering, Mapping, Nat, Pooling, Translation};

/// What the world sees of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// A public address that anybody reaches.
    Public,
    /// A public address behind a stateful firewall: not translated, but filtered.
    Firewalled(Filtering),
    /// Behind a NAT.
    Translated(Mapping, Filtering),
    /// No UDP passes.
    UdpBlocked,
}

impl Access {
    /// That of a host behind one router.
    pub fn behind(nat: &Nat) -> Self {
        Access::through([nat])
    }

    /// That of a host behind these routers. The worst mapping of those that translate counts (a port that one of them
    /// changes is changed) and the strictest filter (what one of them drops is dropped).
    pub(super) fn through<'a>(routers: impl IntoIterator<Item = &'a Nat>) -> Self {
        routers.into_iter().fold(Access::Public, |inner, nat| match (inner, nat.egress) {
            (Access::UdpBlocked, _) | (_, Egress::NoUdp | Egress::HttpsOnly | Egress::Portal) => {
                Access::UdpBlocked
            }
            (inner, Egress::Everything) => {
                let filtering = nat.filtering.max(inner.filtering());
                let translates = nat.translation != Translation::None;
                match inner.mapping().into_iter().chain(translates.then_some(nat.mapping)).max() {
                    Some(mapping) => Access::Translated(mapping, filtering),
                    None => Access::Firewalled(filtering),
                }
            }
        })
    }

    /// Which inbound packets reach the host; those that nobody filters are everybody's.
    pub(super) fn filtering(self) -> Filtering {
        match self {
            Access::Public | Access::UdpBlocked => Filtering::EndpointIndependent,
            Access::Firewalled(filtering) | Access::Translated(_, filtering) => filtering,
        }
    }

    /// How its ports are changed; `None` where they are not.
    pub(super) fn mapping(self) -> Option<Mapping> {
        match self {
            Access::Translated(mapping, _) => Some(mapping),
            Access::Public | Access::Firewalled(_) | Access::UdpBlocked => None,
        }
    }

    /// Whether it sends to a peer from another port than STUN saw.
    pub(super) fn moves(self) -> bool {
        self.mapping().is_some_and(|mapping| mapping != Mapping::EndpointIndependent)
    }
}

/// A host behind its routers, and which of them is why it is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) access: Access,
    /// Which inbound packets reach a port that moves: the strictest filter from the first router on that moves it. A
    /// filter further inside belongs to a port that all destinations share, and opens for all of them.
    pub(super) moved: Filtering,
    /// The router that no UDP passes.
    pub(super) blocker: Option<(String, Egress)>,
    /// Where there are several routers, the one that changes ports.
    pub(super) mapper: Option<String>,
    /// Where there are several routers, the one that filters most.
    pub(super) filterer: Option<String>,
    /// A plain Linux router that a packet can reach which nobody has asked for: the router accepts it itself, and the
    /// packet's ports are taken. What the host then sends there goes out by another port; with what it is then.
    pub(super) hasty: Option<(String, Box<Side>)>,
    /// The router whose pool shows the host to different destinations at different addresses.
    pub(super) roaming: Option<String>,
}

impl Side {
    /// That of a host behind these routers, innermost first.
    pub(super) fn of(routers: &[(String, Nat)]) -> Self {
        let through = |routers: &[(String, Nat)]| Access::through(routers.iter().map(|(_, nat)| nat));
        let access = through(routers);
        let kept = (0..routers.len()).take_while(|&index| !through(&routers[..=index]).moves()).count();
        let named = |is: &dyn Fn(&Nat) -> bool| {
            let found = routers.iter().rev().find(|(_, nat)| is(nat));
            found.filter(|_| routers.len() > 1).map(|(name, _)| name.clone())
        };
        let blocker = routers.iter().find(|(_, nat)| nat.egress != Egress::Everything);
        Side {
            access,
            moved: through(&routers[kept..]).filtering(),
            blocker: blocker.map(|(name, nat)| (name.clone(), nat.egress)),
            mapper: named(&|nat| {
                nat.translation != Translation::None && Some(nat.mapping) == access.mapping()
            }),
            filterer: named(&|nat| nat.filtering == access.filtering()),
            hasty: hasty(routers),
            roaming: roaming(routers),
        }
    }
}

impl From<Access> for Side {
    fn from(access: Access) -> Self {
        let moved = access.filtering();
        Side { access, moved, blocker: None, mapper: None, filterer: None, hasty: None, roaming: None }
    }
}

/// From the outside in, as far as an unsolicited packet comes.
fn hasty(routers: &[(String, Nat)]) -> Option<(String, Box<Side>)> {
    let shields = |nat: &Nat| nat.filtering != Filtering::EndpointIndependent;
    let reached = routers.iter().rposition(|(_, nat)| shields(nat))?;
    let (name, nat) = &routers[reached];
    if nat.translation != (Translation::Masquerade { input_drop: false }) {
        return None;
    }
    let mut instead = routers.to_vec();
    instead[reached].1 =
        Nat { translation: Translation::Modelled, mapping: Mapping::AddressAndPortDependent, ..*nat };
    Some((name.clone(), Box::new(Side::of(&instead))))
}

/// From the inside out: a mapping for each destination, each with an address of its own, until a router has but one.
fn roaming(routers: &[(String, Nat)]) -> Option<String> {
    let mut roaming: Option<String> = None;
    for (index, (name, nat)) in
        routers.iter().enumerate().filter(|(_, (_, nat))| nat.translation != Translation::None)
    {
        let moves = Access::through(routers[..=index].iter().map(|(_, nat)| nat)).moves();
        roaming = match (roaming, nat.pooling) {
            _ if nat.addresses < 2 || !moves => None,
            (_, Pooling::Arbitrary) => Some(name.clone()),
            (inner, Pooling::Paired) => inner,
        };
    }
    roaming
}
