//! What an export holds: files with their hashes, counts of what is in them and of what is not. Whoever exports signs
//! the bytes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use domain::Moment;
use domain::history::CommitHash;
use domain::ids::{Environment, InstructionId, StudyId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{FormRecord, ItemState, Notes, ParticipantRecord, Withheld};

/// The manifest of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The shape of this document.
    pub format: u32,
    /// The export's own id.
    pub export: String,
    /// The study.
    pub study: StudyId,
    /// Where it runs.
    pub environment: Environment,
    /// Content address of the design.
    pub design: CommitHash,
    /// Up to which position of the study's journal stream data was taken.
    pub position: u64,
    /// When it was made.
    pub created_at: Moment,
    /// By whom; none: whoever exported by a token does not know its holder's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// Who gets it: an organisation or an office, not the name of a person.
    pub recipient: String,
    /// What for.
    pub purpose: String,
    /// The controller's instruction, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<InstructionId>,
    /// When the files are deleted.
    pub expires_at: Moment,
    /// Kinds of data that whoever exported had no right to read: none of it is in the files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_permitted: Vec<String>,
    /// The files.
    pub files: Vec<FileEntry>,
    /// What is in them, and what is not.
    pub counts: Counts,
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// SHA-256 of its bytes.
    pub sha256: CommitHash,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many records it has: participants in ODM, rows in a table.
    pub records: u64,
    /// What did not go in as it was, by kind, with how often: characters that XML cannot hold, formulas that were
    /// guarded, what does not fit into SAS.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<String, u64>,
}

/// How much of what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Participants.
    pub participants: u64,
    /// Participants whose processing is restricted: they are named, and nothing else of them is there.
    pub restricted_participants: u64,
    /// Participants all of whose data is erased: what they had is there as far as the audit trail could be read.
    #[serde(default)]
    pub erased_participants: u64,
    /// Forms.
    pub forms: u64,
    /// Items with a value.
    pub values: u64,
    /// Items without one, and it is said why.
    pub not_done: u64,
    /// Items whose value was cleared.
    pub cleared: u64,
    /// Items whose value was erased.
    pub erased: u64,
    /// Items withheld because they could tell the arm.
    pub blinded: u64,
    /// Items withheld because processing is restricted.
    pub restricted: u64,
    /// Items withheld because the recipient has no right to them.
    pub no_right: u64,
    /// Items that the design of this export has no place for: they are left out.
    #[serde(default)]
    pub not_in_design: u64,
    /// Changes of items.
    pub changes: u64,
    /// Queries.
    pub queries: u64,
    /// Signatures.
    pub signatures: u64,
}

impl Manifest {
    /// The bytes to be signed: JSON without blanks, fields in the order of this type.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest is plain data with text keys")
    }
}

impl Counts {
    /// Adds a participant.
    pub fn add(&mut self, record: &ParticipantRecord) {
        self.participants += 1;
        self.restricted_participants += u64::from(record.restricted);
        self.notes(&record.notes);
        for visit in &record.visits {
            self.notes(&visit.notes);
            visit.forms.iter().for_each(|form| self.form(form));
        }
    }

    fn form(&mut self, form: &FormRecord) {
        self.forms += 1;
        self.notes(&form.notes);
        for item in form.groups.iter().flat_map(|group| &group.items) {
            self.notes(&item.notes);
            self.changes += item.changes.len() as u64;
            *match &item.state {
                ItemState::Value(_) => &mut self.values,
                ItemState::NotDone(_) => &mut self.not_done,
                ItemState::Cleared => &mut self.cleared,
                ItemState::Erased => &mut self.erased,
                ItemState::Withheld(Withheld::Blinded) => &mut self.blinded,
                ItemState::Withheld(Withheld::Restricted) => &mut self.restricted,
                ItemState::Withheld(Withheld::NoRight) => &mut self.no_right,
            } += 1;
        }
    }

    fn notes(&mut self, notes: &Notes) {
        self.queries += notes.queries.len() as u64;
        self.signatures += notes.signatures.len() as u64;
    }
}

/// Passes bytes on, counts them and hashes them.
pub struct Hashed<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashed<W> {
    /// In front of `to`.
    pub fn new(to: W) -> Self {
        Self { to, hash: Sha256::new(), bytes: 0 }
    }

    /// What was behind it, and what went through.
    pub fn finish(self, name: &str, media_type: &str, records: u64) -> (W, FileEntry) {
        let sha256 = CommitHash(self.hash.finalize().into());
        let (name, media_type) = (name.to_owned(), media_type.to_owned());
        (self.to, FileEntry { name, media_type, sha256, bytes: self.bytes, records, changed: BTreeMap::new() })
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_through_is_hashed_and_counted() {
        let mut hashed = Hashed::new(Vec::new());
        hashed.write_all(b"ab").unwrap();
        hashed.write_all(b"c").unwrap();
        let (bytes, entry) = hashed.finish("a.csv", "text/csv", 1);
        assert_eq!((bytes.as_slice(), entry.bytes), (b"abc".as_slice(), 3));
        assert_eq!(entry.sha256.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
