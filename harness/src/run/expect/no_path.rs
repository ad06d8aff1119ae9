//! `path: none` holds only with all of its evidence: everything else worked, every candidate was told and checked, no
//! check was ever answered, the routers counted drops, and both ICE agents gave up.

use netns::nat::{CandidateType, Filtering, Nat, Path};

use super::{End, SessionJudge, joined};
use crate::peer::control::event::{Candidate, IceState, Stage as PeerStage};
use crate::run::observed::SessionSeen;
use crate::run::outcome::{Stage, Unmet};

impl SessionJudge<'_> {
    /// What is missing to say that there is no path.
    pub(super) fn no_path(&self) -> Vec<Unmet> {
        let mut unmet = self.descriptions();
        let joined = joined(self.case, self.seen, self.session);
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
        missing.extend(self.undropped().into_iter().map(|message| (Stage::Ice, message)));
        unmet.extend(missing.into_iter().map(|(stage, what)| Unmet {
            stage,
            expectation: "path".to_owned(),
            message: format!("no evidence that there is no path: {what}"),
        }));
        unmet
    }

    /// Routers that stopped nothing, and the want of any. One that admits everybody stops nothing: there the checks of
    /// the other must be seen to come in. One that lets no UDP out must have refused some, and nothing comes to the other.
    /// Where the two have no address family in common there is nothing to stop.
    fn undropped(&self) -> Vec<String> {
        let ends: Vec<End<'_>> = self.ends().collect();
        if !have_a_common_family(&ends) {
            return Vec::new();
        }
        if ends.iter().all(|end| end.vantage.routers.is_empty()) {
            return vec!["no router stands between the two".to_owned()];
        }
        let other_is_closed =
            |end: &End<'_>| ends.iter().any(|other| other.peer == end.partner && other.is_closed());
        let guarded = ends.iter().filter(|end| !end.vantage.routers.is_empty());
        guarded.filter_map(|end| let_through(end, other_is_closed(end))).collect()
    }
}

/// Why the routers before one end prove nothing.
fn let_through(end: &End<'_>, other_is_closed: bool) -> Option<String> {
    let End { peer, partner, .. } = end;
    let routers = &end.vantage.routers;
    let of = if routers.len() == 1 { "the router" } else { "the routers" };
    let (Some(filtered), Some(refused)) = (end.own.filtered, end.own.refused) else {
        return Some(format!("nobody counted what {of} of {peer} dropped"));
    };
    if end.is_closed() {
        return (refused == 0).then(|| format!("{of} of {peer} refused nothing"));
    }
    if filtered > 0 || other_is_closed {
        return None;
    }
    if !routers.iter().all(|(_, nat)| admits_all(nat)) {
        return Some(format!("{of} of {peer} dropped nothing"));
    }
    let checks = end.session.map_or(&[][..], |session| &session.checks);
    let is_deaf = checks.iter().all(|pair| pair.requests_received == 0);
    is_deaf.then(|| format!("{of} of {peer} admits everybody, and no check of {partner} came"))
}

fn admits_all(nat: &Nat) -> bool {
    nat.filtering == Filtering::EndpointIndependent
}

/// Whether the two ends have gathered candidates that could be pairs at all.
fn have_a_common_family(ends: &[End<'_>]) -> bool {
    let [first, second] = ends else { return true };
    let of = |end: &End<'_>, v4| end.gathered().iter().any(|own| is_v4(own) == v4);
    // Who has gathered nothing is told so elsewhere.
    [first, second].iter().any(|end| end.gathered().is_empty())
        || [true, false].into_iter().any(|v4| of(first, v4) && of(second, v4))
}

fn is_v4(candidate: &Candidate) -> bool {
    !candidate.address.contains(':')
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
fn unchecked<'a>(end: &'a End<'_>) -> impl Iterator<Item = (Stage, String)> + 'a {
    let (remote, checks) = end.session.map_or((&[][..], &[][..]), |seen| (&seen.remote, &seen.checks));
    let is_checked = |candidate: &Candidate| {
        checks.iter().any(|pair| pair.requests_sent > 0 && is_same_place(&pair.remote, candidate))
    };
    // What is of another family than every own candidate cannot be checked.
    let can_check = |candidate: &Candidate| end.gathered().iter().any(|own| is_v4(own) == is_v4(candidate));
    let unchecked = remote.iter().filter(move |candidate| can_check(candidate) && !is_checked(candidate));
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
