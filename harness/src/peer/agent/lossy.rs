//! For tests: a wire that loses exactly one datagram.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use webrtc::util::conn::conn_pipe::pipe;
use webrtc::util::{Conn, Error};

/// Both ends of a wire that loses datagram number `lost`, whoever sends it.
pub(super) fn lossy_pipe(lost: usize) -> (Arc<Lossy>, Arc<Lossy>) {
    let (here, there) = pipe();
    let passed = Arc::new(AtomicUsize::new(0));
    let here = Lossy { path: Arc::new(here), passed: Arc::clone(&passed), lost };
    (Arc::new(here), Arc::new(Lossy { path: Arc::new(there), passed, lost }))
}

pub(super) struct Lossy {
    path: Arc<dyn Conn + Send + Sync>,
    passed: Arc<AtomicUsize>,
    lost: usize,
}

#[async_trait]
impl Conn for Lossy {
    async fn connect(&self, to: SocketAddr) -> Result<(), Error> {
        self.path.connect(to).await
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.path.recv(buffer).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.path.recv_from(buffer).await
    }

    async fn send(&self, datagram: &[u8]) -> Result<usize, Error> {
        if self.passed.fetch_add(1, Ordering::Relaxed) == self.lost {
            return Ok(datagram.len());
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
