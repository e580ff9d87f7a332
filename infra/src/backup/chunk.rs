//! A chunk: an archive, encrypted with age to every recipient.

use std::io::{Read as _, Write as _};

use age::x25519::{Identity, Recipient};
use age::{DecryptError, Decryptor, Encryptor};
use domain::port::{Failure, OffSite};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::error::BackupError;
use super::manifest::{BackedUpJournal, Chunk, LastCommit, Manifest, chunk_name};
use super::source::Source;
use crate::archive::{ArchiveHeader, ArchiveReader, ArchiveWriter, Origin};
use crate::journal::raw::RawMessage;
use crate::off_site::sha256_hex;

/// A chunk ends with the message that reaches this size, plain.
pub(super) const PLAIN_BYTES: u64 = 8 << 20;

const BACKUP: &str = "the backup";

/// A chunk that was made and not sent yet.
pub(super) struct Made {
    pub(super) chunk: Chunk,
    pub(super) bytes: Vec<u8>,
}

/// The next chunk of a journal stream from `from` on; none: there is nothing more.
pub(super) async fn next_chunk(
    source: &mut Source,
    from: u64,
    recipients: &[Recipient],
) -> Result<Option<Made>, BackupError> {
    let mut archive = ArchiveWriter::new(Vec::new(), ArchiveHeader { origin: source.origin.clone(), from })?;
    let (mut last, mut through) = (None, from - 1);
    while archive.bytes() < PLAIN_BYTES
        && let Some(message) = source.next().await?
    {
        archive.push(&message)?;
        through = message.sequence;
        if !message.payload.is_empty() {
            last = Some(LastCommit { sequence: message.sequence, sha256: sha256_hex(&message.payload) });
        }
    }
    let messages = archive.messages();
    if messages == 0 {
        return Ok(None);
    }
    let plain = archive.finish_at(through)?;
    let recipients = recipients.to_vec();
    let bytes = spawn_blocking(move || encrypt(&plain, &recipients)).await;
    let bytes = bytes.map_err(|error| Failure::unavailable(BACKUP, error))??;
    let sha256 = sha256_hex(&bytes);
    let name = chunk_name(source.origin.label(), from, through, &sha256);
    let chunk = Chunk { name, from, through, messages, bytes: bytes.len() as u64, sha256, last };
    Ok(Some(Made { chunk, bytes }))
}

fn encrypt(plain: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::unavailable(BACKUP, error);
    let each = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(each).map_err(|error| failed(&error))?;
    let mut writer = encryptor.wrap_output(Vec::with_capacity(plain.len() + 4096)).map_err(|error| failed(&error))?;
    writer.write_all(plain).and_then(|()| writer.finish()).map_err(|error| failed(&error))
}

/// What is wrong with a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    Missing,
    Cut { is: u64, should: u64 },
    Altered(String),
    WrongIdentity,
}

impl Flaw {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Missing => "missing".to_owned(),
            Self::Cut { is, should } => format!("cut off: {is} of {should} bytes are there"),
            Self::Altered(detail) => format!("altered: {detail}"),
            Self::WrongIdentity => "encrypted to other keys".to_owned(),
        }
    }

    pub(super) fn error(&self, chunk: &Chunk, manifest: &Manifest) -> BackupError {
        match self {
            Self::WrongIdentity => BackupError::WrongIdentity { recipients: manifest.recipients.clone() },
            _ => BackupError::Chunk { name: chunk.name.clone(), detail: self.words() },
        }
    }
}

/// The bytes of a chunk, if they are those of the manifest.
pub(super) async fn fetch(place: &dyn OffSite, chunk: &Chunk) -> Result<Result<Vec<u8>, Flaw>, Failure> {
    let Some(bytes) = place.get(&chunk.name).await? else { return Ok(Err(Flaw::Missing)) };
    let is = bytes.len() as u64;
    if is < chunk.bytes {
        return Ok(Err(Flaw::Cut { is, should: chunk.bytes }));
    }
    if sha256_hex(&bytes) != chunk.sha256 {
        return Ok(Err(Flaw::Altered("its SHA-256 is not the one of the manifest".to_owned())));
    }
    Ok(Ok(bytes))
}

/// The messages of a chunk, if they are those of its range.
pub(super) async fn open(
    bytes: Vec<u8>,
    chunk: &Chunk,
    origin: &Origin,
    identity: &Identity,
) -> Result<Result<Vec<RawMessage>, Flaw>, Failure> {
    let (chunk, origin, identity) = (chunk.clone(), origin.clone(), identity.clone());
    let opened = spawn_blocking(move || {
        let plain = decrypt(&bytes, &identity)?;
        unpack(&plain, &chunk, &origin)
    });
    opened.await.map_err(|error| Failure::unavailable(BACKUP, error))
}

fn decrypt(bytes: &[u8], identity: &Identity) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    let refused = |error: DecryptError| match error {
        DecryptError::NoMatchingKeys => Flaw::WrongIdentity,
        other => Flaw::Altered(other.to_string()),
    };
    let decryptor = Decryptor::new_buffered(bytes).map_err(refused)?;
    let mut reader = decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)).map_err(refused)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(bytes.len()));
    reader.read_to_end(&mut plain).map_err(|error| Flaw::Altered(error.to_string()))?;
    Ok(plain)
}

fn unpack(plain: &[u8], chunk: &Chunk, origin: &Origin) -> Result<Vec<RawMessage>, Flaw> {
    let altered = |detail: String| Flaw::Altered(detail);
    let mut archive = ArchiveReader::open(plain).map_err(|error| altered(error.to_string()))?;
    let header = archive.header();
    if header.origin != *origin || header.from != chunk.from {
        return Err(altered(format!("it holds {} from {}", header.origin, header.from)));
    }
    let mut messages = Vec::new();
    while let Some(message) = archive.next().map_err(|error| altered(error.to_string()))? {
        messages.push(message);
    }
    let end = archive.trailer().map(|trailer| (trailer.messages, trailer.through));
    if end == Some((chunk.messages, chunk.through)) {
        Ok(messages)
    } else {
        Err(altered("it holds another range than the manifest says".to_owned()))
    }
}

/// Whether the chunks of a journal stream follow each other from its start to its end.
pub(super) fn ranges_fit(journal: &BackedUpJournal, origin: &Origin) -> Result<(), String> {
    let mut next = 1;
    for chunk in &journal.chunks {
        if chunk.from != next || chunk.through < chunk.from {
            return Err(format!("its chunks leave a gap at sequence {next}"));
        }
        if origin.is_contiguous() && chunk.messages != chunk.through + 1 - chunk.from {
            return Err(format!("chunk {} has not one message for each sequence", chunk.name));
        }
        if chunk.name != chunk_name(&journal.journal, chunk.from, chunk.through, &chunk.sha256) {
            return Err(format!("{} is no name of that chunk", chunk.name));
        }
        next = chunk.through + 1;
    }
    if next == journal.through + 1 {
        Ok(())
    } else {
        Err(format!("its chunks end at sequence {}, not at {}", next - 1, journal.through))
    }
}
