//! The log of one journal stream: kept up with the journal, compared with what was signed.

use std::path::{Path, PathBuf};

use domain::history::JournalId;
use domain::port::Failure;

use super::checkpoint::{Checkpoint, origin, study};
use super::levels::FileLevels;
use super::merkle::{Hashes as _, root};
use super::source::{JournalState, RawJournals};
use super::{Hash, merkle};

/// So many of the last messages before the newest checkpoint are read again at start, and so many spread over the rest.
const WINDOW: u64 = 1024;
const SPOTS: u64 = 64;

/// The log of one journal stream.
#[derive(Debug)]
pub(super) struct JournalLog {
    journal: JournalId,
    levels: FileLevels,
    dir: PathBuf,
}

/// What a journal stream lacks.
struct Lost {
    from: u64,
    through: u64,
    detail: &'static str,
}

impl JournalLog {
    /// What is stored of it, as far as it was signed.
    pub(super) fn open(tenant_dir: &Path, journal: &JournalId, signed: Option<&Checkpoint>) -> Result<Self, Failure> {
        let dir = tenant_dir.join("log").join(study(journal));
        let levels = FileLevels::open(&dir, signed.map_or(0, |checkpoint| checkpoint.size))?;
        let mut log = Self { journal: journal.clone(), levels, dir };
        if let Some(signed) = signed
            && !log.shows(signed)
        {
            // Derived state: it is made again from the journal, whose word is compared with the checkpoints.
            log.levels.truncate(0)?;
        }
        Ok(log)
    }

    /// How many messages it has taken in.
    pub(super) fn size(&self) -> u64 {
        self.levels.size()
    }

    pub(super) fn levels(&self) -> &FileLevels {
        &self.levels
    }

    /// Whether the stored hashes give the root that was signed.
    fn shows(&self, signed: &Checkpoint) -> bool {
        root(&self.levels, signed.size).is_ok_and(|root| root == signed.root)
    }

    /// Takes in all messages up to a sequence.
    pub(super) async fn catch_up(
        &mut self,
        source: &dyn RawJournals,
        state: &JournalState,
        through: u64,
    ) -> Result<(), Failure> {
        while self.size() < through {
            let page = source.page(&self.journal, self.size() + 1, through).await?;
            let leaves: Vec<Hash> =
                page.iter().map(|message| state.incarnations.leaf(message.sequence, &message.payload)).collect();
            if leaves.is_empty() {
                return Err(Failure::unavailable("the journal", "a read gave no messages"));
            }
            self.levels.append(&leaves)?;
        }
        Ok(())
    }

    /// Makes the log anew from the journal.
    pub(super) async fn rebuild(&mut self, source: &dyn RawJournals, state: &JournalState) -> Result<(), Failure> {
        tracing::warn!(journal = origin(&self.journal), folder = %self.dir.display(), "the stored Merkle log is made again from the journal");
        self.levels.truncate(0)?;
        self.catch_up(source, state, state.last).await
    }

    /// Fails unless the journal contains every one of `signed`, oldest first.
    pub(super) async fn check(
        &mut self,
        source: &dyn RawJournals,
        state: &JournalState,
        signed: &[Checkpoint],
    ) -> Result<(), Failure> {
        let Some(newest) = signed.last() else {
            return self.catch_up(source, state, state.last).await;
        };
        if state.last < newest.size {
            let lost = Lost { from: state.last + 1, through: newest.size, detail: "they are not there any more" };
            return Err(self.lost(&lost));
        }
        if let Some(other) = signed.iter().find(|old| !state.incarnations.agree(&old.incarnations, old.size)) {
            let detail = "the journal stream names other incarnations for them than were signed";
            return Err(self.lost(&Lost { from: 1, through: other.size, detail }));
        }
        let mut first = None;
        if self.size() == newest.size && signed.iter().all(|checkpoint| self.shows(checkpoint)) {
            // The hashes give the roots that were signed. The journal may still be another one than they were made from.
            first = self.compare(source, state, newest.size).await?;
            if first.is_none() {
                return self.catch_up(source, state, state.last).await;
            }
        }
        // Stored hashes may be damaged, too: the roots decide, made from the journal alone.
        self.rebuild(source, state).await?;
        let Some(index) = signed.iter().position(|checkpoint| !self.shows(checkpoint)) else {
            return Ok(());
        };
        let (from, detail) = match (first, index.checked_sub(1)) {
            (Some(first), _) => (first, "others than those that were signed stand in their place"),
            (None, Some(before)) => (signed[before].size + 1, "at least one of them is not what was signed"),
            (None, None) => (1, "at least one of them is not what was signed"),
        };
        Err(self.lost(&Lost { from, through: newest.size, detail }))
    }

