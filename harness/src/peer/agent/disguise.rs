//! A peer of both address families, shown to an ICE agent whose candidates all share one socket and so one family:
//! partners at IPv4 addresses look to it like IPv4-mapped IPv6 ones (RFC 4291 section 2.5.5.2). Nothing of that leaves.

use std::net::{IpAddr, SocketAddr};

use webrtc::stun::agent::TransactionId as Id;
use webrtc::stun::fingerprint::FINGERPRINT;
use webrtc::stun::integrity::MessageIntegrity;
use webrtc::stun::message::{BINDING_SUCCESS, Message};
use webrtc::stun::xoraddr::XorMappedAddress;

use super::stun::TransactionId;

/// Whether there is anything to disguise: a peer of one family is shown as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disguise(pub(super) bool);

impl Disguise {
    /// What the ICE agent is shown for this address.
    pub(super) fn shown(self, real: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.shown_ip(real.ip()), real.port())
    }

    /// The line of a candidate as the ICE agent is to read it. It compares addresses as text, so they are written as it
    /// would write them.
    pub(super) fn shown_line(self, line: &str) -> String {
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if let Some(address) = words.get_mut(4)
            && let Ok(ip) = address.parse()
        {
            *address = self.shown_ip(ip).to_string();
        }
        words.join(" ")
    }

    fn shown_ip(self, real: IpAddr) -> IpAddr {
        match real {
            IpAddr::V4(v4) if self.0 => v4.to_ipv6_mapped().into(),
            real => real,
        }
    }
}

/// What the ICE agent means by this address.
pub(super) fn real(shown: SocketAddr) -> SocketAddr {
    SocketAddr::new(shown.ip().to_canonical(), shown.port())
}

/// The answer to a connectivity check, as the ICE agent would write it (RFC 8445 section 7.3.1.2), had it known where
/// the check really came from.
pub(super) fn answer(id: TransactionId, to: SocketAddr, password: &str) -> Option<Vec<u8>> {
    let mut message = Message::new();
    let built = message.build(&[
        Box::new(Id(id)),
        Box::new(BINDING_SUCCESS),
        Box::new(XorMappedAddress { ip: to.ip(), port: to.port() }),
        Box::new(MessageIntegrity::new_short_term_integrity(password.to_owned())),
        Box::new(FINGERPRINT),
    ]);
    built.is_ok().then_some(message.raw)
}

#[cfg(test)]
mod tests {
    use super::super::stun::{MessageKind, parse};
    use super::*;

    #[test]
    fn what_is_shown_is_meant_again() {
        for address in ["192.0.2.1:7", "[2001:db8::1]:7"] {
            let address: SocketAddr = address.parse().unwrap();
            for disguise in [Disguise(true), Disguise(false)] {
                assert_eq!(real(disguise.shown(address)), address);
            }
            assert!(Disguise(true).shown(address).is_ipv6());
            assert_eq!(Disguise(false).shown(address), address);
        }
    }

    #[test]
    fn a_candidate_is_read_as_the_addresses_of_datagrams_are_written() {
        let line =
            |address| format!("candidate:1 1 udp 9 {address} 5000 typ srflx raddr 10.0.0.2 rport 5000");
        assert_eq!(Disguise(true).shown_line(&line("192.0.2.1")), line("::ffff:192.0.2.1"));
        assert_eq!(Disguise(true).shown_line(&line("2001:DB8:0::1")), line("2001:db8::1"));
        assert_eq!(Disguise(false).shown_line(&line("192.0.2.1")), line("192.0.2.1"));
        assert_eq!(Disguise(true).shown_line(&line("a.local")), line("a.local"));
    }

    #[test]
    fn an_answer_names_the_real_address_and_is_signed() {
        let to = "192.0.2.1:32853".parse().unwrap();
        let answer = answer([7; 12], to, "secret").unwrap();
        let parsed = parse(&answer).unwrap();
        assert_eq!((parsed.kind, parsed.id, parsed.mapped), (MessageKind::Success, [7; 12], Some(to)));
        let mut message = Message { raw: answer, ..Message::default() };
        message.decode().unwrap();
        MessageIntegrity::new_short_term_integrity("secret".to_owned()).check(&mut message).unwrap();
        FINGERPRINT.check(&message).unwrap();
    }
}
