//! The data channel: one SCTP stream, ordered and reliable, opened by DCEP (RFC 8832) and known to be open on both
//! sides before it is handed out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;
use webrtc::data::data_channel::{Config, DataChannel};
use webrtc::dtls::conn::DTLSConn;
use webrtc::sctp;
use webrtc::sctp::association::Association;
use webrtc::sctp::chunk::chunk_payload_data::PayloadProtocolIdentifier as Kind;
use webrtc::sctp::stream::Stream;

/// What the channel is called.
const LABEL: &str = "natlab";

/// The longest message taken, and announced. A message of 65,536 bytes kills a channel of webrtc 0.17.
pub(in crate::peer) const MAX_MESSAGE: usize = 65_535;

/// Above this many unacknowledged bytes the sender pauses, ..
const HIGH_WATER: usize = 1 << 20;

/// .. down to this many.
const LOW_WATER: usize = 256 << 10;

/// The call at low water may be missed: look for oneself this often.
const LOW_WATER_GUARD: Duration = Duration::from_millis(500);

/// An open data channel.
pub(in crate::peer) struct Channel {
    association: Arc<Association>,
    stream: Arc<Stream>,
    low: Arc<Notify>,
    max_message: usize,
}

/// Why the channel did not open, or carries no more.
#[derive(Debug, thiserror::Error)]
pub(in crate::peer) enum ChannelError {
    #[error(transparent)]
    Sctp(#[from] sctp::Error),
    #[error(transparent)]
    Data(#[from] webrtc::data::Error),
    #[error("the partner opened no channel")]
    NoStream,
    #[error("the channel was closed")]
    Closed,
    #[error("the channel began with something else than the open message")]
    NotOpened,
}

/// What one message holds.
pub(in crate::peer) enum Message<'a> {
    /// Text, whether it is UTF-8 or not.
    Text(&'a [u8]),
    /// Bytes.
    Binary(&'a [u8]),
}

/// What both sides have to know to open the channel.
pub(super) struct Opening {
    /// The DTLS client has the even stream numbers, the server the odd ones (RFC 8832 section 6).
    pub(super) client: bool,
    /// Whether this side opens or waits.
    pub(super) opens: bool,
    pub(super) sctp_port: u16,
    /// The longest message the partner takes.
    pub(super) max_message_size: u32,
    /// The longest SCTP packet to send; 0 for the library's default.
    pub(super) packet_bytes: u32,
}

impl Channel {
    /// Sets up SCTP over DTLS (both sides begin, RFC 8841) and opens the channel.
    pub(super) async fn open(secure: Arc<DTLSConn>, opening: &Opening) -> Result<Self, ChannelError> {
        let max_message = opening.max_message_size.min(MAX_MESSAGE as u32);
        let association = Association::client(sctp::association::Config {
            net_conn: secure,
            max_receive_buffer_size: 0,
            max_message_size: max_message,
            mtu: opening.packet_bytes,
            name: String::new(),
            local_port: 5_000,
            remote_port: opening.sctp_port,
        });
        let association = Arc::new(association.await?);
        let stream = if opening.opens {
            dial(&association, if opening.client { 0 } else { 1 }).await?
        } else {
            let stream = association.accept_stream().await.ok_or(ChannelError::NoStream)?;
            DataChannel::server(Arc::clone(&stream), Config::default()).await?;
            stream
        };
        let low = Arc::new(Notify::new());
        stream.set_buffered_amount_low_threshold(LOW_WATER);
        stream.on_buffered_amount_low(Box::new({
            let low = Arc::clone(&low);
            move || {
                low.notify_one();
                Box::pin(async {})
            }
        }));
        Ok(Self { association, stream, low, max_message: max_message as usize })
    }

    /// The longest message that both sides take.
    pub(in crate::peer) fn max_message(&self) -> usize {
        self.max_message
    }

    /// Sends a text message.
    pub(in crate::peer) async fn send_text(&self, text: String) -> Result<(), ChannelError> {
        self.stream.write_sctp(&Bytes::from(text), Kind::String).await?;
        Ok(())
    }

    /// Sends bytes once there is room for them.
    pub(in crate::peer) async fn send(&self, bytes: &Bytes) -> Result<(), ChannelError> {
        if self.stream.buffered_amount() > HIGH_WATER {
            while self.stream.buffered_amount() > LOW_WATER {
                let _ = timeout(LOW_WATER_GUARD, self.low.notified()).await;
            }
        }
        self.stream.write_sctp(bytes, Kind::Binary).await?;
        Ok(())
    }

    /// The next message, in `buffer`; what is not taken stays with the sender. May be dropped at any time without
    /// losing a message.
    pub(in crate::peer) async fn receive<'a>(
        &self,
        buffer: &'a mut [u8],
    ) -> Result<Message<'a>, ChannelError> {
        loop {
            match self.stream.read_sctp(buffer).await? {
                // That is how the stream says that it was reset or the association is gone.
                (0, Kind::Unknown) => return Err(ChannelError::Closed),
                (_, Kind::Dcep) => {}
                (length, Kind::String) => return Ok(Message::Text(&buffer[..length])),
                (_, Kind::StringEmpty) => return Ok(Message::Text(&[])),
                (_, Kind::BinaryEmpty) => return Ok(Message::Binary(&[])),
                (length, _) => return Ok(Message::Binary(&buffer[..length])),
            }
        }
    }

    /// Closes the association; the partner is told by DTLS.
    pub(super) async fn close(&self) {
        let _ = self.association.close().await;
    }
}

/// Opens a stream and waits until the other side has acknowledged it.
async fn dial(association: &Arc<Association>, number: u16) -> Result<Arc<Stream>, ChannelError> {
    let stream = association.open_stream(number, Kind::Binary).await?;
    let config = Config { label: LABEL.to_owned(), ..Config::default() };
    DataChannel::client(Arc::clone(&stream), config).await?;
    match stream.read_sctp(&mut [0; 64]).await? {
        (1, Kind::Dcep) => Ok(stream),
        (0, Kind::Unknown) => Err(ChannelError::Closed),
        _ => Err(ChannelError::NotOpened),
    }
}

#[cfg(test)]
mod tests {
    use webrtc::util::Conn;

