//! One partner, from its discovery to the end: descriptions, candidates, connection, transfers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::agent::{Agent, AgentError, Channel, Happening, MAX_MESSAGE, Settings};
use super::control::event::{
    ChannelState, ConnectionState, Direction, Event, IceState, Side, SignalKind, Stage,
};
use super::control::{Role, SessionPlan, TransferPlan};
use super::reporter::Reporter;
use super::signaling::{Outbox, Signal, Trickled};
use super::transfer;

/// What a session is told from outside.
pub(super) enum Notice {
    /// The partner is listed.
    Listed,
    /// The partner speaks.
    Signal(Signal),
    /// Nobody will be heard any more by signaling, and why.
    SignalingLost(String),
}

/// How long a session waits for others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until when the partner is to be listed.
    pub(super) discovery: Instant,
    /// For a description, once the partner is known.
    pub(super) description: Duration,
    /// For the own bye to be sent.
    pub(super) farewell: Duration,
}

/// Why a session ended.
#[derive(Debug)]
enum End {
    /// The parent wants it so.
    Stopped,
    /// The partner said bye, or closed when all was done.
    Left,
    Failed(Stage, String),
}

impl From<AgentError> for End {
    fn from(error: AgentError) -> Self {
        Self::Failed(error.stage, error.to_string())
    }
}

/// See the charter.
pub(super) struct Session {
    pub(super) plan: SessionPlan,
    /// Those between the two, in order.
    pub(super) transfers: Vec<TransferPlan>,
    pub(super) settings: Settings,
    pub(super) patience: Patience,
    pub(super) outbox: Outbox,
    pub(super) reporter: Reporter,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Session {
    /// Runs until it is stopped, the partner leaves, or it fails.
    pub(super) async fn run(self) {
        let (tell, happenings) = mpsc::unbounded_channel();
        let mut course = Course {
            session: self,
            tell,
            happenings,
            discovered: false,
            offer: None,
            answer: None,
            is_described: false,
            early: Vec::new(),
            agent: None,
            channel: None,
        };
        let end = course.live().await.err().unwrap_or(End::Left);
        course.end(end).await;
    }
}

enum Heard {
    Stop,
    Notice(Notice),
    Happening(Happening),
}

/// A session under way.
struct Course {
    session: Session,
    tell: mpsc::UnboundedSender<Happening>,
    happenings: mpsc::UnboundedReceiver<Happening>,
    discovered: bool,
    offer: Option<String>,
    answer: Option<String>,
    /// Whether the partner's description has come: what is left to do needs no signaling.
    is_described: bool,
    /// Candidates that came before the offer.
    early: Vec<Trickled>,
    agent: Option<Arc<Agent>>,
    channel: Option<Arc<Channel>>,
}

impl Course {
    async fn live(&mut self) -> Result<(), End> {
        self.discover().await?;
        let (agent, answer) = match self.session.plan.role {
            Role::Offer => {
                let agent = Agent::offering(&self.session.settings, self.tell.clone()).await?;
                let agent = self.adopt(agent);
                drop(self.put(Signal::Offer(agent.description())));
                tokio::spawn(gather(Arc::clone(&agent)));
                let answer = self.description(|course| course.answer.take(), "answer").await?;
                (agent, Some(answer))
            }
            Role::Answer => {
                let offer = self.description(|course| course.offer.take(), "offer").await?;
                let agent = Agent::answering(&self.session.settings, self.tell.clone(), &offer).await?;
                let agent = self.adopt(agent);
                let sent = self.put(Signal::Answer(agent.description()));
                tokio::spawn(gather(Arc::clone(&agent)));
                // Checks before the partner can have the answer would only use up patience.
                let _ = self.meanwhile(sent).await?;
                (agent, None)
            }
        };
        self.connection(ConnectionState::Connecting);
        let connecting = async move { agent.connect(answer.as_deref()).await };
        let channel = Arc::new(self.meanwhile(connecting).await??);
        self.channel = Some(Arc::clone(&channel));
        self.connection(ConnectionState::Connected);
        self.channel_state(ChannelState::Open);
        self.transfer(channel).await?;
        // The partner closed when all was done; its bye goes the longer way.
        let deadline = Instant::now() + self.session.patience.farewell;
        while let Ok(heard) = timeout_at(deadline, self.hear()).await {
            heard?;
        }
        Ok(())
    }

