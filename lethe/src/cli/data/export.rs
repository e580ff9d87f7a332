//! Exports a study: reads it through the public API, one participant after another, and writes every format asked for.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use clap::{Args, ValueEnum};
use domain::Moment;
use domain::design::StudyDesign;
use domain::history::CommitHash;
use domain::ids::{StudyId, UserId};
use domain::port::Clock as _;
use exchange::csv::CsvOptions;
use exchange::dataset_json::DatasetForm;
use exchange::manifest::{Counts, FileEntry, Manifest};
use exchange::model::{Act, Notes, ParticipantRecord, SiteEntry, StudyExport, UserEntry};
use exchange::odm::{History, OdmOptions, OdmVersion, OdmWriter};
use exchange::table::{By, Spooled, SpooledTable, tables};
use exchange::xpt::dataset_names;
use exchange::{ExchangeError, csv, dataset_json, xpt};
use infra::chance::SystemClock;
use projection_svc::studies::Study;
use time::Duration;

use crate::cli::options::Access;
use crate::cli::{CliError, Client};
use crate::platform::random_id;

mod files;
mod record;
mod source;

use files::{Bounded, Folder, Written};
use record::Missed;
use source::Source;

/// Exports participants' data. The files hold personal data: they are readable by their owner only, and everything that
/// was erased later is still in them. A manifest beside them says what they hold, for whom and what for.
#[derive(Args)]
pub(in crate::cli) struct Export {
    /// The study.
    #[arg(long)]
    study: StudyId,
    /// Which formats, with commas between them or given again.
    #[arg(long = "format", value_name = "FORMAT", required = true, value_delimiter = ',')]
    formats: Vec<Format>,
    /// The folder, which must be there. No file in it is written over.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Who gets it: an organisation or an office, not the name of a person.
    #[arg(long, value_name = "TEXT")]
    recipient: String,
    /// What for.
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// In how many days the files are to be deleted. It is recorded; nothing deletes them.
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..))]
    keep_days: u16,
    /// How much of what happened goes into ODM: nothing, the last change of each value, or all of them. Needs the right to
    /// read audit trails.
    #[arg(long, default_value = "none")]
    history: HistoryWanted,
    /// Content hash of the design in whose terms the data is written. Default: the live one.
    #[arg(long)]
    design: Option<CommitHash>,
    /// What one table holds: an item group, or a form.
    #[arg(long, default_value = "item-group")]
    by: ByWanted,
    /// In CSV files, puts an apostrophe before texts that a spreadsheet would take for a formula: for people, not programs.
    #[arg(long)]
    guard_formulas: bool,
    /// Tables are put together in memory, so that no personal data is written to disk on the way: how many MiB at most.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    table_memory: u32,
    #[command(flatten)]
    access: Access,
}

/// In which format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Format {
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HistoryWanted {
    None,
    Last,
    Whole,
}

#[derive(Clone, Copy, ValueEnum)]
enum ByWanted {
    ItemGroup,
    Form,
}

impl Format {
    fn odm(self) -> Option<OdmVersion> {
        match self {
            Self::Odm132 => Some(OdmVersion::V1_3_2),
            Self::Odm20 => Some(OdmVersion::V2_0),
            Self::Csv | Self::DatasetJson | Self::Xpt => None,
        }
    }

    /// The file of a whole study, or of one table of it.
    fn file(self, study: &StudyId, table: &str) -> String {
        match self {
            Self::Odm132 => format!("{study}.odm132.xml"),
            Self::Odm20 => format!("{study}.odm20.xml"),
            Self::Csv => format!("{study}.{table}.csv"),
            Self::DatasetJson => format!("{study}.{table}.json"),
            Self::Xpt => format!("{study}.{table}.xpt"),
        }
    }
}

/// The list of variables beside a SAS file.
fn variables_file(study: &StudyId, table: &str) -> String {
    format!("{study}.{table}.xpt.variables.json")
}

