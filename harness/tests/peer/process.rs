//! A peer process under test, and what it reported.

use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use harness::peer::control::event::{Event, Report, Stage};
use harness::peer::control::{Command, Role, SessionPlan, Start, TransferPlan};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

/// Nothing here takes longer; a test that waits this long has failed.
const LONGEST: Duration = Duration::from_secs(40);

/// Killed when it is dropped.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    /// All so far.
    pub(crate) reports: Vec<Report>,
}

impl Peer {
    /// Starts a process and waits until it is ready.
    pub(crate) async fn spawn() -> Self {
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_natlab"))
            .arg("peer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut peer = Self { child, input, output, reports: Vec::new() };
        peer.until("ready", |event| matches!(event, Event::Ready { .. })).await;
        peer
    }

    /// Starts a process and gives it its task.
    pub(crate) async fn start(start: &Start) -> Self {
        let mut peer = Self::spawn().await;
        peer.tell(&Command::Start(Box::new(start.clone()))).await;
        peer
    }

    pub(crate) async fn tell(&mut self, command: &Command) {
        self.write(&serde_json::to_string(command).unwrap()).await;
    }

    pub(crate) async fn write(&mut self, line: &str) {
        self.input.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Reads up to the first event that is wanted, and returns it.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Report {
        let reading = async {
            loop {
                let line = self.output.next_line().await.unwrap();
                let Some(line) = line else { panic!("no {what}: stdout ended after {:#?}", self.reports) };
                let report: Report =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                self.reports.push(report.clone());
                if wanted(&report.event) {
                    return report;
                }
            }
        };
        let read = timeout(LONGEST, reading).await;
        read.unwrap_or_else(|_| panic!("no {what} within {LONGEST:?} after {:#?}", self.reports))
    }

    pub(crate) async fn error(&mut self) -> (Stage, Option<String>, String) {
        match self.until("error", |event| matches!(event, Event::Error { .. })).await.event {
            Event::Error { stage, peer, message } => (stage, peer, message),
            other => unreachable!("{other:?}"),
        }
    }

    /// Ends it with `stop` and returns all that it reported.
    pub(crate) async fn stop(mut self) -> Vec<Report> {
        self.tell(&Command::Stop).await;
        self.last_words().await
    }

    /// Ends it by closing its stdin and returns all that it reported.
    pub(crate) async fn leave(mut self) -> Vec<Report> {
        drop(self.input.take());
        self.last_words().await
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    async fn last_words(mut self) -> Vec<Report> {
        self.until("finished", |event| matches!(event, Event::Finished { .. })).await;
        let status = timeout(LONGEST, self.child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(0));
        self.reports
    }
}

/// A task for `id` at one loopback address: nothing else yet.
pub(crate) fn task(id: &str, signaling: &str) -> Start {
    Start {
        protocol: 1,
        id: id.to_owned(),
        signaling: signaling.to_owned(),
        stun: vec![],
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
        patience_ms: 5_000,
        discovery_ms: 30_000,
        hold_signaling_ms: 0,
        sctp_packet_bytes: 1_191,
        sessions: vec![],
        transfers: vec![],
    }
}

/// Tasks for two peers that connect to each other: alice offers, bob answers.
pub(crate) fn pair(signaling: &str, transfers: &[TransferPlan]) -> (Start, Start) {
    let with = |with: &str, role| vec![SessionPlan { with: with.to_owned(), role }];
    let (alice, bob) = (task("alice", signaling), task("bob", signaling));
    let transfers = transfers.to_vec();
    (
        Start { sessions: with("bob", Role::Offer), transfers: transfers.clone(), ..alice },
        Start { sessions: with("alice", Role::Answer), transfers, ..bob },
    )
}

pub(crate) fn transfer(transfer: u32, from: &str, to: &str, size: u64) -> TransferPlan {
    let seed = format!("{transfer:064x}").parse().unwrap();
    TransferPlan { transfer, from: from.to_owned(), to: to.to_owned(), size, seed, flip_byte: false }
}
