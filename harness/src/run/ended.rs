//! A case that has ended: its verdict, what was seen, how long it took.

use std::sync::Arc;
use std::time::Duration;

use netns::lab::Lab;

use super::observed::Observed;
use super::outcome::{Outcome, Stage};
use crate::scenario::Case;

/// A case that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The verdict.
    pub outcome: Outcome,
    /// What was seen.
    pub seen: Observed,
    /// How long it took, lab and all.
    pub took: Duration,
    /// How long the lab took to build.
    pub build: Duration,
    /// How long its NATs took to measure.
    pub measure: Duration,
    /// The lab, for whoever wants to look.
    pub lab: Option<Arc<Lab>>,
}

impl Ended {
    /// A case that never came to a lab.
    pub fn without_verdict(case: &Case, message: String) -> Self {
        Ended {
            outcome: Outcome::Error { stage: Stage::Lab, message },
            seen: Observed::of(case.peers.iter().map(|peer| peer.name.as_str())),
            took: Duration::ZERO,
            build: Duration::ZERO,
            measure: Duration::ZERO,
            lab: None,
        }
    }
}
