//! From a case to what each of its peers is told. Pure.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::peer::control::{PROTOCOL, Role, SCTP_PACKET_BYTES, Seed, SessionPlan, Start, TransferPlan};
use crate::scenario::{Break, Case, CasePeer};

/// The servers that a peer uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Servers {
    /// One STUN server for each of its address families.
    pub(super) stun: Vec<SocketAddr>,
    /// The URL of the signaling server.
    pub(super) signaling: String,
}

/// What a peer is told.
pub(super) fn orders(case: &Case, peer: &CasePeer, addresses: Vec<IpAddr>, servers: Servers) -> Start {
    let sessions = case.sessions.iter().filter_map(|session| {
        let (with, role) = match &peer.name {
            name if *name == session.offerer => (&session.answerer, Role::Offer),
            name if *name == session.answerer => (&session.offerer, Role::Answer),
            _ => return None,
        };
        Some(SessionPlan { with: with.clone(), role })
    });
    let transfers =
        case.transfers.iter().filter(|transfer| [&transfer.from, &transfer.to].contains(&&peer.name));
    let flips = matches!(&case.broken, Some(Break::FlipByte { peer: flipper }) if *flipper == peer.name);
    let hold = if let Some(Break::HoldSignaling(hold)) = case.broken { hold } else { Duration::ZERO };
    let discovery =
        case.sessions.iter().map(|session| session.expect.discovered_within).max().unwrap_or_default();
    Start {
        protocol: PROTOCOL,
        id: peer.name.clone(),
        signaling: servers.signaling,
        stun: servers.stun,
        addresses,
        patience_ms: case.patience.as_millis() as u64,
        discovery_ms: discovery.as_millis() as u64,
        hold_signaling_ms: hold.as_millis() as u64,
        sctp_packet_bytes: SCTP_PACKET_BYTES,
        sessions: sessions.collect(),
        transfers: transfers
            .map(|transfer| TransferPlan {
                transfer: transfer.index as u32,
                from: transfer.from.clone(),
                to: transfer.to.clone(),
                size: transfer.size,
                seed: Seed(case.seed),
                flip_byte: flips && transfer.from == peer.name,
            })
            .collect(),
    }
}
