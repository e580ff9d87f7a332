//! How far an import has got: a file beside the report, so that one that was broken off goes on and doubles nothing.
//!
//! Ids of commands and of new participants follow from the run's own random id, the file's hash and the number of the record,
//! never from what stands in a record: sent again they are the same, and without the progress file nobody can tell which file
//! they came from.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use domain::design::content_hash;
use domain::ids::StudyId;
use exchange::manifest::Hashed;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::Tally;
use crate::cli::CliError;
use crate::platform::random_id;

/// What the ids of one run follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run(Uuid);

/// The first bytes of every participant's id of a run are the same, so that they are known again.
const MARK: usize = 6;

impl Run {
    /// The id of the participant whom this record is the first to name.
    pub(super) fn participant(self, record: u64) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.hash(&format!("participant/{record}"))[..16]);
        bytes[..MARK].copy_from_slice(&self.hash("participants")[..MARK]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// Whether this run has chosen the id.
    pub(super) fn made(self, participant: Uuid) -> bool {
        participant.as_bytes()[..MARK] == self.hash("participants")[..MARK]
    }

    /// The id of a command.
    pub(super) fn command(self, what: &str) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.hash(what)[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    fn hash(self, what: &str) -> [u8; 32] {
        content_hash(format!("{}/{what}", self.0).as_bytes()).0
    }
}

/// What stands in the progress file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u32,
    /// The run's own random id.
    run: Uuid,
    study: StudyId,
    /// SHA-256 of the file that is imported.
    sha256: String,
    /// How many of its records are done.
    records: u64,
    /// How long the report was then.
    report_bytes: u64,
    finished: bool,
    tally: Tally,
}

/// How far an import has got.
pub(super) struct Progress {
    kept: Option<(PathBuf, Kept)>,
    run: Run,
    tally: Tally,
}

impl Progress {
    /// Of an import without a report: it cannot be resumed.
    pub(super) fn unkept() -> Self {
        Self { kept: None, run: Run(random_id()), tally: Tally::default() }
    }

    /// Of an import that begins. It is on disk before anything is sent.
    pub(super) fn begin(report: &Path, file: &Path, study: &StudyId) -> Result<Self, CliError> {
        let kept = Kept {
            format: 1,
            run: random_id(),
            study: study.clone(),
            sha256: sha256(file)?,
            records: 0,
            report_bytes: 0,
            finished: false,
            tally: Tally::default(),
        };
        let mut progress = Self::of(path(report), kept);
        progress.write()?;
        Ok(progress)
    }

    /// Of an import that was broken off.
    pub(super) fn resume(report: &Path, file: &Path, study: &StudyId) -> Result<Self, CliError> {
        let path = path(report);
        let text = std::fs::read(&path).map_err(|error| {
            CliError::input(format!("{}: {error}: without it there is nothing to go on with", path.display()))
        })?;
        let kept: Kept = serde_json::from_slice(&text).map_err(|error| CliError::failed(path.display(), error))?;
        let refused = if kept.finished {
            Some("the import was finished: there is nothing to go on with")
        } else if kept.study != *study {
            Some("the import went into another study")
        } else if kept.sha256 != sha256(file)? {
            Some("the import was of another file, or the file has changed since")
        } else {
            None
        };
        match refused {
            Some(why) => Err(CliError::conflict(format!("{}: {why}", path.display()))),
            None => Ok(Self::of(path, kept)),
        }
    }

    fn of(path: PathBuf, kept: Kept) -> Self {
        let run = Run(Run(kept.run).command(&kept.sha256));
        Self { run, tally: kept.tally.clone(), kept: Some((path, kept)) }
    }

    pub(super) fn id(&self) -> Run {
        self.run
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn position(&self) -> Option<&str> {
        self.tally.position.as_deref()
    }

    /// How many records need not be sent again.
    pub(super) fn done(&self) -> u64 {
        self.kept.as_ref().map_or(0, |(_, kept)| kept.records)
    }

    pub(super) fn report_bytes(&self) -> u64 {
        self.kept.as_ref().map_or(0, |(_, kept)| kept.report_bytes)
    }

    /// So many more records are done, and the report is on disk up to here.
    pub(super) fn advance(&mut self, records: u64, tally: Tally, report_bytes: u64) -> Result<(), CliError> {
        self.tally.add(&tally);
        if let Some((_, kept)) = &mut self.kept {
            kept.records += records;
            kept.report_bytes = report_bytes;
            kept.tally = self.tally.clone();
        }
        self.write()
    }

    pub(super) fn finish(&mut self) -> Result<(), CliError> {
        if let Some((_, kept)) = &mut self.kept {
            kept.finished = true;
        }
        self.write()
    }

    /// Written beside and put in place, so that it is never half there.
    fn write(&mut self) -> Result<(), CliError> {
        let Some((path, kept)) = &self.kept else { return Ok(()) };
        let failed = |error: io::Error| CliError::failed(path.display(), error);
        let text = serde_json::to_vec(kept).map_err(|error| CliError::failed(path.display(), error))?;
        let beside = path.with_extension("progress.new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
        let mut file = file.map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)
    }
}

/// `REPORT.progress`.
fn path(report: &Path) -> PathBuf {
    let mut name = report.as_os_str().to_owned();
    name.push(".progress");
    name.into()
}

fn sha256(file: &Path) -> Result<String, CliError> {
    let failed = |error: io::Error| CliError::failed(file.display(), error);
    let mut hashed = Hashed::new(io::sink());
    io::copy(&mut File::open(file).map_err(failed)?, &mut hashed).map_err(failed)?;
    let (_, entry) = hashed.finish("", "", 0);
    Ok(entry.sha256.to_string())
}

#[test]
fn ids_follow_from_the_run_and_the_record() {
    let (one, other) = (Run(Uuid::from_u128(1)), Run(Uuid::from_u128(2)));
    assert_eq!(one.participant(3), one.participant(3));
    assert_ne!(one.participant(3), one.participant(4));
    assert_ne!(one.participant(3), other.participant(3));
    assert!(one.made(one.participant(3)) && !other.made(one.participant(3)));
    assert_ne!(one.command("1/save"), one.command("2/save"));
}
