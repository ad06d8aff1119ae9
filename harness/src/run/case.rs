//! One case, from its lab to its verdict: build, measure, start, watch, stop, judge.

mod measure;
mod peers;
mod steps;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use netns::lab::{Drops, Lab};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use super::broken::{Broken, blocking};
use super::ended::Ended;
use super::event::LabEvent;
use super::expect;
use super::journal::{self, Journal};
use super::outcome::{Outcome, Stage};
use super::process::{FromPeer, Peer, Server};
use super::standing::{self, Standing};
use crate::plan::{SIGNALING, STUN};
use crate::scenario::{Break, Case, Victim, show_duration};
use steps::Steps;

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
    steps: Steps,
    /// What routers had dropped when they were rebooted in the middle of the case.
    forgotten: HashMap<String, Vec<Drops>>,
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
            steps: Steps::new(),
            forgotten: HashMap::new(),
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
        self.watch(&standing.lab, deadline).await?;
        self.stop_peers().await?;
        self.inspect(&standing.lab).await?;
        standing.stop().await?;
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

    async fn kill_server(&mut self, server: &mut Server, name: &str) -> Result<(), Broken> {
        server.kill().await.map_err(Broken::lab("kill a server, as `break:` asks"))?;
        self.journal.lab(name, LabEvent::Killed);
        Ok(())
    }

    /// Reads what the nodes have to tell at the end: mapping tables, drops, lost datagrams.
    async fn inspect(&mut self, lab: &Arc<Lab>) -> Result<(), Broken> {
        let (at, case) = (Arc::clone(lab), Arc::clone(&self.case));
        let inspected = blocking(move || journal::inspect(&at, &case)).await??;
        let mut dropped = HashMap::new();
        for (router, table, drops) in inspected.routers {
            let file = self.folder.join(format!("{router}.mappings.txt"));
            std::fs::write(file, table.to_string()).map_err(Broken::lab("write a mapping table"))?;
            let drops: Drops =
                self.forgotten.remove(&router).unwrap_or_default().into_iter().chain([drops]).sum();
            self.journal.lab(&router, LabEvent::of_drops(drops));
            dropped.insert(router, drops);
        }
        for (peer, lost) in self.case.peers.iter().zip(inspected.lost) {
            self.journal.lab(&peer.name, LabEvent::ReceiveBufferErrors { datagrams: lost });
            // Also told of the peer: what all the routers before it have dropped.
            let before: Vec<Drops> = self
                .case
                .routers_of(peer)
                .iter()
                .filter_map(|router| dropped.get(&router.name).copied())
                .collect();
            if !before.is_empty() {
                self.journal.lab(&peer.name, LabEvent::of_drops(before.into_iter().sum()));
            }
        }
        Ok(())
    }

    fn log(&self, node: &str) -> PathBuf {
        self.folder.join(format!("{node}.log"))
    }
}
