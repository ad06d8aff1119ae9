//! The verdict: what was expected against what was seen. Pure. A case cannot pass by accident: that a path was found
//! counts only where both ends tell which, and that none was only with the evidence that [`no_path`] asks for.

mod no_path;
#[cfg(test)]
mod tests;

use netns::nat::{CandidateType, Egress, Path, Translation, Vantage};

use super::observed::{Failure, Observed, PeerSeen, SessionSeen, time};
use super::outcome::{Outcome, Stage, Unmet};
use crate::peer::control::event::{Candidate, CandidateType as Kind, Stage as PeerStage};
use crate::scenario::{After, Case, CaseTransfer, Session, StepVerb, show_duration};

/// What the two ends of a session came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The kind of path; `None` where not both ends opened the channel and told the pair of candidates it uses.
    pub path: Path,
    /// The most indirect candidate type among the four of both ends' selected pairs.
    pub via: Option<CandidateType>,
}

/// Judges a case that ran to its end. What the lab itself broke is not judged here.
pub fn judge(case: &Case, seen: &Observed) -> Outcome {
    if let Some(message) = died(case, seen) {
        return Outcome::Error { stage: Stage::Peer, message };
    }
    let mut unmet: Vec<Unmet> =
        case.sessions.iter().flat_map(|session| SessionJudge { case, seen, session }.unmet()).collect();
    unmet.extend(steps(case, seen));
    unmet.sort_by_key(|unmet| unmet.stage);
    if unmet.is_empty() { Outcome::Pass } else { Outcome::Fail { unmet } }
}

/// How two peers were joined, whatever was expected.
pub fn joined(case: &Case, seen: &Observed, session: &Session) -> Joined {
    let ends = [(&session.offerer, &session.answerer), (&session.answerer, &session.offerer)];
    let selected = ends.map(|(peer, partner)| {
        let open = seen.session(peer, partner).filter(|end| end.open_us.is_some());
        open.and_then(|end| end.selected.as_ref())
    });
    let [Some(offerer), Some(answerer)] = selected else { return Joined { path: Path::None, via: None } };
    let via = [offerer, answerer].into_iter().flat_map(|(local, remote)| [kind(local), kind(remote)]).max();
    let path = match via {
        Some(CandidateType::Relayed) => Path::Relayed,
        Some(CandidateType::Host) if are_on_one_lan(case, session) => Path::Lan,
        _ => Path::Direct,
    };
    Joined { path, via }
}

/// Where host candidates meet, no router is crossed.
fn are_on_one_lan(case: &Case, session: &Session) -> bool {
    let lan = |name: &str| case.peers.iter().find(|peer| peer.name == name)?.router.as_ref();
    lan(&session.offerer).is_some_and(|of| Some(of) == lan(&session.answerer))
}

/// Whether two peers got a direct path and every file of theirs arrived byte for byte.
pub fn succeeded(case: &Case, seen: &Observed, session: &Session) -> bool {
    matches!(joined(case, seen, session).path, Path::Direct | Path::Lan)
        && transfers(case, session).all(|transfer| arrived(seen, transfer).is_ok())
}

/// The transfers between the two peers of a session.
pub fn transfers<'a>(case: &'a Case, session: &'a Session) -> impl Iterator<Item = &'a CaseTransfer> {
    case.transfers.iter().filter(|transfer| {
        let ends = [&transfer.from, &transfer.to];
        ends == [&session.offerer, &session.answerer] || ends == [&session.answerer, &session.offerer]
    })
}

/// Peers whose program ended before it was asked to: what they left undone says nothing of the network.
fn died(case: &Case, seen: &Observed) -> Option<String> {
    let died = case.peers.iter().filter_map(|peer| {
        let status = seen.peers.get(&peer.name)?.died.as_ref()?;
        Some(format!("the program of {} ended before the case did: {status}", peer.name))
    });
    let died: Vec<String> = died.collect();
    (!died.is_empty()).then(|| died.join(", "))
}

