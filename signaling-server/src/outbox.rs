//! What waits to be written to one socket: bounded, filled by anybody, emptied by that socket's session alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::closing::Closing;
use crate::limits::Limits;

/// The queue of one connection.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    messages: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<String>,
    bytes: usize,
    list: bool,
    /// The socket takes no more: what is queued now waits for the client, not for its session's turn.
    blocked: bool,
    closing: Option<Closing>,
    reader: Option<Waker>,
}

/// What to write next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The newest list.
    List,
    /// This frame.
    Frame(String),
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Outbox {
        Outbox { state: Mutex::default(), messages: limits.queued_messages, bytes: limits.queued_bytes }
    }

    /// Queues a frame. Where the queue is full and the client does not read, the client is closed. Where it is full
    /// only because its session has not had a turn since, the frame comes back, to be tried again after one: a burst
    /// that arrived in one piece is not the receiver's fault.
    pub(crate) fn push(&self, frame: String) -> Result<(), String> {
        let mut state = self.lock();
        if state.closing.is_some() {
            return Ok(());
        }
        let full = state.frames.len() >= self.messages || state.bytes + frame.len() > self.bytes;
        if full && !state.blocked && !state.frames.is_empty() {
            return Err(frame);
        }
        if full {
            state.close(Closing::TooSlow);
        } else {
            state.bytes += frame.len();
            state.frames.push_back(frame);
            state.wake();
        }
        Ok(())
    }

    /// Asks for the newest list; asking twice is asking once.
    pub(crate) fn ask_for_list(&self) {
        let mut state = self.lock();
        state.list = true;
        state.wake();
    }

    /// Ends the session; the first reason stands, and what was queued is dropped.
    pub(crate) fn close(&self, why: Closing) {
        self.lock().close(why);
    }

    /// Whether the session is to end; if not, `waker` is woken by whatever comes in.
    pub(crate) fn closing(&self, waker: &Waker) -> Option<Closing> {
        let mut state = self.lock();
        match &mut state.reader {
            Some(reader) => reader.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        state.closing
    }

    /// Takes what is to be written next, a list first: whoever it names may be the sender of the frame behind it.
    pub(crate) fn take(&self) -> Option<Next> {
        let mut state = self.lock();
        state.blocked = false;
        if std::mem::take(&mut state.list) {
            return Some(Next::List);
        }
        let frame = state.frames.pop_front()?;
        state.bytes -= frame.len();
        Some(Next::Frame(frame))
    }

    /// The socket takes no more for now.
    pub(crate) fn block(&self) {
        self.lock().blocked = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self, why: Closing) {
        if self.closing.is_none() {
            self.closing = Some(why);
            self.frames = VecDeque::new();
            self.bytes = 0;
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(reader) = &self.reader {
            reader.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(&Limits { queued_messages: 3, queued_bytes: 10, ..Limits::default() })
    }

    fn closing(outbox: &Outbox) -> Option<Closing> {
        outbox.closing(Waker::noop())
    }

    #[test]
    fn a_list_goes_before_the_frames_and_only_once() {
        let outbox = outbox();
        outbox.push("a".into()).unwrap();
        outbox.ask_for_list();
        outbox.ask_for_list();
        assert_eq!(outbox.take(), Some(Next::List));
        assert_eq!(outbox.take(), Some(Next::Frame("a".into())));
        assert_eq!(outbox.take(), None);
    }

    #[rstest::rstest]
    #[case::of_messages(&["a", "b", "c"], "d")]
    #[case::of_bytes(&["12345", "12345"], "6")]
    fn a_full_queue(#[case] queued: &[&str], #[case] one_more: &str) {
        let outbox = outbox();
        for frame in queued {
            outbox.push((*frame).to_owned()).unwrap();
        }
        assert_eq!(outbox.push(one_more.to_owned()), Err(one_more.to_owned()), "its session has had no turn");
        assert_eq!(closing(&outbox), None);
        outbox.block();
        assert_eq!(outbox.push(one_more.to_owned()), Ok(()));
        assert_eq!(closing(&outbox), Some(Closing::TooSlow), "its client does not read");
        assert_eq!(outbox.take(), None, "its memory is free again");
    }

    #[test]
    fn what_was_taken_makes_room_again() {
        let outbox = outbox();
        for _ in 0..1000 {
            outbox.push("1234567890".into()).unwrap();
            assert!(outbox.take().is_some());
        }
    }

    #[test]
    fn a_frame_that_could_never_fit_closes_instead_of_coming_back_for_ever() {
        let outbox = outbox();
        assert_eq!(outbox.push("12345678901".into()), Ok(()));
        assert_eq!(closing(&outbox), Some(Closing::TooSlow));
    }

    #[test]
    fn the_first_reason_to_close_stands() {
        let outbox = outbox();
        outbox.close(Closing::Replaced);
        outbox.close(Closing::GoingAway);
        assert_eq!(closing(&outbox), Some(Closing::Replaced));
    }
}
