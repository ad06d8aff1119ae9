//! The journal of a case: every event is written to `events.jsonl` and added to what was observed, as it comes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use netns::lab::{Drops, Lab};
use netns::nat::table::MappingTable;
use nix::time::{ClockId, clock_gettime};

use super::event::{Happening, LabEvent, Recorded};
use super::expect;
use super::observed::{Observed, PeerSeen};
use crate::peer::control::event::Event;
use crate::scenario::{Case, Session};

/// The events of one case.
#[derive(Debug)]
pub(super) struct Journal {
    began_us: u64,
    file: io::Result<BufWriter<File>>,
    /// What the events so far show.
    pub(super) seen: Observed,
    /// How many peers' programs have ended.
    pub(super) ended: usize,
}

impl Journal {
    /// Begins the journal of a case with these peers; a folder that cannot be written is told by [`Journal::finish`].
    pub(super) fn new<'a>(folder: &Path, peers: impl IntoIterator<Item = &'a str>) -> Self {
        let file = File::create(folder.join("events.jsonl")).map(BufWriter::new);
        Journal { began_us: now_us(), file, seen: Observed::of(peers), ended: 0 }
    }

    /// Notes what the harness did or saw.
    pub(super) fn lab(&mut self, node: &str, event: LabEvent) {
        self.ended += usize::from(matches!(event, LabEvent::Ended { .. }));
        self.note(node, now_us(), Happening::Lab(event));
    }

    /// Notes what a peer reported, at its own time: all processes of a machine share the clock.
    pub(super) fn peer(&mut self, node: &str, at_us: u64, event: Event) {
        self.note(node, at_us, Happening::Peer(event));
    }

    fn note(&mut self, node: &str, at_us: u64, what: Happening) {
        let event = Recorded { at_us: at_us.saturating_sub(self.began_us), node: node.to_owned(), what };
        self.seen.add(&event);
        let written = match &mut self.file {
            Ok(file) => serde_json::to_writer(&mut *file, &event)
                .map_err(io::Error::from)
                .and_then(|()| file.write_all(b"\n")),
            Err(_) => return,
        };
        if let Err(error) = written {
            self.file = Err(error);
        }
    }

    /// Tells whether every event is in the file.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match &mut self.file {
            Ok(file) => file.flush(),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

/// Microseconds of CLOCK_MONOTONIC.
fn now_us() -> u64 {
    // It cannot fail for this clock; a zero would show in every time of the report.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1_000)
}

/// Whether nothing more can happen that a verdict needs.
pub(super) fn is_settled(case: &Case, seen: &Observed) -> bool {
    case.sessions.iter().all(|session| {
        let ends = [(&session.offerer, &session.answerer), (&session.answerer, &session.offerer)];
        let dead = |peer: &String| seen.peers.get(peer).is_some_and(|peer| peer.died.is_some());
        dead(&session.offerer)
            || dead(&session.answerer)
            || ends.iter().all(|(peer, partner)| has_ended(case, seen, session, peer, partner))
    })
}

fn has_ended(case: &Case, seen: &Observed, session: &Session, peer: &str, partner: &str) -> bool {
    let Some(own) = seen.peers.get(peer) else { return true };
    let failed = |own: &PeerSeen| {
        own.errors.iter().any(|failure| failure.partner.as_deref().is_none_or(|of| of == partner))
    };
    let Some(end) = own.sessions.get(partner) else { return failed(own) };
    let whole = || {
        end.open_us.is_some()
            && end.selected.is_some()
            && expect::transfers(case, session).all(|transfer| {
                seen.transfers
                    .get(&(transfer.index as u32))
                    .is_some_and(|seen| seen.received.is_some() && seen.acknowledged)
            })
    };
    end.ice_failed() || failed(own) || whole()
}

/// What the nodes of a case have to tell at its end.
pub(super) struct Inspected {
    /// Each router's mapping table and what it has dropped.
    pub(super) routers: Vec<(String, MappingTable, Drops)>,
    /// The datagrams that each peer lost to a full receive buffer.
    pub(super) lost: Vec<u64>,
}

/// Asks them.
pub(super) fn inspect(lab: &Lab, case: &Case) -> Result<Inspected, netns::Error> {
    let routers = case.routers.iter().filter_map(|router| {
        let found = lab.router(&router.name)?;
        let told = found.mappings().and_then(|table| Ok((router.name.clone(), table, found.drops()?)));
        Some(told)
    });
    let lost = case.peers.iter().map(|peer| match lab.node(&peer.name) {
        Some(node) => node.within(receive_buffer_errors),
        None => Ok(0),
    });
    Ok(Inspected { routers: routers.collect::<Result<_, _>>()?, lost: lost.collect::<Result<_, _>>()? })
}

/// `RcvbufErrors` of the calling thread's namespace.
fn receive_buffer_errors() -> u64 {
    let snmp = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap_or_default();
    let mut udp = snmp.lines().filter(|line| line.starts_with("Udp:")).map(str::split_whitespace);
    let (Some(names), Some(values)) = (udp.next(), udp.next()) else { return 0 };
    let found = names.zip(values).find(|(name, _)| *name == "RcvbufErrors");
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}
