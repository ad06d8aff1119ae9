//! On a terminal: bars below, lines above, a key that ends it.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};

use super::natlab::{Natlab, PROGRAM, ROOT};

/// Nothing that works is silent for so long, milliseconds.
const HANGS: u16 = 60_000;
pub(super) const CTRL_C: &[u8] = b"\x03";

#[test]
fn a_terminal_shows_bars_and_the_lines_of_cases_and_may_change_its_size() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let mut terminal = Terminal::run(&natlab, &["scenarios/smoke", "-j", "5"]);
    terminal.until("0/5 cases");
    terminal.resize(40);
    terminal.until("PASS");
    terminal.resize(200);
    terminal.until("two-symmetric-homes");
    assert_eq!(terminal.ends(), Some(0));
    let shown = &terminal.shown;
    assert!(shown.contains("\x1b[1;32mPASS \x1b[0m"), "words are coloured: {shown:?}");
    assert!(shown.contains("verdict   5 passed"), "{shown:?}");
    let last = shown.rfind("cases  ").unwrap();
    assert!(last < shown.rfind("verdict").unwrap(), "the bars are gone before the last lines: {shown:?}");
}

#[test]
fn ctrl_c_typed_into_the_terminal_ends_the_run() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let mut terminal = Terminal::run(&natlab, &["scenarios/smoke", "-j", "5"]);
    terminal.until("PASS");
    terminal.keyboard.write_all(CTRL_C).unwrap();
    assert_eq!(terminal.ends(), Some(130));
    assert!(terminal.shown.contains("interrupted"), "{:?}", terminal.shown);
    assert!(natlab.report().interrupted);
}

/// natlab on a terminal of its own.
pub(super) struct Terminal {
    child: Child,
    screen: File,
    pub(super) keyboard: File,
    pub(super) shown: String,
    name: OwnedFd,
}

impl Terminal {
    fn run(natlab: &Natlab, arguments: &[&str]) -> Terminal {
        let mut command = Command::new("setsid");
        // Waits for nothing and forks only where it must: the child is natlab itself, and leads the terminal.
        command.args(["--ctty", PROGRAM, "run"]).args(arguments).arg("--out").arg(natlab.out());
        Terminal::of(command)
    }

    /// Starts a command that makes the terminal its own; it would hold the terminal for as long as it is kept.
    pub(super) fn of(mut command: Command) -> Terminal {
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        command.current_dir(ROOT).env_remove("CI").env_remove("NO_COLOR").env("TERM", "xterm");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let screen = File::from(pty.master);
        Terminal {
            child,
            keyboard: screen.try_clone().unwrap(),
            screen,
            shown: String::new(),
            name: pty.slave,
        }
    }

    /// Reads until this is on the screen.
    pub(super) fn until(&mut self, words: &str) {
        while !self.shown.contains(words) {
            assert!(self.read_some(), "{words:?} is not in {:?}", self.shown);
        }
    }

    /// Whether anything came; nothing does when everybody has closed the terminal.
    fn read_some(&mut self) -> bool {
        let mut waited = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut waited, PollTimeout::from(HANGS)).unwrap();
        assert_eq!(ready, 1, "silent for a minute after {:?}", self.shown);
        let mut bytes = [0; 4096];
        let length = self.screen.read(&mut bytes).unwrap_or(0);
        self.shown.push_str(&String::from_utf8_lossy(&bytes[..length]));
        length > 0
    }

    /// The kernel tells everybody on the terminal (SIGWINCH).
    fn resize(&self, columns: u16) {
        let terminal = Stdio::from(self.name.try_clone().unwrap());
        let done =
            Command::new("stty").args(["cols", &columns.to_string()]).stdin(terminal).status().unwrap();
        assert!(done.success());
    }

    /// Closes this end of the terminal's name, reads what is left, and gives the exit code.
    pub(super) fn ends(&mut self) -> Option<i32> {
        self.name = self.screen.try_clone().unwrap().into();
        while self.read_some() {}
        self.child.wait().unwrap().code()
    }
}
