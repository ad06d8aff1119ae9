//! The WebRTC agent of one session: ICE, DTLS, SCTP and a data channel, put together from the parts of webrtc-rs. The
//! only file (with those below it) that knows the library, so that another can take its place.

mod channel;
mod checks;
mod description;
mod disguise;
mod dtls;
mod gathering;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod lossy;
mod setup;
mod socket;
mod stun;
mod udp;
mod warmth;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use webrtc::ice;
use webrtc::ice::candidate::candidate_base::unmarshal_candidate;
use webrtc::ice::state::ConnectionState as State;
use webrtc::util::Conn;

use super::control::Role;
use super::control::event::{Candidate, CheckedPair, IceState, Stage};
use channel::Opening;
pub(super) use channel::{Channel, ChannelError, MAX_MESSAGE, Message};
use description::{Description, Setup};
use gathering::{described, host_lines, watch_hosts};
use setup::{ice_config, watch_state};
use socket::Socket;
pub(super) use warmth::Warmth;

/// Bounds of the time after which an unanswered flight of the DTLS handshake is sent again: three round trips as the
/// checks measured them, where RFC 6347 without knowledge begins with the upper one.
const RESEND_FLIGHT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Longest time that any part may take to close.
const CLOSING: Duration = Duration::from_millis(500);

/// What all agents of a process have in common.
#[derive(Clone)]
pub(super) struct Settings {
    /// Where to gather from: one address for each family that the peer has.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) stun: Vec<SocketAddr>,
    /// How long ICE looks for a path, or does without one it had, before it has failed.
    pub(super) patience: Duration,
    pub(super) sctp_packet_bytes: u32,
    pub(super) warmth: Warmth,
}

/// What an agent tells while it works.
pub(super) enum Happening {
    /// A local candidate was gathered: to be told to the partner in this form, unless the description does.
    Gathered(Candidate, Option<String>),
    /// A candidate of the partner is known, from its description or after it.
    Told(Candidate),
    GatheringEnded,
    /// A STUN server did not help.
    GatheringTrouble(String),
    Ice(IceState),
    Selected {
        local: Candidate,
        remote: Candidate,
    },
}

/// Where and why an agent failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct AgentError {
    pub(super) stage: Stage,
    message: String,
}

impl AgentError {
    fn new(stage: Stage, message: impl ToString) -> Self {
        Self { stage, message: message.to_string() }
    }
}

/// See the charter.
pub(super) struct Agent {
    role: Role,
    settings: Settings,
    socket: Arc<Socket>,
    ice: ice::agent::Agent,
    state: watch::Receiver<State>,
    hosts_gathered: watch::Receiver<bool>,
    happenings: mpsc::UnboundedSender<Happening>,
    local: Description,
    /// On the answering side: the offer.
    remote: Option<Description>,
}

impl Agent {
    /// An agent that offers.
    pub(super) async fn offering(
        settings: &Settings,
        happenings: mpsc::UnboundedSender<Happening>,
    ) -> Result<Self, AgentError> {
        Self::new(Role::Offer, settings, happenings, Setup::ActPass, None).await
    }

    /// An agent that answers this offer.
    pub(super) async fn answering(
        settings: &Settings,
        happenings: mpsc::UnboundedSender<Happening>,
        offer: &str,
    ) -> Result<Self, AgentError> {
        let remote = Description::parse(offer).map_err(|error| AgentError::new(Stage::Signaling, error))?;
        let setup = if remote.setup == Setup::Active { Setup::Passive } else { Setup::Active };
        Self::new(Role::Answer, settings, happenings, setup, Some(remote)).await
    }

