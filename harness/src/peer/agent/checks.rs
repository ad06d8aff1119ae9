//! The connectivity checks of one session, counted where they pass: at the socket. webrtc-ice counts none itself.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::stun::{Message, MessageKind, TransactionId};
use crate::peer::control::event::{Candidate, CandidateType, CheckedPair, PairState};

/// Requests without an answer that are remembered for each remote address: enough for every round trip at one check
/// in 50 ms.
const OUTSTANDING: usize = 128;

/// What is known of the candidates on both sides, and what passed between them.
pub(super) struct Checks {
    /// One for each address family, the main one first.
    bases: Vec<SocketAddr>,
    reflexive: Vec<SocketAddr>,
    remotes: Vec<Remote>,
    selected: Option<SocketAddr>,
    failed: bool,
}

struct Remote {
    address: SocketAddr,
    candidate: Candidate,
    /// Where the partner's answers say that our checks come from.
    mapped: Option<SocketAddr>,
    outstanding: HashMap<TransactionId, Instant>,
    shortest: Option<Duration>,
    requests_sent: u64,
    responses_received: u64,
    requests_received: u64,
    responses_sent: u64,
    send_errors: u64,
}

impl Checks {
    pub(super) fn new(bases: &[SocketAddr]) -> Self {
        Self {
            bases: bases.to_vec(),
            reflexive: Vec::new(),
            remotes: Vec::new(),
            selected: None,
            failed: false,
        }
    }

    /// A STUN server saw the socket at `address`. False where that is no news.
    pub(super) fn add_reflexive(&mut self, address: SocketAddr) -> bool {
        let new = !self.bases.contains(&address) && !self.reflexive.contains(&address);
        if new {
            self.reflexive.push(address);
        }
        new
    }

    /// The partner told of a candidate; what was met there before it was told is now known by its right type. True where
    /// that changes what is known of the selected pair.
    pub(super) fn add_remote(&mut self, address: SocketAddr, candidate: Candidate) -> bool {
        let selected = self.selected == Some(address);
        let known = &mut self.remote(address).candidate;
        let changed = *known != candidate;
        *known = candidate;
        selected && changed
    }

    pub(super) fn sent(&mut self, to: SocketAddr, message: &Message, taken: bool, now: Instant) {
        let remote = self.remote(to);
        match (taken, message.kind) {
            (false, _) => remote.send_errors += 1,
            (true, MessageKind::Request) => {
                remote.requests_sent += 1;
                if remote.outstanding.len() == OUTSTANDING {
                    remote.outstanding.clear();
                }
                remote.outstanding.insert(message.id, now);
            }
            (true, MessageKind::Success) => remote.responses_sent += 1,
            (true, MessageKind::Other) => {}
        }
    }

    pub(super) fn received(&mut self, from: SocketAddr, message: &Message, now: Instant) {
        let remote = self.remote(from);
        match message.kind {
            MessageKind::Request => remote.requests_received += 1,
            MessageKind::Success => {
                let Some(sent) = remote.outstanding.remove(&message.id) else { return };
                let round_trip = now - sent;
                remote.shortest =
                    Some(remote.shortest.map_or(round_trip, |shortest| shortest.min(round_trip)));
                remote.responses_received += 1;
                remote.mapped = message.mapped.or(remote.mapped);
            }
            MessageKind::Other => {}
        }
    }

    pub(super) fn select(&mut self, remote: SocketAddr) {
        self.selected = Some(remote);
    }

    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    /// The selected pair in the sense of RFC 8445 section 7.2.5.3.1: local is the candidate with the address at which
    /// the partner sees this peer, and a new, peer-reflexive one where it was none before.
    pub(super) fn selected(&self) -> Option<(Candidate, Candidate)> {
        let address = self.selected?;
        let remote = self.remotes.iter().find(|remote| remote.address == address)?;
        let base = self.base_towards(address);
        let local = match remote.mapped {
            Some(seen) if seen != base => {
                let known = self.reflexive.contains(&seen);
                let kind = if known { CandidateType::Srflx } else { CandidateType::Prflx };
                candidate(kind, seen, Some(base))
            }
            _ => candidate(CandidateType::Host, base, None),
        };
        Some((local, remote.candidate.clone()))
    }

    /// The shortest round trip of any check.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.remotes.iter().filter_map(|remote| remote.shortest).min()
    }

    /// All pairs: there is one base in each family, so one pair for each remote candidate.
    pub(super) fn pairs(&self) -> Vec<CheckedPair> {
        let local = |remote: &Remote| candidate(CandidateType::Host, self.base_towards(remote.address), None);
        self.remotes.iter().map(|remote| self.pair(local(remote), remote)).collect()
    }

    fn base_towards(&self, remote: SocketAddr) -> SocketAddr {
        let base = self.bases.iter().find(|base| base.is_ipv4() == remote.is_ipv4());
        // There are no remotes of a family without a base.
        *base.unwrap_or(&self.bases[0])
    }

    fn pair(&self, local: Candidate, remote: &Remote) -> CheckedPair {
        CheckedPair {
            local,
            remote: remote.candidate.clone(),
            state: match (remote.responses_received, remote.requests_sent) {
                (1.., _) => PairState::Succeeded,
                (0, 1..) if self.failed => PairState::Failed,
                (0, 1..) => PairState::InProgress,
                (0, 0) => PairState::Waiting,
            },
            nominated: self.selected == Some(remote.address),
            requests_sent: remote.requests_sent,
            responses_received: remote.responses_received,
            requests_received: remote.requests_received,
            responses_sent: remote.responses_sent,
            send_errors: remote.send_errors,
            round_trip_us: remote.shortest.map(|time| time.as_micros() as u64),
        }
    }

    fn remote(&mut self, address: SocketAddr) -> &mut Remote {
        let at = match self.remotes.iter().position(|remote| remote.address == address) {
            Some(at) => at,
            None => {
                self.remotes.push(Remote::met(address));
                self.remotes.len() - 1
            }
        };
        &mut self.remotes[at]
    }
}

