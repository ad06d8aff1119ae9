//! What the battery measured: plain data, without an opinion on it.

use std::time::Duration;

use crate::nat::probe::Ports;
use crate::nat::{Filtering, Hairpin, Mapping, Pooling};

/// One measured fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// Seen, a negative by a drop that the router has counted.
    Is(T),
    /// What was awaited did not happen, and no counter says why: in these words.
    Unproven(String),
    /// Not looked at, and why.
    NotTested(&'static str),
}

/// Everything that was measured about one router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What may leave.
    pub egress: Fact<Egress>,
    /// UDP, where it leaves (a captive portal: once somebody has logged in).
    pub udp: Option<Udp>,
    /// TCP, where it leaves.
    pub tcp: Option<Tcp>,
    /// ICMP, where UDP leaves.
    pub icmp: Option<Icmp>,
    /// IPv6, where it has it.
    pub ipv6: Option<Fact<Ipv6>>,
}

/// How IPv6 is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6 {
    /// Whether a host is seen by its own address and port.
    pub untranslated: bool,
    /// Who may send to a host that has sent.
    pub filtering: Filtering,
    /// Whether everybody who was sent to may.
    pub opens: bool,
}

/// What may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Egress {
    /// UDP.
    pub udp: bool,
    /// TCP to a port that is not 443.
    pub tcp: bool,
    /// TCP to port 443.
    pub https: bool,
    /// UDP and TCP after a login; `None` where there is nothing to log in at.
    pub after_log_in: Option<bool>,
    /// Whether a reboot forgets the login.
    pub reboot_logs_out: Option<bool>,
}

/// How UDP is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    /// `None` where nothing is translated.
    pub mapping: Fact<Option<Mapping>>,
    /// Who may send to a mapping.
    pub filtering: Fact<Filtering>,
    /// How ports are chosen.
    pub ports: Fact<Ports>,
    /// Whether the port of every flow is as odd or even as the host's own.
    pub parity: Fact<bool>,
    /// Two hosts with one source port.
    pub collision: Fact<Collision>,
    /// All ports of a host used up.
    pub exhaustion: Fact<Exhaustion>,
    /// Which outside addresses the flows of one host have.
    pub pooling: Fact<Pooling>,
    /// What is left of a fresh mapping, as the kernel reports it.
    pub reported: Fact<Duration>,
    /// What a shortened timer does.
    pub lifetime: Fact<Lifetime>,
    /// What becomes of packets to the own outside address.
    pub hairpin: Fact<Hairpin>,
    /// Whether a packet from outside that came before the first one out costs the host its port or the flow.
    pub early_packet_costs: Fact<bool>,
    /// Whether somebody outside is told that the packet was refused.
    pub refusal_is_told: Fact<bool>,
    /// What a reboot forgets.
    pub reboot: Fact<Reboot>,
    /// Datagrams in fragments.
    pub fragments: Fact<Fragments>,
    /// The same after a thousand flows.
    pub steadiness: Fact<Steadiness>,
    /// Whether hosts reach a server across another router whose inside has the same addresses.
    pub overlap: Fact<bool>,
    /// Whether addresses that a payload names arrive as they were sent.
    pub payload_is_left_alone: Fact<bool>,
}

/// Two inside hosts that send from the same port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collision {
    /// Whether they were given one outside port towards one destination.
    pub shared_towards_one: bool,
    /// Whether they were given one outside port towards different destinations.
    pub shared_towards_two: bool,
    /// Whether what was sent to each one's outside port reached that one.
    pub each_reached: bool,
    /// Whether the second host has one outside port for two destinations.
    pub second_has_one_port: bool,
}

/// A host that opened more flows than it has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhaustion {
    /// How many outside ports it was given.
    pub ports: usize,
    /// Whether two flows were given the same.
    pub shared: bool,
    /// Whether the flow after the last port was dropped and counted.
    pub dropped: bool,
    /// Whether its sender was told by ICMP.
    pub told: bool,
    /// Whether a mapping from before still works.
    pub others_live: bool,
    /// Whether the next host was given ports of its own.
    pub next_host_has_ports: bool,
}

/// What a timer that was shortened showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Whether the mapping admitted packets before the timer ended, and none after it.
    pub ends: bool,
    /// Whether packets from inside start the timer again.
    pub outbound_refresh: bool,
    /// Whether packets from outside do.
    pub inbound_refresh: bool,
}

/// What a reboot does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reboot {
    /// Whether a mapping from before admits nobody any more.
    pub forgets: bool,
    /// Whether the table is empty and the counters are zero.
    pub is_empty: bool,
    /// Whether a new mapping works at once.
    pub new_ones_work: bool,
}

/// Datagrams in fragments, there and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragments {
    /// The first one first.
    pub in_order: bool,
    /// The first one last.
    pub out_of_order: bool,
}

/// What many flows, opened on two CPUs at once, have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steadiness {
    /// How many flows there were.
    pub flows: usize,
    /// How many first packets never left, though nothing counts them.
    pub lost: usize,
    /// How many were given a port that another had towards the same destination.
    pub given_twice: usize,
    /// How many had another port when they sent again.
    pub moved: usize,
    /// How many were not reached at the port that they had been given.
    pub unreached: usize,
    /// The mapping and the filter after all that; no mapping where nothing is translated.
    pub at_the_end: (Option<Mapping>, Filtering),
}

/// How TCP is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// `None` where nothing is translated.
    pub mapping: Fact<Option<Mapping>>,
    /// Who may open a connection to a mapping.
    pub filtering: Fact<Filtering>,
    /// Whether both sides can open one connection at the same time.
    pub simultaneous_open: Fact<bool>,
    /// Whether an unsolicited SYN is answered.
    pub syn_is_answered: Fact<bool>,
    /// What is left of an established connection's mapping.
    pub established: Fact<Duration>,
    /// What is left of the mapping of a connection that was only asked for.
    pub transitory: Fact<Duration>,
    /// Two hosts with one source port.
    pub collision: Fact<Collision>,
    /// What becomes of a SYN to the own outside address.
    pub hairpin: Fact<Hairpin>,
    /// Whether ICMP errors arrive, and what they end.
    pub errors: Fact<Errors>,
    /// Whether addresses that a payload names arrive as they were sent.
    pub payload_is_left_alone: Fact<bool>,
}

/// How ICMP is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icmp {
    /// Whether two hosts with one identifier each get their own replies.
    pub queries: Fact<bool>,
    /// What is left of a fresh query mapping.
    pub reported: Fact<Duration>,
    /// Whether an error with a bad checksum comes in.
    pub bad_checksum_comes_in: Fact<bool>,
    /// Errors from outside, about UDP.
    pub from_outside: Fact<Errors>,
    /// Whether an error about what was never sent comes in.
    pub unfounded_comes_in: Fact<bool>,
    /// Errors from inside, about UDP.
    pub from_inside: Fact<Errors>,
    /// Whether the error of a neighbour comes back by the outside address.
    pub hairpinned: Fact<bool>,
}

/// Errors about a packet that a mapping has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errors {
    /// Whether it reached who had sent the packet, in that one's own terms.
    pub translated: bool,
    /// Whether the mapping is still there afterwards.
    pub mapping_lives: bool,
    /// Whether the mapping's timer was started again; `None` where nobody looked.
    pub refreshed: Option<bool>,
}
