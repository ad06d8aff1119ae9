//! A small WebSocket signaling server for WebRTC peers: it introduces peers to one another and carries their
//! offers, answers and candidates, of whose content it knows nothing.
//!
//! # A map of the crate
//!
//! A frame travels through the files in this order:
//!
//! | file | holds |
//! |---|---|
//! | `cli` | the command line, signals and exit codes: [`main_with`] |
//! | `server` | the accept loop and the drain: [`Server`] |
//! | `session` | one socket: handshake, reading and writing at once, close handshakes |
//! | `protocol` | a frame's envelope, read without touching the rest; the frames the server makes itself |
//! | `room` | who is here, who may say what to whom, when lists go out: pure, knows no socket and no clock |
//! | `switchboard` | the one lock: carries out what the room decided |
//! | `outbox` | what waits to be written to one socket, bounded |
//! | `limits`, `liveness` | every number, the token bucket for mistakes, and the deadlines of one socket (pure) |
//! | `closing` | why a socket ends, and its close code |
//! | `error` | what can keep the server from running |
//!
//! A session never waits for another one's socket: it puts a frame into the other's outbox, and whoever cannot
//! keep up with its own outbox is closed. The README has the wire protocol.

mod cli;
mod closing;
mod error;
mod limits;
mod liveness;
mod outbox;
mod protocol;
mod room;
mod server;
mod session;
mod switchboard;

pub use cli::main_with;
pub use error::Error;
pub use limits::Limits;
pub use server::{Config, Server};
