//! IPv6 access as it is: never translated, and behind any router filtered by a stateful firewall (RFC 6092). Measured
//! as the probe measures IPv4: what does not come in must have been counted.

use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use netns::lab::Drops;
use netns::nat::stun::message::{self, Answer, Change};

/// Only failures take so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the counters are read meanwhile.
const RECOUNT: Duration = Duration::from_millis(5);

/// What IPv6 meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ipv6Access {
    /// Nothing leaves.
    Refused,
    /// Addresses and ports stay what they are; strangers may or may not send.
    Untranslated {
        /// Whether what nobody has asked for is dropped.
        filtered: bool,
    },
}

impl Ipv6Access {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Ipv6Access::Refused => "IPv6 UDP refused",
            Ipv6Access::Untranslated { filtered: true } => "IPv6 not translated, filtered",
            Ipv6Access::Untranslated { filtered: false } => "IPv6 not translated, not filtered",
        }
    }
}

/// Measures it from `own`, on the calling thread, which must be in the node that has this address.
pub(super) fn measure(
    own: Ipv6Addr,
    server: SocketAddr,
    drops: &mut dyn FnMut() -> io::Result<Drops>,
) -> io::Result<Ipv6Access> {
    let socket = UdpSocket::bind((own, 0))?;
    socket.set_read_timeout(Some(RECOUNT))?;
    let local = socket.local_addr()?;
    let before = drops()?;
    ask(&socket, server, 0, None)?;
    let deadline = Instant::now() + PATIENCE;
    let mapped = loop {
        match hear(&socket)? {
            Some((_, answer)) => break answer.mapped,
            None if drops()?.refused > before.refused => return Ok(Ipv6Access::Refused),
            None if Instant::now() > deadline => return Err(ErrorKind::TimedOut.into()),
            None => {}
        }
    };
    if mapped != local {
        return Err(io::Error::other(format!("{local} was translated to {mapped}")));
    }
    // As for IPv4: the server works in order, so that the plain answer tells that the other has been sent.
    ask(&socket, server, 1, Some(Change { address: true, port: true }))?;
    ask(&socket, server, 2, None)?;
    let (mut came, mut confirmed) = (false, false);
    while !came {
        match hear(&socket)? {
            Some((1, _)) => came = true,
            Some(_) => confirmed = true,
            None if confirmed && drops()?.filtered == before.filtered + 1 => {
                return Ok(Ipv6Access::Untranslated { filtered: true });
            }
            None if Instant::now() > deadline => return Err(ErrorKind::TimedOut.into()),
            None => {}
        }
    }
    Ok(Ipv6Access::Untranslated { filtered: false })
}

fn ask(socket: &UdpSocket, server: SocketAddr, number: u8, change: Option<Change>) -> io::Result<()> {
    let request = message::write_request([number; 12], change)?;
    socket.send_to(&request, server).map(drop)
}

/// The next answer and the number of its question; `None` where none has come for a while.
fn hear(socket: &UdpSocket) -> io::Result<Option<(u8, Answer)>> {
    let mut buffer = [0; 1500];
    let length = match socket.recv(&mut buffer) {
        Ok(length) => length,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
        Err(error) => return Err(error),
    };
    let answer = message::read_answer(&buffer[..length]).map_err(io::Error::other)?;
    Ok(Some((message::transaction(&buffer[..length]).unwrap_or_default()[0], answer)))
}
