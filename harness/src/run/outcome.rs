//! How a case ended: as expected, not as expected, or without a verdict because the lab broke.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where in the life of a case something went wrong, in the order of that life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Building the namespaces, links and rules, or starting the servers.
    Lab,
    /// Measuring the NATs.
    Nat,
    /// A peer's program.
    Peer,
    /// The peers finding each other through the signaling server.
    Discovery,
    /// Offer and answer.
    Signaling,
    /// Gathering candidates.
    Gathering,
    /// Connectivity checks.
    Ice,
    /// The DTLS handshake.
    Dtls,
    /// The data channel.
    Channel,
    /// Moving the file.
    Transfer,
    /// The file's hash.
    File,
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Stage::Lab => "lab",
            Stage::Nat => "nat",
            Stage::Peer => "peer",
            Stage::Discovery => "discovery",
            Stage::Signaling => "signaling",
            Stage::Gathering => "gathering",
            Stage::Ice => "ice",
            Stage::Dtls => "dtls",
            Stage::Channel => "channel",
            Stage::Transfer => "transfer",
            Stage::File => "file",
        })
    }
}

/// One expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmet {
    /// Where.
    pub stage: Stage,
    /// The key of `expect` that it belongs to.
    pub expectation: String,
    /// What was expected and what was seen, in one sentence.
    pub message: String,
}

/// The verdict on a case. Whether the peers got a direct path is another question: see `Row::success`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Outcome {
    /// As expected.
    Pass,
    /// Not as expected.
    Fail {
        /// Every expectation that was not met, the earliest stage first.
        unmet: Vec<Unmet>,
    },
    /// No verdict: the lab, not the product, broke.
    Error {
        /// Where.
        stage: Stage,
        /// What.
        message: String,
    },
    /// Not run.
    Skip {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// The word of a report line.
    pub const fn word(&self) -> &'static str {
        match self {
            Outcome::Pass => "PASS",
            Outcome::Fail { .. } => "FAIL",
            Outcome::Error { .. } => "ERROR",
            Outcome::Skip { .. } => "SKIP",
        }
    }

    /// The same of a case that was not given the time it wanted: whatever is wrong may be so for that alone.
    pub fn cut_short(self, limit: &str) -> Self {
        let why = format!("the case was cut short after {limit} (--timeout)");
        match self {
            Outcome::Fail { mut unmet } => {
                // At the last stage: it is where the case was when it was cut.
                if let Some(stage) = unmet.iter().map(|unmet| unmet.stage).max() {
                    unmet.push(Unmet { stage, expectation: "--timeout".to_owned(), message: why });
                }
                Outcome::Fail { unmet }
            }
            Outcome::Error { stage, message } => {
                Outcome::Error { stage, message: format!("{message}; {why}") }
            }
            settled => settled,
        }
    }

    /// The earliest stage at which it went wrong.
    pub fn stage(&self) -> Option<Stage> {
        match self {
            Outcome::Pass | Outcome::Skip { .. } => None,
            Outcome::Fail { unmet } => unmet.iter().map(|unmet| unmet.stage).min(),
            Outcome::Error { stage, .. } => Some(*stage),
        }
    }
}