    /// Reads the last messages before `size`, and some of the rest, and compares them with the stored leaves. What is
    /// known to happen to a journal, a lost or replaced end, changes the very last of them. Gives the first that differs.
    async fn compare(&self, source: &dyn RawJournals, state: &JournalState, size: u64) -> Result<Option<u64>, Failure> {
        let window = size.saturating_sub(WINDOW);
        let mut good = 0;
        for spot in 0..SPOTS.min(window) {
            let sequence = 1 + spot * window / SPOTS.min(window);
            if self.difference(source, state, sequence, sequence).await?.is_some() {
                return self.first_of(source, state, good, sequence).await.map(Some);
            }
            good = sequence;
        }
        match self.difference(source, state, window + 1, size).await? {
            Some(first) if first == window + 1 => self.first_of(source, state, good, first).await.map(Some),
            found => Ok(found),
        }
    }

    /// The first of some messages that is not the one that was signed.
    async fn difference(
        &self,
        source: &dyn RawJournals,
        state: &JournalState,
        from: u64,
        through: u64,
    ) -> Result<Option<u64>, Failure> {
        let mut next = from;
        while next <= through {
            let page = source.page(&self.journal, next, through).await?;
            for message in &page {
                let leaf = state.incarnations.leaf(message.sequence, &message.payload);
                if leaf != self.levels.node(0, message.sequence - 1)? {
                    return Ok(Some(message.sequence));
                }
            }
            next = page.last().map_or(through, |last| last.sequence) + 1;
        }
        Ok(None)
    }

    /// Between a message that is whole and one that is not: where it begins, if it goes on from there.
    async fn first_of(
        &self,
        source: &dyn RawJournals,
        state: &JournalState,
        mut good: u64,
        mut bad: u64,
    ) -> Result<u64, Failure> {
        while good + 1 < bad {
            let middle = good + (bad - good) / 2;
            match self.difference(source, state, middle, middle).await? {
                None => good = middle,
                Some(_) => bad = middle,
            }
        }
        Ok(bad)
    }

    fn lost(&self, lost: &Lost) -> Failure {
        let Lost { from, through, detail } = lost;
        let what = format!("journal stream {}", crate::journal::names::journal_stream(&self.journal));
        Failure::damaged(
            what,
            format!(
                "messages {from} to {through} are lost: {detail} (do this next: stop writing, `lethe verify journal` says \
                 more, then mend the server's store or restore a backup)"
            ),
        )
    }

    /// The proof that the log of `new` messages begins with that of `old`, checked before it is given away.
    pub(super) fn consistency(&self, old: &Checkpoint, new: &Checkpoint) -> Result<Vec<Hash>, Failure> {
        let proof = merkle::consistency(&self.levels, old.size, new.size)?;
        if old.is_prefix_of(new, &proof) {
            return Ok(proof);
        }
        let detail = format!("its checkpoint of {} messages does not begin with that of {}", new.size, old.size);
        Err(Failure::damaged(format!("the log of {}", origin(&self.journal)), detail))
    }

    /// The proof that a message is in what was signed, checked before it is given away.
    pub(super) fn inclusion(&self, at: &Checkpoint, sequence: u64, leaf: &Hash) -> Result<Vec<Hash>, Failure> {
        let index = sequence.saturating_sub(1);
        let proof = merkle::inclusion(&self.levels, index, at.size)?;
        if merkle::is_included(leaf, index, at.size, &at.root, &proof) {
            return Ok(proof);
        }
        let detail = format!("message {sequence} is not in its checkpoint of {} messages", at.size);
        Err(Failure::damaged(format!("the log of {}", origin(&self.journal)), detail))
    }
}
