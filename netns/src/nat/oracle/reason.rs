//! Why the oracle says what it says, in words.

mod sharing;

pub use sharing::Sharing;

use crate::nat::{Egress, Family};

/// Why the oracle says so; [`Reason::words`] tells it with the peers' names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Their first router is the same: no router is crossed.
    OneLan {
        /// That router.
        router: String,
    },
    /// Both are public.
    BothPublic,
    /// Both keep one port for all destinations: each knows where to send, each opens its own filter.
    BothKeepTheirPort,
    /// `mover` answers from a port nobody was told, `other` admits it.
    NewPortAdmitted {
        /// Whether the side with the new port is the first.
        mover_is_first: bool,
        /// Which of the mover's routers gives the port, where there are several.
        mapper: Option<String>,
    },
    /// `mover` sends from a port nobody was told, `other` admits only ports it has sent to.
    NewPortRefused {
        /// Whether the side with the new port is the first.
        mover_is_first: bool,
        /// Which of the mover's routers gives the port, where there are several.
        mapper: Option<String>,
        /// Which of the other's routers filters, where there are several.
        filterer: Option<String>,
    },
    /// Both move, yet one filters nothing, the other not by port, and one of them keeps its port for an address.
    BothMoveButOneSettles,
    /// Both move: no check and its answer ever meet.
    BothMove,
    /// No UDP on at least one side.
    UdpBlocked {
        /// Whether the (first) blocked side is the first.
        first: bool,
        /// The router and what it lets out, where that is known.
        by: Option<(String, Egress)>,
    },
    /// Both have IPv6, which nobody translates.
    Ipv6 {
        /// Whether there is a firewall between them.
        filtered: bool,
    },
    /// Neither family is on both sides.
    NoCommonFamily {
        /// What the first has; nothing if its routers have no family in common.
        first: Option<Family>,
        /// What the second has.
        second: Option<Family>,
    },
    /// They share a router that translates.
    Sharing {
        /// That router.
        router: String,
        /// What comes of it.
        what: Sharing,
    },
    /// A plain Linux router keeps them apart if the other side speaks first.
    TooEarly {
        /// That router.
        router: String,
        /// Whether it is one of the first's.
        first_is_hasty: bool,
        /// Why they meet otherwise.
        otherwise: Box<Reason>,
    },
    /// A pool shows a host at an address that the other side has never sent to, unless the draw is lucky.
    AddressDrawn {
        /// The router with the pool.
        router: String,
        /// Whether it is one of the first's.
        first_roams: bool,
    },
}

impl Reason {
    /// One sentence with the names of the two peers.
    pub fn words(&self, first: &str, second: &str) -> String {
        let pick = |is_first| if is_first { (first, second) } else { (second, first) };
        match self {
            Reason::OneLan { router } => format!("{first} and {second} are on one LAN, that of {router}"),
            Reason::BothPublic => format!("{first} and {second} both have public addresses"),
            Reason::BothKeepTheirPort => {
                format!(
                    "{first} and {second} each keep the port that STUN saw, and each opens its own filter by sending"
                )
            }
            Reason::NewPortAdmitted { mover_is_first, mapper } => {
                let (mover, other) = pick(*mover_is_first);
                let by = of(mapper, "gives it");
                format!(
                    "{mover} sends to {other} from a port that STUN never saw{by}; {other} does not filter by port, so \
                     it learns that port from the check itself (peer-reflexive)"
                )
            }
            Reason::NewPortRefused { mover_is_first, mapper, filterer } => {
                let (mover, other) = pick(*mover_is_first);
                let (by, at) = (of(mapper, "gives it"), of(filterer, "filters by port"));
                format!(
                    "{mover} sends to {other} from a port that STUN never saw{by}, and {other} admits only ports it \
                     has already sent to{at}"
                )
            }
            Reason::BothMoveButOneSettles => format!(
                "{first} and {second} both send from ports that STUN never saw, but one of them filters nothing, the \
                 other does not filter by port, and one keeps its port for an address: the ports are learned from the \
                 checks (peer-reflexive)"
            ),
            Reason::BothMove => format!(
                "{first} and {second} both send from ports that STUN never saw: no check and its answer ever meet on \
                 one pair of ports"
            ),
            Reason::UdpBlocked { first, by } => blocked(pick(*first).0, by),
            Reason::Ipv6 { filtered: false } => format!("{first} and {second} both have IPv6, unfiltered"),
            Reason::Ipv6 { filtered: true } => format!(
                "{first} and {second} both have IPv6, which nobody translates, and each opens its own firewall by \
                 sending"
            ),
            Reason::NoCommonFamily { first: one, second: other } => {
                format!("{first} has {}, {second} has {}", has(*one), has(*other))
            }
            Reason::Sharing { router, what } => what.words(router, first, second),
            Reason::TooEarly { router, first_is_hasty, otherwise } => {
                let (hasty, other) = pick(*first_is_hasty);
                format!(
                    "{}; but if {other} speaks first, {router} takes the packet for its own (a quirk of Linux), and \
                     {hasty} then sends from a port that {other} does not admit: a race",
                    otherwise.words(first, second)
                )
            }
            Reason::AddressDrawn { router, first_roams } => {
                let (roaming, other) = pick(*first_roams);
                format!(
                    "{router} may show {roaming} to {other} at another of its addresses than STUN saw: they meet by \
                     chance only"
                )
            }
        }
    }
}

fn of(router: &Option<String>, does: &str) -> String {
    router.as_ref().map_or_else(String::new, |router| format!(" ({router} {does})"))
}

fn blocked(peer: &str, by: &Option<(String, Egress)>) -> String {
    match by {
        None | Some((_, Egress::Everything)) => format!("no UDP passes at {peer}"),
        Some((router, Egress::NoUdp)) => format!("no UDP of {peer} passes {router}"),
        Some((router, Egress::HttpsOnly)) => format!("nothing of {peer} passes {router} but TCP to port 443"),
        Some((router, Egress::Portal)) => {
            format!("nothing of {peer} passes {router} until somebody has logged in at its portal")
        }
    }
}

fn has(family: Option<Family>) -> &'static str {
    match family {
        Some(Family::Ipv4) => "only IPv4",
        Some(Family::Ipv6) => "only IPv6",
        Some(Family::Dual) => "both IPv4 and IPv6",
        None => "no address family that all its routers serve",
    }
}
