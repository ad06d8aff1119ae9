//! How a router chooses outside ports, as several flows show it.

use std::fmt;

use crate::nat::Allocation;

/// The inside and the outside port of several new flows, in the order in which they were opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(pub Vec<(u16, u16)>);

impl Ports {
    /// Whether ports are chosen so. Where the range is small or the draws are few, random ports could look like others;
    /// with the probe's six flows that is less likely than one in ten million.
    pub fn are(&self, allocation: Allocation) -> bool {
        let block = self.block();
        match allocation {
            Allocation::Preserve => self.preserved(),
            Allocation::Sequential => self.in_order(),
            Allocation::Random => !self.preserved() && !self.in_order() && block > LARGEST_TELLING_BLOCK,
            Allocation::Blocks { size, .. } => !self.preserved() && !self.in_order() && block <= size.into(),
        }
    }

    fn outside(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|&(_, outside)| outside)
    }

    fn preserved(&self) -> bool {
        self.0.iter().all(|(inside, outside)| inside == outside)
    }

    /// Each one more than the one before; the range may end once.
    fn in_order(&self) -> bool {
        let steps = self.outside().zip(self.outside().skip(1));
        let breaks: Vec<(u16, u16)> = steps.filter(|&(one, next)| next != one.wrapping_add(1)).collect();
        matches!(breaks.as_slice(), [] | [_]) && breaks.iter().all(|(one, next)| next < one)
    }

    /// The size of the smallest aligned block that holds all outside ports.
    fn block(&self) -> u32 {
        let first = self.outside().next().unwrap_or_default();
        let differing = self.outside().fold(0, |bits, port| bits | (port ^ first));
        u32::from(differing).checked_add(1).map_or(0, u32::next_power_of_two)
    }
}

/// Random ports of the whole range are all within such a block once in ten million times.
const LARGEST_TELLING_BLOCK: u32 = 2048;

impl Ports {
    /// How they are chosen, without the ports themselves.
    pub fn in_short(&self) -> String {
        match self.block() {
            _ if self.preserved() => "ports preserved".to_owned(),
            _ if self.in_order() => "ports in order".to_owned(),
            size @ ..=LARGEST_TELLING_BLOCK => format!("ports of one block of {size}"),
            _ => "random ports".to_owned(),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = self.in_short();
        if self.preserved() {
            return write!(out, "{how}");
        }
        let each: Vec<String> =
            self.0.iter().map(|(inside, outside)| format!("{inside} as {outside}")).collect();
        write!(out, "{how} ({})", each.join(", "))
    }
}

/// What was declared, in the same words.
pub(super) fn in_words(allocation: Allocation) -> String {
    match allocation {
        Allocation::Preserve => "preserved ports".to_owned(),
        Allocation::Random => "random ports".to_owned(),
        Allocation::Sequential => "ports in order".to_owned(),
        Allocation::Blocks { size, .. } => format!("ports of one block of {size}"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const BLOCKS: Allocation = Allocation::Blocks { size: 512, on_demand: true };

    #[rstest]
    #[case::preserved([5000, 5001, 5007, 5008, 5010, 5011], Allocation::Preserve)]
    #[case::in_order([4096, 4097, 4098, 4099, 4100, 4101], Allocation::Sequential)]
    #[case::in_order_past_the_end([65534, 65535, 1024, 1025, 1026, 1027], Allocation::Sequential)]
    #[case::random([10345, 60001, 2048, 33000, 41234, 1999], Allocation::Random)]
    #[case::a_block([10241, 10700, 10300, 10333, 10242, 10600], BLOCKS)]
    fn ports_are_what_they_are_and_nothing_else(#[case] outside: [u16; 6], #[case] allocation: Allocation) {
        let ports = Ports([5000, 5001, 5007, 5008, 5010, 5011].into_iter().zip(outside).collect());
        for other in [Allocation::Preserve, Allocation::Random, Allocation::Sequential, BLOCKS] {
            assert_eq!(ports.are(other), other == allocation, "{other:?}: {ports}");
        }
    }

    #[rstest]
    #[case([10241, 10700, 10300], 512, true)]
    #[case([10200, 10700, 10300], 512, false)]
    #[case([10239, 10240, 10300], 64, false)]
    #[case([1, 65535, 3], 32768, false)]
    fn a_block_is_aligned_to_its_size(#[case] outside: [u16; 3], #[case] size: u16, #[case] within: bool) {
        let ports = Ports(outside.map(|port| (7, port)).to_vec());
        assert_eq!(ports.are(Allocation::Blocks { size, on_demand: false }), within, "{ports}");
    }
}
