//! Who is there: the peers, the networks, and the axes of the matrix that vary their NATs.

use super::walk::Walk;
use crate::scenario::error::{Span, echo};
use crate::scenario::file::Node;
use crate::scenario::layout::{Layout, lay_out, own_router};
use crate::scenario::matrix::cells;
use crate::scenario::nearest::suggest;
use crate::scenario::{Attached, Axis, NatChoice, Network, Peer};

/// The lab's own nodes: a peer or a network of such a name could not be told apart from them.
const RESERVED: [&str; 2] = ["signaling", "stun"];

/// Everybody.
pub(super) struct Roster {
    pub(super) networks: Vec<Network>,
    pub(super) peers: Vec<Peer>,
    pub(super) axes: Vec<Axis>,
    /// Where peers and networks are declared.
    pub(super) places: Vec<Declared>,
    /// False where some could not be read: then nobody is called unknown.
    pub(super) is_complete: bool,
}

/// Where a peer or a network is declared.
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) at: Span,
}

/// A router that a file names by its network or its peer.
pub(super) struct Named {
    /// What the file calls it.
    pub(super) shown: String,
    /// Its node.
    pub(super) node: String,
    /// What it may be; one of these in each cell of the matrix.
    pub(super) choices: Vec<NatChoice>,
}

impl Roster {
    /// The peer that a node names.
    pub(super) fn peer(&self, walk: &mut Walk<'_>, node: &Node) -> Option<String> {
        let name = walk.text(node, "a peer", "the name of a peer")?;
        if self.get(name).is_none() {
            let names: Vec<&str> = self.peers.iter().map(|peer| peer.name.as_str()).collect();
            if self.network(name).is_some() {
                let message = format!("`{name}` is a network, not a peer");
                walk.problem(node.written, message, suggest(name, "the peers are", &names));
            } else if self.is_complete {
                let message = format!("unknown peer `{}`", echo(name));
                walk.problem(node.written, message, suggest(name, "the peers are", &names));
            }
            return None;
        }
        Some(name.to_owned())
    }

    /// The router that a network has, or that a peer has of its own.
    pub(super) fn router(&self, walk: &mut Walk<'_>, name: &str, at: Span) -> Option<Named> {
        let choices = self.choices(name);
        if self.network(name).is_some() {
            return Some(Named { shown: name.to_owned(), node: name.to_owned(), choices });
        }
        match self.get(name).map(|peer| &peer.attached) {
            Some(Attached::Lan(lan)) => {
                let message = format!("`{name}` has no router of its own: it is on `{lan}`");
                walk.problem(at, message, format!("name the network: `{lan}`"));
                None
            }
            Some(_) => Some(Named { shown: name.to_owned(), node: own_router(name), choices }),
            None if self.is_complete => {
                let networks = self.networks.iter().map(|network| network.name.as_str());
                let names: Vec<&str> =
                    networks.chain(self.peers.iter().map(|peer| peer.name.as_str())).collect();
                let help = suggest(name, "those that can have a router are", &names);
                walk.problem(at, format!("unknown peer or network `{}`", echo(name)), help);
                None
            }
            None => None,
        }
    }

    /// Every NAT that a network, or a peer of its own, may have.
    pub(super) fn choices(&self, name: &str) -> Vec<NatChoice> {
        if let Some(axis) = self.axis(name) {
            return axis.values.clone();
        }
        if let Some(network) = self.network(name) {
            return vec![network.nat.clone()];
        }
        match self.get(name).map(|peer| &peer.attached) {
            Some(Attached::Own(choice)) => vec![choice.clone()],
            Some(Attached::Public(family)) => vec![NatChoice::public(*family)],
            Some(Attached::Lan(_)) | None => Vec::new(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.name == name)
    }

    pub(super) fn network(&self, name: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.name == name)
    }

    pub(super) fn axis(&self, owner: &str) -> Option<&Axis> {
        self.axes.iter().find(|axis| axis.owner == owner)
    }

    /// Where a peer or a network is declared.
    pub(super) fn place(&self, name: &str) -> Span {
        self.places.iter().find(|place| place.name == name).map_or(Span::default(), |place| place.at)
    }

    /// Who stands where, cell by cell.
    pub(super) fn layouts(&self) -> impl Iterator<Item = Layout> {
        cells(&self.axes).into_iter().map(|cell| lay_out(&self.networks, &self.peers, &self.axes, &cell))
    }
}

/// Whether a node of the lab may be called so; `what` is a peer or a network.
pub(super) fn may_be_node(walk: &mut Walk<'_>, name: &str, at: Span, what: &str) -> bool {
    if RESERVED.contains(&name) {
        let message = format!("{what} cannot be called `{name}`");
        walk.problem(at, message, "the lab has a node of that name: choose another");
        return false;
    }
    walk.is_name(name, at, &format!("the name of {what}"))
}