/// Steps that never came due.
fn steps(case: &Case, seen: &Observed) -> impl Iterator<Item = Unmet> {
    let missed = case.steps.iter().enumerate().filter(|(index, _)| !seen.steps.contains_key(index));
    missed.map(|(_, step)| {
        let (stage, after) = match step.after {
            After::Connected => (Stage::Channel, "all are connected".to_owned()),
            After::Share(percent) => (Stage::Transfer, format!("{percent}% have arrived")),
            After::Time(time) => (Stage::Transfer, format!("{} more", show_duration(time))),
        };
        let what = match &step.verb {
            StepVerb::Forget(router) => format!("forget {router}"),
            StepVerb::LogIn(router) => format!("log in at {router}"),
        };
        let message = format!(
            "the step of line {}, {what} after {after}, never came due: the case was over",
            step.line
        );
        Unmet { stage, expectation: "steps".to_owned(), message }
    })
}

struct SessionJudge<'a> {
    case: &'a Case,
    seen: &'a Observed,
    session: &'a Session,
}

impl SessionJudge<'_> {
    fn unmet(&self) -> Vec<Unmet> {
        let mut unmet = self.unseen();
        unmet.extend(self.discovery());
        unmet.extend(self.gathering());
        if self.session.expect.race {
            // Who speaks first decides, and nobody set who: what came of it is recorded, never judged.
            return unmet;
        }
        if self.session.expect.path == Path::None {
            unmet.extend(self.no_path());
        } else {
            unmet.extend(self.path());
            unmet.extend(self.via());
            unmet.extend(self.in_time());
        }
        if self.session.expect.file {
            unmet.extend(self.files());
        }
        unmet
    }

    /// A peer of which nothing is known proves nothing.
    fn unseen(&self) -> Vec<Unmet> {
        let Session { offerer, answerer, .. } = self.session;
        let unseen = [offerer, answerer].into_iter().filter(|peer| !self.seen.peers.contains_key(*peer));
        let unmet = |peer: &String| Unmet {
            stage: Stage::Peer,
            expectation: "path".to_owned(),
            message: format!("nothing was seen of {peer}"),
        };
        unseen.map(unmet).collect()
    }

    /// Both ends: a peer, its partner, what the peer saw of itself and of the partner.
    fn ends(&self) -> impl Iterator<Item = End<'_>> {
        let Session { offerer, answerer, .. } = self.session;
        [(offerer, answerer, true), (answerer, offerer, false)].into_iter().filter_map(
            |(peer, partner, offers)| {
                let own = self.seen.peers.get(peer)?;
                let declared = self.case.peers.iter().find(|declared| declared.name == *peer)?;
                let vantage = self.case.vantage(declared);
                Some(End { peer, partner, offers, vantage, own, session: own.sessions.get(partner) })
            },
        )
    }

    fn discovery(&self) -> Vec<Unmet> {
        let limit = self.session.expect.discovered_within;
        let late = |end: End<'_>| {
            let (peer, partner) = (end.peer, end.partner);
            let message = match end.session.and_then(|session| session.discovered_us) {
                Some(at) if time(at) <= limit => return None,
                Some(at) => format!(
                    "{peer} discovered {partner} after {:.3} s, not within {}",
                    time(at).as_secs_f64(),
                    show_duration(limit)
                ),
                None => format!(
                    "{peer} never discovered {partner}{}",
                    end.because(&[PeerStage::Signaling, PeerStage::Discovery])
                ),
            };
            Some(Unmet { stage: Stage::Discovery, expectation: "discovered-within".to_owned(), message })
        };
        self.ends().filter_map(late).collect()
    }

    /// Wherever STUN was reached through a router that translates, it must have shown that router's outside address, and
    /// where no UDP leaves nothing may have been reached.
    fn gathering(&self) -> Vec<Unmet> {
        let blind = |end: End<'_>| {
            // Before discovery there is nothing to gather for: that is told already.
            let session = end.session.filter(|session| session.discovered_us.is_some())?;
            let reflexive: Vec<&Candidate> = session.server_reflexive().collect();
            if end.is_closed() {
                let leak = reflexive.first()?;
                let message = format!(
                    "{} gathered the server-reflexive address {}, but no UDP may leave its network",
                    end.peer, leak.address
                );
                return Some(Unmet { stage: Stage::Gathering, expectation: "path".to_owned(), message });
            }
            if !end.is_translated() {
                return None;
            }
            let outside = end.own.outside.as_deref().unwrap_or("not known");
            let is_outside = |candidate: &&Candidate| {
                candidate.address == outside || end.own.pool.contains(&candidate.address)
            };
            let message = match reflexive.as_slice() {
                [] => format!(
                    "{} gathered no server-reflexive candidate: no STUN server answered it{}",
                    end.peer,
                    end.because(&[PeerStage::Gathering])
                ),
                found if found.iter().any(is_outside) => return None,
                [wrong, ..] => format!(
                    "{} gathered the server-reflexive address {}, but its router's outside address is {outside}",
                    end.peer, wrong.address
                ),
            };
            Some(Unmet { stage: Stage::Gathering, expectation: "path".to_owned(), message })
        };
        self.ends().filter_map(blind).collect()
    }

    /// Offer and answer, at both ends.
    fn descriptions(&self) -> Vec<Unmet> {
        let missing = |end: End<'_>| {
            // What was never discovered was never offered to: that is told already.
            let session = end.session.filter(|session| session.discovered_us.is_some())?;
            let (what, other) =
                if end.offers { ("answer", session.answer_us) } else { ("offer", session.offer_us) };
            let message = format!(
                "{}'s {what} never reached {}{}",
                end.partner,
                end.peer,
                end.because(&[PeerStage::Signaling])
            );
            other.is_none().then(|| Unmet {
                stage: Stage::Signaling,
                expectation: "path".to_owned(),
                message,
            })
        };
        self.ends().filter_map(missing).collect()
    }

    fn path(&self) -> Vec<Unmet> {
        let expected = self.session.expect.path;
        let found = joined(self.case, self.seen, self.session).path;
        if found == expected {
            return Vec::new();
        }
        let mut unmet = self.descriptions();
        let (stage, why) = self.why_not_open();
        unmet.push(Unmet {
            stage,
            expectation: "path".to_owned(),
            message: format!("expected a {} path, found {}{why}", expected.name(), found_words(found)),
        });
        unmet
    }

    /// The stage that was not passed, with what is known of it.
    fn why_not_open(&self) -> (Stage, String) {
        let silent = self.ends().find(|end| {
            end.session.is_some_and(|session| session.open_us.is_some() && session.selected.is_none())
        });
        if let Some(silent) = silent {
            return (Stage::Ice, format!(": {} never told which pair of candidates it uses", silent.peer));
        }
        let failures = self.ends().flat_map(|end| end.failures());
        let first = failures.min_by_key(|failure| failure.at_us);
        let ice: Vec<&str> = self
            .ends()
            .filter(|end| end.session.is_some_and(SessionSeen::ice_failed))
            .map(|end| end.peer)
            .collect();
        if ice.is_empty() {
            return match first {
                Some(failure) => (stage(failure.stage), format!(": {}", failure.message)),
                None => (Stage::Ice, String::new()),
            };
        }
        let answered = self.ends().filter_map(|end| end.session).flat_map(|session| &session.checks);
        let answered = answered.filter(|pair| pair.responses_received > 0).count();
        let expect = &self.session.expect;
        let oracle = if expect.predicted == Path::None {
            format!(" (as the oracle says: {})", expect.reason)
        } else {
            String::new()
        };
        (
            Stage::Ice,
            format!(": ICE failed at {}, {answered} pairs had an answered check{oracle}", ice.join(" and ")),
        )
    }

    fn via(&self) -> Option<Unmet> {
        let allowed = &self.session.expect.via;
        let via = joined(self.case, self.seen, self.session).via?;
        let names: Vec<&str> = allowed.iter().map(|kind| kind.name()).collect();
        (!allowed.contains(&via)).then(|| Unmet {
            stage: Stage::Ice,
            expectation: "via".to_owned(),
            message: format!("expected a path via {}, found one via {}", names.join(" or "), via.name()),
        })
    }

    fn in_time(&self) -> Option<Unmet> {
        let limit = self.session.expect.connected_within;
        let open = self.ends().map(|end| end.session?.open_us).collect::<Option<Vec<u64>>>()?;
        let last = time(open.into_iter().max()?);
        (last > limit).then(|| Unmet {
            stage: Stage::Channel,
            expectation: "connected-within".to_owned(),
            message: format!(
                "connected after {:.3} s, not within {}",
                last.as_secs_f64(),
                show_duration(limit)
            ),
        })
    }

    fn files(&self) -> Vec<Unmet> {
        let judged =
            transfers(self.case, self.session).filter_map(|transfer| arrived(self.seen, transfer).err());
        judged.collect()
    }
}

