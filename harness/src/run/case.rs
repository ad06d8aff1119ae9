//! One case, from its lab to its verdict: build, measure, start, watch, stop, judge.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use netns::lab::{Drops, Lab, Router};
use netns::nat::probe;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout, timeout_at};

use super::broken::{Broken, joined};
use super::ended::Ended;
use super::event::LabEvent;
use super::expect;
use super::journal::{self, Journal};
use super::orders::orders;
use super::outcome::{Outcome, Stage};
use super::process::{FromPeer, Peer, Server};
use super::standing::{self, Standing};
use crate::peer::control::Command;
use crate::peer::control::event::Event;
use crate::plan::{SIGNALING, STUN};
use crate::scenario::{Break, Case, CasePeer, Victim, show_duration};

/// How much longer a case waits than its own limits, for the last events of a failure to arrive.
const GRACE: Duration = Duration::from_secs(3);
/// A transfer of which nothing is heard for so long has stalled.
const STALLED: Duration = Duration::from_secs(20);
/// How long after its limit a case may take to stop and to be looked at.
const CUT_SHORT: Duration = Duration::from_secs(10);
/// How long a peer may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// Runs a case; its artifacts go to `folder`, which exists. After `limit` it is cut short: what it showed by then is
/// judged, or else there is no verdict.
pub async fn run(case: Arc<Case>, folder: PathBuf, limit: Duration) -> Ended {
    let began = Instant::now();
    let mut run = CaseRun::new(case, folder);
    let deadline = began + limit;
    let ended = timeout_at(deadline + CUT_SHORT, run.run(deadline)).await;
    let is_over = Instant::now() >= deadline;
    let outcome = match ended {
        Ok(Ok(())) => expect::judge(&run.case, &run.journal.seen),
        Ok(Err(broken)) => Outcome::Error { stage: broken.stage, message: broken.message },
        Err(_) => Outcome::Error { stage: Stage::Lab, message: "the lab does not come to an end".to_owned() },
    };
    let outcome = if is_over { outcome.cut_short(&show_duration(limit)) } else { outcome };
    Ended {
        outcome,
        seen: run.journal.seen,
        took: began.elapsed(),
        build: run.build,
        measure: run.measure,
        lab: run.lab,
    }
}

struct CaseRun {
    case: Arc<Case>,
    folder: PathBuf,
    journal: Journal,
    lab: Option<Arc<Lab>>,
    build: Duration,
    measure: Duration,
    tell: UnboundedSender<(String, FromPeer)>,
    hear: UnboundedReceiver<(String, FromPeer)>,
    /// In the order of the case.
    peers: Vec<(String, Peer)>,
    stopping: bool,
}

impl CaseRun {
    fn new(case: Arc<Case>, folder: PathBuf) -> Self {
        let journal = Journal::new(&folder, case.peers.iter().map(|peer| peer.name.as_str()));
        let (tell, hear) = unbounded_channel();
        CaseRun {
            case,
            folder,
            journal,
            lab: None,
            build: Duration::ZERO,
            measure: Duration::ZERO,
            tell,
            hear,
            peers: Vec::new(),
            stopping: false,
        }
    }

    async fn run(&mut self, deadline: Instant) -> Result<(), Broken> {
        let mut standing = self.raise().await?;
        self.measure(&standing).await?;
        match &self.case.broken {
            Some(Break::Kill(Victim::Signaling)) => {
                self.kill_server(&mut standing.signaling, SIGNALING).await?
            }
            Some(Break::Kill(Victim::Stun)) => self.kill_server(&mut standing.stun, STUN).await?,
            _ => {}
        }
        self.start_peers(&standing, deadline).await?;
        self.watch(deadline).await;
        self.stop_peers().await?;
        self.inspect(&standing.lab).await?;
        standing.stun.stop().await.map_err(Broken::lab("stop the STUN server"))?;
        standing.signaling.stop().await.map_err(Broken::lab("stop the signaling server"))?;
        self.journal.finish().map_err(Broken::lab("write the events"))
    }

    async fn raise(&mut self) -> Result<Standing, Broken> {
        let began = Instant::now();
        let lab = standing::build(&self.case).await?;
        self.build = began.elapsed();
        self.journal.lab("lab", LabEvent::Built { nodes: lab.nodes().count() });
        self.lab = Some(Arc::clone(&lab));
        let standing = Standing::in_lab(lab, &self.log(STUN), &self.log(SIGNALING)).await?;
        for (name, server) in [(STUN, &standing.stun), (SIGNALING, &standing.signaling)] {
            for address in &server.addresses {
                self.journal.lab(name, LabEvent::Listening { address: address.clone() });
            }
        }
        Ok(standing)
    }

