//! The figures of natlab, measured through the real program: `cargo bench -p harness`. Medians, side by side in one
//! run; nothing is judged. Arguments name the figures wanted: `matrix`, `connect`, `throughput`.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use harness::peer::control::event::{Event, Report as PeerReport};
use harness::peer::control::{
    Command as Order, PROTOCOL, Role, SCTP_PACKET_BYTES, Seed, SessionPlan, Start, TransferPlan,
};
use harness::report::Report;
use netns::lab::Lab;
use netns::nat::Preset;
use netns::node::{Node, Process};
use netns::sandbox;
use netns::topology::{Topology, Uplink};

type Failure = Box<dyn std::error::Error>;

const NATLAB: &str = env!("CARGO_BIN_EXE_natlab");
const REPETITIONS: u32 = 31;
const FILE: u64 = 256 << 20;

fn main() -> Result<(), Failure> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == sandbox::INIT_VERB) {
        std::process::exit(sandbox::init(arguments.into_iter().skip(1))?.into());
    }
    let wanted = |name: &str| {
        let named: Vec<_> =
            arguments.iter().filter(|word| !word.to_string_lossy().starts_with('-')).collect();
        named.is_empty() || named.iter().any(|word| *word == name)
    };
    if !sandbox::is_inside() {
        if wanted("matrix") {
            matrix("stun-only", "45 s")?;
            matrix("rfc4787", "90 s")?;
        }
        if wanted("connect") {
            connect("open", "open", "25 ms")?;
            connect("port-restricted", "port-restricted", "230 ms, p95 450 ms")?;
        }
        if wanted("throughput") {
            std::process::exit(sandbox::launch(&arguments)?.into());
        }
        return Ok(());
    }
    throughput()
}

/// Every cell of a matrix, and what measuring the routers costs a case.
fn matrix(name: &str, to_reach: &str) -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/matrix");
    let report = natlab(&folder.join(format!("{name}.yaml")), &[])?;
    let (passed, cells) = (report.counts.passed, report.cases.len());
    let mut measuring: Vec<f64> = report.cases.iter().map(|row| row.measure_seconds * 1e3).collect();
    measuring.sort_by(f64::total_cmp);
    let median = measuring.get(cells / 2).copied().unwrap_or(f64::NAN);
    println!(
        "matrix       {name}: {passed} of {cells} cells passed in {:.1} s   (to reach: {to_reach}); NATs of a case \
         measured in {median:.1} ms, median",
        report.seconds
    );
    Ok(())
}

