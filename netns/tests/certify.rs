//! Every preset is certified as itself, and a router that is not what it is called is caught.

#![expect(clippy::unwrap_used, reason = "clippy allows it only inside test functions, and this is all test")]

use netns::nat::Preset::{self, *};
use netns::nat::certify::{Certificate, Verdict, certify, certify_as};
use rstest::rstest;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}

fn show(certificate: &Certificate) -> String {
    let lines = certificate.judged.iter().map(|judged| {
        let why = judged.verdict.reason().unwrap_or(&judged.found);
        format!("{:<17} {}: {why}\n", judged.verdict.to_string(), judged.requirement)
    });
    lines.collect()
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
    let certificate = certify(&preset.nat().unwrap()).unwrap();
    let shown = show(&certificate);
    println!("{shown}");
    assert!(certificate.is_as_declared(), "{shown}");
}

#[rstest]
#[case::an_open_filter(PortRestricted, FullCone)]
fn a_router_that_is_not_what_it_is_called_violates(#[case] declared: Preset, #[case] built: Preset) {
    let certificate = certify_as(&declared.nat().unwrap(), &built.nat().unwrap()).unwrap();
    assert!(!certificate.is_as_declared(), "{}", show(&certificate));
    assert!(certificate.judged.iter().any(|judged| judged.verdict == Verdict::Violates));
}
