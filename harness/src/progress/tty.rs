//! On a terminal: one bar for the whole run and one line for each running case, finished lines above them.

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Printer, Progress};
use crate::report::Row;
use crate::scenario::Case;

const REDRAW: Duration = Duration::from_millis(120);

/// Bars on stderr, lines on stdout.
#[derive(Debug)]
pub struct Tty {
    printer: Printer,
    bars: MultiProgress,
    total: ProgressBar,
    running: Mutex<Vec<(String, ProgressBar)>>,
}

impl Tty {
    /// For this many cases.
    pub fn new(printer: Printer, total: usize) -> Self {
        let bars = MultiProgress::new();
        let bar = bars.add(ProgressBar::new(total as u64));
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} cases  {elapsed}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(REDRAW);
        Tty { printer, bars, total: bar, running: Mutex::new(Vec::new()) }
    }

    /// Removes the bars.
    pub fn close(&self) {
        // A terminal that is gone needs no clearing.
        let _ = self.bars.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(String, ProgressBar)>> {
        self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Progress for Tty {
    fn started(&self, case: &Case) {
        let bar = self.bars.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {elapsed:>4}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(case.id.clone());
        bar.enable_steady_tick(REDRAW);
        self.lock().push((case.id.clone(), bar));
    }

    fn ended(&self, row: &Row) {
        let mut running = self.lock();
        if let Some(at) = running.iter().position(|(id, _)| *id == row.id) {
            let (_, bar) = running.remove(at);
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        self.total.inc(1);
        self.bars.suspend(|| {
            let mut out = std::io::stdout().lock();
            for line in self.printer.lines(row) {
                // Whoever reads has gone: the report is still written.
                let _ = writeln!(out, "{line}");
            }
        });
    }
}
