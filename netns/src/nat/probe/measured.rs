//! What the probe found about UDP: the values, their words, and whether they are what was declared.

use std::fmt;
use std::net::SocketAddr;

use super::{Declared, Mismatch, Ports, ports};
use crate::nat::{Allocation, Filtering, Hairpin, Mapping};

/// One mapped address: what `destination` saw as the source of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Who was asked.
    pub destination: SocketAddr,
    /// What it saw.
    pub mapped: SocketAddr,
}

/// A NAT as it was measured, layers and all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// When outside ports are shared.
    pub mapping: Mapping,
    /// Who may send to one.
    pub filtering: Filtering,
    /// The socket that the mapping was measured with.
    pub local: SocketAddr,
    /// Its outside address as the first destination saw it.
    pub mapped: SocketAddr,
    /// Whether anything is translated at all. Without it the mapping is endpoint-independent.
    pub translated: bool,
    /// Whether the first mapping of each of the probe's two sockets has the socket's own port.
    pub preserved: bool,
    /// How several flows got their ports, where that was asked.
    pub ports: Option<Ports>,
    /// What became of packets to the own outside address, where that was asked and could be seen.
    pub hairpin: Option<Hairpin>,
    /// What each of the server's four endpoints saw of the first socket, in the order in which they were asked.
    pub observations: Vec<Observation>,
}

impl Measured {
    /// Whether this is what was declared. How ports are chosen and hairpins end is judged as far as it was asked.
    pub(super) fn compare(&self, declared: &Declared, differs: &mut Mismatch) {
        let is_same_mapping =
            declared.mapping().map_or(!self.translated, |mapping| self.translated && self.mapping == mapping);
        if !is_same_mapping {
            let was = declared
                .mapping()
                .map_or("no translation".to_owned(), |mapping| format!("{mapping} mapping"));
            differs.add(was, self.mapping_in_words());
        }
        let filtering = declared.filtering();
        if self.filtering != filtering {
            differs.add(format!("{filtering} filtering"), format!("{} filtering", self.filtering));
        }
        if let Some(allocation) = declared.allocation().filter(|_| self.translated) {
            self.compare_ports(allocation, differs);
        }
        if let (Some(seen), Some(hairpin)) = (self.hairpin, declared.hairpin())
            && seen != hairpin
        {
            differs.add(hairpin_in_words(hairpin).to_owned(), hairpin_in_words(seen).to_owned());
        }
    }

    fn compare_ports(&self, allocation: Allocation, differs: &mut Mismatch) {
        let was = ports::in_words(allocation);
        match &self.ports {
            Some(seen) if !seen.are(allocation) => differs.add(was, seen.to_string()),
            Some(_) => {}
            None if allocation == Allocation::Preserve && !self.preserved => {
                differs.add(was, "other ports".to_owned());
            }
            None if allocation != Allocation::Preserve && self.preserved => {
                differs.add(was, "preserved ports".to_owned());
            }
            None => {}
        }
    }

    fn mapping_in_words(&self) -> String {
        if !self.translated {
            return "no translation".to_owned();
        }
        let mut distinct: Vec<SocketAddr> = self.observations.iter().map(|seen| seen.mapped).collect();
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
        match (self.translated, &self.ports) {
            (false, _) => {}
            (true, Some(ports)) => write!(out, ", {ports}")?,
            (true, None) if self.preserved => write!(out, ", ports preserved")?,
            (true, None) => write!(out, ", ports not preserved")?,
        }
        self.hairpin.map_or(Ok(()), |hairpin| write!(out, ", {}", hairpin_in_words(hairpin)))
    }
}

fn hairpin_in_words(hairpin: Hairpin) -> &'static str {
    match hairpin {
        Hairpin::Off => "no hairpin",
        Hairpin::External => "hairpin from the outside address",
        Hairpin::Internal => "hairpin from the inside address",
    }
}

