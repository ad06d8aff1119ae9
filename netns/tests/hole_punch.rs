//! Two hosts punch holes with raw UDP, as ICE does with peer-reflexive candidates: every pair of classes ends as the
//! oracle says, whoever speaks first.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use netns::lab::Lab;
use netns::nat::{CandidateType, Path, Preset, direct_path};
use netns::topology::{Topology, Uplink};
use rstest::rstest;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(25);
const PATIENCE: Duration = Duration::from_secs(10);
const WHO_AM_I: &str = "who am I?";
const GOODBYE: &str = "goodbye";

/// How late the second side starts; negative: the first side is the late one.
#[rstest]
#[case::both_at_once(0)]
#[case::first_side_first(50)]
#[case::first_side_long_before(300)]
#[case::second_side_first(-50)]
#[case::second_side_long_before(-300)]
fn every_pair_meets_or_not_as_the_oracle_says(#[case] skew: i64) {
    let delays = [(-skew).max(0), skew.max(0)].map(|delay| Duration::from_millis(delay as u64));
    let kinds = Preset::ALL;
    let table = |cell: &(dyn Fn(Preset, Preset) -> String + Sync)| {
        std::thread::scope(|scope| {
            let rows = kinds.map(|a| kinds.map(|b| scope.spawn(move || cell(a, b))));
            let row = |row: [std::thread::ScopedJoinHandle<'_, String>; 5]| {
                row.map(|cell| cell.join().unwrap_or_else(|_| "panicked".to_owned())).join("  ")
            };
            rows.map(row).join("\n")
        })
    };
    let seen = table(&|a, b| punched([a, b], delays));
    let said = table(&|a, b| {
        let prediction = direct_path(a.access(), b.access());
        match (prediction.path, prediction.via) {
            (Path::None, _) => NO_PATH.to_owned(),
            (_, via) if via.contains(&CandidateType::ServerReflexive) => BY_SRFLX.to_owned(),
            _ => BY_PRFLX.to_owned(),
        }
    });
    assert_eq!(seen, said, "seen:\n{seen}\nsaid:\n{said}");
}

const NO_PATH: &str = "none ";
const BY_SRFLX: &str = "srflx";
const BY_PRFLX: &str = "prflx";

/// What became of one pair: the most direct way by which both sides had an answer.
fn punched(kinds: [Preset; 2], delays: [Duration; 2]) -> String {
    let lab = lab_of(kinds);
    let server = socket(&lab, "stun", 3478);
    let stun = address(&server);
    let sockets = [socket(&lab, "first", 5000), socket(&lab, "second", 6000)];
    let rendezvous = Rendezvous::default();
    let found = std::thread::scope(|scope| {
        scope.spawn(|| reflect(&server));
        let reflexive = sockets.each_ref().map(|socket| ask(socket, stun));
        let start = Instant::now();
        let sides = [0, 1].map(|me| {
            let agent = Agent {
                socket: &sockets[me],
                stun,
                own: reflexive[me],
                known: vec![reflexive[1 - me]],
                peer: reflexive[1 - me],
                found: Vec::new(),
            };
            let rendezvous = &rendezvous;
            scope.spawn(move || agent.punch(start + delays[me], rendezvous))
        });
        let found = sides.map(|side| side.join());
        socket(&lab, "stun", 0).send_to(GOODBYE.as_bytes(), stun).unwrap();
        found.map(|found| found.unwrap())
    });
    match found.each_ref().map(|found| found.iter().min()) {
        [Some(first), Some(second)] => first.max(second).name().to_owned(),
        [None, None] => {
            // It is the routers that kept them apart.
            let dropped = ["first router", "second router"]
                .map(|router| lab.router(router).map_or(0, |router| router.drops().unwrap().filtered));
            assert!(dropped.iter().sum::<u64>() > 0, "{kinds:?}: no path, and no drop either");
            NO_PATH.to_owned()
        }
        halves => format!("half: {halves:?}"),
    }
}

/// When the two sides stop.
struct Rendezvous {
    answered: AtomicUsize,
    exhausted: AtomicUsize,
    both: Barrier,
}

impl Default for Rendezvous {
    fn default() -> Self {
        Self { answered: AtomicUsize::new(0), exhausted: AtomicUsize::new(0), both: Barrier::new(2) }
    }
}

