//! A space: addresses that are given out one after the other, and whose owners reach each other without translation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Error;
use crate::topology::Ipv4Range;

/// The addresses of one space that are still free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Space {
    /// What these addresses are, in words.
    what: String,
    /// The next from the low end and the next from the high end.
    low: IpAddr,
    high: IpAddr,
    /// Never given out.
    taken: Vec<IpAddr>,
    /// What leads to all of them, where a router has them delegated.
    pub(crate) prefix: Option<(IpAddr, u8)>,
}

/// Public addresses: hosts, the outsides of routers, what is behind firewalls.
pub(super) fn public_v4() -> Space {
    // The first address is the internet's own.
    Space::new("public addresses", Ipv4Addr::new(198, 18, 0, 2), Ipv4Addr::new(198, 19, 255, 254))
}

pub(super) fn servers_v4() -> Space {
    Space::new("server addresses", Ipv4Addr::new(203, 0, 113, 2), Ipv4Addr::new(203, 0, 113, 254))
}

pub(super) fn public_v6() -> Space {
    let of = |host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
    Space::new("public IPv6 addresses", of(2), of(0xffff))
}

pub(super) fn servers_v6() -> Space {
    let of = |host| Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, host);
    Space::new("IPv6 server addresses", of(2), of(0xffff))
}

/// The range of the router of this number, by itself or between a carrier and its homes.
pub(super) fn range(number: usize, between: bool) -> Result<Ipv4Range, Error> {
    // 10.1.0.0/24, 10.1.1.0/24, ..: 65,000 routers with 253 hosts each. 64 carriers with 65,000 homes each.
    let (first, room, length) = match between {
        false => (Ipv4Addr::new(10, 1, 0, 0), 0xff00, 24),
        true => (Ipv4Addr::new(100, 64, 0, 0), 64, 16),
    };
    let used_up = || Error::Topology("too many nodes: the inside ranges are used up".to_owned());
    let number = u32::try_from(number).ok().filter(|&number| number < room).ok_or_else(used_up)?;
    let network = u32::from(first) + (number << (32 - length));
    Ipv4Range::new(Ipv4Addr::from(network), length).map_err(|_| used_up())
}

/// The inside of a router; what it is itself called outside, nobody is called inside.
pub(super) fn inside_v4(range: Ipv4Range, outsides: &[IpAddr]) -> Space {
    let [first, last] = [u32::from(range.network()) + 1, u32::from(range.broadcast()) - 1];
    let mut space = Space::new("addresses behind one router", Ipv4Addr::from(first), Ipv4Addr::from(last));
    space.taken = outsides.to_vec();
    space
}

/// The prefix that is delegated to the router of this number.
pub(super) fn inside_v6(number: usize) -> Result<Space, Error> {
    let number = u16::try_from(number)
        .map_err(|_| Error::Topology("too many nodes: the IPv6 prefixes are used up".to_owned()))?;
    let of = |host| Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0, 0, 0, host);
    let mut space = Space::new("IPv6 addresses behind one router", of(1), of(0xffff));
    space.prefix = Some((of(0).into(), 64));
    Ok(space)
}

impl Space {
    fn new(what: &str, low: impl Into<IpAddr>, high: impl Into<IpAddr>) -> Self {
        Space { what: what.to_owned(), low: low.into(), high: high.into(), taken: Vec::new(), prefix: None }
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.low.is_ipv6()
    }

    /// Whether the prefix leads to this address.
    pub(crate) fn delegates(&self, address: IpAddr) -> bool {
        match (self.prefix, address) {
            (Some((IpAddr::V6(prefix), length)), IpAddr::V6(address)) => {
                (u128::from(prefix) ^ u128::from(address)).leading_zeros() >= length.into()
            }
            _ => false,
        }
    }

    /// The next address from the low end: routers and hosts.
    pub(crate) fn low(&mut self) -> Result<IpAddr, Error> {
        self.take(|space| {
            let next = space.low;
            space.low = step(next, 1);
            next
        })
    }

    /// The next address from the high end: switches, so that the hosts count from 2.
    pub(crate) fn high(&mut self) -> Result<IpAddr, Error> {
        self.take(|space| {
            let next = space.high;
            space.high = step(next, -1);
            next
        })
    }

    fn take(&mut self, next: impl Fn(&mut Space) -> IpAddr) -> Result<IpAddr, Error> {
        loop {
            if self.low > self.high {
                return Err(Error::Topology(format!("too many nodes: the {} are used up", self.what)));
            }
            let address = next(self);
            if !self.taken.contains(&address) {
                return Ok(address);
            }
        }
    }
}

fn step(address: IpAddr, by: i32) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address).wrapping_add_signed(by)).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address).wrapping_add_signed(by.into())).into(),
    }
}
