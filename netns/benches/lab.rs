//! How fast labs are: building, installing rules, and a round trip. Prints medians and judges nothing.
//!
//! `cargo bench -p netns`

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use netns::lab::Lab;
use netns::nat::Preset;
use netns::topology::{Topology, Uplink};

fn main() {
    netns::sandbox::enter_before_main();
    row("two homes and a server, built", times(50, || build(&two_homes())));
    row("  of it: six namespaces, five links", times(50, || build(&six_public())));
    let lab = Lab::build(&two_homes()).expect("a lab");
    let router = lab.router("first home").expect("a router");
    row("rules of one router, installed anew", times(100, || router.reboot().expect("a reboot")));
    row("a hundred such labs at once, on 8 threads", times(5, a_hundred_at_once));
    // Not kept as the others are: the next would be out of descriptors.
    let large = || drop(Lab::build(&five_hundred_homes()).expect("a lab"));
    row("one lab of 500 routers, each with a host", times(3, large));
    println!();
    println!("UDP round trip, 64 bytes, p50 / p99");
    round_trips("bare veth", &lab_of(None), "internet");
    round_trips("router without NAT", &lab_of(None), "server");
    for preset in [Preset::FullCone, Preset::PortRestricted, Preset::Symmetric] {
        round_trips(&format!("one {preset} router"), &lab_of(Some(preset)), "internet");
    }
    round_trips("a symmetric router and the internet", &lab_of(Some(Preset::Symmetric)), "server");
}

fn two_homes() -> Topology {
    let nat = Preset::PortRestricted.nat().expect("a router");
    Topology::default()
        .router("first home", Uplink::Internet, nat)
        .router("second home", Uplink::Internet, nat)
        .host("alice", "first home".into())
        .host("bob", "second home".into())
        .server("server", 2)
}

fn six_public() -> Topology {
    let hosts = ["a", "b", "c", "d", "e"];
    hosts.into_iter().fold(Topology::default(), |topology, host| topology.host(host, Uplink::Internet))
}

fn five_hundred_homes() -> Topology {
    let nat = Preset::PortRestricted.nat().expect("a router");
    (0..500).fold(Topology::default().server("server", 1), |topology, number| {
        let router = format!("router {number}");
        topology
            .router(&router, Uplink::Internet, nat)
            .host(&format!("host {number}"), router.as_str().into())
    })
}

fn build(topology: &Topology) {
    // The kernel removes namespaces on its own time, which is not part of building.
    std::mem::forget(Lab::build(topology).expect("a lab"));
}

/// Every lab stays until the last one is built.
fn a_hundred_at_once() {
    const THREADS: usize = 8;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let labs: Vec<Lab> = (thread..100)
                    .step_by(THREADS)
                    .map(|_| Lab::build(&two_homes()).expect("a lab"))
                    .collect();
                std::mem::forget(labs);
            });
        }
    });
}

fn lab_of(preset: Option<Preset>) -> Lab {
    let topology = Topology::default().server("server", 1);
    Lab::build(&match preset.and_then(Preset::nat) {
        None => topology.host("alice", Uplink::Internet),
        Some(nat) => topology.router("home", Uplink::Internet, nat).host("alice", "home".into()),
    })
    .expect("a lab")
}

/// From Alice to a node and back, both ends on one thread: what is measured is the way.
fn round_trips(name: &str, lab: &Lab, to: &str) {
    const TRIPS: usize = 20_000;
    let open = |name: &str| {
        let node = lab.node(name).expect("a node");
        let address = if name == "internet" { [198, 18, 0, 1].into() } else { node.address() };
        let socket = node.within(|| UdpSocket::bind((address, 5000)).expect("a socket"));
        let socket = socket.expect("a node to enter");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        socket
    };
    let (alice, server) = (open("alice"), open(to));
    let to: SocketAddr = server.local_addr().expect("an address");
    let mut buffer = [0; 64];
    let mut trips: Vec<Duration> = (0..TRIPS)
        .map(|_| {
            let start = Instant::now();
            alice.send_to(&[0x5a; 64], to).expect("sent");
            let (_, from) = server.recv_from(&mut buffer).expect("arrived");
            server.send_to(&buffer, from).expect("answered");
            alice.recv(&mut buffer).expect("the answer arrived");
            start.elapsed()
        })
        .collect();
    trips.sort();
    println!("{name:<44} {:>10.1?} / {:.1?}", trips[TRIPS / 2], trips[TRIPS * 99 / 100]);
}

/// The median, and the best: what the code takes where nothing else runs.
fn times(runs: usize, mut work: impl FnMut()) -> [Duration; 2] {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    [times[runs / 2], times[0]]
}

fn row(name: &str, [median, best]: [Duration; 2]) {
    println!("{name:<44} {median:>10.2?}  best {best:.2?}");
}
