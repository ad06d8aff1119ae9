//! Flows: what a mapping is for, how packets show it, and in which registers it goes through a rule.

use super::super::packet::{
    DESTINATION, DESTINATION_PORT, ECHO_IDENTIFIER, ICMP_CHECKSUM, INSIDE, OUTSIDE, PROTOCOL, PROTOCOL_AGAIN,
    REMOTE, REMOTE_PORT, SOURCE, SOURCE_PORT,
};
use super::{MAPPINGS, Rules};
use crate::nat::{Filtering, Mapping};
use crate::netlink::nftables::{Checksum, Expr, Field, Meta, Register};

/// A kind of flow: where its ports are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// UDP and TCP have their ports in the same place, and their protocol is part of every key.
    Ports,
    Echo,
}

impl Flow {
    pub(super) const fn own_port(self) -> Field {
        match self {
            Flow::Ports => SOURCE_PORT,
            Flow::Echo => ECHO_IDENTIFIER,
        }
    }

    pub(super) const fn checksum(self) -> Checksum {
        match self {
            Flow::Ports => Checksum::Transport,
            Flow::Echo => Checksum::At(ICMP_CHECKSUM),
        }
    }

    pub(super) fn load_remote_port(self, to: Register) -> Expr {
        match self {
            Flow::Ports => Expr::Load(DESTINATION_PORT, to),
            Flow::Echo => Expr::Set(to, vec![0; 4]),
        }
    }
}

impl Mapping {
    /// How many registers hold what a mapping belongs to.
    pub(super) const fn owner_registers(self) -> usize {
        match self {
            Mapping::EndpointIndependent => 2,
            Mapping::AddressDependent => 3,
            Mapping::AddressAndPortDependent => 4,
        }
    }
}

impl Rules<'_> {
    /// Holds where an outbound packet has a mapping; loads all keys of it, that of `filter` as far as there is one.
    pub(super) fn known_flow(&self, flow: Flow) -> Vec<Expr> {
        let mut steps = self.load_mapping_key(flow);
        steps.push(Expr::Find { map: MAPPINGS, key: PROTOCOL, value: OUTSIDE });
        steps.push(Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL_AGAIN));
        if self.nat.filtering != Filtering::EndpointIndependent {
            steps.push(Expr::Load(DESTINATION, REMOTE));
        }
        if self.nat.filtering == Filtering::AddressAndPortDependent {
            steps.push(flow.load_remote_port(REMOTE_PORT));
        }
        steps
    }

    pub(super) fn load_mapping_key(&self, flow: Flow) -> Vec<Expr> {
        let mut key = vec![Expr::LoadMeta(Meta::TransportProtocol, PROTOCOL)];
        key.extend(self.load_owner(flow, INSIDE));
        key
    }

    /// What a mapping belongs to: the inside socket, and what of the destination its class tells apart.
    pub(super) fn load_owner(&self, flow: Flow, to: Register) -> Vec<Expr> {
        let at = |number| Register(to.0 + number);
        let mut owner = vec![
            Expr::Load(SOURCE, at(0)),
            Expr::Load(flow.own_port(), at(1)),
            Expr::Load(DESTINATION, at(2)),
            flow.load_remote_port(at(3)),
        ];
        owner.truncate(self.nat.mapping.owner_registers());
        owner
    }
}
