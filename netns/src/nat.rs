//! What a NAT is: the RFC 4787 model, the named presets, and `direct_path`, the oracle that says whether two
//! of them can be joined with STUN alone. Pure data and pure functions; [`ruleset`] makes rules of it.

mod oracle;
pub mod probe;
pub(crate) mod ruleset;
pub mod stun;
pub mod table;

pub use oracle::{Access, CandidateType, Path, Prediction, Reason, direct_path};

use std::fmt;
use std::str::FromStr;

/// When two outbound flows of one inside socket share an outside port (RFC 4787 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mapping {
    /// One outside port whatever the destination.
    EndpointIndependent,
    /// One outside port for each destination address.
    AddressDependent,
    /// One outside port for each destination address and port.
    AddressAndPortDependent,
}

/// Which inbound packets reach a mapping (RFC 4787 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Filtering {
    /// Anybody's.
    EndpointIndependent,
    /// Those of an address that the mapping has sent to.
    AddressDependent,
    /// Those of an address and port that the mapping has sent to.
    AddressAndPortDependent,
}

/// How the outside port of a new mapping is chosen (RFC 4787 section 4.2). Never one that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Allocation {
    /// The inside port where it is free, else a random free one.
    Preserve,
    /// A random free port.
    Random,
}

/// One router's behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nat {
    /// How outside ports are shared between flows.
    pub mapping: Mapping,
    /// Who may send to an outside port.
    pub filtering: Filtering,
    /// How an outside port is chosen.
    pub allocation: Allocation,
}

/// The NATs that have a name. RFC 3489's cone names are kept because everybody uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Preset {
    /// No NAT: a public address.
    Open,
    /// Endpoint-independent mapping and filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    AddressRestricted,
    /// Endpoint-independent mapping, address-and-port-dependent filtering.
    PortRestricted,
    /// Address-and-port-dependent mapping and filtering, random ports.
    Symmetric,
}

impl Preset {
    /// Every preset, in the order in which tables show them.
    pub const ALL: [Preset; 5] = [
        Preset::Open,
        Preset::FullCone,
        Preset::AddressRestricted,
        Preset::PortRestricted,
        Preset::Symmetric,
    ];

    /// The name a scenario file uses.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Open => "open",
            Preset::FullCone => "full-cone",
            Preset::AddressRestricted => "address-restricted",
            Preset::PortRestricted => "port-restricted",
            Preset::Symmetric => "symmetric",
        }
    }

    /// Other names that mean the same preset.
    pub const ALIASES: [(&'static str, Preset); 1] = [("restricted-cone", Preset::AddressRestricted)];

    /// The behaviour of the router, or `None` where there is no router to speak of (`open`).
    pub fn nat(self) -> Option<Nat> {
        use {Allocation as A, Filtering as F, Mapping as M};
        let nat = |mapping, filtering, allocation| Some(Nat { mapping, filtering, allocation });
        match self {
            Preset::Open => None,
            Preset::FullCone => nat(M::EndpointIndependent, F::EndpointIndependent, A::Preserve),
            Preset::AddressRestricted => nat(M::EndpointIndependent, F::AddressDependent, A::Preserve),
            Preset::PortRestricted => nat(M::EndpointIndependent, F::AddressAndPortDependent, A::Preserve),
            Preset::Symmetric => nat(M::AddressAndPortDependent, F::AddressAndPortDependent, A::Random),
        }
    }
}

impl Preset {
    /// What the world sees of a host behind this preset.
    pub fn access(self) -> Access {
        match self.nat() {
            None => Access::Public,
            Some(nat) => Access::Translated(nat.mapping, nat.filtering),
        }
    }
}

/// A name that no preset has; `nearest` is what was perhaps meant.
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

impl Mapping {
    /// RFC 4787's words.
    pub const fn name(self) -> &'static str {
        match self {
            Mapping::EndpointIndependent => "endpoint-independent",
            Mapping::AddressDependent => "address-dependent",
            Mapping::AddressAndPortDependent => "address-and-port-dependent",
        }
    }
}

impl Filtering {
    /// RFC 4787's words.
    pub const fn name(self) -> &'static str {
        match self {
            Filtering::EndpointIndependent => "endpoint-independent",
            Filtering::AddressDependent => "address-dependent",
            Filtering::AddressAndPortDependent => "address-and-port-dependent",
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl fmt::Display for Filtering {
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