/// Both discovered to both channels open, one case at a time.
fn connect(alice: &str, bob: &str, to_reach: &str) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("connect.yaml");
    let text = format!(
        "name: connect\npeers:\n  alice: {{ nat: {alice} }}\n  bob: {{ nat: {bob} }}\n\
         transfer: {{ from: alice, to: bob, size: 64 KiB }}\nrepeat: {REPETITIONS}\n"
    );
    std::fs::write(&file, text)?;
    let report = natlab(&file, &["-j", "1"])?;
    let times =
        report.cases.iter().flat_map(|row| &row.sessions).filter_map(|session| session.connect_seconds);
    let mut times: Vec<f64> = times.map(|seconds| seconds * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times.get(((times.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or(f64::NAN)
    };
    println!(
        "connect      {alice} with {bob}: median {:.1} ms, p95 {:.1} ms, of {}   (to reach: {to_reach})",
        at(0.5),
        at(0.95),
        times.len()
    );
    Ok(())
}

fn natlab(scenario: &Path, more: &[&str]) -> Result<Report, Failure> {
    let out = tempfile::tempdir()?;
    let mut command = Command::new(NATLAB);
    command
        .arg("run")
        .arg(scenario)
        .args(["--format", "plain", "--quiet", "--out"])
        .arg(out.path())
        .args(more);
    command.stdout(Stdio::null()).status()?;
    Ok(serde_json::from_slice(&std::fs::read(out.path().join("latest/report.json"))?)?)
}

/// One large file between the same two peers: over a bare veth, and through two NATs, in turns.
fn throughput() -> Result<(), Failure> {
    let (mut bare, mut natted, mut memory) = (Vec::new(), Vec::new(), 0);
    for _ in 0..3 {
        for (rates, behind) in [(&mut bare, None), (&mut natted, Some(Preset::PortRestricted))] {
            let (rate, peak) = transfer(behind)?;
            rates.push(rate);
            memory = memory.max(peak);
        }
    }
    for rates in [&mut bare, &mut natted] {
        rates.sort_by(f64::total_cmp);
    }
    let (bare, natted) = (bare[1], natted[1]);
    println!(
        "throughput   256 MiB: bare veth {bare:.1} MB/s, two NATs {natted:.1} MB/s, ratio {:.2}   (to reach: 0.85)",
        natted / bare
    );
    println!("memory       {:.1} MiB at most in one peer   (to reach: 64 MiB)", memory as f64 / 1024.0);
    Ok(())
}

/// Bytes a second of one transfer (MB/s), and the most memory a peer held (KiB).
fn transfer(behind: Option<Preset>) -> Result<(f64, u64), Failure> {
    let topology = match behind.and_then(Preset::nat) {
        // The internet is one end of a bare veth here: the other host hangs on it directly.
        None => Topology::default().host("bob", Uplink::Internet),
        Some(nat) => Topology::default()
            .router("alice.router", Uplink::Internet, nat)
            .router("bob.router", Uplink::Internet, nat)
            .host("alice", "alice.router".into())
            .host("bob", "bob.router".into())
            .server("stun", 2),
    };
    let lab = Lab::build(&topology)?;
    let internet = lab.node("internet").ok_or("no internet")?;
    let gateway = Ipv4Addr::new(198, 18, 0, 1);
    let (_signaling, _) = start(internet, &["signaling-server", "--listen", "198.18.0.1:9000"])?;
    let mut stun = Vec::new();
    let mut servers = Vec::new();
    if let Some(node) = lab.node("stun") {
        let [first, second] = [node.addresses()[0].to_string(), node.addresses()[1].to_string()];
        servers.push(start(node, &["stun", &first, &second, "3478", "3479"])?);
        stun.push(format!("{first}:3478").parse()?);
    }
    let alice = lab.node("alice").unwrap_or(internet);
    let bob = lab.node("bob").ok_or("no bob")?;
    let addresses = [if alice.name() == "internet" { gateway } else { alice.address() }, bob.address()];
    let mut peers = Vec::new();
    for (node, (name, with, role)) in
        [alice, bob].into_iter().zip([("alice", "bob", Role::Offer), ("bob", "alice", Role::Answer)])
    {
        let mut peer = PeerProgram::start(node)?;
        let transfer = TransferPlan {
            transfer: 0,
            from: "alice".to_owned(),
            to: "bob".to_owned(),
            size: FILE,
            seed: Seed([7; 32]),
            flip_byte: false,
        };
        peer.order(&Order::Start(Box::new(Start {
            protocol: PROTOCOL,
            id: name.to_owned(),
            signaling: "ws://198.18.0.1:9000".to_owned(),
            stun: stun.clone(),
            addresses: vec![addresses[peers.len()].into()],
            patience_ms: 5_000,
            discovery_ms: 5_000,
            hold_signaling_ms: 0,
            sctp_packet_bytes: SCTP_PACKET_BYTES,
            sessions: vec![SessionPlan { with: with.to_owned(), role }],
            transfers: vec![transfer],
        })))?;
        peers.push(peer);
    }
    let mut rate = f64::NAN;
    peers[0].until(|event| matches!(event, Event::Acknowledged { .. }))?;
    peers[1].until(|event| match event {
        Event::Received { bytes, seconds, .. } => {
            rate = *bytes as f64 / seconds / 1e6;
            true
        }
        _ => false,
    })?;
    let mut peak = 0;
    for peer in &mut peers {
        peer.order(&Order::Stop)?;
    }
    for peer in &mut peers {
        peer.until(|event| match event {
            Event::Finished { peak_rss_kib } => {
                peak = peak.max(*peak_rss_kib);
                true
            }
            _ => false,
        })?;
    }
    Ok((rate, peak))
}

struct PeerProgram {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Process,
}

impl PeerProgram {
    fn start(node: &Node) -> Result<Self, Failure> {
        let mut process = spawn(node, &["peer"])?;
        let stdin = process.0.stdin.take().ok_or("no stdin")?;
        let lines = BufReader::new(process.0.stdout.take().ok_or("no stdout")?).lines();
        let mut peer = PeerProgram { stdin, lines, _process: process };
        peer.until(|event| matches!(event, Event::Ready { .. }))?;
        Ok(peer)
    }

    fn order(&mut self, order: &Order) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.stdin, order)?;
        Ok(self.stdin.write_all(b"\n")?)
    }

    /// Reads events until one is the right one.
    fn until(&mut self, mut is_it: impl FnMut(&Event) -> bool) -> Result<(), Failure> {
        for line in &mut self.lines {
            let report: PeerReport = serde_json::from_str(&line?)?;
            if let Event::Error { message, .. } = &report.event {
                return Err(message.clone().into());
            }
            if is_it(&report.event) {
                return Ok(());
            }
        }
        Err("the peer ended".into())
    }
}

/// A server, when it says that it listens.
fn start(node: &Node, arguments: &[&str]) -> Result<(Process, String), Failure> {
    let mut process = spawn(node, arguments)?;
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    Ok((process, line))
}

fn spawn(node: &Node, arguments: &[&str]) -> Result<Process, Failure> {
    let mut command = node.command(NATLAB);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(node.spawn(&mut command)?)
}
