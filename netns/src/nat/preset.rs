//! The NATs that have a name, and what each name means.

use std::fmt;
use std::str::FromStr;

use super::{Access, Allocation, Egress, Filtering, Hairpin, Mapping, Nat, Translation};

/// The NATs that have a name. RFC 3489's cone names are kept because everybody uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Preset {
    /// No NAT: a public address.
    Open,
    /// A public address behind a stateful firewall: no translation, filtered by address and port.
    Firewall,
    /// Endpoint-independent mapping and filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    AddressRestricted,
    /// Endpoint-independent mapping, address-and-port-dependent filtering.
    PortRestricted,
    /// Address-dependent mapping and filtering, random ports.
    AddressDependent,
    /// Address-and-port-dependent mapping and filtering, random ports.
    Symmetric,
    /// The same with ports in order, so that the next can be predicted.
    SymmetricSequential,
    /// Carrier-grade: endpoint-independent mapping and filtering, a block of 512 ports for each subscriber.
    Cgnat,
    /// A plain Linux router, quirks included.
    LinuxMasquerade,
    /// The same with unsolicited input dropped.
    LinuxMasqueradeInputDrop,
    /// A port-restricted NAT that no UDP passes.
    UdpBlocked,
    /// A port-restricted NAT that passes nothing but TCP to port 443.
    HttpsOnly,
    /// A port-restricted NAT behind a portal: closed until somebody has logged in.
    CaptivePortal,
}

impl Preset {
    /// Every preset, in the order in which tables show them.
    pub const ALL: [Preset; 14] = [
        Preset::Open,
        Preset::Firewall,
        Preset::FullCone,
        Preset::AddressRestricted,
        Preset::PortRestricted,
        Preset::AddressDependent,
        Preset::Symmetric,
        Preset::SymmetricSequential,
        Preset::Cgnat,
        Preset::LinuxMasquerade,
        Preset::LinuxMasqueradeInputDrop,
        Preset::UdpBlocked,
        Preset::HttpsOnly,
        Preset::CaptivePortal,
    ];

    /// The name a scenario file uses.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Open => "open",
            Preset::Firewall => "firewall",
            Preset::FullCone => "full-cone",
            Preset::AddressRestricted => "address-restricted",
            Preset::PortRestricted => "port-restricted",
            Preset::AddressDependent => "address-dependent",
            Preset::Symmetric => "symmetric",
            Preset::SymmetricSequential => "symmetric-sequential",
            Preset::Cgnat => "cgnat",
            Preset::LinuxMasquerade => "linux-masquerade",
            Preset::LinuxMasqueradeInputDrop => "linux-masquerade-input-drop",
            Preset::UdpBlocked => "udp-blocked",
            Preset::HttpsOnly => "https-only",
            Preset::CaptivePortal => "captive-portal",
        }
    }

    /// Other names that mean the same preset.
    pub const ALIASES: [(&'static str, Preset); 1] = [("restricted-cone", Preset::AddressRestricted)];

    /// The behaviour of the router, or `None` where there is no router to speak of (`open`).
    pub fn nat(self) -> Option<Nat> {
        use {Allocation as A, Filtering as F, Mapping as M};
        let restricted = Nat::new(M::EndpointIndependent, F::AddressAndPortDependent, A::Preserve);
        let closed = |egress| Nat { egress, ..restricted };
        let by = |translation| Nat { translation, ..restricted };
        let linux = |input_drop| Nat { hairpin: Hairpin::Off, ..by(Translation::Masquerade { input_drop }) };
        Some(match self {
            Preset::Open => return None,
            Preset::Firewall => by(Translation::None),
            Preset::FullCone => Nat::new(M::EndpointIndependent, F::EndpointIndependent, A::Preserve),
            Preset::AddressRestricted => Nat::new(M::EndpointIndependent, F::AddressDependent, A::Preserve),
            Preset::PortRestricted => restricted,
            Preset::AddressDependent => Nat::new(M::AddressDependent, F::AddressDependent, A::Random),
            Preset::Symmetric => Nat::new(M::AddressAndPortDependent, F::AddressAndPortDependent, A::Random),
            Preset::SymmetricSequential => {
                Nat::new(M::AddressAndPortDependent, F::AddressAndPortDependent, A::Sequential)
            }
            Preset::Cgnat => {
                let blocks = A::Blocks { size: 512, on_demand: false };
                Nat::new(M::EndpointIndependent, F::EndpointIndependent, blocks)
            }
            Preset::LinuxMasquerade => linux(false),
            Preset::LinuxMasqueradeInputDrop => linux(true),
            Preset::UdpBlocked => closed(Egress::NoUdp),
            Preset::HttpsOnly => closed(Egress::HttpsOnly),
            Preset::CaptivePortal => closed(Egress::Portal),
        })
    }

    /// What the world sees of a host behind this preset.
    pub fn access(self) -> Access {
        self.nat().map_or(Access::Public, |nat| Access::behind(&nat))
    }
}

/// A name that no preset has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown NAT `{name}`")]
pub struct UnknownPreset {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let own = Preset::ALL.into_iter().map(|preset| (preset.name(), preset));
        own.chain(Preset::ALIASES)
            .find_map(|(known, preset)| (known == name).then_some(preset))
            .ok_or_else(|| UnknownPreset { name: name.to_owned() })
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_found_by_its_name_and_its_aliases() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse(), Ok(preset));
        }
        assert_eq!("restricted-cone".parse(), Ok(Preset::AddressRestricted));
        assert_eq!("cone".parse::<Preset>().unwrap_err().to_string(), "unknown NAT `cone`");
    }
}
