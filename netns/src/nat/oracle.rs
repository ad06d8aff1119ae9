//! The oracle: can two hosts find a direct UDP path with STUN alone, through which candidates, and why.
//! Strict reading of RFC 4787: every outbound packet, answers included, takes the port of its own mapping key.

mod access;
mod family;
mod layers;
mod pair;
mod reason;
#[cfg(test)]
mod simulation;

pub use access::Access;
pub use pair::direct_path;
pub use reason::{Reason, Sharing};

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

    /// A matter of chance: what this router draws for one of them.
    fn drawn(router: String, first_roams: bool) -> Self {
        Prediction { race: true, ..Self::none(Reason::AddressDrawn { router, first_roams }) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::{Allocation, Filtering, Hairpin, Mapping, Preset};

    fn behind(routers: &[(&str, Nat)]) -> Vantage {
        let routers = routers.iter().map(|&(name, nat)| (name.to_owned(), nat)).collect();
        Vantage { routers, family: Family::Ipv4 }
    }

    fn nat(preset: Preset) -> Nat {
        preset.nat().unwrap()
    }

    #[track_caller]
    fn assert_said(first: &Vantage, second: &Vantage, path: Path, via: &str, words: &str) {
        let said = predict(first, second);
        let kinds: Vec<&str> = said.via.iter().map(|kind| kind.name()).collect();
        let told = said.reason.words("alice", "bob");
        assert_eq!((said.path, kinds.join(" ").as_str(), told.as_str()), (path, via, words));
    }

    #[test]
    fn one_lan_is_a_path_of_its_own_whatever_its_router_does() {
        let home = behind(&[("home", nat(Preset::UdpBlocked)), ("carrier", nat(Preset::Cgnat))]);
        assert_said(&home, &home, Path::Lan, "host", "alice and bob are on one LAN, that of home");
    }

    #[test]
    fn where_there_are_layers_the_reason_names_the_router_that_decides() {
        let first = behind(&[("home", nat(Preset::PortRestricted)), ("carrier", nat(Preset::Symmetric))]);
        let second = behind(&[("office", nat(Preset::PortRestricted)), ("campus", nat(Preset::FullCone))]);
        let words = "alice sends to bob from a port that STUN never saw (carrier gives it), and bob admits only ports \
                     it has already sent to (office filters by port)";
        assert_said(&first, &second, Path::None, "", words);
    }

    #[test]
    fn a_router_that_both_share_must_turn_packets_round() {
        let carrier = |hairpin| ("carrier", Nat { hairpin, ..nat(Preset::Cgnat) });
        let homes =
            |kind, hairpin| ["home", "other"].map(|name| behind(&[(name, nat(kind)), carrier(hairpin)]));
        let [first, second] = homes(Preset::PortRestricted, Hairpin::Off);
        let words =
            "STUN sees alice and bob at one address, that of carrier, which turns nothing round (no hairpin)";
        assert_said(&first, &second, Path::None, "", words);
        let [first, second] = homes(Preset::PortRestricted, Hairpin::External);
        let words = "carrier turns packets between its homes round (hairpin), and alice and bob each keep the port \
                     that STUN saw, and each opens its own filter by sending";
        assert_said(&first, &second, Path::Direct, "srflx prflx", words);
        let [first, second] = homes(Preset::PortRestricted, Hairpin::Internal);
        let words = "carrier turns packets round and shows their inside source, which alice has never sent to and \
                     does not admit";
        assert_said(&first, &second, Path::None, "", words);
        let [first, second] = homes(Preset::FullCone, Hairpin::Internal);
        let words = "carrier turns packets round and shows their inside source; neither alice nor bob filters, so \
                     they learn it from the checks (peer-reflexive) and go on inside carrier";
        assert_said(&first, &second, Path::Direct, "prflx", words);
        let beside = behind(&[carrier(Hairpin::Off)]);
        let words = "bob has its own address inside carrier, where alice reaches it, and learns from the check where \
                     alice is (peer-reflexive)";
        assert_said(&homes(Preset::Symmetric, Hairpin::Off)[0], &beside, Path::Direct, "prflx", words);
    }

    #[test]
    fn a_plain_linux_router_is_a_race_only_where_the_other_filters_by_port() {
        let linux = behind(&[("home", nat(Preset::LinuxMasquerade))]);
        let races = |other: Preset| {
            let other = other.nat().map_or_else(|| behind(&[]), |nat| behind(&[("other", nat)]));
            predict(&linux, &other).race
        };
        let racing: Vec<Preset> = Preset::ALL.into_iter().filter(|&other| races(other)).collect();
        let by_port = [
            Preset::Firewall,
            Preset::PortRestricted,
            Preset::LinuxMasquerade,
            Preset::LinuxMasqueradeInputDrop,
        ];
        assert_eq!(racing, by_port);
        let words = "alice and bob each keep the port that STUN saw, and each opens its own filter by sending; but if \
                     bob speaks first, home takes the packet for its own (a quirk of Linux), and alice then sends from \
                     a port that bob does not admit: a race";
        let other = behind(&[("other", nat(Preset::PortRestricted))]);
        assert_said(&linux, &other, Path::Direct, "srflx prflx", words);
    }

    #[test]
    fn a_portal_is_closed_until_somebody_has_logged_in() {
        let hotel = behind(&[("hotel", nat(Preset::CaptivePortal))]);
        let words = "nothing of alice passes hotel until somebody has logged in at its portal";
        assert_said(&hotel, &Vantage::public(), Path::None, "", words);
        assert_eq!(hotel.clone().logged_in("home"), hotel);
        let restricted = behind(&[("hotel", nat(Preset::PortRestricted))]);
        assert_eq!(hotel.logged_in("hotel"), restricted);
    }

    #[test]
    fn two_hosts_need_a_family_in_common_and_either_will_do() {
        let with = |family, nat| behind(&[("home", Nat { family, ..nat })]);
        let wall = with(Family::Ipv6, nat(Preset::Firewall));
        let words = "alice has only IPv6, bob has only IPv4";
        assert_said(&wall, &behind(&[("other", nat(Preset::FullCone))]), Path::None, "", words);
        let symmetric = Nat::new(
            Mapping::AddressAndPortDependent,
            Filtering::AddressAndPortDependent,
            Allocation::Random,
        );
        let dual = behind(&[("other", Nat { family: Family::Dual, ..symmetric })]);
        let words = "alice and bob both have IPv6, which nobody translates, and each opens its own firewall by sending";
        assert_said(&with(Family::Dual, symmetric), &dual, Path::Direct, "host srflx prflx", words);
        assert_said(&wall, &dual, Path::Direct, "host srflx prflx", words);
        let old_carrier =
            behind(&[("home", Nat { family: Family::Dual, ..symmetric }), ("carrier", nat(Preset::Cgnat))]);
        assert_eq!(predict(&old_carrier, &dual).path, Path::None, "no IPv6 comes through the carrier");
    }
}
