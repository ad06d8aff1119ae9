//! The peers of a case: started, given their orders, listened to, stopped.

use std::sync::Arc;

use netns::lab::Lab;
use tokio::time::{Instant, timeout, timeout_at};

use super::{CaseRun, GOODBYE, GRACE, STALLED};
use crate::peer::control::Command;
use crate::peer::control::event::Event;
use crate::run::broken::Broken;
use crate::run::event::LabEvent;
use crate::run::journal;
use crate::run::orders::orders;
use crate::run::outcome::Stage;
use crate::run::process::{FromPeer, Peer};
use crate::run::standing::{self, Standing};
use crate::scenario::{Break, Victim, show_duration};

impl CaseRun {
    /// Starts every peer's program; each gets its orders when all are ready, a late one later.
    pub(super) async fn start_peers(&mut self, standing: &Standing, deadline: Instant) -> Result<(), Broken> {
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
        let (case, began) = (Arc::clone(&self.case), Instant::now());
        let mut order: Vec<usize> = (0..self.peers.len()).collect();
        order.sort_by_key(|&index| case.peers[index].start);
        for index in order {
            let peer = &case.peers[index];
            let at = began + peer.start;
            while self.hear_until(&standing.lab, at.min(deadline)).await? {}
            if at > deadline {
                let message = format!("{} was to start after {}", peer.name, show_duration(peer.start));
                return Err(Broken { stage: Stage::Peer, message });
            }
            let servers = standing.servers_for(&case, peer)?;
            let node = standing::node(&standing.lab, &peer.name)?;
            let start = orders(&case, peer, node.all_addresses().collect(), servers);
            self.journal.lab(&peer.name, LabEvent::Started);
            self.steps.begin();
            let ordered = self.peers[index].1.order(&Command::Start(Box::new(start))).await;
            ordered.map_err(Broken::lab("give a peer its orders"))?;
        }
        Ok(())
    }

    /// Listens until every session has come to its end, or no longer can.
    pub(super) async fn watch(&mut self, lab: &Arc<Lab>, deadline: Instant) -> Result<(), Broken> {
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
            if !self.hear_until(lab, until.min(deadline)).await? {
                break;
            }
        }
        Ok(())
    }

    /// Hears one thing, and lets the steps happen that are due meanwhile; false where `until` came first.
    async fn hear_until(&mut self, lab: &Arc<Lab>, until: Instant) -> Result<bool, Broken> {
        loop {
            let step = self.take_steps(lab).await?;
            let wake = step.map_or(until, |at| at.min(until));
            match timeout_at(wake, self.hear.recv()).await {
                Ok(heard) => {
                    self.heard(heard);
                    self.take_steps(lab).await?;
                    return Ok(true);
                }
                Err(_) if wake == until => return Ok(false),
                Err(_) => {}
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
                self.steps.heard(&self.case, &node, &report.event);
                self.journal.peer(&node, report.at_us, report.event);
            }
            FromPeer::Unreadable(line) => self.journal.lab(&node, LabEvent::Unreadable { line }),
            FromPeer::Ended(status) => {
                self.journal.lab(&node, LabEvent::Ended { status, asked: self.stopping })
            }
        }
    }

    pub(super) async fn stop_peers(&mut self) -> Result<(), Broken> {
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
}
