//! One STUN server for both families: two addresses and two ports of each.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;

use netns::lab::Lab;
use netns::nat::Family;
use netns::nat::stun::Server;
use netns::nat::stun::message::{Change, read_answer, write_request};
use netns::topology::{Topology, Uplink};

use crate::wire::{at, full_cone, udp, udp_v6};

const PORTS: [u16; 2] = [3478, 3479];

#[test]
fn a_dual_server_tells_each_family_apart_and_answers_from_all_its_corners() {
    let topology = Topology::default()
        .router("home", Uplink::Internet, full_cone(Family::Dual))
        .host("alice", "home".into())
        .public_host("bob", Family::Dual)
        .server("stun", 2);
    let lab = Lab::build(&topology).unwrap();
    let node = lab.node("stun").unwrap();
    let addresses: Vec<IpAddr> = node.all_addresses().collect();
    let (pairs, _) = addresses.as_chunks::<2>();
    let server = node.within(|| Server::bind(pairs, PORTS).unwrap()).unwrap();
    let endpoints: Vec<SocketAddr> = server.endpoints().collect();
    assert_eq!(endpoints, pairs.iter().map(|pair| SocketAddr::from((pair[0], PORTS[0]))).collect::<Vec<_>>());

    let (stop, stopped) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve(stopped));
        // It ends with this thread also where an assertion does not hold.
        let stop = stop;
        let outside = lab.router("home").unwrap().outside();
        let [v4, v6] = [udp(&lab, "alice"), udp_v6(&lab, "bob")];
        assert_every_corner_answers(&v4, pairs[0], SocketAddr::from((outside, at(&v4).port())));
        assert_every_corner_answers(&v6, pairs[1], at(&v6));
        drop(stop);
        serving.join().unwrap().unwrap();
    });
}

#[track_caller]
fn assert_every_corner_answers(client: &UdpSocket, [here, there]: [IpAddr; 2], mapped: SocketAddr) {
    let server = SocketAddr::new(here, PORTS[0]);
    let mut datagram = [0; 2048];
    // To IPv6 every router is a firewall that admits who was asked.
    for (address, port) in [(here, 0), (here, 1), (there, 0), (there, 1)] {
        client.send_to(&write_request(*b"may-you-call", None).unwrap(), (address, PORTS[port])).unwrap();
        client.recv_from(&mut datagram).unwrap();
    }
    for (address, port) in [(false, false), (false, true), (true, false), (true, true)] {
        let request = write_request(*b"from-a-place", Some(Change { address, port })).unwrap();
        client.send_to(&request, server).unwrap();
        let (length, source) = client.recv_from(&mut datagram).unwrap();
        let expected = SocketAddr::new(if address { there } else { here }, PORTS[usize::from(port)]);
        let answer = read_answer(&datagram[..length]).unwrap();
        assert_eq!((source, answer.origin, answer.mapped), (expected, Some(expected), mapped));
        assert_eq!(answer.other, Some(SocketAddr::new(there, PORTS[1])));
    }
}