/// What is the same for a whole export.
struct Frame {
    study: Study,
    position: u64,
    hash: CommitHash,
    design: StudyDesign,
    by: By,
    /// The tables' names, in their order.
    names: Vec<String>,
}

impl Export {
    pub(super) async fn run(mut self) -> Result<(), CliError> {
        self.formats = BTreeSet::from_iter(self.formats.drain(..)).into_iter().collect();
        if [&self.recipient, &self.purpose].iter().any(|text| text.trim().is_empty()) {
            return Err(CliError::input("--recipient and --purpose take a text: they are recorded with the export"));
        }
        let client = Client::of(&self.access)?;
        let mut source = Source::new(&client, &self.study);
        let frame = self.frame(&source).await?;
        let manifest_name = format!("{}.manifest.json", self.study);
        let mut folder = Folder::open(&self.to, &self.file_names(&frame, &manifest_name))?;
        // ODM names its users before the first participant, so who they are is gathered first.
        let users = if self.has_odm() { self.users(&mut source, &frame).await? } else { Vec::new() };
        let created_at = Moment(SystemClock.now());
        let id = random_id();
        let export = StudyExport {
            study: self.study.clone(),
            environment: frame.study.environment,
            design: &frame.design,
            created_at,
            as_of: created_at,
            file_oid: format!("LETHE.{id}"),
            software_version: env!("CARGO_PKG_VERSION"),
            users,
            sites: sites(&frame)?,
        };
        let (files, counts) = self.write(&mut source, &frame, &export, &mut folder).await?;
        let manifest = Manifest {
            format: 1,
            export: id.to_string(),
            study: self.study.clone(),
            environment: frame.study.environment,
            design: frame.hash,
            position: frame.position,
            created_at,
            created_by: None,
            recipient: self.recipient.clone(),
            purpose: self.purpose.clone(),
            instruction: None,
            expires_at: Moment(created_at.0 + Duration::days(self.keep_days.into())),
            not_permitted: not_permitted(&source),
            files,
            counts,
        };
        let mut file = folder.create(&manifest_name)?;
        std::io::Write::write_all(&mut file, &manifest.bytes())
            .map_err(|error| CliError::failed(&manifest_name, error))?;
        folder.close(file, &manifest_name, "application/json", 1)?;
        folder.keep();
        self.tell(&manifest);
        Ok(())
    }

    async fn frame(&self, source: &Source<'_>) -> Result<Frame, CliError> {
        let (study, position) = source.study().await?;
        let live = || CliError::conflict("no design is live in this study: name one with --design");
        let hash = self.design.or(study.live_design).ok_or_else(live)?;
        let design = source.design(&hash).await?;
        let by = match self.by {
            ByWanted::ItemGroup => By::ItemGroup,
            ByWanted::Form => By::Form,
        };
        let names = dataset_names(&tables(&design, by));
        Ok(Frame { study, position, hash, design, by, names })
    }

    fn has_odm(&self) -> bool {
        self.formats.iter().any(|format| format.odm().is_some())
    }

    fn file_names(&self, frame: &Frame, manifest: &str) -> Vec<String> {
        let mut names = vec![manifest.to_owned()];
        for format in &self.formats {
            match format.odm() {
                Some(_) => names.push(format.file(&self.study, "")),
                None => names.extend(frame.names.iter().map(|table| format.file(&self.study, table))),
            }
            if *format == Format::Xpt {
                names.extend(frame.names.iter().map(|table| variables_file(&self.study, table)));
            }
        }
        names
    }

