//! The port of the key tree, on JetStream: the last message of each node.

use async_nats::Client;
use async_trait::async_trait;
use domain::ids::TenantId;
use domain::port::Failure;
use serde_json::json;

use super::insist::{Attempt, NotStored, Settled, insist};
use super::names::{keys_stream, node_place, node_subject};
use super::read::{Stored, Which, missing_or_unavailable};
use super::refusal::Refusal;
use super::wire::{Outgoing, Wire};
use crate::keys::{NodeStore, NodeWrite, NodeWriteError, StoredNode};

/// The nodes of one tenant's key tree. Every read asks the leader: a stale node would lose a fence.
pub struct JetStreamNodes {
    wire: Wire,
    tenant: TenantId,
    journal: String,
}

impl JetStreamNodes {
    /// The nodes of a tenant, through the connection of its service login. Asks nothing yet; that the journal stream
    /// is there, [`JetStreamJournal::open`](super::JetStreamJournal::open) checks.
    pub fn new(client: Client, tenant: &TenantId) -> Self {
        Self { wire: Wire::new(client), tenant: tenant.clone(), journal: keys_stream(tenant) }
    }
}

#[async_trait]
impl NodeStore for JetStreamNodes {
    async fn read(&self, place: &str) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        let subject = node_subject(&self.tenant, place);
        let last = self.wire.newest(&self.journal, Which::LastOf(&subject)).await?;
        Ok(last.map(|last| (last.payload.to_vec(), last.sequence)))
    }

    async fn write(&self, writes: Vec<NodeWrite>) -> Result<Vec<u64>, NodeWriteError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        insist(&Writes { nodes: self, writes }).await.map_err(|not_stored| match not_stored {
            NotStored::Moved => NodeWriteError::Conflict,
            NotStored::Failed(failure) => NodeWriteError::Failed(failure),
        })
    }

    /// A direct read, for speed; but that nothing follows, the leader must say: another replica may be a moment behind.
    async fn changed_since(&self, after: u64) -> Result<Vec<StoredNode>, Failure> {
        // Most often there is nothing. A page would say so, too, but for each the server counts what is pending, subject
        // by subject in the newest block of the store: milliseconds, the more the larger the tree.
        if self.wire.newest(&self.journal, Which::NextOf(">", after + 1)).await?.is_none() {
            return Ok(Vec::new());
        }
        // Every subject: the journal stream has no other, and for a narrower filter the server counts what is pending
        // subject by subject, of which there is one a bucket.
        let mut messages = self.wire.next_of(&self.journal, ">", after + 1).await?;
        if messages.is_empty() {
            messages.extend(self.wire.message(&self.journal, Which::NextOf(">", after + 1)).await?);
        }
        let node = |message: Stored| {
            let place = node_place(&self.tenant, &message.subject).ok_or_else(|| {
                Failure::damaged(format!("journal stream {}", self.journal), "it holds a subject that is no node's")
            })?;
            Ok(StoredNode { place, sequence: message.sequence, bytes: message.payload.to_vec() })
        };
        messages.into_iter().map(node).collect()
    }

    async fn head(&self) -> Result<u64, Failure> {
        let info = self.wire.api(&format!("STREAM.INFO.{}", self.journal), json!({})).await;
        let info = info.map_err(|refusal| missing_or_unavailable(&self.journal, refusal))?;
        let last = info["state"]["last_seq"].as_u64();
        last.ok_or_else(|| Failure::unavailable("the key tree", "its journal stream does not say where it ends"))
    }
}

/// Nodes to be written together.
struct Writes<'a> {
    nodes: &'a JetStreamNodes,
    writes: Vec<NodeWrite>,
}

impl Writes<'_> {
    fn messages(&self) -> Vec<Outgoing> {
        let message = |write: &NodeWrite| {
            let subject = node_subject(&self.nodes.tenant, &write.place);
            Outgoing::new(subject, write.bytes.clone()).expecting(write.expected_sequence)
        };
        self.writes.iter().map(message).collect()
    }
}

#[async_trait]
impl Attempt for Writes<'_> {
    type Ack = Vec<u64>;

    async fn publish(&self) -> Result<Vec<u64>, Refusal> {
        let mut messages = self.messages();
        if messages.len() > 1 {
            let ack = self.nodes.wire.publish_batch(messages).await?;
            return Ok((ack.first..=ack.last).collect());
        }
        match messages.pop() {
            Some(only) => Ok(vec![self.nodes.wire.publish(only).await?.sequence]),
            None => Ok(Vec::new()),
        }
    }

    /// All or nothing: either every node is the one written here, or none will be.
    async fn settle(&self) -> Result<Settled<Vec<u64>>, Failure> {
        let mut sequences = Vec::with_capacity(self.writes.len());
        for write in &self.writes {
            match self.nodes.read(&write.place).await? {
                Some((bytes, sequence)) if sequence > write.expected_sequence && bytes == write.bytes => {
                    sequences.push(sequence);
                }
                stored if stored.as_ref().map_or(0, |(_, sequence)| *sequence) == write.expected_sequence => {
                    return Ok(Settled::Nothing);
                }
                _ => return Ok(Settled::Other),
            }
        }
        Ok(Settled::Own(sequences))
    }
}
