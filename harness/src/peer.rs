//! A WebRTC peer as a process of its own: reads commands on stdin, reports events on stdout, logs to stderr. What it
//! is told and what it tells is in `control`, and in docs/peer-protocol.md for programs in other languages.

mod agent;
pub mod control;
mod payload;
mod reporter;
mod session;
mod signaling;
mod transfer;

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::net::IpAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing_subscriber::EnvFilter;

use agent::{Settings, Warmth};
use control::event::{Event, Stage};
use control::{Command, PROTOCOL, Start};
use reporter::Reporter;
use session::{Notice, Patience, Session};
use signaling::{Incoming, Outbox};

/// What is logged unless RUST_LOG says otherwise: the library warns of ordinary things.
const LOG: &str = "warn,harness=info,webrtc_ice=error,webrtc_sctp=error";

/// Exit code where the peer could not even begin.
const BUG: u8 = 70;

/// Longest time to close everything, held frames not counted.
const CLOSING: Duration = Duration::from_secs(2);

/// The same, when nobody waits any more.
const CLOSING_IN_A_HURRY: Duration = Duration::from_millis(200);

/// Longest time for the server to answer the registration, held frames not counted.
const REGISTERING: Duration = Duration::from_secs(2);

/// What came on stdin.
enum Input {
    Command(Command),
    Unknown(String),
    End,
}

/// How the peer is to end.
enum Stop {
    Asked,
    ParentGone,
}

/// The program `natlab peer`.
pub fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    // SCTP marshals every packet on a blocking thread: one that stays hot costs least.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::from(BUG);
        }
    };
    let (reporter, written) = Reporter::new(io::stdout());
    runtime.block_on(run(read_input(), reporter.clone()));
    // Ends all tasks, and with them their hold on the reporter.
    runtime.shutdown_background();
    reporter.report(Event::Finished { peak_rss_kib: peak_rss_kib() });
    drop(reporter);
    written.wait();
    ExitCode::SUCCESS
}

/// Reads stdin on a thread of its own, which may stay blocked when the process ends.
fn read_input() -> mpsc::UnboundedReceiver<Input> {
    let (tell, input) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let said = match serde_json::from_str(&line) {
                Ok(command) => Input::Command(command),
                Err(error) => Input::Unknown(error.to_string()),
            };
            if tell.send(said).is_err() {
                return;
            }
        }
        let _ = tell.send(Input::End);
    });
    input
}

async fn run(mut input: mpsc::UnboundedReceiver<Input>, reporter: Reporter) {
    let warmth = match Warmth::new().await {
        Ok(warmth) => warmth,
        Err(error) => return reporter.error(Stage::Dtls, None, format!("no certificate: {error}")),
    };
    let program = concat!("natlab ", env!("CARGO_PKG_VERSION")).to_owned();
    reporter.report(Event::Ready { protocol: PROTOCOL, program });
    let Some(start) = started(&mut input, &reporter).await else { return };
    let closing = Duration::from_millis(start.hold_signaling_ms) + CLOSING;
    let (stop, stopped) = watch::channel(false);
    let mut sessions = JoinSet::new();
    let asked = {
        let working = work(&start, &reporter, warmth, stopped, &mut sessions);
        tokio::pin!(working);
        let mut ended = false;
        loop {
            tokio::select! {
                () = &mut working, if !ended => ended = true,
                asked = stop_asked(&mut input, &reporter) => break asked,
            }
        }
    };
    stop.send_replace(true);
    let closing = if matches!(asked, Stop::Asked) { closing } else { CLOSING_IN_A_HURRY };
    let _ = timeout(closing, async { while sessions.join_next().await.is_some() {} }).await;
}

/// Waits for the start command.
async fn started(input: &mut mpsc::UnboundedReceiver<Input>, reporter: &Reporter) -> Option<Start> {
    loop {
        match input.recv().await {
            Some(Input::Command(Command::Start(start))) if start.protocol == PROTOCOL => return Some(*start),
            Some(Input::Command(Command::Start(start))) => {
                let message = format!("protocol {} is not spoken here, {PROTOCOL} is", start.protocol);
                reporter.error(Stage::Control, None, message);
            }
            Some(Input::Unknown(message)) => reporter.error(Stage::Control, None, message),
            Some(Input::Command(Command::Stop) | Input::End) | None => return None,
        }
    }
}

async fn stop_asked(input: &mut mpsc::UnboundedReceiver<Input>, reporter: &Reporter) -> Stop {
    loop {
        match input.recv().await {
            Some(Input::Command(Command::Stop)) => return Stop::Asked,
            Some(Input::Command(Command::Start(_))) => {
                reporter.error(Stage::Control, None, "started already");
            }
            Some(Input::Unknown(message)) => reporter.error(Stage::Control, None, message),
            Some(Input::End) | None => return Stop::ParentGone,
        }
    }
}

