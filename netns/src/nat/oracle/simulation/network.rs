//! Routers with tables, hosts, and packets on their way. A packet goes up at once, as far as it has to, and waits there
//! for the others before it goes down: so packets can cross.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Egress, Filtering, Hairpin, Mapping, Nat, Pooling, Translation};

/// An address and a port. Addresses are numbers: no two nodes have the same.
pub(super) type Endpoint = (u32, u32);

#[derive(Debug, Clone, Copy)]
pub(super) enum Text {
    Check { asked: Endpoint },
    Answer { asked: Endpoint, mapped: Endpoint },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub(super) from: Endpoint,
    pub(super) to: Endpoint,
    pub(super) text: Text,
}

/// The node that everything is plugged into.
const INTERNET: usize = 0;
const SERVER: Endpoint = (1, 3478);

#[derive(Debug, Default)]
pub(super) struct Network {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    waiting: VecDeque<(usize, Packet)>,
    /// Whether a pool that is used arbitrarily happens to give one address always; else always another.
    lucky: bool,
    ports: u32,
}

#[derive(Debug)]
struct Node {
    parent: usize,
    address: u32,
    nat: Option<Nat>,
    /// Key: inside endpoint and as much of the destination as the mapping tells apart.
    mappings: BTreeMap<(Endpoint, Option<u32>, Option<u32>), Endpoint>,
    /// Owner of each outside endpoint.
    owners: BTreeMap<Endpoint, Endpoint>,
    /// Outside endpoint and a remote that was sent to from there. Without translation: the inside one.
    sent: BTreeSet<(Endpoint, Endpoint)>,
    /// Masquerade: packets that the router took for its own.
    taken: BTreeSet<(Endpoint, Endpoint)>,
}

impl Network {
    pub(super) fn new(lucky: bool) -> Self {
        let mut network = Network { lucky, ports: 10_000, ..Network::default() };
        network.node(INTERNET, None);
        network
    }

    fn node(&mut self, parent: usize, nat: Option<Nat>) -> usize {
        let address = 100 * (self.nodes.len() as u32 + 1);
        let tables = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let (mappings, owners, sent, taken) = tables;
        self.nodes.push(Node { parent, address, nat, mappings, owners, sent, taken });
        self.nodes.len() - 1
    }

    /// A host behind these routers, innermost first; those that are there already are shared.
    pub(super) fn plug_in(&mut self, routers: &[(String, Nat)]) -> Endpoint {
        let mut parent = INTERNET;
        for (name, nat) in routers.iter().rev() {
            parent = match self.names.get(name) {
                Some(&known) => known,
                None => self.node(parent, Some(*nat)),
            };
            self.names.insert(name.clone(), parent);
        }
        let host = self.node(parent, None);
        (self.nodes[host].address, 5000 + host as u32)
    }

    /// Where a server on the internet sees a host; `None` if nothing comes out, or it is the host's own address.
    pub(super) fn stun(&mut self, host: Endpoint) -> Option<Endpoint> {
        self.send(Packet { from: host, to: SERVER, text: Text::Check { asked: SERVER } });
        let (at, packet) = self.waiting.pop_front()?;
        (at == INTERNET && packet.from != host).then_some(packet.from)
    }

    /// Up to where the way down begins.
    pub(super) fn send(&mut self, mut packet: Packet) {
        let mut at = self
            .nodes
            .iter()
            .position(|node| node.address == packet.from.0)
            .map(|host| self.nodes[host].parent);
        while let Some(node) = at {
            if node == INTERNET || self.child(node, packet.to.0).is_some() {
                self.waiting.push_back((node, packet));
                return;
            }
            at = if self.nodes[node].owns(packet.to.0) {
                self.turn(node, packet)
            } else {
                self.nodes[node]
                    .leave(&mut packet, &mut self.ports, self.lucky)
                    .then(|| self.nodes[node].parent)
            };
        }
    }

    /// The next packet that comes to a host.
    pub(super) fn arrives(&mut self) -> Option<Packet> {
        while let Some((mut at, mut packet)) = self.waiting.pop_front() {
            while let Some(child) = self.child(at, packet.to.0) {
                if self.nodes[child].nat.is_none() {
                    return Some(packet);
                }
                let from_itself = self.nodes[child].owns(packet.from.0);
                if from_itself || !self.nodes[child].enter(&mut packet) {
                    break;
                }
                at = child;
            }
        }
        None
    }

