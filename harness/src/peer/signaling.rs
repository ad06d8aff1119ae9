//! The peer's connection to the signaling server: the wire format that browsers speak to it, and frames that can be
//! held back.

mod connecting;

use std::net::IpAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::control::event::SignalKind;
pub(super) use connecting::SignalingError;
use connecting::Socket;

/// The server is asked for a sign of life as often as browsers do.
const PING: Duration = Duration::from_secs(20);

/// What comes from the server.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// Who is there.
    Peers(Vec<String>),
    /// From a partner.
    Signal { from: String, signal: Signal },
    /// The server complains.
    Complaint(String),
    /// The connection is gone.
    Gone(String),
}

/// What partners tell each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Signal {
    Offer(String),
    Answer(String),
    /// The line; empty at the end of candidates.
    Candidate(Trickled),
    Bye,
}

/// A candidate in the shape of a browser's RTCIceCandidateInit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trickled {
    #[serde(default)]
    pub(super) candidate: String,
    #[serde(default)]
    pub(super) sdp_mid: Option<String>,
    #[serde(default)]
    pub(super) username_fragment: Option<String>,
}

impl Signal {
    pub(super) fn kind(&self) -> SignalKind {
        match self {
            Self::Offer(_) => SignalKind::Offer,
            Self::Answer(_) => SignalKind::Answer,
            Self::Candidate(_) => SignalKind::Candidate,
            Self::Bye => SignalKind::Bye,
        }
    }
}

/// Where frames are put to be sent.
#[derive(Clone)]
pub(super) struct Outbox {
    id: String,
    frames: mpsc::UnboundedSender<Frame>,
}

struct Frame {
    text: String,
    put: Instant,
    sent: oneshot::Sender<()>,
}

impl Outbox {
    /// Puts a signal to `to`; the receiver hears when it was really sent, or nothing when it never is.
    pub(super) fn put(&self, to: &str, signal: &Signal) -> oneshot::Receiver<()> {
        self.put_frame(frame(&self.id, to, signal).to_string())
    }

    fn put_frame(&self, text: String) -> oneshot::Receiver<()> {
        let (sent, told) = oneshot::channel();
        // Without a connection the receiver hears of the drop.
        let _ = self.frames.send(Frame { text, put: Instant::now(), sent });
        told
    }
}

/// What a connection gives: a way out, a way in, and the address it leaves from.
pub(super) type Connected = (Outbox, mpsc::UnboundedReceiver<Incoming>, Option<IpAddr>);

/// Connects, before `deadline`, and registers as `id`. Every frame, the registration too, is sent `hold` after it was
/// put, in order. The task that serves the connection closes it when the last outbox is dropped.
pub(super) async fn connect(
    url: &str,
    id: &str,
    hold: Duration,
    deadline: Instant,
    tasks: &mut JoinSet<()>,
) -> Result<Connected, SignalingError> {
    let (socket, local) = connecting::connect(url, deadline).await?;
    let (frames, put) = mpsc::unbounded_channel();
    let (tell, incoming) = mpsc::unbounded_channel();
    let outbox = Outbox { id: id.to_owned(), frames };
    drop(outbox.put_frame(json!({"type": "register", "clientId": id}).to_string()));
    let id = id.to_owned();
    tasks.spawn(async move {
        let end = serve(socket, put, &tell, hold, &id).await;
        let _ = tell.send(Incoming::Gone(end));
    });
    Ok((outbox, incoming, local))
}

/// Sends and receives until the connection ends, and says how it did.
async fn serve(
    mut socket: Socket,
    mut frames: mpsc::UnboundedReceiver<Frame>,
    tell: &mpsc::UnboundedSender<Incoming>,
    hold: Duration,
    id: &str,
) -> String {
    let ping = json!({"type": "ping", "ts": 0, "from": id}).to_string();
    let mut ping_at = Instant::now() + PING;
    let mut held: Option<Frame> = None;
    loop {
        let due = held.as_ref().map_or(ping_at, |frame| frame.put + hold);
        let outcome = tokio::select! {
            frame = frames.recv(), if held.is_none() => match frame {
                // A timer, even one that is due, would cost a millisecond.
                Some(frame) if hold.is_zero() => send(&mut socket, frame).await,
                Some(frame) => {
                    held = Some(frame);
                    continue;
                }
                None => {
                    let _ = socket.close(None).await;
                    return "closed".to_owned();
                }
            },
            () = sleep_until(due), if held.is_some() => match held.take() {
                Some(frame) => send(&mut socket, frame).await,
                None => continue,
            },
            () = sleep_until(ping_at) => {
                ping_at = Instant::now() + PING;
                socket.send(Message::text(ping.clone())).await
            }
            message = socket.next() => match message {
                None => return "the server closed the connection".to_owned(),
                Some(message) => message.map(|message| hear(&message, id, tell)),
            },
        };
        if let Err(error) = outcome {
            return error.to_string();
        }
    }
}

