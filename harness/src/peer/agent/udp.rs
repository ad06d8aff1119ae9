//! The UDP sockets of a session, one for each address family that the peer has; to its user they are one.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use tokio::net::UdpSocket;

/// Bytes of receive buffer to ask for: the default of 208 KiB loses packets of a fast sender.
const RECEIVE_BUFFER: usize = 4 << 20;

/// See the charter.
pub(super) struct Udp {
    main: UdpSocket,
    /// Of the other family.
    other: Option<UdpSocket>,
    bases: Vec<SocketAddr>,
}

impl Udp {
    /// Opens a socket at the first of these addresses, and one at the first of another family.
    pub(super) async fn bind(addresses: &[IpAddr]) -> io::Result<Self> {
        let &first = addresses.first().ok_or(ErrorKind::AddrNotAvailable)?;
        let main = bind(first).await?;
        let mut bases = vec![main.local_addr()?];
        let other = match addresses.iter().find(|address| address.is_ipv4() != first.is_ipv4()) {
            Some(&other) => {
                let other = bind(other).await?;
                bases.push(other.local_addr()?);
                Some(other)
            }
            None => None,
        };
        Ok(Self { main, other, bases })
    }

    /// Where the sockets are, the one of the first address first.
    pub(super) fn bases(&self) -> &[SocketAddr] {
        &self.bases
    }

    /// The smallest receive buffer, bytes as the kernel counts them.
    pub(super) fn receive_buffer(&self) -> io::Result<usize> {
        let main = getsockopt(&self.main, sockopt::RcvBuf)?;
        let other = self.other.as_ref().map(|other| getsockopt(other, sockopt::RcvBuf)).transpose()?;
        Ok(other.map_or(main, |other| other.min(main)))
    }

    /// Sends from the socket of the receiver's family.
    pub(super) async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        let is_mains = self.bases[0].is_ipv4() == to.is_ipv4();
        let socket = if is_mains { Some(&self.main) } else { self.other.as_ref() };
        socket.ok_or(ErrorKind::AddrNotAvailable)?.send_to(datagram, to).await
    }

    /// The next datagram of any of them. Several may wait at once; each gets another one.
    pub(super) async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let Some(other) = &self.other else { return self.main.recv_from(buffer).await };
        loop {
            let ready = tokio::select! {
                ready = self.main.readable() => ready.map(|()| &self.main),
                ready = other.readable() => ready.map(|()| other),
            };
            match ready?.try_recv_from(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }
}

async fn bind(address: IpAddr) -> io::Result<UdpSocket> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("no socket at {address}: {error}"));
    let udp = UdpSocket::bind((address, 0)).await.map_err(failed)?;
    // With privileges the limit of net.core.rmem_max does not count; without, the kernel gives what it allows.
    if setsockopt(&udp, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        setsockopt(&udp, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    }
    Ok(udp)
}
