//! The STUN server over loopback: what it answers, from where, and what it passes over in silence.

#![expect(clippy::unwrap_used, reason = "clippy allows it only inside test functions, and this is all test")]

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netns::nat::stun::Server;
use netns::nat::stun::message::{
    self, Answer, Change, MessageError, Transaction, read_answer, write_request,
};

const PORTS: [u16; 2] = [3478, 3479];

#[test]
fn every_change_is_answered_from_the_socket_that_was_asked_for() {
    let running = Running::start(1);
    let client = running.client();
    for (asked, change) in all_endpoints().into_iter().flat_map(|at| all_changes().map(|change| (at, change)))
    {
        let destination = running.endpoint(asked);
        let origin = running.endpoint((asked.0 ^ change.address, asked.1 ^ change.port));
        let other = running.endpoint((!asked.0, !asked.1));
        client.send_to(&write_request(*b"which-socket", Some(change)).unwrap(), destination).unwrap();
        let (datagram, source) = receive(&client);
        assert_eq!(source, origin, "{destination} asked for {change:?}");
        let expected = Answer {
            transaction: *b"which-socket",
            mapped: client.local_addr().unwrap(),
            origin: Some(origin),
            other: Some(other),
        };
        assert_eq!(read_answer(&datagram), Ok(expected));
    }
}

#[test]
fn an_answer_has_exactly_the_promised_attributes() {
    let running = Running::start(2);
    let client = running.client();
    let plain = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], b"attributes!?"].concat();
    client.send_to(&plain, running.endpoint((false, false))).unwrap();
    let (datagram, _) = receive(&client);
    assert_eq!(attribute_types(&datagram), [0x0020, 0x802B, 0x802C, 0x8022]);
    // CRC-32 of the 20 bytes before the attribute, as RFC 8489 section 14.7 wants it.
    let fingerprinted = [
        &[0, 1, 0, 8, 0x21, 0x12, 0xA4, 0x42][..],
        b"attributes!?",
        &[0x80, 0x28, 0, 4, 0x8A, 0xD7, 0xE3, 0x96],
    ];
    client.send_to(&fingerprinted.concat(), running.endpoint((false, false))).unwrap();
    let (datagram, _) = receive(&client);
    assert_eq!(attribute_types(&datagram), [0x0020, 0x802B, 0x802C, 0x8022, 0x8028]);
}

#[test]
fn unknown_required_attributes_are_refused_by_name_from_the_socket_that_was_asked() {
    let running = Running::start(3);
    let client = running.client();
    // CHANGE-REQUEST, PADDING, an unknown optional one, an unassigned required one twice, USERNAME.
    let attributes = [
        &[0x00, 0x03, 0, 4, 0, 0, 0, 6][..],
        &[0x00, 0x26, 0, 0],
        &[0xC0, 0x57, 0, 2, 1, 2, 0, 0],
        &[0x7F, 0xFE, 0, 0],
        &[0x7F, 0xFE, 0, 0],
        &[0x00, 0x06, 0, 3, b'a', b'b', b'c', 0],
    ]
    .concat();
    let header = [0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xA4, 0x42];
    let server = running.endpoint((false, true));
    client.send_to(&[&header[..], b"what-is-this", &attributes].concat(), server).unwrap();
    let (datagram, source) = receive(&client);
    assert_eq!(source, server);
    assert_eq!(message::transaction(&datagram), Some(*b"what-is-this"));
    assert_eq!(
        read_answer(&datagram),
        Err(MessageError::Refused { code: 420, reason: "Unknown Attribute".to_owned() })
    );
    let named = [0x00, 0x0A, 0, 4, 0x00, 0x26, 0x7F, 0xFE];
    assert!(datagram.windows(named.len()).any(|part| part == named), "{datagram:02x?}");
}

#[test]
fn what_is_no_binding_request_is_passed_over_in_silence() {
    let running = Running::start(4);
    let client = running.client();
    let server = running.endpoint((false, false));
    let request = write_request(*b"not-answered", None).unwrap();
    let with = |at: usize, byte: u8| {
        let mut altered = request.clone();
        altered[at] = byte;
        altered
    };
    let answer = Answer {
        transaction: *b"not-answered",
        mapped: SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
        origin: None,
        other: None,
    };
    for silent in [
        Vec::new(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 1500],
        with(1, 0x11), // Binding indication
        with(1, 0x03), // TURN Allocate request
        with(4, 0),    // RFC 3489, without the magic cookie
        with(0, 0x40), // not STUN: RTP and others begin so
        with(3, 4),    // shorter than it says
        request[..19].to_vec(),
        [&request[..], &[0; 4]].concat(), // longer than it says
        message::write_answer(&answer, true).unwrap(),
        long_request(),
    ] {
        client.send_to(&silent, server).unwrap();
    }
    // The queue is in order, so if this is the first answer there was none before it.
    client.send_to(&write_request(*b"the-only-one", None).unwrap(), server).unwrap();
    assert_eq!(message::transaction(&receive(&client).0), Some(*b"the-only-one"));
}

