//! The short form of a certificate, which guards every case: against every preset, through layers, and on IPv6.

#![expect(clippy::unwrap_used, reason = "clippy allows it only inside test functions, and this is all test")]

use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use netns::lab::{Drops, Lab, Router};
use netns::nat::Preset::{
    self, AddressDependent, AddressRestricted, CaptivePortal, Cgnat, Firewall, FullCone, LinuxMasquerade,
    LinuxMasqueradeInputDrop, PortRestricted, Symmetric, SymmetricSequential, UdpBlocked,
};
use netns::nat::probe::{Declared, Found, Questions, measure};
use netns::nat::stun::Server;
use netns::nat::{Family, Hairpin, Nat};
use netns::topology::{Topology, Uplink};
use rstest::rstest;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}

const PORTS: [u16; 2] = [3478, 3479];
const SIGNALING: [u16; 2] = [443, 9000];

#[test]
fn every_preset_is_found_to_be_itself_and_nothing_else() {
    Preset::ALL.into_iter().for_each(is_itself_and_nothing_else);
}

fn is_itself_and_nothing_else(preset: Preset) {
    let layers: Vec<Nat> = preset.nat().into_iter().collect();
    let bench = Bench::new(&layers);
    let found = bench.measure(IpVersion::V4);
    for other in Preset::ALL {
        let is_same = other == preset
            // What tells Linux from a port-restricted NAT takes two hosts, and what tells the two Linux routers apart
            // is what a stranger hears.
            || [other, preset].iter().all(|one| [LinuxMasquerade, LinuxMasqueradeInputDrop].contains(one));
        let declared = Declared::from(other.nat().as_ref());
        assert_eq!(found.agrees_with(&declared).is_ok(), is_same, "{preset} as {other}: {found}");
    }
}

#[test]
fn a_portal_is_open_once_somebody_has_logged_in() {
    let nat = CaptivePortal.nat().unwrap();
    let bench = Bench::new(&[nat]);
    let declared = Declared::through([nat]);
    assert_eq!(bench.measure(IpVersion::V4).agrees_with(&declared), Ok(()));
    bench.routers().for_each(|router| router.log_in().unwrap());
    let found = bench.measure(IpVersion::V4);
    assert!(found.agrees_with(&declared).is_err(), "{found}");
    assert_eq!(found.agrees_with(&declared.logged_in()), Ok(()));
}

#[rstest]
#[case::a_home_behind_a_carrier(&[PortRestricted, Cgnat])]
#[case::a_home_behind_a_symmetric_carrier(&[FullCone, Symmetric])]
#[case::a_symmetric_home_behind_a_cone(&[Symmetric, FullCone])]
#[case::ports_in_order_behind_a_cone(&[SymmetricSequential, AddressRestricted])]
#[case::a_home_behind_a_firewall(&[FullCone, Firewall])]
#[case::a_cone_behind_linux(&[FullCone, LinuxMasqueradeInputDrop])]
#[case::no_udp_behind_a_carrier(&[UdpBlocked, Cgnat])]
#[case::three_layers(&[AddressRestricted, PortRestricted, AddressDependent])]
fn layers_are_measured_as_one(#[case] layers: &[Preset]) {
    let nats: Vec<Nat> = layers.iter().map(|preset| preset.nat().unwrap()).collect();
    let found = Bench::new(&nats).measure(IpVersion::V4);
    let declared = Declared::through(nats.iter().copied());
    assert_eq!(found.agrees_with(&declared), Ok(()), "{found}");
    // Where together they are worse than the outermost alone, that one alone is not what is found.
    let outermost = Declared::through([nats[nats.len() - 1]]);
    let of = |declared: &Declared| {
        (declared.mapping(), declared.filtering(), declared.allocation(), declared.passes_udp())
    };
    assert_eq!(found.agrees_with(&outermost).is_ok(), of(&outermost) == of(&declared), "{found}");
}

#[rstest]
#[case(Hairpin::Off)]
#[case(Hairpin::External)]
#[case(Hairpin::Internal)]
fn a_hairpin_is_told_by_what_it_shows(
    #[case] hairpin: Hairpin,
    #[values(FullCone, AddressRestricted, PortRestricted)] preset: Preset,
) {
    let nat = Nat { hairpin, ..preset.nat().unwrap() };
    let found = Bench::new(&[nat]).measure(IpVersion::V4);
    assert_eq!(found.udp.as_ref().unwrap().hairpin, Some(hairpin), "{found}");
    assert_eq!(found.agrees_with(&Declared::through([nat])), Ok(()));
}

