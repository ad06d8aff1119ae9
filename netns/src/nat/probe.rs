//! Measures what a NAT is, from behind it, with an RFC 5780 server in front of it ([`stun`](super::stun)). A
//! negative is an event too: one of the router's drop counters. [`Found`] is the result, [`Declared`] what it is
//! compared with; [`ProbeError`] says why there is none; `wire` asks and listens.

mod connect;
mod declared;
mod error;
mod found;
mod hairpin;
mod measured;
mod ports;
mod wire;

pub use declared::Declared;
pub use error::ProbeError;
pub use found::{Found, Mismatch, Tcp};
pub use measured::{Measured, Observation};
pub use ports::Ports;

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::stun::message::{Answer, Change};
use super::{Filtering, Mapping};
use crate::lab::Drops;
use wire::{Question, Wire};

/// How long an answer may take before the probe gives up. Only failures ever take so long.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What to find out besides mapping and filtering.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// How outside ports are chosen, by six more flows.
    pub allocation: bool,
    /// What becomes of packets to the own outside address. Needs the right to listen to a link.
    pub hairpin: bool,
    /// Whether a connection to each of these servers, where somebody listens, is made or refused.
    pub tcp: Vec<SocketAddr>,
}

/// How many flows show how ports are chosen.
const FLOWS: usize = 6;

/// Measures what is between `from` and `server`, an RFC 5780 server's first address and port of the same family: one
/// router or several layers. Runs on the calling thread, which must be in the network namespace that has `from`; nothing else may use
/// the routers meanwhile, and they should be rebooted after it.
///
/// `drops` reads what all the routers together have dropped. Where there is no router that is nothing: then nothing
/// can be proven dropped, and nothing is.
pub fn measure<E>(
    from: impl Into<IpAddr>,
    server: impl Into<SocketAddr>,
    drops: &mut dyn FnMut() -> Result<Drops, E>,
    questions: &Questions,
) -> Result<Found, ProbeError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let (from, server) = (from.into(), server.into());
    let mut gate = || drops().map_err(|error| ProbeError::Counter(error.into()));
    let udp = measure_udp(from, server, &mut gate, questions)?;
    let connect = |&to| Ok(Tcp { to, connected: connect::ask(from, to, &mut gate)? });
    let tcp = questions.tcp.iter().map(connect).collect::<Result<_, _>>()?;
    Ok(Found { udp, tcp })
}

/// `None` where UDP does not leave.
fn measure_udp(
    from: IpAddr,
    server: SocketAddr,
    gate: &mut Gate<'_>,
    questions: &Questions,
) -> Result<Option<Measured>, ProbeError> {
    let mut mapper = Wire::open(from)?;
    let Some((observations, other)) = observe(&mut mapper, server, gate)? else { return Ok(None) };
    let mapping = classify(&observations)?;

    // Filtering is asked of a socket that has never sent to the places that the answers shall come from.
    let mut filterer = Wire::open(from)?;
    let mut trial = Trial { wire: &mut filterer, gate, server, other, seen: Vec::new() };
    let filtering = if trial.admits(Change { address: true, port: true })? {
        Filtering::EndpointIndependent
    } else if trial.admits(Change { address: false, port: true })? {
        Filtering::AddressDependent
    } else {
        Filtering::AddressAndPortDependent
    };
    let filter_mapped = trial.finish()?;

    let mapped = observations[0].mapped;
    let translated = mapped != mapper.local || filter_mapped != filterer.local;
    let ports = if questions.allocation { Some(open_flows(from, server, gate)?) } else { None };
    let hairpin = if questions.hairpin && translated {
        let mapper = hairpin::Mapped { wire: &mapper, outside: mapped };
        let filterer = hairpin::Mapped { wire: &filterer, outside: filter_mapped };
        hairpin::ask(&mapper, &filterer, mapping, filtering, gate)?
    } else {
        None
    };
    Ok(Some(Measured {
        mapping,
        filtering,
        mapped,
        translated,
        preserved: mapped.port() == mapper.local.port() && filter_mapped.port() == filterer.local.port(),
        ports,
        hairpin,
        local: mapper.local,
        observations,
    }))
}

