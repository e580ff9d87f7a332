//! Writing messages back, each at its own sequence.

use async_nats::Client;
use domain::ids::TenantId;
use domain::port::Failure;
use tokio::time::sleep;

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::BackupError;
use super::read::Messages;
use super::{OnProgress, Progress};
use crate::archive::Origin;
use crate::journal::raw::{RawMessage, RawReader};
use crate::journal::{MAX_BATCH, Outgoing, Verdict, Wire};

/// How much one batch may hold.
const BATCH_BYTES: usize = 4 << 20;

/// So often a batch whose outcome is not known is looked for and sent again.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// The headers that are written again. Those of expectations and batches spoke of another time, and tell nothing.
const KEPT: &str = "traceparent";

const JOURNAL: &str = "the journal";

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Messages that were there already: an interrupted import went so far.
    pub found: u64,
    /// Messages that were written.
    pub written: u64,
}

/// Writes the messages of a journal stream of events back into a fresh one of the same name (see
/// [`Provisioner::restored`](crate::journal::Provisioner::restored)), each at its own sequence. Interrupted at any
/// point and begun again, it compares what is there and goes on after it.
///
/// # Errors
/// `Occupied` if the journal stream holds anything else.
pub async fn import(
    client: &Client,
    messages: &mut Messages<'_>,
    progress: OnProgress<'_>,
) -> Result<Imported, BackupError> {
    let Origin::Events(journal) = messages.origin().clone() else {
        let detail = "nodes are written back with import_nodes";
        return Err(Failure::damaged(messages.origin(), detail).into());
    };
    let (through, total) =
        (messages.journal().through, messages.journal().chunks.iter().map(|chunk| chunk.messages).sum());
    let mut import = Import {
        reader: RawReader::new(client.clone(), &journal),
        wire: Wire::new(client.clone()),
        name: messages.origin().stream_name(),
        last: 0,
        imported: Imported::default(),
    };
    import.last = import.reader.state().await?.last;
    if import.last > through {
        return Err(import.occupied(through + 1));
    }
    while let Some(chunk) = messages.next().await? {
        import.write(&chunk).await?;
        let messages_done = import.imported.found + import.imported.written;
        progress(Progress { messages: messages_done, of_messages: total, bytes: messages.bytes_read() });
    }
    Ok(import.imported)
}

struct Import {
    wire: Wire,
    reader: RawReader,
    name: String,
    /// The last sequence that is there.
    last: u64,
    imported: Imported,
}

impl Import {
    async fn write(&mut self, chunk: &[RawMessage]) -> Result<(), BackupError> {
        let known = chunk.partition_point(|message| message.sequence <= self.last);
        self.compare(&chunk[..known]).await?;
        self.imported.found += known as u64;
        let mut rest = &chunk[known..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_of(rest));
            self.write_batch(batch).await?;
            rest = after;
        }
        Ok(())
    }

    /// What is there must be what is to be written.
    async fn compare(&self, wanted: &[RawMessage]) -> Result<(), BackupError> {
        let mut wanted = wanted;
        while let (Some(first), Some(last)) = (wanted.first(), wanted.last()) {
            let page = self.reader.page(first.sequence, last.sequence).await?;
            let differs = page.iter().zip(wanted).find(|(there, wanted)| !is_same(there, wanted));
            if let Some((there, _)) = differs {
                return Err(self.occupied(there.sequence));
            }
            wanted = &wanted[page.len()..];
        }
        Ok(())
    }

    /// All of it or nothing, at its very sequences: the first message expects the end of the journal stream.
    async fn write_batch(&mut self, batch: &[RawMessage]) -> Result<(), BackupError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(()) };
        for _ in 0..TRIES {
            tracing::trace!(target: "failpoint", at = "import-before-batch");
            let refusal = match self.wire.publish_batch(outgoing(batch)).await {
                Ok(ack) if ack.first == first.sequence && ack.last == last.sequence => {
                    self.wrote(batch);
                    return Ok(());
                }
                Ok(ack) => return Err(self.occupied(ack.first)),
                Err(refusal) => refusal,
            };
            if refusal.verdict() == Verdict::Refused {
                return Err(refusal.into_failure(JOURNAL).into());
            }
            if self.is_there(batch).await? {
                self.wrote(batch);
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        let cause = format!("messages {} to {} could not be written; begin again", first.sequence, last.sequence);
        Err(Failure::unavailable(JOURNAL, cause).into())
    }

    /// After an unclear outcome: it is there, or it can be sent again; or somebody else writes here.
    async fn is_there(&self, batch: &[RawMessage]) -> Result<bool, BackupError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(true) };
        match self.reader.state().await {
            // Not there, or still on its way.
            Ok(state) if state.last < first.sequence => Ok(false),
            Ok(state) if state.last >= last.sequence => self.compare(batch).await.map(|()| true),
            Ok(state) => Err(self.occupied(state.last)),
            Err(Failure::Unavailable { .. }) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    fn wrote(&mut self, batch: &[RawMessage]) {
        tracing::trace!(target: "failpoint", at = "import-after-batch");
        self.last += batch.len() as u64;
        self.imported.written += batch.len() as u64;
    }

    fn occupied(&self, sequence: u64) -> BackupError {
        BackupError::Occupied { journal: self.name.clone(), sequence }
    }
}

