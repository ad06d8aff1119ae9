//! One pair of hosts in a lab of its own, and one punch: both sides and the STUN server are played by one thread.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netns::lab::{Lab, Router};
use netns::nat::{CandidateType, Egress, Nat, Vantage};
use netns::topology::{Topology, Uplink};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::agent::{Agent, Heard, WHO_AM_I, receive};

/// Checks are sent this often: as the harness does.
const ROUND: Duration = Duration::from_millis(20);
/// What each side sends once both have started.
const ROUNDS: usize = 4;
/// What the early one sends alone where the order is forced.
const HEAD_START: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const HOSTS: [&str; 2] = ["first", "second"];

/// Who speaks when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By the clock: the second starts so many milliseconds after the first; negative: before it.
    Skew(i64),
    /// By events: all that one side sends has arrived or is gone before the other starts.
    FirstFirst,
    SecondFirst,
    /// By events: the first checks of both sides leave their routers, but end (by their time to live) before they come
    /// to the other's. As if they crossed on a long way.
    Crossing,
}

pub(crate) const FORCED: [Order; 3] = [Order::FirstFirst, Order::SecondFirst, Order::Crossing];

/// What became of one punch.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) order: Order,
    /// The most indirect of the four candidates of the best pair; `None` where not both sides had an answer.
    pub(crate) via: Option<CandidateType>,
    /// Packets that routers kept from their inside, or did not let leave.
    pub(crate) dropped: u64,
    /// Answers on either side that came from another address than was asked.
    pub(crate) strayed: [usize; 2],
    pub(crate) heard: [Vec<Heard>; 2],
}

/// See the charter.
pub(crate) struct Cell {
    pub(crate) lab: Lab,
    routers: BTreeMap<String, Nat>,
    /// The routers before each host, the innermost first.
    chains: [Vec<String>; 2],
    log_in: bool,
    server: UdpSocket,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

impl Cell {
    pub(crate) fn new(vantages: [&Vantage; 2]) -> Self {
        Self::build(&topology(vantages), vantages, Version::V4)
    }

    pub(crate) fn build(topology: &Topology, vantages: [&Vantage; 2], version: Version) -> Self {
        let lab = Lab::build(topology).unwrap();
        let server = bind(&lab, "stun", 3478, version);
        let routers = vantages.iter().flat_map(|vantage| vantage.routers.iter().cloned()).collect();
        let chains = vantages.map(|vantage| vantage.routers.iter().map(|(name, _)| name.clone()).collect());
        Cell { lab, routers, chains, log_in: false, server, version }
    }

    /// Somebody logs in at every portal before each punch.
    pub(crate) fn logged_in(self) -> Self {
        Cell { log_in: true, ..self }
    }

    /// The router on the internet of one host.
    pub(crate) fn outermost(&self, side: usize) -> Option<&Router> {
        self.chains[side].last().and_then(|name| self.lab.router(name))
    }

    /// Punches on virgin routers.
    pub(crate) fn punch(&self, order: Order) -> Seen {
        for (name, nat) in &self.routers {
            self.router(name).reboot().unwrap();
            if self.log_in && nat.egress == Egress::Portal {
                self.router(name).log_in().unwrap();
            }
        }
        let stun = self.server.local_addr().unwrap();
        let sockets =
            [0, 1].map(|side| bind(&self.lab, HOSTS[side], 5000 + 1000 * side as u16, self.version));
        let mut agents = sockets.map(|socket| Agent::new(socket, stun));
        self.fence(&mut agents, 0);
        self.fence(&mut agents, 1);
        let candidates = agents.each_ref().map(|agent| agent.candidates());
        let [first, second] = candidates;
        agents[0].tell(second);
        agents[1].tell(first);
        match order {
            Order::Skew(skew) => self.by_the_clock(&mut agents, skew),
            Order::FirstFirst => self.by_events(&mut agents, 0),
            Order::SecondFirst => self.by_events(&mut agents, 1),
            Order::Crossing => self.crossing(&mut agents),
        }
        // What the server says now comes after all that both have sent; again for the answers to it.
        for side in [0, 1, 0, 1] {
            self.fence(&mut agents, side);
        }
        let drops = self.routers.keys().map(|name| self.router(name).drops().unwrap());
        let best = agents.each_ref().map(|agent| agent.found.iter().min().copied());
        Seen {
            order,
            via: best[0].zip(best[1]).map(|(one, other)| one.max(other)),
            dropped: drops.map(|drops| drops.filtered + drops.refused).sum(),
            strayed: agents.each_ref().map(|agent| agent.strayed),
            heard: agents.map(|agent| agent.heard),
        }
    }

    fn by_the_clock(&self, agents: &mut [Agent; 2], skew: i64) {
        // The skew is what is tested.
        let start = Instant::now();
        let mut next = [(-skew).max(0), skew.max(0)].map(|delay| start + Duration::from_millis(delay as u64));
        let mut rounds = [0, 0];
        while rounds.iter().min() < Some(&ROUNDS) && agents.iter().any(|agent| agent.found.is_empty()) {
            for side in [0, 1] {
                if next[side] <= Instant::now() {
                    agents[side].check();
                    next[side] += ROUND;
                    rounds[side] += 1;
                }
            }
            self.attend(agents, next[0].min(next[1]));
        }
    }

