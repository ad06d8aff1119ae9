//! The rules of the wire protocol, over real sockets. Nothing sleeps: what must not arrive is shown absent by a pong
//! that was asked for later.

mod client;
mod closing;
mod lists;
mod mistakes;
mod program;
mod queues;
mod registration;
mod relay;
mod silence;
