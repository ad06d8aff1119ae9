//! `serve_forever` as a process: says when it is ready, answers, and ends cleanly when told to. It has its own main
//! because signals need a process whose only thread is the server's.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use netns::nat::stun::{message, serve_forever};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("serve") {
        let addresses = [(); 2].map(|()| arguments.next().unwrap().parse().unwrap());
        return serve_forever(addresses, [3478, 3479]).unwrap();
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        a_server_that_is_told_to_end_ends_cleanly(signal);
        println!("test a_server_that_is_told_to_end_ends_cleanly::{signal} ... ok");
    }
}

fn a_server_that_is_told_to_end_ends_cleanly(signal: Signal) {
    let [.., high, low] = std::process::id().to_be_bytes();
    let [here, there] = [250, 251].map(|host| Ipv4Addr::new(127, high, low, host));
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["serve", &here.to_string(), &there.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert_eq!(ready, format!("listening on {here}:3478\n"));

    let client = UdpSocket::bind((here, 0)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send_to(&message::write_request([1; 12], None).unwrap(), (there, 3479)).unwrap();
    let mut answer = [0; 2048];
    let length = client.recv(&mut answer).unwrap();
    assert_eq!(message::read_answer(&answer[..length]).unwrap().other, Some(SocketAddrV4::new(here, 3478)));

    kill(Pid::from_raw(server.id().try_into().unwrap()), signal).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
}
