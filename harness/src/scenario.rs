//! A scenario: who stands behind which NAT, what they send each other, and what is expected of them. Checked, names
//! resolved; how it is written is docs/scenario-reference.md.

mod check;
mod error;
mod expectation;
mod file;
mod find;
mod id;
mod layout;
mod matrix;
mod nat_choice;
mod nearest;
mod schema;
mod step;
mod units;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use netns::nat::{CandidateType, Family, Path};
use netns::topology::Ipv4Range;

pub(crate) use error::counted;
pub use error::{Look, Problem, Problems};
pub use expectation::Expectation;
pub use find::{LoadOptions, Loaded, load, read};
pub use id::CaseId;
pub use layout::{CasePeer, CaseRouter};
pub use matrix::{Case, CaseTransfer, Session, cases};
pub use nat_choice::NatChoice;
pub(crate) use nearest::suggest;
pub use schema::json_schema;
pub use step::{After, Step, StepVerb};
pub use units::{NotAQuantity, duration, show_duration, show_size, size};

/// A scenario file that is right: every name in it is known, and nothing contradicts itself.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name, unique among those loaded together.
    pub name: String,
    /// Why it is there.
    pub why: Option<String>,
    /// Its tags; the name of its folder where it names none.
    pub tags: Vec<String>,
    /// Where it was read.
    pub file: PathBuf,
    /// What the file says.
    pub source: Arc<str>,
    /// The networks that peers share, in the order of the file.
    pub networks: Vec<Network>,
    /// The peers: those under `peers` first, then those that only the matrix names.
    pub peers: Vec<Peer>,
    /// The axes of the matrix; none where there is no matrix.
    pub axes: Vec<Axis>,
    /// What is sent, in the order of the file.
    pub transfers: Vec<Transfer>,
    /// Every two peers that a transfer or a `between` names, in the order in which they are first named.
    pub pairs: Vec<Pair>,
    /// What happens to routers in the middle of a case, in the order of the file.
    pub steps: Vec<Step>,
    /// How often each cell of the matrix runs.
    pub repeat: u32,
    /// The seed, where the file fixes it.
    pub seed: Option<u64>,
    /// How long ICE may look for a path before it gives up.
    pub patience: Duration,
    /// What is broken on purpose.
    pub broken: Option<Break>,
    /// The cases that were asked for by their ids; all of them where this is empty.
    pub selected: Vec<CaseId>,
}

/// A network as the file declares it: a router, and what is on its inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name, and that of its router's node.
    pub name: String,
    /// Its router's NAT. A matrix may put another in its place.
    pub nat: NatChoice,
    /// The network that it is behind; `None` where that is the internet.
    pub uplink: Option<String>,
    /// The IPv4 addresses of its inside, where the file chooses them.
    pub inside: Option<Ipv4Range>,
}

/// A peer as the file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// What it is plugged into. A matrix may put another router of its own in its place.
    pub attached: Attached,
    /// How long after the others it starts.
    pub start: Duration,
}

/// What a peer is plugged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// The internet, with a public address of these families.
    Public(Family),
    /// A router of its own.
    Own(NatChoice),
    /// The network of this name.
    Lan(String),
}

/// One axis of the matrix: the `nat` of a peer or of a network and the values it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The peer or the network.
    pub owner: String,
    /// The values of its `nat`, in the order of the file.
    pub values: Vec<NatChoice>,
}

impl Axis {
    /// The axis as case ids and tables call it: `alice.nat`.
    pub fn name(&self) -> String {
        format!("{}.nat", self.owner)
    }
}

/// A file that one peer sends another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The peer that sends.
    pub from: String,
    /// The peer that receives.
    pub to: String,
    /// The size in bytes.
    pub size: u64,
}

/// Two peers that are to be connected, and what the file says about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The peer that makes the offer: the one first named.
    pub offerer: String,
    /// The peer that answers.
    pub answerer: String,
    /// What the file expects.
    pub wanted: Wanted,
    /// The line that a failed expectation is told at: the one in `expect`, or else the transfer's.
    pub line: usize,
}

/// The part of an expectation that the file spells out. The oracle fills in the rest, cell by cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// When both have discovered each other at the latest, from the start of the case.
    pub discovered_within: Option<Duration>,
    /// When they are connected at the latest, from the start of the case.
    pub connected_within: Option<Duration>,
    /// The kind of path, or that there is none.
    pub path: Option<Path>,
    /// Which candidate types may be the most indirect of the four selected; empty where the file does not say.
    pub via: Vec<CandidateType>,
    /// Whether `file: identical` is spelled out.
    pub file: bool,
    /// The reason in the user's words.
    pub because: Option<String>,
}

/// What is broken on purpose, so that the harness is seen to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Break {
    /// This peer flips one byte of what it sends, after hashing it.
    FlipByte {
        /// The sender.
        peer: String,
    },
    /// Routers that are built otherwise than declared.
    Lie(Vec<Lie>),
    /// A process that is killed.
    Kill(Victim),
    /// All peers hold their signaling frames back.
    HoldSignaling(Duration),
}

/// A router that is built otherwise than the scenario declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lie {
    /// Its node.
    pub router: String,
    /// What it really is; never without a router.
    pub really: NatChoice,
}

/// What [`Break::Kill`] kills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victim {
    /// The signaling server, before the peers start.
    Signaling,
    /// The STUN server, before the peers start.
    Stun,
    /// A peer, while it is in the middle of its work.
    Peer(String),
}
