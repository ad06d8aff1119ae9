//! Gathering: host candidates from the library, server-reflexive ones by asking STUN servers through the same socket.

use std::net::SocketAddr;

use futures_util::future::{join, join_all};
use tokio::sync::{mpsc, watch};
use webrtc::ice;

use super::checks::candidate;
use super::{Agent, Happening};
use crate::peer::control::event::{Candidate, CandidateType};

impl Agent {
    /// Gathers all candidates; each is told as soon as it is found.
    pub(in crate::peer) async fn gather(&self) {
        if let Err(error) = self.ice.gather_candidates() {
            let _ = self.happenings.send(Happening::GatheringTrouble(error.to_string()));
        }
        let base = self.socket.base();
        let same_family = self.settings.stun.iter().filter(|server| server.is_ipv4() == base.is_ipv4());
        let asked = same_family.enumerate().map(|(number, &server)| self.ask(number, server));
        let mut hosts = self.hosts_gathered.clone();
        let hosts = async { hosts.wait_for(|gathered| *gathered).await.is_ok() };
        join(join_all(asked), hosts).await;
        let _ = self.happenings.send(Happening::GatheringEnded);
    }

    async fn ask(&self, number: usize, server: SocketAddr) {
        let happening = match self.socket.ask(server).await {
            Ok(seen) if self.socket.checks().add_reflexive(seen) => {
                let candidate = candidate(CandidateType::Srflx, seen, Some(self.socket.base()));
                let line = reflexive_line(number, &candidate);
                Happening::Gathered(candidate, Some(line))
            }
            Ok(_) => return,
            Err(error) => Happening::GatheringTrouble(error.to_string()),
        };
        let _ = self.happenings.send(happening);
    }
}

/// Tells of host candidates as they are found, and in the end that there are no more.
pub(super) fn watch_hosts(
    ice: &ice::agent::Agent,
    happenings: &mpsc::UnboundedSender<Happening>,
) -> watch::Receiver<bool> {
    let (gathered, watched) = watch::channel(false);
    let tell = happenings.clone();
    ice.on_candidate(Box::new(move |found| {
        match found {
            Some(found) => {
                let _ = tell.send(Happening::Gathered(described(&*found), None));
            }
            None => drop(gathered.send(true)),
        }
        Box::pin(async {})
    }));
    watched
}

/// The library's candidate in the terms of the protocol.
pub(super) fn described(candidate: &(impl ice::candidate::Candidate + ?Sized)) -> Candidate {
    use webrtc::ice::candidate::CandidateType as Theirs;
    let related = candidate.related_address();
    Candidate {
        kind: match candidate.candidate_type() {
            Theirs::ServerReflexive => CandidateType::Srflx,
            Theirs::PeerReflexive => CandidateType::Prflx,
            Theirs::Relay => CandidateType::Relay,
            Theirs::Host | Theirs::Unspecified => CandidateType::Host,
        },
        protocol: candidate.network_type().network_short(),
        address: candidate.address(),
        port: candidate.port(),
        related_address: related.as_ref().map(|related| related.address.clone()),
        related_port: related.map(|related| related.port),
    }
}

/// The line of the one host candidate. It is known before anything is sent, so the description carries it: a check that
/// overtook it would make it peer-reflexive.
pub(super) fn host_line(base: SocketAddr) -> String {
    // RFC 8445 section 5.1.2.1: type preference 126, local preference the highest, component 1.
    let priority = (126_u32 << 24) + (65_535 << 8) + 255;
    format!("candidate:1 1 udp {priority} {} {} typ host", base.ip(), base.port())
}

/// The line of RFC 8839 section 5.1 for the `number`th STUN server; the library writes only those that it gathered
/// itself.
fn reflexive_line(number: usize, candidate: &Candidate) -> String {
    // As above, with type preference 100.
    let priority = (100_u32 << 24) + (65_535 << 8) + 255;
    let Candidate { address, port, .. } = candidate;
    let related = candidate.related_address.as_deref().unwrap_or_default();
    let related_port = candidate.related_port.unwrap_or_default();
    let foundation = 2 + number;
    format!(
        "candidate:{foundation} 1 udp {priority} {address} {port} typ srflx raddr {related} rport {related_port}"
    )
}
