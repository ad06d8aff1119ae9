//! What becomes of a packet to the own outside address: two sockets of the probe knock at each other's mapping.

use std::net::SocketAddrV4;
use std::time::Instant;

use super::wire::Wire;
use super::{Gate, PATIENCE, ProbeError, RECOUNT};
use crate::nat::{Filtering, Hairpin, Mapping};

/// One socket and what a server saw of it.
pub(super) struct Mapped<'a> {
    pub(super) wire: &'a Wire,
    pub(super) outside: SocketAddrV4,
}

/// `None` where no packet could show it: both the mapping and the filter depend on the destination, so that a hairpin
/// leaves by a port that nobody knows and that no filter has been opened for.
pub(super) fn ask(
    first: &Mapped<'_>,
    second: &Mapped<'_>,
    mapping: Mapping,
    filtering: Filtering,
    gate: &mut Gate<'_>,
) -> Result<Option<Hairpin>, ProbeError> {
    let is_stable = mapping == Mapping::EndpointIndependent;
    if filtering == Filtering::EndpointIndependent {
        return knock(first, second, is_stable, gate).map(Some);
    }
    if !is_stable {
        return Ok(None);
    }
    // The first knock opens the filter for the second, and is dropped itself.
    knock(first, second, is_stable, gate)?;
    knock(second, first, is_stable, gate).map(Some)
}

/// One packet, which arrives or is counted as dropped.
fn knock(
    from: &Mapped<'_>,
    to: &Mapped<'_>,
    is_stable: bool,
    gate: &mut Gate<'_>,
) -> Result<Hairpin, ProbeError> {
    let before = gate()?.filtered;
    let mark = from.wire.knock(to.outside)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = to.wire.hear(&mark, deadline.min(Instant::now() + RECOUNT))? {
            return match seen {
                _ if seen == from.outside => Ok(Hairpin::External),
                _ if seen.ip() == from.outside.ip() && !is_stable => Ok(Hairpin::External),
                _ if seen.ip() != from.outside.ip() => Ok(Hairpin::Internal),
                _ => Err(ProbeError::WrongSource {
                    answered_by: from.outside,
                    seen: seen.into(),
                    origin: None,
                }),
            };
        }
        match gate()?.filtered.saturating_sub(before) {
            1 => return Ok(Hairpin::Off),
            0 if Instant::now() < deadline => {}
            drops => return Err(ProbeError::Unproven { elsewhere: from.outside, drops }),
        }
    }
}
