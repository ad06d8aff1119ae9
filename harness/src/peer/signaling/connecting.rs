//! The way to the signaling server, tried again and again: a captive portal lets nobody through until somebody has
//! logged in, and a server may be late.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::UrlError;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

pub(super) type Socket = WebSocketStream<TcpStream>;

/// Longest time for TCP to connect: later the kernel would repeat its SYN, less and less often, and a way that has
/// opened meanwhile is found sooner by a new attempt (RFC 6298 section 2).
const CONNECT: Duration = Duration::from_secs(1);

/// Longest time for the handshake on top of it.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// Between two attempts, where the first was refused at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no signaling.
#[derive(Debug, thiserror::Error)]
pub(in crate::peer) enum SignalingError {
    #[error("{url} is no address of a signaling server: {error}")]
    Url { url: String, error: Error },
    #[error("{url} cannot be reached within {:.1} s: {error}", within.as_secs_f64())]
    Connect { url: String, within: Duration, error: Error },
}

/// Connects; tries again until `deadline`, and gives the last error then. Also tells which own address it is that
/// reaches the server.
pub(super) async fn connect(
    url: &str,
    deadline: Instant,
) -> Result<(Socket, Option<IpAddr>), SignalingError> {
    let request = url.into_client_request();
    let uri = request.map_err(|error| SignalingError::Url { url: url.to_owned(), error })?.uri().clone();
    let address = address(&uri).map_err(|error| SignalingError::Url { url: url.to_owned(), error })?;
    let began = Instant::now();
    let mut last = Error::Io(io::ErrorKind::TimedOut.into());
    loop {
        let attempt = Instant::now();
        match timeout_at(deadline, attempt_at(url, address)).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => last = error,
            // What earlier attempts met says more than that the time was up for the last one.
            Err(_) => {}
        }
        let next = attempt + PAUSE;
        if next >= deadline {
            let within = deadline - began;
            return Err(SignalingError::Connect { url: url.to_owned(), within, error: last });
        }
        tracing::debug!(url, error = %last, "not yet");
        sleep_until(next).await;
    }
}

async fn attempt_at(url: &str, address: SocketAddr) -> Result<(Socket, Option<IpAddr>), Error> {
    let silent = |what: &str, limit: Duration| {
        Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("no {what} within {limit:?}")))
    };
    let connected = timeout(CONNECT, TcpStream::connect(address)).await;
    let stream = connected.map_err(|_| silent("connection", CONNECT))??;
    // Frames are small, and each is somebody's wait.
    stream.set_nodelay(true)?;
    let local = stream.local_addr().ok().map(|address| address.ip());
    // The defaults of the library would cost 128 KiB a connection.
    let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(4 << 10);
    let greeted = timeout(HANDSHAKE, client_async_with_config(url, stream, Some(config))).await;
    let (socket, _) = greeted.map_err(|_| silent("answer to the handshake", HANDSHAKE))??;
    Ok((socket, local))
}

/// A node has no resolver of its own: the host is a literal address.
fn address(uri: &Uri) -> Result<SocketAddr, Error> {
    let host = uri.host().ok_or(Error::Url(UrlError::NoHostName))?;
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let no_literal = || Error::Url(UrlError::UnableToConnect(host.to_owned()));
    if uri.scheme_str() != Some("ws") {
        return Err(Error::Url(UrlError::UnsupportedUrlScheme));
    }
    Ok(SocketAddr::new(literal.parse().map_err(|_| no_literal())?, uri.port_u16().unwrap_or(80)))
}