/// One end of a session.
struct End<'a> {
    peer: &'a str,
    partner: &'a str,
    offers: bool,
    vantage: Vantage,
    own: &'a PeerSeen,
    session: Option<&'a SessionSeen>,
}

impl<'a> End<'a> {
    /// Whether STUN sees another address than this end's own.
    fn is_translated(&self) -> bool {
        let routers = &self.vantage.routers;
        routers.iter().any(|(_, nat)| nat.translation != Translation::None)
            && routers.iter().all(|(_, nat)| nat.family.has_v4())
    }

    /// The own candidates.
    fn gathered(&self) -> &'a [Candidate] {
        self.session.map_or(&[], |session| &session.local)
    }

    /// Whether no UDP leaves, whatever the NAT.
    fn is_closed(&self) -> bool {
        self.vantage.routers.iter().any(|(_, nat)| nat.egress != Egress::Everything)
    }

    /// What this end reported as failed towards the partner, or altogether.
    fn failures(&self) -> impl Iterator<Item = &'a Failure> + use<'a> {
        let (partner, own) = (self.partner, self.own);
        own.errors.iter().filter(move |failure| failure.partner.as_deref().is_none_or(|of| of == partner))
    }

    /// `: ` and the first failure of one of these stages, if there is one.
    fn because(&self, stages: &[PeerStage]) -> String {
        let first = self.failures().find(|failure| stages.contains(&failure.stage));
        first.map_or(String::new(), |failure| format!(": {}", failure.message))
    }
}

