//! Who stands behind which router in one cell of the matrix, and what the oracle is asked about them.

use std::collections::HashMap;
use std::time::Duration;

use netns::nat::{Egress, Family, Nat, Vantage};
use netns::topology::Ipv4Range;

use super::{After, Attached, Axis, NatChoice, Network, Peer, Step, StepVerb};

/// A router of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRouter {
    /// Its node in the lab: the network's name, or `PEER.router`.
    pub name: String,
    /// What the file calls it: the network, or the peer whose own it is.
    pub shown: String,
    /// What its NAT is called: [`NatChoice::label`].
    pub label: String,
    /// How it is declared to behave.
    pub nat: Nat,
    /// The router that it is behind; `None` where that is the internet.
    pub uplink: Option<String>,
    /// The IPv4 addresses of its inside; the lab's choice where this is `None`.
    pub inside: Option<Ipv4Range>,
}

/// A peer of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CasePeer {
    /// Its name.
    pub name: String,
    /// The router that it is behind, its innermost; `None` where it is public.
    pub router: Option<String>,
    /// That router's NAT; one without a router where it is public.
    pub nat: NatChoice,
    /// How long after the start of the case it starts.
    pub start: Duration,
}

/// All routers, outermost first, and all peers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Layout {
    pub(super) routers: Vec<CaseRouter>,
    pub(super) peers: Vec<CasePeer>,
}

/// The node of a peer's own router; no network is called so, because names have no dots.
pub(super) fn own_router(peer: &str) -> String {
    format!("{peer}.router")
}

/// Places everybody. `cell` has a value for every axis.
pub(super) fn lay_out(networks: &[Network], peers: &[Peer], axes: &[Axis], cell: &[NatChoice]) -> Layout {
    let varied: HashMap<&str, &NatChoice> =
        axes.iter().zip(cell).map(|(axis, choice)| (axis.owner.as_str(), choice)).collect();
    let mut layout = Layout::default();
    for network in outermost_first(networks) {
        let choice = varied.get(network.name.as_str()).copied().unwrap_or(&network.nat);
        if layout.push_router(&network.name, &network.name, choice)
            && let Some(router) = layout.routers.last_mut()
        {
            (router.uplink, router.inside) = (network.uplink.clone(), network.inside);
        }
    }
    for peer in peers {
        let (router, nat) = match (&peer.attached, varied.get(peer.name.as_str())) {
            (Attached::Lan(network), _) => {
                let choice = varied.get(network.as_str()).copied();
                let declared =
                    || networks.iter().find(|known| known.name == *network).map(|known| &known.nat);
                let choice = choice.or_else(declared).cloned();
                (Some(network.clone()), choice.unwrap_or_else(|| NatChoice::public(Family::Ipv4)))
            }
            (_, Some(choice)) => (None, (*choice).clone()),
            (Attached::Own(choice), None) => (None, choice.clone()),
            (Attached::Public(family), None) => (None, NatChoice::public(*family)),
        };
        let own = own_router(&peer.name);
        let has_own = router.is_none() && layout.push_router(&own, &peer.name, &nat);
        let router = router.or(has_own.then_some(own));
        layout.peers.push(CasePeer { name: peer.name.clone(), router, nat, start: peer.start });
    }
    layout
}

/// Networks without an uplink first, then those behind them, and so on; each level in the order of the file.
fn outermost_first(networks: &[Network]) -> impl Iterator<Item = &Network> {
    let depth = |network: &Network| {
        let up = |network: &&Network| {
            let uplink = network.uplink.as_ref()?;
            networks.iter().find(|known| known.name == *uplink)
        };
        // No chain of networks that is not a circle is longer.
        std::iter::successors(Some(network), up).take(networks.len()).count()
    };
    let mut sorted: Vec<&Network> = networks.iter().collect();
    sorted.sort_by_key(|network| depth(network));
    sorted.into_iter()
}

impl Layout {
    /// Adds a router on the internet where the choice has one, and tells whether it has.
    fn push_router(&mut self, name: &str, shown: &str, choice: &NatChoice) -> bool {
        let Some(nat) = choice.nat else { return false };
        let (name, shown, label) = (name.to_owned(), shown.to_owned(), choice.label.clone());
        self.routers.push(CaseRouter { name, shown, label, nat, uplink: None, inside: None });
        true
    }

    /// The steps that happen here: nobody logs in at a router that is no captive portal.
    pub(super) fn steps(&self, all: &[Step]) -> Vec<Step> {
        let is_portal = |name: &str| {
            let router = self.routers.iter().find(|router| router.name == name);
            router.is_some_and(|router| router.nat.egress == Egress::Portal)
        };
        let happens = |step: &&Step| match &step.verb {
            StepVerb::LogIn(router) => is_portal(router),
            StepVerb::Forget(_) => true,
        };
        all.iter().filter(happens).cloned().collect()
    }

    pub(super) fn peer(&self, name: &str) -> Option<&CasePeer> {
        self.peers.iter().find(|peer| peer.name == name)
    }
}

/// The routers between a peer and the internet, innermost first.
pub(super) fn routers_of<'r>(routers: &'r [CaseRouter], peer: &CasePeer) -> Vec<&'r CaseRouter> {
    let find = |name: &String| routers.iter().find(|router| router.name == *name);
    let first = peer.router.as_ref().and_then(find);
    std::iter::successors(first, |router| router.uplink.as_ref().and_then(find)).take(routers.len()).collect()
}

