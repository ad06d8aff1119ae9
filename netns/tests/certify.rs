//! Every preset is certified as itself, and a router that is not what it is called is caught.

#![expect(clippy::unwrap_used, reason = "clippy allows it only inside test functions, and this is all test")]

use std::time::Duration;

use netns::nat::Preset::{
    self, AddressDependent, AddressRestricted, CaptivePortal, Cgnat, Firewall, FullCone, HttpsOnly,
    LinuxMasquerade, LinuxMasqueradeInputDrop, PortRestricted, Symmetric, SymmetricSequential, UdpBlocked,
};
use netns::nat::certify::{Certificate, Verdict, certify, certify_as};
use netns::nat::{Allocation, Family, Filtering, Hairpin, Nat, OnDrop, Pooling};
use rstest::rstest;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}

#[rstest]
fn a_preset_is_what_it_is_called(
    #[values(
        Firewall,
        FullCone,
        AddressRestricted,
        PortRestricted,
        AddressDependent,
        Symmetric,
        SymmetricSequential,
        Cgnat,
        LinuxMasquerade,
        LinuxMasqueradeInputDrop,
        UdpBlocked,
        HttpsOnly,
        CaptivePortal
    )]
    preset: Preset,
) {
    let certificate = certify(&of(preset)).unwrap();
    assert!(certificate.is_as_declared(), "{}", show(&certificate));
}

#[rstest]
#[case::hairpin_off(Nat { hairpin: Hairpin::Off, ..of(FullCone) })]
#[case::hairpin_from_inside(Nat { hairpin: Hairpin::Internal, ..of(PortRestricted) })]
#[case::rejecting(Nat { on_drop: OnDrop::Reject, ..of(PortRestricted) })]
#[case::inbound_refresh(Nat { inbound_refresh: true, ..of(AddressRestricted) })]
#[case::a_short_timer(Nat { timeout: Duration::from_secs(30), ..of(FullCone) })]
#[case::a_paired_pool(Nat { addresses: 3, ..of(FullCone) })]
#[case::an_arbitrary_pool(Nat { addresses: 3, pooling: Pooling::Arbitrary, ..of(PortRestricted) })]
#[case::blocks_on_demand(Nat { allocation: Allocation::Blocks { size: 64, on_demand: true }, ..of(Cgnat) })]
#[case::both_families(Nat { family: Family::Dual, ..of(PortRestricted) })]
#[case::a_firewall_of_both_families(Nat { family: Family::Dual, ..of(Firewall) })]
#[case::a_firewall_of_ipv6(Nat { family: Family::Ipv6, ..of(Firewall) })]
#[case::a_filter_looser_than_the_mapping(Nat { filtering: Filtering::EndpointIndependent, ..of(AddressDependent) })]
#[case::a_filter_much_looser_than_the_mapping(Nat { filtering: Filtering::EndpointIndependent, ..of(Symmetric) })]
#[case::a_filter_by_address_before_ports_for_each_port(Nat { filtering: Filtering::AddressDependent, ..of(Symmetric) })]
fn a_nat_of_its_own_is_what_it_is_declared_to_be(#[case] nat: Nat) {
    let certificate = certify(&nat).unwrap();
    assert!(certificate.is_as_declared(), "{}", show(&certificate));
}

/// The requirements by which each lie is caught, among others.
#[rstest]
#[case::a_looser_filter(of(PortRestricted), of(FullCone), &["filtering"])]
#[case::a_stricter_filter(of(FullCone), of(AddressRestricted), &["filtering"])]
#[case::a_better_mapping(of(Symmetric), Nat { allocation: Allocation::Random, ..of(PortRestricted) }, &["mapping"])]
#[case::a_worse_mapping(
    Nat { allocation: Allocation::Random, ..of(PortRestricted) },
    of(Symmetric),
    &["mapping", "REQ-1"]
)]
#[case::ports_in_order(of(Symmetric), of(SymmetricSequential), &["port allocation"])]
#[case::random_ports(of(SymmetricSequential), of(Symmetric), &["port allocation"])]
#[case::no_blocks(of(Cgnat), Nat { allocation: Allocation::Random, ..of(Cgnat) }, &["port allocation"])]
#[case::larger_blocks(
    of(Cgnat),
    Nat { allocation: Allocation::Blocks { size: 2048, on_demand: false }, ..of(Cgnat) },
    &["REQ-4"]
)]
#[case::a_shorter_timer(of(FullCone), Nat { timeout: Duration::from_secs(60), ..of(FullCone) }, &["lifetime", "REQ-5"])]
#[case::inbound_refresh(of(FullCone), Nat { inbound_refresh: true, ..of(FullCone) }, &["inbound refresh"])]
#[case::no_hairpin(of(FullCone), Nat { hairpin: Hairpin::Off, ..of(FullCone) }, &["hairpin", "REQ-9", "REQ-8"])]
#[case::another_hairpin(of(FullCone), Nat { hairpin: Hairpin::Internal, ..of(FullCone) }, &["hairpin", "REQ-9"])]
#[case::rejecting(of(PortRestricted), Nat { on_drop: OnDrop::Reject, ..of(PortRestricted) }, &["on drop", "REQ-4"])]
#[case::no_pool(Nat { addresses: 2, ..of(FullCone) }, of(FullCone), &["REQ-2"])]
#[case::another_pooling(
    Nat { addresses: 2, ..of(FullCone) },
    Nat { addresses: 2, pooling: Pooling::Arbitrary, ..of(FullCone) },
    &["REQ-2"]
)]
#[case::no_translation(of(PortRestricted), of(Firewall), &["translation"])]
#[case::translation(of(Firewall), of(PortRestricted), &["translation"])]
#[case::linux(of(PortRestricted), of(LinuxMasqueradeInputDrop), &["REQ-3", "REQ-7", "lifetime"])]
#[case::linux_that_hears(of(LinuxMasqueradeInputDrop), of(LinuxMasquerade), &["early packet", "on drop"])]
#[case::no_linux(of(LinuxMasquerade), of(PortRestricted), &["REQ-3", "early packet"])]
#[case::udp_that_leaves(of(UdpBlocked), of(PortRestricted), &["egress"])]
#[case::udp_that_does_not(of(PortRestricted), of(UdpBlocked), &["egress"])]
#[case::tcp_that_does_not(of(UdpBlocked), of(HttpsOnly), &["egress"])]
#[case::no_portal(of(CaptivePortal), of(PortRestricted), &["egress"])]
#[case::no_ipv6(Nat { family: Family::Dual, ..of(FullCone) }, of(FullCone), &["IPv6"])]
fn a_router_that_is_not_what_it_is_called_is_caught(
    #[case] declared: Nat,
    #[case] built: Nat,
    #[case] by: &[&str],
) {
    let certificate = certify_as(&declared, &built).unwrap();
    let violated: Vec<String> = certificate
        .judged
        .iter()
        .filter(|judged| judged.verdict == Verdict::Violates)
        .map(|judged| judged.requirement.name())
        .collect();
    assert!(!certificate.is_as_declared());
    for requirement in by {
        assert!(violated.iter().any(|violated| violated == requirement), "{}", show(&certificate));
    }
}

fn of(preset: Preset) -> Nat {
    preset.nat().unwrap()
}

fn show(certificate: &Certificate) -> String {
    let line = |judged: &netns::nat::certify::Judged| {
        let why = judged.verdict.reason().unwrap_or(&judged.found);
        format!("{:<17} {}: {why}\n", judged.verdict, judged.requirement)
    };
    certificate.judged.iter().map(line).collect()
}
