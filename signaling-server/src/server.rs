//! The accept loop and the drain.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
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
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
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
        Config { listen: Config::LISTEN, limits: Limits::default() }
    }
}

/// A server that listens, and serves once it is told to.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

impl Server {
    /// Listens: from here on clients can connect, and wait to be served.
    pub async fn bind(config: Config) -> Result<Server, Error> {
        let failed = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Server { listener, address, limits: config.limits })
    }

    /// Where it listens, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready, then closes every client with 1001 and waits for them, but never longer
    /// than [`Limits::drain`].
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Server { listener, address, limits } = self;
        let drain = limits.drain;
        let switchboard = Switchboard::new(limits);
        let mut sessions = JoinSet::new();
        let mut pause = Pause::default();
        let mut shutdown = pin!(shutdown);
        let mut announcer = pin!(switchboard.announce());
        info!(%address, "serving");
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = &mut announcer => {}
                Some(ended) = sessions.join_next() => note_panic(ended),
                (stream, peer) = accept(&listener, &mut pause) => {
                    let seat = switchboard.connect();
                    debug!(connection = seat.connection.0, %peer, "connected");
                    sessions.spawn(session::run(stream, seat));
                }
            }
        }
        drop(listener);
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

/// The time between two attempts to accept, while the system refuses: 10 ms, doubled up to a second.
#[derive(Debug)]
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Pause {
        Pause(Duration::from_millis(10))
    }
}

/// The next client. An error is never the end: when descriptors have run out, some come back.
async fn accept(listener: &TcpListener, pause: &mut Pause) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                *pause = Pause::default();
                // Frames are small, and each is somebody's wait.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "no TCP_NODELAY");
                }
                return (stream, peer);
            }
            // That client has gone; the next one has done nothing wrong.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, pause = ?pause.0, "cannot accept");
                sleep(pause.0).await;
                pause.0 = (pause.0 * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// A panic has ended one session; its seat is free and all others go on.
fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a session has panicked");
    }
}
