//! Steps: what happens to a router in the middle of a case.

use std::time::Duration;

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub after: After,
    /// What.
    pub verb: StepVerb,
    /// The line of the file at which it stands.
    pub line: usize,
}

/// When a step happens; never before the step that stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// When every two peers of whom a path is expected are connected.
    Connected,
    /// When so many percent of all bytes of all transfers have arrived.
    Share(u8),
    /// So long after the step before; the first step counts from the start of the case.
    Time(Duration),
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepVerb {
    /// The router of this node reboots: its mappings, filters and logins are gone.
    Forget(String),
    /// Somebody logs in at the captive portal of this node.
    LogIn(String),
}

impl StepVerb {
    /// The node of the router that it happens to.
    pub fn router(&self) -> &str {
        match self {
            StepVerb::Forget(router) | StepVerb::LogIn(router) => router,
        }
    }
}