#[test]
fn one_socket_answers_in_the_order_of_its_requests() {
    let running = Running::start(5);
    let client = running.client();
    let server = running.endpoint((false, false));
    let changes = all_changes();
    let in_order: Vec<Transaction> = (0..100).map(|at| [at; 12]).collect();
    for (&transaction, &change) in in_order.iter().zip(changes.iter().cycle()) {
        client.send_to(&write_request(transaction, Some(change)).unwrap(), server).unwrap();
    }
    let answered: Vec<_> =
        in_order.iter().filter_map(|_| message::transaction(&receive(&client).0)).collect();
    assert_eq!(answered, in_order);
}

#[test]
fn two_hundred_agents_at_once_are_all_told_their_own_address() {
    let running = Running::start(6);
    let clients: Vec<_> = (0..200).map(|_| running.client()).collect();
    for (client, at) in clients.iter().zip(all_endpoints().into_iter().cycle()) {
        client.send_to(&write_request(*b"all-together", None).unwrap(), running.endpoint(at)).unwrap();
    }
    for client in &clients {
        let mapped = read_answer(&receive(client).0).unwrap().mapped;
        assert_eq!(mapped, client.local_addr().unwrap());
    }
}

#[test]
fn two_addresses_of_one_family_and_two_ports_are_required() {
    let [here, there] = loopback(7);
    let v6 = IpAddr::from(std::net::Ipv6Addr::LOCALHOST);
    for (pairs, ports) in [
        (vec![[here, here]], PORTS),
        (vec![[here, v6]], PORTS),
        (vec![], PORTS),
        (vec![[here, there]], [3478, 3478]),
        (vec![[here, there]], [0, 3478]),
    ] {
        let error = Server::bind(&pairs, ports).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a STUN server for NAT discovery needs two addresses of a family and two ports (RFC 5780)"
        );
    }
    let elsewhere = Ipv4Addr::new(192, 0, 2, 1).into();
    let error = Server::bind(&[[here, elsewhere]], PORTS).unwrap_err().to_string();
    assert!(error.starts_with("192.0.2.1:3478: "), "{error}");
}

/// A server in a thread of its own, stopped and awaited when dropped.
struct Running {
    addresses: [IpAddr; 2],
    stop: UnixStream,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Running {
    fn start(test: u8) -> Running {
        let addresses = loopback(test);
        let server = Server::bind(&[addresses], PORTS).unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let thread = Some(thread::spawn(move || server.serve(stopped)));
        Running { addresses, stop, thread }
    }

    fn endpoint(&self, (other_address, other_port): (bool, bool)) -> SocketAddr {
        SocketAddr::new(self.addresses[usize::from(other_address)], PORTS[usize::from(other_port)])
    }

    fn client(&self) -> UdpSocket {
        let client = UdpSocket::bind((self.addresses[0], 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.shutdown(std::net::Shutdown::Write).unwrap();
        self.thread.take().unwrap().join().unwrap().unwrap();
        // It has let go of its end.
        assert_eq!(self.stop.read(&mut [0]).unwrap(), 0);
    }
}

/// Two addresses that no other test has, nor another run of the tests on this machine.
fn loopback(test: u8) -> [IpAddr; 2] {
    let [.., high, low] = std::process::id().to_be_bytes();
    [2 * test, 2 * test + 1].map(|host| Ipv4Addr::new(127, high, low, host).into())
}

fn receive(client: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut datagram = [0; 2048];
    let (length, source) = client.recv_from(&mut datagram).unwrap();
    (datagram[..length].to_vec(), source)
}

fn attribute_types(mut datagram: &[u8]) -> Vec<u16> {
    let mut types = Vec::new();
    datagram = &datagram[20..];
    while let [a, b, c, d, rest @ ..] = datagram {
        types.push(u16::from_be_bytes([*a, *b]));
        datagram = &rest[usize::from(u16::from_be_bytes([*c, *d])).next_multiple_of(4)..];
    }
    types
}

/// A request that is right, but for an optional attribute that makes it larger than any path.
fn long_request() -> Vec<u8> {
    let header = [0, 1, 0x08, 0x04, 0x21, 0x12, 0xA4, 0x42];
    [&header[..], b"not-answered", &[0xC0, 0x57, 0x08, 0x00], &[0; 0x800]].concat()
}

fn all_endpoints() -> [(bool, bool); 4] {
    [(false, false), (false, true), (true, false), (true, true)]
}

fn all_changes() -> [Change; 4] {
    all_endpoints().map(|(address, port)| Change { address, port })
}