/// Whether a file arrived byte for byte; else what is wrong with it.
pub fn arrived(seen: &Observed, transfer: &CaseTransfer) -> Result<(), Unmet> {
    let unmet = |stage, message| Err(Unmet { stage, expectation: "file".to_owned(), message });
    let CaseTransfer { from, to, size, .. } = transfer;
    let what = format!("the file from {from} to {to}");
    let seen = seen.transfers.get(&(transfer.index as u32));
    let Some((seen, (bytes, sha256))) = seen.and_then(|seen| Some((seen, seen.received.as_ref()?))) else {
        let moved = seen.map_or(0, |seen| seen.moved);
        return unmet(Stage::Transfer, format!("{what} did not arrive: {moved} of {size} bytes moved"));
    };
    match &seen.sent {
        _ if bytes != size => unmet(Stage::Transfer, format!("{what} arrived with {bytes} of {size} bytes")),
        None => unmet(Stage::Transfer, format!("{what} arrived, but {from} never said what it sent")),
        Some((_, sent)) if sent != sha256 => {
            let (sent, got) = (short(sent), short(sha256));
            unmet(
                Stage::File,
                format!("{what} is not what was sent: SHA-256 {sent}.. was sent, {got}.. arrived"),
            )
        }
        Some(_) if !seen.acknowledged => {
            unmet(Stage::Transfer, format!("{what} arrived, but {from} never learned of it"))
        }
        Some(_) => Ok(()),
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn found_words(path: Path) -> String {
    if path == Path::None { "none".to_owned() } else { format!("a {} one", path.name()) }
}

/// The type of a candidate, in the oracle's words.
pub fn kind(candidate: &Candidate) -> CandidateType {
    match candidate.kind {
        Kind::Host => CandidateType::Host,
        Kind::Srflx => CandidateType::ServerReflexive,
        Kind::Prflx => CandidateType::PeerReflexive,
        Kind::Relay => CandidateType::Relayed,
    }
}

fn stage(stage: PeerStage) -> Stage {
    match stage {
        PeerStage::Control => Stage::Peer,
        PeerStage::Signaling => Stage::Signaling,
        PeerStage::Discovery => Stage::Discovery,
        PeerStage::Gathering => Stage::Gathering,
        PeerStage::Ice => Stage::Ice,
        PeerStage::Dtls => Stage::Dtls,
        PeerStage::Channel => Stage::Channel,
        PeerStage::Transfer => Stage::Transfer,
    }
}
