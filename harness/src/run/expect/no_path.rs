//! `path: none` holds only with all of its evidence: everything else worked, every candidate was told and checked, no
//! check was ever answered, the routers counted drops, and both ICE agents gave up.

use netns::nat::{CandidateType, Egress, Filtering, Nat, Path};

use super::{End, SessionJudge, joined};
use crate::peer::control::event::{Candidate, IceState, Stage as PeerStage};
use crate::run::observed::SessionSeen;
use crate::run::outcome::{Stage, Unmet};

impl SessionJudge<'_> {
    /// What is missing to say that there is no path.
    pub(super) fn no_path(&self) -> Vec<Unmet> {
        let mut unmet = self.descriptions();
        let joined = joined(self.seen, self.session);
        if joined.path != Path::None {
            let (path, via) = (joined.path.name(), joined.via.map_or("?", CandidateType::name));
            let message = format!("expected no path, found a {path} one via {via}: an unexpected success");
            unmet.push(Unmet { stage: Stage::Ice, expectation: "path".to_owned(), message });
            return unmet;
        }
        let mut missing: Vec<(Stage, String)> = Vec::new();
        for end in self.ends() {
            let Some(session) = end.session else { continue };
            missing.extend(untold(&end, self.seen.session(end.partner, end.peer)));
            missing.extend(unchecked(&end));
            missing.extend(signs_of_a_path(&end).map(|sign| (Stage::Ice, sign)));
            if !session.ice_failed() {
                let because = end.because(&[PeerStage::Ice, PeerStage::Dtls, PeerStage::Channel]);
                missing.push((Stage::Ice, format!("ICE of {} did not fail{because}", end.peer)));
            }
        }
        missing.extend(self.undropped().map(|message| (Stage::Ice, message)));
        unmet.extend(missing.into_iter().map(|(stage, what)| Unmet {
            stage,
            expectation: "path".to_owned(),
            message: format!("no evidence that there is no path: {what}"),
        }));
        unmet
    }

    /// Routers that stopped nothing, and the want of any. One that admits everybody stops nothing: there the checks of
    /// the other must be seen to come in.
    fn undropped(&self) -> impl Iterator<Item = String> {
        let is_open = self.ends().all(|end| !end.has_router);
        let silent = self.ends().filter(|end| end.has_router).filter_map(|end| {
            let End { peer, partner, .. } = end;
            match end.own.filtered {
                None => Some(format!("nobody counted what the router of {peer} dropped")),
                Some(1..) => None,
                Some(0) if self.stands_behind(peer, |nat| !admits_all(nat)) => {
                    Some(format!("the router of {peer} dropped nothing"))
                }
                Some(0) => {
                    let checks = end.session.map_or(&[][..], |session| &session.checks);
                    let is_deaf = checks.iter().all(|pair| pair.requests_received == 0);
                    let is_sent = !self.stands_behind(partner, |nat| nat.egress != Egress::Everything);
                    (is_deaf && is_sent).then(|| {
                        format!("the router of {peer} admits everybody, and no check of {partner} came")
                    })
                }
            }
        });
        silent.chain(is_open.then(|| "no router stands between the two".to_owned()))
    }

    /// Whether one of the routers that a peer is behind is declared so.
    fn stands_behind(&self, peer: &str, is_so: impl Fn(&Nat) -> bool) -> bool {
        let peer = self.case.peers.iter().find(|known| known.name == peer);
        peer.is_some_and(|peer| self.case.vantage(peer).routers.iter().any(|(_, nat)| is_so(nat)))
    }
}

fn admits_all(nat: &Nat) -> bool {
    nat.filtering == Filtering::EndpointIndependent && nat.egress == Egress::Everything
}

/// Candidates of the partner that this end was never told.
fn untold(end: &End<'_>, partner: Option<&SessionSeen>) -> Vec<(Stage, String)> {
    let Some(session) = end.session else { return Vec::new() };
    let (peer, partner_name) = (end.peer, end.partner);
    if session.remote.is_empty() {
        return vec![(Stage::Signaling, format!("{peer} got no candidate of {partner_name}"))];
    }
    let gathered = partner.map_or(&[][..], |partner| &partner.local);
    let untold =
        gathered.iter().filter(|own| !session.remote.iter().any(|remote| is_same_place(own, remote)));
    let words = |candidate: &Candidate| {
        let (address, port) = (&candidate.address, candidate.port);
        (Stage::Signaling, format!("{partner_name}'s candidate {address}:{port} never reached {peer}"))
    };
    untold.map(words).collect()
}

/// Candidates of the partner to which this end sent no check.
fn unchecked(end: &End<'_>) -> impl Iterator<Item = (Stage, String)> {
    let (remote, checks) = end.session.map_or((&[][..], &[][..]), |seen| (&seen.remote, &seen.checks));
    let is_checked = |candidate: &Candidate| {
        checks.iter().any(|pair| pair.requests_sent > 0 && is_same_place(&pair.remote, candidate))
    };
    let unchecked = remote.iter().filter(move |candidate| !is_checked(candidate));
    unchecked.map(|candidate| {
        let (address, port) = (&candidate.address, candidate.port);
        (Stage::Ice, format!("{} sent no check to {address}:{port}", end.peer))
    })
}

/// Whatever shows that packets went through after all, though it came to no channel.
fn signs_of_a_path(end: &End<'_>) -> Option<String> {
    let (session, peer) = (end.session?, end.peer);
    if session.open_us.is_some() {
        return Some(format!("the channel of {peer} opened"));
    }
    if let Some(pair) = session.checks.iter().find(|pair| pair.responses_received > 0) {
        let (address, port) = (&pair.remote.address, pair.remote.port);
        return Some(format!("a check of {peer} to {address}:{port} was answered"));
    }
    let is_up = |(_, state): &(u64, IceState)| matches!(state, IceState::Connected | IceState::Completed);
    session.ice.iter().any(is_up).then(|| format!("ICE of {peer} was connected for a while"))
}

fn is_same_place(a: &Candidate, b: &Candidate) -> bool {
    (&a.address, a.port) == (&b.address, b.port)
}
