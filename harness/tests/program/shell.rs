//! `natlab shell`: inside any node of a lab, with a terminal and without, and gone with its lab when it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;

use super::natlab::{Done, Natlab, PROGRAM, ROOT};
use super::terminal::{CTRL_C, Terminal};

#[test]
fn one_command_runs_in_the_node_knows_where_it_is_and_its_exit_code_is_natlabs() {
    let Some(_) = Natlab::with_labs() else { return };
    let done = shell(&["two-homes", "bob", "--", "sh", "-c", "env; ls /sys/class/net /proc/net; exit 7"]);
    assert_eq!(done.code, Some(7), "{done:?}");
    for known in [
        "NATLAB_NODE=bob",
        "NATLAB_ADDRESS=10.",
        "NATLAB_ADDRESSES=10.",
        "NATLAB_STUN=203.0.113.",
        "NATLAB_STUN_ALT=203.0.113.",
        "NATLAB_SIGNALING=ws://203.0.113.",
    ] {
        assert!(done.stdout.lines().any(|line| line.starts_with(known)), "{known} is not in {}", done.stdout);
    }
    assert_eq!(done.stderr, "", "a command has its streams for itself");
}

#[test]
fn from_one_node_another_is_entered_and_a_routers_mappings_are_told() {
    let Some(_) = Natlab::with_labs() else { return };
    let script = format!(
        "{PROGRAM} enter alice -- bash -c 'echo in $NATLAB_NODE at $NATLAB_ADDRESS; \
         exec 3<>/dev/udp/203.0.113.2/3478; echo one >&3; echo two >&3'; {PROGRAM} nat table"
    );
    let done = shell(&["two-homes", "alice.router", "--", "sh", "-c", &script]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.stdout.starts_with("in alice at 10.1.0.2\n"), "{}", done.stdout);
    let mapping = done.stdout.lines().find(|line| line.starts_with("udp ")).unwrap();
    let columns: Vec<&str> = mapping.split_whitespace().collect();
    assert!(columns[1].starts_with("10.1.0.2:") && columns[2].starts_with("198.18.0.2:"), "{mapping}");
    assert_eq!((columns[3], columns[6]), ("any", "2"), "{mapping}");
}

#[rstest]
#[case::no_such_node("enter carol", "the lab has no node `carol`")]
#[case::not_a_lab("enter alice", "this is not inside a lab")]
fn what_cannot_be_entered_is_told(#[case] arguments: &str, #[case] why: &str) {
    let Some(_) = Natlab::with_labs() else { return };
    let done = match why.starts_with("this") {
        true => Done::of(&Command::new(PROGRAM).args(arguments.split(' ')).output().unwrap()),
        false => shell(&["two-homes", "--", "sh", "-c", &format!("{PROGRAM} {arguments}")]),
    };
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains(why) && done.stderr.contains("help: "), "{}", done.stderr);
}

#[rstest]
#[case::a_signal("kill -KILL $$", 137)]
#[case::nothing_to_complain_of("true", 0)]
fn a_command_that_ends_so_ends_natlab_so(#[case] script: &str, #[case] code: i32) {
    let Some(_) = Natlab::with_labs() else { return };
    assert_eq!(shell(&["two-homes", "--", "sh", "-c", script]).code, Some(code));
}

#[rstest]
#[case::not_there("no-such-program", 127, "No such file")]
#[case::no_program("/etc/passwd", 126, "Permission denied")]
fn what_cannot_be_started_ends_as_in_any_shell(#[case] program: &str, #[case] code: i32, #[case] why: &str) {
    let Some(_) = Natlab::with_labs() else { return };
    let done = shell(&["two-homes", "alice", "--", program]);
    assert_eq!(done.code, Some(code), "{done:?}");
    assert!(done.stderr.contains(program) && done.stderr.contains(why), "{}", done.stderr);
}

