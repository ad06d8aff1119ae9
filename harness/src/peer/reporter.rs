//! Writes events to stdout as they happen, each with its time, without ever blocking the peer on a slow reader.

use std::io::Write;
use std::sync::mpsc;
use std::thread;

use nix::time::{ClockId, clock_gettime};

use super::control::event::{Event, Report, Stage};

/// The way to stdout. Clones write to the same place, in the order of the calls.
#[derive(Clone)]
pub(super) struct Reporter {
    lines: mpsc::Sender<Report>,
}

/// Waits until every event has been written.
pub(super) struct Written {
    writer: thread::JoinHandle<()>,
}

impl Reporter {
    /// Starts writing to `out`.
    pub(super) fn new(mut out: impl Write + Send + 'static) -> (Self, Written) {
        let (lines, events) = mpsc::channel::<Report>();
        let writer = thread::spawn(move || {
            for report in events {
                let line = serde_json::to_string(&report).map(|json| json + "\n");
                let Ok(line) = line else { continue };
                // A parent that is gone closes stdin too, and that ends the peer.
                if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
                    break;
                }
            }
        });
        (Self { lines }, Written { writer })
    }

    /// Reports that `event` happened now.
    pub(super) fn report(&self, event: Event) {
        // The writer is gone only when stdout is closed: nobody is left to tell.
        let _ = self.lines.send(Report { at_us: monotonic_us(), event });
    }

    /// Reports a failure that concerns one partner, or all of them.
    pub(super) fn error(&self, stage: Stage, peer: Option<&str>, message: impl Into<String>) {
        let message = message.into();
        tracing::warn!(?stage, peer, "{message}");
        self.report(Event::Error { stage, peer: peer.map(str::to_owned), message });
    }
}

impl Written {
    /// Returns when the last event is out. Every `Reporter` must have been dropped.
    pub(super) fn wait(self) {
        let _ = self.writer.join();
    }
}

fn monotonic_us() -> u64 {
    // CLOCK_MONOTONIC cannot fail on Linux.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1_000)
}