    use super::*;
    use crate::peer::agent::dtls::{Identity, handshake};
    use crate::peer::agent::lossy::lossy_pipe;

    /// More than the datagrams of DTLS, SCTP and DCEP until both sides are open.
    const DATAGRAMS: usize = 20;

    #[tokio::test(start_paused = true)]
    async fn a_channel_opens_whichever_datagram_is_lost_and_carries_the_longest_message() {
        let identity = Identity::generate().unwrap();
        for lost in 0..DATAGRAMS {
            let (here, there) = lossy_pipe(lost);
            let (here, there) = tokio::join!(opened(here, &identity, true), opened(there, &identity, false));
            assert_eq!((here.max_message(), there.max_message()), (MAX_MESSAGE, MAX_MESSAGE));
            let (message, mut buffer) = (Bytes::from(vec![7; MAX_MESSAGE]), vec![0; MAX_MESSAGE]);
            let (sent, received) = tokio::join!(here.send(&message), there.receive(&mut buffer));
            sent.unwrap();
            assert!(
                matches!(received, Ok(Message::Binary(bytes)) if bytes == message),
                "datagram {lost} lost"
            );
        }
    }

    #[tokio::test]
    async fn the_end_of_one_side_is_the_end_of_the_other() {
        let identity = Identity::generate().unwrap();
        let (here, there) = lossy_pipe(usize::MAX);
        let (here, there) = tokio::join!(opened(here, &identity, true), opened(there, &identity, false));
        let mut buffer = [0; 10];
        let (received, ()) = tokio::join!(there.receive(&mut buffer), here.close());
        assert!(received.is_err());
    }

    async fn opened(path: Arc<dyn Conn + Send + Sync>, identity: &Identity, client: bool) -> Channel {
        let resend = Duration::from_millis(100);
        let secure = handshake(path, identity, client, &identity.fingerprint, resend).await.unwrap();
        let opening =
            Opening { client, opens: !client, sctp_port: 5_000, max_message_size: u32::MAX, packet_bytes: 0 };
        let opening = Channel::open(secure, &opening);
        timeout(Duration::from_secs(60), opening).await.expect("the channel never opens").unwrap()
    }
}