#[test]
fn the_servers_of_the_lab_answer() {
    let Some(_) = Natlab::with_labs() else { return };
    // The handshake of a WebSocket, at both ports that the signaling server has.
    let ask = r#"for port in 9000 443; do
        host=${NATLAB_SIGNALING#ws://}; exec 3<>/dev/tcp/${host%:*}/$port
        printf 'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' >&3
        printf 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n' >&3
        head -n 1 <&3; done"#;
    let done = shell(&["two-homes", "alice", "--", "bash", "-c", ask]);
    assert_eq!(done.stdout.matches("101 Switching Protocols").count(), 2, "{done:?}");
}

#[test]
fn without_a_command_and_a_terminal_a_shell_reads_what_it_is_told_and_says_what_is_where() {
    let Some(_) = Natlab::with_labs() else { return };
    let mut child = command(&["two-homes", "alice.router"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"echo in $NATLAB_NODE\nexit 3\n").unwrap();
    let done = Done::of(&child.wait_with_output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (Some(3), "in alice.router\n"));
    for node in ["alice ", "bob ", "alice.router ", "stun ", "signaling ", "internet ", "full-cone"] {
        assert!(done.stderr.contains(node), "{node} is not in {}", done.stderr);
    }
    assert!(done.stderr.ends_with("in alice.router; the lab goes when this shell does\n"), "{}", done.stderr);
}

#[rstest]
#[case::an_unknown_node(&["two-homes", "carol"], 2, "it has alice, bob, alice.router, bob.router, stun")]
#[case::too_many_cases(&["stun-only"], 2, "stun-only[alice.nat=open,bob.nat=full-cone]")]
#[case::an_unknown_case(&["no-such-scenario"], 3, "no-such-scenario")]
#[case::no_case(&["two-homes", "-k", "two-home"], 4, "natlab list")]
fn what_is_not_one_case_or_one_node_of_it_is_refused(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] help: &str,
) {
    let done = shell(arguments);
    assert_eq!(done.code, Some(code), "{done:?}");
    assert!(done.stderr.contains(help), "{help:?} is not in {}", done.stderr);
}

#[test]
fn one_case_of_a_file_that_has_several_is_named_by_its_id() {
    let Some(_) = Natlab::with_labs() else { return };
    let id = "stun-only[alice.nat=symmetric,bob.nat=open]";
    let env = ["--", "sh", "-c", "echo $NATLAB_NAT"];
    let by_name = shell(&[&[id, "alice.router"], &env[..]].concat());
    assert_eq!((by_name.code, by_name.stdout.contains("symmetric")), (Some(0), true), "{by_name:?}");
    let by_filter = shell(&[&["scenarios/matrix", "-k", id, "alice.router"], &env[..]].concat());
    assert_eq!(by_filter.stdout, by_name.stdout, "{by_filter:?}");
}

#[rstest]
#[case::killed(Signal::SIGKILL)]
#[case::terminated(Signal::SIGTERM)]
#[case::hung_up(Signal::SIGHUP)]
fn a_lab_goes_with_its_shell_whatever_way_it_goes(#[case] signal: Signal) {
    let Some(_) = Natlab::with_labs() else { return };
    // The command, and one that it leaves behind, hold our pipe for as long as they live.
    let script = "sleep 1000 & echo up; wait";
    let mut natlab = command(&["two-homes", "--", "sh", "-c", script]).spawn().unwrap();
    let mut said = BufReader::new(natlab.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    kill(Pid::from_raw(natlab.id().cast_signed()), signal).unwrap();
    said.read_to_string(&mut line).unwrap();
    let status = natlab.wait().unwrap();
    assert_eq!(status.code(), (signal != Signal::SIGKILL).then_some(130), "{status}");
}

#[test]
fn what_a_command_leaves_running_goes_with_the_lab() {
    let Some(_) = Natlab::with_labs() else { return };
    // `output` reads until nobody holds the pipe any more.
    let done = shell(&["two-homes", "--", "sh", "-c", "nohup setsid sleep 1000 & echo gone"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "gone\n"));
}

#[test]
fn on_a_terminal_the_shell_leads_and_keys_are_for_what_runs_in_it() {
    let Some(_) = Natlab::with_labs() else { return };
    let mut command = Command::new("setsid");
    command.args(["--ctty", PROGRAM, "shell", "two-homes", "alice"]);
    command.env("SHELL", "/bin/sh").env("PS1", "ready> ").env_remove("ENV");
    let mut terminal = Terminal::of(command);
    terminal.until("the lab goes when this shell does");
    // What is typed is shown as well: only the answers count.
    for (keys, answer) in [
        (&b"tr a-z A-Z\nis it heard?\n"[..], "IS IT HEARD?"),
        (CTRL_C, "ready> "),
        (b"echo $((6 * 7)) goes on\n", "42 goes on"),
        (b"sleep 1000 & jobs\n", "Running"),
    ] {
        terminal.shown.clear();
        terminal.keyboard.write_all(keys).unwrap();
        terminal.until(answer);
    }
    terminal.keyboard.write_all(b"exit 5\n").unwrap();
    assert_eq!(terminal.ends(), Some(5), "{:?}", terminal.shown);
}

fn shell(arguments: &[&str]) -> Done {
    Done::of(&command(arguments).stdin(Stdio::null()).output().unwrap())
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("shell").args(arguments).current_dir(ROOT).env("SHELL", "/bin/sh").env_remove("CI");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
