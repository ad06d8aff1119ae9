//! What may not leave at all, and how what a router refuses ends.

use super::packet::{DESTINATION_PORT, SCRATCH, TCP, UDP, is_protocol};
use super::{FILTERED, PORTAL, REFUSED, chain, then};
use crate::nat::{Egress, Nat, OnDrop};
use crate::netlink::nftables::{Chain, Expr, Rejection, Verdict};

/// The jump to the chain that decides what may leave at all, where not everything may.
pub(super) fn asked(nat: &Nat) -> Option<Vec<Expr>> {
    (nat.egress != Egress::Everything).then(|| then(Vec::new(), Verdict::Jump(name(nat))))
}

/// That chain.
pub(super) fn egress(nat: &Nat) -> Option<Chain> {
    const HTTPS: u16 = 443;
    let refused = refuse(nat, REFUSED);
    let rules = match nat.egress {
        Egress::Everything => return None,
        Egress::NoUdp => vec![[is_protocol(UDP), refused].concat()],
        Egress::HttpsOnly => {
            let mut https = is_protocol(TCP);
            https.push(Expr::Load(DESTINATION_PORT, SCRATCH));
            https.push(Expr::Is(SCRATCH, HTTPS.to_be_bytes().to_vec()));
            vec![then(https, Verdict::Return), refused]
        }
        Egress::Portal => vec![refused],
    };
    Some(chain(name(nat), rules))
}

const fn name(nat: &Nat) -> &'static str {
    match nat.egress {
        Egress::Portal => PORTAL,
        Egress::Everything | Egress::NoUdp | Egress::HttpsOnly => "egress",
    }
}

/// Counts a packet and ends it, with a word where the NAT says one: about what its filter or its policy refuses.
pub(super) fn refuse(nat: &Nat, counter: &'static str) -> Vec<Expr> {
    let says_so = nat.on_drop == OnDrop::Reject && matches!(counter, FILTERED | REFUSED);
    let end = if says_so { Verdict::Goto("reject") } else { Verdict::Drop };
    vec![Expr::Count(counter), Expr::Verdict(end)]
}

/// The chain that says the word.
pub(super) fn rejections() -> Chain {
    let mut reset = is_protocol(TCP);
    reset.push(Expr::Reject(Rejection::Reset));
    chain("reject", vec![reset, vec![Expr::Reject(Rejection::Prohibited)]])
}
