//! The oracle: can two hosts find a direct UDP path with STUN alone, through which candidates, and why.
//! Strict reading of RFC 4787: every outbound packet, answers included, takes the port of its own mapping key.

use super::{Egress, Family, Filtering, Mapping, Nat, Translation};

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
        match (nat.egress, nat.translation) {
            (Egress::NoUdp | Egress::HttpsOnly | Egress::Portal, _) => Access::UdpBlocked,
            (Egress::Everything, Translation::None) => Access::Firewalled(nat.filtering),
            (Egress::Everything, _) => Access::Translated(nat.mapping, nat.filtering),
        }
    }
}

/// Where a host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vantage {
    /// The routers between the host and the internet with their names, innermost first; none for a public host.
    /// Two hosts whose first router has one name are on one LAN.
    pub routers: Vec<(String, Nat)>,
    /// The address families of a public host; those of another are its innermost router's.
    pub family: Family,
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

/// What the oracle expects of two hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// `Lan`, `Direct` or `None`; the oracle knows no relays.
    pub path: Path,
    /// What the most indirect of the four selected candidates may be; empty where there is no path.
    pub via: &'static [CandidateType],
    /// Why.
    pub reason: Reason,
    /// Whether it depends on who speaks first (a quirk of `linux-masquerade`): `path` and `via` are then what happens
    /// where nobody speaks too early, and nothing else is to be expected of the pair.
    pub race: bool,
}

/// Why the oracle says so; [`Reason::words`] tells it with the peers' names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Both are public.
    BothPublic,
    /// Both keep one port for all destinations: each knows where to send, each opens its own filter.
    BothKeepTheirPort,
    /// `mover` answers from a port nobody was told, `other` admits it.
    NewPortAdmitted {
        /// Whether the side with the new port is the first.
        mover_is_first: bool,
    },
    /// `mover` sends from a port nobody was told, `other` admits only ports it has sent to.
    NewPortRefused {
        /// Whether the side with the new port is the first.
        mover_is_first: bool,
    },
    /// Both move, yet one filters nothing, the other not by port, and one of them keeps its port for an address.
    BothMoveButOneSettles,
    /// Both move: no check and its answer ever meet.
    BothMove,
    /// No UDP on at least one side.
    UdpBlocked {
        /// Whether the (first) blocked side is the first.
        first: bool,
    },
}

impl Reason {
    /// One sentence with the names of the two peers.
    pub fn words(&self, first: &str, second: &str) -> String {
        let pick = |is_first| if is_first { (first, second) } else { (second, first) };
        match *self {
            Reason::BothPublic => format!("{first} and {second} both have public addresses"),
            Reason::BothKeepTheirPort => {
                format!(
                    "{first} and {second} each keep the port that STUN saw, and each opens its own filter by sending"
                )
            }
            Reason::NewPortAdmitted { mover_is_first } => {
                let (mover, other) = pick(mover_is_first);
                format!(
                    "{mover} sends to {other} from a port that STUN never saw; {other} does not filter by port, so it \
                     learns that port from the check itself (peer-reflexive)"
                )
            }
            Reason::NewPortRefused { mover_is_first } => {
                let (mover, other) = pick(mover_is_first);
                format!(
                    "{mover} sends to {other} from a port that STUN never saw, and {other} admits only ports it has \
                     already sent to"
                )
            }
            Reason::BothMoveButOneSettles => format!(
                "{first} and {second} both send from ports that STUN never saw, but one of them filters nothing, the \
                 other does not filter by port, and one keeps its port for an address: the ports are learned from the \
                 checks (peer-reflexive)"
            ),
            Reason::BothMove => format!(
                "{first} and {second} both send from ports that STUN never saw: no check and its answer ever meet on \
                 one pair of ports"
            ),
            Reason::UdpBlocked { first: is_first } => format!("no UDP passes at {}", pick(is_first).0),
        }
    }
}

/// Can these two be joined by UDP with STUN alone and full ICE? Symmetric in its arguments but for the reason.
pub fn direct_path(first: Access, second: Access) -> Prediction {
    use CandidateType::{Host, PeerReflexive, ServerReflexive};
    let none = |reason| Prediction { path: Path::None, via: &[], reason, race: false };
    let prflx = |reason| Prediction { path: Path::Direct, via: &[PeerReflexive], reason, race: false };

    let (Some(a), Some(b)) = (behaviour(first), behaviour(second)) else {
        return none(Reason::UdpBlocked { first: first == Access::UdpBlocked });
    };
    match (a.0 == Mapping::EndpointIndependent, b.0 == Mapping::EndpointIndependent) {
        (true, true) if is_translated(first) || is_translated(second) => Prediction {
            path: Path::Direct,
            via: &[ServerReflexive, PeerReflexive],
            reason: Reason::BothKeepTheirPort,
            race: false,
        },
        (true, true) => Prediction {
            path: Path::Direct,
            via: &[Host, ServerReflexive, PeerReflexive],
            reason: Reason::BothPublic,
            race: false,
        },
        (true, false) | (false, true) => {
            let mover_is_first = a.0 != Mapping::EndpointIndependent;
            let keeper_filters = if mover_is_first { b.1 } else { a.1 };
            if keeper_filters == Filtering::AddressAndPortDependent {
                none(Reason::NewPortRefused { mover_is_first })
            } else {
                prflx(Reason::NewPortAdmitted { mover_is_first })
            }
        }
        (false, false) if one_settles(a, b) || one_settles(b, a) => prflx(Reason::BothMoveButOneSettles),
        (false, false) => none(Reason::BothMove),
    }
}

/// Can two hosts, wherever they stand, be joined with STUN alone and full ICE?
pub fn predict(first: &Vantage, second: &Vantage) -> Prediction {
    // TODO(oracle): layers, LANs, hairpin, families.
    let access =
        |vantage: &Vantage| vantage.routers.first().map_or(Access::Public, |(_, nat)| Access::behind(nat));
    direct_path(access(first), access(second))
}

fn behaviour(access: Access) -> Option<(Mapping, Filtering)> {
    match access {
        Access::Public => Some((Mapping::EndpointIndependent, Filtering::EndpointIndependent)),
        Access::Firewalled(filtering) => Some((Mapping::EndpointIndependent, filtering)),
        Access::Translated(mapping, filtering) => Some((mapping, filtering)),
        Access::UdpBlocked => None,
    }
}

fn is_translated(access: Access) -> bool {
    matches!(access, Access::Translated(..))
}

/// Neither keeps its port: `open` must admit anybody, `other` anybody of an address, and one must map by address.
fn one_settles(open: (Mapping, Filtering), other: (Mapping, Filtering)) -> bool {
    open.1 == Filtering::EndpointIndependent
        && other.1 != Filtering::AddressAndPortDependent
        && (open.0 == Mapping::AddressDependent || other.0 == Mapping::AddressDependent)
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
