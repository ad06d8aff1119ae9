//! The real program, from its command line to its report and its end. Without a sandbox these tests say so and pass;
//! under `CI` that is a failure.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic like a test")]

mod adversity;
mod broken;
mod command_line;
mod lifecycle;
mod matrix;
mod nat;
mod natlab;
mod networks;
mod shell;
mod smoke;
mod steps;
mod terminal;
