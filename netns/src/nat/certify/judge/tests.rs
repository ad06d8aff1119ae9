//! Judging: what one fact comes to under one declaration. The facts start as those of a full cone.

use std::time::Duration;

use rstest::rstest;

use super::super::facts::{
    Collision, Egress, Errors, Exhaustion, Fact, Facts, Fragments, Icmp, Lifetime, Reboot, Steadiness, Tcp,
    Udp,
};
use super::*;
use crate::nat::probe::Ports;
use crate::nat::{Filtering, Hairpin, Mapping, OnDrop, Preset};

#[test]
fn a_full_cone_conforms_to_all_that_was_tested() {
    let judged = judge(&cone(), &facts());
    assert!(judged.iter().all(|one| !one.verdict.is_violation()), "{judged:#?}");
    assert!(judged.iter().filter(|one| one.verdict == Verdict::Conforms).count() > 30);
}

/// What the declaration says, what is measured instead of a full cone's facts, and one requirement.
#[rstest]
#[case::a_violation_that_is_named(
    Preset::Symmetric, |facts: &mut Facts| udp(facts).mapping = Fact::Is(Some(Mapping::AddressAndPortDependent)),
    (Source::Rfc4787, 1), Verdict::ViolatesAsNamed
)]
#[case::a_violation_that_is_not(
    Preset::FullCone, |facts: &mut Facts| udp(facts).mapping = Fact::Is(Some(Mapping::AddressAndPortDependent)),
    (Source::Rfc4787, 1), Verdict::Violates
)]
#[case::better_than_it_says(
    Preset::Symmetric, |_: &mut Facts| {}, (Source::Rfc4787, 1), Verdict::Violates
)]
#[case::no_translation(
    Preset::Firewall, |facts: &mut Facts| udp(facts).mapping = Fact::Is(None),
    (Source::Rfc4787, 1), Verdict::NotApplicable("nothing is translated")
)]
#[case::a_firewall_that_translates(
    Preset::Firewall, |_: &mut Facts| {}, (Source::Declared, 1), Verdict::Violates
)]
#[case::linux_overloads(
    Preset::LinuxMasquerade, |facts: &mut Facts| overload(facts), (Source::Rfc4787, 3), Verdict::ViolatesAsNamed
)]
#[case::nobody_else_does(
    Preset::FullCone, |facts: &mut Facts| overload(facts), (Source::Rfc4787, 3), Verdict::Violates
)]
#[case::a_linux_that_does_not(
    Preset::LinuxMasquerade, |_: &mut Facts| {}, (Source::Rfc4787, 3), Verdict::Violates
)]
#[case::a_filter_that_is_not_recommended(
    Preset::PortRestricted,
    |facts: &mut Facts| udp(facts).filtering = Fact::Is(Filtering::AddressAndPortDependent),
    (Source::Rfc4787, 8), Verdict::ViolatesAsNamed
)]
#[case::a_filter_as_it_was_declared(
    Preset::PortRestricted,
    |facts: &mut Facts| udp(facts).filtering = Fact::Is(Filtering::AddressAndPortDependent),
    (Source::Declared, 3), Verdict::Conforms
)]
#[case::unproven(
    Preset::FullCone, |facts: &mut Facts| udp(facts).lifetime = Fact::Unproven("it never came".to_owned()),
    (Source::Rfc4787, 6), Verdict::Violates
)]
#[case::a_timer_that_is_too_short(
    Preset::FullCone, |facts: &mut Facts| udp(facts).reported = Fact::Is(Duration::from_secs(60)),
    (Source::Rfc4787, 5), Verdict::Violates
)]
#[case::a_timer_that_is_too_long(
    Preset::FullCone, |facts: &mut Facts| udp(facts).reported = Fact::Is(Duration::from_secs(300)),
    (Source::Declared, 5), Verdict::Violates
)]
#[case::a_port_given_twice(
    Preset::FullCone, |facts: &mut Facts| steady(facts).given_twice = 1, (Source::Rfc4787, 11), Verdict::Violates
)]
#[case::a_packet_lost(
    Preset::FullCone, |facts: &mut Facts| steady(facts).lost = 1, (Source::Rfc4787, 11), Verdict::Violates
)]
#[case::another_filter_at_the_end(
    Preset::FullCone, |facts: &mut Facts| steady(facts).at_the_end.1 = Filtering::AddressDependent,
    (Source::Rfc4787, 11), Verdict::Violates
)]
#[case::a_hairpin_from_inside(
    Preset::FullCone, |facts: &mut Facts| udp(facts).hairpin = Fact::Is(Hairpin::Internal),
    (Source::Rfc4787, 9), Verdict::Violates
)]
#[case::a_syn_that_is_answered(
    Preset::FullCone, |facts: &mut Facts| tcp(facts).syn_is_answered = Fact::Is(true),
    (Source::Rfc5382, 4), Verdict::Violates
)]
#[case::a_connection_that_is_forgotten_too_soon(
    Preset::FullCone, |facts: &mut Facts| tcp(facts).established = Fact::Is(Duration::from_secs(3600)),
    (Source::Rfc5382, 5), Verdict::Violates
)]
#[case::an_error_that_ends_a_mapping(
    Preset::FullCone,
    |facts: &mut Facts| if let Some(icmp) = &mut facts.icmp {
        icmp.from_outside = Fact::Is(Errors { translated: true, mapping_lives: false, refreshed: None });
    },
    (Source::Rfc4787, 12), Verdict::Violates
)]
#[case::a_quiet_end_that_no_declaration_speaks_of(
    Preset::Cgnat, |facts: &mut Facts| udp(facts).exhaustion = Fact::Is(full(512)),
    (Source::Rfc5508, 8), Verdict::ViolatesAsNamed
)]
#[case::as_many_ports_as_it_says(
    Preset::Cgnat, |facts: &mut Facts| udp(facts).exhaustion = Fact::Is(full(512)),
    (Source::Rfc6888, 4), Verdict::Conforms
)]
#[case::more_ports_than_it_says(
    Preset::Cgnat, |facts: &mut Facts| udp(facts).exhaustion = Fact::Is(full(513)),
    (Source::Rfc6888, 4), Verdict::Violates
)]
#[case::udp_that_leaves_all_the_same(
    Preset::UdpBlocked, |_: &mut Facts| {}, (Source::Declared, 9), Verdict::Violates
)]
#[case::no_ipv6_where_there_should_be_none(
    Preset::FullCone, |_: &mut Facts| {}, (Source::Declared, 12), Verdict::NotApplicable("it has no IPv6")
)]
fn a_fact_is_judged_by_the_rfc_and_by_the_declaration(
    #[case] declared: Preset,
    #[case] change: fn(&mut Facts),
    #[case] (source, number): (Source, u8),
    #[case] verdict: Verdict,
) {
    let mut facts = facts();
    change(&mut facts);
    let judged = judge(&declared.nat().unwrap(), &facts);
    let is_it = |one: &&Judged| (one.requirement.source, one.requirement.number) == (source, number);
    let one = judged.iter().find(is_it).unwrap();
    assert_eq!(one.verdict, verdict, "{one:?}");
}

