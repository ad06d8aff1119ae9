//! The one socket of a session, whatever address families it has. Host and server-reflexive candidates share it, as
//! browsers do, so a NAT mapping is tested on the port that carries the data; and everything that passes is counted.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use webrtc::ice::udp_mux::UDPMux;
use webrtc::util::{Conn, Error};

use super::checks::Checks;
use super::disguise::{self, Disguise};
use super::stun::{self, MessageKind, TransactionId};
use super::udp::Udp;

/// Longest datagram of any interest: SCTP over DTLS stays far below.
const DATAGRAM: usize = 8_192;

/// Waits for an answer of a STUN server; the sum is what RFC 8489 section 6.2.1 gives a request, but quicker to
/// begin with.
const STUN_WAITS: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(1_000),
    Duration::from_millis(1_750),
];

/// See the charter.
pub(super) struct Socket {
    udp: Udp,
    disguise: Disguise,
    /// What answers to checks are signed with.
    password: OnceLock<String>,
    checks: Mutex<Checks>,
    /// Who waits for which answer of a STUN server.
    asked: Mutex<HashMap<TransactionId, oneshot::Sender<SocketAddr>>>,
    /// What came for the ICE agent while somebody else was reading.
    backlog: Mutex<VecDeque<(Vec<u8>, SocketAddr)>>,
    wake: Notify,
    closed: AtomicBool,
}

impl Socket {
    /// Opens a socket at these addresses, of which each has a family of its own. Of two, the IPv6 one is the main one:
    /// that is the family which can stand for both.
    pub(super) async fn bind(addresses: &[IpAddr]) -> io::Result<Self> {
        let mut addresses = addresses.to_vec();
        addresses.sort_by_key(IpAddr::is_ipv4);
        let udp = Udp::bind(&addresses).await?;
        Ok(Self {
            disguise: Disguise(udp.bases().len() > 1),
            password: OnceLock::new(),
            checks: Mutex::new(Checks::new(udp.bases())),
            udp,
            asked: Mutex::default(),
            backlog: Mutex::default(),
            wake: Notify::new(),
            closed: AtomicBool::new(false),
        })
    }

    /// Where it is: once for each address family, the main one first.
    pub(super) fn bases(&self) -> &[SocketAddr] {
        self.udp.bases()
    }

    /// Where it is in this family.
    pub(super) fn base_towards(&self, remote: SocketAddr) -> Option<SocketAddr> {
        self.bases().iter().copied().find(|base| base.is_ipv4() == remote.is_ipv4())
    }

    pub(super) fn disguise(&self) -> Disguise {
        self.disguise
    }

    /// Tells what the ICE agent signs its answers with, before it answers anybody.
    pub(super) fn answers_with(&self, password: &str) {
        let _ = self.password.set(password.to_owned());
    }

    pub(super) fn receive_buffer(&self) -> io::Result<usize> {
        self.udp.receive_buffer()
    }

