//! The lab: Linux network namespaces with real routers between them, built through netlink in milliseconds. It knows
//! nothing of WebRTC, scenarios or reports.
//!
//! | to learn | read |
//! |---|---|
//! | what a lab is made of | [`topology`]: plain data; `address` gives every node its addresses |
//! | how it is built and entered | [`lab`], [`node`] |
//! | what a NAT is, its names, and which pairs can meet | [`nat`]: model, presets, oracle |
//! | how a NAT is made true | `nat::ruleset`: pure, from a [`nat::Nat`] to rules |
//! | how it is proven | [`nat::certify`]; its short form is [`nat::probe`], against [`nat::stun`] |
//! | what proofs are made with | [`raw`] packets, two CPUs in one instant: [`race`] |
//! | why nothing is left behind | [`sandbox`] |
//! | what the kernel is told | `netlink`: one small typed encoding |
//! | whether a machine can run labs | [`doctor`] |

mod address;
pub mod doctor;
mod enter;
mod error;
pub mod lab;
pub mod nat;
mod netlink;
pub mod node;
pub mod race;
pub mod raw;
pub mod sandbox;
pub mod topology;

pub use error::Error;
