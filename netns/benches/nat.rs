//! What a NAT costs: its rules installed, a round trip, packets a second one way, and thousands of live mappings, each
//! beside plain masquerade in the same run. Prints medians and ratios and judges nothing.
//!
//! `cargo bench -p netns --bench nat`

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use netns::lab::Lab;
use netns::nat::Preset;
use netns::topology::{Topology, Uplink};

/// Where everything is measured; the first is what the others are compared with.
const KINDS: [Preset; 8] = [
    Preset::LinuxMasquerade,
    Preset::FullCone,
    Preset::AddressRestricted,
    Preset::PortRestricted,
    Preset::AddressDependent,
    Preset::Symmetric,
    Preset::SymmetricSequential,
    Preset::Cgnat,
];

fn main() {
    netns::sandbox::enter_before_main();
    println!("rules of one router, installed in place of the ones before: median, best");
    for kind in KINDS.into_iter().chain([Preset::CaptivePortal]) {
        let lab = lab_of(kind);
        let router = lab.router("home").expect("a router");
        let mut times: Vec<Duration> =
            (0..200).map(|_| timed(|| router.reboot().expect("a reboot"))).collect();
        times.sort();
        println!("{:<28} {:>10.1?} {:>10.1?}", kind.name(), times[times.len() / 2], times[0]);
    }
    compared("UDP round trip, 64 bytes, median", Ways::round_trip, "µs");
    compared("one way, packets", Ways::one_way, "k/s");
    live_mappings();
}

/// Prints a figure of each kind, and beside it the ratio to masquerade. All kinds take turns, so that what else the
/// machine does concerns them alike.
fn compared(title: &str, figure: impl Fn(&mut Ways) -> f64, unit: &str) {
    const ROUNDS: usize = 15;
    println!("\n{title}; times that of masquerade");
    let labs: Vec<Lab> = KINDS.map(lab_of).into();
    let mut ways: Vec<Ways> = labs.iter().map(Ways::of).collect();
    let mut figures = vec![Vec::new(); KINDS.len()];
    for _ in 0..ROUNDS {
        for (figures, ways) in figures.iter_mut().zip(&mut ways) {
            figures.push(figure(ways));
        }
    }
    for (kind, own) in KINDS.into_iter().zip(&figures) {
        let ratios = own.iter().zip(&figures[0]).map(|(own, plain)| own / plain).collect();
        println!("{:<28} {:>10.2} {unit} {:>6.2}", kind.name(), median(own.clone()), median(ratios));
    }
}

/// A socket behind the router and one of the server, with the router's outside address.
struct Ways {
    alice: UdpSocket,
    server: UdpSocket,
    to: SocketAddr,
}

impl Ways {
    fn of(lab: &Lab) -> Self {
        let open = |name: &str, port| {
            let node = lab.node(name).expect("a node");
            let socket = node.within(|| UdpSocket::bind((node.address(), port)).expect("a socket"));
            let socket = socket.expect("a node to enter");
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
            socket
        };
        let (alice, server) = (open("alice", 5000), open("server", 5000));
        let to = server.local_addr().expect("an address");
        Ways { alice, server, to }
    }

    /// Microseconds; both ends on one thread: what is measured is the way.
    fn round_trip(&mut self) -> f64 {
        const TRIPS: usize = 2000;
        let mut buffer = [0; 64];
        let trips = (0..TRIPS).map(|_| {
            let trip = timed(|| {
                self.alice.send_to(&[0x5a; 64], self.to).expect("sent");
                let (_, from) = self.server.recv_from(&mut buffer).expect("arrived");
                self.server.send_to(&buffer, from).expect("answered");
                self.alice.recv(&mut buffer).expect("the answer arrived");
            });
            trip.as_secs_f64() * 1e6
        });
        median(trips.collect())
    }

    /// Thousands of packets a second, as fast as one thread sends them through; those that the socket has no room for
    /// have gone the same way.
    fn one_way(&mut self) -> f64 {
        const PACKETS: u32 = 20_000;
        let time = timed(|| {
            for _ in 0..PACKETS {
                self.alice.send_to(&[0x5a; 64], self.to).expect("sent");
            }
        });
        self.server.set_nonblocking(true).expect("no waiting");
        while self.server.recv(&mut [0; 64]).is_ok() {}
        self.server.set_nonblocking(false).expect("waiting");
        f64::from(PACKETS) / time.as_secs_f64() / 1e3
    }
}

/// How a round trip fares while 8,000 other mappings live on the router; and how long one of them takes to be made.
fn live_mappings() {
    const MAPPINGS: u16 = 8000;
    println!("\n8,000 live mappings on one router: round trip before, with them, ratio; one made in");
    for kind in [Preset::FullCone, Preset::PortRestricted, Preset::Symmetric] {
        let lab = lab_of(kind);
        let mut ways = Ways::of(&lab);
        let rounds = |ways: &mut Ways| median((0..15).map(|_| ways.round_trip()).collect());
        let before = rounds(&mut ways);
        let node = lab.node("alice").expect("a node");
        let sockets: Vec<UdpSocket> = node
            .within(|| {
                let open = |port| UdpSocket::bind((node.address(), port)).expect("a socket");
                (20_000..20_000 + MAPPINGS).map(open).collect()
            })
            .expect("a node to enter");
        let made = timed(|| {
            for socket in &sockets {
                socket.send_to(&[0; 64], ways.to).expect("sent");
            }
        });
        ways.server.set_nonblocking(true).expect("no waiting");
        while ways.server.recv(&mut [0; 64]).is_ok() {}
        ways.server.set_nonblocking(false).expect("waiting");
        let with = rounds(&mut ways);
        let entries = lab.router("home").expect("a router").mappings().expect("a table").entries.len();
        println!(
            "{:<28} {before:>10.2} µs {with:>10.2} µs {:>6.2} {:>10.2?} ({entries} mappings)",
            kind.name(),
            with / before,
            made / u32::from(MAPPINGS)
        );
    }
}

fn lab_of(kind: Preset) -> Lab {
    let nat = kind.nat().expect("a router");
    let topology = Topology::default()
        .server("server", 1)
        .router("home", Uplink::Internet, nat)
        .host("alice", "home".into());
    Lab::build(&topology).expect("a lab")
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
