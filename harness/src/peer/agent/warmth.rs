//! What makes the first connection of a process slow, done before it counts: the certificate, and a rehearsal that
//! pages in the code of DTLS and SCTP and fills the tables of its ciphers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use webrtc::dtls;
use webrtc::util::Conn;
use webrtc::util::conn::conn_pipe::pipe;

use super::channel::{Channel, Opening};
use super::dtls::{Identity, handshake};

/// Longest time a rehearsal is worth.
const REHEARSAL: Duration = Duration::from_secs(1);

/// A warm process.
#[derive(Clone)]
pub(in crate::peer) struct Warmth {
    identity: Identity,
}

impl Warmth {
    /// Warms this process.
    pub(in crate::peer) async fn new() -> Result<Self, dtls::Error> {
        let identity = Identity::generate()?;
        if timeout(REHEARSAL, rehearse(&identity)).await.is_err() {
            tracing::warn!("the rehearsal took longer than {REHEARSAL:?}: the first connection will be slow");
        }
        Ok(Self { identity })
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Connects two ends within the process and passes a message.
async fn rehearse(identity: &Identity) {
    let (here, there) = pipe();
    let (sending, receiving) =
        tokio::join!(open(Arc::new(here), identity, true), open(Arc::new(there), identity, false));
    let (Some(sending), Some(receiving)) = (sending, receiving) else { return };
    let (message, mut buffer) = (Bytes::from_static(&[0; 4_096]), [0; 4_096]);
    let _ = tokio::join!(sending.send(&message), receiving.receive(&mut buffer));
    tokio::join!(sending.close(), receiving.close());
}

async fn open(path: Arc<dyn Conn + Send + Sync>, identity: &Identity, client: bool) -> Option<Channel> {
    let opening =
        Opening { client, opens: client, sctp_port: 5_000, max_message_size: u32::MAX, packet_bytes: 0 };
    let secure = handshake(path, identity, client, &identity.fingerprint, REHEARSAL).await.ok()?;
    Channel::open(secure, &opening).await.ok()
}
