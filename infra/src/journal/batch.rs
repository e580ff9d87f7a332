//! Several messages, all or none (NATS ADR-50).
//!
//! All expectations are checked when the last message arrives; one that fails refuses the whole batch, and the server
//! does not say which. A subject may stand in a batch once.

use async_nats::Request;
use async_nats::header::{NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE};

use super::refusal::{ApiError, Refusal};
use super::wire::{Outgoing, Wire, acknowledged};

/// How many messages the server takes in one batch.
pub const MAX_BATCH: usize = 1000;

/// From this size on the first message is awaited: a refusal then comes before the bulk is sent. Below it the extra
/// round trip costs more than it can save.
const ASK_FIRST: usize = 64;

/// A stored batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchAck {
    /// The sequence of the first message.
    pub first: u64,
    /// The sequence of the last message.
    pub last: u64,
}

impl Wire {
    /// Publishes all messages or none, and waits until they are on disk.
    ///
    /// # Errors
    /// See [`Refusal::verdict`] for whether they were stored. More than [`MAX_BATCH`] messages, or none, are refused
    /// here with the code that the server would use.
    pub async fn publish_batch(&self, messages: Vec<Outgoing>) -> Result<BatchAck, Refusal> {
        let count = messages.len();
        if !(1..=MAX_BATCH).contains(&count) {
            let description = format!("a batch has 1 to {MAX_BATCH} messages, this one {count}");
            return Err(Refusal::Server(ApiError { status: 400, number: 10199, description }));
        }
        let id = self.batch_id();
        for (index, mut message) in messages.into_iter().enumerate() {
            message.headers.insert(NATS_BATCH_ID, id.as_str());
            message.headers.insert(NATS_BATCH_SEQUENCE, (index + 1).to_string());
            if index + 1 == count {
                message.headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
                let ack = self.publish(message).await?;
                let stored = ack.batch_size.unwrap_or(1).max(1);
                return Ok(BatchAck { first: ack.sequence + 1 - stored, last: ack.sequence });
            }
            if index == 0 && count > ASK_FIRST {
                self.open_batch(message).await?;
            } else {
                self.hand_over(message).await?;
            }
        }
        Err(Refusal::Silence("a batch without a last message".into()))
    }

    /// The first message, awaited: an empty reply says that the batch is open.
    async fn open_batch(&self, message: Outgoing) -> Result<(), Refusal> {
        let request = Request::new().headers(message.headers).payload(message.payload);
        let reply = self.request(message.subject, request).await?;
        if reply.payload.is_empty() { Ok(()) } else { acknowledged(&reply.payload).map(drop) }
    }

    /// A message before the last: only the last one is acknowledged, for all.
    async fn hand_over(&self, message: Outgoing) -> Result<(), Refusal> {
        self.client()
            .publish_with_headers(message.subject, message.headers, message.payload)
            .await
            .map_err(|error| Refusal::Silence(error.to_string()))
    }

    /// Unique among the open batches of the server: the random tail of an inbox.
    fn batch_id(&self) -> String {
        let inbox = self.client().new_inbox();
        inbox.rsplit('.').next().unwrap_or_default().to_owned()
    }
}
