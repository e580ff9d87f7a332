//! Seals and opens with the keys of one tenant's tree.

use std::sync::Arc;

use async_trait::async_trait;
use domain::history::{Commit, CommitHash, Header, Position, Revision, StreamId};
use domain::port::{AppendError, CellPlace, Cells, Draft, Failure, Opened};
use domain::scope::{Part, Scope};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::commit::{COMMIT_MAX, OpenedCommit, Plain, Refusal, SealedSections, split};
use super::{Fault, Nonce, open, seal};
use crate::frame::{Message, label_texts};
use crate::keys::{KeyError, KeyId, KeyState, KeyTree, PersonKey};

/// A commit, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCommit {
    /// What is stored.
    pub bytes: Vec<u8>,
    /// Its hash: what the stream's next commit names as its previous one.
    pub hash: CommitHash,
    /// Its clear header.
    pub header: Header,
}

/// Seals and opens the commits and cells of one tenant.
#[derive(Debug, Clone)]
pub struct Sealer {
    keys: Arc<KeyTree>,
}

impl Sealer {
    /// A sealer with the keys of a tenant's tree.
    pub fn new(keys: Arc<KeyTree>) -> Self {
        Self { keys }
    }

    /// Seals a draft as the commit after `previous`. Every key that it needs is durable before this returns.
    ///
    /// # Errors
    /// `Erased` if a section's key is fenced; `TooLarge`; `Failed` if keys cannot be had or the draft cannot be stored.
    pub async fn seal(
        &self,
        draft: &Draft,
        revision: Revision,
        previous: CommitHash,
    ) -> Result<SealedCommit, AppendError> {
        let bodies = draft.events.iter().map(|event| event.body.to_value()).collect();
        self.seal_bodies(draft, bodies, revision, previous).await
    }

    /// The same, and takes the bodies of the draft's events.
    pub(crate) async fn seal_whole(
        &self,
        draft: &mut Draft,
        revision: Revision,
        previous: CommitHash,
    ) -> Result<SealedCommit, AppendError> {
        let bodies = draft.events.iter_mut().map(|event| event.body.take()).collect();
        self.seal_bodies(draft, bodies, revision, previous).await
    }

    async fn seal_bodies(
        &self,
        draft: &Draft,
        mut bodies: Vec<Value>,
        revision: Revision,
        previous: CommitHash,
    ) -> Result<SealedCommit, AppendError> {
        let header = header_of(draft, revision, previous);
        let refused = |fault: Fault| Failure::damaged(format!("draft for {}", draft.stream), fault);
        if draft.stream.journal.tenant != *self.keys.tenant() {
            return Err(refused(Fault::OtherStream).into());
        }
        let sections = split(&mut bodies).map_err(refused)?;
        let wanted: Vec<(Scope, Part)> = sections.keys().cloned().collect();
        let keys = match draft.stream.data_subject() {
            _ if wanted.is_empty() => Vec::new(),
            Some(data_subject) => self.keys.current_or_create(data_subject, &wanted).await?,
            None => return Err(refused(Fault::KeyIds).into()),
        };
        let tenant = self.keys.structure_key().await?;
        let values =
            keys.into_iter().zip(sections.into_values()).map(|((id, key), values)| (id, key, values)).collect();
        let plain = Plain { header: header.clone(), bodies, digest: draft.body_digest, tenant, values };
        let bytes = plain.seal(Nonce::random).map_err(refused)?;
        if bytes.len() > COMMIT_MAX {
            return Err(AppendError::TooLarge { size: bytes.len(), max: COMMIT_MAX });
        }
        let hash = CommitHash(Sha256::digest(&bytes).into());
        Ok(SealedCommit { bytes, hash, header })
    }

