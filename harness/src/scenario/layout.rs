//! Who stands behind which router in one cell of the matrix, and what the oracle is asked about them.

use std::collections::HashMap;

use netns::nat::{Egress, Family, Nat, Vantage};

use super::{Attached, Axis, NatChoice, Network, Peer, Step, StepVerb};

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
    pub start: std::time::Duration,
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
        layout.push_router(&network.name, &network.name, choice, network.uplink.clone());
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
        let has_own = router.is_none() && layout.push_router(&own, &peer.name, &nat, None);
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
    /// Adds a router where the choice has one, and tells whether it has.
    fn push_router(&mut self, name: &str, shown: &str, choice: &NatChoice, uplink: Option<String>) -> bool {
        let Some(nat) = choice.nat else { return false };
        let (name, shown, label) = (name.to_owned(), shown.to_owned(), choice.label.clone());
        self.routers.push(CaseRouter { name, shown, label, nat, uplink });
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

/// Where a peer stands, once everybody has logged in who is going to.
pub(super) fn vantage(routers: &[CaseRouter], steps: &[Step], peer: &CasePeer) -> Vantage {
    let above = routers_of(routers, peer).into_iter().map(|router| (router.name.clone(), router.nat));
    let vantage = Vantage { routers: above.collect(), family: peer.nat.family };
    steps.iter().fold(vantage, |vantage, step| match &step.verb {
        StepVerb::LogIn(router) => vantage.logged_in(router),
        StepVerb::Forget(_) => vantage,
    })
}
