//! The few STUN messages that RFC 5780 discovery needs, read and written with `stun_codec`: Binding requests
//! with or without CHANGE-REQUEST, their answers, and the 420 refusal. No other file knows that crate.

use std::io;
use std::net::SocketAddr;

use attribute::Attribute;
use bytecodec::{DecodeExt, EncodeExt};
use stun_codec::rfc5389::attributes::{
    ErrorCode, Fingerprint, MappedAddress, Software, UnknownAttributes, XorMappedAddress,
};
use stun_codec::rfc5389::{errors, methods::BINDING};
use stun_codec::rfc5780::attributes::{ChangeRequest, OtherAddress, ResponseOrigin};
use stun_codec::{
    Attribute as _, AttributeType, Message, MessageClass, MessageDecoder, MessageEncoder, TransactionId,
};

/// What ties an answer to its request.
pub type Transaction = [u8; 12];

/// From where else a request wants to be answered (RFC 5780 section 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// From the server's other address.
    pub address: bool,
    /// From the server's other port.
    pub port: bool,
}

/// A Binding request as the server reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// To be echoed.
    pub transaction: Transaction,
    /// From where to answer.
    pub change: Change,
    /// Whether it carried a FINGERPRINT; the answer then carries one too (RFC 8489 section 14.7).
    pub fingerprint: bool,
    /// Comprehension-required attributes that this server does not know, each once. If there is one, the
    /// answer is a 420.
    pub unknown: Vec<u16>,
}

/// A Binding success response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// That of the request.
    pub transaction: Transaction,
    /// The request's source as the server saw it.
    pub mapped: SocketAddr,
    /// From where the server says that it answers. Absent from servers that know only RFC 8489.
    pub origin: Option<SocketAddr>,
    /// The server's other address and other port. Absent from servers that know only RFC 8489.
    pub other: Option<SocketAddr>,
}

/// Why a datagram is not the message that was looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Too short, another length than the header says, wrong magic cookie, or non-zero first bits.
    #[error("not a STUN message")]
    NotStun,
    /// A well-formed STUN message that this side does not expect.
    #[error("a STUN {found} where a Binding {expected} was expected")]
    Unexpected {
        /// Its class and method.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// Attributes that cannot be parsed.
    #[error("its attributes are malformed, or its FINGERPRINT is wrong")]
    Malformed,
    /// The server refused.
    #[error("the server refused: {code} {reason}")]
    Refused {
        /// STUN error code.
        code: u16,
        /// The server's words.
        reason: String,
    },
    /// Neither XOR-MAPPED-ADDRESS nor MAPPED-ADDRESS.
    #[error("it carries no mapped address")]
    Unmapped,
    /// An address of the other family than that by which the answer came.
    #[error("it carries {0}, which is of another address family")]
    OtherFamily(SocketAddr),
}

/// Writes a Binding request.
pub fn write_request(transaction: Transaction, change: Option<Change>) -> io::Result<Vec<u8>> {
    let mut request =
        Message::<ChangeRequest>::new(MessageClass::Request, BINDING, TransactionId::new(transaction));
    if let Some(Change { address, port }) = change {
        request.add_attribute(ChangeRequest::new(address, port));
    }
    MessageEncoder::default().encode_into_bytes(request).map_err(io::Error::other)
}

/// Reads a Binding request; anything else is an error that says what it was.
pub fn read_request(datagram: &[u8]) -> Result<Request, MessageError> {
    let message = read(datagram)?;
    expect_class(&message, MessageClass::Request, "request")?;
    let (mut change, mut unknown) = (Change::default(), Vec::new());
    for attribute in message.unknown_attributes() {
        let kind = attribute.get_type();
        if kind.as_u16() == ChangeRequest::CODEPOINT {
            change = change_request(attribute.value())?;
        } else if kind.is_comprehension_required()
            && !KNOWN_AND_IGNORED.contains(&kind.as_u16())
            && !unknown.contains(&kind.as_u16())
        {
            unknown.push(kind.as_u16());
        }
    }
    Ok(Request {
        transaction: *message.transaction_id().as_bytes(),
        change,
        fingerprint: message.get_attribute::<Fingerprint>().is_some(),
        unknown,
    })
}

