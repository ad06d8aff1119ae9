//! The probe against NATs that are known, honest and dishonest: it must name what they are, or say that it cannot.

#![expect(clippy::unwrap_used, reason = "clippy allows it only inside test functions, and this is all test")]

mod fake_nat;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::thread;

use fake_nat::{Behaviour, FakeNat, Fault};
use netns::lab::Drops;
use netns::nat::probe::{Declared, Found, Measured, ProbeError, Questions, measure};
use netns::nat::stun::message::{Answer, read_request, write_answer};
use netns::nat::{Filtering, Mapping, Nat, Preset};
use rstest::rstest;

const EI: Mapping = Mapping::EndpointIndependent;
const AD: Mapping = Mapping::AddressDependent;
const APD: Mapping = Mapping::AddressAndPortDependent;
const ANYBODY: Filtering = Filtering::EndpointIndependent;
const BY_ADDRESS: Filtering = Filtering::AddressDependent;
const BY_PORT: Filtering = Filtering::AddressAndPortDependent;

#[rstest]
fn each_of_the_nine_nats_is_named(
    #[values(EI, AD, APD)] mapping: Mapping,
    #[values(ANYBODY, BY_ADDRESS, BY_PORT)] filtering: Filtering,
    #[values(true, false)] preserve: bool,
) {
    let mut nat = FakeNat::start(Behaviour { mapping, filtering, preserve, fault: Fault::None });
    let measured = probe(&mut nat).unwrap();
    assert_eq!((measured.mapping, measured.filtering), (mapping, filtering), "{measured}");
    assert!(measured.translated);
    assert_eq!(measured.preserved, preserve, "{measured}");
    assert_eq!(measured.mapped.ip(), nat.outside);
    assert_eq!(measured.local.ip(), nat.inside);
    assert_eq!(measured.observations.len(), 4);

    let preset = if preserve { Preset::FullCone } else { Preset::Symmetric };
    let declared = Nat { mapping, filtering, ..preset.nat().unwrap() };
    assert_eq!(found(&measured).agrees_with(&Declared::from(Some(&declared))), Ok(()));
    assert!(found(&measured).agrees_with(&Declared::default()).is_err());
}

#[test]
fn a_host_without_a_nat_is_open() {
    let nat = honest(EI, BY_PORT);
    let none = &mut || Ok::<_, Infallible>(Drops::default());
    let found = measure(nat.inside, nat.bare_server, none, &Questions::default()).unwrap();
    let measured = found.udp.as_ref().unwrap();
    assert_eq!((measured.mapping, measured.filtering, measured.translated), (EI, ANYBODY, false));
    assert_eq!(measured.mapped, measured.local);
    assert_eq!(found.agrees_with(&Declared::default()), Ok(()));
}

#[test]
fn udp_that_is_blocked_is_no_answer_and_what_was_blocked_is_told() {
    let error = probe(&mut faulty(Fault::Blocked)).unwrap_err();
    assert!(matches!(error, ProbeError::NoAnswer { drops: 1, .. }), "{error}");
}

#[test]
fn udp_that_policy_refuses_is_found_by_the_counter_of_refusals() {
    let mut nat = faulty(Fault::Blocked);
    let (inside, server) = (nat.inside, nat.server);
    let mut drops = || nat.drops().map(|refused| Drops { refused, ..Drops::default() });
    let found = measure(inside, server, &mut drops, &Questions::default()).unwrap();
    assert_eq!(found.to_string(), "UDP refused");
    let blocked = Declared::from(Preset::UdpBlocked.nat().as_ref());
    assert_eq!(found.agrees_with(&blocked), Ok(()));
    assert!(found.agrees_with(&Declared::default()).is_err());
}

#[rstest]
#[case::one_that_does_not_count(Fault::DropsUncounted, 0)]
#[case::one_that_counts_too_much(Fault::CountsTwice, 2)]
fn a_drop_that_the_counter_does_not_show_is_unproven(#[case] fault: Fault, #[case] counted: u64) {
    let error = probe(&mut faulty(fault)).unwrap_err();
    assert!(matches!(error, ProbeError::Unproven { drops, .. } if drops == counted), "{error}");
}

#[test]
fn a_lost_answer_is_not_taken_for_a_filter() {
    let mut nat = FakeNat::start(Behaviour { fault: Fault::Loses, ..behaviour(EI, ANYBODY) });
    let error = probe(&mut nat).unwrap_err();
    assert!(matches!(error, ProbeError::Unproven { drops: 0, .. }), "{error}");
}

#[rstest]
#[case::from_another_address(ANYBODY)]
#[case::from_another_port(BY_ADDRESS)]
fn an_answer_that_was_overtaken_is_still_admitted(#[case] filtering: Filtering) {
    let mut nat = FakeNat::start(Behaviour { fault: Fault::Reorders, ..behaviour(APD, filtering) });
    assert_eq!(probe(&mut nat).unwrap().filtering, filtering);
}