/// When a peer can begin: when it starts, or when the last portal that it is behind has opened.
pub(super) fn ready(routers: &[CaseRouter], steps: &[Step], peer: &CasePeer) -> Duration {
    let above = routers_of(routers, peer);
    let mut now = Duration::ZERO;
    let mut opened: Vec<&str> = Vec::new();
    let mut ready = peer.start;
    for step in steps {
        let After::Time(time) = step.after else { break };
        now += time;
        if let StepVerb::LogIn(router) = &step.verb
            && !opened.contains(&router.as_str())
            && above.iter().any(|known| known.name == *router)
        {
            opened.push(router);
            ready = ready.max(now);
        }
    }
    ready
}

/// Where a peer stands, once everybody has logged in who is going to.
pub(super) fn vantage(routers: &[CaseRouter], steps: &[Step], peer: &CasePeer) -> Vantage {
    let above = routers_of(routers, peer).into_iter().map(|router| (router.name.clone(), router.nat));
    let vantage = Vantage { routers: above.collect(), family: peer.nat.family };
    steps.iter().fold(vantage, |vantage, step| match &step.verb {
        StepVerb::LogIn(router) => vantage.logged_in(router),
        StepVerb::Forget(_) => vantage,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::check::check;
    use super::super::file::ScenarioFile;
    use super::super::{Case, Scenario, cases};
    use super::*;

    const TOWN: &str = "
name: town
networks:
  home: { nat: port-restricted, uplink: street, inside: 10.9.0.0/24 }
  street: { uplink: carrier, nat: full-cone }
  carrier: {}
  hotel: { nat: captive-portal }
matrix:
  carrier.nat: [cgnat, { preset: cgnat, hairpin: off }]
  dave.nat: [open, symmetric, captive-portal]
peers:
  alice: { lan: home, start: 3s }
  bob: { lan: carrier }
  carol: { lan: hotel }
transfer:
  - { from: alice, to: bob, size: 1 KiB }
  - { from: carol, to: dave, size: 1 KiB }
steps:
  - { after: 2s, log-in: hotel }
  - { after: 4s, log-in: dave }
  - { after: connected, forget: home }
";

    #[test]
    fn routers_stand_outermost_first_whatever_the_order_of_the_file() {
        let case = case("town[carrier.nat=cgnat,dave.nat=symmetric]");
        let shown: Vec<(&str, &str, &str, Option<&str>)> = case
            .routers
            .iter()
            .map(|router| {
                (router.name.as_str(), router.shown.as_str(), router.label.as_str(), router.uplink.as_deref())
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("carrier", "carrier", "cgnat", None),
                ("hotel", "hotel", "captive-portal", None),
                ("street", "street", "full-cone", Some("carrier")),
                ("home", "home", "port-restricted", Some("street")),
                ("dave.router", "dave", "symmetric", None),
            ]
        );
        assert_eq!(case.routers[3].inside.map(|range| range.to_string()).as_deref(), Some("10.9.0.0/24"));
    }

    #[test]
    fn a_peer_stands_behind_the_router_of_its_network_or_its_own_or_none() {
        let open = case("town[carrier.nat=cgnat-hairpin-off,dave.nat=open]");
        let behind: Vec<(&str, Option<&str>, &str)> = open
            .peers
            .iter()
            .map(|peer| (peer.name.as_str(), peer.router.as_deref(), peer.nat.label.as_str()))
            .collect();
        assert_eq!(
            behind,
            [
                ("alice", Some("home"), "port-restricted"),
                ("bob", Some("carrier"), "cgnat-hairpin-off"),
                ("carol", Some("hotel"), "captive-portal"),
                ("dave", None, "open"),
            ]
        );
    }

    #[test]
    fn a_vantage_goes_from_the_inside_out_and_knows_who_has_logged_in() {
        let case = case("town[carrier.nat=cgnat,dave.nat=open]");
        let names = |index: usize| -> Vec<String> {
            case.vantage(&case.peers[index]).routers.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(0), ["home", "street", "carrier"]);
        assert_eq!(case.behind(&case.peers[0]), "port-restricted behind full-cone behind cgnat");
        assert_eq!(case.behind(&case.peers[3]), "open");
        assert_eq!(names(3), [""; 0]);
        let hotel = &case.vantage(&case.peers[2]).routers[0].1;
        assert_eq!(hotel.egress, Egress::Everything);
        assert_eq!(case.routers[1].nat.egress, Egress::Portal, "it is built closed all the same");
    }

    #[test]
    fn nobody_logs_in_where_there_is_no_portal() {
        let logins = |id: &str| -> Vec<String> {
            let logins = case(id).steps.into_iter().filter(|step| matches!(step.verb, StepVerb::LogIn(_)));
            logins.map(|step| step.verb.router().to_owned()).collect()
        };
        assert_eq!(logins("town[carrier.nat=cgnat,dave.nat=open]"), ["hotel"]);
        assert_eq!(logins("town[carrier.nat=cgnat,dave.nat=captive-portal]"), ["hotel", "dave.router"]);
    }

    #[test]
    fn the_default_times_count_from_the_login_or_the_start_whichever_is_later() {
        let seconds = |id: &str| -> Vec<u64> {
            case(id).sessions.iter().map(|session| session.expect.discovered_within.as_secs()).collect()
        };
        assert_eq!(seconds("town[carrier.nat=cgnat,dave.nat=open]"), [5 + 3, 5 + 2]);
        assert_eq!(seconds("town[carrier.nat=cgnat,dave.nat=captive-portal]"), [5 + 3, 5 + 6]);
    }

    fn case(id: &str) -> Case {
        let file = ScenarioFile::parse(Path::new("town.yaml"), TOWN.into()).unwrap();
        let mut scenario: Scenario = check(&file, false).unwrap();
        scenario.selected = vec![id.parse().unwrap()];
        cases(&std::sync::Arc::new(scenario), 1, None).remove(0)
    }
}
