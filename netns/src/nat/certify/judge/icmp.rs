//! RFC 5508, requirement by requirement.

use super::said::{QUERY, Said, is_at_least, is_timer};
use super::{Held, Ruling};
use crate::nat::certify::facts::{Fact, Facts};
use crate::nat::{Hairpin, Mapping};

pub(super) fn rule(number: u8, said: &Said<'_>, facts: &Facts) -> Ruling {
    match number {
        9 => return Ruling::not_applicable("it allows a policy, and asks for nothing"),
        10 => return Ruling::not_tested("what a router says of itself is the kernel's, not the NAT's"),
        11 => return Ruling::not_applicable("it allows both"),
        _ => {}
    }
    let Some(icmp) = &facts.icmp else { return Ruling::not_tested("ICMP is looked at where UDP leaves") };
    let comes_in =
        |came: bool, what: &str| format!("{what} {}", if came { "comes in" } else { "is dropped" });
    match number {
        1 => Ruling::of(&icmp.queries, |&answered| {
            let found = if answered { "each host has its own replies" } else { "a host has no reply" };
            Held::as_said(answered, found.to_owned())
        }),
        2 => Ruling::of(&icmp.reported, |&left| Held {
            meets: is_at_least(left, QUERY),
            as_said: is_timer(left, said.query()),
            found: format!("{} s", left.as_secs_f64().round()),
        }),
        3 => Ruling::of(&icmp.bad_checksum_comes_in, |&came| Held {
            meets: !came,
            // No declaration speaks of it.
            as_said: true,
            found: comes_in(came, "such an error"),
        }),
        4 => Ruling::of(&icmp.from_outside, |seen| {
            let unfounded = matches!(icmp.unfounded_comes_in, Fact::Is(false));
            let translated = if seen.translated { "translated" } else { "not translated" };
            let found = format!("{translated}; {}", comes_in(!unfounded, "one about nothing"));
            Held::as_said(seen.translated && unfounded, found)
        }),
        5 => Ruling::of(&icmp.from_inside, |seen| {
            let found = if seen.translated { "translated" } else { "not translated" };
            Held::as_said(seen.translated, found.to_owned())
        }),
        6 => Ruling::of(&icmp.from_outside, |seen| {
            let refreshed = seen.refreshed == Some(true);
            let found = match (refreshed, seen.mapping_lives) {
                (true, _) => "an error refreshes the mapping",
                (_, false) => "an error ends the mapping",
                _ => "neither",
            };
            Held::as_said(!refreshed && seen.mapping_lives, found.to_owned())
        }),
        7 if said.mapping().is_none() => Ruling::not_applicable("nothing is translated"),
        7 if said.hairpin() == Hairpin::Off => Ruling::not_applicable("it has no hairpin"),
        7 if said.mapping() != Some(Mapping::EndpointIndependent) => {
            Ruling::not_tested("neighbours behind such a router do not know each other's ports")
        }
        7 => Ruling::of(&icmp.hairpinned, |&turned| {
            let found = if turned { "a neighbour's error comes back" } else { "it does not come back" };
            Held { meets: turned, as_said: true, found: found.to_owned() }
        }),
        _ => out_of_ports(said, facts),
    }
}

/// A SHOULD that no declaration speaks of.
fn out_of_ports(said: &Said<'_>, facts: &Facts) -> Ruling {
    let Some(udp) = &facts.udp else { return Ruling::not_applicable(said.without_udp()) };
    Ruling::of(&udp.exhaustion, |seen| Held {
        meets: seen.told,
        as_said: true,
        found: if seen.told { "the sender is told" } else { "the sender is not told" }.to_owned(),
    })
}
