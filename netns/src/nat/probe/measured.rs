//! What the probe found: the values, their words, and whether they are what was declared.

use std::fmt;
use std::net::SocketAddrV4;

use crate::nat::{Allocation, Filtering, Mapping, Nat};

/// One mapped address: what `destination` saw as the source of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Who was asked.
    pub destination: SocketAddrV4,
    /// What it saw.
    pub mapped: SocketAddrV4,
}

/// A NAT as it was measured, layers and all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// When outside ports are shared.
    pub mapping: Mapping,
    /// Who may send to one.
    pub filtering: Filtering,
    /// The socket that the mapping was measured with.
    pub local: SocketAddrV4,
    /// Its outside address as the first destination saw it.
    pub mapped: SocketAddrV4,
    /// Whether anything is translated at all. Without it the mapping is endpoint-independent.
    pub translated: bool,
    /// Whether the first mapping of each of the probe's two sockets has the socket's own port.
    pub preserved: bool,
    /// What each of the server's four endpoints saw of the first socket, in the order in which they were asked.
    pub observations: Vec<Observation>,
}

/// What was declared and what was measured instead, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("declared {declared}, measured {measured}")]
pub struct Mismatch {
    /// Every declared property that was not found.
    pub declared: String,
    /// What is there instead.
    pub measured: String,
}

impl Measured {
    /// Whether this is the NAT that was declared; `None` is a public address that nothing filters. How ports are
    /// chosen is judged as far as two mappings show it.
    pub fn agrees_with(&self, nat: Option<&Nat>) -> Result<(), Mismatch> {
        let (mut declared, mut measured) = (Vec::new(), Vec::new());
        let mut differs = |was: String, is: String| {
            declared.push(was);
            measured.push(is);
        };
        let is_same_mapping =
            nat.map_or(!self.translated, |nat| self.translated && self.mapping == nat.mapping);
        if !is_same_mapping {
            let was = nat.map_or("no translation".to_owned(), |nat| format!("{} mapping", nat.mapping));
            differs(was, self.mapping_in_words());
        }
        let filtering = nat.map_or(Filtering::EndpointIndependent, |nat| nat.filtering);
        if self.filtering != filtering {
            differs(format!("{filtering} filtering"), format!("{} filtering", self.filtering));
        }
        let allocation = nat.map(|nat| nat.allocation).filter(|_| self.translated);
        if allocation == Some(Allocation::Preserve) && !self.preserved {
            differs("preserved ports".to_owned(), "other ports".to_owned());
        }
        if allocation == Some(Allocation::Random) && self.preserved {
            differs("random ports".to_owned(), "preserved ports".to_owned());
        }
        if declared.is_empty() {
            return Ok(());
        }
        Err(Mismatch { declared: declared.join(", "), measured: measured.join(", ") })
    }

    fn mapping_in_words(&self) -> String {
        if !self.translated {
            return "no translation".to_owned();
        }
        let mut distinct: Vec<SocketAddrV4> = self.observations.iter().map(|seen| seen.mapped).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let (ports, destinations) = (distinct.len(), self.observations.len());
        let seen = if ports == 1 { self.mapped.to_string() } else { list(&self.observations) };
        let s = if ports == 1 { "" } else { "s" };
        format!("{} mapping ({ports} port{s} for {destinations} destinations: {seen})", self.mapping)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, {} filtering", self.mapping_in_words(), self.filtering)?;
        match (self.translated, self.preserved) {
            (true, true) => write!(out, ", ports preserved"),
            (true, false) => write!(out, ", ports not preserved"),
            (false, _) => Ok(()),
        }
    }
}

