//! One message after the other: what can be told from it and from those before it.

use std::collections::BTreeMap;

use domain::history::{CommitHash, JournalId, Revision, StreamId};
use domain::port::Failure;
use sha2::{Digest, Sha256};

use super::report::{Damage, JournalReport, Report};
use crate::journal::names::{Subject, parse_subject};
use crate::journal::raw::RawMessage;
use crate::keys::{KeyId, KeyState, KeyTree};
use crate::seal::SealedSections;

/// The end of a stream, as far as it was read.
struct End {
    revision: Revision,
    hash: CommitHash,
    sequence: u64,
    /// Whether it is known to be damaged: what follows cannot be compared with it.
    is_damaged: bool,
}

/// The messages of one journal stream, as they come.
pub(super) struct Messages<'a> {
    journal: &'a JournalId,
    keys: Option<&'a KeyTree>,
    structure: BTreeMap<u32, KeyState>,
    ends: BTreeMap<StreamId, End>,
    commits: u64,
    guards: u64,
    authenticated: u64,
}

impl<'a> Messages<'a> {
    pub(super) fn new(journal: &'a JournalId, keys: Option<&'a KeyTree>) -> Self {
        let (structure, ends) = (BTreeMap::new(), BTreeMap::new());
        Self { journal, keys, structure, ends, commits: 0, guards: 0, authenticated: 0 }
    }

    pub(super) fn report(&self, last: u64, checkpoints: u64) -> JournalReport {
        JournalReport {
            journal: self.journal.clone(),
            last,
            commits: self.commits,
            guards: self.guards,
            streams: self.ends.len() as u64,
            authenticated: self.authenticated,
            checkpoints,
        }
    }

    /// Checks a message against itself and those before it.
    pub(super) async fn take(&mut self, message: &RawMessage, report: &mut Report) -> Result<(), Failure> {
        let damage = |detail: &str| Damage { sequence: Some(message.sequence), ..Damage::of(self.journal, detail) };
        match parse_subject(&message.subject) {
            Some(Subject::Guard(journal)) if journal == *self.journal => {
                self.guards += 1;
                if !message.payload.is_empty() {
                    report.note(damage("a filler that should be empty holds something"));
                }
            }
            Some(Subject::Stream(stream)) if stream.journal == *self.journal => {
                self.commits += 1;
                self.commit(message, stream, report).await?;
            }
            Some(_) | None => report.note(damage("its subject is not one of this journal stream")),
        }
        Ok(())
    }

    async fn commit(&mut self, message: &RawMessage, stream: StreamId, report: &mut Report) -> Result<(), Failure> {
        let before = self.ends.get(&stream);
        let expected = before.map_or(Revision(1), |end| end.revision.next());
        let name = |revision, sequence, detail: String| Damage {
            journal: stream.journal.clone(),
            sequence: Some(sequence),
            stream: Some(stream.clone()),
            revision: Some(revision),
            detail,
        };
        let mut faults = Vec::new();
        let mut revision = expected;
        match SealedSections::read(&message.payload) {
            Err(fault) => faults.push(name(expected, message.sequence, fault.to_string())),
            Ok(sealed) => {
                let header = &sealed.stored.header;
                let own = match sealed.check(&stream) {
                    Err(fault) => Some(fault.to_string()),
                    Ok(()) => self.authenticate(&sealed).await?,
                };
                let is_sound = own.is_none();
                faults.extend(own.map(|detail| name(header.revision, message.sequence, detail)));
                let before = self.ends.get(&stream);
                if header.revision != expected && is_sound {
                    let detail =
                        format!("commit {expected} should stand here: what is between is missing or out of order");
                    faults.push(name(header.revision, message.sequence, detail));
                } else if is_sound && before.is_none_or(|end| !end.is_damaged) {
                    let previous = before.map_or(CommitHash::default(), |end| end.hash);
                    faults.extend((header.previous != previous).then(|| match before {
                        // Its own tag holds, if it was checked: then it is the one before that was changed.
                        Some(end) => {
                            name(end.revision, end.sequence, "the commit after it names another hash for it".to_owned())
                        }
                        None => name(
                            header.revision,
                            message.sequence,
                            "it is the first, and names one before it".to_owned(),
                        ),
                    }));
                }
                if is_sound {
                    revision = header.revision;
                }
            }
        }
        let is_damaged = faults.iter().any(|fault| fault.sequence == Some(message.sequence));
        faults.into_iter().for_each(|fault| report.note(fault));
        let hash = CommitHash(Sha256::digest(&message.payload).into());
        self.ends.insert(stream, End { revision, hash, sequence: message.sequence, is_damaged });
        Ok(())
    }

    /// What does not fit when the structure is opened; nothing, too, if there are no keys to open it with.
    async fn authenticate(&mut self, sealed: &SealedSections<'_>) -> Result<Option<String>, Failure> {
        let (Some(keys), Some(entry)) = (self.keys, sealed.stored.keys.first()) else {
            return Ok(None);
        };
        let KeyId::Tenant { generation } = entry.id else {
            return Ok(Some("its first section is not under the tenant's key".to_owned()));
        };
        let state = match self.structure.get(&generation) {
            Some(state) => state.clone(),
            None => keys.get(&[&entry.id]).await?.into_iter().next().unwrap_or(KeyState::Unknown),
        };
        self.structure.insert(generation, state.clone());
        match sealed.authenticate(&state) {
            Ok(()) => {
                self.authenticated += 1;
                Ok(None)
            }
            Err(refusal) => Ok(Some(refusal.to_string())),
        }
    }
}
