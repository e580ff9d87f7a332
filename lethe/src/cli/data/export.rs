//! Orders an export, waits until it is written, takes its files into a folder and registers that as a copy.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use domain::Moment;
use domain::export::{Format, HistoryWanted, Order, TablesBy};
use domain::history::CommitHash;
use domain::ids::{InstructionId, Label, SiteId, StudyId};
use domain::port::Clock as _;
use exchange::manifest::Manifest;
use indicatif::ProgressBar;
use infra::chance::SystemClock;
use projection_svc::exports::Export as Registered;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, Time};

use crate::cli::options::Access;
use crate::cli::{CliError, Client};
use crate::platform::random_id;

mod files;

use files::Folder;

/// How often it is asked how far the export is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Exports participants' data. The platform writes the files with the caller's rights, registers the export, holds the
/// files sealed until they expire, and signs what they hold. Here they are plain: readable by their owner only, and
/// everything that is erased later is still in them, so this copy is registered, too.
#[derive(Args)]
pub(in crate::cli) struct Export {
    /// The study.
    #[arg(long)]
    study: StudyId,
    /// Which formats, with commas between them or given again.
    #[arg(long = "format", value_name = "FORMAT", required = true, value_delimiter = ',')]
    formats: Vec<FormatWanted>,
    /// The folder, which must be there. No file in it is written over.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Who gets it: an organisation or an office, not the name of a person.
    #[arg(long, value_name = "TEXT")]
    recipient: Label,
    /// What for.
    #[arg(long, value_name = "TEXT")]
    purpose: Label,
    /// When the platform deletes the files: a number of days (`30`), a day (`2027-01-31`) or a time (RFC 3339).
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Moment,
    /// Reference of the controller's instruction.
    #[arg(long)]
    instruction: Option<InstructionId>,
    /// Of this site only; may be given more than once.
    #[arg(long = "site", value_name = "SITE")]
    sites: Vec<SiteId>,
    /// How much of what happened goes into ODM: nothing, the last change of each value, or all of them. Needs the right to
    /// read audit trails.
    #[arg(long, default_value = "none")]
    history: HistoryGiven,
    /// Content hash of the design in whose terms the data is written. Default: the live one.
    #[arg(long)]
    design: Option<CommitHash>,
    /// What one table holds: an item group, or a form.
    #[arg(long, default_value = "item-group")]
    by: ByGiven,
    /// In CSV files, puts an apostrophe before texts that a spreadsheet would take for a formula: for people, not programs.
    #[arg(long)]
    guard_formulas: bool,
    #[command(flatten)]
    access: Access,
}

/// In which format.
#[derive(Clone, Copy, ValueEnum)]
enum FormatWanted {
    /// CDISC ODM 1.3.2.
    Odm132,
    /// CDISC ODM 2.0.
    Odm20,
    /// CSV, one file a table.
    Csv,
    /// CDISC Dataset-JSON 1.1, one file a table.
    DatasetJson,
    /// SAS transport version 5, one file a table, and beside it what its variables are called in full.
    Xpt,
}

#[derive(Clone, Copy, ValueEnum)]
enum HistoryGiven {
    None,
    Last,
    Whole,
}

#[derive(Clone, Copy, ValueEnum)]
enum ByGiven {
    ItemGroup,
    Form,
}

impl From<FormatWanted> for Format {
    fn from(wanted: FormatWanted) -> Self {
        match wanted {
            FormatWanted::Odm132 => Self::Odm132,
            FormatWanted::Odm20 => Self::Odm20,
            FormatWanted::Csv => Self::Csv,
            FormatWanted::DatasetJson => Self::DatasetJson,
            FormatWanted::Xpt => Self::Xpt,
        }
    }
}

/// A number of days from now, the end of a day, or a time.
pub(super) fn expiry(text: &str) -> Result<Moment, String> {
    if let Ok(days) = text.parse::<u16>() {
        return Ok(Moment(SystemClock.now() + time::Duration::days(days.into())));
    }
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Moment(moment));
    }
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let day = Date::parse(text, &format).map_err(|_| "a number of days, a day or a time in RFC 3339")?;
    Ok(Moment(day.with_time(Time::MAX).assume_utc()))
}

