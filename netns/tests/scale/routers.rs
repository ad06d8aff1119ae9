//! Five hundred NAT routers on one internet, which routes: there is no bridge whose ports could run out.

use std::collections::HashSet;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use netns::lab::Lab;
use netns::nat::Preset;
use netns::nat::probe::{self, Questions};
use netns::nat::stun::Server;
use netns::topology::{Topology, Uplink};

const ROUTERS: usize = 500;

/// What is awaited comes in microseconds; this is for a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn each_of_five_hundred_routers_leads_to_the_server_and_back_without_a_packet_lost() {
    let began = Instant::now();
    let lab = Lab::build(&homes()).unwrap();
    println!("{ROUTERS} routers, each with a host: built in {:.2?}", began.elapsed());

    let began = Instant::now();
    let server = udp(&lab, "server");
    let hosts: Vec<UdpSocket> = (0..ROUTERS).map(|number| udp(&lab, &format!("host {number}"))).collect();
    let mut outsides = Vec::with_capacity(ROUTERS);
    // One after the other, and nothing is sent again: what got lost is missed.
    for (number, host) in hosts.iter().enumerate() {
        host.send_to(&number.to_be_bytes(), server.local_addr().unwrap()).unwrap();
        let (heard, outside) = hear(&server);
        assert_eq!(heard, number.to_be_bytes());
        assert_eq!(outside.ip(), lab.router(&format!("router {number}")).unwrap().outside());
        outsides.push(outside);
    }
    assert_eq!(outsides.iter().collect::<HashSet<_>>().len(), ROUTERS);
    for (number, &outside) in outsides.iter().enumerate() {
        server.send_to(&number.to_be_bytes(), outside).unwrap();
    }
    for (number, host) in hosts.iter().enumerate() {
        assert_eq!(hear(host), (number.to_be_bytes().to_vec(), server.local_addr().unwrap()));
    }
    println!("every host to the server and back: {:.2?}", began.elapsed());
}

#[test]
fn each_of_five_hundred_routers_is_measured_to_be_what_it_is_called() {
    let lab = Lab::build(&homes()).unwrap();
    let node = lab.node("server").unwrap();
    let addresses = [node.addresses()[0].into(), node.addresses()[1].into()];
    let server = node.within(|| Server::bind(&[addresses], [3478, 3479]).unwrap()).unwrap();
    let endpoint = SocketAddrV4::new(node.address(), 3478);

    let began = Instant::now();
    let (stop, stopped) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        // It ends with this thread also where an assertion does not hold.
        let _stop = stop;
        scope.spawn(|| server.serve(stopped).unwrap());
        for number in 0..ROUTERS {
            let router = lab.router(&format!("router {number}")).unwrap();
            let host = lab.node(&format!("host {number}")).unwrap();
            let questions = Questions { allocation: true, hairpin: true, tcp: Vec::new() };
            let measure = || probe::measure(host.address(), endpoint, &mut || router.drops(), &questions);
            let found = host.within(measure).unwrap().unwrap();
            assert_eq!(found.agrees_with(&Some(router.nat()).into()), Ok(()), "router {number}");
        }
    });
    println!("every router measured: {:.2?}, {:.2?} each", began.elapsed(), began.elapsed() / ROUTERS as u32);
}

fn homes() -> Topology {
    let kinds = [Preset::FullCone, Preset::PortRestricted, Preset::Symmetric];
    (0..ROUTERS).fold(Topology::default().server("server", 2), |topology, number| {
        let (router, nat) = (format!("router {number}"), kinds[number % kinds.len()].nat().unwrap());
        topology
            .router(&router, Uplink::Internet, nat)
            .host(&format!("host {number}"), router.as_str().into())
    })
}

fn udp(lab: &Lab, name: &str) -> UdpSocket {
    let node = lab.node(name).unwrap();
    let socket = node.within(|| UdpSocket::bind((node.address(), 5000)).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[track_caller]
fn hear(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).expect("a datagram arrives");
    (buffer[..length].to_vec(), from)
}