    /// What is plugged in here and has this address, or leads to it without translating.
    fn child(&self, at: usize, address: u32) -> Option<usize> {
        let children = (1..self.nodes.len()).filter(|&node| self.nodes[node].parent == at);
        children.into_iter().find(|&child| match self.nodes[child].nat {
            Some(Nat { translation: Translation::None, .. }) => self.child(child, address).is_some(),
            _ => self.nodes[child].owns(address),
        })
    }

    /// From inside to the router's own outside address.
    fn turn(&mut self, at: usize, mut packet: Packet) -> Option<usize> {
        let (inside, node) = (packet.from, &mut self.nodes[at]);
        let nat = node.nat?;
        let turns = nat.hairpin != Hairpin::Off && !matches!(nat.translation, Translation::Masquerade { .. });
        if turns && node.leave(&mut packet, &mut self.ports, self.lucky) && node.enter(&mut packet) {
            if nat.hairpin == Hairpin::Internal {
                packet.from = inside;
            }
            self.waiting.push_back((at, packet));
        }
        None
    }
}

impl Node {
    /// A router has its address and those of its pool, up to the next node's.
    fn owns(&self, address: u32) -> bool {
        (self.address..self.address + self.nat.map_or(1, |nat| u32::from(nat.addresses))).contains(&address)
    }

    /// From inside to outside: what is not blocked gets its port and opens the filter.
    fn leave(&mut self, packet: &mut Packet, ports: &mut u32, lucky: bool) -> bool {
        let Some(nat) = self.nat.filter(|nat| nat.egress == Egress::Everything) else { return false };
        if nat.translation != Translation::None {
            packet.from = self.map(&nat, packet, ports, lucky);
        }
        self.sent.insert((packet.from, packet.to));
        true
    }

    fn map(&mut self, nat: &Nat, packet: &Packet, ports: &mut u32, lucky: bool) -> Endpoint {
        let masquerades = matches!(nat.translation, Translation::Masquerade { .. });
        let mapping = if masquerades { Mapping::AddressAndPortDependent } else { nat.mapping };
        let key = (
            packet.from,
            (mapping != Mapping::EndpointIndependent).then_some(packet.to.0),
            (mapping == Mapping::AddressAndPortDependent).then_some(packet.to.1),
        );
        if let Some(&outside) = self.mappings.get(&key) {
            return outside;
        }
        *ports += 1;
        let many = u32::from(nat.addresses);
        let known = self.mappings.keys().filter(|(inside, ..)| inside.0 == packet.from.0).count() as u32;
        let draw = match nat.pooling {
            _ if lucky || many == 1 => 0,
            // By subscriber, which is an inside address.
            Pooling::Paired => packet.from.0 % many,
            // Never again the one that STUN saw.
            Pooling::Arbitrary if known == 0 => 0,
            Pooling::Arbitrary => 1 + known % (many - 1),
        };
        let preserved = (self.address, packet.from.1);
        let is_free = !self.taken.contains(&(preserved, packet.to));
        let outside = if masquerades && is_free { preserved } else { (self.address + draw, *ports) };
        self.mappings.insert(key, outside);
        self.owners.insert(outside, packet.from);
        outside
    }

    /// From outside to inside: what the filter admits gets its owner's address.
    fn enter(&mut self, packet: &mut Packet) -> bool {
        let Some(nat) = self.nat else { return false };
        let admitted = match nat.filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => {
                self.sent.iter().any(|(own, remote)| *own == packet.to && remote.0 == packet.from.0)
            }
            Filtering::AddressAndPortDependent => self.sent.contains(&(packet.to, packet.from)),
        };
        if nat.translation == Translation::None {
            return admitted;
        }
        let owner = self.owners.get(&packet.to).filter(|_| admitted);
        if owner.is_none() && nat.translation == (Translation::Masquerade { input_drop: false }) {
            self.taken.insert((packet.to, packet.from));
        }
        owner.is_some_and(|&inside| {
            packet.to = inside;
            true
        })
    }
}
