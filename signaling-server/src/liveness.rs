//! The deadlines of one socket, as a pure state machine: time goes in, what to do comes out.

use std::time::{Duration, Instant};

use crate::limits::Limits;

/// When a client was last heard of, and what follows from its silence.
#[derive(Debug)]
pub(crate) struct Liveness {
    ping_after: Duration,
    pong_within: Duration,
    heard: Instant,
    asked: Option<Instant>,
    register_by: Option<Instant>,
}

/// What is to be done about a deadline that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// See whether the client has registered.
    CheckRegistered,
    /// Send a WebSocket ping.
    Ping,
    /// Give the client up.
    GiveUp,
}

impl Liveness {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Liveness {
        Liveness {
            ping_after: limits.ping_after,
            pong_within: limits.pong_within,
            heard: now,
            asked: None,
            register_by: Some(now + limits.register),
        }
    }

    /// Any frame is a sign of life: a client that talks needs no ping. Says whether [`Liveness::next`] may have come
    /// nearer by it, which only an answered ping does: no timer need be set at each message.
    pub(crate) fn heard(&mut self, now: Instant) -> bool {
        self.heard = now;
        self.asked.take().is_some()
    }

    /// The next moment at which [`Liveness::due`] may have an answer.
    pub(crate) fn next(&self) -> Instant {
        let silence = match self.asked {
            Some(asked) => asked + self.pong_within,
            None => self.heard + self.ping_after,
        };
        self.register_by.map_or(silence, |by| by.min(silence))
    }

    /// What has fallen due; each deadline is told once.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        if self.register_by.is_some_and(|by| by <= now) {
            self.register_by = None;
            return Due::CheckRegistered;
        }
        match self.asked {
            Some(asked) if asked + self.pong_within <= now => Due::GiveUp,
            None if self.heard + self.ping_after <= now => {
                self.asked = Some(now);
                Due::Ping
            }
            _ => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_client_is_pinged_after_25_seconds_and_given_up_10_later() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Limits::default(), start);
        assert_eq!(liveness.next(), start + 10 * SECOND);
        assert_eq!(liveness.due(start + 10 * SECOND), Due::CheckRegistered);
        assert_eq!(liveness.next(), start + 25 * SECOND);
        assert_eq!(liveness.due(start + 24 * SECOND), Due::Nothing);
        assert_eq!(liveness.due(start + 25 * SECOND), Due::Ping);
        assert_eq!(liveness.next(), start + 35 * SECOND);
        assert_eq!(liveness.due(start + 34 * SECOND), Due::Nothing);
        assert_eq!(liveness.due(start + 35 * SECOND), Due::GiveUp);
    }

    #[test]
    fn a_client_that_answers_its_ping_is_kept() {
        let start = Instant::now();
        let mut liveness = Liveness::new(&Limits::default(), start);
        assert_eq!(liveness.due(start + 10 * SECOND), Due::CheckRegistered);
        assert_eq!(liveness.due(start + 25 * SECOND), Due::Ping);
        assert!(liveness.heard(start + 34 * SECOND));
        assert!(!liveness.heard(start + 34 * SECOND));
        assert_eq!(liveness.due(start + 35 * SECOND), Due::Nothing);
        assert_eq!(liveness.next(), start + 59 * SECOND);
        assert_eq!(liveness.due(start + 59 * SECOND), Due::Ping);
    }
}
