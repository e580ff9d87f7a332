//! What a backup says of itself: a signed text in clear, without anything personal.

use domain::ids::{Environment, StudyId, TenantId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::archive::Origin;

/// The version of manifests and receipts that is written.
pub(super) const FORMAT: u64 = 1;

/// What the signature of a manifest covers first.
pub(super) const MANIFEST_LABEL: &str = "lethe/backup-manifest/v1";

/// What the signature of a chunk's receipt covers first.
pub(super) const RECEIPT_LABEL: &str = "lethe/backup-chunk/v1";

/// A backup: which chunks together are the record of a tenant at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format: u64,
    /// Its id among the tenant's backups.
    pub id: String,
    /// Whose record.
    pub tenant: TenantId,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// The public keys (age, X25519) to which every chunk is encrypted.
    pub recipients: Vec<String>,
    /// The tenant's studies, as far as known.
    pub studies: Vec<BackedUpStudy>,
    /// The journal streams; that of the key tree last.
    pub journals: Vec<BackedUpJournal>,
}

impl Manifest {
    /// One journal stream of the backup.
    pub fn journal(&self, origin: &Origin) -> Option<&BackedUpJournal> {
        self.journals.iter().find(|journal| journal.origin(&self.tenant).as_ref() == Some(origin))
    }

    /// How large all chunks are.
    pub fn bytes(&self) -> u64 {
        self.chunks().map(|chunk| chunk.bytes).sum()
    }

    /// How many messages it holds.
    pub fn messages(&self) -> u64 {
        self.chunks().map(|chunk| chunk.messages).sum()
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.journals.iter().flat_map(|journal| &journal.chunks)
    }
}

/// A study that was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackedUpStudy {
    /// Its id.
    pub study: StudyId,
    /// Its environment, if it was known.
    pub environment: Option<Environment>,
}

/// One journal stream in a backup, consistent up to `through`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackedUpJournal {
    /// The study, `_` for the tenant's own, `_keys` for the key tree's.
    pub journal: String,
    /// Its name on the server.
    pub stream: String,
    /// The last sequence that is in the backup; zero: it was empty.
    pub through: u64,
    /// In which incarnations its messages were written.
    pub incarnations: Vec<Incarnation>,
    /// In ascending order, without a gap between them.
    pub chunks: Vec<Chunk>,
}

impl BackedUpJournal {
    /// Which journal stream it is.
    pub fn origin(&self, tenant: &TenantId) -> Option<Origin> {
        Origin::parse(tenant, &self.journal)
    }
}

/// An incarnation of a journal stream: each restore begins another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incarnation {
    /// Its number.
    pub incarnation: u64,
    /// Its first sequence.
    pub from: u64,
}

/// One object of a backup: an encrypted archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// Its name, which says range and hash.
    pub name: String,
    /// The first sequence of its range.
    pub from: u64,
    /// The last sequence of its range.
    pub through: u64,
    /// How many messages it has.
    pub messages: u64,
    /// Its size, encrypted.
    pub bytes: u64,
    /// SHA-256 of the encrypted bytes, in hexadecimal digits.
    pub sha256: String,
    /// Its last message that is not empty. With it a later backup sees whether the journal stream is still the same.
    pub last: Option<LastCommit>,
}

/// One message by its place and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastCommit {
    /// Its sequence.
    pub sequence: u64,
    /// SHA-256 of its payload, in hexadecimal digits.
    pub sha256: String,
}

/// Says of a chunk that we made it. Whoever can write to the place can put a chunk there, too, but not this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Receipt {
    pub(super) format: u64,
    pub(super) tenant: TenantId,
    pub(super) journal: String,
    pub(super) recipients: Vec<String>,
    pub(super) chunk: Chunk,
}

/// Where a manifest lies.
pub(super) fn manifest_name(id: &str) -> String {
    format!("backup/{id}/manifest.json")
}

/// Where the chunks of a journal stream lie.
pub(super) fn chunk_folder(label: &str) -> String {
    format!("backup/chunks/{label}/")
}

/// The name of a chunk.
pub(super) fn chunk_name(label: &str, from: u64, through: u64, sha256: &str) -> String {
    format!("{}{from:020}-{through:020}-{sha256}.age", chunk_folder(label))
}

/// Where a chunk's receipt lies.
pub(super) fn receipt_name(chunk: &str) -> String {
    format!("{}.json", chunk.trim_end_matches(".age"))
}

/// The range that a chunk's name says.
pub(super) fn range_of(name: &str) -> Option<(u64, u64)> {
    let mut parts = name.rsplit_once('/')?.1.split('-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
