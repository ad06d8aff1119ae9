//! The control protocol of a peer: the commands it reads on stdin (here) and the events it reports on stdout
//! (`event`), one JSON object a line. Both sides use these types; docs/peer-protocol.md is the same in prose.

pub mod event;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of the protocol that this program speaks.
pub const PROTOCOL: u32 = 1;

/// What the parent tells a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case")]
pub enum Command {
    /// Begin: the peer acts on its own from here.
    Start(Box<Start>),
    /// Say bye, close everything, report `finished` and exit with 0. The end of stdin means the same, but hurried.
    Stop,
}

/// All that a peer is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The version of this protocol; 1.
    pub protocol: u32,
    /// The name under which the peer registers.
    pub id: String,
    /// The signaling server: `ws://` and a literal address.
    pub signaling: String,
    /// STUN servers to ask for server-reflexive addresses.
    #[serde(default)]
    pub stun: Vec<SocketAddr>,
    /// The only local addresses the peer may gather from.
    pub addresses: Vec<IpAddr>,
    /// Milliseconds without a path after which ICE has failed.
    #[serde(default = "default_patience_ms")]
    pub patience_ms: u64,
    /// Milliseconds to wait for a partner to appear in the peer list.
    #[serde(default = "default_discovery_ms")]
    pub discovery_ms: u64,
    /// Milliseconds by which every signaling frame is held back before it is sent, in order.
    #[serde(default)]
    pub hold_signaling_ms: u64,
    /// Bytes of the longest SCTP packet to send: with 65 more for DTLS, UDP and IPv4 it must fit every link on the path.
    #[serde(default = "default_sctp_packet_bytes")]
    pub sctp_packet_bytes: u32,
    /// The partners to connect to.
    #[serde(default)]
    pub sessions: Vec<SessionPlan>,
    /// The files to send and to expect, those of one session one after another in this order.
    #[serde(default)]
    pub transfers: Vec<TransferPlan>,
}

fn default_patience_ms() -> u64 {
    5_000
}

fn default_discovery_ms() -> u64 {
    30_000
}

/// What fits a path of 1280 bytes with IPv6 and TURN; browsers send no more either.
pub const SCTP_PACKET_BYTES: u32 = 1_191;

fn default_sctp_packet_bytes() -> u32 {
    SCTP_PACKET_BYTES
}

/// One partner to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPlan {
    /// The partner's name.
    pub with: String,
    /// Who offers.
    pub role: Role,
}

/// A peer's part in the exchange of descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Offers as soon as the partner is listed; the controlling side of ICE.
    Offer,
    /// Waits for an offer and answers it.
    Answer,
}

/// One file to carry from one peer to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferPlan {
    /// The number of the transfer, the same on both ends.
    pub transfer: u32,
    /// The sender's name.
    pub from: String,
    /// The receiver's name.
    pub to: String,
    /// Bytes.
    pub size: u64,
    /// What the payload is drawn from.
    pub seed: Seed,
    /// Damage one byte after it was hashed: proves that the harness sees damage.
    #[serde(default)]
    pub flip_byte: bool,
}

/// 32 bytes, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Seed(pub [u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a seed has 64 hexadecimal digits")]
pub struct NotASeed;

impl FromStr for Seed {
    type Err = NotASeed;

    fn from_str(text: &str) -> Result<Self, NotASeed> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return Err(NotASeed);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(NotASeed);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Seed {
    type Error = NotASeed;

    fn try_from(text: String) -> Result<Self, NotASeed> {
        text.parse()
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.to_string()
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::event::{Event, Report};
    use super::*;

    #[test]
    fn the_start_command_of_the_contract_is_understood_and_written_the_same() {
        let text = r#"{"cmd":"start","protocol":1,"id":"alice","signaling":"ws://203.0.113.2:9000",
            "stun":["203.0.113.10:3478"],"addresses":["10.0.0.2"],"patience_ms":4000,"discovery_ms":9,
            "hold_signaling_ms":7,"sctp_packet_bytes":1400,"sessions":[{"with":"bob","role":"offer"}],"transfers":[{"transfer":0,"from":"alice",
            "to":"bob","size":1048576,"seed":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "flip_byte":true}]}"#;
        let command: Command = serde_json::from_str(text).unwrap();
        let written = serde_json::to_value(&command).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(text).unwrap());
        let Command::Start(start) = command else { panic!() };
        assert_eq!(start.transfers[0].seed.0[31], 0x1f);
    }

    #[test]
    fn what_is_left_out_has_its_default_and_what_is_too_much_is_ignored() {
        let text =
            r#"{"cmd":"start","protocol":1,"id":"a","signaling":"ws://h","addresses":[],"later":true}"#;
        let Command::Start(start) = serde_json::from_str(text).unwrap() else { panic!() };
        assert_eq!((start.patience_ms, start.discovery_ms, start.hold_signaling_ms), (5_000, 30_000, 0));
        assert_eq!(start.sctp_packet_bytes, 1_191);
        assert_eq!(serde_json::from_str::<Command>(r#"{"cmd":"stop","later":1}"#).unwrap(), Command::Stop);
    }

    #[test]
    fn a_seed_of_another_form_is_refused() {
        for text in ["", "0g", &"0".repeat(63), &"0".repeat(65), &"é".repeat(32)] {
            assert_eq!(text.parse::<Seed>(), Err(NotASeed), "{text}");
        }
    }

    #[test]
    fn events_are_flat_and_those_of_later_versions_are_unknown() {
        let event = Event::Progress { transfer: 3, bytes: 9 };
        let report = Report { at_us: 1, event };
        let text = r#"{"at_us":1,"event":"progress","transfer":3,"bytes":9}"#;
        assert_eq!(serde_json::to_string(&report).unwrap(), text);
        let more = text.replace("\"bytes\"", "\"later\":[],\"bytes\"");
        assert_eq!(serde_json::from_str::<Report>(&more).unwrap(), report);
        let later: Report = serde_json::from_str(r#"{"at_us":1,"event":"teleported","to":"mars"}"#).unwrap();
        assert_eq!(later.event, Event::Unknown);
    }
}
