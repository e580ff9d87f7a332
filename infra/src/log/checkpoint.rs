//! What a checkpoint says: so many messages had this journal stream, and this was the root of their log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::history::JournalId;
use domain::port::{Failure, PublicKey, Signer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::leaf::Incarnations;
use super::note::{self, NoteFault};
use super::{Hash, merkle};

/// A checkpoint's text (C2SP `tlog-checkpoint`), taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub journal: JournalId,
    /// How many messages.
    pub size: u64,
    /// The root of their log.
    pub root: Hash,
    /// The journal stream's lives.
    pub incarnations: Incarnations,
    /// The key map as it stood then, if it was known.
    pub key_map: Option<KeyMapState>,
    /// When.
    pub time: OffsetDateTime,
}

/// What the key map was at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMapState {
    /// Its root.
    pub root: Hash,
    /// The last sequence of the key tree's store that it takes in.
    pub sequence: u64,
}

/// `lethe/<tenant>/<study or _>`: the origin of a journal stream's checkpoints, and the name of the key that signs them.
pub fn origin(journal: &JournalId) -> String {
    format!("lethe/{}/{}", journal.tenant, study(journal))
}

/// The study, or `_` for the tenant's own journal stream.
pub(super) fn study(journal: &JournalId) -> &str {
    journal.study.as_ref().map_or("_", |study| study.as_str())
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", origin(&self.journal), self.size, BASE64.encode(self.root));
        text += &format!("incarnations {}\n", self.incarnations);
        if let Some(KeyMapState { root, sequence }) = self.key_map {
            text += &format!("key-map {}\nkeys-sequence {sequence}\n", BASE64.encode(root));
        }
        let time = self.time.format(&Rfc3339).unwrap_or_default();
        text + &format!("time {time}\n")
    }

    /// The signed note.
    ///
    /// # Errors
    /// Whatever keeps the signer from signing.
    pub async fn sign(&self, signer: &dyn Signer) -> Result<String, Failure> {
        note::sign(&self.text(), &origin(&self.journal), signer).await
    }

    /// Reads a signed note about a journal stream.
    ///
    /// # Errors
    /// A note that `key` did not sign, or a text that is not exactly what [`Checkpoint::sign`] writes.
    pub fn open(note: &str, journal: &JournalId, key: &PublicKey) -> Result<Self, NoteFault> {
        let text = note::open(note, &origin(journal), key)?;
        Self::parse(text, journal).filter(|read| read.text() == text).ok_or(NoteFault::Spelling)
    }

    fn parse(text: &str, journal: &JournalId) -> Option<Self> {
        let mut lines = text.lines();
        lines.next().filter(|line| *line == origin(journal))?;
        let size = lines.next()?.parse().ok()?;
        let root = hash(lines.next()?)?;
        let incarnations = lines.next()?.strip_prefix("incarnations ")?.parse().ok()?;
        let mut line = lines.next()?;
        let mut key_map = None;
        if let Some(root) = line.strip_prefix("key-map ") {
            let sequence = lines.next()?.strip_prefix("keys-sequence ")?.parse().ok()?;
            key_map = Some(KeyMapState { root: hash(root)?, sequence });
            line = lines.next()?;
        }
        let time = OffsetDateTime::parse(line.strip_prefix("time ")?, &Rfc3339).ok()?;
        lines.next().is_none().then(|| Self { journal: journal.clone(), size, root, incarnations, key_map, time })
    }

    /// Whether the log that `newer` signs begins with the one that this signs.
    pub fn is_prefix_of(&self, newer: &Self, proof: &[Hash]) -> bool {
        self.journal == newer.journal
            && newer.incarnations.agree(&self.incarnations, self.size)
            && merkle::is_consistent((self.size, &self.root), (newer.size, &newer.root), proof)
    }
}

fn hash(text: &str) -> Option<Hash> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::log::note::tests::SeedSigner;

    fn journal(study: &str) -> JournalId {
        JournalId { tenant: "acme".parse().unwrap(), study: study.parse().ok() }
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            journal: journal("cardio"),
            size: 42,
            root: [7; 32],
            incarnations: "1:1,2:40".parse().unwrap(),
            key_map: Some(KeyMapState { root: [8; 32], sequence: 9 }),
            time: datetime!(2026-03-01 09:30:00.5 UTC),
        }
    }

    #[tokio::test]
    async fn a_checkpoint_reads_back_and_is_as_the_format_page_shows_it() {
        let signer = SeedSigner::new(1);
        let note = checkpoint().sign(&signer).await.unwrap();
        let vector = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/checkpoint.txt");
        if std::env::var_os("LETHE_WRITE_VECTORS").is_some() && !std::path::Path::new(vector).exists() {
            std::fs::write(vector, &note).unwrap();
        }
        assert_eq!(note, std::fs::read_to_string(vector).unwrap());
        assert_eq!(Checkpoint::open(&note, &journal("cardio"), &signer.key()), Ok(checkpoint()));
        let without = Checkpoint { key_map: None, ..checkpoint() };
        let note = without.sign(&signer).await.unwrap();
        assert_eq!(Checkpoint::open(&note, &journal("cardio"), &signer.key()), Ok(without));
    }

    #[tokio::test]
    async fn a_checkpoint_of_another_journal_or_spelling_is_refused() {
        let signer = SeedSigner::new(1);
        let note = checkpoint().sign(&signer).await.unwrap();
        assert_eq!(Checkpoint::open(&note, &journal("_"), &signer.key()), Err(NoteFault::Unsigned));
        let text = checkpoint().text();
        let origin = origin(&journal("cardio"));
        for (from, to) in [
            ("\n42\n", "\n042\n"),
            ("\n42\n", "\n+42\n"),
            ("keys-sequence 9\n", ""),
            ("time ", "time  "),
            ("time ", "more lines\ntime "),
            (".5Z", ".50Z"),
            ("incarnations 1:1,2:40\n", ""),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{from}");
            let note = note::sign(&other, &origin, &signer).await.unwrap();
            let opened = Checkpoint::open(&note, &journal("cardio"), &signer.key());
            assert_eq!(opened, Err(NoteFault::Spelling), "{other}");
        }
    }
}
