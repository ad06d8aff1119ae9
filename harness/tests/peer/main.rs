//! Two peer processes over loopback, with a signaling server of the test's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connection;
mod failure;
mod process;
mod relay;
