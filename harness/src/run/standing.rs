//! A lab that stands: its topology built, its servers listening. What a case begins with, and all that `natlab shell`
//! needs.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use netns::lab::Lab;
use netns::node::Node;

use super::broken::{Broken, blocking};
use super::process::Server;
use crate::plan::{self, SIGNALING, STUN};
use crate::scenario::Case;

/// The port and the other port of the STUN server.
pub const STUN_PORTS: [u16; 2] = [3478, 3479];
/// Where the signaling server listens: its own port, and the one that leaves every network.
pub const SIGNALING_PORTS: [u16; 2] = [9000, 443];

/// A lab with its servers. They end with it.
#[derive(Debug)]
pub struct Standing {
    /// The lab.
    pub lab: Arc<Lab>,
    servers: Servers,
    pub(super) stun: Server,
    pub(super) signaling: Server,
}

/// Builds the lab of a case.
pub(super) async fn build(case: &Case) -> Result<Arc<Lab>, Broken> {
    let topology = plan::topology(case);
    Ok(Arc::new(blocking(move || Lab::build(&topology)).await??))
}

impl Standing {
    /// Builds the lab of a case and starts its servers, whose logs nobody wants.
    pub async fn raise(case: &Case) -> Result<Standing, Broken> {
        let nowhere = Path::new("/dev/null");
        Standing::in_lab(build(case).await?, nowhere, nowhere).await
    }

    /// Starts the servers of a lab; returns when both listen.
    pub(super) async fn in_lab(
        lab: Arc<Lab>,
        stun_log: &Path,
        signaling_log: &Path,
    ) -> Result<Standing, Broken> {
        let servers = Servers::of(&lab)?;
        let stun_node = node(&lab, STUN)?;
        let mut stun = vec!["stun".to_owned()];
        stun.extend(stun_node.addresses().iter().map(ToString::to_string));
        stun.extend(STUN_PORTS.map(|port| port.to_string()));
        let mut signaling = vec!["signaling-server".to_owned()];
        for address in &servers.signaling {
            signaling.extend(["--listen".to_owned(), address.to_string()]);
        }
        let (stun, signaling) = tokio::join!(
            Server::start(stun_node, &stun, 1, stun_log),
            Server::start(node(&lab, SIGNALING)?, &signaling, servers.signaling.len(), signaling_log),
        );
        let stun = stun.map_err(Broken::lab("start the STUN server"))?;
        let signaling = signaling.map_err(Broken::lab("start the signaling server"))?;
        Ok(Standing { lab, servers, stun, signaling })
    }

    /// The first address and port of the STUN server, and the other address with the other port.
    pub fn stun(&self) -> [SocketAddr; 2] {
        self.servers.stun
    }

    /// The URL of the signaling server.
    pub fn signaling(&self) -> String {
        format!("ws://{}", self.servers.signaling[0])
    }
}

/// Where the servers of a lab listen.
#[derive(Debug)]
struct Servers {
    stun: [SocketAddr; 2],
    signaling: Vec<SocketAddr>,
}

impl Servers {
    fn of(lab: &Lab) -> Result<Servers, Broken> {
        let addresses = |name| Ok::<_, Broken>(node(lab, name)?.addresses().iter().map(|&ip| IpAddr::V4(ip)));
        let mut stun = addresses(STUN)?.zip(STUN_PORTS).map(|(ip, port)| SocketAddr::new(ip, port));
        let stun = stun.next().zip(stun.next()).ok_or_else(|| Broken::no_node(STUN))?;
        let signaling = addresses(SIGNALING)?;
        let signaling = signaling.flat_map(|ip| SIGNALING_PORTS.map(|port| SocketAddr::new(ip, port)));
        Ok(Servers { stun: stun.into(), signaling: signaling.collect() })
    }
}

/// The node of this name, or the want of it.
pub(super) fn node<'l>(lab: &'l Lab, name: &str) -> Result<&'l Node, Broken> {
    lab.node(name).ok_or_else(|| Broken::no_node(name))
}