impl Rendezvous {
    fn is_over(&self) -> bool {
        self.answered.load(Ordering::SeqCst) == 2 || self.exhausted.load(Ordering::SeqCst) == 2
    }
}

/// One side: sends checks to what it knows of the other, answers, and learns from what it is asked.
struct Agent<'a> {
    socket: &'a UdpSocket,
    stun: SocketAddrV4,
    own: SocketAddrV4,
    peer: SocketAddrV4,
    known: Vec<SocketAddrV4>,
    /// The more indirect of the two candidate types of each pair that was answered.
    found: Vec<CandidateType>,
}

impl Agent<'_> {
    fn punch(mut self, start: Instant, rendezvous: &Rendezvous) -> Vec<CandidateType> {
        // The skew is what is tested.
        std::thread::sleep(start.saturating_duration_since(Instant::now()));
        let mut answered = false;
        for round in 0.. {
            for remote in self.known.clone() {
                self.send("?", remote);
            }
            let end = Instant::now() + ROUND;
            while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                self.socket.set_read_timeout(Some(left)).unwrap();
                if let Some((text, from)) = receive(self.socket) {
                    self.handle(&text, from);
                }
            }
            if !answered && !self.found.is_empty() {
                answered = true;
                rendezvous.answered.fetch_add(1, Ordering::SeqCst);
            }
            if round == ROUNDS {
                rendezvous.exhausted.fetch_add(1, Ordering::SeqCst);
            }
            if rendezvous.is_over() {
                break;
            }
        }
        // What the server says now comes after all that the other side has sent; twice, for the answers to it.
        for _ in 0..2 {
            rendezvous.both.wait();
            self.hear_out();
        }
        self.found
    }

    fn hear_out(&mut self) {
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        self.send(WHO_AM_I, self.stun);
        loop {
            let (text, from) = receive(self.socket).expect("the server answers");
            if from == self.stun {
                return;
            }
            self.handle(&text, from);
        }
    }

    fn handle(&mut self, text: &str, from: SocketAddrV4) {
        match text.strip_prefix('!') {
            None => {
                self.send(&format!("!{from}"), from);
                if !self.known.contains(&from) {
                    self.known.push(from);
                    self.send("?", from);
                }
            }
            Some(mapped) => {
                let reflexive = |told| {
                    if told { CandidateType::ServerReflexive } else { CandidateType::PeerReflexive }
                };
                let local = reflexive(mapped == self.own.to_string());
                self.found.push(local.max(reflexive(from == self.peer)));
            }
        }
    }

    fn send(&self, text: &str, to: SocketAddrV4) {
        self.socket.send_to(text.as_bytes(), to).unwrap();
    }
}

/// Tells everybody the address it is seen at.
fn reflect(server: &UdpSocket) {
    loop {
        let Some((text, from)) = receive(server) else { continue };
        if text == GOODBYE {
            return;
        }
        server.send_to(from.to_string().as_bytes(), from).unwrap();
    }
}

fn ask(socket: &UdpSocket, server: SocketAddrV4) -> SocketAddrV4 {
    socket.send_to(WHO_AM_I.as_bytes(), server).unwrap();
    let (answer, _) = receive(socket).expect("the server answers");
    answer.parse().unwrap()
}

fn lab_of(kinds: [Preset; 2]) -> Lab {
    let mut topology = Topology::default().server("stun", 1);
    for (name, kind) in ["first", "second"].into_iter().zip(kinds) {
        let router = format!("{name} router");
        topology = match kind.nat() {
            None => topology.host(name, Uplink::Internet),
            Some(nat) => topology.router(&router, Uplink::Internet, nat).host(name, router.as_str().into()),
        };
    }
    Lab::build(&topology).unwrap()
}

fn socket(lab: &Lab, node: &str, port: u16) -> UdpSocket {
    let node = lab.node(node).unwrap();
    let socket = node.within(|| UdpSocket::bind((node.address(), port)).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> Option<(String, SocketAddrV4)> {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    let SocketAddr::V4(from) = from else { return None };
    Some((String::from_utf8_lossy(&buffer[..length]).into_owned(), from))
}

fn address(socket: &UdpSocket) -> SocketAddrV4 {
    match socket.local_addr().unwrap() {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => panic!("{address} is not IPv4"),
    }
}