/// One new flow after the other, each from a socket of its own.
fn open_flows(from: IpAddr, server: SocketAddr, gate: &mut Gate<'_>) -> Result<Ports, ProbeError> {
    let before = gate()?;
    let open = |_| {
        let mut wire = Wire::open(from)?;
        let answers = ask_all(&mut wire, &[server], before, gate)?;
        // Kept open until the last: a port that is free again could be given to the next socket.
        Ok((wire.local.port(), answers[0].1.mapped.port(), wire))
    };
    let flows: Vec<_> = (0..FLOWS).map(open).collect::<Result<_, _>>()?;
    Ok(Ports(flows.into_iter().map(|(inside, outside, _)| (inside, outside)).collect()))
}

type Gate<'a> = dyn FnMut() -> Result<Drops, ProbeError> + 'a;

/// Asks all four endpoints of the server what they see of one socket (RFC 5780 section 4.3). Returns that, and the
/// server's other endpoint; `None` where the first request was not let out.
fn observe(
    wire: &mut Wire,
    server: SocketAddr,
    gate: &mut Gate<'_>,
) -> Result<Option<(Vec<Observation>, SocketAddr)>, ProbeError> {
    let before = gate()?;
    let first = match ask_all(wire, &[server], before, gate) {
        Err(ProbeError::Refused { .. }) => return Ok(None),
        first => first?,
    };
    let other = match first[0].1.other {
        Some(other) if other.ip() != server.ip() && other.port() != server.port() => other,
        other => return Err(ProbeError::NotDiscovery { server, other }),
    };
    let rest =
        [SocketAddr::new(other.ip(), server.port()), other, SocketAddr::new(server.ip(), other.port())];
    let rest = ask_all(wire, &rest, before, gate)?;
    let seen = first.into_iter().chain(rest);
    let observations =
        seen.map(|(destination, answer)| Observation { destination, mapped: answer.mapped }).collect();
    Ok(Some((observations, other)))
}

/// One plain request to each destination, and all their answers in the same order.
fn ask_all(
    wire: &mut Wire,
    destinations: &[SocketAddr],
    before: Drops,
    gate: &mut Gate<'_>,
) -> Result<Vec<(SocketAddr, Answer)>, ProbeError> {
    let deadline = Instant::now() + PATIENCE;
    let asked: Vec<Question> =
        destinations.iter().map(|&to| wire.ask(to, to, None)).collect::<Result<_, _>>()?;
    let mut answers: Vec<Option<Answer>> = vec![None; asked.len()];
    while let Some(missing) = answers.iter().position(Option::is_none) {
        let Some((question, answer)) = wire.next(deadline.min(Instant::now() + RECOUNT))? else {
            let (destination, now) = (destinations[missing], gate()?);
            if now.refused > before.refused {
                return Err(ProbeError::Refused { destination });
            }
            if Instant::now() >= deadline {
                return Err(ProbeError::NoAnswer {
                    destination,
                    drops: now.all().saturating_sub(before.all()),
                });
            }
            continue;
        };
        if let Some(at) = asked.iter().position(|asked| *asked == question) {
            answers[at] = Some(answer);
        }
    }
    Ok(destinations.iter().copied().zip(answers.into_iter().flatten()).collect())
}

/// RFC 5780 section 4.3, but strict: what is none of the three pure patterns is an error, not the nearest of them.
/// Expects the destinations in the order of `observe`: around the square of addresses and ports.
fn classify(observations: &[Observation]) -> Result<Mapping, ProbeError> {
    let mapped: Vec<SocketAddr> = observations.iter().map(|seen| seen.mapped).collect();
    Mapping::of_square(&mapped)
        .ok_or_else(|| ProbeError::Inconsistent { observations: observations.to_vec() })
}