/// Writes the answer to a request: a success response, with a FINGERPRINT if so asked.
pub fn write_answer(answer: &Answer, fingerprint: bool) -> io::Result<Vec<u8>> {
    let mut message =
        Message::new(MessageClass::SuccessResponse, BINDING, TransactionId::new(answer.transaction));
    message.add_attribute(XorMappedAddress::new(answer.mapped));
    if let Some(origin) = answer.origin {
        message.add_attribute(ResponseOrigin::new(origin));
    }
    if let Some(other) = answer.other {
        message.add_attribute(OtherAddress::new(other));
    }
    finish(message, fingerprint)
}

/// Writes the refusal of a request that has unknown comprehension-required attributes (RFC 8489 section 6.3.1).
pub fn write_refusal(request: &Request) -> io::Result<Vec<u8>> {
    let mut message =
        Message::new(MessageClass::ErrorResponse, BINDING, TransactionId::new(request.transaction));
    message.add_attribute(ErrorCode::from(errors::UnknownAttribute));
    let unknown = request.unknown.iter().copied().map(AttributeType::new).collect();
    message.add_attribute(UnknownAttributes::new(unknown));
    finish(message, request.fingerprint)
}

/// Reads a Binding success response; anything else is an error that says what it was.
pub fn read_answer(datagram: &[u8]) -> Result<Answer, MessageError> {
    let message = read(datagram)?;
    if let (MessageClass::ErrorResponse, Some(error)) =
        (message.class(), message.get_attribute::<ErrorCode>())
    {
        return Err(MessageError::Refused { code: error.code(), reason: error.reason_phrase().to_owned() });
    }
    expect_class(&message, MessageClass::SuccessResponse, "success response")?;
    let mapped = match (message.get_attribute::<XorMappedAddress>(), message.get_attribute::<MappedAddress>())
    {
        (Some(mapped), _) => mapped.address(),
        (None, Some(mapped)) => mapped.address(),
        (None, None) => return Err(MessageError::Unmapped),
    };
    Ok(Answer {
        transaction: *message.transaction_id().as_bytes(),
        mapped,
        origin: message.get_attribute::<ResponseOrigin>().map(ResponseOrigin::address),
        other: message.get_attribute::<OtherAddress>().map(OtherAddress::address),
    })
}

/// The transaction that a datagram claims to belong to, if it has a STUN header at all.
pub fn transaction(datagram: &[u8]) -> Option<Transaction> {
    let (header, attributes) = datagram.split_at_checked(HEADER)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let is_stun = header[0] >> 6 == 0 && header[4..8] == MAGIC_COOKIE && length == attributes.len();
    is_stun.then(|| header[8..].try_into().ok()).flatten()
}

/// The attributes that are read, as `stun_codec` wants them declared.
mod attribute {
    use stun_codec::rfc5389::attributes::{
        ErrorCode, Fingerprint, MappedAddress, Software, UnknownAttributes, XorMappedAddress,
    };
    use stun_codec::rfc5780::attributes::{OtherAddress, ResponseOrigin};

    // CHANGE-REQUEST is not in the list: `stun_codec` 0.4 writes its flags right but reads them one bit too low,
    // so it is left to arrive as an unknown attribute, and `change_request` reads it.
    stun_codec::define_attribute_enums!(
        Attribute,
        AttributeDecoder,
        AttributeEncoder,
        [
            MappedAddress,
            XorMappedAddress,
            ResponseOrigin,
            OtherAddress,
            ErrorCode,
            UnknownAttributes,
            Software,
            Fingerprint
        ]
    );
}

const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
/// Comprehension-required attributes of RFC 8489 about credentials, which this server does not want: known but
/// unexpected ones are ignored (section 6.3). RESPONSE-PORT and PADDING are refused, which RFC 5780 allows.
const KNOWN_AND_IGNORED: [u16; 7] = [0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E];
const SOFTWARE: Software = Software::new_static("natlab");

fn read(datagram: &[u8]) -> Result<Message<Attribute>, MessageError> {
    transaction(datagram).ok_or(MessageError::NotStun)?;
    match MessageDecoder::<Attribute>::new().decode_from_bytes(datagram) {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(_)) | Err(_) => Err(MessageError::Malformed),
    }
}

fn expect_class(
    message: &Message<Attribute>,
    class: MessageClass,
    expected: &'static str,
) -> Result<(), MessageError> {
    if message.class() == class && message.method() == BINDING {
        return Ok(());
    }
    let found = format!("{} of method {:#05x}", message.class(), message.method().as_u16());
    Err(MessageError::Unexpected { found, expected })
}