    fn by_events(&self, agents: &mut [Agent; 2], early: usize) {
        for _ in 0..HEAD_START {
            agents[early].check();
            self.fence(agents, early);
        }
        for _ in 0..ROUNDS {
            for side in [1 - early, early] {
                agents[side].check();
                self.fence(agents, side);
            }
        }
    }

    fn crossing(&self, agents: &mut [Agent; 2]) {
        for side in [0, 1] {
            let far_enough = self.chains[side].len() as u32 + 1;
            let socket = &agents[side].socket;
            let usual = socket.ttl().unwrap();
            socket.set_ttl(far_enough).unwrap();
            agents[side].check();
            agents[side].socket.set_ttl(usual).unwrap();
            self.fence(agents, side);
        }
        self.by_events(agents, 0);
    }

    /// Returns when the server has answered this side, or a router has refused to let the question leave: all that the
    /// side has sent before is then where it will be.
    fn fence(&self, agents: &mut [Agent; 2], side: usize) {
        let (answers, refused) = (agents[side].answers_of_stun(), self.refused());
        agents[side].ask_stun();
        let end = Instant::now() + PATIENCE;
        let soon = || Instant::now() + Duration::from_millis(1);
        let closed = self.routers.values().any(|nat| nat.egress != Egress::Everything);
        while agents[side].answers_of_stun() == answers && self.refused() == refused {
            assert!(Instant::now() < end, "the server neither answers {} nor is kept from it", HOSTS[side]);
            self.attend(agents, if closed { soon() } else { end });
        }
        // What goes another way than the question may be on its way still.
        while closed && self.attend(agents, soon()) {}
    }

    fn refused(&self) -> u64 {
        let closed = self.routers.iter().filter(|(_, nat)| nat.egress != Egress::Everything);
        closed.map(|(name, _)| self.router(name).drops().unwrap().refused).sum()
    }

    /// Serves whoever has got something, once, or waits until then; tells whether anybody had.
    fn attend(&self, agents: &mut [Agent; 2], until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: a poll that returns too early would be called again and again.
        let left = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap();
        let sockets = [&self.server, &agents[0].socket, &agents[1].socket];
        let mut ready = sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        poll(&mut ready, left).unwrap();
        let [stun, first, second] = ready.map(|ready| ready.any().unwrap_or(true));
        if stun {
            while let Some((text, from)) = receive(&self.server) {
                assert_eq!(text, WHO_AM_I);
                self.server.send_to(from.to_string().as_bytes(), from).unwrap();
            }
        }
        for (agent, ready) in agents.iter_mut().zip([first, second]) {
            if ready {
                agent.hear();
            }
        }
        stun || first || second
    }

    /// IPv4 packets that came to a router and that it neither passed on nor took for its own, since it was built: those
    /// that its rules dropped, and those that the kernel takes for forged.
    pub(crate) fn swallowed(&self, router: &str) -> u64 {
        let read = || std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
        let table = self.lab.node(router).unwrap().within(read).unwrap();
        let mut rows = table.lines().filter_map(|line| line.strip_prefix("Ip: "));
        let (names, values) = (rows.next().unwrap().split(' '), rows.next().unwrap().split(' '));
        let counters: BTreeMap<&str, u64> =
            names.zip(values).filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect();
        counters["InReceives"] - counters["InDelivers"] - counters["ForwDatagrams"]
    }

    pub(crate) fn router(&self, name: &str) -> &Router {
        self.lab.router(name).unwrap()
    }
}

/// The routers of both, each once, and the two hosts; on one switch where their first router is the same.
pub(crate) fn topology(vantages: [&Vantage; 2]) -> Topology {
    let mut topology = Topology::default().server("stun", 1);
    for vantage in vantages {
        let mut uplink = Uplink::Internet;
        for (name, nat) in vantage.routers.iter().rev() {
            if topology.routers.iter().all(|known| known.name != *name) {
                topology = topology.router(name, uplink, *nat);
            }
            uplink = name.as_str().into();
        }
    }
    let innermost = vantages.map(|vantage| vantage.routers.first().map(|(name, _)| name.as_str()));
    if let [Some(first), Some(second)] = innermost
        && first == second
    {
        topology = topology.lan("lan", first);
        return HOSTS
            .iter()
            .fold(topology, |topology, host| topology.host(host, Uplink::Lan("lan".to_owned())));
    }
    for ((host, vantage), router) in HOSTS.iter().zip(vantages).zip(innermost) {
        topology = match router {
            Some(router) => topology.host(host, router.into()),
            None => topology.public_host(host, vantage.family),
        };
    }
    topology
}

fn bind(lab: &Lab, node: &str, port: u16, version: Version) -> UdpSocket {
    let node = lab.node(node).unwrap();
    let address: IpAddr = match version {
        Version::V4 => node.address().into(),
        Version::V6 => node.addresses_v6()[0].into(),
    };
    let socket = node.within(|| UdpSocket::bind(SocketAddr::new(address, port)).unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}