/// The filtering tests of RFC 5780 section 4.4, on one socket that only ever sends to `server`.
struct Trial<'a, 'g> {
    wire: &'a mut Wire,
    gate: &'a mut Gate<'g>,
    server: SocketAddr,
    other: SocketAddr,
    seen: Vec<Observation>,
}

impl Trial<'_, '_> {
    /// Whether the answer from elsewhere comes in. The plain request after the changed one goes into the same queue
    /// of a server that works in order: when it is answered, the changed answer has been sent, and must have come in
    /// or have been counted.
    fn admits(&mut self, change: Change) -> Result<bool, ProbeError> {
        let elsewhere = SocketAddr::new(
            if change.address { self.other.ip() } else { self.server.ip() },
            if change.port { self.other.port() } else { self.server.port() },
        );
        let before = (self.gate)()?.filtered;
        let deadline = Instant::now() + PATIENCE;
        let changed = self.wire.ask(self.server, elsewhere, Some(change))?;
        let plain = self.wire.ask(self.server, self.server, None)?;

        let (mut admitted, mut confirmed) = (false, false);
        while !confirmed {
            let Some(question) = self.next(deadline, &[changed, plain])? else {
                let drops = (self.gate)()?.filtered.saturating_sub(before);
                return Err(ProbeError::NoAnswer { destination: self.server, drops });
            };
            admitted |= question == changed;
            confirmed |= question == plain;
        }
        while !admitted {
            // Read only now: a packet that was dropped went ahead of the one that confirms.
            match (self.gate)()?.filtered.saturating_sub(before) {
                1 => return Ok(false),
                0 if Instant::now() < deadline => {}
                drops => return Err(ProbeError::Unproven { elsewhere, drops }),
            }
            // Neither in nor counted: it was overtaken on its way, or nobody counts.
            admitted = self.next(deadline.min(Instant::now() + RECOUNT), &[changed])?.is_some();
        }
        Ok(true)
    }

    /// The outside address of the socket. Nothing that was counted as dropped may have come in since, and all the
    /// requests must have had one mapping, because they are one flow.
    fn finish(mut self) -> Result<SocketAddr, ProbeError> {
        self.next(Instant::now(), &[])?;
        match self.seen.as_slice() {
            [first, rest @ ..] if rest.iter().all(|seen| seen == first) => Ok(first.mapped),
            seen => Err(ProbeError::Inconsistent { observations: seen.to_vec() }),
        }
    }

    fn next(&mut self, deadline: Instant, expected: &[Question]) -> Result<Option<Question>, ProbeError> {
        let Some((question, answer)) = self.wire.next(deadline)? else { return Ok(None) };
        if !expected.contains(&question) {
            return Err(ProbeError::Contradicted { elsewhere: question.answered_by });
        }
        self.seen.push(Observation { destination: question.destination, mapped: answer.mapped });
        Ok(Some(question))
    }
}

/// How often the counter is read again while a changed answer is neither in nor counted.
const RECOUNT: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// One letter for each of near, far, far with the other port, near with the other port.
    #[rstest]
    #[case::never_another("aaaa", Some(Mapping::EndpointIndependent))]
    #[case::one_an_address("abba", Some(Mapping::AddressDependent))]
    #[case::one_an_endpoint("abcd", Some(Mapping::AddressAndPortDependent))]
    #[case::one_a_port("aabb", None)]
    #[case::crosswise("abab", None)]
    #[case::the_far_address_splits_by_port("abca", None)]
    #[case::a_port_shared_by_two_of_four("abcb", None)]
    #[case::one_stray("aaab", None)]
    fn only_the_pure_patterns_are_mappings(#[case] seen: &str, #[case] mapping: Option<Mapping>) {
        let observations: Vec<_> = seen
            .bytes()
            .map(|port| SocketAddr::new([198, 18, 0, 2].into(), port.into()))
            .map(|mapped| Observation { destination: SocketAddr::new([203, 0, 113, 1].into(), 3478), mapped })
            .collect();
        assert_eq!(classify(&observations).ok(), mapping);
    }
}
