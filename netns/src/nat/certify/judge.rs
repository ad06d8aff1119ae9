//! Judges what was measured: pure, by the RFCs and by the declaration. A requirement that does not hold is a violation
//! *as named* where the declaration says so, and a plain violation where the router is not what it is called.

mod declared;
mod icmp;
mod said;
mod tcp;
mod udp;

use std::fmt;

use super::facts::{Fact, Facts};
use super::requirement::{Requirement, Source};
use crate::nat::{Allocation, Nat};
use said::Said;

/// How a router stands to one requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds, as the declaration says.
    Conforms,
    /// It does not hold, and the declaration says so.
    ViolatesAsNamed,
    /// The router does not do what the declaration says, or nothing proves that it does.
    Violates,
    /// It asks nothing of such a router.
    NotApplicable(&'static str),
    /// The battery has no test of it.
    NotTested(&'static str),
}

/// One requirement, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What was asked.
    pub requirement: Requirement,
    /// How the router stands to it.
    pub verdict: Verdict,
    /// What was measured; empty where nothing was.
    pub found: String,
}

/// Every requirement, in the order of [`Source::ALL`].
pub fn judge(nat: &Nat, facts: &Facts) -> Vec<Judged> {
    let said = Said(nat);
    let mut judged = Vec::new();
    for source in Source::ALL {
        for requirement in Requirement::all_of(source) {
            let ruling = match source {
                Source::Rfc4787 => udp::rule(requirement.number, &said, facts),
                Source::Rfc5382 => tcp::rule(requirement.number, &said, facts),
                Source::Rfc5508 => icmp::rule(requirement.number, &said, facts),
                Source::Rfc6888 => carrier(requirement.number, &said, facts, &judged),
                Source::Declared => declared::rule(requirement.number, &said, facts),
            };
            judged.push(Judged { requirement, verdict: ruling.verdict, found: ruling.found });
        }
    }
    judged
}

/// RFC 6888, of those who give every subscriber a block of ports.
fn carrier(number: u8, said: &Said<'_>, facts: &Facts, before: &[Judged]) -> Ruling {
    let Allocation::Blocks { size, on_demand } = said.0.allocation else {
        return Ruling::not_applicable("no carrier-grade NAT: its subscribers have no blocks of ports");
    };
    let Some(udp) = &facts.udp else { return Ruling::not_applicable(said.without_udp()) };
    match number {
        1 => every_protocol(before),
        2 => udp::rule(2, said, facts),
        4 => Ruling::of(&udp.exhaustion, |seen| {
            Held::as_said(seen.ports <= usize::from(size) && seen.dropped, format!("{} ports", seen.ports))
        }),
        7 => Ruling::of(&udp.filtering, |&seen| {
            let meets = seen == crate::nat::Filtering::EndpointIndependent;
            Held { meets, as_said: seen == said.0.filtering, found: format!("{seen} filtering") }
        }),
        8 if !on_demand => Ruling::not_applicable("a port is of its subscriber's block for good"),
        8 => Ruling::not_tested("a block that was given on demand is not watched after its last mapping"),
        11 => Ruling::of(&udp.exhaustion, |seen| {
            let found = match (seen.dropped, seen.others_live) {
                (true, true) => "the flow after the last port is dropped, the others live",
                (true, false) => "a mapping ended for want of ports",
                (false, _) => "the flow after the last port was not dropped",
            };
            Held::as_said(seen.dropped && seen.others_live && !seen.shared, found.to_owned())
        }),
        _ => Ruling::of(&udp.ports, |seen| {
            let meets = !seen.are(Allocation::Preserve) && !seen.are(Allocation::Sequential);
            Held { meets, as_said: seen.are(said.0.allocation), found: seen.in_short() }
        }),
    }
}

/// REQ-1: as bad as the worst of the other RFCs' requirements.
fn every_protocol(before: &[Judged]) -> Ruling {
    let of = |verdict: Verdict| before.iter().filter(|judged| judged.verdict == verdict).count();
    let verdict = match (of(Verdict::Violates), of(Verdict::ViolatesAsNamed)) {
        (0, 0) => Verdict::Conforms,
        (0, _) => Verdict::ViolatesAsNamed,
        _ => Verdict::Violates,
    };
    let broken = before.iter().filter(|judged| judged.verdict.is_violation());
    let broken: Vec<String> = broken
        .map(|judged| format!("{} {}", judged.requirement.source.name(), judged.requirement.name()))
        .collect();
    let found = if broken.is_empty() { "all hold".to_owned() } else { format!("but {}", broken.join(", ")) };
    Ruling { verdict, found }
}

/// A verdict in the making.
struct Ruling {
    verdict: Verdict,
    found: String,
}

/// What a fact comes to.
struct Held {
    /// Whether the requirement holds.
    meets: bool,
    /// Whether the fact is what the declaration says.
    as_said: bool,
    found: String,
}

impl Held {
    /// Where the declaration cannot but promise it.
    fn as_said(holds: bool, found: String) -> Held {
        Held { meets: holds, as_said: holds, found }
    }
}

impl Ruling {
    fn of<T>(fact: &Fact<T>, rule: impl FnOnce(&T) -> Held) -> Ruling {
        match fact {
            Fact::Is(seen) => rule(seen).into(),
            Fact::Unproven(why) => Ruling { verdict: Verdict::Violates, found: why.clone() },
            Fact::NotTested(why) => Ruling::not_tested(why),
        }
    }

    fn not_applicable(why: &'static str) -> Ruling {
        Ruling { verdict: Verdict::NotApplicable(why), found: String::new() }
    }

    fn not_tested(why: &'static str) -> Ruling {
        Ruling { verdict: Verdict::NotTested(why), found: String::new() }
    }
}

impl From<Held> for Ruling {
    fn from(held: Held) -> Ruling {
        let verdict = match (held.as_said, held.meets) {
            (true, true) => Verdict::Conforms,
            (true, false) => Verdict::ViolatesAsNamed,
            (false, _) => Verdict::Violates,
        };
        Ruling { verdict, found: held.found }
    }
}

impl Verdict {
    /// Whether the requirement does not hold.
    pub fn is_violation(&self) -> bool {
        matches!(self, Verdict::Violates | Verdict::ViolatesAsNamed)
    }

    /// Why there is no verdict.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Verdict::NotApplicable(why) | Verdict::NotTested(why) => Some(why),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Verdict::Conforms => "conforms",
            Verdict::ViolatesAsNamed => "violates as named",
            Verdict::Violates => "violates",
            Verdict::NotApplicable(_) => "not applicable",
            Verdict::NotTested(_) => "not tested",
        })
    }
}

#[cfg(test)]
mod tests;
