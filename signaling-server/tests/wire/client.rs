//! A server in this process, and a client that awaits frames.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling_server::{Config, Limits, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Nothing that is awaited takes this long; a test that hangs says where.
const HUNG: Duration = Duration::from_secs(30);

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start() -> TestServer {
        TestServer::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> TestServer {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let server = Server::bind(Config { listen, limits }).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let address = server.local_addrs()[0];
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        TestServer { address, stop: Some(stop), serving }
    }

    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn stopped(self) {
        before_it_hangs(self.serving).await.unwrap();
    }

    /// A client that has opened its socket and said nothing.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A client that has registered and has had its first list.
    pub(crate) async fn join(&self, id: &str) -> Client {
        let mut client = self.connect().await;
        client.register(id).await;
        client.list().await;
        client
    }
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (socket, _) = before_it_hangs(client_async(format!("ws://{address}/"), stream)).await.unwrap();
        Client { socket }
    }

    pub(crate) async fn register(&mut self, id: &str) {
        self.send(&json!({ "type": "register", "clientId": id }).to_string()).await;
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Bytes below the framing.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).await.unwrap();
    }

    /// The next text frame.
    pub(crate) async fn next(&mut self) -> String {
        before_it_hangs(async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("instead of a text frame: {other:?}"),
                }
            }
        })
        .await
    }

    /// The next text frame that is not a list.
    pub(crate) async fn message(&mut self) -> String {
        loop {
            let text = self.next().await;
            if !text.starts_with(r#"{"type":"peers""#) {
                return text;
            }
        }
    }

    /// The ids of the next frame, which must be a list.
    pub(crate) async fn list(&mut self) -> Vec<String> {
        let text = self.next().await;
        let frame: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(frame["type"], "peers", "{text}");
        serde_json::from_value(frame["peers"].clone()).unwrap()
    }

    /// Reads lists until one is as long as that.
    pub(crate) async fn list_of(&mut self, length: usize) -> Vec<String> {
        loop {
            let list = self.list().await;
            if list.len() == length {
                return list;
            }
        }
    }

    /// The text of the `error` that is the next frame but lists.
    pub(crate) async fn error(&mut self) -> String {
        let text = self.message().await;
        let frame: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(frame["type"], "error", "{text}");
        frame["message"].as_str().unwrap().to_owned()
    }

    /// Everything that the server had for this client before it answered a ping, but lists.
    pub(crate) async fn messages_until_pong(&mut self) -> Vec<String> {
        self.send(r#"{"type":"ping","ts":"the fence"}"#).await;
        let mut messages = Vec::new();
        loop {
            let text = self.message().await;
            if text.starts_with(r#"{"type":"pong","ts":"the fence""#) {
                return messages;
            }
            messages.push(text);
        }
    }

    /// The code of the close frame, after which the connection must end cleanly; frames before it are passed over.
    pub(crate) async fn close_code(&mut self) -> u16 {
        before_it_hangs(async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => {
                        let ending = self.socket.next().await;
                        assert!(ending.is_none(), "{ending:?}");
                        return frame.expect("a close frame with a code").code.into();
                    }
                    Some(Ok(_)) => {}
                    other => panic!("instead of a close frame: {other:?}"),
                }
            }
        })
        .await
    }
}

pub(crate) async fn before_it_hangs<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HUNG, future).await.expect("nothing came")
}