    async fn discover(&mut self) -> Result<(), End> {
        let (began, deadline) = (Instant::now(), self.session.patience.discovery);
        while !self.discovered {
            let heard = timeout_at(deadline, self.hear()).await;
            let failed = |_| {
                let waited = (deadline - began).as_secs_f64();
                End::Failed(Stage::Discovery, format!("not listed within {waited:.3} s of the connection"))
            };
            heard.map_err(failed)??;
        }
        Ok(())
    }

    async fn description(
        &mut self,
        taken: impl Fn(&mut Self) -> Option<String>,
        name: &str,
    ) -> Result<String, End> {
        let patience = self.session.patience.description;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(description) = taken(self) {
                self.is_described = true;
                return Ok(description);
            }
            let heard = timeout_at(deadline, self.hear()).await;
            heard.map_err(|_| {
                End::Failed(Stage::Signaling, format!("no {name} came within {patience:?}"))
            })??;
        }
    }

    fn adopt(&mut self, agent: Agent) -> Arc<Agent> {
        let agent = Arc::new(agent);
        self.agent = Some(Arc::clone(&agent));
        if let Ok(receive_buffer) = agent.receive_buffer() {
            let peer = self.partner();
            self.session.reporter.report(Event::Socket { peer, receive_buffer });
        }
        for trickled in self.early.drain(..) {
            agent.add_candidate(&trickled.candidate);
        }
        agent
    }

    async fn transfer(&mut self, channel: Arc<Channel>) -> Result<(), End> {
        let transfers = std::mem::take(&mut self.session.transfers);
        let reporter = self.session.reporter.clone();
        let partner = self.partner();
        let course = async move {
            let mut buffer = vec![0; MAX_MESSAGE];
            for plan in &transfers {
                let passed = if plan.to == partner {
                    transfer::send(&channel, plan, &mut buffer, &reporter).await
                } else {
                    transfer::receive(&channel, plan, &mut buffer, &reporter).await
                };
                passed.map_err(|error| format!("transfer {}: {error}", plan.transfer))?;
            }
            // Nothing more is due; the channel is watched only for its end.
            while channel.receive(&mut buffer).await.is_ok() {}
            Ok::<(), String>(())
        };
        let done = self.meanwhile(course).await?;
        done.map_err(|message| End::Failed(Stage::Transfer, message))
    }