/// `destination sees mapped`, for each.
pub(super) fn list(observations: &[Observation]) -> String {
    let each = observations.iter().map(|seen| format!("{} sees {}", seen.destination, seen.mapped));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::Preset;

    #[test]
    fn a_symmetric_nat_is_described_with_all_its_ports() {
        assert_eq!(
            symmetric().to_string(),
            "address-and-port-dependent mapping (4 ports for 4 destinations: 203.0.113.1:3478 sees 198.18.0.2:4000, \
             203.0.113.2:3478 sees 198.18.0.2:4001, 203.0.113.2:3479 sees 198.18.0.2:4002, 203.0.113.1:3479 sees \
             198.18.0.2:4003), address-and-port-dependent filtering, ports not preserved"
        );
        assert_eq!(
            cone().to_string(),
            "endpoint-independent mapping (1 port for 4 destinations: 198.18.0.2:5000), address-dependent \
             filtering, ports preserved"
        );
        assert_eq!(open().to_string(), "no translation, endpoint-independent filtering");
    }

    #[test]
    fn a_measured_nat_agrees_with_its_own_declaration_only() {
        let measured = [open(), cone(), symmetric()];
        let declared = [Preset::Open, Preset::AddressRestricted, Preset::Symmetric];
        for (at, measured) in measured.iter().enumerate() {
            for (of, preset) in declared.iter().enumerate() {
                assert_eq!(
                    measured.agrees_with(preset.nat().as_ref()).is_ok(),
                    at == of,
                    "{preset}: {measured}"
                );
            }
        }
    }

    #[test]
    fn a_mismatch_names_everything_that_differs() {
        let nat = Preset::Symmetric.nat();
        assert_eq!(
            cone().agrees_with(nat.as_ref()).unwrap_err().to_string(),
            "declared address-and-port-dependent mapping, address-and-port-dependent filtering, random ports, \
             measured endpoint-independent mapping (1 port for 4 destinations: 198.18.0.2:5000), \
             address-dependent filtering, preserved ports"
        );
        assert_eq!(
            open().agrees_with(Preset::FullCone.nat().as_ref()).unwrap_err().to_string(),
            "declared endpoint-independent mapping, measured no translation"
        );
        let cone_without_its_ports = Measured { preserved: false, ..cone() };
        assert_eq!(
            cone_without_its_ports
                .agrees_with(Preset::AddressRestricted.nat().as_ref())
                .unwrap_err()
                .to_string(),
            "declared preserved ports, measured other ports"
        );
    }

    #[test]
    fn a_public_host_behind_a_firewall_is_not_open() {
        let firewalled = Measured { filtering: Filtering::AddressAndPortDependent, ..open() };
        assert_eq!(
            firewalled.agrees_with(None).unwrap_err().to_string(),
            "declared endpoint-independent filtering, measured address-and-port-dependent filtering"
        );
    }

    fn open() -> Measured {
        let local = "203.0.113.9:5000".parse().unwrap();
        Measured { filtering: Filtering::EndpointIndependent, translated: false, ..seen_as([local; 4]) }
    }

    fn cone() -> Measured {
        seen_as(["198.18.0.2:5000".parse().unwrap(); 4])
    }

    fn symmetric() -> Measured {
        Measured {
            mapping: Mapping::AddressAndPortDependent,
            filtering: Filtering::AddressAndPortDependent,
            preserved: false,
            ..seen_as([4000, 4001, 4002, 4003].map(|port| SocketAddrV4::new([198, 18, 0, 2].into(), port)))
        }
    }

    fn seen_as(mapped: [SocketAddrV4; 4]) -> Measured {
        let destinations = ["203.0.113.1:3478", "203.0.113.2:3478", "203.0.113.2:3479", "203.0.113.1:3479"];
        let observations = destinations.iter().zip(mapped);
        Measured {
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressDependent,
            local: SocketAddrV4::new([10, 0, 0, 2].into(), 5000),
            mapped: mapped[0],
            translated: true,
            preserved: true,
            observations: observations
                .map(|(to, mapped)| Observation { destination: to.parse().unwrap(), mapped })
                .collect(),
        }
    }
}