    /// Measures what every peer is behind, and reboots its router: the case starts on a virgin one.
    async fn measure(&mut self, standing: &Standing) -> Result<(), Broken> {
        let began = Instant::now();
        let lab = &standing.lab;
        let server = standing.stun()[0];
        let probes = self.case.peers.iter().map(|peer| {
            let (lab, peer) = (Arc::clone(lab), peer.clone());
            tokio::task::spawn_blocking(move || measure(&lab, &peer, server))
        });
        let probes: Vec<_> = probes.collect();
        let mut mismatch = None;
        for (peer, probe) in self.case.peers.iter().zip(probes) {
            let measured = joined(probe.await)??;
            let declared = format!("{} of {}", peer.nat, peer.name);
            let found = probe::Found { udp: Some(measured.clone()), tcp: Vec::new() };
            if let Err(difference) = found.agrees_with(&peer.nat.nat.as_ref().into()) {
                mismatch.get_or_insert(Broken {
                    stage: Stage::Nat,
                    message: format!("{declared} is not what it is called: {difference}"),
                });
            }
            let event = LabEvent::Measured {
                declared: peer.nat.to_string(),
                outside: measured.mapped.ip().to_string(),
                measured: measured.to_string(),
            };
            self.journal.lab(&peer.name, event);
        }
        self.measure = began.elapsed();
        mismatch.map_or(Ok(()), Err)
    }

    async fn kill_server(&mut self, server: &mut Server, name: &str) -> Result<(), Broken> {
        server.kill().await.map_err(Broken::lab("kill a server, as `break:` asks"))?;
        self.journal.lab(name, LabEvent::Killed);
        Ok(())
    }

    /// Starts every peer's program; each gets its orders when all are ready, a late one later.
    async fn start_peers(&mut self, standing: &Standing, deadline: Instant) -> Result<(), Broken> {
        for peer in &self.case.peers {
            let node = standing::node(&standing.lab, &peer.name)?;
            let process = Peer::start(node, &self.log(&peer.name), self.tell.clone())
                .map_err(Broken::lab("start a peer"))?;
            self.peers.push((peer.name.clone(), process));
        }
        let mut waiting = self.peers.len();
        while waiting > 0 {
            let Some((node, told)) = timeout_at(deadline, self.hear.recv()).await.ok().flatten() else {
                return Err(Broken {
                    stage: Stage::Peer,
                    message: "a peer's program did not get ready".to_owned(),
                });
            };
            match &told {
                FromPeer::Reported(report) if matches!(report.event, Event::Ready { .. }) => waiting -= 1,
                FromPeer::Ended(_) => waiting -= 1,
                _ => {}
            }
            self.note(node, told);
        }
        self.give_orders(standing, deadline).await
    }

    /// Gives every peer its orders, the late ones when their time has come.
    async fn give_orders(&mut self, standing: &Standing, deadline: Instant) -> Result<(), Broken> {
        let (stun, url) = (standing.stun()[0], standing.signaling());
        let (case, began) = (Arc::clone(&self.case), Instant::now());
        let mut order: Vec<usize> = (0..self.peers.len()).collect();
        order.sort_by_key(|&index| case.peers[index].start);
        for index in order {
            let peer = &case.peers[index];
            let at = began + peer.start;
            self.listen_until(at.min(deadline)).await;
            if at > deadline {
                let message = format!("{} was to start after {}", peer.name, show_duration(peer.start));
                return Err(Broken { stage: Stage::Peer, message });
            }
            let node = standing::node(&standing.lab, &peer.name)?;
            let start = orders(&case, peer, node.address(), stun, &url);
            self.journal.lab(&peer.name, LabEvent::Started);
            let ordered = self.peers[index].1.order(&Command::Start(Box::new(start))).await;
            ordered.map_err(Broken::lab("give a peer its orders"))?;
        }
        Ok(())
    }

    async fn listen_until(&mut self, at: Instant) {
        while let Ok(heard) = timeout_at(at, self.hear.recv()).await {
            self.heard(heard);
        }
    }

