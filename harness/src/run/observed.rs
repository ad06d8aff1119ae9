//! What a case showed: its events, sorted by who saw them. Pure; `expect` judges it, the report shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Happening, LabEvent, Recorded};
use crate::peer::control::event::{
    Candidate, CandidateType, ChannelState, CheckedPair, ConnectionState, Event, IceState, Side as Whose,
    SignalKind, Stage,
};

/// Everything that was seen in a case. All times are microseconds since the first peer was told to start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// When that was, microseconds since the lab was begun.
    pub began_us: Option<u64>,
    /// By peer.
    pub peers: BTreeMap<String, PeerSeen>,
    /// By number.
    pub transfers: BTreeMap<u32, TransferSeen>,
    /// When each step of the case happened, by its place among the steps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<usize, u64>,
}

/// What one peer saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerSeen {
    /// When it was told to start.
    pub started_us: Option<u64>,
    /// When the signaling server knew it.
    pub registered_us: Option<u64>,
    /// Its access as it was measured before the case, in words.
    pub measured: Option<String>,
    /// The address the world saw then.
    pub outside: Option<String>,
    /// Every address of its outermost router, where there are several: which of them is drawn anew after the measuring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pool: Vec<String>,
    /// Inbound packets that the filters of its routers refused; `None` where it has no router.
    pub filtered: Option<u64>,
    /// Outbound packets that its routers did not let leave; `None` where it has no router.
    #[serde(default)]
    pub refused: Option<u64>,
    /// Datagrams lost to a full receive buffer.
    pub receive_buffer_errors: u64,
    /// The receive buffer its sockets got, bytes.
    pub receive_buffer: Option<usize>,
    /// The most memory it held, KiB.
    pub peak_rss_kib: Option<u64>,
    /// How it ended before it was asked to.
    pub died: Option<String>,
    /// What it reported as failed.
    pub errors: Vec<Failure>,
    /// Towards each partner.
    pub sessions: BTreeMap<String, SessionSeen>,
}

/// An `error` event of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at_us: u64,
    /// Where.
    pub stage: Stage,
    /// Towards whom; `None` where it concerns all.
    pub partner: Option<String>,
    /// What.
    pub message: String,
}

/// What one peer saw of one partner.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionSeen {
    /// When the partner was listed.
    pub discovered_us: Option<u64>,
    /// When the offer was sent, or came.
    pub offer_us: Option<u64>,
    /// When the answer was sent, or came.
    pub answer_us: Option<u64>,
    /// When all own candidates were known.
    pub gathered_us: Option<u64>,
    /// Own candidates.
    pub local: Vec<Candidate>,
    /// The partner's candidates.
    pub remote: Vec<Candidate>,
    /// Every state of the ICE agent.
    pub ice: Vec<(u64, IceState)>,
    /// Every state of the connection.
    pub connection: Vec<(u64, ConnectionState)>,
    /// The pair that carries the data: own end, other end.
    pub selected: Option<(Candidate, Candidate)>,
    /// The connectivity checks, as last reported.
    pub checks: Vec<CheckedPair>,
    /// When the data channel was open.
    pub open_us: Option<u64>,
}

/// What became of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TransferSeen {
    /// Bytes seen moving so far, at either end.
    pub moved: u64,
    /// The sender is through: bytes and hash of what was to be sent.
    pub sent: Option<(u64, String)>,
    /// The receiver is through: bytes and hash of what came.
    pub received: Option<(u64, String)>,
    /// The receiver's time from the first frame to the last, seconds.
    pub seconds: Option<f64>,
    /// The sender knows what the receiver got.
    pub acknowledged: bool,
}