    /// Does `work`, and meanwhile all that a session has to do at any time.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                heard = self.hear() => heard?,
                done = &mut work => return Ok(done),
            }
        }
    }

    /// Takes in one thing that the parent, the partner or the agent says.
    async fn hear(&mut self) -> Result<(), End> {
        let heard = tokio::select! {
            _ = self.session.stop.wait_for(|stop| *stop) => Heard::Stop,
            notice = self.session.notices.recv() => notice.map_or(Heard::Stop, Heard::Notice),
            Some(happening) = self.happenings.recv() => Heard::Happening(happening),
        };
        match heard {
            Heard::Stop => Err(End::Stopped),
            Heard::Notice(notice) => self.notice(notice),
            Heard::Happening(happening) => self.happening(happening),
        }
    }

    fn notice(&mut self, notice: Notice) -> Result<(), End> {
        if let Notice::SignalingLost(message) = notice {
            // What two have with each other does not end with how they found each other.
            let lost = || End::Failed(Stage::Signaling, format!("the connection is gone: {message}"));
            return if self.is_described { Ok(()) } else { Err(lost()) };
        }
        if !self.discovered {
            self.discovered = true;
            self.session.reporter.report(Event::Discovered { peer: self.partner() });
        }
        let Notice::Signal(signal) = notice else { return Ok(()) };
        self.signal(Direction::Received, signal.kind());
        match signal {
            Signal::Offer(sdp) => self.offer = Some(sdp),
            Signal::Answer(sdp) => self.answer = Some(sdp),
            Signal::Candidate(trickled) => match &self.agent {
                Some(agent) => agent.add_candidate(&trickled.candidate),
                None => self.early.push(trickled),
            },
            Signal::Bye => return Err(End::Left),
        }
        Ok(())
    }

    fn happening(&mut self, happening: Happening) -> Result<(), End> {
        let peer = self.partner();
        let reporter = self.session.reporter.clone();
        match happening {
            Happening::Gathered(candidate, line) => {
                reporter.report(Event::Candidate { peer, side: Side::Local, candidate });
                if let Some((agent, line)) = self.agent.as_ref().zip(line) {
                    let (mid, ufrag) = agent.candidates_belong_to();
                    let (sdp_mid, username_fragment) = (Some(mid.to_owned()), Some(ufrag.to_owned()));
                    drop(self.put(Signal::Candidate(Trickled {
                        candidate: line,
                        sdp_mid,
                        username_fragment,
                    })));
                }
            }
            Happening::Told(candidate) => {
                reporter.report(Event::Candidate { peer, side: Side::Remote, candidate });
            }
            Happening::GatheringEnded => reporter.report(Event::Gathered { peer }),
            Happening::GatheringTrouble(message) => tracing::warn!(%peer, "{message}"),
            Happening::Selected { local, remote } => {
                reporter.report(Event::Selected { peer, local, remote });
                self.checks();
            }
            Happening::Ice(state) => {
                reporter.report(Event::Ice { peer, state });
                return self.ice(state);
            }
        }
        Ok(())
    }

    fn ice(&mut self, state: IceState) -> Result<(), End> {
        let connected = self.channel.is_some();
        match state {
            IceState::Connected if connected => self.connection(ConnectionState::Connected),
            IceState::Disconnected if connected => self.connection(ConnectionState::Disconnected),
            IceState::Failed if connected => {
                return Err(End::Failed(Stage::Ice, "the path was lost".to_owned()));
            }
            _ => {}
        }
        Ok(())
    }

    async fn end(mut self, end: End) {
        tracing::info!(partner = %self.session.plan.with, ?end, "the session ends");
        if let End::Stopped = end
            && self.discovered
        {
            let said = self.put(Signal::Bye);
            let _ = timeout(self.session.patience.farewell, said).await;
        }
        // What the agent told up to here still belongs to the record.
        while let Ok(happening) = self.happenings.try_recv() {
            let _ = self.happening(happening);
        }
        self.checks();
        if let End::Failed(stage, message) = &end {
            self.session.reporter.error(*stage, Some(&self.session.plan.with), message);
            self.connection(ConnectionState::Failed);
        }
        if let Some(agent) = self.agent.take() {
            agent.close(self.channel.as_deref()).await;
        }
        if self.channel.is_some() {
            self.channel_state(ChannelState::Closed);
        }
        self.connection(ConnectionState::Closed);
    }

    fn checks(&self) {
        if let Some(agent) = &self.agent {
            let peer = self.partner();
            self.session.reporter.report(Event::Checks { peer, pairs: agent.checks() });
        }
    }

    /// Sends a signal; the handle ends when it was really sent.
    fn put(&self, signal: Signal) -> JoinHandle<()> {
        let sent = self.session.outbox.put(&self.session.plan.with, &signal);
        let (peer, reporter, kind) = (self.partner(), self.session.reporter.clone(), signal.kind());
        tokio::spawn(async move {
            if sent.await.is_ok() {
                reporter.report(Event::Signal { direction: Direction::Sent, kind, peer });
            }
        })
    }

    fn signal(&self, direction: Direction, kind: SignalKind) {
        self.session.reporter.report(Event::Signal { direction, kind, peer: self.partner() });
    }

    fn connection(&self, state: ConnectionState) {
        self.session.reporter.report(Event::Connection { peer: self.partner(), state });
    }

    fn channel_state(&self, state: ChannelState) {
        self.session.reporter.report(Event::Channel { peer: self.partner(), state });
    }

    fn partner(&self) -> String {
        self.session.plan.with.clone()
    }
}

async fn gather(agent: Arc<Agent>) {
    agent.gather().await;
}
