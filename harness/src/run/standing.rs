//! A lab that stands: its topology built, its servers listening. What a case begins with, and all that `natlab shell`
//! needs.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use netns::lab::Lab;
use netns::nat::Egress;
use netns::node::Node;
use netns::topology::Topology;

use super::broken::{Broken, blocking};
use super::orders::Servers;
use super::process::Server;
use crate::plan::{self, SIGNALING, STUN};
use crate::scenario::{Case, CasePeer};

/// The port and the other port of the STUN server.
pub const STUN_PORTS: [u16; 2] = [3478, 3479];
/// Where the signaling server listens: its own port, and the one that leaves every network.
pub const SIGNALING_PORTS: [u16; 2] = [9000, 443];

/// A lab with its servers. They end with it.
#[derive(Debug)]
pub struct Standing {
    /// The lab.
    pub lab: Arc<Lab>,
    doors: Doors,
    pub(super) stun: Server,
    /// Those on the inside of routers that others are behind: there to measure the inner ones.
    inside: Vec<Server>,
    pub(super) signaling: Server,
}

/// Builds the lab of a case.
pub(super) async fn build(case: &Case) -> Result<Arc<Lab>, Broken> {
    build_as(plan::topology(case)).await
}

async fn build_as(topology: Topology) -> Result<Arc<Lab>, Broken> {
    Ok(Arc::new(blocking(move || Lab::build(&topology)).await??))
}

impl Standing {
    /// Builds the lab of a case to be looked into, and starts its servers, whose logs nobody wants.
    pub async fn raise(case: &Case) -> Result<Standing, Broken> {
        let nowhere = Path::new("/dev/null");
        let lab = build_as(plan::topology(case).counting_packets()).await?;
        Standing::in_lab(lab, nowhere, nowhere).await
    }

    /// Starts the servers of a lab; returns when all listen.
    pub(super) async fn in_lab(
        lab: Arc<Lab>,
        stun_log: &Path,
        signaling_log: &Path,
    ) -> Result<Standing, Broken> {
        let doors = Doors::of(&lab)?;
        let mut signaling = vec!["signaling-server".to_owned()];
        for address in &doors.signaling {
            signaling.extend(["--listen".to_owned(), address.to_string()]);
        }
        let inside = lab.nodes().filter(|node| plan::is_stun_inside(node.name()));
        let inside = inside.map(|node| start_stun(node, Path::new("/dev/null")));
        let (stun, signaling, inside) = tokio::join!(
            start_stun(node(&lab, STUN)?, stun_log),
            Server::start(node(&lab, SIGNALING)?, &signaling, doors.signaling.len(), signaling_log),
            futures_util::future::join_all(inside),
        );
        let inside = inside.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (stun, signaling) = (stun?, signaling.map_err(Broken::lab("start the signaling server"))?);
        Ok(Standing { lab, doors, stun, inside, signaling })
    }

    /// The first address and port of the STUN server, and the other address with the other port; for IPv4, else IPv6.
    pub fn stun(&self) -> [SocketAddr; 2] {
        self.doors.stun[0]
    }

    /// The first address and port of the STUN server for IPv6, where the lab has that.
    pub(super) fn stun_v6(&self) -> Option<SocketAddr> {
        self.doors.stun.iter().map(|[first, _]| *first).find(SocketAddr::is_ipv6)
    }

    /// The URL of the signaling server.
    pub fn signaling(&self) -> String {
        format!("ws://{}", self.doors.signaling[0])
    }

    /// What a peer in this node uses: a STUN server of each family that it has, and the door of the signaling server
    /// that it can reach.
    pub(super) fn servers_for(&self, case: &Case, peer: &CasePeer) -> Result<Servers, Broken> {
        let node = node(&self.lab, &peer.name)?;
        let has = |server: &SocketAddr| node.all_addresses().any(|own| own.is_ipv4() == server.is_ipv4());
        let stun = self.doors.stun.iter().map(|[first, _]| *first).filter(has).collect();
        let https_only = case.routers_of(peer).iter().any(|router| router.nat.egress == Egress::HttpsOnly);
        let port = SIGNALING_PORTS[usize::from(https_only)];
        let mut reached = self.doors.signaling.iter().filter(|door| has(door) && door.port() == port);
        let door = reached.next().ok_or_else(|| Broken::no_node(SIGNALING))?;
        Ok(Servers { stun, signaling: format!("ws://{door}") })
    }

    /// Asks all servers to end, and waits until they have.
    pub(super) async fn stop(mut self) -> Result<(), Broken> {
        for server in self.inside.iter_mut().chain([&mut self.stun]) {
            server.stop().await.map_err(Broken::lab("stop the STUN server"))?;
        }
        self.signaling.stop().await.map_err(Broken::lab("stop the signaling server"))?;
        Ok(())
    }
}

async fn start_stun(node: &Node, log: &Path) -> Result<Server, Broken> {
    let families = [node.addresses().is_empty(), node.addresses_v6().is_empty()];
    let doors = families.iter().filter(|is_empty| !**is_empty).count();
    let mut arguments = vec!["stun".to_owned()];
    arguments.extend(node.all_addresses().map(|address| address.to_string()));
    arguments.extend(STUN_PORTS.map(|port| port.to_string()));
    Server::start(node, &arguments, doors, log).await.map_err(Broken::lab("start the STUN server"))
}

/// Where the servers of a lab listen, IPv4 first.
#[derive(Debug)]
struct Doors {
    stun: Vec<[SocketAddr; 2]>,
    signaling: Vec<SocketAddr>,
}

impl Doors {
    fn of(lab: &Lab) -> Result<Doors, Broken> {
        let (stun, signaling) = (node(lab, STUN)?, node(lab, SIGNALING)?);
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = stun.all_addresses().partition(IpAddr::is_ipv4);
        let pair = |addresses: Vec<IpAddr>| {
            let mut ends = addresses.into_iter().zip(STUN_PORTS).map(|(ip, port)| SocketAddr::new(ip, port));
            Some([ends.next()?, ends.next()?])
        };
        let stun: Vec<_> = [v4, v6].into_iter().filter_map(pair).collect();
        let doors = signaling.all_addresses();
        let signaling: Vec<_> =
            doors.flat_map(|ip| SIGNALING_PORTS.map(|port| SocketAddr::new(ip, port))).collect();
        match (stun.is_empty(), signaling.is_empty()) {
            (true, _) => Err(Broken::no_node(STUN)),
            (_, true) => Err(Broken::no_node(SIGNALING)),
            _ => Ok(Doors { stun, signaling }),
        }
    }
}

/// The node of this name, or the want of it.
pub(super) fn node<'l>(lab: &'l Lab, name: &str) -> Result<&'l Node, Broken> {
    lab.node(name).ok_or_else(|| Broken::no_node(name))
}