/// Registers, starts a session for each partner, and hands on what comes from the server.
async fn work(
    start: &Start,
    reporter: &Reporter,
    warmth: Warmth,
    stop: watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    let hold = Duration::from_millis(start.hold_signaling_ms);
    let discovery = Instant::now() + Duration::from_millis(start.discovery_ms);
    let connected = signaling::connect(&start.signaling, &start.id, hold, discovery, tasks).await;
    let (outbox, mut incoming, local) = match connected {
        Ok(connected) => connected,
        Err(error) => return reporter.error(Stage::Signaling, None, error.to_string()),
    };
    let addresses = addresses(&start.addresses, local);
    if addresses.is_empty() {
        return reporter.error(Stage::Gathering, None, "there is no address to gather from");
    }
    let patience = Duration::from_millis(start.patience_ms);
    let settings = Settings {
        addresses,
        stun: start.stun.clone(),
        patience,
        sctp_packet_bytes: start.sctp_packet_bytes,
        warmth,
    };
    let mut notices = start_sessions(start, discovery, &settings, &outbox, reporter, &stop, tasks);
    let mut registered = false;
    let deadline = Instant::now() + hold + REGISTERING;
    loop {
        tokio::select! {
            () = sleep_until(deadline), if !registered => {
                let message = "the server did not answer the registration".to_owned();
                return reporter.error(Stage::Signaling, None, message);
            }
            heard = incoming.recv() => match heard {
                Some(Incoming::Peers(peers)) => {
                    if !registered {
                        registered = true;
                        reporter.report(Event::Registered { id: start.id.clone() });
                    }
                    for peer in peers {
                        tell(&mut notices, &peer, Notice::Listed);
                    }
                }
                Some(Incoming::Signal { from, signal }) => tell(&mut notices, &from, Notice::Signal(signal)),
                Some(Incoming::Complaint(message)) if !registered => {
                    return reporter.error(Stage::Signaling, None, message);
                }
                Some(Incoming::Complaint(message)) => tracing::warn!(%message, "the server complains"),
                Some(Incoming::Gone(message)) if !registered => {
                    return reporter.error(Stage::Signaling, None, format!("the connection is gone: {message}"));
                }
                Some(Incoming::Gone(message)) => {
                    tracing::warn!(%message, "the signaling server is gone");
                    for session in notices.values() {
                        // One that has ended needs to hear nothing more.
                        let _ = session.send(Notice::SignalingLost(message.clone()));
                    }
                    // The sessions go on for as long as they can be told anything.
                    return std::future::pending().await;
                }
                None => return,
            },
        }
    }
}

fn tell(notices: &mut HashMap<String, mpsc::UnboundedSender<Notice>>, from: &str, notice: Notice) {
    match notices.get(from) {
        // A session that ended wants to hear nothing more.
        Some(session) => drop(session.send(notice)),
        None => tracing::debug!(from, "not a partner"),
    }
}

fn start_sessions(
    start: &Start,
    discovery: Instant,
    settings: &Settings,
    outbox: &Outbox,
    reporter: &Reporter,
    stop: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> HashMap<String, mpsc::UnboundedSender<Notice>> {
    let hold = Duration::from_millis(start.hold_signaling_ms);
    let patience = Patience {
        // Who got through to the server only just in time still hears who is there.
        discovery: discovery.max(Instant::now() + REGISTERING.min(Duration::from_millis(start.discovery_ms))),
        // The partner may hold its frames back as long as this peer does.
        description: 2 * settings.patience + 2 * hold,
        farewell: hold + CLOSING / 4,
    };
    let mut all = HashMap::new();
    for plan in &start.sessions {
        let (tell, notices) = mpsc::unbounded_channel();
        all.insert(plan.with.clone(), tell);
        let with = &plan.with;
        let between = start.transfers.iter().filter(|transfer| {
            (&transfer.from, &transfer.to) == (&start.id, with)
                || (&transfer.to, &transfer.from) == (&start.id, with)
        });
        let session = Session {
            plan: plan.clone(),
            transfers: between.cloned().collect(),
            settings: settings.clone(),
            patience,
            outbox: outbox.clone(),
            reporter: reporter.clone(),
            notices,
            stop: stop.clone(),
        };
        tasks.spawn(session.run());
    }
    all
}

/// The addresses to gather from, one of each family: where there are several, the one that reaches the signaling server.
fn addresses(allowed: &[IpAddr], local: Option<IpAddr>) -> Vec<IpAddr> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = allowed.iter().partition(|address| address.is_ipv4());
    let best = |family: Vec<IpAddr>| {
        let local = local.filter(|local| family.contains(local));
        local.or_else(|| family.first().copied())
    };
    [v4, v6].into_iter().filter_map(best).collect()
}

/// VmHWM and not getrusage: the latter remembers the memory of the parent from before exec.
fn peak_rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}