    /// Hands each participant to `each`: one at a time, so that no more than one is in memory.
    async fn participants(
        &self,
        source: &mut Source<'_>,
        frame: &Frame,
        mut each: impl FnMut(ParticipantRecord, Missed) -> Result<(), ExchangeError>,
    ) -> Result<(), CliError> {
        let history = self.has_odm() && self.history != HistoryWanted::None;
        let mut cursor = None;
        loop {
            let (page, next) = source.participants(cursor.as_deref()).await?;
            for participant in page {
                let loaded = source.load(participant, history).await?;
                if history && source.no_audit {
                    return Err(CliError::answered(
                        Some(403),
                        "this role may not read audit trails, which --history asks for: leave it out",
                    ));
                }
                let (record, missed) = record::record(loaded, &frame.design);
                each(record, missed).map_err(failed)?;
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn users(&self, source: &mut Source<'_>, frame: &Frame) -> Result<Vec<UserEntry>, CliError> {
        let mut users = BTreeMap::new();
        self.participants(source, frame, |record, _| {
            acts(&record, &mut |act| note_user(&mut users, act));
            Ok(())
        })
        .await?;
        Ok(users.into_values().map(|(_, user)| user).collect())
    }

    async fn write(
        &self,
        source: &mut Source<'_>,
        frame: &Frame,
        export: &StudyExport<'_>,
        folder: &mut Folder,
    ) -> Result<(Vec<FileEntry>, Counts), CliError> {
        let mut odm = Vec::new();
        for (format, version) in self.formats.iter().filter_map(|format| Some((format, format.odm()?))) {
            let name = format.file(&self.study, "");
            let file = folder.create(&name)?;
            odm.push((name, OdmWriter::begin(file, export, self.odm_options(version)).map_err(failed)?));
        }
        let bound = self.table_memory as usize * (1 << 20);
        let left = Rc::new(Cell::new(bound));
        let has_tables = self.formats.iter().any(|format| format.odm().is_none());
        let spooled = has_tables
            .then(|| Spooled::begin(&self.study, &frame.design, frame.by, |_| Ok(Bounded::new(&left, bound))));
        let mut spooled = spooled.transpose().map_err(failed)?;
        let mut counts = Counts::default();
        self.participants(source, frame, |record, missed| {
            counts.add(&record);
            counts.not_in_design += missed.not_in_design;
            counts.erased_participants += u64::from(missed.erased);
            odm.iter_mut().try_for_each(|(_, writer)| writer.participant(&record))?;
            spooled.as_mut().map_or(Ok(()), |spooled| spooled.participant(&record))
        })
        .await?;
        let mut entries = Vec::new();
        for (name, writer) in odm {
            let (file, replaced) = writer.finish().map_err(failed)?;
            let mut entry = folder.close(file, &name, "application/xml", counts.participants)?;
            note_changed(&mut entry, "not-in-xml", replaced);
            entries.push(entry);
        }
        for (mut table, name) in spooled.map(Spooled::finish).into_iter().flatten().zip(&frame.names) {
            for format in &self.formats {
                entries.extend(self.table(*format, export, (&mut table, name), folder)?);
            }
        }
        Ok((entries, counts))
    }

    fn odm_options(&self, version: OdmVersion) -> OdmOptions {
        let history = match self.history {
            HistoryWanted::None => History::None,
            HistoryWanted::Last => History::Last,
            HistoryWanted::Whole => History::Whole,
        };
        OdmOptions { version, history, notes: true, metadata: true }
    }

    /// One table in one format.
    fn table(
        &self,
        format: Format,
        export: &StudyExport<'_>,
        (table, name): (&mut SpooledTable<Bounded>, &str),
        folder: &mut Folder,
    ) -> Result<Vec<FileEntry>, CliError> {
        if format.odm().is_some() {
            return Ok(Vec::new());
        }
        let file_name = format.file(&self.study, name);
        let mut file = folder.create(&file_name)?;
        let (mut changed, mut more) = (BTreeMap::new(), Vec::new());
        let kind = match format {
            Format::Odm132 | Format::Odm20 => "application/xml",
            Format::Csv => {
                let options = CsvOptions { guard_formulas: self.guard_formulas };
                let guarded = csv::write_csv(table, &mut file, options).map_err(failed)?;
                changed.insert("formula-guarded".to_owned(), guarded);
                "text/csv"
            }
            Format::DatasetJson => {
                dataset_json::write_dataset(export, table, DatasetForm::Json, &mut file).map_err(failed)?;
                "application/json"
            }
            Format::Xpt => {
                let written = xpt::write_xpt(export, table, name, &mut file).map_err(failed)?;
                for note in &written.notes {
                    let what = serde_json::to_value(note.what).ok();
                    let what = what.as_ref().and_then(|what| what.as_str()).unwrap_or_default().to_owned();
                    *changed.entry(what).or_default() += note.records.max(1);
                }
                more.push(self.variables(&written, name, folder)?);
                "application/x-sas-xport"
            }
        };
        let mut entry = folder.close(file, &file_name, kind, table.records)?;
        changed.into_iter().for_each(|(what, times)| note_changed(&mut entry, &what, times));
        more.push(entry);
        Ok(more)
    }

    fn variables(&self, written: &xpt::XptWritten, name: &str, folder: &mut Folder) -> Result<FileEntry, CliError> {
        let file_name = variables_file(&self.study, name);
        let mut file: Written = folder.create(&file_name)?;
        serde_json::to_writer_pretty(&mut file, written).map_err(|error| CliError::failed(&file_name, error))?;
        folder.close(file, &file_name, "application/json", written.variables.len() as u64)
    }

    fn tell(&self, manifest: &Manifest) {
        let counts = &manifest.counts;
        note!(
            "{} files in {}: {} participants, {} values; {} items not done, {} cleared, {} erased, {} withheld.",
            manifest.files.len() + 1,
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
        note!("The files hold personal data. Nothing that is erased from now on is erased in them.");
    }
}

fn failed(error: ExchangeError) -> CliError {
    CliError::failed("the export", error)
}

fn note_changed(entry: &mut FileEntry, what: &str, times: u64) {
    if times > 0 {
        entry.changed.insert(what.to_owned(), times);
    }
}

fn not_permitted(source: &Source<'_>) -> Vec<String> {
    let kinds =
        [(source.no_audit, "audit trails"), (source.no_queries, "queries"), (source.no_signatures, "signatures")];
    kinds.into_iter().filter(|(no, _)| *no).map(|(_, kind)| kind.to_owned()).collect()
}

/// Since when the design is live at a site: since it was opened, or since the design was published.
fn sites(frame: &Frame) -> Result<Vec<SiteEntry>, CliError> {
    let published = frame.study.designs.iter().find(|design| design.design == frame.hash);
    let published = published.ok_or_else(|| CliError::not_found("the study has no such design"))?.published.stored_at;
    let entry = |site: &projection_svc::studies::Site| SiteEntry {
        site: site.site.clone(),
        name: site.name.clone(),
        live_since: domain::Day(site.opened.stored_at.max(published).0.date()),
    };
    Ok(frame.study.sites.iter().map(entry).collect())
}

/// Every act that a record names.
fn acts<'r>(record: &'r ParticipantRecord, each: &mut impl FnMut(&'r Act)) {
    record.registered.iter().for_each(&mut *each);
    noted(&record.notes, each);
    for visit in &record.visits {
        noted(&visit.notes, each);
        for form in &visit.forms {
            noted(&form.notes, each);
            for item in form.groups.iter().flat_map(|group| &group.items) {
                noted(&item.notes, each);
                item.changes.iter().for_each(|change| each(&change.by));
            }
        }
    }
}

fn noted<'r>(notes: &'r Notes, each: &mut impl FnMut(&'r Act)) {
    notes.signatures.iter().for_each(|signature| each(&signature.by));
    notes.queries.iter().flat_map(|query| &query.thread).for_each(|message| each(&message.by));
}

/// The role that a user had last is the one that the file names. Names of users are in no answer of the platform.
fn note_user(users: &mut BTreeMap<UserId, (Moment, UserEntry)>, act: &Act) {
    if users.get(&act.user).is_none_or(|(last, _)| *last < act.stored_at) {
        let entry = UserEntry { user: act.user, role: act.role, organisation: act.organisation.clone(), name: None };
        users.insert(act.user, (act.stored_at, entry));
    }
}
