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
        let based = self.settings.stun.iter().filter_map(|&server| {
            let base = self.socket.base_towards(server)?;
            Some((server, base))
        });
        let asked = based.enumerate().map(|(number, (server, base))| self.ask(number, server, base));
        let mut hosts = self.hosts_gathered.clone();
        let hosts = async { hosts.wait_for(|gathered| *gathered).await.is_ok() };
        join(join_all(asked), hosts).await;
        let _ = self.happenings.send(Happening::GatheringEnded);
    }

    async fn ask(&self, number: usize, server: SocketAddr, base: SocketAddr) {
        let happening = match self.socket.ask(server).await {
            Ok(seen) if self.socket.checks().add_reflexive(seen) => {
                let candidate = candidate(CandidateType::Srflx, seen, Some(base));
                let line = reflexive_line(number, &candidate);
                Happening::Gathered(candidate, Some(line))
            }
            Ok(_) => return,
            Err(error) => Happening::GatheringTrouble(error.to_string()),
        };
        let _ = self.happenings.send(happening);
    }
}

/// Tells of host candidates when the library has its one, which stands for all bases, and in the end that there are no
/// more.
pub(super) fn watch_hosts(
    ice: &ice::agent::Agent,
    bases: &[SocketAddr],
    happenings: &mpsc::UnboundedSender<Happening>,
) -> watch::Receiver<bool> {
    let (gathered, watched) = watch::channel(false);
    let (tell, bases) = (happenings.clone(), bases.to_vec());
    ice.on_candidate(Box::new(move |found| {
        match found {
            Some(_) => {
                for &base in &bases {
                    let host = candidate(CandidateType::Host, base, None);
                    let _ = tell.send(Happening::Gathered(host, None));
                }
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

/// The lines of the host candidates, one for each base. They are known before anything is sent, so the description
/// carries them: a check that overtook one would make it peer-reflexive.
pub(super) fn host_lines(bases: &[SocketAddr]) -> Vec<String> {
    let line = |(number, base): (usize, &SocketAddr)| {
        let (foundation, priority) = (HOST_FOUNDATIONS[number], priority(126, number));
        format!("candidate:{foundation} 1 udp {priority} {} {} typ host", base.ip(), base.port())
    };
    bases.iter().take(HOST_FOUNDATIONS.len()).enumerate().map(line).collect()
}

/// Of the main base and of the one of the other family; those of server-reflexive candidates lie between.
const HOST_FOUNDATIONS: [u32; 2] = [1, 1_000];

/// RFC 8445 section 5.1.2.1, component 1; the `number`th base of a peer has the `number`th highest local preference, so
/// that IPv6 is tried first (RFC 8421 section 4).
fn priority(type_preference: u32, number: usize) -> u32 {
    (type_preference << 24) + ((65_535 - number as u32) << 8) + 255
}

/// The line of RFC 8839 section 5.1 for the `number`th STUN server; the library writes only those that it gathered
/// itself.
fn reflexive_line(number: usize, candidate: &Candidate) -> String {
    let priority = priority(100, 0);
    let Candidate { address, port, .. } = candidate;
    let related = candidate.related_address.as_deref().unwrap_or_default();
    let related_port = candidate.related_port.unwrap_or_default();
    let foundation = 2 + number;
    format!(
        "candidate:{foundation} 1 udp {priority} {address} {port} typ srflx raddr {related} rport {related_port}"
    )
}
