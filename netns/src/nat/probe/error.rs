//! Why a NAT could not be measured.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use super::{Observation, PATIENCE, measured::list};
use crate::nat::stun::message::MessageError;

/// Why there is no measurement. None of these says what the NAT is.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The probe's own socket failed.
    #[error("cannot {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The drop counter could not be read.
    #[error("cannot read the router's drop counter")]
    Counter(#[source] Box<dyn Error + Send + Sync>),
    /// A plain request had no answer, and no router has refused it by policy: there is no server, or a router drops
    /// what it should not.
    #[error("no answer from {destination} within {PATIENCE:?}; the routers counted {drops} drops meanwhile")]
    NoAnswer {
        /// Who was asked.
        destination: SocketAddr,
        /// By how much all drop counters rose.
        drops: u64,
    },
    /// UDP left before, and then did not.
    #[error("a request to {destination} was refused by policy after others had left")]
    Refused {
        /// Who was asked.
        destination: SocketAddr,
    },
    /// The server is not one for NAT discovery.
    #[error("{server} has no other address and port to discover a NAT with: {}", other_in_words(.other))]
    NotDiscovery {
        /// The server.
        server: SocketAddr,
        /// Its OTHER-ADDRESS, where it has one: it shares the address or the port.
        other: Option<SocketAddr>,
    },
    /// An answer that could not be read, or an error response.
    #[error("the answer to a request to {destination} is unusable")]
    BadAnswer {
        /// Who was asked.
        destination: SocketAddr,
        /// What is wrong with it.
        source: MessageError,
    },
    /// An answer that is not from where it was asked to come: a router rewrote its source, or the server is wrong.
    #[error("an answer of {answered_by} came in from {seen}{}", in_its_words(.origin))]
    WrongSource {
        /// Who was to answer.
        answered_by: SocketAddr,
        /// Where the packet came from.
        seen: SocketAddr,
        /// Where the server says that it sent it from.
        origin: Option<SocketAddr>,
    },
    /// Mapped addresses that are none of RFC 4787's three patterns, or two for one flow.
    #[error("the mappings are no pattern: {}", list(.observations))]
    Inconsistent {
        /// What was seen, in the order in which it was asked.
        observations: Vec<Observation>,
    },
    /// An answer did not come in, and the counter does not show exactly one drop.
    #[error(
        "an answer from {elsewhere} did not come in within {PATIENCE:?}, but the router counted {drops} drops, not 1"
    )]
    Unproven {
        /// From where it was sent.
        elsewhere: SocketAddr,
        /// By how much the drop counter rose.
        drops: u64,
    },
    /// The counter rose by one for an answer that came in later.
    #[error("an answer from {elsewhere} came in after the router had counted it as dropped")]
    Contradicted {
        /// From where it was sent.
        elsewhere: SocketAddr,
    },
}

fn other_in_words(other: &Option<SocketAddr>) -> String {
    other.map_or("no OTHER-ADDRESS".to_owned(), |other| format!("OTHER-ADDRESS is {other}"))
}

fn in_its_words(origin: &Option<SocketAddr>) -> String {
    origin.map_or(String::new(), |origin| format!(", and says it is of {origin}"))
}
