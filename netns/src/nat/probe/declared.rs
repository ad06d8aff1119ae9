//! What a host should find in front of it: the declarations of all routers on its way out, folded into one.

use crate::nat::{Allocation, Egress, Filtering, Hairpin, Mapping, Nat, Translation};

/// The routers between a host and the internet as they are declared; none where the host is public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The innermost first.
    layers: Vec<Nat>,
}

impl From<Option<&Nat>> for Declared {
    fn from(nat: Option<&Nat>) -> Self {
        Declared::through(nat.copied())
    }
}

impl Declared {
    /// The routers that a packet of the host meets, the innermost first.
    pub fn through(layers: impl IntoIterator<Item = Nat>) -> Self {
        Declared { layers: layers.into_iter().collect() }
    }

    /// The same routers as IPv6 meets them: none of them translates it, and all are firewalls to it (RFC 6092).
    pub fn through_ipv6(layers: impl IntoIterator<Item = Nat>) -> Self {
        let firewall = |nat: Nat| match nat.translation {
            Translation::None => nat,
            Translation::Modelled | Translation::Masquerade { .. } => {
                let filtering = Filtering::AddressAndPortDependent;
                Nat { translation: Translation::None, filtering, ..nat }
            }
        };
        Declared::through(layers.into_iter().map(firewall))
    }

    /// The same after somebody has logged in at every captive portal.
    #[must_use]
    pub fn logged_in(mut self) -> Self {
        for nat in self.layers.iter_mut().filter(|nat| nat.egress == Egress::Portal) {
            nat.egress = Egress::Everything;
        }
        self
    }

    fn translators(&self) -> impl DoubleEndedIterator<Item = &Nat> {
        self.layers.iter().filter(|nat| nat.translation != Translation::None)
    }

    /// The worst mapping of all layers, because a flow that one of them splits is split outside; `None` where nothing
    /// is translated.
    pub fn mapping(&self) -> Option<Mapping> {
        self.translators().map(|nat| nat.mapping).max()
    }

    /// The strictest filter of all layers: who is to come in must pass all of them.
    pub fn filtering(&self) -> Filtering {
        self.layers.iter().map(|nat| nat.filtering).max().unwrap_or(Filtering::EndpointIndependent)
    }

    /// How the port that the world sees is chosen: by the outermost layer that does not preserve it.
    pub fn allocation(&self) -> Option<Allocation> {
        let mut outermost_first = self.translators().rev().map(|nat| nat.allocation);
        let outermost = self.translators().next_back()?.allocation;
        Some(outermost_first.find(|&allocation| allocation != Allocation::Preserve).unwrap_or(outermost))
    }

    /// What becomes of a packet to the own address that the world sees; `None` where that cannot be foretold.
    pub fn hairpin(&self) -> Option<Hairpin> {
        let (outermost, inner) = self.layers.split_last()?;
        match outermost.translation {
            Translation::Modelled => {}
            // There is nothing to turn round.
            Translation::None => return None,
            // The router itself hears it.
            Translation::Masquerade { .. } => return Some(Hairpin::Off),
        }
        let is_filtered_again = inner.iter().any(|nat| nat.filtering != Filtering::EndpointIndependent);
        match outermost.hairpin {
            // It comes back from an address that the inner layers have never heard of.
            Hairpin::Internal if is_filtered_again => None,
            hairpin => Some(hairpin),
        }
    }

    /// Whether UDP leaves.
    pub fn passes_udp(&self) -> bool {
        self.layers.iter().all(|nat| nat.egress == Egress::Everything)
    }

    /// Whether TCP to this port leaves.
    pub fn passes_tcp(&self, port: u16) -> bool {
        const HTTPS: u16 = 443;
        self.layers.iter().all(|nat| match nat.egress {
            Egress::Everything | Egress::NoUdp => true,
            Egress::HttpsOnly => port == HTTPS,
            Egress::Portal => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::Preset;

    fn through(layers: &[Preset]) -> Declared {
        Declared::through(layers.iter().filter_map(|preset| preset.nat()))
    }

    #[test]
    fn the_worst_mapping_and_the_strictest_filter_of_all_layers_win() {
        let home_behind_carrier = through(&[Preset::PortRestricted, Preset::Cgnat]);
        assert_eq!(home_behind_carrier.mapping(), Some(Mapping::EndpointIndependent));
        assert_eq!(home_behind_carrier.filtering(), Filtering::AddressAndPortDependent);
        assert_eq!(
            home_behind_carrier.allocation(),
            Some(Allocation::Blocks { size: 512, on_demand: false })
        );
        let carrier_inside = through(&[Preset::Symmetric, Preset::FullCone]);
        assert_eq!(carrier_inside.mapping(), Some(Mapping::AddressAndPortDependent));
        assert_eq!(carrier_inside.allocation(), Some(Allocation::Random), "a random port is preserved");
    }

    #[test]
    fn a_firewall_filters_and_translates_nothing() {
        assert_eq!(through(&[Preset::Firewall]).mapping(), None);
        assert_eq!(through(&[Preset::Firewall]).allocation(), None);
        assert_eq!(
            through(&[Preset::FullCone, Preset::Firewall]).filtering(),
            Filtering::AddressAndPortDependent
        );
        assert_eq!(through(&[]), Declared::from(None));
    }

    #[test]
    fn ipv6_meets_firewalls_only() {
        let cone = Declared::through_ipv6(Preset::FullCone.nat());
        assert_eq!((cone.mapping(), cone.filtering()), (None, Filtering::AddressAndPortDependent));
        assert!(!Declared::through_ipv6(Preset::UdpBlocked.nat()).passes_udp());
    }

    #[test]
    fn the_outermost_router_turns_hairpins_round() {
        let internal = Nat { hairpin: Hairpin::Internal, ..Preset::FullCone.nat().unwrap() };
        assert_eq!(Declared::through([internal]).hairpin(), Some(Hairpin::Internal));
        let strict_inside = Declared::through([Preset::PortRestricted.nat().unwrap(), internal]);
        assert_eq!(strict_inside.hairpin(), None);
        assert_eq!(through(&[Preset::LinuxMasquerade]).hairpin(), Some(Hairpin::Off));
    }

    #[test]
    fn what_any_layer_holds_back_does_not_leave() {
        assert!(!through(&[Preset::UdpBlocked, Preset::FullCone]).passes_udp());
        let https = through(&[Preset::FullCone, Preset::HttpsOnly]);
        assert!(https.passes_tcp(443) && !https.passes_tcp(9000) && !https.passes_udp());
        let portal = through(&[Preset::CaptivePortal]);
        assert!(!portal.passes_tcp(443) && portal.logged_in().passes_udp());
    }
}