/// `destination sees mapped`, for each.
pub(super) fn list(observations: &[Observation]) -> String {
    let each = observations.iter().map(|seen| format!("{} sees {}", seen.destination, seen.mapped));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::Found;
    use super::*;
    use crate::nat::Preset;

    fn agrees(measured: Measured, preset: Preset) -> Result<(), Mismatch> {
        Found { udp: Some(measured), tcp: Vec::new() }.agrees_with(&Declared::from(preset.nat().as_ref()))
    }

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
                assert_eq!(agrees(measured.clone(), *preset).is_ok(), at == of, "{preset}: {measured}");
            }
        }
    }

    #[test]
    fn a_mismatch_names_everything_that_differs() {
        assert_eq!(
            agrees(cone(), Preset::Symmetric).unwrap_err().to_string(),
            "declared address-and-port-dependent mapping, address-and-port-dependent filtering, random ports, \
             measured endpoint-independent mapping (1 port for 4 destinations: 198.18.0.2:5000), \
             address-dependent filtering, preserved ports"
        );
        assert_eq!(
            agrees(open(), Preset::FullCone).unwrap_err().to_string(),
            "declared endpoint-independent mapping, measured no translation"
        );
        let cone_without_its_ports = Measured { preserved: false, ..cone() };
        assert_eq!(
            agrees(cone_without_its_ports, Preset::AddressRestricted).unwrap_err().to_string(),
            "declared preserved ports, measured other ports"
        );
    }

    #[test]
    fn what_was_asked_is_judged_too() {
        let ports = Some(Ports(vec![(5000, 5000), (5001, 6001)]));
        let asked = Measured { ports, hairpin: Some(Hairpin::Internal), ..cone() };
        assert_eq!(
            agrees(asked, Preset::AddressRestricted).unwrap_err().to_string(),
            "declared preserved ports, hairpin from the outside address, measured ports of one block of 2048 \
             (5000 as 5000, 5001 as 6001), hairpin from the inside address"
        );
    }

    #[test]
    fn udp_that_leaves_is_not_blocked_and_the_other_way_round() {
        let nothing = Found { udp: None, tcp: Vec::new() };
        let blocked = Declared::from(Preset::UdpBlocked.nat().as_ref());
        assert_eq!(nothing.agrees_with(&blocked), Ok(()));
        assert_eq!(
            nothing.agrees_with(&Declared::default()).unwrap_err().to_string(),
            "declared UDP leaves, measured UDP refused"
        );
        assert!(
            agrees(cone(), Preset::UdpBlocked).unwrap_err().to_string().starts_with("declared UDP refused")
        );
    }

    #[test]
    fn a_connection_is_judged_by_its_port() {
        let to = "203.0.113.1:443".parse().unwrap();
        let found = |connected| Found { udp: None, tcp: vec![super::super::Tcp { to, connected }] };
        let https = Declared::from(Preset::HttpsOnly.nat().as_ref());
        assert_eq!(found(true).agrees_with(&https), Ok(()));
        let portal = Declared::from(Preset::CaptivePortal.nat().as_ref());
        assert_eq!(
            found(true).agrees_with(&portal).unwrap_err().to_string(),
            "declared TCP to 203.0.113.1:443 refused, measured TCP to 203.0.113.1:443 connected"
        );
    }

    #[test]
    fn a_public_host_behind_a_firewall_is_not_open() {
        let firewalled = Measured { filtering: Filtering::AddressAndPortDependent, ..open() };
        assert_eq!(agrees(firewalled.clone(), Preset::Firewall), Ok(()));
        assert_eq!(
            agrees(firewalled, Preset::Open).unwrap_err().to_string(),
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
            ..seen_as([4000, 4001, 4002, 4003].map(|port| SocketAddr::new([198, 18, 0, 2].into(), port)))
        }
    }

    fn seen_as(mapped: [SocketAddr; 4]) -> Measured {
        let destinations = ["203.0.113.1:3478", "203.0.113.2:3478", "203.0.113.2:3479", "203.0.113.1:3479"];
        let observations = destinations.iter().zip(mapped);
        Measured {
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressDependent,
            local: SocketAddr::new([10, 0, 0, 2].into(), 5000),
            mapped: mapped[0],
            translated: true,
            preserved: true,
            ports: None,
            hairpin: None,
            observations: observations
                .map(|(to, mapped)| Observation { destination: to.parse().unwrap(), mapped })
                .collect(),
        }
    }
}
