//! `steps`: what happens to routers in the middle of a case, and whether it can.

use std::time::Duration;

use netns::nat::{Egress, Path, Preset, predict};

use super::PlacedTransfer;
use super::roster::{Named, Roster};
use super::walk::{Field, Fields, Walk};
use crate::scenario::error::Span;
use crate::scenario::file::{Node, Value};
use crate::scenario::layout::{routers_of, vantage};
use crate::scenario::{After, NatChoice, Pair, Step, StepVerb};

const VERBS: [&str; 2] = ["forget", "log-in"];
const KEYS: [&str; 3] = ["after", "forget", "log-in"];
const EXAMPLE: &str = "`steps: [{ after: connected, forget: alice }]`";
const AFTER_EXAMPLE: &str = "connected, a share of the transfer such as 50%, or a time such as 5s";
const TIME: [Duration; 2] = [Duration::ZERO, Duration::from_secs(600)];

/// A step, and where its `after` stands.
pub(super) struct PlacedStep {
    pub(super) step: Step,
    after_at: Span,
}

/// The steps, each right for itself.
pub(super) fn steps(
    walk: &mut Walk<'_>,
    field: Field<'_>,
    roster: &Roster,
    transfers: &[PlacedTransfer],
) -> Vec<PlacedStep> {
    let nodes = walk.list(field.node, "`steps`", EXAMPLE).unwrap_or_default();
    let steps: Vec<PlacedStep> =
        nodes.iter().filter_map(|node| step(walk, node, roster, transfers)).collect();
    for two in steps.windows(2) {
        in_order(walk, &two[0].step, &two[1]);
    }
    steps
}

fn step(
    walk: &mut Walk<'_>,
    node: &Node,
    roster: &Roster,
    transfers: &[PlacedTransfer],
) -> Option<PlacedStep> {
    let fields = walk.map(node, "a step", &KEYS, "`{ after: connected, forget: alice }`")?;
    let after = match fields.get("after") {
        Some(field) => after(walk, field.node, transfers).map(|after| (after, field.node.written)),
        None => {
            walk.problem(node.used, "a step needs `after`", format!("add {AFTER_EXAMPLE}"));
            None
        }
    };
    let verb = verb(walk, node, &fields, roster);
    let ((after, after_at), (verb, at)) = (after?, verb?);
    Some(PlacedStep { step: Step { after, verb, line: walk.line(at) }, after_at })
}

/// The one verb of a step, and where it stands.
fn verb(walk: &mut Walk<'_>, node: &Node, fields: &Fields<'_>, roster: &Roster) -> Option<(StepVerb, Span)> {
    let verbs: Vec<Field<'_>> =
        fields.entries.iter().copied().filter(|field| VERBS.contains(&field.key)).collect();
    let [one] = verbs.as_slice() else {
        if verbs.is_empty() && fields.entries.iter().any(|field| !KEYS.contains(&field.key)) {
            // An unknown verb is told as an unknown key.
            return None;
        }
        let message = match verbs.len() {
            0 => "a step does nothing".to_owned(),
            more => format!("a step does one thing, not {more}"),
        };
        let at = verbs.get(1).map_or(node.used, |field| field.key_span);
        walk.problem(at, message, format!("give it one of: {}", VERBS.join(", ")));
        return None;
    };
    let name = walk.text(one.node, &format!("`{}`", one.key), "the name of a network or a peer")?;
    let named = roster.router(walk, name, one.node.written)?;
    let verb = match one.key {
        "forget" => forget(walk, one.node, named)?,
        _ => log_in(walk, one.node, named)?,
    };
    Some((verb, one.key_span))
}

fn forget(
    walk: &mut Walk<'_>,
    node: &Node,
    Named { shown, node: router, choices }: Named,
) -> Option<StepVerb> {
    if choices.iter().any(|choice| choice.nat.is_none()) {
        let message = format!("`{shown}` has no router that could forget");
        walk.problem(node.written, message, "name a network, or a peer whose `nat` is never `open`");
        return None;
    }
    Some(StepVerb::Forget(router))
}

