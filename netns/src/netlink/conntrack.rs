//! Connection tracking: what the kernel tracks in one namespace, listed and forgotten, and how long it remembers UDP.
//! Numbers are those of `linux/netfilter/nfnetlink_conntrack.h` and `nfnetlink_cttimeout.h`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::Socket;
use super::wire::{self, Batch, Writer};
use crate::error::Error;

/// One IPv4 flow that the kernel tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tracked {
    /// The number of its IP protocol.
    pub(crate) protocol: u8,
    /// As its first packet came.
    pub(crate) original: Tuple,
    /// As an answer comes.
    pub(crate) reply: Tuple,
    /// Bits of `enum ip_conntrack_status`.
    pub(crate) status: u32,
    /// A number of `enum tcp_conntrack`, where it is TCP.
    pub(crate) tcp_state: Option<u8>,
    /// How long it still lives without a packet; the kernel tells whole seconds.
    pub(crate) expires_in: Duration,
    /// Packets both ways, where the kernel counts them.
    pub(crate) packets: Option<u64>,
}

/// From where to where; the ports of an echo are its identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
}

/// The source of the flow is translated.
pub(crate) const SOURCE_TRANSLATED: u32 = 1 << 4;
/// Packets both ways; of UDP: over more than two seconds.
pub(crate) const ASSURED: u32 = 1 << 2;

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const NLM_F_DUMP: u16 = 0x300;
const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const UDP: u8 = 17;
/// Behind `struct nfgenmsg`.
const ATTRIBUTES: usize = 4;

/// Every IPv4 flow that is tracked in the namespace of this socket.
pub(crate) fn tracked(socket: &Socket) -> Result<Vec<Tracked>, Error> {
    let mut batch = Batch::new();
    batch.request("list the tracked connections", SUBSYSTEM << 8 | GET, NLM_F_DUMP, |w| generic(w, AF_INET));
    let mut found = Vec::new();
    socket.dump(batch, |_, payload| {
        found.extend(payload.get(ATTRIBUTES..).and_then(Tracked::decode));
    })?;
    Ok(found)
}

/// Forgets every flow of the namespace of this socket.
pub(crate) fn forget(socket: &Socket) -> Result<(), Error> {
    let mut batch = Batch::new();
    // Without a tuple it is all of them.
    batch.request("forget the tracked connections", SUBSYSTEM << 8 | DELETE, 0, |w| generic(w, AF_UNSPEC));
    socket.commit(batch)
}

/// Sets, in whole seconds, how long UDP is remembered in the namespace of this socket: while it is young or went only
/// one way, and as a stream. Needs no /proc/sys, which may be read-only.
pub(crate) fn remember_udp(socket: &Socket, young: Duration, stream: Duration) -> Result<(), Error> {
    const TIMEOUT_SUBSYSTEM: u16 = 8;
    const DEFAULT_SET: u16 = 3;
    let kind = TIMEOUT_SUBSYSTEM << 8 | DEFAULT_SET;
    let mut batch = Batch::new();
    batch.request("set the timers of tracked UDP", kind, 0, |w| {
        generic(w, AF_UNSPEC);
        w.bytes(2, &u16::from(AF_INET).to_be_bytes()).bytes(3, &[UDP]).nest(4, |w| {
            w.be32(1, young.as_secs() as u32).be32(2, stream.as_secs() as u32);
        });
    });
    socket.commit(batch)
}

/// `struct nfgenmsg`, for all address families where it names none.
fn generic(w: &mut Writer<'_>, family: u8) {
    w.raw(&[family, 0, 0, 0]);
}

impl Tracked {
    fn decode(bytes: &[u8]) -> Option<Self> {
        const TCP: u16 = 1;
        let number = |kind| Some(u32::from_be_bytes(wire::attribute(bytes, kind)?.try_into().ok()?));
        let counted = |kind| wire::be64(wire::attribute(wire::attribute(bytes, kind)?, 1)?);
        let original = wire::attribute(bytes, 1)?;
        let tcp_state = || {
            let tcp = wire::attribute(wire::attribute(bytes, 4)?, TCP)?;
            wire::attribute(tcp, 1)?.first().copied()
        };
        Some(Tracked {
            protocol: *wire::attribute(wire::attribute(original, 2)?, 1)?.first()?,
            original: Tuple::decode(original)?,
            reply: Tuple::decode(wire::attribute(bytes, 2)?)?,
            status: number(3)?,
            tcp_state: tcp_state(),
            // One that is about to go has no timer any more.
            expires_in: Duration::from_secs(number(7).unwrap_or(0).into()),
            packets: counted(9).zip(counted(10)).map(|(there, back)| there + back),
        })
    }
}

impl Tuple {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (addresses, protocol) = (wire::attribute(bytes, 1)?, wire::attribute(bytes, 2)?);
        let address =
            |kind| Some(Ipv4Addr::from(<[u8; 4]>::try_from(wire::attribute(addresses, kind)?).ok()?));
        let port = |kind| Some(u16::from_be_bytes(wire::attribute(protocol, kind)?.try_into().ok()?));
        const ECHO_IDENTIFIER: u16 = 4;
        let echo = port(ECHO_IDENTIFIER);
        // A protocol without ports has none.
        let end = |of, at| Some(SocketAddrV4::new(address(of)?, port(at).or(echo).unwrap_or(0)));
        Some(Tuple { source: end(1, 2)?, destination: end(2, 3)? })
    }
}
