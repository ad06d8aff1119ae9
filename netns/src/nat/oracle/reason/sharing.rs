//! What comes of a router that both hosts are behind, in words.

use super::Reason;

/// What comes of a router that both hosts are behind. It is the one at whose address STUN sees them both, or the
/// innermost of those that they share where they meet inside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Both have their own address inside it.
    BothInside,
    /// One has its own address inside it, and the other reaches it there.
    OneInside {
        /// Whether it is the first whose address is known.
        first_is_known: bool,
    },
    /// It turns nothing round.
    NoHairpin,
    /// It turns packets round and shows the outside address: as between two homes.
    Turned {
        /// What comes of that.
        then: Box<Reason>,
    },
    /// It shows the inside source, which both sides admit.
    InsideSourceAdmitted,
    /// It shows the inside source, which one side has never sent to.
    InsideSourceRefused {
        /// Whether that side is the first.
        first_refuses: bool,
    },
    /// It turns nothing round that is sent to the ports that STUN saw, for nothing is sent from them.
    AdmitsNone,
    /// It shows the inside source, which is the address of another shared router: nobody takes a packet from himself.
    OwnAddressFromOutside {
        /// The one whose address is shown.
        forged: String,
    },
}

impl Sharing {
    pub(super) fn words(&self, router: &str, first: &str, second: &str) -> String {
        let pick = |is_first| if is_first { (first, second) } else { (second, first) };
        match self {
            Sharing::BothInside => {
                format!(
                    "{first} and {second} are both inside {router}, which translates nothing between them"
                )
            }
            Sharing::OneInside { first_is_known } => {
                let (known, other) = pick(*first_is_known);
                format!(
                    "{known} has its own address inside {router}, where {other} reaches it, and learns from the check \
                     where {other} is (peer-reflexive)"
                )
            }
            Sharing::NoHairpin => format!(
                "STUN sees {first} and {second} at one address, that of {router}, which turns nothing round (no \
                 hairpin)"
            ),
            Sharing::Turned { then } => {
                format!(
                    "{router} turns packets between its homes round (hairpin), and {}",
                    then.words(first, second)
                )
            }
            Sharing::InsideSourceAdmitted => format!(
                "{router} turns packets round and shows their inside source; neither {first} nor {second} filters, so \
                 they learn it from the checks (peer-reflexive) and go on inside {router}"
            ),
            Sharing::InsideSourceRefused { first_refuses } => format!(
                "{router} turns packets round and shows their inside source, which {} has never sent to and does not \
                 admit",
                pick(*first_refuses).0
            ),
            Sharing::AdmitsNone => format!(
                "{router} turns packets round, but none to the ports that STUN saw: {first} and {second} both send \
                 from others, and it filters"
            ),
            Sharing::OwnAddressFromOutside { forged } => format!(
                "{router} turns packets of {first} and {second} round and shows their inside source, which is the \
                 address of {forged}: it takes none from itself"
            ),
        }
    }
}
