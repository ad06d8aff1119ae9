//! The bytes of netlink: a batch of requests to write, the replies to read, attributes both ways.

/// The length of a netlink message header.
pub(crate) const HEADER: usize = 16;
const NLA_HEADER: usize = 4;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Requests that go out in one datagram; only the last asks for an acknowledgement, refusals come anyway.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where each request starts, and in words what it asks.
    requests: Vec<(usize, String)>,
    acknowledged: Option<usize>,
}

/// A finished batch.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    /// The sequence number whose acknowledgement ends the exchange.
    pub(crate) last: u32,
    requests: Vec<String>,
}

impl Sent {
    /// What the request of this sequence number asked, in words.
    pub(crate) fn what(&self, sequence: u32) -> &str {
        let index = sequence as usize;
        self.requests.get(index.wrapping_sub(1)).map_or("carry out a request", String::as_str)
    }
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends one request: `what` for people, `flags` beside REQUEST, the payload written by `write`.
    pub(crate) fn request(
        &mut self,
        what: impl Into<String>,
        kind: u16,
        flags: u16,
        write: impl FnOnce(&mut Writer<'_>),
    ) {
        let start = self.bytes.len();
        self.requests.push((start, what.into()));
        let sequence = self.requests.len() as u32;
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut Writer { bytes: &mut self.bytes });
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        pad(&mut self.bytes);
    }

    /// The request before this point is the one whose acknowledgement ends the exchange (else the last one is).
    pub(crate) fn acknowledge_here(&mut self) {
        self.acknowledged = self.requests.len().checked_sub(1);
    }

    /// Asks for the acknowledgement; `None` where there is nothing to send.
    pub(crate) fn finish(mut self) -> Option<Sent> {
        let last = self.acknowledged.or(self.requests.len().checked_sub(1))?;
        let flags = self.requests[last].0 + 6;
        let value = u16::from_ne_bytes([self.bytes[flags], self.bytes[flags + 1]]);
        // A dump ends with its own message and takes no acknowledgement.
        const NLM_F_DUMP: u16 = 0x300;
        if value & NLM_F_DUMP != NLM_F_DUMP {
            self.bytes[flags..flags + 2].copy_from_slice(&(value | NLM_F_ACK).to_ne_bytes());
        }
        let requests = self.requests.into_iter().map(|(_, what)| what).collect();
        Some(Sent { bytes: self.bytes, last: last as u32 + 1, requests })
    }
}

/// Writes the payload of one request.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Raw bytes: the fixed header of a family, or a message that another crate has encoded.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        pad(self.bytes);
        self
    }

    /// An attribute of plain bytes.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = (NLA_HEADER + value.len()) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value)
    }

    /// A string with its closing zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// A number in network byte order, as nf_tables wants them.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A long number in network byte order.
    pub(crate) fn be64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// An attribute made of attributes.
    pub(crate) fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        write(&mut Writer { bytes: self.bytes });
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// One message of an answer.
#[derive(Debug)]
pub(crate) enum Reply<'a> {
    /// An acknowledgement, or a refusal where `errno` is not 0.
    Acknowledged { sequence: u32, errno: i32 },
    /// The end of a dump.
    Done,
    /// A message of a dump.
    Message { kind: u16, payload: &'a [u8] },
}

/// The messages of one received datagram.
pub(crate) fn replies(mut datagram: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(datagram, 0)? as usize;
        let message = datagram.get(..length).filter(|message| message.len() >= HEADER)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        let payload = &message[HEADER..];
        Some(match kind {
            NLMSG_ERROR => {
                Reply::Acknowledged { sequence: u32_at(message, 8)?, errno: -(u32_at(payload, 0)? as i32) }
            }
            NLMSG_DONE => Reply::Done,
            _ => Reply::Message { kind, payload },
        })
    })
}

/// The attributes of a payload: type without its flags, and value.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]) as usize;
        let kind = u16::from_ne_bytes([*bytes.get(2)?, *bytes.get(3)?]) & NLA_TYPE_MASK;
        let value = bytes.get(NLA_HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of this type.
pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// A 64-bit number in network byte order.
pub(crate) fn be64(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.get(..8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut batch = Batch::new();
        batch.request("do a thing", 20, 0, |w| {
            w.text(1, "abc").nest(2, |w| {
                w.be64(3, 7);
            });
        });
        let sent = batch.finish().unwrap();
        assert_eq!((sent.last, sent.what(1)), (1, "do a thing"));
        let Some(Reply::Message { kind: 20, payload }) = replies(&sent.bytes).next() else { panic!() };
        assert_eq!(attribute(payload, 1), Some(&b"abc\0"[..]));
        assert_eq!(be64(attribute(attribute(payload, 2).unwrap(), 3).unwrap()), Some(7));
    }

    #[test]
    fn truncated_answers_end_quietly() {
        assert_eq!(replies(&[20, 0, 0, 0, 1]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 1]).count(), 0);
    }
}
