//! Two peer processes over loopback, with a signaling server of the test's own.

mod connection;
mod failure;
mod process;
mod relay;
