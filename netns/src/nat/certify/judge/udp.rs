//! RFC 4787, requirement by requirement.

use std::time::Duration;

use super::said::{Said, is_at_least, is_timer};
use super::{Held, Ruling};
use crate::nat::certify::facts::{Collision, Fact, Facts, Steadiness, Udp};
use crate::nat::{Allocation, Filtering, Hairpin, Mapping, Pooling};

/// REQ-5.
const TWO_MINUTES: Duration = Duration::from_secs(120);

pub(super) fn rule(number: u8, said: &Said<'_>, facts: &Facts) -> Ruling {
    let Some(udp) = &facts.udp else { return Ruling::not_applicable(said.without_udp()) };
    match number {
        5 => Ruling::of(&udp.reported, |&left| Held {
            meets: is_at_least(left, TWO_MINUTES),
            as_said: is_timer(left, said.udp_timer()),
            found: format!("{} s", left.as_secs_f64().round()),
        }),
        6 => Ruling::of(&udp.lifetime, |seen| {
            let found = if seen.outbound_refresh { "refreshed" } else { "not refreshed" };
            Held::as_said(seen.outbound_refresh, found.to_owned())
        }),
        8 => Ruling::of(&udp.filtering, |&seen| filtering(said, seen)),
        10 => Ruling::of(&udp.payload_is_left_alone, |&left| payload(left)),
        11 => steady(said, udp),
        12 => icmp_ends_nothing(facts),
        13 => Ruling::not_tested("every link of the lab carries packets of the same size"),
        14 => Ruling::of(&udp.fragments, |seen| {
            let found = format!("in order {}, out of order {}", pass(seen.in_order), pass(seen.out_of_order));
            Held::as_said(seen.in_order && seen.out_of_order, found)
        }),
        _ if said.mapping().is_none() && matches!(udp.mapping, Fact::Is(None)) => {
            Ruling::not_applicable("nothing is translated")
        }
        1 => Ruling::of(&udp.mapping, |&seen| mapping(said, seen)),
        2 => pooling(said, udp),
        3 => Ruling::of(&udp.collision, |seen| overloading(said, seen)),
        4 => Ruling::of(&udp.parity, |&kept| Held {
            meets: kept,
            as_said: kept || said.0.allocation != Allocation::Preserve,
            found: if kept { "preserved" } else { "not preserved" }.to_owned(),
        }),
        7 => Ruling::of(&udp.overlap, |&reached| {
            Held::as_said(reached, if reached { "reached" } else { "not reached" }.to_owned())
        }),
        _ => Ruling::of(&udp.hairpin, |&seen| hairpin(said, seen)),
    }
}

fn pooling(said: &Said<'_>, udp: &Udp) -> Ruling {
    match (said.0.addresses, &udp.pooling) {
        (1, Fact::NotTested(why)) => Ruling::not_applicable(why),
        (_, Fact::NotTested(why)) => Held::as_said(false, (*why).to_owned()).into(),
        (1, Fact::Is(_)) => Held::as_said(false, "it has several outside addresses".to_owned()).into(),
        (_, pooling) => Ruling::of(pooling, |&seen| Held {
            meets: seen == Pooling::Paired,
            as_said: seen == said.0.pooling,
            found: if seen == Pooling::Paired { "paired" } else { "arbitrary" }.to_owned(),
        }),
    }
}

pub(super) fn mapping(said: &Said<'_>, seen: Option<Mapping>) -> Held {
    Held {
        meets: seen == Some(Mapping::EndpointIndependent),
        as_said: seen == said.mapping(),
        found: seen.map_or("no translation".to_owned(), |seen| seen.to_string()),
    }
}

pub(super) fn filtering(said: &Said<'_>, seen: Filtering) -> Held {
    Held {
        meets: seen != Filtering::AddressAndPortDependent,
        as_said: seen == said.filtering(),
        found: seen.to_string(),
    }
}

pub(super) fn overloading(said: &Said<'_>, seen: &Collision) -> Held {
    let found = match (seen.shared_towards_one, seen.shared_towards_two, seen.each_reached) {
        (true, ..) => "two hosts share a port towards one destination",
        (_, true, _) => "two hosts share a port towards different destinations",
        (.., false) => "a host with another's source port is not reached",
        _ => "never shared",
    };
    Held {
        meets: !seen.shared_towards_one && !seen.shared_towards_two && seen.each_reached,
        as_said: !seen.shared_towards_one && seen.shared_towards_two == said.is_linux() && seen.each_reached,
        found: found.to_owned(),
    }
}

pub(super) fn hairpin(said: &Said<'_>, seen: Hairpin) -> Held {
    let found = match seen {
        Hairpin::Off => "no hairpin",
        Hairpin::External => "from the outside address",
        Hairpin::Internal => "from the inside address",
    };
    Held { meets: seen == Hairpin::External, as_said: seen == said.hairpin(), found: found.to_owned() }
}

pub(super) fn payload(left_alone: bool) -> Held {
    let found = if left_alone { "addresses in a payload are left alone" } else { "a payload was rewritten" };
    Held::as_said(left_alone, found.to_owned())
}

/// REQ-11: what it is at the start it is at the end, also for whom somebody else's port was in the way.
fn steady(said: &Said<'_>, udp: &Udp) -> Ruling {
    let (Fact::Is(mapping), Fact::Is(filtering)) = (&udp.mapping, &udp.filtering) else {
        return Ruling::not_tested("what it is at the start is not known");
    };
    Ruling::of(&udp.steadiness, |seen| {
        let Steadiness { flows, lost, given_twice, moved, unreached, at_the_end } = *seen;
        let keeps = given_twice == 0 && moved == 0 && unreached == 0 && at_the_end == (*mapping, *filtering);
        let one_port_is_due = *mapping == Some(Mapping::EndpointIndependent);
        let has_one_port = match &udp.collision {
            Fact::Is(collision) => collision.second_has_one_port || !one_port_is_due,
            _ => !said.is_linux(),
        };
        let found = match (keeps, has_one_port) {
            _ if lost > 0 && !said.is_linux() => format!("of {flows} flows {lost} were lost"),
            (true, true) => format!("{flows} flows on two CPUs: nothing changed"),
            (true, false) => "a host whose port is taken loses its endpoint-independent mapping".to_owned(),
            (false, _) => format!(
                "of {flows} flows {given_twice} share a port, {moved} moved, {unreached} were not reached; at the end \
                 {}, {} filtering",
                at_the_end.0.map_or("no translation".to_owned(), |mapping| format!("{mapping} mapping")),
                at_the_end.1
            ),
        };
        // Linux drops one of two first packets that it translates at once to the same.
        let loses = lost > 0 && !said.is_linux();
        Held {
            meets: keeps && has_one_port && lost == 0,
            as_said: keeps && has_one_port != said.is_linux() && !loses,
            found,
        }
    })
}

fn icmp_ends_nothing(facts: &Facts) -> Ruling {
    let Some(icmp) = &facts.icmp else { return Ruling::not_tested("ICMP is looked at where UDP leaves") };
    Ruling::of(&icmp.from_outside, |outside| {
        let inside = match &icmp.from_inside {
            Fact::Is(inside) => inside.mapping_lives,
            _ => false,
        };
        let lives = outside.mapping_lives && inside;
        Held::as_said(lives, if lives { "it lives" } else { "it ended" }.to_owned())
    })
}

pub(super) fn pass(passes: bool) -> &'static str {
    if passes { "they pass" } else { "they do not" }
}