    async fn new(
        role: Role,
        settings: &Settings,
        happenings: mpsc::UnboundedSender<Happening>,
        setup: Setup,
        remote: Option<Description>,
    ) -> Result<Self, AgentError> {
        let gathering = |error: &dyn std::error::Error| AgentError::new(Stage::Gathering, error);
        let socket = Arc::new(Socket::bind(&settings.addresses).await.map_err(|error| gathering(&error))?);
        let ice =
            ice::agent::Agent::new(ice_config(role, settings, &socket)).await.map_err(|e| gathering(&e))?;
        let (ufrag, password) = ice.get_local_user_credentials().await;
        socket.answers_with(&password);
        let local = Description {
            ufrag,
            password,
            fingerprint: settings.warmth.identity().fingerprint.clone(),
            setup,
            mid: remote.as_ref().map_or_else(|| "0".to_owned(), |offer| offer.mid.clone()),
            sctp_port: 5_000,
            max_message_size: MAX_MESSAGE as u32,
            candidates: host_lines(socket.bases()),
        };
        let state = watch_state(&ice, &socket, &happenings);
        let hosts_gathered = watch_hosts(&ice, socket.bases(), &happenings);
        let settings = settings.clone();
        Ok(Self { role, settings, socket, ice, state, hosts_gathered, happenings, local, remote })
    }

    /// The description to send to the partner: an offer or an answer.
    pub(super) fn description(&self) -> String {
        self.local.to_string()
    }

    /// The media section that candidates belong to, and the username fragment they are used with.
    pub(super) fn candidates_belong_to(&self) -> (&str, &str) {
        (&self.local.mid, &self.local.ufrag)
    }

    /// Bytes of receive buffer, as the kernel counts them.
    pub(super) fn receive_buffer(&self) -> std::io::Result<usize> {
        self.socket.receive_buffer()
    }

    /// Takes a candidate of the partner, also before its description is known. The line is empty at the end of them.
    pub(super) fn add_candidate(&self, line: &str) {
        let line = line.trim();
        let line = line.strip_prefix("candidate:").unwrap_or(line);
        let parsed =
            (unmarshal_candidate(line), unmarshal_candidate(&self.socket.disguise().shown_line(line)));
        let (told, shown) = match parsed {
            (Ok(told), Ok(shown)) => (told, shown),
            _ if line.is_empty() => return,
            (Err(error), _) | (_, Err(error)) => return tracing::warn!(%error, line, "not a candidate"),
        };
        let known = described(&told);
        let address = known.address.parse().ok().map(|ip| SocketAddr::new(ip, known.port));
        if let Some(address) = address.filter(|&address| self.socket.base_towards(address).is_some())
            && known.protocol == "udp"
        {
            let mut checks = self.socket.checks();
            if checks.add_remote(address, known.clone())
                && let Some((local, remote)) = checks.selected()
            {
                let _ = self.happenings.send(Happening::Selected { local, remote });
            }
        }
        if let Err(error) = self.ice.add_remote_candidate(&(Arc::new(shown) as Arc<_>)) {
            tracing::warn!(%error, line, "the ICE agent refuses a candidate");
        }
        let _ = self.happenings.send(Happening::Told(known));
    }

    /// Connects; on the offering side with the answer. The channel is open on both sides when this returns.
    pub(super) async fn connect(&self, answer: Option<&str>) -> Result<Channel, AgentError> {
        let answer = answer.map(Description::parse).transpose();
        let answer = answer.map_err(|error| AgentError::new(Stage::Signaling, error))?;
        let remote = answer.as_ref().or(self.remote.as_ref());
        let remote = remote.ok_or_else(|| AgentError::new(Stage::Signaling, "there is no description"))?;
        for line in &remote.candidates {
            self.add_candidate(line);
        }
        let path = self.find_path(remote).await?;
        let client = match self.role {
            Role::Offer => remote.setup == Setup::Passive,
            Role::Answer => self.local.setup == Setup::Active,
        };
        let secure =
            self.before_path_is_lost(Stage::Dtls, self.secure(path, client, &remote.fingerprint)).await?;
        let opening = Opening {
            client,
            opens: self.role == Role::Offer,
            sctp_port: remote.sctp_port,
            max_message_size: remote.max_message_size,
            packet_bytes: self.settings.sctp_packet_bytes,
        };
        let channel = async {
            Channel::open(secure, &opening).await.map_err(|error| AgentError::new(Stage::Channel, error))
        };
        self.before_path_is_lost(Stage::Channel, channel).await
    }

