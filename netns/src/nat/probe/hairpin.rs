//! What becomes of a packet to the own outside address: two sockets of the probe knock at each other's mapping.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};

use super::wire::Wire;
use super::{Gate, PATIENCE, ProbeError, RECOUNT};
use crate::nat::stun::message::Transaction;
use crate::nat::{Filtering, Hairpin, Mapping};

/// One socket and what a server saw of it.
pub(super) struct Mapped<'a> {
    pub(super) wire: &'a Wire,
    pub(super) outside: SocketAddr,
}

/// `None` where no packet could show it: both the mapping and the filter depend on the destination, so that a hairpin
/// leaves by a port that nobody knows and that no filter has been opened for.
pub(super) fn ask(
    first: &Mapped<'_>,
    second: &Mapped<'_>,
    mapping: Mapping,
    filtering: Filtering,
    gate: &mut Gate<'_>,
) -> Result<Option<Hairpin>, ProbeError> {
    let is_stable = mapping == Mapping::EndpointIndependent;
    if filtering == Filtering::EndpointIndependent {
        return knock(first, second, is_stable, gate).map(Some);
    }
    if !is_stable {
        return Ok(None);
    }
    // The first knock opens the filter for the second, and is dropped itself.
    knock(first, second, is_stable, gate)?;
    knock(second, first, is_stable, gate).map(Some)
}

/// One packet, which arrives or is counted as dropped. One that does neither may have shown the host its own address:
/// then another is sent, and looked for before the host has looked at it.
fn knock(
    from: &Mapped<'_>,
    to: &Mapped<'_>,
    is_stable: bool,
    gate: &mut Gate<'_>,
) -> Result<Hairpin, ProbeError> {
    let before = gate()?.filtered;
    let mark = from.wire.knock(to.outside)?;
    let began = Instant::now();
    let mut tap: Option<(Tap, Transaction)> = None;
    while began.elapsed() < PATIENCE {
        let mut seen = to.wire.hear(&mark, Instant::now())?;
        if let (None, Some((tap, second))) = (seen, &tap) {
            seen = tap.hear(&[mark, *second], to.wire.local, Instant::now() + RECOUNT)?;
        }
        if let Some(seen) = seen {
            return match seen {
                _ if seen == from.outside => Ok(Hairpin::External),
                _ if seen.ip() == from.outside.ip() && !is_stable => Ok(Hairpin::External),
                _ if seen.ip() != from.outside.ip() => Ok(Hairpin::Internal),
                _ => Err(ProbeError::WrongSource { answered_by: from.outside, seen, origin: None }),
            };
        }
        match gate()?.filtered.saturating_sub(before) {
            0 => {}
            1 if tap.is_none() => return Ok(Hairpin::Off),
            // The second was sent before the first was counted, and must not be counted later, when others are sent.
            1 => {}
            2 if tap.is_some() => return Ok(Hairpin::Off),
            drops => return Err(ProbeError::Unproven { elsewhere: from.outside, drops }),
        }
        if tap.is_none() && began.elapsed() > SOON {
            let opened = Tap::open()?;
            tap = Some((opened, from.wire.knock(to.outside)?));
        }
    }
    Err(ProbeError::Unproven { elsewhere: from.outside, drops: 0 })
}

/// In so long a packet has usually arrived, or been counted; where it has not, another does no harm. (The tap costs more:
/// closing it waits for the kernel.)
const SOON: Duration = Duration::from_millis(3);

/// Hears what comes in by any link. A packet that shows the host its own inside address as the source ends before any
/// socket of UDP: the host takes it for forged.
struct Tap(OwnedFd);

impl Tap {
    fn open() -> Result<Tap, ProbeError> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthIp)
            .map(Tap)
            .map_err(|errno| ProbeError::Io { doing: "listen to a link".to_owned(), source: errno.into() })
    }

    /// Who sent one of these marks, where it is here by then.
    fn hear(
        &self,
        marks: &[Transaction],
        to: SocketAddr,
        deadline: Instant,
    ) -> Result<Option<SocketAddr>, ProbeError> {
        let failed =
            |errno: Errno| ProbeError::Io { doing: "listen to a link".to_owned(), source: errno.into() };
        let mut packet = [0; 2048];
        loop {
            match recv(self.0.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Ok(length) => {
                    if let Some(from) = sender(&packet[..length], to, marks) {
                        return Ok(Some(from));
                    }
                    continue;
                }
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(failed(errno)),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }
}

/// Who sent this UDP packet, where it is to this place and carries one of these marks.
fn sender(packet: &[u8], to: SocketAddr, marks: &[Transaction]) -> Option<SocketAddr> {
    const UDP: u8 = 17;
    let header = usize::from(packet.first()? & 0xf) * 4;
    let address = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let port = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let is_it = packet.get(9) == Some(&UDP)
        && address(16)? == to.ip()
        && port(header + 2)? == to.port()
        && marks.iter().any(|mark| packet.get(header + 8..) == Some(&mark[..]));
    is_it.then_some(SocketAddr::new(address(12)?, port(header)?))
}