async fn send(socket: &mut Socket, frame: Frame) -> Result<(), Error> {
    socket.send(Message::text(frame.text)).await?;
    // Not everybody wants to hear it.
    let _ = frame.sent.send(());
    Ok(())
}

fn hear(message: &Message, id: &str, tell: &mpsc::UnboundedSender<Incoming>) {
    let Message::Text(text) = message else { return };
    match parse(text, id) {
        Some(incoming) => drop(tell.send(incoming)),
        None => tracing::debug!(%text, "a frame of no concern"),
    }
}

fn frame(from: &str, to: &str, signal: &Signal) -> Value {
    match signal {
        Signal::Offer(sdp) => {
            json!({"type": "offer", "sdp": {"type": "offer", "sdp": sdp}, "to": to, "from": from})
        }
        Signal::Answer(sdp) => {
            json!({"type": "answer", "sdp": {"type": "answer", "sdp": sdp}, "to": to, "from": from})
        }
        Signal::Candidate(trickled) => json!({
            "type": "candidate",
            "candidate": {
                "candidate": trickled.candidate,
                "sdpMid": trickled.sdp_mid,
                "sdpMLineIndex": 0,
                "usernameFragment": trickled.username_fragment,
            },
            "to": to,
            "from": from,
        }),
        Signal::Bye => json!({"type": "bye", "to": to, "from": from}),
    }
}

/// Reads a frame for `id`. Names may be plain or in an object, and a description may be bare SDP: all of it is about.
fn parse(text: &str, id: &str) -> Option<Incoming> {
    let frame: Value = serde_json::from_str(text).ok()?;
    let kind = frame.get("type")?.as_str()?;
    match kind {
        "peers" => {
            let names = frame.get("peers")?.as_array()?.iter().filter_map(name).filter(|name| name != id);
            return Some(Incoming::Peers(names.collect()));
        }
        "error" => return Some(Incoming::Complaint(frame.get("message")?.as_str()?.to_owned())),
        _ => {}
    }
    let from = frame.get("from")?.as_str().filter(|from| *from != id)?.to_owned();
    let sdp = || {
        let sdp = frame.get("sdp")?;
        Some(sdp.get("sdp").unwrap_or(sdp).as_str()?.to_owned())
    };
    let signal = match kind {
        "offer" => Signal::Offer(sdp()?),
        "answer" => Signal::Answer(sdp()?),
        // Some send null at the end of candidates.
        "candidate" => Signal::Candidate(match frame.get("candidate")? {
            Value::Null => Trickled { candidate: String::new(), sdp_mid: None, username_fragment: None },
            trickled => Trickled::deserialize(trickled).ok()?,
        }),
        "bye" => Signal::Bye,
        _ => return None,
    };
    Some(Incoming::Signal { from, signal })
}

fn name(peer: &Value) -> Option<String> {
    let named = ["clientId", "id", "peerId"].iter().find_map(|key| peer.get(key));
    Some(named.unwrap_or(peer).as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_browsers_send() {
        let trickled = Trickled {
            candidate: "candidate:1".to_owned(),
            sdp_mid: Some("0".to_owned()),
            username_fragment: Some("abcd".to_owned()),
        };
        let written = frame("alice", "bob", &Signal::Candidate(trickled.clone()));
        assert_eq!(
            written,
            json!({
                "type": "candidate", "to": "bob", "from": "alice", "candidate": {
                    "candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "abcd",
                },
            })
        );
        for signal in [
            Signal::Candidate(trickled),
            Signal::Offer("v=0".into()),
            Signal::Answer("v=0".into()),
            Signal::Bye,
        ] {
            let heard = Incoming::Signal { from: "alice".to_owned(), signal: signal.clone() };
            assert_eq!(parse(&frame("alice", "bob", &signal).to_string(), "bob"), Some(heard));
        }
    }

    #[test]
    fn peers_may_be_names_or_objects_and_never_name_oneself() {
        let list = json!({"type": "peers", "peers": ["me", "a", {"clientId": "b"}, {"id": "c"}, {"peerId": "d"}, 7]});
        let names = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        assert_eq!(parse(&list.to_string(), "me"), Some(Incoming::Peers(names)));
    }

    #[test]
    fn both_ends_of_candidates_are_heard() {
        for end in [json!(null), json!({"candidate": ""})] {
            let frame = json!({"type": "candidate", "candidate": end, "from": "a"}).to_string();
            let Some(Incoming::Signal { signal: Signal::Candidate(trickled), .. }) = parse(&frame, "me")
            else {
                panic!("{frame}")
            };
            assert_eq!(trickled.candidate, "");
        }
    }

    #[test]
    fn what_is_of_no_concern_is_nothing() {
        for text in
            ["", "[]", r#"{"type":"pong"}"#, r#"{"type":"offer","sdp":"x"}"#, r#"{"type":"bye","from":"me"}"#]
        {
            assert_eq!(parse(text, "me"), None, "{text}");
        }
    }
}
