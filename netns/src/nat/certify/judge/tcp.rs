//! RFC 5382, requirement by requirement.

use super::said::{ESTABLISHED, Said, TRANSITORY, is_at_least, is_timer};
use super::{Held, Ruling, udp};
use crate::nat::Egress;
use crate::nat::certify::facts::{Fact, Facts, Tcp};

pub(super) fn rule(number: u8, said: &Said<'_>, facts: &Facts) -> Ruling {
    let Some(tcp) = &facts.tcp else { return Ruling::not_applicable("no TCP leaves") };
    match number {
        2 => Ruling::of(&tcp.simultaneous_open, |&opened| {
            let found = if opened { "a simultaneous open works" } else { "a simultaneous open fails" };
            Held::as_said(opened, found.to_owned())
        }),
        3 => Ruling::of(&tcp.filtering, |&seen| udp::filtering(said, seen)),
        4 => Ruling::of(&tcp.syn_is_answered, |&answered| Held {
            meets: !answered,
            as_said: answered == said.tells_refusals(),
            found: if answered { "answered" } else { "dropped in silence" }.to_owned(),
        }),
        5 => timers(said, tcp),
        6 => Ruling::of(&tcp.payload_is_left_alone, |&left| udp::payload(left)),
        9 => Ruling::of(&tcp.errors, |seen| {
            let found = if seen.translated { "translated" } else { "not translated" };
            Held::as_said(seen.translated, found.to_owned())
        }),
        10 => Ruling::of(&tcp.errors, |seen| {
            Held::as_said(
                seen.mapping_lives,
                if seen.mapping_lives { "it lives" } else { "it ended" }.to_owned(),
            )
        }),
        _ if said.mapping().is_none() && matches!(tcp.mapping, Fact::Is(None)) => {
            Ruling::not_applicable("nothing is translated")
        }
        1 => Ruling::of(&tcp.mapping, |&seen| udp::mapping(said, seen)),
        7 => Ruling::of(&tcp.collision, |seen| udp::overloading(said, seen)),
        _ if said.0.egress == Egress::HttpsOnly => {
            Ruling::not_applicable("no neighbour's port is one that it lets pass")
        }
        _ => Ruling::of(&tcp.hairpin, |&seen| udp::hairpin(said, seen)),
    }
}

fn timers(said: &Said<'_>, tcp: &Tcp) -> Ruling {
    Ruling::of(&tcp.established, |&established| {
        let transitory = match &tcp.transitory {
            Fact::Is(transitory) => *transitory,
            _ => std::time::Duration::ZERO,
        };
        Held {
            meets: is_at_least(established, ESTABLISHED) && is_at_least(transitory, TRANSITORY),
            as_said: is_timer(established, said.established()) && is_timer(transitory, said.transitory()),
            found: format!(
                "established {} s, transitory {} s",
                established.as_secs_f64().round(),
                transitory.as_secs_f64().round()
            ),
        }
    })
}