fn change_request(value: &[u8]) -> Result<Change, MessageError> {
    let flags = u32::from_be_bytes(value.try_into().map_err(|_| MessageError::Malformed)?);
    Ok(Change { address: flags & 0x4 != 0, port: flags & 0x2 != 0 })
}

fn finish(mut message: Message<Attribute>, fingerprint: bool) -> io::Result<Vec<u8>> {
    message.add_attribute(SOFTWARE);
    if fingerprint {
        message.add_attribute(Fingerprint::new(&message).map_err(io::Error::other)?);
    }
    MessageEncoder::default().encode_into_bytes(message).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Transaction = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";

    #[test]
    fn the_sample_request_of_rfc_5769_is_read() {
        let request = read_request(&bytes(
            "000100582112a442b7e7a701bc34d686fa87dfae 802200105354554e207465737420636c69656e74 002400046e0001ff \
             80290008932ff9b151263b36 000600096576746a3a68367659202020 \
             000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004e57a3bcf",
        ));
        let priority = vec![0x0024];
        let change = Change::default();
        assert_eq!(request, Ok(Request { transaction: ID, change, fingerprint: true, unknown: priority }));
    }

    #[test]
    fn the_sample_response_of_rfc_5769_is_read() {
        let answer = read_answer(&bytes(
            "0101003c2112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220 002000080001a147e112a643 \
             000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004c07d4c96",
        ));
        let mapped = "192.0.2.1:32853".parse().unwrap();
        assert_eq!(answer, Ok(Answer { transaction: ID, mapped, origin: None, other: None }));
    }

    #[test]
    fn the_flags_of_change_request_are_those_of_rfc_5780() {
        for (flags, address, port) in [(0, false, false), (2, false, true), (4, true, false), (6, true, true)]
        {
            let change = Change { address, port };
            let written = write_request(ID, Some(change)).unwrap();
            assert_eq!(written[20..], [0, 3, 0, 4, 0, 0, 0, flags]);
            assert_eq!(read_request(&written).unwrap().change, change);
        }
        assert_eq!(write_request(ID, None).unwrap().len(), HEADER);
    }

    #[test]
    fn the_sample_ipv6_response_of_rfc_5769_is_read() {
        let answer = read_answer(&bytes(
            "010100482112a442b7e7a701bc34d686fa87dfae 8022000b7465737420766563746f7220 \
             002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9 \
             00080014a382954e4be67bf11784c97c8292c275bfe3ed41 80280004c8fb0b4c",
        ));
        let mapped = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        assert_eq!(answer, Ok(Answer { transaction: ID, mapped, origin: None, other: None }));
    }

    #[test]
    fn an_answer_of_either_family_is_read_as_it_was_written() {
        for address in ["192.0.2.1:3478", "[2001:db8::1]:3478"] {
            let at = |port| SocketAddr::new(address.parse::<SocketAddr>().unwrap().ip(), port);
            let (origin, other) = (Some(at(2)), Some(at(3)));
            let answer = Answer { transaction: ID, mapped: at(1), origin, other };
            assert_eq!(read_answer(&write_answer(&answer, true).unwrap()), Ok(answer));
        }
    }

    #[test]
    fn a_mapped_address_serves_where_no_xored_one_is() {
        let answer =
            read_answer(&bytes("0101000c2112a442b7e7a701bc34d686fa87dfae 0001000800010d96c0000201")).unwrap();
        assert_eq!(answer.mapped, "192.0.2.1:3478".parse().unwrap());
    }

    #[test]
    fn what_is_no_answer_says_what_it_is() {
        let header = "2112a442b7e7a701bc34d686fa87dfae";
        for (datagram, words) in [
            ("0101".to_owned(), "not a STUN message"),
            (format!("01010000{}", header.replace("2112", "2113")), "not a STUN message"),
            (format!("01010004{header}"), "not a STUN message"),
            (format!("01010000{header}"), "it carries no mapped address"),
            (
                format!("00010000{header}"),
                "a STUN request of method 0x001 where a Binding success response was expected",
            ),
            (
                format!("01010008{header}0020000400010000"),
                "its attributes are malformed, or its FINGERPRINT is wrong",
            ),
            (format!("01110010{header}00090009000004006e6f2077617900000000"), "not a STUN message"),
            (format!("01110010{header}0009000a000004146e6f20776179 0000"), "the server refused: 420 no way"),
        ] {
            assert_eq!(read_answer(&bytes(&datagram)).unwrap_err().to_string(), words, "{datagram}");
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }
}