#[test]
fn a_drop_that_is_counted_late_is_still_a_drop() {
    assert_eq!(probe(&mut faulty(Fault::CountsLate)).unwrap().filtering, BY_PORT);
}

#[rstest]
#[case::while_something_else_is_asked(Fault::CountsAndAdmits)]
#[case::when_nothing_more_is_asked(Fault::CountsAndAdmitsPort)]
fn an_answer_that_comes_in_after_it_was_counted_as_dropped_is_a_contradiction(#[case] fault: Fault) {
    let error = probe(&mut faulty(fault)).unwrap_err();
    assert!(matches!(error, ProbeError::Contradicted { .. }), "{error}");
}

#[test]
fn a_mapping_that_is_no_pattern_is_not_called_the_nearest_one() {
    let error = probe(&mut faulty(Fault::MapsByPort)).unwrap_err();
    let ProbeError::Inconsistent { observations } = &error else { panic!("{error}") };
    assert_eq!(observations[0].mapped, observations[1].mapped);
    assert_eq!(observations[2].mapped, observations[3].mapped);
    assert!(error.to_string().contains(&format!("sees {}", observations[3].mapped)), "{error}");
}

#[test]
fn a_flow_whose_mapping_moves_is_inconsistent() {
    let mut nat = FakeNat::start(Behaviour { fault: Fault::Forgets, ..behaviour(APD, ANYBODY) });
    let error = probe(&mut nat).unwrap_err();
    assert!(
        matches!(&error, ProbeError::Inconsistent { observations } if observations.len() == 2),
        "{error}"
    );
}

#[test]
fn a_router_that_rewrites_who_answered_is_caught() {
    let error = probe(&mut faulty(Fault::RewritesSource)).unwrap_err();
    let ProbeError::WrongSource { answered_by, seen, origin } = error else { panic!("{error}") };
    assert_eq!((answered_by.ip(), origin), (seen.ip(), Some(answered_by)));
    assert_ne!(answered_by.port(), seen.port());
}

#[test]
fn an_answer_that_says_it_is_of_somebody_else_is_caught() {
    let error = probe(&mut faulty(Fault::MisstatesOrigin)).unwrap_err();
    let ProbeError::WrongSource { answered_by, seen, origin } = error else { panic!("{error}") };
    assert_eq!(seen, answered_by);
    assert!(origin.is_some_and(|origin| origin.ip() != answered_by.ip()));
}

#[test]
fn a_counter_that_cannot_be_read_ends_the_probe() {
    let nat = honest(EI, ANYBODY);
    let mut gone = || Err::<Drops, _>(io::Error::other("gone"));
    let error = measure(nat.inside, nat.server, &mut gone, &Questions::default()).unwrap_err();
    assert!(matches!(error, ProbeError::Counter(source) if source.to_string() == "gone"));
}

#[rstest]
#[case::none_at_all(None, "no OTHER-ADDRESS")]
#[case::only_another_port(Some("127.0.0.1:9"), "OTHER-ADDRESS is 127.0.0.1:9")]
fn a_server_without_another_address_cannot_measure_a_nat(#[case] other: Option<&str>, #[case] words: &str) {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = v4(server.local_addr().unwrap());
    let other = other.map(|other| other.parse().unwrap());
    let answering = thread::spawn(move || {
        let mut datagram = [0; 2048];
        let (length, client) = server.recv_from(&mut datagram).unwrap();
        let transaction = read_request(&datagram[..length]).unwrap().transaction;
        let answer = Answer { transaction, mapped: client, origin: None, other };
        server.send_to(&write_answer(&answer, false).unwrap(), client).unwrap();
    });
    let none = &mut || Ok::<_, Infallible>(Drops::default());
    let error = measure(Ipv4Addr::LOCALHOST, endpoint, none, &Questions::default()).unwrap_err().to_string();
    answering.join().unwrap();
    let expected = format!("{endpoint} has no other address and port to discover a NAT with: {words}");
    assert!(error.starts_with(&expected), "{error}");
}

fn probe(nat: &mut FakeNat) -> Result<Measured, ProbeError> {
    let (inside, server) = (nat.inside, nat.server);
    let mut drops = || nat.drops().map(|filtered| Drops { filtered, ..Drops::default() });
    measure(inside, server, &mut drops, &Questions::default()).map(|found| found.udp.unwrap())
}

fn found(measured: &Measured) -> Found {
    Found { udp: Some(measured.clone()), tcp: Vec::new() }
}

fn honest(mapping: Mapping, filtering: Filtering) -> FakeNat {
    FakeNat::start(behaviour(mapping, filtering))
}

/// The strictest filter, so that there is something to count.
fn faulty(fault: Fault) -> FakeNat {
    FakeNat::start(Behaviour { fault, ..behaviour(EI, BY_PORT) })
}

fn behaviour(mapping: Mapping, filtering: Filtering) -> Behaviour {
    Behaviour { mapping, filtering, preserve: true, fault: Fault::None }
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    let SocketAddr::V4(address) = address else { panic!("{address} is not IPv4") };
    address
}
