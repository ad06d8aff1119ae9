//! One line an event, for logs; a sign of life where nothing ends for a while.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Printer, Progress};
use crate::report::Row;
use crate::scenario::Case;

/// How long nothing may be heard.
pub const HEARTBEAT: Duration = Duration::from_secs(30);

/// Lines on stdout; signs of life on stderr.
#[derive(Debug)]
pub struct Plain {
    printer: Printer,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: Vec<String>,
    ended: usize,
    total: usize,
    heard: Instant,
}

impl Plain {
    /// For this many cases.
    pub fn new(printer: Printer, total: usize) -> Self {
        let state = State { running: Vec::new(), ended: 0, total, heard: Instant::now() };
        Plain { printer, state: Mutex::new(state) }
    }

    /// Says what is running, if nothing was said for [`HEARTBEAT`].
    pub fn heartbeat(&self) {
        let mut state = self.lock();
        if state.heard.elapsed() >= HEARTBEAT {
            state.heard = Instant::now();
            let (ended, total, running) = (state.ended, state.total, state.running.join(" "));
            // Whoever reads has gone: the report is still written.
            let _ = writeln!(std::io::stderr(), "still running: {ended} of {total} ended; now {running}");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Progress for Plain {
    fn started(&self, case: &Case) {
        self.lock().running.push(case.id.clone());
    }

    fn ended(&self, row: &Row) {
        let mut state = self.lock();
        state.running.retain(|id| *id != row.id);
        state.ended += 1;
        state.heard = Instant::now();
        let mut out = std::io::stdout().lock();
        for line in self.printer.lines(row) {
            // Whoever reads has gone: the report is still written.
            let _ = writeln!(out, "{line}");
        }
    }
}
