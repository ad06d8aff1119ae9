//! What the declaration says, axis by axis, where no RFC asks for it or where several values are right.

use super::said::{Said, is_timer};
use super::{Held, Ruling, udp};
use crate::nat::Egress;
use crate::nat::certify::facts::{self, Fact, Facts};

pub(super) fn rule(number: u8, said: &Said<'_>, facts: &Facts) -> Ruling {
    if number == 9 {
        return Ruling::of(&facts.egress, |seen| egress(said, seen));
    }
    if number == 12 {
        return ipv6(said, facts);
    }
    let Some(udp) = &facts.udp else { return Ruling::not_applicable(said.without_udp()) };
    match number {
        1 => Ruling::of(&udp.mapping, |seen| {
            let found = if seen.is_some() { "translated" } else { "not translated" };
            Held::as_said(seen.is_some() == said.mapping().is_some(), found.to_owned())
        }),
        3 => only_as_said(Ruling::of(&udp.filtering, |&seen| udp::filtering(said, seen))),
        5 => lifetime(said, udp),
        6 => Ruling::of(&udp.lifetime, |seen| {
            let found = if seen.inbound_refresh { "refreshed" } else { "not refreshed" };
            Held::as_said(seen.inbound_refresh == said.inbound_refresh(), found.to_owned())
        }),
        8 => Ruling::of(&udp.refusal_is_told, |&told| {
            let found = if told { "the sender is told" } else { "silent" };
            Held::as_said(told == said.tells_refusals(), found.to_owned())
        }),
        10 => Ruling::of(&udp.early_packet_costs, |&costs| {
            let found = if costs { "costs the port" } else { "costs nothing" };
            Held::as_said(costs == said.hears_input(), found.to_owned())
        }),
        11 => Ruling::of(&udp.reboot, |seen| {
            let found = match (seen.forgets && seen.is_empty, seen.new_ones_work) {
                (true, true) => "everything is forgotten, new ones work",
                (false, _) => "something is remembered",
                (_, false) => "new mappings do not work",
            };
            Held::as_said(seen.forgets && seen.is_empty && seen.new_ones_work, found.to_owned())
        }),
        _ if said.mapping().is_none() && matches!(udp.mapping, Fact::Is(None)) => {
            Ruling::not_applicable("nothing is translated")
        }
        2 => only_as_said(Ruling::of(&udp.mapping, |&seen| udp::mapping(said, seen))),
        4 => Ruling::of(&udp.ports, |seen| Held::as_said(seen.are(said.0.allocation), seen.in_short())),
        _ => only_as_said(Ruling::of(&udp.hairpin, |&seen| udp::hairpin(said, seen))),
    }
}

/// The declaration asks for nothing but itself.
fn only_as_said(ruling: Ruling) -> Ruling {
    use super::Verdict::{Conforms, ViolatesAsNamed};
    match ruling.verdict {
        ViolatesAsNamed => Ruling { verdict: Conforms, ..ruling },
        _ => ruling,
    }
}

fn lifetime(said: &Said<'_>, udp: &facts::Udp) -> Ruling {
    Ruling::of(&udp.lifetime, |seen| {
        let is_reported = matches!(&udp.reported, Fact::Is(left) if is_timer(*left, said.udp_timer()));
        let found = match (seen.ends, is_reported) {
            (true, true) => format!("{} s", said.udp_timer().as_secs_f64()),
            (true, false) => match &udp.reported {
                Fact::Is(left) => format!("{:.1} s", left.as_secs_f64()),
                _ => "not reported".to_owned(),
            },
            (false, _) => "the timer does not end the mapping".to_owned(),
        };
        Held::as_said(seen.ends && is_reported, found)
    })
}

fn ipv6(said: &Said<'_>, facts: &Facts) -> Ruling {
    match (said.0.family.has_v6(), &facts.ipv6) {
        (false, None) => Ruling::not_applicable("it has no IPv6"),
        (false, Some(_)) => Held::as_said(false, "it has IPv6".to_owned()).into(),
        (true, None) => Held::as_said(false, "it has no IPv6".to_owned()).into(),
        (true, Some(seen)) => Ruling::of(seen, |seen| {
            let translated = if seen.untranslated { "not translated" } else { "translated" };
            let opens = if seen.opens { "" } else { ", not for whom a host has sent to" };
            let found = format!("{translated}, {} filtering{opens}", seen.filtering);
            Held::as_said(seen.untranslated && seen.opens && seen.filtering == said.filtering_v6(), found)
        }),
    }
}

fn egress(said: &Said<'_>, seen: &facts::Egress) -> Held {
    let expected = match said.0.egress {
        Egress::Everything => (true, true, true),
        Egress::NoUdp => (false, true, true),
        Egress::HttpsOnly => (false, false, true),
        Egress::Portal => (false, false, false),
    };
    let is_portal = said.has_portal();
    let login =
        (seen.after_log_in, seen.reboot_logs_out) == (is_portal.then_some(true), is_portal.then_some(true));
    let mut leaves: Vec<&str> =
        [(seen.udp, "UDP"), (seen.tcp, "TCP"), (seen.https && !seen.tcp, "TCP to port 443")]
            .into_iter()
            .filter_map(|(leaves, what)| leaves.then_some(what))
            .collect();
    if leaves.is_empty() {
        leaves.push("nothing");
    }
    let after = match seen.after_log_in {
        Some(true) => ", everything after the login",
        Some(false) => ", not even after the login",
        None => "",
    };
    let found = format!("{}{after}", leaves.join(" and "));
    Held::as_said((seen.udp, seen.tcp, seen.https) == expected && login, found)
}
