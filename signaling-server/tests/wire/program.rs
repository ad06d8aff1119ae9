//! The program itself: what it prints, how it stops, what it exits with.

use std::net::SocketAddr;
use std::process::{ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::client::{Client, before_it_hangs};

const PROGRAM: &str = env!("CARGO_BIN_EXE_signaling-server");

#[rstest]
#[case::sigterm(Signal::SIGTERM)]
#[case::sigint(Signal::SIGINT)]
#[tokio::test]
async fn a_signal_closes_the_clients_with_1001_and_exits_0(#[case] signal: Signal) {
    let mut program = Program::start(Command::new(PROGRAM).args(["--listen", "127.0.0.1:0"])).await;
    let mut alice = Client::connect(program.address).await;
    let _deaf = Client::connect(program.address).await;
    program.signal(signal);
    assert_eq!(alice.close_code().await, 1001);
    assert_eq!(program.exit().await.code(), Some(0));
}

#[tokio::test]
async fn after_sigkill_the_same_port_can_be_listened_on_at_once() {
    let mut program = Program::start(Command::new(PROGRAM).args(["--listen", "127.0.0.1:0"])).await;
    let alice = Client::connect(program.address).await;
    program.signal(Signal::SIGKILL);
    program.exit().await;
    drop(alice);
    let listen = program.address.to_string();
    let again = Program::start(Command::new(PROGRAM).args(["--listen", &listen])).await;
    assert_eq!(again.address, program.address);
    Client::connect(again.address).await;
}

#[tokio::test]
async fn port_says_where_to_listen_and_listen_wins_over_it() {
    let program = Program::start(Command::new(PROGRAM).env("PORT", "0")).await;
    assert!(program.address.ip().is_unspecified());
    let program =
        Program::start(Command::new(PROGRAM).env("PORT", "nonsense").args(["--listen", "127.0.0.1:0"])).await;
    assert!(program.address.ip().is_loopback());
}

#[tokio::test]
async fn clients_of_several_doors_meet_in_one_room() {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"]).stdout(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut clients = Vec::new();
    for (id, host) in [("alice", "127.0.0.1"), ("bob", "127.0.0.2")] {
        let line = before_it_hangs(lines.next_line()).await.unwrap().unwrap();
        let address: SocketAddr = line.strip_prefix("listening on ").expect(&line).parse().unwrap();
        assert_eq!(address.ip().to_string(), host);
        let mut client = Client::connect(address).await;
        client.register(id).await;
        clients.push(client);
    }
    assert_eq!(clients[1].list().await, ["alice"]);
    clients[1].send(r#"{"type":"offer","to":"alice","sdp":"across"}"#).await;
    while !clients[0].message().await.contains("across") {}
}

#[tokio::test]
async fn a_port_in_use_is_one_error_with_help_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let output = output(Command::new(PROGRAM).args(["--listen", &listen])).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let expected = format!(
        "error: cannot listen on {listen}: Address already in use (os error 98)\n  \
         help: another program has this port: stop it, or choose another with --listen ADDR:PORT\n"
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}

#[rstest]
#[case::an_address_that_is_none(&["--listen", "nowhere"], "error: cannot understand --listen `nowhere`\n  help: ")]
#[case::an_unknown_flag(&["--lisen", "1.2.3.4:5"], "error: unexpected argument '--lisen' found")]
#[tokio::test]
async fn a_wrong_command_line_exits_with_2(#[case] arguments: &[&str], #[case] message: &str) {
    let output = output(Command::new(PROGRAM).args(arguments)).await;
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with(message), "{stderr}");
}

#[tokio::test]
async fn payloads_are_never_logged_however_much_is_logged() {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", "trace").stderr(Stdio::piped());
    let program = Program::start(&mut command).await;
    let mut alice = Client::connect(program.address).await;
    alice.register("alice").await;
    alice.send(r#"{"type":"offer","to":"alice","sdp":"hush-hush"}"#).await;
    assert!(alice.message().await.contains("hush-hush"));
    alice.send(r#"{"hush-hush"#).await;
    alice.error().await;
    drop(alice);
    program.signal(Signal::SIGTERM);
    let output = before_it_hangs(program.child.wait_with_output()).await.unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("connected"), "{log}");
    assert!(!log.contains("hush-hush"), "{log}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", "debug").stderr(Stdio::piped());
    let mut program = Program::start(&mut command).await;
    drop(program.child.stderr.take());
    for id in ["alice", "bob", "carol"] {
        let mut client = Client::connect(program.address).await;
        client.register(id).await;
        client.list().await;
    }
    program.signal(Signal::SIGTERM);
    assert_eq!(program.exit().await.code(), Some(0));
}

#[tokio::test]
async fn without_file_descriptors_it_waits_and_serves_again_when_there_are_some() {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 16; exec "$0" --listen 127.0.0.1:0"#, PROGRAM]).stderr(Stdio::piped());
    let mut program = Program::start(&mut command).await;
    let mut log = BufReader::new(program.child.stderr.take().unwrap()).lines();
    let mut crowd = Vec::new();
    for _ in 0..32 {
        crowd.push(tokio::net::TcpStream::connect(program.address).await.unwrap());
    }
    while !before_it_hangs(log.next_line()).await.unwrap().unwrap().contains("cannot accept") {}
    drop(crowd);
    let mut alice = Client::connect(program.address).await;
    alice.register("alice").await;
    alice.list().await;
    program.signal(Signal::SIGTERM);
    assert_eq!(program.exit().await.code(), Some(0));
}

struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    /// Starts it and waits for its line.
    async fn start(command: &mut Command) -> Program {
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        before_it_hangs(stdout.read_line(&mut line)).await.unwrap();
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.strip_suffix('\n'));
        Program { child, address: address.expect(&line).parse().unwrap() }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    async fn exit(&mut self) -> ExitStatus {
        before_it_hangs(self.child.wait()).await.unwrap()
    }
}

async fn output(command: &mut Command) -> Output {
    before_it_hangs(command.env_remove("PORT").output()).await.unwrap()
}
