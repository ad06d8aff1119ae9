//! What only a trial tells: namespaces and links can be made, and each kind of router passes a packet.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Check;
use crate::error::Error;
use crate::lab::Lab;
use crate::nat::Preset;
use crate::topology::{Topology, Uplink};

/// A packet takes microseconds; this is for a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(2);
const MODULES: &str = "load the modules that rules need: sudo modprobe -a nf_tables nft_numgen nft_limit nft_objref \
                       nft_tproxy, or use a kernel with CONFIG_NF_TABLES, CONFIG_NFT_NUMGEN, CONFIG_NFT_LIMIT and \
                       CONFIG_NFT_TPROXY";

/// Namespaces, links, then every preset; after the first that is missing the others are not tried.
pub(super) fn all() -> Vec<Check> {
    let mut checks = vec![network_namespaces()];
    if !checks[0].is_fatal() {
        checks.push(links());
    }
    if !checks.iter().any(Check::is_fatal) {
        checks.extend(Preset::ALL.into_iter().filter(|preset| preset.nat().is_some()).map(router));
    }
    checks
}

fn network_namespaces() -> Check {
    const NAME: &str = "network namespaces";
    match Lab::build(&Topology::default()) {
        Ok(_) => Check::ok(NAME, "can be made"),
        Err(error) => Check::fail(NAME, error.to_string(), error.help()),
    }
}

fn links() -> Check {
    const NAME: &str = "links";
    let topology = Topology::default().host("alice", Uplink::Internet).server("server", 1);
    let fix = "sudo modprobe veth, or use a kernel with CONFIG_VETH";
    match trial(&topology, SMALL) {
        Ok(Trial::Passed(took)) => {
            Check::ok(NAME, format!("a packet and its answer pass, {took:?} with all the building"))
        }
        Ok(Trial::Lost(where_to)) => {
            Check::fail(NAME, format!("a packet is lost on its way {where_to}"), fix)
        }
        Err(error) => Check::fail(NAME, error.to_string(), fix),
    }
}

fn router(preset: Preset) -> Check {
    let name = format!("NAT {preset}");
    let Some(nat) = preset.nat() else { return Check::ok(name, "no router") };
    let topology = Topology::default()
        .router("home", Uplink::Internet, nat)
        .host("alice", "home".into())
        .server("server", 1);
    match [SMALL, IN_FRAGMENTS].map(|size| trial(&topology, size)) {
        [Ok(Trial::Passed(_)), Ok(Trial::Passed(took))] => {
            Check::ok(name, format!("packets and fragments pass, {took:?} with all the building"))
        }
        [Ok(Trial::Passed(_)), _] => Check::warn(
            name,
            "packets pass, fragments do not",
            "use a kernel with CONFIG_NFT_TPROXY, or keep datagrams below 1,472 bytes",
        ),
        [Ok(Trial::Lost(where_to)), _] => {
            Check::fail(name, format!("a packet is lost on its way {where_to}"), MODULES)
        }
        [Err(error), _] => Check::fail(name, error.to_string(), MODULES),
    }
}

const SMALL: usize = 100;
const IN_FRAGMENTS: usize = 4000;

enum Trial {
    /// There and back, in this time with all the building.
    Passed(Duration),
    /// On the way `out` or `back`.
    Lost(&'static str),
}

/// Builds the lab, and sends a datagram of this size from `alice` to `server` and back.
fn trial(topology: &Topology, size: usize) -> Result<Trial, Error> {
    let start = Instant::now();
    let lab = Lab::build(topology)?;
    let (alice, server) = (socket(&lab, "alice")?, socket(&lab, "server")?);
    let sent = vec![0x5a; size];
    let mut received = vec![0; size + 1];
    let mut pass = |from: &UdpSocket, to: SocketAddr, at: &UdpSocket| {
        from.send_to(&sent, to).ok()?;
        let (length, source) = at.recv_from(&mut received).ok()?;
        (received[..length] == sent).then_some(source)
    };
    let to = server.local_addr().map_err(|source| Error::system("read a socket's address", source))?;
    let Some(outside) = pass(&alice, to, &server) else { return Ok(Trial::Lost("out")) };
    let Some(_) = pass(&server, outside, &alice) else { return Ok(Trial::Lost("back")) };
    Ok(Trial::Passed(start.elapsed()))
}

fn socket(lab: &Lab, name: &str) -> Result<UdpSocket, Error> {
    let node = lab.node(name).ok_or_else(|| Error::Topology(format!("no node `{name}`")))?;
    let address: Ipv4Addr = node.address();
    let open = || {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    };
    node.within(open)?.map_err(|source: std::io::Error| Error::system("open a UDP socket", source))
}
