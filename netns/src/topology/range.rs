//! A range of private IPv4 addresses, as a router may have inside: `10.1.0.0/24`.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Private addresses with a common prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv4Range {
    network: Ipv4Addr,
    length: u8,
}

/// What is no range of private addresses, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoRange(String);

/// RFC 1918, and RFC 6598 between carrier and home.
const PRIVATE: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
];
/// Six hosts: less is no range to put a network in.
const LONGEST: u8 = 29;

impl Ipv4Range {
    /// The range whose addresses share the first `length` bits of `network`; the others must be zero.
    pub fn new(network: Ipv4Addr, length: u8) -> Result<Self, NoRange> {
        let range = Ipv4Range { network, length };
        if !(8..=LONGEST).contains(&length) {
            return Err(NoRange(format!("the prefix of {range} is not 8 to {LONGEST} bits long")));
        }
        if u32::from(network) & !mask(length) != 0 {
            return Err(NoRange(format!("{range} has address bits after its prefix")));
        }
        let private =
            |&(of, bits): &(Ipv4Addr, u8)| bits <= length && u32::from(network) & mask(bits) == u32::from(of);
        if !PRIVATE.iter().any(private) {
            return Err(NoRange(format!(
                "{range} is not private: a router's inside is in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or \
                 100.64.0.0/10"
            )));
        }
        Ok(range)
    }

    /// The address that names it.
    pub fn network(&self) -> Ipv4Addr {
        self.network
    }

    /// Whether an address is in both.
    pub(crate) fn meets(&self, other: Ipv4Range) -> bool {
        let common = mask(self.length.min(other.length));
        (u32::from(self.network) ^ u32::from(other.network)) & common == 0
    }

    /// The address after its last usable one.
    pub(crate) fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network) | !mask(self.length))
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX << (32 - u32::from(length))
}

impl FromStr for Ipv4Range {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let parsed = text
            .split_once('/')
            .and_then(|(network, length)| Some((network.parse().ok()?, length.parse().ok()?)));
        let (network, length) =
            parsed.ok_or_else(|| NoRange(format!("`{text}` is not a range such as 10.1.0.0/24")))?;
        Ipv4Range::new(network, length)
    }
}

impl fmt::Display for Ipv4Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.network, self.length)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.1.0.0/24")]
    #[case("10.0.0.0/8")]
    #[case("100.64.0.0/10")]
    #[case("192.168.7.8/29")]
    fn a_private_range_reads_as_it_is_written(#[case] text: &str) {
        assert_eq!(text.parse::<Ipv4Range>().unwrap().to_string(), text);
    }

    #[rstest]
    #[case("10.1.0.0", "`10.1.0.0` is not a range such as 10.1.0.0/24")]
    #[case("10.1.0.0/7", "the prefix of 10.1.0.0/7 is not 8 to 29 bits long")]
    #[case("10.1.0.0/30", "the prefix of 10.1.0.0/30 is not 8 to 29 bits long")]
    #[case("10.1.0.1/24", "10.1.0.1/24 has address bits after its prefix")]
    #[case(
        "172.0.0.0/11",
        "172.0.0.0/11 is not private: a router's inside is in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10"
    )]
    fn what_is_no_private_range_is_refused(#[case] text: &str, #[case] why: &str) {
        assert_eq!(text.parse::<Ipv4Range>().unwrap_err().to_string(), why);
    }
}
