//! A folder of plain archives, read as the journal streams that they were made from.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::history::{JournalId, StreamId};
use domain::ids::TenantId;
use domain::port::Failure;

use super::{ArchiveReader, Origin};
use crate::journal::names::stream_subject;
use crate::journal::raw::RawMessage;
use crate::log::leaf::Incarnations;
use crate::log::{JournalState, RawJournals};

/// So many messages, or bytes of them, are given at once.
const PAGE: usize = 256;
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// The archives of one tenant's journal streams. Reading on from where the last page ended costs nothing extra.
pub struct ArchiveJournals {
    journals: BTreeMap<JournalId, Archived>,
    cursor: Mutex<Option<Cursor>>,
}

/// The archives of one journal stream, by their first sequence.
struct Archived {
    files: Vec<(u64, PathBuf)>,
    state: JournalState,
}

/// Where the last page ended.
struct Cursor {
    journal: JournalId,
    next: u64,
    file: usize,
    reader: ArchiveReader<BufReader<File>>,
}

impl ArchiveJournals {
    /// Finds the archives of a tenant's events in a folder and the folders in it. Archives do not say in which incarnation
    /// a message was written: `lives` does, for journal streams that were restored.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be read, `Missing` if there is no such archive in it, `Damaged` if one is cut or
    /// altered at its start or is the last of its journal stream and is not whole.
    pub fn open(dir: &Path, tenant: &TenantId, mut lives: BTreeMap<JournalId, Incarnations>) -> Result<Self, Failure> {
        let mut found: BTreeMap<JournalId, Vec<(u64, PathBuf)>> = BTreeMap::new();
        for path in files(dir)? {
            // What is no archive at all is somebody else's.
            let Ok(reader) = ArchiveReader::open(open(&path)?) else {
                continue;
            };
            if let Origin::Events(journal) = &reader.header().origin
                && journal.tenant == *tenant
            {
                found.entry(journal.clone()).or_default().push((reader.header().from, path));
            }
        }
        if found.is_empty() {
            return Err(Failure::missing(format!("an archive of tenant {tenant} in {}", dir.display())));
        }
        let mut journals = BTreeMap::new();
        for (journal, mut files) in found {
            files.sort();
            let last = files.last().map_or(Ok(0), |(_, path)| through(path))?;
            let state = JournalState { last, incarnations: lives.remove(&journal).unwrap_or_default() };
            journals.insert(journal, Archived { files, state });
        }
        Ok(Self { journals, cursor: Mutex::default() })
    }

    fn archived(&self, journal: &JournalId) -> Result<&Archived, Failure> {
        self.journals.get(journal).ok_or_else(|| Failure::missing(Origin::Events(journal.clone())))
    }

    /// A cursor at a sequence: the one that was left there, or a new one.
    fn cursor_at(&self, journal: &JournalId, from: u64) -> Result<Cursor, Failure> {
        let left = self.cursor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(cursor) = left.filter(|cursor| (&cursor.journal, cursor.next) == (journal, from)) {
            return Ok(cursor);
        }
        let files = &self.archived(journal)?.files;
        let file = files.partition_point(|(first, _)| *first <= from).saturating_sub(1);
        let reader = reader(&files[file].1)?;
        Ok(Cursor { journal: journal.clone(), next: from, file, reader })
    }
}

impl Cursor {
    fn next(&mut self, files: &[(u64, PathBuf)]) -> Result<Option<RawMessage>, Failure> {
        loop {
            match self.reader.next().map_err(|error| damaged(&files[self.file].1, &error))? {
                Some(message) if message.sequence < self.next => {}
                Some(message) => return Ok(Some(message)),
                None if self.file + 1 < files.len() => {
                    self.file += 1;
                    self.reader = reader(&files[self.file].1)?;
                }
                None => return Ok(None),
            }
        }
    }
}

#[async_trait]
impl RawJournals for ArchiveJournals {
    async fn journals(&self) -> Result<Vec<JournalId>, Failure> {
        Ok(self.journals.keys().cloned().collect())
    }

    async fn state(&self, journal: &JournalId) -> Result<JournalState, Failure> {
        Ok(self.archived(journal)?.state.clone())
    }

    async fn page(&self, journal: &JournalId, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure> {
        let files = &self.archived(journal)?.files;
        let mut cursor = self.cursor_at(journal, from)?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < PAGE && bytes < PAGE_BYTES && cursor.next <= through {
            match cursor.next(files)? {
                Some(message) if message.sequence == cursor.next => {
                    cursor.next += 1;
                    bytes += message.payload.len();
                    page.push(message);
                }
                // A gap: the next call begins after what is whole, and says so.
                Some(_) | None => break,
            }
        }
        if page.is_empty() && from <= through {
            return Err(Failure::damaged(Origin::Events(journal.clone()), format!("message {from} is in no archive")));
        }
        // After a gap one message was read too many.
        let is_whole = cursor.next > through || page.len() == PAGE || bytes >= PAGE_BYTES;
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = is_whole.then_some(cursor);
        Ok(page)
    }

    async fn commits(&self, stream: &StreamId) -> Result<Vec<RawMessage>, Failure> {
        let (last, subject) = (self.archived(&stream.journal)?.state.last, stream_subject(stream));
        let (mut next, mut commits) = (1, Vec::new());
        while next <= last {
            let page = self.page(&stream.journal, next, last).await?;
            next = page.last().map_or(last, |last| last.sequence) + 1;
            commits.extend(page.into_iter().filter(|message| message.subject == subject));
        }
        Ok(commits)
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unavailable =
        |error: std::io::Error| Failure::unavailable("the folder of archives", format!("{}: {error}", dir.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(unavailable)? {
        let path = entry.map_err(unavailable)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let file =
        File::open(path).map_err(|error| Failure::unavailable("an archive", format!("{}: {error}", path.display())))?;
    Ok(BufReader::new(file))
}

fn reader(path: &Path) -> Result<ArchiveReader<BufReader<File>>, Failure> {
    ArchiveReader::open(open(path)?).map_err(|error| damaged(path, &error))
}

/// The last sequence of an archive, which is read whole for it.
fn through(path: &Path) -> Result<u64, Failure> {
    let mut reader = reader(path)?;
    let mut last = reader.header().from.saturating_sub(1);
    while let Some(message) = reader.next().map_err(|error| damaged(path, &error))? {
        last = message.sequence;
    }
    Ok(last)
}

fn damaged(path: &Path, error: &super::ArchiveError) -> Failure {
    Failure::damaged(format!("archive {}", path.display()), error)
}
