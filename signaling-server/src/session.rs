//! One socket from its handshake to its end. It reads and writes at once in one task: a client that writes without
//! reading, or the other way round, never stops the other direction.

use std::future::poll_fn;
use std::pin::Pin;
use std::str;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tracing::{debug, info};

use crate::closing::Closing;
use crate::limits::Patience;
use crate::liveness::{Due, Liveness};
use crate::outbox::Next;
use crate::protocol::{self, Mistake};
use crate::switchboard::{Delivery, Seat};

/// A client that has finished the handshake.
struct Session {
    socket: WebSocketStream<TcpStream>,
    seat: Seat,
    liveness: Liveness,
    timer: Pin<Box<Sleep>>,
    patience: Patience,
    ping: bool,
    /// A frame whose receiver must have a turn first; nothing is read meanwhile.
    undelivered: Option<Delivery>,
}

enum Event {
    Received(Message),
    Timer,
    End(Closing),
}

/// Serves one client until it has gone.
pub(crate) async fn run(stream: TcpStream, seat: Seat) {
    let Some(socket) = shake_hands(stream, &seat).await else { return };
    let now = Instant::now();
    let liveness = Liveness::new(seat.limits(), now);
    let mut session = Session {
        timer: Box::pin(sleep_until(liveness.next().into())),
        patience: Patience::new(seat.limits(), now),
        socket,
        seat,
        liveness,
        ping: false,
        undelivered: None,
    };
    let why = session.talk().await;
    let Session { socket, seat, .. } = session;
    let connection = seat.connection.0;
    let within = seat.limits().closing;
    // The others learn of it now, whatever time the close handshake takes.
    drop(seat);
    match why.frame() {
        Some(frame) if why != Closing::GoingAway => {
            info!(connection, code = u16::from(frame.code), reason = %frame.reason, "closing")
        }
        _ => debug!(connection, ?why, "closing"),
    }
    finish(socket, why, within).await;
}

async fn shake_hands(stream: TcpStream, seat: &Seat) -> Option<WebSocketStream<TcpStream>> {
    let accept = tokio_tungstenite::accept_async_with_config(stream, Some(seat.limits().websocket()));
    let stopped = poll_fn(|cx| seat.outbox.closing(cx.waker()).map_or(Poll::Pending, Poll::Ready));
    let connection = seat.connection.0;
    tokio::select! {
        accepted = timeout(seat.limits().handshake, accept) => match accepted {
            Ok(Ok(socket)) => return Some(socket),
            Ok(Err(error)) => debug!(connection, %error, "handshake failed"),
            Err(_) => debug!(connection, "handshake took too long"),
        },
        why = stopped => debug!(connection, ?why, "closed during the handshake"),
    }
    None
}

/// Says why, waits for the client's answer, and lets it read what was said.
async fn finish(mut socket: WebSocketStream<TcpStream>, why: Closing, within: Duration) {
    if why == Closing::Lost {
        return;
    }
    let farewell = async {
        if let Some(frame) = why.frame() {
            socket.send(Message::Close(Some(frame))).await?;
        }
        let mut answered = why == Closing::Asked;
        while let Some(Ok(message)) = socket.next().await {
            answered |= message.is_close();
        }
        if answered {
            return Ok(());
        }
        // A socket dropped with bytes unread is reset, and a reset overtakes the close frame: read what is left of
        // the giant message, the flood or the broken frame until the client closes.
        let stream = socket.get_mut();
        stream.shutdown().await?;
        while stream.read(&mut [0; 4096]).await? > 0 {}
        Ok::<_, tokio_tungstenite::tungstenite::Error>(())
    };
    match timeout(within, farewell).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "the client did not wait for the end"),
        Err(_) => debug!("the client did not answer the close frame"),
    }
}

impl Session {
    async fn talk(&mut self) -> Closing {
        loop {
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            let result = match event {
                Event::Received(message) => self.receive(message),
                Event::Timer => self.keep_time(),
                Event::End(why) => return why,
            };
            if let Err(why) = result {
                return why;
            }
        }
    }

    /// Writing comes first: answers leave between two reads, so that a flood of questions never fills the asker's
    /// own outbox.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(why) = self.seat.outbox.closing(cx.waker()) {
            return Poll::Ready(Event::End(why));
        }
        if self.timer.poll_unpin(cx).is_ready() {
            return Poll::Ready(Event::Timer);
        }
        if let Poll::Ready(Err(why)) = self.poll_write(cx) {
            return Poll::Ready(Event::End(why));
        }
        self.undelivered = self.undelivered.take().and_then(|delivery| delivery.attempt().err());
        if self.undelivered.is_some() {
            // The receiver's session is awake already: it runs before this one runs again.
            cx.waker().wake_by_ref();
        } else if let Poll::Ready(message) = Pin::new(&mut self.socket).poll_next(cx) {
            return Poll::Ready(match message {
                Some(Ok(message)) => Event::Received(message),
                Some(Err(error)) => Event::End(error.into()),
                None => Event::End(Closing::Lost),
            });
        }
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Event::End(error.into())),
            _ => Poll::Pending,
        }
    }

    /// Moves what waits in the outbox into the socket's small buffer, for as long as the socket takes it.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closing>> {
        loop {
            let ready = Pin::new(&mut self.socket).poll_ready(cx);
            if ready.is_pending() {
                self.seat.outbox.block();
            }
            ready!(ready)?;
            let message = if std::mem::take(&mut self.ping) {
                Message::Ping(Default::default())
            } else {
                match self.seat.outbox.take() {
                    Some(Next::Frame(frame)) => Message::text(frame),
                    Some(Next::List) => match self.seat.list() {
                        Some(list) => Message::text(list),
                        None => continue,
                    },
                    None => return Poll::Ready(Ok(())),
                }
            };
            Pin::new(&mut self.socket).start_send(message)?;
        }
    }

    fn receive(&mut self, message: Message) -> Result<(), Closing> {
        if self.liveness.heard(Instant::now()) {
            self.timer.as_mut().reset(self.liveness.next().into());
        }
        let outcome = match &message {
            Message::Text(text) => self.seat.receive(text),
            Message::Binary(bytes) => {
                str::from_utf8(bytes).map_err(|_| Mistake::NotUtf8).and_then(|text| self.seat.receive(text))
            }
            Message::Close(_) => return Err(Closing::Asked),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        let delivery = match outcome {
            Ok(delivery) => delivery,
            Err(mistake) => Some(self.object(&mistake)?),
        };
        self.undelivered = delivery.and_then(|delivery| delivery.attempt().err());
        Ok(())
    }

    fn object(&mut self, mistake: &Mistake) -> Result<Delivery, Closing> {
        if !self.patience.charge(mistake.cost(), Instant::now()) {
            return Err(Closing::TooManyErrors);
        }
        Ok(Delivery::new(&self.seat.outbox, protocol::error(mistake)))
    }

    fn keep_time(&mut self) -> Result<(), Closing> {
        match self.liveness.due(Instant::now()) {
            Due::CheckRegistered if !self.seat.is_registered() => return Err(Closing::NotRegistered),
            Due::GiveUp => return Err(Closing::Silent),
            Due::Ping => self.ping = true,
            Due::CheckRegistered | Due::Nothing => {}
        }
        self.timer.as_mut().reset(self.liveness.next().into());
        Ok(())
    }
}
