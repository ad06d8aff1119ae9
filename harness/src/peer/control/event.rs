//! What a peer reports on stdout, one JSON object a line.

use serde::{Deserialize, Serialize};

/// An event and the moment it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// CLOCK_MONOTONIC, microseconds: the same clock in every process of one machine.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a peer tells its parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The program runs and is warm; nothing has been sent yet.
    Ready {
        /// The newest version of this protocol it speaks.
        protocol: u32,
        /// Name and version of the program.
        program: String,
    },
    /// The signaling server answered the registration.
    Registered {
        /// The name it knows the peer by.
        id: String,
    },
    /// A partner was listed, or made itself known by an offer, for the first time.
    Discovered {
        /// The partner.
        peer: String,
    },
    /// A signaling frame was sent (really: after being held back) or received.
    Signal {
        /// Which way.
        direction: Direction,
        /// What it carried.
        kind: SignalKind,
        /// The partner.
        peer: String,
    },
    /// A UDP socket was opened.
    Socket {
        /// The partner.
        peer: String,
        /// Bytes of receive buffer, as the kernel counts them (twice what fits).
        receive_buffer: usize,
    },
    /// A candidate became known.
    Candidate {
        /// The partner.
        peer: String,
        /// Whose candidate it is.
        side: Side,
        /// The candidate.
        candidate: Candidate,
    },
    /// No further local candidates will come.
    Gathered {
        /// The partner.
        peer: String,
    },
    /// The ICE agent changed its state.
    Ice {
        /// The partner.
        peer: String,
        /// The new state.
        state: IceState,
    },
    /// The whole connection (ICE, DTLS and SCTP) changed its state.
    Connection {
        /// The partner.
        peer: String,
        /// The new state.
        state: ConnectionState,
    },
    /// ICE chose a pair to carry the data.
    Selected {
        /// The partner.
        peer: String,
        /// This end, as the partner sees it: `prflx` where no candidate of ours had that address.
        local: Candidate,
        /// The other end, as this peer sees it.
        remote: Candidate,
    },
    /// The connectivity checks so far: when a pair was selected, when ICE failed, and at the end.
    Checks {
        /// The partner.
        peer: String,
        /// One for each candidate of the partner, signaled or met.
        pairs: Vec<CheckedPair>,
    },
    /// The data channel opened (acknowledged by both ends) or closed.
    Channel {
        /// The partner.
        peer: String,
        /// The new state.
        state: ChannelState,
    },
    /// A transfer moves; about every 250 ms on both ends.
    Progress {
        /// Its number.
        transfer: u32,
        /// Bytes handed to the channel, or taken from it.
        bytes: u64,
    },
    /// Everything was handed to the channel.
    Sent {
        /// Its number.
        transfer: u32,
        /// Bytes.
        bytes: u64,
        /// Of what was to be sent.
        sha256: String,
        /// From the first frame to the last.
        seconds: f64,
    },
    /// Everything arrived: the same as sent only if the two hashes are equal.
    Received {
        /// Its number.
        transfer: u32,
        /// Bytes.
        bytes: u64,
        /// Of what came.
        sha256: String,
        /// What the sender says it sent.
        expected_sha256: String,
        /// From the first frame to the last.
        seconds: f64,
    },
    /// The receiver told what it got.
    Acknowledged {
        /// Its number.
        transfer: u32,
        /// The receiver's hash.
        sha256: String,
    },
    /// Something failed. With a `peer` it ends that session, without one it ends them all.
    Error {
        /// Where.
        stage: Stage,
        /// The partner, where it concerns only one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
        /// What.
        message: String,
    },
    /// The last event.
    Finished {
        /// The most memory the process held, KiB.
        peak_rss_kib: u64,
    },
    /// An event of a later version. Never sent.
    #[serde(other)]
    Unknown,
}

/// Which way a signaling frame went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Direction {
    Sent,
    Received,
}

/// What a signaling frame carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum SignalKind {
    Offer,
    Answer,
    Candidate,
    Bye,
}

/// Whose candidate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Side {
    Local,
    Remote,
}

/// Where in the making of a connection something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// A line on stdin was not understood.
    Control,
    /// The signaling server, or a partner that does not answer through it.
    Signaling,
    /// The partner was never listed.
    Discovery,
    /// The local socket.
    Gathering,
    /// No path, or the path was lost.
    Ice,
    /// The handshake over the path.
    Dtls,
    /// SCTP and the data channel.
    Channel,
    /// A file did not pass whole.
    Transfer,
}

/// The states of an ICE agent (RTCIceTransportState of the W3C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the W3C's")]
pub enum IceState {
    New,
    Checking,
    Connected,
    Completed,
    Disconnected,
    Failed,
    Closed,
}

/// The states of a connection (RTCPeerConnectionState of the W3C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the W3C's")]
pub enum ConnectionState {
    Connecting,
    Connected,
    Disconnected,
    Failed,
    Closed,
}

/// The states of a data channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ChannelState {
    Open,
    Closed,
}

/// How a transport address came to be known (RFC 8445 section 5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateType {
    /// An address of the node's own.
    Host,
    /// What a STUN server saw.
    Srflx,
    /// What the other peer saw, or was seen from, and nobody had told.
    Prflx,
    /// A TURN server's.
    Relay,
}

/// A transport address at which a peer may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    /// How it came to be known.
    #[serde(rename = "type")]
    pub kind: CandidateType,
    /// `udp` or `tcp`.
    pub protocol: String,
    /// An IP address; a name where a browser hides its own (mDNS).
    pub address: String,
    /// The port.
    pub port: u16,
    /// The address behind it, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related_address: Option<String>,
    /// The port behind it, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related_port: Option<u16>,
}

/// The state of one pair of candidates, from what was sent and received for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairState {
    /// No check was sent.
    Waiting,
    /// Checks were sent, none was answered yet.
    InProgress,
    /// A check was answered.
    Succeeded,
    /// Checks were sent, none was answered, and ICE has failed.
    Failed,
}

/// A local candidate, one of the partner's, and the STUN messages counted at the socket between the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedPair {
    /// The base from which the checks left.
    pub local: Candidate,
    /// Where they went.
    pub remote: Candidate,
    /// How far they got.
    pub state: PairState,
    /// Whether this pair was selected.
    pub nominated: bool,
    /// Binding requests that the kernel took for sending; later ones refresh consent.
    pub requests_sent: u64,
    /// Answers to them.
    pub responses_received: u64,
    /// Binding requests that came.
    pub requests_received: u64,
    /// Answers given to them.
    pub responses_sent: u64,
    /// STUN messages that the kernel refused to send.
    pub send_errors: u64,
    /// Shortest time from a request to its answer, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
}
