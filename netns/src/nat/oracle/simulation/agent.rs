//! One side: sends checks to all it knows, answers, learns from what it is asked (RFC 8445 sections 7.2 and 7.3).

use super::network::{Endpoint, Network, Packet, Text};
use crate::nat::CandidateType;

/// Two hosts that both move learn a new address with every check, without end: so many in one round.
const LEARNED_IN_A_ROUND: usize = 5;

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) host: Endpoint,
    own: Vec<Endpoint>,
    told: Vec<Endpoint>,
    known: Vec<Endpoint>,
    may_learn: usize,
    found: Vec<CandidateType>,
}

impl Agent {
    pub(super) fn new(host: Endpoint, own: Vec<Endpoint>, told: Vec<Endpoint>) -> Self {
        Agent { host, own, known: told.clone(), told, may_learn: LEARNED_IN_A_ROUND, found: Vec::new() }
    }

    pub(super) fn check(&mut self, network: &mut Network) {
        self.may_learn = LEARNED_IN_A_ROUND;
        for &remote in &self.known {
            self.ask(remote, network);
        }
    }

    fn ask(&self, remote: Endpoint, network: &mut Network) {
        network.send(Packet { from: self.host, to: remote, text: Text::Check { asked: remote } });
    }

    pub(super) fn handle(&mut self, packet: Packet, network: &mut Network) {
        match packet.text {
            Text::Check { asked } => {
                let text = Text::Answer { asked, mapped: packet.from };
                network.send(Packet { from: self.host, to: packet.from, text });
                if !self.known.contains(&packet.from) && self.may_learn > 0 {
                    self.may_learn -= 1;
                    self.known.push(packet.from);
                    self.ask(packet.from, network);
                }
            }
            // Section 7.2.5.2.1: an answer from elsewhere than was asked is none.
            Text::Answer { asked, mapped } if asked == packet.from => {
                self.found.push(kind(&self.own, mapped).max(kind(&self.told, asked)));
            }
            Text::Answer { .. } => {}
        }
    }

    pub(super) fn best(&self) -> Option<CandidateType> {
        self.found.iter().min().copied()
    }
}

/// A host's own address comes first in its list, what STUN saw second; the same address is one candidate.
fn kind(candidates: &[Endpoint], endpoint: Endpoint) -> CandidateType {
    match candidates.iter().position(|&candidate| candidate == endpoint) {
        Some(0) => CandidateType::Host,
        Some(_) => CandidateType::ServerReflexive,
        None => CandidateType::PeerReflexive,
    }
}
