//! natlab: what people touch. A scenario file becomes a lab, peers, and a verdict that cannot be right by accident.
//!
//! | to learn | read |
//! |---|---|
//! | what the command line does | [`cli`], one file a verb; [`exit`] says how it ends |
//! | what a scenario file says | [`scenario`]: read, check, unfold the matrix, fill in what the oracle expects |
//! | what is built for a case | [`plan`]: pure, from a case to a topology of `netns` |
//! | how a case runs | [`run`]: `case` builds, measures, starts, watches; `observed` collects; `expect` judges |
//! | what a peer is | [`peer`]: a process driven by JSON lines; only `peer::agent` knows the WebRTC stack |
//! | what comes out | [`report`] and [`progress`] |

pub mod cli;
pub mod exit;
pub mod peer;
pub mod plan;
pub mod progress;
pub mod report;
pub mod run;
pub mod scenario;
