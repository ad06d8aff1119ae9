//! natlab: NAT simulation lab and integration-test harness for WebRTC.

pub mod cli;
pub mod exit;
pub mod scenario;
