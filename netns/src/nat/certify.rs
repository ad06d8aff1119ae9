//! Certifies a router: builds one, looks at it from inside and outside ([`Facts`]), and judges what was seen by the
//! RFCs and by its own declaration ([`judge`]). No negative is silence: each is a drop that the router has counted.

mod bench;
mod egress;
mod facts;
mod flows;
mod icmp;
mod ipv6;
mod judge;
mod lifetime;
mod requirement;
mod steady;
mod tcp;
mod udp;

pub use facts::{
    Collision, Egress, Errors, Exhaustion, Fact, Facts, Fragments, Icmp, Ipv6, Lifetime, Reboot, Steadiness,
    Tcp, Udp,
};
pub use judge::{Judged, Verdict, judge};
pub use requirement::{Requirement, Source};

use std::io;

use super::Nat;
use crate::Error;
use bench::{Bench, fact};

/// What a router was certified as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// What it was declared to be.
    pub declared: Nat,
    /// What was measured.
    pub facts: Facts,
    /// Every requirement, judged.
    pub judged: Vec<Judged>,
}

impl Certificate {
    /// Whether the router is what it was declared to be, whatever the RFCs think of that.
    pub fn is_as_declared(&self) -> bool {
        self.judged.iter().all(|judged| judged.verdict != Verdict::Violates)
    }
}

/// The machine could not do it; this says nothing of the router.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The lab failed.
    #[error(transparent)]
    Lab(#[from] Error),
    /// A socket failed.
    #[error("a socket of the bench failed: {0}")]
    Socket(#[from] io::Error),
    /// The lab lacks something.
    #[error("the bench has no {0}")]
    Missing(String),
}

impl Broken {
    fn missing(what: &str) -> Broken {
        Broken::Missing(what.to_owned())
    }
}

/// Certifies a router of this kind. Takes some seconds, most of them waiting for timers; runs in the calling process,
/// which must be inside a sandbox.
pub fn certify(nat: &Nat) -> Result<Certificate, Broken> {
    certify_as(nat, nat)
}

/// Certifies a declaration against a router that was built by another: what a router that lies comes to.
pub fn certify_as(declared: &Nat, built: &Nat) -> Result<Certificate, Broken> {
    let facts = measure(built)?;
    let judged = judge(declared, &facts);
    Ok(Certificate { declared: *declared, facts, judged })
}

/// Everything there is to see of a router of this kind. What it was declared to be is not asked here.
fn measure(nat: &Nat) -> Result<Facts, Broken> {
    let bench = Bench::build(nat)?;
    let ipv6 = if nat.family.has_v6() { Some(fact(ipv6::ask(&bench))?) } else { None };
    let egress = match nat.family.has_v4() {
        true => fact(egress::ask(&bench))?,
        false => Fact::NotTested("it has IPv6 only"),
    };
    let Fact::Is(leaves) = egress else {
        return Ok(Facts { egress, udp: None, tcp: None, icmp: None, ipv6 });
    };
    let is_open = leaves.after_log_in == Some(true);
    let udp = if leaves.udp || is_open { Some(udp::ask(&bench, nat)?) } else { None };
    let ports = match (leaves.tcp || is_open, leaves.https) {
        (true, _) => Some(tcp::PORTS),
        (false, true) => Some([tcp::HTTPS; 2]),
        (false, false) => None,
    };
    let tcp = ports.map(|ports| tcp::ask(&bench, ports)).transpose()?;
    let icmp = if udp.is_some() { Some(icmp::ask(&bench)?) } else { None };
    Ok(Facts { egress, udp, tcp, icmp, ipv6 })
}
