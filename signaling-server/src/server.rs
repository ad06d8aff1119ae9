//! The accept loop and the drain.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use crate::closing::Closing;
use crate::error::Error;
use crate::limits::Limits;
use crate::session;
use crate::switchboard::Switchboard;

/// What a server is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen, one place or more; port 0 is any free one. All lead to the same room.
    pub listen: Vec<SocketAddr>,
    /// What a client may take up.
    pub limits: Limits,
}

impl Config {
    /// The address and port that clients expect: every address, port 9000.
    pub const LISTEN: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 9000);
}

impl Default for Config {
    fn default() -> Config {
        Config { listen: vec![Config::LISTEN], limits: Limits::default() }
    }
}

/// A server that listens, and serves once it is told to.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    limits: Limits,
}

impl Server {
    /// Listens: from here on clients can connect, and wait to be served.
    pub async fn bind(config: Config) -> Result<Server, Error> {
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for address in config.listen {
            let failed = |source| Error::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            listeners.push(listener);
        }
        Ok(Server { listeners, addresses, limits: config.limits })
    }

    /// Where it listens, with the real ports, in the order of [`Config::listen`].
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `shutdown` is ready, then closes every client with 1001 and waits for them, but never longer
    /// than [`Limits::drain`].
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Server { listeners, addresses, limits } = self;
        let drain = limits.drain;
        let switchboard = Switchboard::new(limits);
        let mut sessions = JoinSet::new();
        let mut entrance = Entrance { listeners, next: 0, pause: SHORTEST_PAUSE };
        let mut shutdown = pin!(shutdown);
        let mut announcer = pin!(switchboard.announce());
        for address in addresses {
            info!(%address, "serving");
        }
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = &mut announcer => {}
                Some(ended) = sessions.join_next() => note_panic(ended),
                (stream, peer) = entrance.accept() => {
                    let seat = switchboard.connect();
                    debug!(connection = seat.connection.0, %peer, "connected");
                    sessions.spawn(session::run(stream, seat));
                }
            }
        }
        drop(entrance);
        info!(clients = sessions.len(), "stopping");
        switchboard.close_all(Closing::GoingAway);
        let emptied = async {
            while let Some(ended) = sessions.join_next().await {
                note_panic(ended);
            }
        };
        if timeout(drain, emptied).await.is_err() {
            warn!(clients = sessions.len(), "stopped without waiting for the last clients");
        }
    }
}

/// Where clients come in.
#[derive(Debug)]
struct Entrance {
    listeners: Vec<TcpListener>,
    /// The listener that is asked first, so that a crowd at one keeps nobody out at another.
    next: usize,
    /// The time between two attempts to accept, while the system refuses.
    pause: Duration,
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Entrance {
    /// The next client. An error is never the end: when descriptors have run out, some come back.
    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match poll_fn(|context| self.poll_accept(context)).await {
                Ok((stream, peer)) => {
                    self.pause = SHORTEST_PAUSE;
                    // Frames are small, and each is somebody's wait.
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!(%error, "no TCP_NODELAY");
                    }
                    return (stream, peer);
                }
                // That client has gone; the next one has done nothing wrong.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    warn!(%error, pause = ?self.pause, "cannot accept");
                    sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let number = self.listeners.len();
        for at in (0..number).map(|step| (self.next + step) % number) {
            if let Poll::Ready(accepted) = self.listeners[at].poll_accept(context) {
                self.next = (at + 1) % number;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

/// A panic has ended one session; its seat is free and all others go on.
fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a session has panicked");
    }
}
