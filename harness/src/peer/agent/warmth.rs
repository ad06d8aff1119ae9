//! Whatever makes the first connection of a process slow, done before it counts.

use webrtc::dtls;

use super::dtls::Identity;

/// A warm process.
#[derive(Clone)]
pub(in crate::peer) struct Warmth {
    identity: Identity,
}

impl Warmth {
    /// Makes the certificate.
    pub(in crate::peer) async fn new() -> Result<Self, dtls::Error> {
        Ok(Self { identity: Identity::generate()? })
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }
}
