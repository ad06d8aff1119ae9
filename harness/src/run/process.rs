//! Programs in nodes: the servers and the peers of a case, each started from this very program, each with its log.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use netns::node::Node;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::peer::control::Command as Order;
use crate::peer::control::event::Report;

/// This program; it is still there when the file has been replaced.
const SELF: &str = "/proc/self/exe";

/// What a peer's program did.
#[derive(Debug)]
pub(super) enum FromPeer {
    /// It reported an event.
    Reported(Box<Report>),
    /// It wrote something else.
    Unreadable(String),
    /// It ended.
    Ended(String),
}

/// A server in a node. It ends with the handle.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Where it says it listens.
    pub(super) addresses: Vec<String>,
}

impl Server {
    /// Starts a hidden verb of this program in a node and waits until it has said `doors` times where it listens.
    pub(super) async fn start(
        node: &Node,
        arguments: &[String],
        doors: usize,
        log: &Path,
    ) -> io::Result<Self> {
        let mut child = spawn(node, arguments, Stdio::null(), log)?;
        let mut lines = lines(&mut child)?;
        let mut addresses = Vec::new();
        while addresses.len() < doors {
            let line = lines.next_line().await?.unwrap_or_default();
            let Some(address) = line.strip_prefix("listening on ") else {
                let status = child.wait().await?;
                return Err(io::Error::other(format!(
                    "it ended with {} before it listened",
                    status_in_words(status)
                )));
            };
            addresses.push(address.to_owned());
        }
        // Whatever else it says must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Server { child, addresses })
    }

    /// Kills it and waits until it is gone.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(&mut self) -> io::Result<ExitStatus> {
        if let Some(pid) = self.child.id() {
            signal(pid, Signal::SIGTERM);
        }
        self.child.wait().await
    }
}

/// A peer in a node. It ends with the handle.
#[derive(Debug)]
pub(super) struct Peer {
    stdin: Option<ChildStdin>,
    pid: Option<u32>,
    reader: AbortHandle,
}

impl Peer {
    /// Starts the peer's program; what it does is told to `tell`, under the node's name.
    pub(super) fn start(
        node: &Node,
        log: &Path,
        tell: UnboundedSender<(String, FromPeer)>,
    ) -> io::Result<Self> {
        let mut child = spawn(node, &["peer".to_owned()], Stdio::piped(), log)?;
        let lines = lines(&mut child)?;
        let (stdin, pid) = (child.stdin.take(), child.id());
        let reader = tokio::spawn(read(node.name().to_owned(), child, lines, tell)).abort_handle();
        Ok(Peer { stdin, pid, reader })
    }

    /// Gives it a command. A peer that has ended tells so itself.
    pub(super) async fn order(&mut self, order: &Order) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        match stdin.write_all(&line).await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// Kills it; its end is told like any other.
    pub(super) fn kill(&self) {
        if let Some(pid) = self.pid {
            signal(pid, Signal::SIGKILL);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The reader owns the child, which is killed when dropped.
        self.reader.abort();
    }
}

async fn read(
    node: String,
    mut child: Child,
    mut lines: Lines<BufReader<ChildStdout>>,
    tell: UnboundedSender<(String, FromPeer)>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        let told = match serde_json::from_str(&line) {
            Ok(report) => FromPeer::Reported(Box::new(report)),
            Err(_) => FromPeer::Unreadable(line.chars().take(200).collect()),
        };
        // Nobody listens any more: the case is over.
        if tell.send((node.clone(), told)).is_err() {
            return;
        }
    }
    let ended = match child.wait().await {
        Ok(status) => status_in_words(status),
        Err(error) => error.to_string(),
    };
    let _ = tell.send((node, FromPeer::Ended(ended)));
}

fn spawn(node: &Node, arguments: &[String], stdin: Stdio, log: &Path) -> io::Result<Child> {
    let mut command = node.command(SELF);
    command.args(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(File::create(log)?);
    // A key of the terminal is for natlab alone: it tells its peers itself.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Command::from(command).kill_on_drop(true).spawn()
}

fn lines(child: &mut Child) -> io::Result<Lines<BufReader<ChildStdout>>> {
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe for its output"))?;
    Ok(BufReader::new(stdout).lines())
}

fn signal(pid: u32, signal: Signal) {
    // It fails only where the process has ended: that is what was wanted.
    let _ = kill(Pid::from_raw(pid as i32), signal);
}

fn status_in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => {
            let name = Signal::try_from(number).map_or(String::new(), |signal| format!(" ({signal})"));
            format!("signal {number}{name}")
        }
        (None, None) => "no status".to_owned(),
    }
}
