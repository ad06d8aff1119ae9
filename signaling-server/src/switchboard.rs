//! The one lock of the server: the room and the outboxes, and the hands that carry out what the room decides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::closing::Closing;
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::protocol::{Envelope, Mistake};
use crate::room::{Connection, Output, Room};

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Switchboard {
    exchange: Mutex<Exchange>,
    due: Notify,
    pub(crate) limits: Limits,
}

#[derive(Debug)]
struct Exchange {
    room: Room,
    outboxes: HashMap<Connection, Arc<Outbox>>,
    connections: u64,
}

/// A connection's place at the switchboard; dropping it is leaving, also when a panic drops it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) connection: Connection,
    pub(crate) outbox: Arc<Outbox>,
    switchboard: Arc<Switchboard>,
}

/// A frame on its way into an outbox.
#[derive(Debug)]
pub(crate) struct Delivery {
    outbox: Arc<Outbox>,
    frame: String,
}

impl Delivery {
    pub(crate) fn new(outbox: &Arc<Outbox>, frame: String) -> Delivery {
        Delivery { outbox: Arc::clone(outbox), frame }
    }

    /// Hands the frame over; it comes back where the receiver's session must have a turn first.
    pub(crate) fn attempt(self) -> Result<(), Delivery> {
        let Delivery { outbox, frame } = self;
        outbox.push(frame).map_err(|frame| Delivery { outbox, frame })
    }
}

impl Switchboard {
    pub(crate) fn new(limits: Limits) -> Arc<Switchboard> {
        let exchange = Exchange { room: Room::new(&limits), outboxes: HashMap::new(), connections: 0 };
        Arc::new(Switchboard { exchange: Mutex::new(exchange), due: Notify::new(), limits })
    }

    /// A new connection.
    pub(crate) fn connect(self: &Arc<Self>) -> Seat {
        let outbox = Arc::new(Outbox::new(&self.limits));
        let mut exchange = self.lock();
        exchange.connections += 1;
        let connection = Connection(exchange.connections);
        exchange.outboxes.insert(connection, Arc::clone(&outbox));
        Seat { connection, outbox, switchboard: Arc::clone(self) }
    }

    /// Closes every connection there is.
    pub(crate) fn close_all(&self, why: Closing) {
        for outbox in self.lock().outboxes.values() {
            outbox.close(why);
        }
    }

    /// Tells bursts of joins and leaves when their window ends; never returns.
    pub(crate) async fn announce(&self) {
        loop {
            let due = self.lock().room.due();
            match due {
                None => self.due.notified().await,
                Some(at) => {
                    tokio::time::sleep_until(at.into()).await;
                    self.change(|room| room.tick(Instant::now()));
                }
            }
        }
    }

    /// Changes the room and carries out what follows; at most one frame, which the caller delivers.
    fn change(&self, change: impl FnOnce(&mut Room) -> Vec<Output>) -> Option<Delivery> {
        let mut exchange = self.lock();
        let outputs = change(&mut exchange.room);
        let delivery = exchange.carry_out(outputs);
        if exchange.room.due().is_some() {
            self.due.notify_one();
        }
        delivery
    }

    /// A panic under the lock ends its own session only: the room is consistent between any two of its steps that
    /// could panic.
    fn lock(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    fn carry_out(&self, outputs: Vec<Output>) -> Option<Delivery> {
        let mut delivery = None;
        for output in outputs {
            let (Output::Frame(to, _) | Output::List(to) | Output::Replaced(to)) = &output;
            let Some(outbox) = self.outboxes.get(to) else { continue };
            match output {
                Output::Frame(_, frame) => delivery = Some(Delivery::new(outbox, frame)),
                Output::List(_) => outbox.ask_for_list(),
                Output::Replaced(_) => outbox.close(Closing::Replaced),
            }
        }
        delivery
    }
}

impl Seat {
    /// A frame has come in; what is to be delivered because of it.
    pub(crate) fn receive(&self, text: &str) -> Result<Option<Delivery>, Mistake> {
        let frame = Envelope::parse(text)?;
        let mut mistake = None;
        let delivery = self.switchboard.change(|room| {
            room.receive(self.connection, &frame, Instant::now()).unwrap_or_else(|error| {
                mistake = Some(error);
                Vec::new()
            })
        });
        mistake.map_or(Ok(delivery), Err)
    }

    /// The newest list, unless the connection has none.
    pub(crate) fn list(&self) -> Option<String> {
        self.switchboard.lock().room.list(self.connection)
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.switchboard.lock().room.is_registered(self.connection)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.switchboard.limits
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Nobody empties it any more, so nobody may wait for it to become empty.
        self.outbox.close(Closing::Lost);
        self.switchboard.lock().outboxes.remove(&self.connection);
        self.switchboard.change(|room| room.leave(self.connection, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Next;

    #[test]
    fn a_panic_in_one_session_takes_its_peer_away_and_leaves_the_others_alone() {
        let switchboard = Switchboard::new(Limits::default());
        let alice = switchboard.connect();
        alice.receive(r#"{"type":"register","clientId":"alice"}"#).unwrap();
        assert_eq!(alice.outbox.take(), Some(Next::List));
        let bob = switchboard.connect();
        bob.receive(r#"{"type":"register","clientId":"bob"}"#).unwrap();
        assert_eq!(alice.list().unwrap(), r#"{"type":"peers","peers":["bob"]}"#);

        let panicked = std::thread::spawn(move || {
            let switchboard = Arc::clone(&bob.switchboard);
            switchboard.change(|_| panic!("on purpose, with the lock held"));
        });
        panicked.join().unwrap_err();

        assert_eq!(alice.list().unwrap(), r#"{"type":"peers","peers":[]}"#);
        let carol = switchboard.connect();
        carol.receive(r#"{"type":"register","clientId":"carol"}"#).unwrap();
        assert_eq!(alice.list().unwrap(), r#"{"type":"peers","peers":["carol"]}"#);
    }

    #[test]
    fn nobody_waits_for_the_outbox_of_a_session_that_has_ended() {
        let switchboard = Switchboard::new(Limits { queued_messages: 1, ..Limits::default() });
        let outbox = Arc::clone(&switchboard.connect().outbox);
        for _ in 0..3 {
            assert!(Delivery::new(&outbox, "late".to_owned()).attempt().is_ok());
        }
    }
}