/// How many messages go into the next batch.
fn batch_of(messages: &[RawMessage]) -> usize {
    let mut bytes = 0;
    let fits = |message: &&RawMessage| {
        bytes += message.payload.len();
        bytes <= BATCH_BYTES
    };
    messages.iter().take(MAX_BATCH).take_while(fits).count().max(1)
}

fn outgoing(batch: &[RawMessage]) -> Vec<Outgoing> {
    let each = batch.iter().enumerate().map(|(index, message)| {
        let mut out = Outgoing::new(message.subject.clone(), message.payload.clone());
        for (_, value) in message.headers.iter().filter(|(name, _)| name == KEPT) {
            out.headers.insert(KEPT, value.as_str());
        }
        // Only the first of a batch may expect it.
        if index == 0 { out.expecting_journal_at(message.sequence - 1) } else { out }
    });
    each.collect()
}

fn is_same(there: &RawMessage, wanted: &RawMessage) -> bool {
    there.sequence == wanted.sequence && there.subject == wanted.subject && there.payload == wanted.payload
}

/// Writes the nodes of a key tree back into its fresh journal stream: the last message of each place, the top last, so
/// that an interrupted import is no tree. Their sequences are new. Begun again, it goes on.
///
/// A restore takes the newest tree that opens, and never an old backup's own if there is a newer one.
///
/// # Errors
/// `Occupied` if a place holds something else.
pub async fn import_nodes(
    client: &Client,
    tenant: &TenantId,
    nodes: impl IntoIterator<Item = RawMessage>,
) -> Result<Imported, BackupError> {
    let mut last: BTreeMap<String, RawMessage> = BTreeMap::new();
    for node in nodes {
        match last.get(&node.subject) {
            Some(newer) if newer.sequence > node.sequence => {}
            _ => drop(last.insert(node.subject.clone(), node)),
        }
    }
    let origin = Origin::Keys(tenant.clone());
    let (reader, wire) = (RawReader::of_keys(client.clone(), tenant), Wire::new(client.clone()));
    let top = crate::journal::names::node_subject(tenant, "top");
    let mut nodes: Vec<RawMessage> = last.into_values().collect();
    nodes.sort_by_key(|node| node.subject == top);
    let mut imported = Imported::default();
    for node in nodes {
        if write_node(&origin, &reader, &wire, &node).await? {
            imported.written += 1;
        } else {
            imported.found += 1;
        }
    }
    Ok(imported)
}

/// Whether it had to be written.
async fn write_node(origin: &Origin, reader: &RawReader, wire: &Wire, node: &RawMessage) -> Result<bool, BackupError> {
    for _ in 0..TRIES {
        let out = Outgoing::new(node.subject.clone(), node.payload.clone()).expecting(0);
        let refusal = match wire.publish(out).await {
            Ok(_) => return Ok(true),
            Err(refusal) => refusal,
        };
        match reader.last_of(&node.subject).await {
            Ok(Some(there)) if there.payload == node.payload => return Ok(false),
            Ok(Some(there)) => {
                return Err(BackupError::Occupied { journal: origin.stream_name(), sequence: there.sequence });
            }
            Ok(None) if refusal.verdict() == Verdict::Refused => return Err(refusal.into_failure(JOURNAL).into()),
            Ok(None) | Err(Failure::Unavailable { .. }) => sleep(PAUSE).await,
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(Failure::unavailable(JOURNAL, "a node could not be written; begin again").into())
}
