//! One file through a data channel: announced, cut into messages, hashed on both ends, and acknowledged with the hash.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::agent::{Channel, ChannelError, Message};
use super::control::TransferPlan;
use super::control::event::Event;
use super::payload::Payload;
use super::reporter::Reporter;

/// Bytes in one message: what everybody takes.
const CHUNK: usize = 16 << 10;

/// Time between two reports of progress.
const PROGRESS: Duration = Duration::from_millis(250);

/// Text messages around the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Frame {
    File { transfer: u32, size: u64 },
    Eof { transfer: u32, sha256: String, bytes: u64 },
    Ack { transfer: u32, sha256: String, bytes: u64 },
}

/// Why a file did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransferError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("{0} came where {1} was due")]
    OutOfTurn(String, &'static str),
}

/// Sends a file and waits until the receiver has acknowledged it.
pub(super) async fn send(
    channel: &Channel,
    plan: &TransferPlan,
    buffer: &mut [u8],
    reporter: &Reporter,
) -> Result<(), TransferError> {
    // Nothing is due from the receiver before the end: what comes is an error, or the end of the channel.
    tokio::select! {
        sent = send_all(channel, plan, reporter) => sent?,
        early = channel.receive(buffer) => {
            return Err(TransferError::OutOfTurn(told(early?), "nothing"));
        }
    }
    match text(channel.receive(buffer).await?)? {
        Frame::Ack { transfer, sha256, .. } if transfer == plan.transfer => {
            reporter.report(Event::Acknowledged { transfer, sha256 });
            Ok(())
        }
        other => Err(TransferError::OutOfTurn(format!("{other:?}"), "an ack")),
    }
}

async fn send_all(channel: &Channel, plan: &TransferPlan, reporter: &Reporter) -> Result<(), TransferError> {
    let &TransferPlan { transfer, size, seed, flip_byte, .. } = plan;
    let mut gauge = Gauge::new(transfer, reporter);
    let mut payload = Payload::new(seed, size);
    channel.send_text(json(&Frame::File { transfer, size })).await?;
    while let Some(chunk) = payload.chunk(CHUNK.min(channel.max_message())) {
        let damaged = flip_byte && gauge.bytes == 0;
        gauge.hash.update(&chunk);
        channel.send(&if damaged { flipped(&chunk) } else { chunk.clone() }).await?;
        gauge.add(chunk.len());
    }
    let (bytes, sha256, seconds) = gauge.finish();
    channel.send_text(json(&Frame::Eof { transfer, sha256: sha256.clone(), bytes })).await?;
    reporter.report(Event::Sent { transfer, bytes, sha256, seconds });
    Ok(())
}

/// Receives a file and acknowledges it, whole or not.
pub(super) async fn receive(
    channel: &Channel,
    plan: &TransferPlan,
    buffer: &mut [u8],
    reporter: &Reporter,
) -> Result<(), TransferError> {
    let transfer = plan.transfer;
    match text(channel.receive(buffer).await?)? {
        Frame::File { transfer: begun, .. } if begun == transfer => {}
        other => return Err(TransferError::OutOfTurn(format!("{other:?}"), "the file")),
    }
    let mut gauge = Gauge::new(transfer, reporter);
    let expected_sha256 = loop {
        match channel.receive(buffer).await? {
            Message::Binary(bytes) => {
                gauge.hash.update(bytes);
                gauge.add(bytes.len());
            }
            message => match text(message)? {
                Frame::Eof { transfer: ended, sha256, .. } if ended == transfer => break sha256,
                other => return Err(TransferError::OutOfTurn(format!("{other:?}"), "more of the file")),
            },
        }
    };
    let (bytes, sha256, seconds) = gauge.finish();
    reporter.report(Event::Received { transfer, bytes, sha256: sha256.clone(), expected_sha256, seconds });
    channel.send_text(json(&Frame::Ack { transfer, sha256, bytes })).await?;
    Ok(())
}

/// Counts, hashes and times a file on its way.
struct Gauge<'a> {
    transfer: u32,
    reporter: &'a Reporter,
    hash: Sha256,
    bytes: u64,
    begun: Instant,
    told: Instant,
}

impl<'a> Gauge<'a> {
    fn new(transfer: u32, reporter: &'a Reporter) -> Self {
        let now = Instant::now();
        Self { transfer, reporter, hash: Sha256::new(), bytes: 0, begun: now, told: now }
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let now = Instant::now();
        if now - self.told >= PROGRESS {
            self.told = now;
            self.reporter.report(Event::Progress { transfer: self.transfer, bytes: self.bytes });
        }
    }

    fn finish(self) -> (u64, String, f64) {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (self.bytes, sha256, self.begun.elapsed().as_secs_f64())
    }
}

fn flipped(chunk: &Bytes) -> Bytes {
    let mut damaged = chunk.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    damaged.into()
}

fn json(frame: &Frame) -> String {
    serde_json::json!(frame).to_string()
}

fn text(message: Message<'_>) -> Result<Frame, TransferError> {
    let frame = match message {
        Message::Text(text) => serde_json::from_slice(text).ok(),
        Message::Binary(_) => None,
    };
    frame.ok_or_else(|| TransferError::OutOfTurn(told(message), "a frame of the transfer"))
}

fn told(message: Message<'_>) -> String {
    match message {
        Message::Text(text) => String::from_utf8_lossy(text).chars().take(200).collect(),
        Message::Binary(bytes) => format!("a message of {} bytes", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_are_written_as_the_contract_says() {
        let frames = [
            (Frame::File { transfer: 0, size: 7 }, r#"{"file":{"transfer":0,"size":7}}"#),
            (
                Frame::Eof { transfer: 0, sha256: "ab".to_owned(), bytes: 7 },
                r#"{"eof":{"transfer":0,"sha256":"ab","bytes":7}}"#,
            ),
            (
                Frame::Ack { transfer: 0, sha256: "ab".to_owned(), bytes: 7 },
                r#"{"ack":{"transfer":0,"sha256":"ab","bytes":7}}"#,
            ),
        ];
        for (frame, written) in frames {
            assert_eq!(json(&frame), written);
            assert_eq!(text(Message::Text(written.as_bytes())).unwrap(), frame);
        }
    }

    #[test]
    fn a_damaged_chunk_differs_in_one_byte() {
        let chunk = Bytes::from_static(b"abc");
        assert_eq!(flipped(&chunk), &b"acc"[..]);
    }
}