fn log_in(
    walk: &mut Walk<'_>,
    node: &Node,
    Named { shown, node: router, choices }: Named,
) -> Option<StepVerb> {
    if !choices.iter().any(is_portal) {
        let labels: Vec<&str> = choices.iter().map(|choice| choice.label.as_str()).collect();
        let message = format!("nobody can log in at `{shown}`: it is no captive portal");
        let help = format!("it is {}: only `{}` asks for a login", labels.join(", "), Preset::CaptivePortal);
        walk.problem(node.written, message, help);
        return None;
    }
    Some(StepVerb::LogIn(router))
}

fn is_portal(choice: &NatChoice) -> bool {
    choice.nat.is_some_and(|nat| nat.egress == Egress::Portal)
}

fn after(walk: &mut Walk<'_>, node: &Node, transfers: &[PlacedTransfer]) -> Option<After> {
    let text = match &node.value {
        Value::Text(text) => text.as_str(),
        // What has no unit is told so.
        Value::Whole(_) | Value::Number => "",
        _ => return walk.wrong_type(node, "`after`", "a moment", AFTER_EXAMPLE),
    };
    if text == "connected" {
        return Some(After::Connected);
    }
    let Some(number) = text.strip_suffix('%') else {
        return walk.duration_or(node, "`after`", &format!("write {AFTER_EXAMPLE}"), TIME).map(After::Time);
    };
    let share = number.parse::<u8>().ok().filter(|share| (1..=99).contains(share));
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    let Some(share) = share.filter(|_| is_plain) else {
        let help = "it is a whole number of percent between 1% and 99%";
        walk.problem(node.written, "`after` cannot be this share of the transfer", help);
        return None;
    };
    if transfers.is_empty() {
        let help = "add a `transfer`, or write `after: connected`";
        walk.problem(node.written, "nothing is sent of which this could be a share", help);
        return None;
    }
    Some(After::Share(share))
}

/// A step never happens before the one that stands before it, so it must not ask for that.
fn in_order(walk: &mut Walk<'_>, before: &Step, PlacedStep { step, after_at }: &PlacedStep) {
    let message = match (before.after, step.after) {
        (After::Share(first), After::Share(second)) if second < first => {
            format!("{second}% of the transfer comes before {first}%, for which the step before waits")
        }
        (After::Share(_), After::Connected) => {
            "everybody is connected before any share of a transfer, for which the step before waits"
                .to_owned()
        }
        _ => return,
    };
    walk.problem(*after_at, message, "steps happen in the order of the file: change the order");
}

/// Whether the steps can happen, and happen in time: a portal opens before anybody waits for those behind it, and
/// somebody is connected where a step waits for that.
pub(super) fn possible(walk: &mut Walk<'_>, roster: &Roster, pairs: &[Pair], steps: &[PlacedStep]) {
    if !walk.is_clean() {
        return;
    }
    let paired: Vec<&String> = pairs.iter().flat_map(|pair| [&pair.offerer, &pair.answerer]).collect();
    let mut told: Vec<String> = Vec::new();
    for layout in roster.layouts() {
        let behind = layout.peers.iter().filter(|peer| paired.contains(&&peer.name));
        for (peer, router) in behind
            .flat_map(|peer| routers_of(&layout.routers, peer).into_iter().map(move |router| (peer, router)))
        {
            if router.nat.egress == Egress::Portal && !told.contains(&router.name) {
                told.push(router.name.clone());
                opens_in_time(walk, roster, &peer.name, &router.shown, &router.name, steps);
            }
        }
    }
    let waits = steps.iter().find(|placed| !matches!(placed.step.after, After::Time(_)));
    if let Some(placed) = waits.filter(|_| walk.is_clean() && nobody_connects(roster, pairs, steps)) {
        let help = "write a time, such as `after: 5s`, or leave the step out";
        walk.problem(placed.after_at, "nobody is ever connected: no path is expected of any two peers", help);
    }
}

