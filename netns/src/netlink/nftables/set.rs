//! Sets and maps: what they are made as, and their elements as the kernel lists them.

use std::time::Duration;

use super::TABLE;
use crate::netlink::wire::{self, Writer};

/// A set or a map of the router's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    /// Bytes of a key, a multiple of 4.
    pub(crate) key: u32,
    /// Bytes of a value; `None` makes it a plain set.
    pub(crate) value: Option<u32>,
    /// How long an element lives where nothing else is said; `None`: for ever.
    pub(crate) lifetime: Option<Duration>,
    /// What is in it from the start. Rules add nothing to a set that has such elements.
    pub(crate) constant: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An element of a set, as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// How long it still lives without a refresh.
    pub(crate) expires_in: Duration,
    /// What was counted in it.
    pub(crate) packets: u64,
}

impl Element {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let data = |kind| {
            wire::attribute(bytes, kind).and_then(|nested| wire::attribute(nested, 1)).map(<[u8]>::to_vec)
        };
        let left = wire::attribute(bytes, 5).and_then(wire::be64).map(Duration::from_millis);
        let counter = wire::attribute(bytes, 7).and_then(|expr| wire::attribute(expr, 2));
        let packets = counter.and_then(|counter| wire::attribute(counter, 2)).and_then(wire::be64);
        Some(Element {
            packets: packets.unwrap_or_default(),
            key: data(1)?,
            value: data(2).unwrap_or_default(),
            expires_in: left.unwrap_or_default(),
        })
    }
}

impl Set {
    /// As many elements as one attribute holds with room to spare.
    const AT_ONCE: usize = 512;

    pub(super) fn encode(&self, w: &mut Writer<'_>, id: u32) {
        const CONSTANT: u32 = 0x02;
        const MAP: u32 = 0x08;
        const TIMEOUT: u32 = 0x10;
        const DYNAMIC: u32 = 0x20;
        let mut flags = if self.constant.is_empty() { DYNAMIC } else { CONSTANT };
        flags |= if self.lifetime.is_some() { TIMEOUT } else { 0 };
        flags |= if self.value.is_some() { MAP } else { 0 };
        w.text(1, TABLE).text(2, self.name).be32(3, flags).be32(4, 0).be32(5, self.key);
        if let Some(length) = self.value {
            w.be32(6, 0).be32(7, length);
        }
        // A set that grows has no size: it is also the hash hint, and makes installing ten times slower.
        if !self.constant.is_empty() {
            w.nest(9, |w| {
                w.be32(1, self.constant.len() as u32);
            });
        }
        w.be32(10, id);
        if let Some(lifetime) = self.lifetime {
            w.be64(11, lifetime.as_millis() as u64);
        }
    }

    /// The constant elements, in portions of one message each.
    pub(super) fn portions(&self) -> impl Iterator<Item = &[(Vec<u8>, Vec<u8>)]> {
        self.constant.chunks(Self::AT_ONCE)
    }

    pub(super) fn encode_elements(&self, portion: &[(Vec<u8>, Vec<u8>)], w: &mut Writer<'_>) {
        let data = |w: &mut Writer<'_>, kind, bytes: &[u8]| {
            w.nest(kind, |w| {
                w.bytes(1, bytes);
            });
        };
        w.text(1, TABLE).text(2, self.name).nest(3, |w| {
            for (key, value) in portion {
                w.nest(1, |w| {
                    data(w, 1, key);
                    if self.value.is_some() {
                        data(w, 2, value);
                    }
                });
            }
        });
    }
}
