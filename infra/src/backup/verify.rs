//! Checking a backup without restoring it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use age::x25519::Identity;
use domain::port::{Failure, OffSite, PublicKey};

use super::chunk::{Flaw, fetch, open};
use super::error::BackupError;
use super::manifest::{Chunk, Manifest};
use super::read::Backup;
use super::{OnProgress, Progress};
use crate::archive::Origin;
use crate::journal::names::{Subject, parse_subject};
use crate::journal::raw::RawMessage;
use crate::seal::peek;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// How many chunks were looked at.
    pub chunks: u64,
    /// Their size.
    pub bytes: u64,
    /// How many messages were opened and checked; none without an identity.
    pub messages: Option<u64>,
    /// What is wrong with it; nothing: it is whole.
    pub faults: Vec<Fault>,
}

/// Something that is wrong with a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The chunk's name, or the commit.
    pub what: String,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not there.
    Missing,
    /// Its end is not there.
    Cut {
        /// Bytes that are there.
        is: u64,
        /// Bytes that should be there.
        should: u64,
    },
    /// It is not what was written.
    Altered {
        /// What does not fit.
        detail: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::Missing => write!(f, "{} is missing", self.what),
            FaultKind::Cut { is, should } => {
                write!(f, "{} is cut off: {is} of {should} bytes are there", self.what)
            }
            FaultKind::Altered { detail } => write!(f, "{} is altered: {detail}", self.what),
        }
    }
}

/// Checks a backup: its manifest's signature, and of every chunk that it is there and what was written. With an identity
/// also what is inside: complete ranges, and the hash chain of every stream.
///
/// # Errors
/// When the manifest is refused, the identity opens nothing, or the place does not answer. Faults of chunks are no
/// error: they are listed, all of them.
pub async fn verify(
    place: Arc<dyn OffSite>,
    id: &str,
    trust: &PublicKey,
    identity: Option<&Identity>,
    progress: OnProgress<'_>,
) -> Result<Verified, BackupError> {
    let backup = Backup::open(place, id, trust).await?;
    let mut done = Progress { of_messages: backup.manifest.messages(), ..Progress::default() };
    let mut found = Verified {
        manifest: backup.manifest.clone(),
        chunks: 0,
        bytes: 0,
        messages: identity.map(|_| 0),
        faults: Vec::new(),
    };
    for journal in &backup.manifest.journals {
        let Some(origin) = journal.origin(&backup.manifest.tenant) else { continue };
        let mut chains = Chains::default();
        for chunk in &journal.chunks {
            match look(&backup, chunk, &origin, identity).await? {
                Ok(messages) if origin.is_contiguous() => chains.take(&messages, &mut found.faults),
                Ok(_) => {}
                // What follows cannot be chained to what is not there.
                Err(fault) => {
                    chains.broken = true;
                    found.faults.push(fault);
                }
            }
            found.chunks += 1;
            found.bytes += chunk.bytes;
            found.messages = found.messages.map(|messages| messages + chunk.messages);
            done.messages += chunk.messages;
            done.bytes += chunk.bytes;
            progress(done);
        }
    }
    Ok(found)
}

async fn look(
    backup: &Backup,
    chunk: &Chunk,
    origin: &Origin,
    identity: Option<&Identity>,
) -> Result<Result<Vec<RawMessage>, Fault>, BackupError> {
    let fault = |flaw: Flaw| {
        let kind = match flaw {
            Flaw::Missing => FaultKind::Missing,
            Flaw::Cut { is, should } => FaultKind::Cut { is, should },
            other => FaultKind::Altered { detail: other.words() },
        };
        Fault { what: chunk.name.clone(), kind }
    };
    let bytes = match fetch(backup.place(), chunk).await? {
        Ok(bytes) => bytes,
        Err(flaw) => return Ok(Err(fault(flaw))),
    };
    let Some(identity) = identity else { return Ok(Ok(Vec::new())) };
    match open(bytes, chunk, origin, identity).await? {
        Ok(messages) => Ok(Ok(messages)),
        Err(flaw @ Flaw::WrongIdentity) => Err(flaw.error(chunk, &backup.manifest)),
        Err(flaw) => Ok(Err(fault(flaw))),
    }
}

/// Where each stream of a journal stream ends so far: revision and hash.
#[derive(Default)]
struct Chains {
    ends: BTreeMap<String, (u64, [u8; 32])>,
    /// A chunk could not be read, so nobody can say how its streams went on.
    broken: bool,
}

impl Chains {
    fn take(&mut self, messages: &[RawMessage], faults: &mut Vec<Fault>) {
        for message in messages {
            if let Err(detail) = self.follow(message) {
                let what = format!("message {} ({})", message.sequence, message.subject);
                faults.push(Fault { what, kind: FaultKind::Altered { detail } });
            }
        }
    }

    fn follow(&mut self, message: &RawMessage) -> Result<(), String> {
        let stream = match parse_subject(&message.subject) {
            Some(Subject::Stream(stream)) => stream,
            Some(Subject::Guard(_)) if message.payload.is_empty() => return Ok(()),
            Some(Subject::Guard(_)) | None => return Err("Lethe writes no such message".to_owned()),
        };
        let peeked = peek(&message.payload).map_err(|fault: Failure| fault.to_string())?;
        let before = self.ends.insert(message.subject.clone(), (peeked.header.revision.0, peeked.hash.0));
        let (revision, hash) = match before {
            Some(before) => before,
            None if self.broken => return Ok(()),
            None => (0, [0; 32]),
        };
        if peeked.header.stream != stream {
            return Err("it names another stream".to_owned());
        }
        if self.broken && peeked.header.revision.0 != revision + 1 {
            return Ok(());
        }
        if peeked.header.revision.0 != revision + 1 {
            return Err(format!("it has revision {}, not {}", peeked.header.revision, revision + 1));
        }
        if peeked.header.previous.0 != hash {
            return Err("it does not name the hash of the commit before it".to_owned());
        }
        Ok(())
    }
}