    pub(super) fn checks(&self) -> MutexGuard<'_, Checks> {
        unpoisoned(&self.checks)
    }

    /// Asks a STUN server where it sees this socket, repeating the question (the same transaction, as RFC 8489 has it)
    /// until the answer comes.
    pub(super) async fn ask(&self, server: SocketAddr) -> io::Result<SocketAddr> {
        let id: TransactionId = rand::random();
        let (answer, mut answered) = oneshot::channel();
        unpoisoned(&self.asked).insert(id, answer);
        let outcome = self.ask_again_and_again(server, id, &mut answered).await;
        unpoisoned(&self.asked).remove(&id);
        outcome
    }

    async fn ask_again_and_again(
        &self,
        server: SocketAddr,
        id: TransactionId,
        answered: &mut oneshot::Receiver<SocketAddr>,
    ) -> io::Result<SocketAddr> {
        for wait in STUN_WAITS {
            self.udp.send_to(&stun::binding_request(id), server).await?;
            let answer = async {
                tokio::select! {
                    address = &mut *answered => address.map_err(|_| io::Error::other("the question was dropped")),
                    error = self.read_aside() => Err(error),
                }
            };
            if let Ok(answer) = timeout(wait, answer).await {
                return answer;
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("the STUN server {server} did not answer")))
    }

    /// Reads for others: the ICE agent does not read before it has the partner's description.
    async fn read_aside(&self) -> io::Error {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            match self.udp.recv_from(&mut buffer).await {
                Ok((length, from)) => {
                    if self.take(&buffer[..length], from) {
                        unpoisoned(&self.backlog).push_back((buffer[..length].to_vec(), from));
                        self.wake.notify_one();
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// Counts what came; false for an answer that somebody here has asked for.
    fn take(&self, datagram: &[u8], from: SocketAddr) -> bool {
        let Some(message) = stun::parse(datagram) else { return true };
        if message.kind == MessageKind::Success
            && let Some(answer) = unpoisoned(&self.asked).remove(&message.id)
        {
            // A server that answers without an address is as good as none: the question runs out.
            if let Some(mapped) = message.mapped {
                let _ = answer.send(mapped);
            }
            return false;
        }
        self.checks().received(from, &message, Instant::now());
        true
    }
}

#[async_trait]
impl Conn for Socket {
    async fn connect(&self, _: SocketAddr) -> Result<(), Error> {
        Err(Error::Other("a socket of many peers is never connected".to_owned()))
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(self.recv_from(buffer).await?.0)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        loop {
            if self.closed.load(Ordering::Relaxed) {
                return Err(io::Error::from(io::ErrorKind::NotConnected).into());
            }
            if let Some((datagram, from)) = unpoisoned(&self.backlog).pop_front() {
                let length = datagram.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram[..length]);
                return Ok((length, self.disguise.shown(from)));
            }
            tokio::select! {
                received = self.udp.recv_from(buffer) => {
                    let (length, from) = received?;
                    if self.take(&buffer[..length], from) {
                        return Ok((length, self.disguise.shown(from)));
                    }
                }
                () = self.wake.notified() => {}
            }
        }
    }

    async fn send(&self, _: &[u8]) -> Result<usize, Error> {
        Err(Error::Other("a socket of many peers needs an address to send to".to_owned()))
    }

    async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> Result<usize, Error> {
        let (shown, to) = (to, disguise::real(to));
        let message = stun::parse(datagram);
        let honest = match (&message, self.password.get()) {
            (Some(message), Some(password)) if shown != to && message.kind == MessageKind::Success => {
                disguise::answer(message.id, to, password)
            }
            _ => None,
        };
        let sent = self.udp.send_to(honest.as_deref().unwrap_or(datagram), to).await;
        if let Some(message) = message {
            self.checks().sent(to, &message, sent.is_ok(), Instant::now());
        }
        sent?;
        Ok(datagram.len())
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.bases()[0])
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::Relaxed);
        self.wake.notify_one();
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

/// Gives the ICE agent this socket in place of one that it would open itself.
pub(super) struct OneSocket(pub(super) Arc<Socket>);

#[async_trait]
impl UDPMux for OneSocket {
    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }

    async fn get_conn(self: Arc<Self>, _ufrag: &str) -> Result<Arc<dyn Conn + Send + Sync>, Error> {
        Ok(Arc::clone(&self.0) as Arc<dyn Conn + Send + Sync>)
    }

    async fn remove_conn_by_ufrag(&self, _ufrag: &str) {}
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    #[tokio::test]
    async fn a_question_is_repeated_until_it_is_answered_and_other_datagrams_reach_the_agent() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let socket = Socket::bind(&[[127, 0, 0, 1].into()]).await.unwrap();
        let server_address = server.local_addr().unwrap();
        let answering = async {
            let mut buffer = [0; 100];
            let (first, _) = server.recv_from(&mut buffer).await.unwrap();
            let lost = buffer[..first].to_vec();
            let (again, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(lost, &buffer[..again]);
            server.send_to(b"for the agent", from).await.unwrap();
            server.send_to(&answer_to(&buffer[..again]), from).await.unwrap();
        };
        let (mapped, ()) = tokio::join!(socket.ask(server_address), answering);
        assert_eq!(mapped.unwrap(), SocketAddr::from(([192, 0, 2, 1], 32_853)));
        let mut buffer = [0; 100];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from), (&b"for the agent"[..], server_address));
        assert!(socket.checks().pairs().is_empty(), "what passes between a server and us is no check");
    }

    #[tokio::test]
    async fn closing_wakes_the_reader() {
        let socket = Arc::new(Socket::bind(&[[127, 0, 0, 1].into()]).await.unwrap());
        let reader = tokio::spawn({
            let socket = Arc::clone(&socket);
            async move { socket.recv_from(&mut [0; 10]).await.is_err() }
        });
        tokio::task::yield_now().await;
        socket.close().await.unwrap();
        assert!(reader.await.unwrap());
    }

    fn answer_to(request: &[u8]) -> Vec<u8> {
        let attribute = [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        [&[0x01, 0x01, 0x00, 0x0c], &request[4..], &attribute].concat()
    }
}