#[test]
fn a_router_that_rejects_as_declared_violates_as_named() {
    let declared = Nat { on_drop: OnDrop::Reject, ..cone() };
    let mut facts = facts();
    tcp(&mut facts).syn_is_answered = Fact::Is(true);
    udp(&mut facts).refusal_is_told = Fact::Is(true);
    let judged = judge(&declared, &facts);
    assert!(judged.iter().all(|one| one.verdict != Verdict::Violates), "{judged:#?}");
    assert_eq!(judged.iter().filter(|one| one.verdict == Verdict::ViolatesAsNamed).count(), 1);
}

fn cone() -> Nat {
    Preset::FullCone.nat().unwrap()
}

fn udp(facts: &mut Facts) -> &mut Udp {
    facts.udp.as_mut().unwrap()
}

fn tcp(facts: &mut Facts) -> &mut Tcp {
    facts.tcp.as_mut().unwrap()
}

fn steady(facts: &mut Facts) -> &mut Steadiness {
    match &mut udp(facts).steadiness {
        Fact::Is(steady) => steady,
        other => panic!("{other:?}"),
    }
}

fn overload(facts: &mut Facts) {
    udp(facts).collision = Fact::Is(Collision { shared_towards_two: true, ..COLLISION });
}

fn full(ports: usize) -> Exhaustion {
    Exhaustion {
        ports,
        shared: false,
        dropped: true,
        told: false,
        others_live: true,
        next_host_has_ports: true,
    }
}

const COLLISION: Collision = Collision {
    shared_towards_one: false,
    shared_towards_two: false,
    each_reached: true,
    second_has_one_port: true,
};

const CONE: (Mapping, Filtering) = (Mapping::EndpointIndependent, Filtering::EndpointIndependent);

/// What a full cone shows.
fn facts() -> Facts {
    let errors = Errors { translated: true, mapping_lives: true, refreshed: Some(false) };
    let egress = Egress { udp: true, tcp: true, https: true, after_log_in: None, reboot_logs_out: None };
    Facts {
        egress: Fact::Is(egress),
        udp: Some(udp_facts()),
        tcp: Some(Tcp {
            mapping: Fact::Is(Some(CONE.0)),
            filtering: Fact::Is(CONE.1),
            simultaneous_open: Fact::Is(true),
            syn_is_answered: Fact::Is(false),
            established: Fact::Is(Duration::from_secs(7440)),
            transitory: Fact::Is(Duration::from_secs(240)),
            collision: Fact::Is(COLLISION),
            hairpin: Fact::Is(Hairpin::External),
            errors: Fact::Is(errors),
            payload_is_left_alone: Fact::Is(true),
        }),
        icmp: Some(Icmp {
            queries: Fact::Is(true),
            reported: Fact::Is(Duration::from_secs(60)),
            bad_checksum_comes_in: Fact::Is(false),
            from_outside: Fact::Is(errors),
            unfounded_comes_in: Fact::Is(false),
            from_inside: Fact::Is(errors),
            hairpinned: Fact::Is(true),
        }),
        ipv6: None,
    }
}

fn udp_facts() -> Udp {
    Udp {
        mapping: Fact::Is(Some(CONE.0)),
        filtering: Fact::Is(CONE.1),
        ports: Fact::Is(Ports(vec![(5000, 5000), (5007, 5007)])),
        parity: Fact::Is(true),
        collision: Fact::Is(COLLISION),
        exhaustion: Fact::NotTested("too many"),
        pooling: Fact::NotTested("one address"),
        reported: Fact::Is(Duration::from_secs(119)),
        lifetime: Fact::Is(Lifetime { ends: true, outbound_refresh: true, inbound_refresh: false }),
        hairpin: Fact::Is(Hairpin::External),
        early_packet_costs: Fact::Is(false),
        refusal_is_told: Fact::Is(false),
        reboot: Fact::Is(Reboot { forgets: true, is_empty: true, new_ones_work: true }),
        fragments: Fact::Is(Fragments { in_order: true, out_of_order: true }),
        steadiness: Fact::Is(Steadiness {
            flows: 1000,
            lost: 0,
            given_twice: 0,
            moved: 0,
            unreached: 0,
            at_the_end: (Some(CONE.0), CONE.1),
        }),
        overlap: Fact::Is(true),
        payload_is_left_alone: Fact::Is(true),
    }
}
