//! The steps of a case: what happens to its routers while it runs, in order, each when its time has come.

use std::collections::BTreeMap;
use std::sync::Arc;

use netns::lab::Lab;
use netns::nat::Path;
use tokio::time::Instant;

use super::CaseRun;
use crate::peer::control::event::Event;
use crate::run::broken::{Broken, blocking};
use crate::run::event::LabEvent;
use crate::run::observed::Observed;
use crate::scenario::{After, Case, Step, StepVerb};

/// How far a case is with its steps.
#[derive(Debug)]
pub(super) struct Steps {
    next: usize,
    /// When the step before happened; before the first, when the case began.
    before: Option<Instant>,
    /// Bytes that have arrived, by transfer.
    arrived: BTreeMap<u32, u64>,
}

/// When the next step is due.
enum Due {
    Now,
    At(Instant),
    /// When something else has happened.
    Later,
}

impl Steps {
    pub(super) fn new() -> Steps {
        Steps { next: 0, before: None, arrived: BTreeMap::new() }
    }

    /// The case has begun: times count from here.
    pub(super) fn begin(&mut self) {
        self.before = Some(self.before.unwrap_or_else(Instant::now));
    }

    /// Takes in what a peer reported; only its receiver knows what has arrived of a file.
    pub(super) fn heard(&mut self, case: &Case, peer: &str, event: &Event) {
        let (Event::Progress { transfer, bytes } | Event::Received { transfer, bytes, .. }) = event else {
            return;
        };
        let is_its_receiver =
            |plan: &&crate::scenario::CaseTransfer| plan.index == *transfer as usize && plan.to == peer;
        if case.transfers.iter().any(|plan| is_its_receiver(&plan)) {
            self.arrived.insert(*transfer, *bytes);
        }
    }

    fn due(&self, case: &Case, seen: &Observed) -> Option<(usize, Step, Due)> {
        let step = case.steps.get(self.next)?.clone();
        let due = match step.after {
            After::Connected if is_connected(case, seen) => Due::Now,
            After::Share(percent) => {
                let all: u64 = case.transfers.iter().map(|transfer| transfer.size).sum();
                let arrived: u64 = self.arrived.values().sum();
                // In 128 bits nothing is too much.
                let has = u128::from(arrived) * 100 >= u128::from(all) * u128::from(percent) && arrived > 0;
                if has { Due::Now } else { Due::Later }
            }
            After::Time(after) => match self.before.map(|before| before + after) {
                Some(at) if at <= Instant::now() => Due::Now,
                Some(at) => Due::At(at),
                None => Due::Later,
            },
            After::Connected => Due::Later,
        };
        Some((self.next, step, due))
    }
}

/// Whether every two peers of whom a path is expected are connected, at both ends.
fn is_connected(case: &Case, seen: &Observed) -> bool {
    let is_open = |peer: &str, partner: &str| {
        seen.session(peer, partner).is_some_and(|session| session.open_us.is_some())
    };
    let mut meant = case.sessions.iter().filter(|session| session.expect.path != Path::None);
    meant.all(|session| {
        is_open(&session.offerer, &session.answerer) && is_open(&session.answerer, &session.offerer)
    })
}

impl CaseRun {
    /// Lets all steps happen that are due, and tells when the next one is, if that is a matter of time.
    pub(super) async fn take_steps(&mut self, lab: &Arc<Lab>) -> Result<Option<Instant>, Broken> {
        loop {
            match self.steps.due(&self.case, &self.journal.seen) {
                Some((index, step, Due::Now)) => self.take_step(lab, index, &step).await?,
                Some((_, _, Due::At(at))) => return Ok(Some(at)),
                Some((_, _, Due::Later)) | None => return Ok(None),
            }
        }
    }

    async fn take_step(&mut self, lab: &Arc<Lab>, index: usize, step: &Step) -> Result<(), Broken> {
        let (lab, verb) = (Arc::clone(lab), step.verb.clone());
        let lost = blocking(move || {
            let router = lab.router(verb.router()).ok_or_else(|| Broken::no_node(verb.router()))?;
            let lost = router.drops()?;
            match verb {
                StepVerb::Forget(_) => router.reboot().map(|()| Some(lost))?,
                StepVerb::LogIn(_) => router.log_in().map(|()| None)?,
            };
            Ok::<_, Broken>(matches!(verb, StepVerb::Forget(_)).then_some(lost))
        });
        let router = step.verb.router();
        // A reboot also forgets what was dropped so far; the case does not.
        if let Some(drops) = lost.await?? {
            self.forgotten.entry(router.to_owned()).or_default().push(drops);
        }
        let what = match step.verb {
            StepVerb::Forget(_) => "forget",
            StepVerb::LogIn(_) => "log-in",
        };
        self.journal.lab(router, LabEvent::Stepped { step: index, verb: what.to_owned() });
        self.steps.next = index + 1;
        self.steps.before = Some(Instant::now());
        Ok(())
    }
}
