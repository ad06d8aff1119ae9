//! What the RFCs ask of a NAT, requirement by requirement, and what a declaration adds of its own.

use std::fmt;

/// Where a requirement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// NAT behavioral requirements for unicast UDP.
    Rfc4787,
    /// NAT behavioral requirements for TCP.
    Rfc5382,
    /// NAT behavioral requirements for ICMP.
    Rfc5508,
    /// Common requirements for carrier-grade NATs.
    Rfc6888,
    /// No RFC: what the NAT itself was declared to do.
    Declared,
}

/// One requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    /// Whose it is.
    pub source: Source,
    /// Its number there.
    pub number: u8,
    /// What it asks, in a few words.
    pub title: &'static str,
}

impl Source {
    /// All, in the order in which tables show them.
    pub const ALL: [Source; 5] =
        [Source::Rfc4787, Source::Rfc5382, Source::Rfc5508, Source::Rfc6888, Source::Declared];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Rfc4787 => "RFC 4787",
            Source::Rfc5382 => "RFC 5382",
            Source::Rfc5508 => "RFC 5508",
            Source::Rfc6888 => "RFC 6888",
            Source::Declared => "declared",
        }
    }

    /// What it is about.
    pub const fn about(self) -> &'static str {
        match self {
            Source::Rfc4787 => "UDP",
            Source::Rfc5382 => "TCP",
            Source::Rfc5508 => "ICMP",
            Source::Rfc6888 => "carrier-grade NAT",
            Source::Declared => "what no RFC asks, but the declaration says",
        }
    }

    const fn titles(self) -> &'static [(u8, &'static str)] {
        match self {
            Source::Rfc4787 => &UDP,
            Source::Rfc5382 => &TCP,
            Source::Rfc5508 => &ICMP,
            Source::Rfc6888 => &CARRIER,
            Source::Declared => &DECLARED,
        }
    }
}

impl Requirement {
    /// All of a source.
    pub fn all_of(source: Source) -> impl Iterator<Item = Requirement> {
        source.titles().iter().map(move |&(number, title)| Requirement { source, number, title })
    }

    /// As tables show it.
    pub fn name(&self) -> String {
        match self.source {
            Source::Declared => self.title.to_owned(),
            _ => format!("REQ-{}", self.number),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Declared => write!(out, "{}", self.title),
            source => write!(out, "{} REQ-{}: {}", source.name(), self.number, self.title),
        }
    }
}

/// RFC 4787 section 12 lists them.
const UDP: [(u8, &str); 14] = [
    (1, "endpoint-independent mapping"),
    (2, "paired address pooling"),
    (3, "no port overloading"),
    (4, "port parity preserved"),
    (5, "mappings last two minutes or more"),
    (6, "outbound packets refresh a mapping"),
    (7, "inside and outside addresses may overlap"),
    (8, "endpoint-independent or address-dependent filtering"),
    (9, "hairpinning, from the outside address"),
    (10, "no application-level gateways"),
    (11, "deterministic"),
    (12, "ICMP never ends a mapping"),
    (13, "fragmentation needed is answered"),
    (14, "fragments in any order"),
];

/// RFC 5382 section 8.
const TCP: [(u8, &str); 10] = [
    (1, "endpoint-independent mapping"),
    (2, "all valid sequences, simultaneous open too"),
    (3, "endpoint-independent or address-dependent filtering"),
    (4, "no answer to an unsolicited SYN for 6 s"),
    (5, "timers: established 2 h 4 min, transitory 4 min"),
    (6, "no application-level gateways"),
    (7, "no port overloading"),
    (8, "hairpinning"),
    (9, "destination unreachable is translated"),
    (10, "ICMP never ends a mapping or connection"),
];

/// RFC 5508 section 9.
const ICMP: [(u8, &str); 11] = [
    (1, "queries from inside are answered"),
    (2, "query mappings last 60 s or more"),
    (3, "errors with a bad checksum are dropped"),
    (4, "errors from outside translated, unfounded dropped"),
    (5, "errors from inside translated"),
    (6, "errors neither refresh nor end a mapping"),
    (7, "errors are hairpinned"),
    (8, "no mapping to be had: ICMP says so"),
    (9, "a policy may keep it from sending ICMP"),
    (10, "which ICMP messages it supports itself"),
    (11, "other ICMP messages may be dropped"),
];

/// RFC 6888 section 3, as far as packets can show it; the others are about logs, management and administration.
const CARRIER: [(u8, &str); 7] = [
    (1, "the requirements of every protocol hold"),
    (2, "paired address pooling by default"),
    (4, "the ports of a subscriber are limited"),
    (7, "endpoint-independent filtering"),
    (8, "a port rests 120 s before others get it"),
    (11, "no port left: dropped, nobody's mapping ends"),
    (15, "ports are hard to guess"),
];

const DECLARED: [(u8, &str); 12] = [
    (1, "translation"),
    (2, "mapping"),
    (3, "filtering"),
    (4, "port allocation"),
    (5, "lifetime"),
    (6, "inbound refresh"),
    (7, "hairpin"),
    (8, "on drop"),
    (9, "egress"),
    (10, "early packet"),
    (11, "reboot"),
    (12, "IPv6"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_has_its_number_once() {
        for source in Source::ALL {
            let numbers: Vec<u8> =
                Requirement::all_of(source).map(|requirement| requirement.number).collect();
            assert!(numbers.is_sorted_by(|one, next| one < next), "{source:?}: {numbers:?}");
        }
    }

    #[test]
    fn a_requirement_says_where_it_stands() {
        let ninth = Requirement::all_of(Source::Rfc4787).nth(8).unwrap();
        assert_eq!(ninth.to_string(), "RFC 4787 REQ-9: hairpinning, from the outside address");
        assert_eq!(ninth.name(), "REQ-9");
    }
}
