//! The command line: where to listen, signals, exit codes.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::EnvFilter;

use crate::error::Error;
use crate::server::{Config, Server};

/// A small WebSocket signaling server for WebRTC peers.
#[derive(Debug, Parser)]
#[command(
    name = "signaling-server",
    version,
    after_help = "Environment:\n  PORT      the port to listen on, on every address; --listen wins over it\n  \
                  RUST_LOG  what to log on stderr, such as debug or signaling_server=trace [default: info]"
)]
struct Arguments {
    /// Where to listen; port 0 is any free one; may be given several times [default: 0.0.0.0:9000]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
}

/// The program: `arguments` begins with its name, as [`std::env::args_os`] does. When it listens it prints
/// `listening on ADDR:PORT`, a line for each; logs go to stderr. Exits with 0 after SIGTERM or SIGINT, with 2 where the command line or
/// `PORT` is wrong, with 1 where it cannot serve.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell where even this fails.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // `natlab` may have set up logging already; its choice stands.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter())
        .with_writer(io::stderr)
        // It would say on stderr that stderr is gone, and panic.
        .log_internal_errors(false)
        .try_init();
    match addresses(&arguments.listen, std::env::var_os("PORT")).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}\n  help: {}", error.help());
            ExitCode::from(error.exit_code())
        }
    }
}

/// What RUST_LOG asks for, but never the frames themselves: the libraries below log payloads.
fn filter() -> EnvFilter {
    let asked = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let silent = ["tungstenite=info", "tokio_tungstenite=info"];
    silent.iter().filter_map(|directive| directive.parse().ok()).fold(asked, EnvFilter::add_directive)
}

/// `--listen` wins over `PORT`, which wins over the default. An empty `PORT` is none.
fn addresses(listen: &[String], port: Option<OsString>) -> Result<Vec<SocketAddr>, Error> {
    if !listen.is_empty() {
        let wrong = |value: &String| Error::Address { setting: "--listen", value: value.clone() };
        return listen.iter().map(|listen| listen.parse().map_err(|_| wrong(listen))).collect();
    }
    let mut address = Config::LISTEN;
    if let Some(port) = port.filter(|port| !port.is_empty()) {
        let number = port.to_str().and_then(|port| port.parse().ok());
        let wrong = || Error::Address { setting: "PORT", value: port.to_string_lossy().into_owned() };
        address.set_port(number.ok_or_else(wrong)?);
    }
    Ok(vec![address])
}

/// One thread: a relayed message costs microseconds, and a lock that nobody contends costs nothing.
fn run(listen: Vec<SocketAddr>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the line that says so: whoever has read it may send a signal.
        let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let server = Server::bind(Config { listen, ..Config::default() }).await?;
        if let Err(error) = announce(&server) {
            warn!(%error, "nobody reads stdout");
        }
        server.serve(stop(&mut term, &mut interrupt)).await;
        Ok(())
    })
}

fn announce(server: &Server) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for address in server.local_addrs() {
        writeln!(stdout, "listening on {address}")?;
    }
    stdout.flush()
}

async fn stop(term: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing_said(&[], None, &["0.0.0.0:9000"])]
    #[case::a_port(&[], Some("8080"), &["0.0.0.0:8080"])]
    #[case::an_empty_port(&[], Some(""), &["0.0.0.0:9000"])]
    #[case::both(&["127.0.0.1:1"], Some("8080"), &["127.0.0.1:1"])]
    #[case::a_wrong_port_that_does_not_matter(&["[::]:0"], Some("x"), &["[::]:0"])]
    #[case::several_places(&["127.0.0.1:1", "[::1]:2"], None, &["127.0.0.1:1", "[::1]:2"])]
    fn listen_wins_over_port_and_port_over_the_default(
        #[case] listen: &[&str],
        #[case] port: Option<&str>,
        #[case] expected: &[&str],
    ) {
        let found = addresses(&owned(listen), port.map(OsString::from)).unwrap();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[rstest]
    #[case(&["localhost"], None, "cannot understand --listen `localhost`")]
    #[case(&["[::]:9", "1.2.3.4:70000"], None, "cannot understand --listen `1.2.3.4:70000`")]
    #[case(&[], Some("70000"), "cannot understand PORT `70000`")]
    #[case(&[], Some("http"), "cannot understand PORT `http`")]
    fn a_wrong_address_is_told_with_its_setting(
        #[case] listen: &[&str],
        #[case] port: Option<&str>,
        #[case] expected: &str,
    ) {
        let error = addresses(&owned(listen), port.map(OsString::from)).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.exit_code(), 2);
    }

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }
}
