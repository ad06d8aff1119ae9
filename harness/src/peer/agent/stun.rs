//! As much of STUN (RFC 8489) as gathering and counting need: binding requests without attributes, and the mapped
//! address of an answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const MAPPED_ADDRESS: u16 = 0x0001;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// What joins an answer to its request.
pub(super) type TransactionId = [u8; 12];

/// What a STUN message is, and what it says of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: MessageKind,
    pub(super) id: TransactionId,
    /// In an answer: where the request came from.
    pub(super) mapped: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind {
    Request,
    Success,
    Other,
}

/// A binding request.
pub(super) fn binding_request(id: TransactionId) -> [u8; HEADER] {
    let mut message = [0; HEADER];
    message[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    message[4..8].copy_from_slice(&MAGIC_COOKIE);
    message[8..].copy_from_slice(&id);
    message
}

/// Reads a datagram; `None` for DTLS and everything else that is not STUN (RFC 7983).
pub(super) fn parse(datagram: &[u8]) -> Option<Message> {
    // The first bit test keeps the path of the data short: DTLS begins with 20 to 63.
    if *datagram.first()? > 3 || datagram.get(4..8)? != MAGIC_COOKIE {
        return None;
    }
    let id: TransactionId = datagram.get(8..HEADER)?.try_into().ok()?;
    let kind = match u16::from_be_bytes([datagram[0], datagram[1]]) {
        BINDING_REQUEST => MessageKind::Request,
        BINDING_SUCCESS => MessageKind::Success,
        _ => MessageKind::Other,
    };
    let mapped = (kind == MessageKind::Success).then(|| mapped_address(&datagram[HEADER..], &id)).flatten();
    Some(Message { kind, id, mapped })
}

fn mapped_address(mut attributes: &[u8], id: &TransactionId) -> Option<SocketAddr> {
    let mut plain = None;
    while let Some(&[t1, t0, l1, l0]) = attributes.first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        let Some(value) = attributes.get(4..4 + length) else { break };
        match u16::from_be_bytes([t1, t0]) {
            XOR_MAPPED_ADDRESS => return address(value, &[&MAGIC_COOKIE[..], id].concat()),
            // Servers of RFC 3489 know no other.
            MAPPED_ADDRESS => plain = address(value, &[0; 16]),
            _ => {}
        }
        attributes = attributes.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    plain
}

fn address(value: &[u8], mask: &[u8]) -> Option<SocketAddr> {
    let (head, rest) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([head[2] ^ mask[0], head[3] ^ mask[1]]);
    let unmasked: Vec<u8> = rest.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    let ip = match (head[1], rest.len()) {
        (1, 4) => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(unmasked).ok()?)),
        (2, 16) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(unmasked).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 5769 section 2.2 and 2.3, up to MESSAGE-INTEGRITY.
    const ID: TransactionId = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
    const SOFTWARE: [u8; 16] = *b"\x80\x22\x00\x0btest vector ";

    #[test]
    fn the_answers_of_rfc_5769_give_their_addresses() {
        let v4 = [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        assert_eq!(parse(&answer(&v4)).unwrap().mapped, Some("192.0.2.1:32853".parse().unwrap()));
        let v6 = [
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79,
            0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        let expected = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        assert_eq!(parse(&answer(&v6)).unwrap().mapped, Some(expected));
    }

    #[test]
    fn a_request_is_read_back_as_what_it_was() {
        let message = parse(&binding_request(ID)).unwrap();
        assert_eq!(message, Message { kind: MessageKind::Request, id: ID, mapped: None });
    }

    #[test]
    fn what_is_cut_short_or_not_stun_gives_nothing_and_never_panics() {
        let whole = answer(&[0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        for length in 0..whole.len() {
            let mapped = parse(&whole[..length]).and_then(|message| message.mapped);
            assert_eq!(mapped, None, "{length} bytes");
        }
        assert_eq!(parse(&[22; 100]), None);
    }

    fn answer(attribute: &[u8]) -> Vec<u8> {
        let length = (SOFTWARE.len() + attribute.len()) as u16;
        [&BINDING_SUCCESS.to_be_bytes()[..], &length.to_be_bytes(), &MAGIC_COOKIE, &ID, &SOFTWARE, attribute]
            .concat()
    }
}
