//! Every number that bounds a client, and the token bucket that tells an accident from abuse.

use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const KIB: usize = 1024;

/// What one client may take up. The defaults are what the README says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, and the longest frame, in bytes.
    pub message: usize,
    /// How many frames may wait for a client that does not read.
    pub queued_messages: usize,
    /// How many bytes may wait for a client that does not read.
    pub queued_bytes: usize,
    /// How long a `peers` list may become; a room whose list is that long takes no more newcomers.
    pub list: usize,
    /// The time in which several joins and leaves are told in one list.
    pub coalesce: Duration,
    /// The time for the HTTP part.
    pub handshake: Duration,
    /// The time until the first `register`.
    pub register: Duration,
    /// The silence after which a client is sent a WebSocket ping.
    pub ping_after: Duration,
    /// The silence after that ping which ends the connection.
    pub pong_within: Duration,
    /// The time a client has to answer a close frame.
    pub closing: Duration,
    /// The time a stopping server gives all its clients together.
    pub drain: Duration,
    /// How much a client may cost in errors at once: a mistake costs [`Limits::MISTAKE`], a message to a peer that
    /// is not here [`Limits::ABSENT`].
    pub patience: u32,
    /// How much of that comes back in a second.
    pub patience_per_second: u32,
}

impl Limits {
    /// What a frame that the server cannot accept costs.
    pub const MISTAKE: u32 = 10;
    /// What a message to a peer that is not here costs: clients keep ids for a day and try them all.
    pub const ABSENT: u32 = 1;

    /// The library's defaults are 128 KiB buffers, of which the read buffer is zeroed at every read.
    pub(crate) fn websocket(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(KIB)
            .write_buffer_size(4 * KIB)
            .max_write_buffer_size(256 * KIB)
            .max_message_size(Some(self.message))
            .max_frame_size(Some(self.message))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message: 64 * KIB,
            queued_messages: 64,
            queued_bytes: 256 * KIB,
            // It must fit into the write buffer together with what else waits there.
            list: 192 * KIB,
            coalesce: Duration::from_millis(75),
            handshake: Duration::from_secs(5),
            register: Duration::from_secs(10),
            ping_after: Duration::from_secs(25),
            pong_within: Duration::from_secs(10),
            closing: Duration::from_secs(2),
            drain: Duration::from_millis(700),
            patience: 1000,
            patience_per_second: 10,
        }
    }
}

/// A token bucket: what is left of the server's patience with one client.
#[derive(Debug)]
pub(crate) struct Patience {
    left: f64,
    most: f64,
    per_second: f64,
    counted: Instant,
}

impl Patience {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Patience {
        let most = f64::from(limits.patience);
        Patience { left: most, most, per_second: f64::from(limits.patience_per_second), counted: now }
    }

    /// Takes `cost` away; `false` once there is less than that.
    pub(crate) fn charge(&mut self, cost: u32, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.counted).as_secs_f64() * self.per_second;
        self.counted = now;
        self.left = (self.left + gained).min(self.most) - f64::from(cost);
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_after_a_hundred_mistakes_at_once_and_comes_back_with_time() {
        let start = Instant::now();
        let mut patience = Patience::new(&Limits::default(), start);
        for mistake in 0..100 {
            assert!(patience.charge(Limits::MISTAKE, start), "mistake {mistake}");
        }
        assert!(!patience.charge(Limits::MISTAKE, start));
        assert!(!patience.charge(Limits::MISTAKE, start + Duration::from_secs(1)));
        assert!(patience.charge(Limits::MISTAKE, start + Duration::from_secs(3)));
    }

    #[test]
    fn a_mistake_a_second_is_borne_for_ever() {
        let start = Instant::now();
        let mut patience = Patience::new(&Limits::default(), start);
        assert!(
            (0..100_000).all(|second| patience.charge(Limits::MISTAKE, start + Duration::from_secs(second)))
        );
    }
}
