//! A signaling server as small as can be: every registration tells everybody who is there, and `to` is obeyed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// Runs until it is dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

type Clients = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<String>>>>;

impl Relay {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients = Clients::default();
        let task = tokio::spawn(async move {
            // Dropped with the task, and all connections with it.
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.spawn(serve(stream, Arc::clone(&clients)));
            }
        });
        Self { address, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, clients: Clients) {
    let mut socket = accept_async(stream).await.unwrap();
    let (out, mut outgoing) = mpsc::unbounded_channel::<String>();
    loop {
        tokio::select! {
            text = outgoing.recv() => {
                if socket.send(Message::text(text.unwrap())).await.is_err() {
                    break;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => relay(&text, &out, &clients),
                Some(Ok(_)) => {}
                _ => break,
            },
        }
    }
    clients.lock().unwrap().retain(|_, client| !client.same_channel(&out));
}

fn relay(text: &str, out: &mpsc::UnboundedSender<String>, clients: &Clients) {
    let frame: Value = serde_json::from_str(text).unwrap();
    let mut clients = clients.lock().unwrap();
    if frame["type"] == "register" {
        let id = frame["clientId"].as_str().unwrap();
        clients.insert(id.to_owned(), out.clone());
        for (id, client) in clients.iter() {
            let others: Vec<_> = clients.keys().filter(|other| *other != id).collect();
            let _ = client.send(json!({"type": "peers", "peers": others}).to_string());
        }
    } else if let Some(to) = frame["to"].as_str()
        && let Some(client) = clients.get(to)
    {
        let _ = client.send(text.to_owned());
    }
}