    /// Listens until every session has come to its end, or no longer can.
    async fn watch(&mut self, deadline: Instant) {
        let limits = self
            .case
            .sessions
            .iter()
            .map(|session| session.expect.connected_within.max(session.expect.discovered_within));
        let connect = Instant::now() + limits.max().unwrap_or_default() + self.case.patience + GRACE;
        while !journal::is_settled(&self.case, &self.journal.seen) {
            let is_open = self.case.sessions.iter().any(|session| {
                self.journal
                    .seen
                    .session(&session.offerer, &session.answerer)
                    .is_some_and(|seen| seen.open_us.is_some())
            });
            let until = if is_open { Instant::now() + STALLED } else { connect };
            match timeout_at(until.min(deadline), self.hear.recv()).await {
                Ok(heard) => self.heard(heard),
                Err(_) => break,
            }
        }
    }

    fn heard(&mut self, heard: Option<(String, FromPeer)>) {
        // The channel never closes: this run holds a sender itself.
        if let Some((node, told)) = heard {
            self.note(node, told);
        }
    }

    fn note(&mut self, node: String, told: FromPeer) {
        match told {
            FromPeer::Reported(report) => {
                let is_victim =
                    matches!(&self.case.broken, Some(Break::Kill(Victim::Peer(victim))) if *victim == node);
                if is_victim && matches!(report.event, Event::Discovered { .. }) {
                    self.peers.iter().filter(|(name, _)| *name == node).for_each(|(_, peer)| peer.kill());
                    self.journal.lab(&node, LabEvent::Killed);
                }
                self.journal.peer(&node, report.at_us, report.event);
            }
            FromPeer::Unreadable(line) => self.journal.lab(&node, LabEvent::Unreadable { line }),
            FromPeer::Ended(status) => {
                self.journal.lab(&node, LabEvent::Ended { status, asked: self.stopping })
            }
        }
    }

    async fn stop_peers(&mut self) -> Result<(), Broken> {
        self.stopping = true;
        for (_, peer) in &mut self.peers {
            peer.order(&Command::Stop).await.map_err(Broken::lab("stop a peer"))?;
        }
        let mut alive = self.peers.len() - self.journal.ended;
        let goodbye = timeout(GOODBYE, async {
            while alive > 0 {
                let heard = self.hear.recv().await;
                alive -= usize::from(matches!(heard, Some((_, FromPeer::Ended(_)))));
                self.heard(heard);
            }
        });
        if goodbye.await.is_err() {
            for (_, peer) in &self.peers {
                peer.kill();
            }
        }
        Ok(())
    }

    /// Reads what the nodes have to tell at the end: mapping tables, drops, lost datagrams.
    async fn inspect(&mut self, lab: &Arc<Lab>) -> Result<(), Broken> {
        for peer in &self.case.peers {
            let (lab, asked) = (Arc::clone(lab), peer.clone());
            let found = tokio::task::spawn_blocking(move || journal::inspect(&lab, &asked));
            let (router, lost) = joined(found.await)??;
            self.journal.lab(&peer.name, LabEvent::ReceiveBufferErrors { datagrams: lost });
            if let (Some((table, drops)), Some(name)) = (router, &peer.router) {
                let file = self.folder.join(format!("{name}.mappings.txt"));
                std::fs::write(file, table.to_string()).map_err(Broken::lab("write a mapping table"))?;
                let event = LabEvent::Drops {
                    filtered: drops.filtered,
                    exhausted: drops.exhausted,
                    untranslatable: drops.untranslatable,
                    refused: drops.refused,
                };
                self.journal.lab(&peer.name, event);
            }
        }
        Ok(())
    }

    fn log(&self, node: &str) -> PathBuf {
        self.folder.join(format!("{node}.log"))
    }
}

fn measure(lab: &Lab, peer: &CasePeer, server: SocketAddr) -> Result<probe::Measured, Broken> {
    let node = standing::node(lab, &peer.name)?;
    let SocketAddr::V4(server) = server else { return Err(Broken::no_node(STUN)) };
    let router = peer.router.as_ref().and_then(|name| lab.router(name));
    let mut drops = || router.map_or(Ok(Drops::default()), Router::drops);
    let questions = probe::Questions::default();
    let measured = node.within(|| probe::measure(node.address(), server, &mut drops, &questions))?;
    let measured = measured.map_err(|error| {
        let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
        let message = format!("the NAT of {} could not be measured: {error}{cause}", peer.name);
        Broken { stage: Stage::Nat, message }
    })?;
    if let Some(router) = router {
        router.reboot()?;
    }
    let refused = || Broken {
        stage: Stage::Nat,
        message: format!("the router of {peer} lets no UDP out", peer = peer.name),
    };
    measured.udp.ok_or_else(refused)
}