impl Remote {
    fn met(address: SocketAddr) -> Self {
        Self {
            address,
            candidate: candidate(CandidateType::Prflx, address, None),
            mapped: None,
            outstanding: HashMap::new(),
            shortest: None,
            requests_sent: 0,
            responses_received: 0,
            requests_received: 0,
            responses_sent: 0,
            send_errors: 0,
        }
    }
}

pub(super) fn candidate(kind: CandidateType, address: SocketAddr, base: Option<SocketAddr>) -> Candidate {
    Candidate {
        kind,
        protocol: "udp".to_owned(),
        address: address.ip().to_string(),
        port: address.port(),
        related_address: base.map(|base| base.ip().to_string()),
        related_port: base.map(|base| base.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "10.0.0.2:5000";
    const PARTNER: &str = "203.0.113.7:6000";

    #[test]
    fn a_check_counts_once_the_kernel_took_it_and_its_answer_only_if_it_was_asked_for() {
        let mut checks = Checks::new(&[at(BASE)]);
        let now = Instant::now();
        checks.add_remote(at(PARTNER), candidate(CandidateType::Srflx, at(PARTNER), None));
        assert_eq!(checks.pairs()[0].state, PairState::Waiting);
        checks.sent(at(PARTNER), &request(1), true, now);
        checks.sent(at(PARTNER), &request(2), false, now);
        assert_eq!(checks.pairs()[0].state, PairState::InProgress);
        checks.received(at(PARTNER), &success(9, BASE), now);
        assert_eq!(checks.pairs()[0].responses_received, 0);
        checks.received(at(PARTNER), &success(1, BASE), now + Duration::from_millis(3));
        let pair = &checks.pairs()[0];
        assert_eq!((pair.requests_sent, pair.responses_received, pair.send_errors), (1, 1, 1));
        assert_eq!((pair.state, pair.round_trip_us), (PairState::Succeeded, Some(3_000)));
    }

    #[test]
    fn the_failure_of_ice_fails_the_pairs_that_were_checked_in_vain_only() {
        let mut checks = Checks::new(&[at(BASE)]);
        checks.sent(at(PARTNER), &request(1), true, Instant::now());
        checks.add_remote(at("203.0.113.8:1"), candidate(CandidateType::Host, at("203.0.113.8:1"), None));
        checks.fail();
        let states: Vec<_> = checks.pairs().iter().map(|pair| pair.state).collect();
        assert_eq!(states, [PairState::Failed, PairState::Waiting]);
    }

    #[test]
    fn the_local_candidate_of_the_selected_pair_is_the_one_that_the_partner_sees() {
        for (seen, kind) in [
            (BASE, CandidateType::Host),
            ("198.51.100.1:7000", CandidateType::Srflx),
            ("198.51.100.1:7001", CandidateType::Prflx),
        ] {
            let mut checks = Checks::new(&[at(BASE)]);
            let now = Instant::now();
            assert!(checks.add_reflexive(at("198.51.100.1:7000")));
            checks.sent(at(PARTNER), &request(1), true, now);
            checks.received(at(PARTNER), &success(1, seen), now);
            checks.select(at(PARTNER));
            let (local, remote) = checks.selected().unwrap();
            assert_eq!((local.kind, local.port), (kind, at(seen).port()));
            assert_eq!(remote.kind, CandidateType::Prflx);
        }
    }

    #[test]
    fn a_candidate_met_before_it_was_told_takes_the_type_it_is_told_with() {
        let mut checks = Checks::new(&[at(BASE)]);
        checks.received(at(PARTNER), &request(1), Instant::now());
        assert_eq!(checks.pairs()[0].remote.kind, CandidateType::Prflx);
        checks.select(at(PARTNER));
        let srflx = candidate(CandidateType::Srflx, at(PARTNER), None);
        assert!(checks.add_remote(at(PARTNER), srflx.clone()), "the selected pair is known better now");
        assert!(!checks.add_remote(at(PARTNER), srflx));
        assert_eq!(checks.pairs().len(), 1);
        assert_eq!(checks.pairs()[0].remote.kind, CandidateType::Srflx);
        assert_eq!(checks.pairs()[0].requests_received, 1);
    }

    #[test]
    fn a_reflexive_address_equal_to_the_base_is_no_candidate() {
        let mut checks = Checks::new(&[at(BASE)]);
        assert!(!checks.add_reflexive(at(BASE)));
    }

    #[test]
    fn each_family_has_its_own_base() {
        const OTHERS: &str = "[2001:db8::7]:6000";
        let mut checks = Checks::new(&[at("[2001:db8::2]:5000"), at(BASE)]);
        for remote in [PARTNER, OTHERS] {
            checks.sent(at(remote), &request(1), true, Instant::now());
        }
        let locals: Vec<String> = checks.pairs().into_iter().map(|pair| pair.local.address).collect();
        assert_eq!(locals, ["10.0.0.2", "2001:db8::2"]);
        checks.received(at(OTHERS), &success(1, "[2001:db8::2]:5000"), Instant::now());
        checks.select(at(OTHERS));
        assert_eq!(checks.selected().unwrap().0.kind, CandidateType::Host);
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    fn request(id: u8) -> Message {
        Message { kind: MessageKind::Request, id: [id; 12], mapped: None }
    }

    fn success(id: u8, seen: &str) -> Message {
        Message { kind: MessageKind::Success, id: [id; 12], mapped: Some(at(seen)) }
    }
}