    async fn find_path(&self, remote: &Description) -> Result<Arc<dyn Conn + Send + Sync>, AgentError> {
        // Held until the path is found: the agent takes a closed channel for a wish to stop.
        let (_cancel, cancelled) = mpsc::channel(1);
        let (ufrag, password) = (remote.ufrag.clone(), remote.password.clone());
        let found = async {
            match self.role {
                Role::Offer => self.ice.dial(cancelled, ufrag, password).await.map(|path| path as Arc<_>),
                Role::Answer => self.ice.accept(cancelled, ufrag, password).await.map(|path| path as Arc<_>),
            }
        };
        tokio::select! {
            found = found => found.map_err(|error| AgentError::new(Stage::Ice, error)),
            () = self.path_lost() => {
                Err(AgentError::new(Stage::Ice, format!("no path within {:?}", self.settings.patience)))
            }
        }
    }

    async fn secure(
        &self,
        path: Arc<dyn Conn + Send + Sync>,
        client: bool,
        fingerprint: &str,
    ) -> Result<Arc<webrtc::dtls::conn::DTLSConn>, AgentError> {
        let (shortest, longest) = RESEND_FLIGHT;
        let round_trip = self.socket.checks().round_trip();
        let resend_after = round_trip.map_or(longest, |time| (3 * time).clamp(shortest, longest));
        let handshake =
            dtls::handshake(path, self.settings.warmth.identity(), client, fingerprint, resend_after);
        handshake.await.map_err(|error| AgentError::new(Stage::Dtls, error))
    }

    /// What comes after ICE has twice the patience, and fails as ICE when the path goes away meanwhile.
    async fn before_path_is_lost<T>(
        &self,
        stage: Stage,
        step: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        let deadline = 2 * self.settings.patience;
        tokio::select! {
            done = timeout(deadline, step) => {
                done.unwrap_or_else(|_| Err(AgentError::new(stage, format!("not done within {deadline:?}"))))
            }
            () = self.path_lost() => Err(AgentError::new(Stage::Ice, "the path was lost")),
        }
    }

    async fn path_lost(&self) {
        let mut state = self.state.clone();
        // An agent that is gone has no path either.
        let _ = state.wait_for(|state| *state == State::Failed).await;
    }

    /// The connectivity checks so far.
    pub(super) fn checks(&self) -> Vec<CheckedPair> {
        self.socket.checks().pairs()
    }

    /// Closes everything, the channel first.
    pub(super) async fn close(&self, channel: Option<&Channel>) {
        if let Some(channel) = channel {
            let _ = timeout(CLOSING, channel.close()).await;
        }
        let _ = timeout(CLOSING, self.ice.close()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handshake_that_hangs_is_told_as_dtls_after_a_deadline() {
        // Told so, both sides take themselves for the client.
        let (stage, _) = connected(|answer| answer.replace("setup:active", "setup:passive")).await;
        assert_eq!(stage, Some(Stage::Dtls));
    }

    #[tokio::test]
    async fn another_certificate_than_the_announced_one_is_told_as_dtls() {
        let (stage, _) = connected(|answer| answer.replace("sha-256 ", "sha-256 00:")).await;
        assert_eq!(stage, Some(Stage::Dtls));
    }

    #[tokio::test]
    async fn an_answer_without_a_password_is_told_as_signaling() {
        let (stage, _) = connected(|answer| answer.replace("ice-pwd", "ice-key")).await;
        assert_eq!(stage, Some(Stage::Signaling));
    }

    #[tokio::test]
    async fn an_answer_as_it_was_written_connects() {
        assert_eq!(connected(str::to_owned).await, (None, None));
    }

    /// Two agents over loopback; what the offering side hears of the answer may differ from what was said. Gives the
    /// stage at which each of the two failed.
    async fn connected(heard: impl Fn(&str) -> String) -> (Option<Stage>, Option<Stage>) {
        let settings = interop::settings().await;
        let (tell, _offering) = mpsc::unbounded_channel();
        let offering = Agent::offering(&settings, tell.clone()).await.unwrap();
        let answering = Agent::answering(&settings, tell, &offering.description()).await.unwrap();
        let answer = heard(&answering.description());
        let (_, _, here, there) = tokio::join!(
            offering.gather(),
            answering.gather(),
            offering.connect(Some(&answer)),
            answering.connect(None)
        );
        (here.err().map(|error| error.stage), there.err().map(|error| error.stage))
    }
}