impl Export {
    pub(super) async fn run(self) -> Result<(), CliError> {
        Folder::open(&self.to, &[format!("{}.manifest.json", self.study)])?;
        let client = Client::of(&self.access)?;
        let path = format!("/v1/studies/{}/exports/{}", self.study, random_id());
        let order = json!({"type": "start", "order": self.order()});
        let ordered = client.command(&path, random_id(), None, None, &order).await?;
        let export = written(&client, &path, ordered.position.unwrap_or_default()).await?;
        let names: Vec<String> = export.files.iter().map(|file| file.name.clone()).collect();
        let mut folder = Folder::open(&self.to, &names)?;
        // Told before it is taken: a copy that nobody knows of is worse than one that was never made.
        let copy = json!({"type": "give-copy", "recipient": self.recipient, "purpose": self.purpose});
        client.command(&path, random_id(), None, None, &copy).await?;
        for listed in &export.files {
            let mut file = folder.create(&listed.name)?;
            let write = |piece: &[u8]| file.write_all(piece).map_err(|error| CliError::failed(&listed.name, error));
            client.pieces(&format!("{path}/files/{}", listed.name), write).await?;
            let entry = folder.close(file, &listed.name, &listed.media_type, listed.records)?;
            if entry.sha256 != listed.sha256 {
                return Err(CliError::failed(&listed.name, "it is not what the platform wrote: take it again"));
            }
        }
        folder.keep();
        let manifest = self.to.join(format!("{}.manifest.json", self.study));
        let bytes = std::fs::read(&manifest).map_err(|error| CliError::failed(manifest.display(), error))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| CliError::failed(manifest.display(), error))?;
        self.tell(&manifest, &export);
        Ok(())
    }

    fn order(&self) -> Order {
        Order {
            recipient: self.recipient.clone(),
            purpose: self.purpose.clone(),
            expires_at: self.expires,
            instruction: self.instruction.clone(),
            formats: self.formats.iter().map(|format| Format::from(*format)).collect(),
            sites: self.sites.iter().cloned().collect::<BTreeSet<_>>(),
            design: self.design,
            history: match self.history {
                HistoryGiven::None => HistoryWanted::None,
                HistoryGiven::Last => HistoryWanted::Last,
                HistoryGiven::Whole => HistoryWanted::Whole,
            },
            tables: match self.by {
                ByGiven::ItemGroup => TablesBy::ItemGroup,
                ByGiven::Form => TablesBy::Form,
            },
            guard_formulas: self.guard_formulas,
        }
    }

    fn tell(&self, manifest: &Manifest, export: &Registered) {
        let counts = &manifest.counts;
        note!(
            "{} files in {}: {} participants, {} values; {} items not done, {} cleared, {} erased, {} withheld.",
            export.files.len(),
            self.to.display(),
            counts.participants,
            counts.values,
            counts.not_done,
            counts.cleared,
            counts.erased,
            counts.blinded + counts.restricted + counts.no_right,
        );
        if counts.restricted_participants > 0 {
            note!(
                "Participants whose processing is restricted: {}. Nothing of them is there.",
                counts.restricted_participants
            );
        }
        if counts.erased_participants > 0 {
            note!("Participants all of whose data is erased: {}.", counts.erased_participants);
        }
        if counts.not_in_design > 0 {
            note!(
                "{} items have no place in the design {} and were LEFT OUT: export with the design that they were entered under.",
                counts.not_in_design,
                manifest.design
            );
        }
        if !manifest.not_permitted.is_empty() {
            note!("This role may not read {}: none of it is there.", manifest.not_permitted.join(", "));
        }
        note!("Export {}: the platform deletes its own files when they expire.", export.export);
        note!("The files hold personal data. Nothing that is erased from now on is erased in them.");
    }
}

/// The export once its files are whole.
pub(super) async fn written(client: &Client, path: &str, mut position: String) -> Result<Registered, CliError> {
    let bar = ProgressBar::new_spinner().with_message("the platform writes the files");
    loop {
        let reply = client.get(&format!("{path}?min_position={position}")).await?;
        let export: Registered = serde_json::from_value(reply.body)
            .map_err(|error| CliError::failed("the export", format!("the answer is of another shape: {error}")))?;
        match export.stage {
            domain::export::Stage::Held => {
                bar.finish_and_clear();
                return Ok(export);
            }
            domain::export::Stage::Writing => {}
            domain::export::Stage::Failed => {
                return Err(CliError::failed("the export", "it failed: the platform's log says why"));
            }
            domain::export::Stage::Deleted => {
                return Err(CliError::conflict("the export was deleted while it was written: order another one"));
            }
        }
        position = reply.position.unwrap_or(position);
        bar.tick();
        tokio::time::sleep(ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_days_a_day_or_a_time() {
        let days = expiry("30").expect("days").0 - SystemClock.now();
        assert_eq!((days + time::Duration::hours(1)).whole_days(), 30);
        assert_eq!(expiry("2027-01-31").expect("a day").0.date(), time::macros::date!(2027 - 01 - 31));
        assert_eq!(expiry("2027-01-31T08:00:00Z").expect("a time").0, time::macros::datetime!(2027-01-31 08:00 UTC));
        assert!(expiry("soon").is_err() && expiry("-1").is_err());
    }
}
