//! What the probe found in all, and whether it is what was declared.

use std::fmt;
use std::net::SocketAddr;

use super::{Declared, Measured};

/// What is between a host and the servers, as it was measured, layers and all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What UDP meets; `None` where the routers' counters have shown that it does not leave.
    pub udp: Option<Measured>,
    /// The connections that were asked for.
    pub tcp: Vec<Tcp>,
}

/// A connection that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// To whom.
    pub to: SocketAddr,
    /// Whether it was made; else the routers' counters have shown that it was refused.
    pub connected: bool,
}

/// What was declared and what was measured instead, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("declared {}, measured {}", .declared.join(", "), .measured.join(", "))]
pub struct Mismatch {
    /// Every declared property that was not found.
    pub declared: Vec<String>,
    /// What is there instead of each.
    pub measured: Vec<String>,
}

impl Mismatch {
    pub(super) fn add(&mut self, declared: String, measured: String) {
        self.declared.push(declared);
        self.measured.push(measured);
    }
}

impl Found {
    /// Whether this is what was declared.
    pub fn agrees_with(&self, declared: &Declared) -> Result<(), Mismatch> {
        let mut differs = Mismatch::default();
        match &self.udp {
            None if declared.passes_udp() => differs.add("UDP leaves".to_owned(), "UDP refused".to_owned()),
            Some(measured) if !declared.passes_udp() => {
                differs.add("UDP refused".to_owned(), measured.to_string());
            }
            Some(measured) => measured.compare(declared, &mut differs),
            None => {}
        }
        let in_words = |connected| if connected { "connected" } else { "refused" };
        for Tcp { to, connected } in &self.tcp {
            let passes = declared.passes_tcp(to.port());
            if *connected != passes {
                let words = |connected| format!("TCP to {to} {}", in_words(connected));
                differs.add(words(passes), words(*connected));
            }
        }
        if differs.declared.is_empty() { Ok(()) } else { Err(differs) }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.udp {
            Some(measured) => write!(out, "{measured}")?,
            None => write!(out, "UDP refused")?,
        }
        self.tcp.iter().try_for_each(|tcp| {
            write!(out, ", TCP to {} {}", tcp.to, if tcp.connected { "connected" } else { "refused" })
        })
    }
}
