//! The rules of the wire protocol, over real sockets. Nothing sleeps: what must not arrive is shown absent by a pong
//! that was asked for later.
#![expect(clippy::unwrap_used, reason = "all of it is tests, also what lies outside their functions")]

mod client;
mod closing;
mod lists;
mod mistakes;
mod program;
mod queues;
mod registration;
mod relay;
mod silence;