    /// Opens a commit that was read from `stream`. Sections whose key is fenced or destroyed are erased.
    ///
    /// # Errors
    /// `Damaged` if anything about it is not as it was sealed; `Missing` if the tree has never heard of a key;
    /// `Unavailable` if the tree or the KMS does not answer.
    pub async fn open(
        &self,
        bytes: &[u8],
        stream: &StreamId,
        position: Position,
        traceparent: Option<String>,
    ) -> Result<Commit, Failure> {
        let name = || format!("commit at {position} of {stream}");
        let damaged = |fault: Fault| Failure::damaged(name(), fault);
        let sealed = SealedSections::read(bytes).map_err(damaged)?;
        sealed.check(stream).map_err(damaged)?;
        let ids: Vec<&KeyId> = sealed.stored.keys.iter().map(|entry| &entry.id).collect();
        let states = self.keys.get(&ids).await?;
        let OpenedCommit { events, decoded, digest, erased } =
            sealed.open(&states).map_err(|refusal| match refusal {
                Refusal::Fault(fault) => damaged(fault),
                Refusal::UnknownKey(id) => Failure::missing(format!("the key {id} of the {}", name())),
            })?;
        let (header, hash) = (sealed.stored.header, sealed.hash);
        Ok(Commit { header, hash, position, events, body_digest: digest, erased, traceparent, decoded })
    }

    fn cell_aad(&self, place: &CellPlace) -> Vec<u8> {
        label_texts(&[
            "lethe/cell/v1",
            self.keys.tenant().as_str(),
            place.projection,
            &place.row,
            &place.data_subject.to_string(),
            place.scope.as_str(),
            place.part.as_str(),
        ])
    }
}

fn header_of(draft: &Draft, revision: Revision, previous: CommitHash) -> Header {
    Header {
        environment: draft.environment,
        stream: draft.stream.clone(),
        revision,
        events: draft.events.iter().map(|event| event.kind.clone()).collect(),
        stored_at: draft.stored_at,
        captured_at: draft.captured_at,
        actor: draft.actor.clone(),
        command: draft.command,
        causation: draft.causation,
        correlation: draft.correlation,
        previous,
    }
}

impl From<KeyError> for AppendError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Erased(scope) => Self::Erased(scope),
            KeyError::Failed(failure) => Self::Failed(failure),
        }
    }
}

#[async_trait]
impl Cells for Sealer {
    async fn seal(&self, place: &CellPlace, plain: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let wanted = [(place.scope, place.part.clone())];
        let key = match self.keys.current_or_create(place.data_subject, &wanted).await {
            Ok(keys) => keys.into_iter().next(),
            Err(KeyError::Erased(_)) => None,
            Err(KeyError::Failed(failure)) => return Err(failure),
        };
        Ok(key.map(|(id, key)| seal(&key, Nonce::random(), &id.to_string(), &self.cell_aad(place), plain)))
    }

    async fn open(&self, place: &CellPlace, sealed: &[u8]) -> Result<Opened, Failure> {
        let damaged = |fault: Fault| Failure::damaged(format!("a cell of {}", place.projection), fault);
        let kid = Message::decode(sealed).map_err(damaged)?.kid;
        let id: KeyId = kid.parse().map_err(|_| damaged(Fault::KeyIds))?;
        match &id {
            KeyId::Person(PersonKey { data_subject, scope, part, .. })
                if (data_subject, scope, part) == (&place.data_subject, &place.scope, &place.part) => {}
            _ => return Err(damaged(Fault::KeyIds)),
        }
        match self.keys.get(&[&id]).await?.into_iter().next() {
            Some(KeyState::Known(key)) => {
                let plain = open(&key, kid, &self.cell_aad(place), sealed).map_err(damaged)?;
                Ok(Opened::Known(plain.to_vec()))
            }
            Some(KeyState::Erased) => Ok(Opened::Erased),
            Some(KeyState::Unknown) | None => {
                Err(Failure::missing(format!("the key {id} of a cell of {}", place.projection)))
            }
        }
    }
}

#[cfg(test)]
#[path = "sealer_tests.rs"]
mod tests;
