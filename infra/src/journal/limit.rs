//! The raw limit of reading a journal stream: an ordered consumer that counts what comes. For measurements only.

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::push;
use domain::history::JournalId;
use domain::port::Failure;
use futures_util::TryStreamExt as _;

use super::names::journal_stream;

/// Reads every message of a journal stream in order, with the client's own ordered consumer, and looks at none. Returns
/// how many there were, and how many bytes they have.
///
/// # Errors
/// When the journal stream is missing or does not answer.
pub async fn count_in_order(client: &Client, journal: &JournalId) -> Result<(u64, u64), Failure> {
    let lost = |error: &dyn std::fmt::Display| Failure::unavailable("the journal", error);
    let context = jetstream::new(client.clone());
    let mut stream = context.get_stream(journal_stream(journal)).await.map_err(|error| lost(&error))?;
    let last = stream.info().await.map_err(|error| lost(&error))?.state.last_sequence;
    let config = push::OrderedConfig { deliver_subject: client.new_inbox(), ..Default::default() };
    let consumer = stream.create_consumer(config).await.map_err(|error| lost(&error))?;
    let mut messages = consumer.messages().await.map_err(|error| lost(&error))?;
    let (mut count, mut bytes) = (0, 0);
    while count < last {
        let message = messages.try_next().await.map_err(|error| lost(&error))?;
        let message = message.ok_or_else(|| lost(&"the consumer ended"))?;
        count += 1;
        bytes += message.payload.len() as u64;
    }
    Ok((count, bytes))
}
