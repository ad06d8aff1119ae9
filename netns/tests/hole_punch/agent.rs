//! One side: sends checks to what it knows of the other, answers, and learns from what it is asked (RFC 8445 sections
//! 7.2 and 7.3). What it hears it writes down.

use std::net::{SocketAddr, UdpSocket};

use netns::nat::CandidateType;

/// Two hosts that both move learn a new address with every check, without end: so many in one round.
const LEARNED_IN_A_ROUND: usize = 3;

pub(crate) const WHO_AM_I: &str = "who am I?";

/// See the charter.
pub(crate) struct Agent {
    pub(crate) socket: UdpSocket,
    stun: SocketAddr,
    /// Where STUN sees it; `None` where it sees nothing.
    pub(crate) reflexive: Option<SocketAddr>,
    told: Vec<SocketAddr>,
    known: Vec<SocketAddr>,
    may_learn: usize,
    answers_of_stun: usize,
    /// The more indirect of the two candidates of each pair that was answered.
    pub(crate) found: Vec<CandidateType>,
    /// Answers that came from another address than was asked.
    pub(crate) strayed: usize,
    pub(crate) heard: Vec<Heard>,
}

/// A message of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Where it seems to come from.
    pub(crate) from: SocketAddr,
    /// Where it was sent to.
    pub(crate) to: SocketAddr,
}

impl Agent {
    pub(crate) fn new(socket: UdpSocket, stun: SocketAddr) -> Self {
        Agent {
            socket,
            stun,
            reflexive: None,
            told: Vec::new(),
            known: Vec::new(),
            may_learn: LEARNED_IN_A_ROUND,
            answers_of_stun: 0,
            found: Vec::new(),
            strayed: 0,
            heard: Vec::new(),
        }
    }

    pub(crate) fn host(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Its candidates: the host's own address first, and what STUN saw where that is another.
    pub(crate) fn candidates(&self) -> Vec<SocketAddr> {
        let reflexive = self.reflexive.filter(|&reflexive| reflexive != self.host());
        [Some(self.host()), reflexive].into_iter().flatten().collect()
    }

    /// Signaling: the other side's candidates.
    pub(crate) fn tell(&mut self, candidates: Vec<SocketAddr>) {
        self.known = candidates.clone();
        self.told = candidates;
    }

    /// One check to each address it knows.
    pub(crate) fn check(&mut self) {
        self.may_learn = LEARNED_IN_A_ROUND;
        for &remote in &self.known {
            self.ask(remote);
        }
    }

    pub(crate) fn ask_stun(&self) {
        self.send(WHO_AM_I, self.stun);
    }

    pub(crate) fn answers_of_stun(&self) -> usize {
        self.answers_of_stun
    }

    /// Takes in all that has arrived.
    pub(crate) fn hear(&mut self) {
        while let Some((text, from)) = receive(&self.socket) {
            if from == self.stun {
                self.answers_of_stun += 1;
                self.reflexive = Some(text.parse().unwrap());
            } else {
                self.handle(&text, from);
            }
        }
    }

    fn handle(&mut self, text: &str, from: SocketAddr) {
        let words: Vec<SocketAddr> = text[1..].split_whitespace().map(|word| word.parse().unwrap()).collect();
        match (&text[..1], words.as_slice()) {
            ("?", &[host, asked]) if host != self.host() => {
                self.heard.push(Heard { from, to: asked });
                self.send(&format!("! {} {asked} {from}", self.host()), from);
                if !self.known.contains(&from) && self.may_learn > 0 {
                    self.may_learn -= 1;
                    self.known.push(from);
                    self.ask(from);
                }
            }
            ("!", &[host, asked, mapped]) if host != self.host() => {
                self.heard.push(Heard { from, to: mapped });
                if from == asked {
                    let kind = kind(&self.candidates(), mapped).max(kind(&self.told, asked));
                    self.found.push(kind);
                } else {
                    // Section 7.2.5.2.1: no answer.
                    self.strayed += 1;
                }
            }
            // What it has sent itself, where the other's own address is the same as its own.
            _ => {}
        }
    }

    fn ask(&self, remote: SocketAddr) {
        self.send(&format!("? {} {remote}", self.host()), remote);
    }

    /// A host without a route, or whose router refuses with an ICMP error, has sent nothing; ICE goes on.
    fn send(&self, text: &str, to: SocketAddr) {
        let _ = self.socket.send_to(text.as_bytes(), to);
    }
}

fn kind(candidates: &[SocketAddr], address: SocketAddr) -> CandidateType {
    match candidates.iter().position(|&candidate| candidate == address) {
        Some(0) => CandidateType::Host,
        Some(_) => CandidateType::ServerReflexive,
        None => CandidateType::PeerReflexive,
    }
}

/// The next datagram that is there already, as text.
pub(crate) fn receive(socket: &UdpSocket) -> Option<(String, SocketAddr)> {
    let mut buffer = [0; 256];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                return Some((String::from_utf8_lossy(&buffer[..length]).into_owned(), from));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            // An ICMP error; ICE does not care.
            Err(_) => {}
        }
    }
}
