//! Who is here, who may say what to whom, and when lists go out. Pure: frames and moments go in, what to deliver to
//! which connection comes out.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::limits::Limits;
use crate::protocol::{self, Envelope, Mistake, PeerId};

/// One socket. An id may move to a newer one, so a socket is never known by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Connection(pub(crate) u64);

/// What the room wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Write this frame.
    Frame(Connection, String),
    /// Ask for [`Room::list`] when the connection can next be written to, and write that. A list is not made before
    /// it can be written, so that a slow reader gets the newest one and never a heap of old ones.
    List(Connection),
    /// Close the connection: its id has moved to a newer one.
    Replaced(Connection),
}

/// All peers that see each other.
#[derive(Debug)]
pub(crate) struct Room {
    members: BTreeMap<PeerId, Member>,
    connections: HashMap<Connection, PeerId>,
    /// Counts joins and leaves.
    version: u64,
    /// When the others were last told.
    told: Option<Instant>,
    /// When they are to be told next.
    due: Option<Instant>,
    window: Duration,
    /// What the ids of a list add up to, and may.
    length: usize,
    most: usize,
}

#[derive(Debug)]
struct Member {
    connection: Connection,
    quoted: String,
    /// The version of the list it has, or has been promised.
    seen: u64,
}

impl Room {
    pub(crate) fn new(limits: &Limits) -> Room {
        Room {
            members: BTreeMap::new(),
            connections: HashMap::new(),
            version: 0,
            told: None,
            due: None,
            window: limits.coalesce,
            length: 0,
            most: limits.list,
        }
    }

    /// A frame has come in.
    pub(crate) fn receive(
        &mut self,
        connection: Connection,
        frame: &Envelope<'_>,
        now: Instant,
    ) -> Result<Vec<Output>, Mistake> {
        match (frame.kind(), frame.is_addressed()) {
            ("register", _) => self.register(connection, frame.client_id()?, now),
            ("ping", false) => {
                let pong = frame.pong(self.id(connection)?)?;
                Ok(vec![Output::Frame(connection, pong)])
            }
            ("pong", false) => Ok(Vec::new()),
            _ => self.relay(connection, frame),
        }
    }

    /// A connection has ended. Where its id has moved to a newer one, nothing happens.
    pub(crate) fn leave(&mut self, connection: Connection, now: Instant) -> Vec<Output> {
        let Some(id) = self.connections.remove(&connection) else { return Vec::new() };
        if let Some(member) = self.members.remove(&id) {
            self.length -= member.quoted.len() + 1;
        }
        self.changed(now)
    }

    /// The moment at which [`Room::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Output> {
        if self.due.is_some_and(|due| due <= now) { self.tell(now) } else { Vec::new() }
    }

    /// The newest list for a connection: everybody but itself. None once its id has moved or left.
    pub(crate) fn list(&mut self, connection: Connection) -> Option<String> {
        let id = self.connections.get(&connection)?;
        self.members.get_mut(id)?.seen = self.version;
        let others = self.members.iter().filter(|(other, _)| *other != id);
        Some(protocol::peers(others.map(|(_, member)| member.quoted.as_str()), self.length))
    }

    /// Whether a connection has an id.
    pub(crate) fn is_registered(&self, connection: Connection) -> bool {
        self.connections.contains_key(&connection)
    }

    fn id(&self, connection: Connection) -> Result<&PeerId, Mistake> {
        self.connections.get(&connection).ok_or(Mistake::NotRegistered)
    }

    fn register(&mut self, connection: Connection, id: PeerId, now: Instant) -> Result<Vec<Output>, Mistake> {
        match self.connections.get(&connection) {
            Some(own) if *own == id => return Ok(vec![Output::List(connection)]),
            Some(_) => return Err(Mistake::OtherId),
            None => {}
        }
        if let Some(member) = self.members.get_mut(&id) {
            let old = std::mem::replace(&mut member.connection, connection);
            member.seen = self.version;
            self.connections.remove(&old);
            self.connections.insert(connection, id);
            return Ok(vec![Output::Replaced(old), Output::List(connection)]);
        }
        let quoted = id.quoted();
        if self.length + quoted.len() + 1 > self.most {
            return Err(Mistake::RoomFull);
        }
        self.length += quoted.len() + 1;
        self.members.insert(id.clone(), Member { connection, quoted, seen: self.version + 1 });
        self.connections.insert(connection, id);
        let mut outputs = vec![Output::List(connection)];
        outputs.append(&mut self.changed(now));
        Ok(outputs)
    }

    fn relay(&self, connection: Connection, frame: &Envelope<'_>) -> Result<Vec<Output>, Mistake> {
        let sender = self.id(connection)?;
        let to = frame.to()?;
        let text = frame.stamped(sender)?;
        if let Some(receiver) = self.members.get(&*to) {
            return Ok(vec![Output::Frame(receiver.connection, text)]);
        }
        let absent = PeerId::new("to", &to)?;
        // A candidate may come after its peer has left, and its sender can do nothing about that.
        if frame.kind() == "candidate" { Ok(Vec::new()) } else { Err(Mistake::Absent(absent)) }
    }

    /// A lone change is told at once; those that follow within the window are told together at its end.
    fn changed(&mut self, now: Instant) -> Vec<Output> {
        self.version += 1;
        match self.told.map(|told| told + self.window) {
            Some(next) if now < next => {
                self.due = Some(next);
                Vec::new()
            }
            _ => self.tell(now),
        }
    }

    fn tell(&mut self, now: Instant) -> Vec<Output> {
        self.told = Some(now);
        self.due = None;
        let mut outputs = Vec::new();
        for member in self.members.values_mut().filter(|member| member.seen < self.version) {
            member.seen = self.version;
            outputs.push(Output::List(member.connection));
        }
        outputs
    }
}

#[cfg(test)]
mod tests;
