//! Why a socket ends, and the close code that tells its client.

use tokio_tungstenite::tungstenite::error::{CapacityError, Error as SocketError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The client sent a close frame: it gets its answer.
    Asked,
    /// The TCP connection is gone, and nobody is left to be told.
    Lost,
    /// The server is stopping.
    GoingAway,
    /// The client broke RFC 6455.
    BrokenFraming,
    /// A text frame that was not UTF-8.
    NotText,
    /// A frame or a message over the cap.
    TooBig,
    /// A newer socket has registered the same id.
    Replaced,
    /// The client does not read what it is sent.
    TooSlow,
    /// More errors than anybody makes by accident.
    TooManyErrors,
    /// No `register` within the deadline.
    NotRegistered,
    /// No answer to a WebSocket ping.
    Silent,
}

impl Closing {
    /// The close frame that says so; none where the client has spoken last or cannot hear.
    pub(crate) fn frame(self) -> Option<CloseFrame> {
        let (code, reason): (u16, &'static str) = match self {
            Closing::Asked | Closing::Lost => return None,
            Closing::GoingAway => (1001, "the server is stopping"),
            Closing::BrokenFraming => (1002, "not a valid WebSocket frame"),
            Closing::NotText => (1007, "a text frame must be UTF-8"),
            Closing::TooBig => (1009, "message too big"),
            Closing::Replaced => (4001, "this id was registered from another connection"),
            Closing::TooSlow => (4002, "too slow a reader"),
            Closing::TooManyErrors => (4003, "too many errors"),
            Closing::NotRegistered => (4004, "no register in time"),
            Closing::Silent => (4005, "no answer to a ping"),
        };
        Some(CloseFrame { code: code.into(), reason: reason.into() })
    }
}

impl From<SocketError> for Closing {
    fn from(error: SocketError) -> Closing {
        match error {
            SocketError::Capacity(CapacityError::MessageTooLong { .. }) => Closing::TooBig,
            SocketError::Utf8(_) => Closing::NotText,
            SocketError::WriteBufferFull(_) => Closing::TooSlow,
            SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closing::Lost,
            SocketError::Protocol(_) => Closing::BrokenFraming,
            _ => Closing::Lost,
        }
    }
}
