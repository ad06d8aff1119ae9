//! A frame's envelope (`type`, `to`, `from`, `clientId`, `ts`), read without touching the rest, and the frames that
//! the server makes itself. What the envelope does not name is forwarded byte for byte.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::limits::Limits;

/// How deep a message may nest: less than the parsers behind it bear (serde_json 127, Python about 1,000), so that
/// nobody can hand a peer a message that its parser dies of.
const DEPTH: usize = 100;

/// An id is at most this long, in bytes of UTF-8.
const ID_BYTES: usize = 128;

/// A client's name, checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerId(Arc<str>);

/// What a client did wrong; the text is what its `error` frame says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("malformed message: {0}")]
    Malformed(String),
    #[error("a message must be UTF-8")]
    NotUtf8,
    #[error("a message must not nest more than {DEPTH} levels deep")]
    TooDeep,
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` must be a string")]
    NotAString(&'static str),
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    #[error("`{0}` must not be longer than {ID_BYTES} bytes")]
    TooLong(&'static str),
    #[error("`{0}` must not contain control characters")]
    ControlCharacters(&'static str),
    #[error("register first")]
    NotRegistered,
    #[error("this connection has registered another id")]
    OtherId,
    #[error("`from` must be your own id")]
    WrongFrom,
    #[error("the room is full")]
    RoomFull,
    #[error("Peer {0} not found")]
    Absent(PeerId),
}

impl Mistake {
    /// What it costs of the server's patience.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Mistake::Absent(_) => Limits::ABSENT,
            _ => Limits::MISTAKE,
        }
    }
}

/// The part of a frame that the server looks at.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    text: &'a str,
    kind: Cow<'a, str>,
    fields: Fields<'a>,
}

/// The raw values. A key that comes twice is an error, because the server and the receiver might each believe
/// another one of the two.
#[derive(Debug, Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", default, borrow, deserialize_with = "present")]
    kind: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    to: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    from: Option<&'a RawValue>,
    #[serde(rename = "clientId", default, borrow, deserialize_with = "present")]
    client_id: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    ts: Option<&'a RawValue>,
}

/// `null` is a value that is there and wrong, not a missing one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Envelope<'a>, Mistake> {
        if nests_too_deep(text) {
            return Err(Mistake::TooDeep);
        }
        // A derived struct would take its fields from an array, too.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Mistake::Malformed("expected a JSON object".to_owned()));
        }
        let fields: Fields<'a> =
            serde_json::from_str(text).map_err(|error| Mistake::Malformed(error.to_string()))?;
        let kind = string("type", fields.kind)?.ok_or(Mistake::Missing("type"))?;
        Ok(Envelope { text, kind, fields })
    }

    /// The `type`.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether there is a `to`, right or wrong.
    pub(crate) fn is_addressed(&self) -> bool {
        self.fields.to.is_some()
    }

    /// Whom it is for; no more than a string as yet.
    pub(crate) fn to(&self) -> Result<Cow<'a, str>, Mistake> {
        string("to", self.fields.to)?.ok_or(Mistake::Missing("to"))
    }

    /// The id that `register` asks for.
    pub(crate) fn client_id(&self) -> Result<PeerId, Mistake> {
        let id = string("clientId", self.fields.client_id)?.ok_or(Mistake::Missing("clientId"))?;
        PeerId::new("clientId", &id)
    }

    /// The frame as `sender` may send it on: as it is where `from` is right, with `from` put in front where it is
    /// missing, refused where it is somebody else.
    pub(crate) fn stamped(&self, sender: &PeerId) -> Result<String, Mistake> {
        if self.has_from(sender)? {
            return Ok(self.text.to_owned());
        }
        let brace = self.text.find('{').map_or(0, |at| at + 1);
        let (head, tail) = self.text.split_at(brace);
        Ok(format!(r#"{head}"from":{},{tail}"#, quote(&sender.0)))
    }

    /// The answer to this frame, where it is `sender`'s ping.
    pub(crate) fn pong(&self, sender: &PeerId) -> Result<String, Mistake> {
        self.has_from(sender)?;
        let from = quote(&sender.0);
        Ok(match self.fields.ts {
            Some(ts) => format!(r#"{{"type":"pong","ts":{},"from":{from}}}"#, ts.get()),
            None => format!(r#"{{"type":"pong","from":{from}}}"#),
        })
    }

    fn has_from(&self, sender: &PeerId) -> Result<bool, Mistake> {
        match string("from", self.fields.from)? {
            None => Ok(false),
            Some(from) if *from == *sender.0 => Ok(true),
            Some(_) => Err(Mistake::WrongFrom),
        }
    }
}

impl PeerId {
    /// Checks an id that stood under `key`.
    pub(crate) fn new(key: &'static str, id: &str) -> Result<PeerId, Mistake> {
        if id.is_empty() {
            Err(Mistake::Empty(key))
        } else if id.len() > ID_BYTES {
            Err(Mistake::TooLong(key))
        } else if id.chars().any(char::is_control) {
            Err(Mistake::ControlCharacters(key))
        } else {
            Ok(PeerId(id.into()))
        }
    }

    /// The id as JSON.
    pub(crate) fn quoted(&self) -> String {
        quote(&self.0)
    }
}

impl Borrow<str> for PeerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `{"type":"error",..}`
pub(crate) fn error(mistake: &Mistake) -> String {
    format!(r#"{{"type":"error","message":{}}}"#, quote(&mistake.to_string()))
}

/// `{"type":"peers",..}` of ids that are JSON already.
pub(crate) fn peers<'a>(quoted: impl Iterator<Item = &'a str>, capacity: usize) -> String {
    let mut frame = String::with_capacity(capacity + 28);
    frame.push_str(r#"{"type":"peers","peers":["#);
    for (index, id) in quoted.enumerate() {
        if index > 0 {
            frame.push(',');
        }
        frame.push_str(id);
    }
    frame.push_str("]}");
    frame
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The string in `raw`, borrowed where it has no escapes.
fn string<'a>(key: &'static str, raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, Mistake> {
    let Some(raw) = raw.map(RawValue::get) else { return Ok(None) };
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.ok_or(Mistake::NotAString(key))?;
    if !inner.contains('\\') {
        return Ok(Some(Cow::Borrowed(inner)));
    }
    // Half of a surrogate pair is JSON, but no string.
    serde_json::from_str(raw).map(|text| Some(Cow::Owned(text))).map_err(|_| Mistake::NotAString(key))
}

/// Counting the opening brackets is a fraction of a parse; only where there are many does nesting matter.
fn nests_too_deep(text: &str) -> bool {
    if text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= DEPTH {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