#[rstest]
fn ipv6_meets_a_firewall(#[values(Firewall, FullCone, Symmetric, LinuxMasquerade)] preset: Preset) {
    let nat = Nat { family: Family::Dual, ..preset.nat().unwrap() };
    let bench = Bench::new(&[nat]);
    let found = bench.measure(IpVersion::V6);
    assert_eq!(found.agrees_with(&Declared::through_ipv6([nat])), Ok(()), "{found}");
    assert!(found.agrees_with(&Declared::default()).is_err(), "{found}");
    assert_eq!(bench.measure(IpVersion::V4).agrees_with(&Declared::through([nat])), Ok(()));
}

/// Printed, never judged: what the short form costs, beside its budget of 25 ms.
#[test]
fn what_it_costs_is_told() {
    let nat = PortRestricted.nat().unwrap();
    let bench = Bench::new(&[nat]);
    let mut costs: Vec<Duration> = (0..20)
        .map(|_| {
            let began = Instant::now();
            bench.measure(IpVersion::V4);
            let took = began.elapsed();
            bench.routers().for_each(|router| router.reboot().unwrap());
            took
        })
        .collect();
    costs.sort();
    println!("the short form with all its questions: {:?} (median), {:?} (most)", costs[10], costs[19]);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IpVersion {
    V4,
    V6,
}

/// A host behind routers, and the servers of a lab.
struct Bench {
    lab: Lab,
    names: Vec<String>,
    _stop: UnixStream,
    _listeners: Vec<TcpListener>,
}

impl Bench {
    /// The innermost router first.
    fn new(layers: &[Nat]) -> Bench {
        let mut topology = Topology::default().server("stun", 2).server("signaling", 1);
        let names: Vec<String> = (0..layers.len()).map(|layer| format!("router {layer}")).collect();
        let mut uplink = Uplink::Internet;
        for (name, nat) in names.iter().zip(layers).rev() {
            topology = topology.router(name, uplink, *nat);
            uplink = name.as_str().into();
        }
        let lab = Lab::build(&topology.host("alice", uplink)).unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let stun = lab.node("stun").unwrap();
        let pairs: Vec<[IpAddr; 2]> = [
            stun.addresses().iter().copied().map(IpAddr::V4).collect::<Vec<_>>(),
            stun.addresses_v6().iter().copied().map(IpAddr::V6).collect(),
        ]
        .into_iter()
        .filter_map(|addresses| addresses.try_into().ok())
        .collect();
        let server = stun.within(|| Server::bind(&pairs, PORTS).unwrap()).unwrap();
        std::thread::spawn(move || server.serve(stopped).unwrap());
        let signaling = lab.node("signaling").unwrap();
        let listeners = SIGNALING.map(|port| {
            signaling.within(|| TcpListener::bind((signaling.address(), port)).unwrap()).unwrap()
        });
        Bench { lab, names, _stop: stop, _listeners: listeners.into() }
    }

    fn routers(&self) -> impl Iterator<Item = &Router> {
        self.names.iter().map(|name| self.lab.router(name).unwrap())
    }

    fn measure(&self, version: IpVersion) -> Found {
        let [alice, stun, signaling] =
            ["alice", "stun", "signaling"].map(|name| self.lab.node(name).unwrap());
        let (from, server): (IpAddr, IpAddr) = match version {
            IpVersion::V4 => (alice.address().into(), stun.address().into()),
            IpVersion::V6 => (alice.addresses_v6()[0].into(), stun.addresses_v6()[0].into()),
        };
        let tcp = SIGNALING.map(|port| SocketAddrV4::new(signaling.address(), port).into());
        let is_v4 = version == IpVersion::V4;
        let questions =
            Questions { allocation: true, hairpin: true, tcp: if is_v4 { tcp.into() } else { vec![] } };
        let mut drops = || self.routers().map(Router::drops).sum::<Result<Drops, _>>();
        let server = SocketAddr::new(server, PORTS[0]);
        alice.within(|| measure(from, server, &mut drops, &questions).unwrap()).unwrap()
    }
}
