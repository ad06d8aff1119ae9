//! `serve_forever` as a process: says when it is ready, answers, and ends cleanly when told to. It has its own main
//! because signals need a process whose only thread is the server's.

#![expect(clippy::unwrap_used, reason = "clippy allows it only inside test functions, and this is all test")]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use netns::nat::stun::{message, serve_forever};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("serve") {
        let addresses = [(); 2].map(|()| arguments.next().unwrap().parse().unwrap());
        return serve_forever(&[addresses], [3478, 3479]).unwrap();
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        a_server_that_is_told_to_end_ends_cleanly(signal);
        println!("test a_server_that_is_told_to_end_ends_cleanly::{signal} ... ok");
    }
}

fn a_server_that_is_told_to_end_ends_cleanly(signal: Signal) {
    let [.., high, low] = std::process::id().to_be_bytes();
    let [here, there] = [250, 251].map(|host| Ipv4Addr::new(127, high, low, host));
    let mut server = Serving::start(here, there);
    let mut ready = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert_eq!(ready, format!("listening on {here}:3478\n"));

    let client = UdpSocket::bind((here, 0)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send_to(&message::write_request([1; 12], None).unwrap(), (there, 3479)).unwrap();
    let mut answer = [0; 2048];
    let length = client.recv(&mut answer).unwrap();
    assert_eq!(message::read_answer(&answer[..length]).unwrap().other, Some(SocketAddr::from((here, 3478))));

    kill(Pid::from_raw(server.0.id().try_into().unwrap()), signal).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
}

/// This program again, as the server; gone when dropped, so that a failure leaves nothing behind.
struct Serving(Child);

impl Serving {
    fn start(here: Ipv4Addr, there: Ipv4Addr) -> Serving {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["serve", &here.to_string(), &there.to_string()]).stdout(Stdio::piped());
        Serving(program.spawn().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Does nothing to one that has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
