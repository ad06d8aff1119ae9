//! What only a trial tells: namespaces and links can be made, and each kind of router passes a packet.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Check;
use crate::error::Error;
use crate::lab::{Lab, Router};
use crate::nat::{Egress, Preset, Translation};
use crate::topology::{Topology, Uplink};

/// A packet takes microseconds; this is for a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(2);
const MODULES: &str = "load the modules that rules need: sudo modprobe -a nf_tables nft_numgen nft_objref \
                       nft_tproxy, or use a kernel with CONFIG_NF_TABLES, CONFIG_NFT_NUMGEN and \
                       CONFIG_NFT_TPROXY";

const TRACKING: &str = "load the modules that it needs: sudo modprobe -a nft_masq nft_ct nf_conntrack_netlink, or use a \
                        kernel with CONFIG_NFT_MASQ, CONFIG_NFT_CT and CONFIG_NF_CT_NETLINK; cases \
                        without it do not need them";

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
            Check::ok(NAME, format!("a packet and its answer pass, {took:.1?} with all the building"))
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
    let missing = |found| match nat.translation {
        // Other kinds do without the kernel's own NAT.
        Translation::Masquerade { .. } => Check::warn(name.clone(), found, TRACKING),
        Translation::Modelled | Translation::None => Check::fail(name.clone(), found, MODULES),
    };
    if nat.egress != Egress::Everything {
        return match refusal(&topology) {
            Ok(true) => Check::ok(name, "UDP is refused"),
            Ok(false) => missing("UDP is not refused".to_owned()),
            Err(error) => missing(error.to_string()),
        };
    }
    match [SMALL, IN_FRAGMENTS].map(|size| trial(&topology, size)) {
        [Ok(Trial::Passed(_)), Ok(Trial::Passed(took))] => {
            Check::ok(name, format!("packets and fragments pass, {took:.1?} with all the building"))
        }
        [Ok(Trial::Passed(_)), _] => Check::warn(
            name,
            "packets pass, fragments do not",
            "use a kernel with CONFIG_NFT_TPROXY, or keep datagrams below 1,472 bytes",
        ),
        [Ok(Trial::Lost(where_to)), _] => missing(format!("a packet is lost on its way {where_to}")),
        [Err(error), _] => missing(error.to_string()),
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

/// Builds the lab, sends a datagram of this size from `alice` to `server` and back, and looks at its router's table.
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
    lab.router("home").map(Router::mappings).transpose()?;
    Ok(Trial::Passed(start.elapsed()))
}

/// Whether the router refuses a datagram of `alice`, and counts it.
fn refusal(topology: &Topology) -> Result<bool, Error> {
    let lab = Lab::build(topology)?;
    let (alice, server) = (socket(&lab, "alice")?, socket(&lab, "server")?);
    let sent = server.local_addr().and_then(|to| alice.send_to(&[0; SMALL], to));
    sent.map_err(|source| Error::system("send a datagram", source))?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if lab.router("home").map(Router::drops).transpose()?.is_some_and(|drops| drops.refused > 0) {
            return Ok(true);
        }
        std::thread::yield_now();
    }
    Ok(false)
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