impl Observed {
    /// Nothing yet, of these peers.
    pub fn of<'a>(peers: impl IntoIterator<Item = &'a str>) -> Self {
        let peers = peers.into_iter().map(|peer| (peer.to_owned(), PeerSeen::default())).collect();
        Self { peers, ..Self::default() }
    }

    /// Adds what an event shows.
    pub fn add(&mut self, event: &Recorded) {
        if self.began_us.is_none() && event.what == Happening::Lab(LabEvent::Started) {
            self.began_us = Some(event.at_us);
        }
        let at_us = event.at_us.saturating_sub(self.began_us.unwrap_or(event.at_us));
        match &event.what {
            Happening::Peer(what) => self.peer_reported(&event.node, at_us, what),
            Happening::Lab(what) => self.lab_reported(&event.node, at_us, what),
        }
    }

    /// What `peer` saw of `partner`.
    pub fn session(&self, peer: &str, partner: &str) -> Option<&SessionSeen> {
        self.peers.get(peer)?.sessions.get(partner)
    }

    fn peer_reported(&mut self, node: &str, at_us: u64, event: &Event) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        match event {
            Event::Registered { .. } => peer.registered_us = peer.registered_us.or(Some(at_us)),
            Event::Socket { receive_buffer, .. } => peer.receive_buffer = Some(*receive_buffer),
            Event::Finished { peak_rss_kib } => peer.peak_rss_kib = Some(*peak_rss_kib),
            Event::Error { stage, peer: partner, message } => peer.errors.push(Failure {
                at_us,
                stage: *stage,
                partner: partner.clone(),
                message: message.clone(),
            }),
            Event::Progress { transfer, bytes } => {
                let moved = &mut self.transfers.entry(*transfer).or_default().moved;
                *moved = (*moved).max(*bytes);
            }
            Event::Sent { transfer, bytes, sha256, .. } => {
                self.transfers.entry(*transfer).or_default().sent = Some((*bytes, sha256.clone()));
            }
            Event::Received { transfer, bytes, sha256, seconds, .. } => {
                let transfer = self.transfers.entry(*transfer).or_default();
                transfer.received = Some((*bytes, sha256.clone()));
                transfer.seconds = Some(*seconds);
            }
            Event::Acknowledged { transfer, .. } => {
                self.transfers.entry(*transfer).or_default().acknowledged = true
            }
            Event::Ready { .. } | Event::Unknown => {}
            Event::Discovered { peer: partner }
            | Event::Signal { peer: partner, .. }
            | Event::Candidate { peer: partner, .. }
            | Event::Gathered { peer: partner }
            | Event::Ice { peer: partner, .. }
            | Event::Connection { peer: partner, .. }
            | Event::Selected { peer: partner, .. }
            | Event::Checks { peer: partner, .. }
            | Event::Channel { peer: partner, .. } => {
                peer.sessions.entry(partner.clone()).or_default().reported(at_us, event);
            }
        }
    }

    fn lab_reported(&mut self, node: &str, at_us: u64, event: &LabEvent) {
        if let LabEvent::Stepped { step, .. } = event {
            self.steps.insert(*step, at_us);
        }
        // What routers drop is also told under the names of the peers behind them.
        let Some(peer) = self.peers.get_mut(node) else { return };
        match event {
            LabEvent::Started => peer.started_us = Some(at_us),
            LabEvent::Measured { measured, outside, pool, .. } => {
                peer.measured = Some(measured.clone());
                peer.pool = pool.clone();
                peer.outside = outside.clone();
            }
            LabEvent::Ended { status, asked: false } => peer.died = Some(status.clone()),
            LabEvent::Drops { filtered, refused, .. } => {
                peer.filtered = Some(*filtered);
                peer.refused = Some(*refused);
            }
            LabEvent::ReceiveBufferErrors { datagrams } => peer.receive_buffer_errors = *datagrams,
            _ => {}
        }
    }
}

impl SessionSeen {
    fn reported(&mut self, at_us: u64, event: &Event) {
        let first = |slot: &mut Option<u64>| *slot = slot.or(Some(at_us));
        match event {
            Event::Discovered { .. } => first(&mut self.discovered_us),
            Event::Signal { kind: SignalKind::Offer, .. } => first(&mut self.offer_us),
            Event::Signal { kind: SignalKind::Answer, .. } => first(&mut self.answer_us),
            Event::Gathered { .. } => first(&mut self.gathered_us),
            Event::Candidate { side: Whose::Local, candidate, .. } => self.local.push(candidate.clone()),
            Event::Candidate { side: Whose::Remote, candidate, .. } => self.remote.push(candidate.clone()),
            Event::Ice { state, .. } => self.ice.push((at_us, *state)),
            Event::Connection { state, .. } => self.connection.push((at_us, *state)),
            Event::Selected { local, remote, .. } => self.selected = Some((local.clone(), remote.clone())),
            Event::Checks { pairs, .. } => self.checks = pairs.clone(),
            Event::Channel { state: ChannelState::Open, .. } => first(&mut self.open_us),
            _ => {}
        }
    }

    /// Whether the ICE agent has failed.
    pub fn ice_failed(&self) -> bool {
        self.ice.iter().any(|(_, state)| *state == IceState::Failed)
    }

    /// The server-reflexive candidates this peer gathered.
    pub fn server_reflexive(&self) -> impl Iterator<Item = &Candidate> {
        self.local.iter().filter(|candidate| candidate.kind == CandidateType::Srflx)
    }
}

/// Microseconds as a time.
pub fn time(at_us: u64) -> Duration {
    Duration::from_micros(at_us)
}
