//! Our probe against a server that is not ours: coturn, which is the reference for RFC 5780, behind every class of NAT.
//! Without coturn this is skipped, and says so.

#![expect(clippy::unwrap_used, reason = "clippy allows it only inside test functions, and this is all test")]

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use netns::lab::{Drops, Lab};
use netns::nat::probe::{self, Declared, Questions};
use netns::nat::{Egress, Filtering, Mapping, Nat, Preset};
use netns::node::Process;
use netns::topology::{Topology, Uplink};

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}

const PORTS: [u16; 2] = [3478, 3479];
/// Nothing that starts takes so long.
const HANGS: Duration = Duration::from_secs(60);

#[test]
fn our_probe_finds_with_coturn_what_it_finds_with_our_own_server() {
    if Command::new("turnserver")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        // Past the test harness, which shows nothing of tests that pass.
        let mut loud = io::stderr();
        writeln!(loud, "skipped: our probe against coturn (apt-get install coturn)").unwrap();
        return;
    }
    let presets = Preset::ALL.into_iter().filter_map(Preset::nat);
    let all = [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent];
    let filters =
        [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];
    let pairs = all.into_iter().flat_map(|mapping| filters.map(|filtering| (mapping, filtering)));
    let pairs =
        pairs.map(|(mapping, filtering)| Nat { mapping, filtering, ..Preset::Symmetric.nat().unwrap() });
    // A router that lets no UDP out shows nothing of a server.
    let nats: Vec<Nat> = presets.chain(pairs).filter(|nat| nat.egress == Egress::Everything).collect();
    let router = |at: usize| format!("router{at}");
    let host = |at: usize| format!("host{at}");
    let mut topology = Topology::default().server("coturn", 2);
    for (at, nat) in nats.iter().enumerate() {
        topology = topology.router(&router(at), Uplink::Internet, *nat);
        topology = topology.host(&host(at), Uplink::from(router(at).as_str()));
    }
    let lab = Lab::build(&topology).unwrap();
    let _coturn = coturn(&lab);
    let server = SocketAddrV4::new(lab.node("coturn").unwrap().address(), PORTS[0]);
    for (at, nat) in nats.iter().enumerate() {
        let (router, host) = (lab.router(&router(at)).unwrap(), lab.node(&host(at)).unwrap());
        let mut drops = || router.drops();
        let none = Questions::default();
        let found = host.within(|| probe::measure(host.address(), server, &mut drops, &none)).unwrap();
        let found = found.unwrap_or_else(|error| panic!("{nat:?}: {error}"));
        assert_eq!(found.agrees_with(&Declared::from(Some(nat))), Ok(()), "{nat:?}");
    }
    let nobody = || Ok::<_, netns::Error>(Drops::default());
    let node = lab.node("coturn").unwrap();
    let open = node.within(|| probe::measure(node.address(), server, &mut { nobody }, &Questions::default()));
    assert_eq!(open.unwrap().unwrap().agrees_with(&Declared::default()), Ok(()));
}

/// Runs until it is dropped; returns when all four of its sockets are open.
fn coturn(lab: &Lab) -> Process {
    let node = lab.node("coturn").unwrap();
    let mut command = node.command("turnserver");
    for address in node.addresses() {
        command.args(["-L", &address.to_string()]);
    }
    command.args([
        "-n",
        "--relay-ip",
        &node.address().to_string(),
        "-p",
        "3478",
        "--alt-listening-port",
        "3479",
    ]);
    // One thread, so that answers leave in the order of their requests.
    command.args(["-m", "0", "--lt-cred-mech", "--user", "u:p", "--realm", "lab", "--no-tls", "--no-dtls"]);
    command.args(["--no-tcp", "--no-cli", "--pidfile", "/dev/null", "--log-file", "/dev/null"]);
    let mut coturn =
        node.spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let began = Instant::now();
    let open = || {
        let table = node.within(|| fs::read_to_string("/proc/thread-self/net/udp")).unwrap().unwrap();
        let is_ours = |line: &&str| PORTS.iter().any(|port| line.contains(&format!(":{port:04X} 00000000")));
        table.lines().filter(is_ours).count()
    };
    while open() < 4 {
        assert!(began.elapsed() < HANGS, "coturn opened {} of 4 sockets", open());
        assert!(coturn.0.try_wait().unwrap().is_none(), "coturn has ended");
        thread::sleep(Duration::from_millis(10));
    }
    coturn
}
