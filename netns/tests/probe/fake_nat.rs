//! A NAT in user space, over loopback, in front of a real STUN server: it is the server to those inside, and one
//! client for each of its mappings to the server. Single-threaded, so what it does is what was asked of it.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};

use netns::nat::stun::Server;
use netns::nat::stun::message::{read_answer, write_answer};
use netns::nat::{Filtering, Mapping};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// In what this NAT differs from an honest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// In nothing.
    None,
    /// Lets nothing out, and counts it.
    Blocked,
    /// Drops what its filter refuses, but counts nothing.
    DropsUncounted,
    /// Counts what its filter refuses twice.
    CountsTwice,
    /// Counts what its filter refuses, and lets it in later.
    CountsAndAdmits,
    /// The same, but only for what comes from another port, not from another address.
    CountsAndAdmitsPort,
    /// Drops what its filter refuses, and counts it only once its counter has been read.
    CountsLate,
    /// Holds what comes from elsewhere until its counter has been read.
    Reorders,
    /// Loses what comes from elsewhere, without its filter having to do with it.
    Loses,
    /// Takes another port for each remote port, but not for each address.
    MapsByPort,
    /// Lets answers in from a port that did not send them.
    RewritesSource,
    /// Lets answers say that they come from a server that nobody asked.
    MisstatesOrigin,
    /// Gives a flow a new mapping with every packet.
    Forgets,
}

/// What a NAT is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    pub(crate) mapping: Mapping,
    pub(crate) filtering: Filtering,
    pub(crate) preserve: bool,
    pub(crate) fault: Fault,
}

/// A running NAT with its server; both end when it is dropped.
pub(crate) struct FakeNat {
    /// Where the probe is to send from.
    pub(crate) inside: Ipv4Addr,
    /// The outside address of all mappings.
    pub(crate) outside: Ipv4Addr,
    /// The server as it is seen through the NAT.
    pub(crate) server: SocketAddrV4,
    /// The same server as one sees it that has no NAT.
    pub(crate) bare_server: SocketAddrV4,
    counter: UnixStream,
    stops: [UnixStream; 2],
    threads: Vec<JoinHandle<io::Result<()>>>,
}

const PORTS: [u16; 2] = [3478, 3479];

impl FakeNat {
    pub(crate) fn start(behaviour: Behaviour) -> FakeNat {
        let [inside, outside, near_face, far_face, near, far] = addresses();
        let server = Server::bind(&[[near.into(), far.into()]], PORTS).unwrap();
        let (counter, asked) = UnixStream::pair().unwrap();
        let (stop_server, server_stopped) = UnixStream::pair().unwrap();
        let (stop_nat, nat_stopped) = UnixStream::pair().unwrap();
        let faces = [(near_face, 0), (near_face, 1), (far_face, 0), (far_face, 1)]
            .map(|(face, port)| UdpSocket::bind((face, PORTS[port])).unwrap());
        let mut nat = Nat {
            behaviour,
            outside,
            addresses: [(near_face, near), (far_face, far)],
            faces,
            mappings: Vec::new(),
            by_key: HashMap::new(),
            held: Vec::new(),
            drops: 0,
        };
        FakeNat {
            inside,
            outside,
            server: SocketAddrV4::new(near_face, PORTS[0]),
            bare_server: SocketAddrV4::new(near, PORTS[0]),
            counter,
            stops: [stop_server, stop_nat],
            threads: vec![
                thread::spawn(move || server.serve(server_stopped)),
                thread::spawn(move || nat.run(asked, nat_stopped)),
            ],
        }
    }

    /// Reads the drop counter. Packets that were held until then are in before it returns; counts that were held
    /// show only when it is read again.
    pub(crate) fn drops(&mut self) -> io::Result<u64> {
        self.counter.write_all(&[0])?;
        let mut drops = [0; 8];
        self.counter.read_exact(&mut drops)?;
        Ok(u64::from_be_bytes(drops))
    }
}

impl Drop for FakeNat {
    fn drop(&mut self) {
        for stop in &self.stops {
            stop.shutdown(Shutdown::Both).unwrap();
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap().unwrap();
        }
    }
}

struct Nat {
    behaviour: Behaviour,
    outside: Ipv4Addr,
    /// The server's addresses: as seen inside, and what they are.
    addresses: [(Ipv4Addr, Ipv4Addr); 2],
    faces: [UdpSocket; 4],
    mappings: Vec<MappingState>,
    by_key: HashMap<Key, usize>,
    held: Vec<Held>,
    drops: u64,
}

/// An inside socket, and as much of its destination as the mapping depends on.
type Key = (SocketAddrV4, Option<Ipv4Addr>, Option<u16>);

struct MappingState {
    socket: UdpSocket,
    inside: SocketAddrV4,
    sent_to: HashSet<SocketAddrV4>,
}

enum Held {
    Packet { from: SocketAddrV4, to: SocketAddrV4, datagram: Vec<u8> },
    Count,
}

impl Nat {
    fn run(&mut self, mut counter: UnixStream, stop: UnixStream) -> io::Result<()> {
        loop {
            let sockets = self.faces.iter().chain(self.mappings.iter().map(|mapping| &mapping.socket));
            let fds = [stop.as_fd(), counter.as_fd()].into_iter().chain(sockets.map(AsFd::as_fd));
            let mut ready: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            poll(&mut ready, PollTimeout::NONE)?;
            let is_ready: Vec<bool> = ready.iter().map(|fd| fd.any().unwrap()).collect();
            if is_ready[0] {
                return Ok(());
            }
            // What came in before the counter was asked for counts.
            for face in (0..4).filter(|face| is_ready[2 + face]) {
                self.outbound(face)?;
            }
            for mapping in (0..is_ready.len() - 6).filter(|mapping| is_ready[6 + mapping]) {
                self.inbound(mapping)?;
            }
            if is_ready[1] && counter.read(&mut [0])? == 1 {
                let drops = self.drops;
                self.let_go()?;
                counter.write_all(&drops.to_be_bytes())?;
            }
        }
    }