fn opens_in_time(
    walk: &mut Walk<'_>,
    roster: &Roster,
    peer: &str,
    shown: &str,
    router: &str,
    steps: &[PlacedStep],
) {
    let login = steps.iter().position(|placed| placed.step.verb == StepVerb::LogIn(router.to_owned()));
    let Some(login) = login else {
        let message = format!("nobody logs in at the captive portal of `{shown}`");
        let help = format!(
            "`{peer}` reaches not even the signaling server before: add `steps: [{{ after: 1s, log-in: {shown} }}]`"
        );
        walk.problem(roster.place(shown), message, help);
        return;
    };
    let waits = steps[..=login].iter().find(|placed| !matches!(placed.step.after, After::Time(_)));
    if let Some(waits) = waits {
        let message = format!("this waits for `{peer}`, which is behind a portal that is still closed");
        let help = format!("let `log-in: {shown}` come first, after a time such as `1s`");
        walk.problem(waits.after_at, message, help);
    }
}

fn nobody_connects(roster: &Roster, pairs: &[Pair], steps: &[PlacedStep]) -> bool {
    let steps: Vec<Step> = steps.iter().map(|placed| placed.step.clone()).collect();
    roster.layouts().all(|layout| {
        let here = layout.steps(&steps);
        pairs.iter().all(|pair| {
            let [Some(first), Some(second)] = [&pair.offerer, &pair.answerer].map(|name| layout.peer(name))
            else {
                return true;
            };
            let stands = |peer| vantage(&layout.routers, &here, peer);
            let path = pair.wanted.path.unwrap_or_else(|| predict(&stands(first), &stands(second)).path);
            path == Path::None
        })
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use rstest::rstest;

    use super::*;
    use crate::scenario::cases;
    use crate::scenario::check::check;
    use crate::scenario::file::ScenarioFile;

    #[rstest]
    #[case("connected", After::Connected)]
    #[case("1%", After::Share(1))]
    #[case("99%", After::Share(99))]
    #[case("0s", After::Time(Duration::ZERO))]
    #[case("250 ms", After::Time(Duration::from_millis(250)))]
    fn a_step_waits_for_what_it_says(#[case] written: &str, #[case] after: After) {
        let [(found, step)] =
            &steps_of("full-cone", "open", &format!("{{ after: {written}, forget: alice }}"))[..]
        else {
            panic!("one step")
        };
        assert_eq!((found, step), (&after, &StepVerb::Forget("alice.router".to_owned())));
    }

    #[test]
    fn where_nobody_connects_the_steps_that_wait_for_it_never_come_and_those_before_do() {
        let steps =
            "{ after: 1s, forget: alice }, { after: connected, forget: alice }, { after: 1s, forget: alice }";
        let afters = |bob: &str| -> Vec<After> {
            steps_of("symmetric", bob, steps).into_iter().map(|(after, _)| after).collect()
        };
        let second = After::Time(Duration::from_secs(1));
        assert_eq!(afters("full-cone, symmetric"), [second, After::Connected, second]);
        assert_eq!(afters("symmetric, full-cone"), [second]);
    }

    /// Those of the first case where alice stands behind this NAT and bob behind each of these.
    fn steps_of(alice: &str, bob: &str, steps: &str) -> Vec<(After, StepVerb)> {
        let text = format!(
            "name: some\npeers: {{ alice: {{ nat: {alice} }} }}\nmatrix: {{ bob.nat: [{bob}] }}\n\
             transfer: {{ from: alice, to: bob, size: 1 MiB }}\nsteps: [{steps}]\n"
        );
        let file = ScenarioFile::parse(Path::new("some.yaml"), text.into()).unwrap();
        let scenario = check(&file, false).unwrap();
        let case = cases(&Arc::new(scenario), 1, None).remove(0);
        case.steps.into_iter().map(|step| (step.after, step.verb)).collect()
    }
}
