//! The DTLS handshake over the path that ICE found: certificate, fingerprint, and the last flight, which webrtc-dtls
//! sends once and never again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use webrtc::dtls;
use webrtc::dtls::config::{ClientAuthType, Config};
use webrtc::dtls::conn::DTLSConn;
use webrtc::dtls::crypto::Certificate;
use webrtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use webrtc::util::{Conn, Error};

/// A certificate made for this process, and its fingerprint.
#[derive(Clone)]
pub(super) struct Identity {
    certificate: Certificate,
    pub(super) fingerprint: String,
}

/// Why there is no secure connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the handshake failed: {0}")]
    Handshake(#[from] dtls::Error),
    #[error("the partner's certificate is not the one it announced")]
    Fingerprint,
}

impl Identity {
    pub(super) fn generate() -> Result<Self, dtls::Error> {
        let certificate = Certificate::generate_self_signed(vec!["natlab".to_owned()])?;
        let fingerprint = fingerprint(certificate.certificate.first().map_or(&[], |der| der.as_ref()));
        Ok(Self { certificate, fingerprint })
    }
}

fn fingerprint(certificate: &[u8]) -> String {
    let pairs: Vec<String> = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// Makes the connection secure. `resend_after` is how long a flight may stay unanswered.
pub(super) async fn handshake(
    path: Arc<dyn Conn + Send + Sync>,
    identity: &Identity,
    client: bool,
    announced: &str,
    resend_after: Duration,
) -> Result<Arc<DTLSConn>, HandshakeError> {
    let config = Config {
        certificates: vec![identity.certificate.clone()],
        client_auth: ClientAuthType::RequireAnyClientCert,
        // The certificate is checked against its fingerprint below, as RFC 8827 section 6.5 has it.
        insecure_skip_verify: true,
        // There is no media, but browsers ask for it, and take no for a failure.
        srtp_protection_profiles: vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ],
        flight_interval: resend_after,
        // Nobody looks at it; without, the library takes the address of the path, and warns where there is none.
        server_name: "natlab".to_owned(),
        ..Config::default()
    };
    let path = Arc::new(LastFlight { path, flight: Mutex::default() });
    let secure = DTLSConn::new(path, config, client, None).await?;
    let certificates = secure.connection_state().await.peer_certificates;
    if certificates.first().is_none_or(|certificate| fingerprint(certificate) != announced) {
        let _ = secure.close().await;
        return Err(HandshakeError::Fingerprint);
    }
    Ok(Arc::new(secure))
}

/// Content types of DTLS records (RFC 6347).
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Repeats the server's last flight when the client repeats the one before it (RFC 6347 section 4.2.4). webrtc-dtls is
/// deaf once its own handshake is over: were the server's Finished lost, the client would wait for ever.
struct LastFlight {
    path: Arc<dyn Conn + Send + Sync>,
    /// ChangeCipherSpec and Finished, which always fit one datagram; until data shows that they arrived.
    flight: Mutex<Option<Vec<u8>>>,
}

impl LastFlight {
    fn flight(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Conn for LastFlight {
    async fn connect(&self, to: SocketAddr) -> Result<(), Error> {
        self.path.connect(to).await
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let received = self.path.recv(buffer).await;
        if received.is_err() {
            // The library tries again at once, for ever, and would let nobody else run.
            tokio::task::yield_now().await;
        }
        let length = received?;
        match buffer[..length].first() {
            Some(&APPLICATION_DATA) => *self.flight() = None,
            Some(&HANDSHAKE) => {
                let flight = self.flight().clone();
                if let Some(flight) = flight {
                    self.path.send(&flight).await?;
                }
            }
            _ => {}
        }
        Ok(length)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.path.recv_from(buffer).await
    }

    async fn send(&self, datagram: &[u8]) -> Result<usize, Error> {
        // Of all flights only the server's last begins with this record; the client's has it in its midst.
        if datagram.first() == Some(&CHANGE_CIPHER_SPEC) {
            *self.flight() = Some(datagram.to_vec());
        }
        self.path.send(datagram).await
    }

    async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> Result<usize, Error> {
        self.path.send_to(datagram, to).await
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.path.local_addr()
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.path.remote_addr()
    }

    async fn close(&self) -> Result<(), Error> {
        self.path.close().await
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

#[cfg(test)]
mod tests {
    use webrtc::util::conn::conn_pipe::pipe;

    use super::*;
    use crate::peer::agent::lossy::lossy_pipe;

    #[tokio::test(start_paused = true)]
    async fn a_handshake_survives_the_loss_of_each_of_its_first_datagrams() {
        for lost in 0..6 {
            let (client, server) = both(lost).await;
            assert!(
                client.is_ok() && server.is_ok(),
                "datagram {lost} lost: {:?} {:?}",
                client.err(),
                server.err()
            );
        }
    }

    #[tokio::test]
    async fn a_certificate_other_than_the_announced_one_is_refused() {
        let (client, server) = pipe();
        let (ours, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let (client, _) = tokio::join!(
            shaken(Arc::new(client), &ours, true, &ours.fingerprint),
            shaken(Arc::new(server), &other, false, &ours.fingerprint),
        );
        assert!(matches!(client, Err(HandshakeError::Fingerprint)));
    }

    type Shaken = Result<Arc<DTLSConn>, HandshakeError>;

    /// Both ends over a wire that loses one datagram, whoever sends it.
    async fn both(lost: usize) -> (Shaken, Shaken) {
        let (client, server) = lossy_pipe(lost);
        let (ours, theirs) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        tokio::join!(
            shaken(client, &ours, true, &theirs.fingerprint),
            shaken(server, &theirs, false, &ours.fingerprint)
        )
    }

    async fn shaken(
        path: Arc<dyn Conn + Send + Sync>,
        identity: &Identity,
        client: bool,
        announced: &str,
    ) -> Shaken {
        let handshake = handshake(path, identity, client, announced, Duration::from_millis(50));
        tokio::time::timeout(Duration::from_secs(20), handshake).await.expect("the handshake hangs")
    }
}