    fn outbound(&mut self, face: usize) -> io::Result<()> {
        let (datagram, inside) = receive(&self.faces[face])?;
        if self.behaviour.fault == Fault::Blocked {
            self.drops += 1;
            return Ok(());
        }
        let destination = SocketAddrV4::new(self.addresses[face >> 1].1, PORTS[face & 1]);
        let mapping = self.mapping_for(inside, destination);
        let mapping = &mut self.mappings[mapping];
        mapping.sent_to.insert(destination);
        mapping.socket.send_to(&datagram, destination)?;
        Ok(())
    }

    fn mapping_for(&mut self, inside: SocketAddrV4, destination: SocketAddrV4) -> usize {
        let (address, port) = (Some(*destination.ip()), Some(destination.port()));
        let key = match (self.behaviour.fault, self.behaviour.mapping) {
            (Fault::MapsByPort, _) => (inside, None, port),
            (_, Mapping::EndpointIndependent) => (inside, None, None),
            (_, Mapping::AddressDependent) => (inside, address, None),
            (_, Mapping::AddressAndPortDependent) => (inside, address, port),
        };
        if let Some(&known) = self.by_key.get(&key)
            && self.behaviour.fault != Fault::Forgets
        {
            return known;
        }
        let same_port = self.behaviour.preserve.then(|| UdpSocket::bind((self.outside, inside.port())).ok());
        let socket = same_port.flatten().unwrap_or_else(|| UdpSocket::bind((self.outside, 0)).unwrap());
        self.mappings.push(MappingState { socket, inside, sent_to: HashSet::new() });
        self.by_key.insert(key, self.mappings.len() - 1);
        self.mappings.len() - 1
    }

    fn inbound(&mut self, mapping: usize) -> io::Result<()> {
        let (datagram, remote) = receive(&self.mappings[mapping].socket)?;
        let MappingState { inside, sent_to, .. } = &self.mappings[mapping];
        let is_from_elsewhere = !sent_to.contains(&remote);
        let is_known_address = sent_to.iter().any(|known| known.ip() == remote.ip());
        let is_admitted = match self.behaviour.filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => is_known_address,
            Filtering::AddressAndPortDependent => !is_from_elsewhere,
        };
        let packet = Held::Packet { from: remote, to: *inside, datagram };
        match self.behaviour.fault {
            Fault::Loses if is_from_elsewhere => {}
            Fault::Reorders if is_from_elsewhere && is_admitted => self.held.push(packet),
            Fault::CountsLate if !is_admitted => self.held.push(Held::Count),
            Fault::DropsUncounted if !is_admitted => {}
            Fault::CountsTwice if !is_admitted => self.drops += 2,
            Fault::CountsAndAdmits if !is_admitted => {
                self.drops += 1;
                self.held.push(packet);
            }
            Fault::CountsAndAdmitsPort if !is_admitted && is_known_address => {
                self.drops += 1;
                self.held.push(packet);
            }
            _ if is_admitted => self.deliver(packet)?,
            _ => self.drops += 1,
        }
        Ok(())
    }

    fn let_go(&mut self) -> io::Result<()> {
        for held in std::mem::take(&mut self.held) {
            self.deliver(held)?;
        }
        Ok(())
    }

    fn deliver(&mut self, held: Held) -> io::Result<()> {
        let Held::Packet { from, to, datagram } = held else {
            self.drops += 1;
            return Ok(());
        };
        let address = usize::from(*from.ip() == self.addresses[1].1);
        let port =
            usize::from(from.port() == PORTS[1]) ^ usize::from(self.behaviour.fault == Fault::RewritesSource);
        self.faces[address << 1 | port].send_to(&self.as_seen_inside(&datagram), to)?;
        Ok(())
    }

    /// The answer with the server's addresses as they are known inside. No real NAT does so; on loopback it takes
    /// the place of routing.
    fn as_seen_inside(&self, datagram: &[u8]) -> Vec<u8> {
        let mut answer = read_answer(datagram).unwrap();
        for address in [&mut answer.origin, &mut answer.other].into_iter().flatten() {
            let (inside, _) = self.addresses.iter().find(|(_, real)| *real == address.ip()).unwrap();
            address.set_ip((*inside).into());
        }
        if self.behaviour.fault == Fault::MisstatesOrigin {
            answer.origin = answer.other;
        }
        write_answer(&answer, false).unwrap()
    }
}

/// Six addresses that no other NAT of these tests has, nor another run of them on this machine.
fn addresses() -> [Ipv4Addr; 6] {
    static TAKEN: AtomicU8 = AtomicU8::new(0);
    let first = TAKEN.fetch_add(6, Ordering::Relaxed);
    assert!(first < 240, "more NATs than there are addresses for");
    let [.., high, low] = std::process::id().to_be_bytes();
    [1, 2, 3, 4, 5, 6].map(|host| Ipv4Addr::new(127, high, low, first + host))
}

fn receive(socket: &UdpSocket) -> io::Result<(Vec<u8>, SocketAddrV4)> {
    let mut datagram = [0; 2048];
    let (length, source) = socket.recv_from(&mut datagram)?;
    let SocketAddr::V4(source) = source else { panic!("{source} is not IPv4") };
    Ok((datagram[..length].to_vec(), source))
}
