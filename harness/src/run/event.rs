//! What happens in a case, with its time and its node: the lines of `events.jsonl`, and all that a verdict is made of.

use std::time::Duration;

use netns::lab::Drops;
use serde::Serialize;

use crate::peer::control::event::Event as PeerEvent;

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recorded {
    /// Microseconds since the case began.
    pub at_us: u64,
    /// The node that it happened in; `lab` for the lab itself.
    pub node: String,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

impl Recorded {
    /// Since the case began.
    pub const fn at(&self) -> Duration {
        Duration::from_micros(self.at_us)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Happening {
    /// A peer reported it.
    Peer(PeerEvent),
    /// The harness saw or did it.
    Lab(LabEvent),
}

/// What the harness does and sees.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum LabEvent {
    /// Namespaces, links and rules are there.
    Built {
        /// How many namespaces.
        nodes: usize,
    },
    /// What a peer is behind, or a router alone, was measured before use.
    Measured {
        /// What it is declared as.
        declared: String,
        /// What it is, in words.
        measured: String,
        /// The address the world sees; `None` where no UDP leaves.
        outside: Option<String>,
        /// Every address that the world may see, where there are several.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pool: Vec<String>,
    },
    /// A server answers.
    Listening {
        /// Where.
        address: String,
    },
    /// A peer was told to start.
    Started,
    /// A process was killed, as `break:` asks.
    Killed,
    /// A process ended.
    Ended {
        /// In words: `exit code 0`, `signal 9`.
        status: String,
        /// Whether it had been asked to.
        asked: bool,
    },
    /// A peer wrote a line that is no event.
    Unreadable {
        /// The line, shortened.
        line: String,
    },
    /// A step of the case happened to a router.
    Stepped {
        /// Which, counted from zero.
        step: usize,
        /// `forget` or `log-in`.
        verb: String,
    },
    /// What a router had dropped when the case ended; told of a peer, what all the routers before it had.
    Drops {
        /// Inbound packets that its filter refused.
        filtered: u64,
        /// Outbound packets that found no free port.
        exhausted: u64,
        /// Outbound packets that it does not translate.
        untranslatable: u64,
        /// Outbound packets that its policy does not let leave.
        refused: u64,
    },
    /// Datagrams that a node lost because a receive buffer was full.
    ReceiveBufferErrors {
        /// How many.
        datagrams: u64,
    },
}

impl LabEvent {
    pub(super) fn of_drops(drops: Drops) -> LabEvent {
        let Drops { filtered, exhausted, untranslatable, refused } = drops;
        LabEvent::Drops { filtered, exhausted, untranslatable, refused }
    }
}
