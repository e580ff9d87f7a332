//! Writes the files of an export into the vault, one participant after another.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use domain::Moment;
use domain::design::StudyDesign;
use domain::export::{File, Format, HistoryWanted, TablesBy};
use domain::ids::{ParticipantId, StudyId, UserId};
use domain::permit::{Principal, Sites};
use domain::port::{ExportJob, ExportVault, ExportWritten, Failure, HeldFile, Tenant};
use exchange::csv::CsvOptions;
use exchange::dataset_json::DatasetForm;
use exchange::manifest::{Counts, FileEntry, Hashed, Manifest};
use exchange::model::{Act, Notes, ParticipantRecord, StudyExport, UserEntry};
use exchange::odm::{History, OdmOptions, OdmVersion, OdmWriter};
use exchange::table::{By, Spooled, SpooledTable, Table, tables};
use exchange::xpt::dataset_names;
use exchange::{ExchangeError, csv, dataset_json, xpt};
use projection_svc::studies::{self, Study};

use super::record::{self, Missed};
use super::source::{self, Source, Wanted};
use super::spool::Sealed;
use crate::desk::Queries;

type Out = Hashed<Box<dyn HeldFile>>;

const WHAT: &str = "the export";

/// Writes every file of an export, with the rights of `caller`.
///
/// # Errors
/// What the read models, the journal and the vault say. What was written by then is left to be destroyed.
pub(super) async fn write(queries: &Queries, caller: &Principal, job: &ExportJob) -> Result<ExportWritten, Failure> {
    let missing = || Failure::unavailable(WHAT, "the tenant is not served here");
    let tenant = queries.tenant(&caller.tenant).ok_or_else(missing)?;
    let study = studies::show(&tenant, &job.study).await?.ok_or_else(|| Failure::missing("the study"))?;
    let design = source::published(&study, &job.frame.design).ok_or_else(|| Failure::missing("the design"))?;
    let design = source::content(&tenant, &job.study, design).await?;
    let by = match job.order.tables {
        TablesBy::ItemGroup => By::ItemGroup,
        TablesBy::Form => By::Form,
    };
    let names = dataset_names(&tables(&design, by));
    let source = Source::new(&tenant, caller, &job.study, Sites::Only(job.frame.sites.clone()));
    let writing = Writing { tenant, source, job, study, design, by, names };
    writing.all(caller.actor.id).await
}

struct Writing<'a> {
    tenant: Arc<Tenant>,
    source: Source,
    job: &'a ExportJob,
    study: Study,
    design: StudyDesign,
    by: By,
    /// The tables' names, in their order.
    names: Vec<String>,
}

impl Writing<'_> {
    async fn all(&self, by: UserId) -> Result<ExportWritten, Failure> {
        let ExportJob { export, study, order, frame, created_at } = self.job;
        self.vault().begin(*export).await?;
        // ODM names its users before the first participant, so who they are is gathered first.
        let users = if self.odm().next().is_some() { self.users().await? } else { Vec::new() };
        let whole = StudyExport {
            study: study.clone(),
            environment: self.study.environment,
            design: &self.design,
            created_at: *created_at,
            as_of: *created_at,
            file_oid: format!("LETHE.{export}"),
            software_version: env!("CARGO_PKG_VERSION"),
            users,
            sites: super::sites(&self.study, &frame.design, &frame.sites),
        };
        let (entries, counts, participants) = self.files(&whole).await?;
        let manifest = Manifest {
            format: 1,
            export: export.to_string(),
            study: study.clone(),
            environment: self.study.environment,
            design: frame.design,
            position: frame.position,
            created_at: *created_at,
            created_by: Some(by),
            recipient: order.recipient.to_string(),
            purpose: order.purpose.to_string(),
            instruction: order.instruction.clone(),
            expires_at: order.expires_at,
            not_permitted: self.source.not_permitted.iter().map(|kind| (*kind).to_owned()).collect(),
            files: entries.clone(),
            counts,
        };
        let bytes = manifest.bytes();
        let signature = self.vault().sign(&bytes).await?;
        let manifest = self.plain(format!("{study}.manifest.json"), &bytes).await?;
        let signature = self.plain(format!("{study}.manifest.signature.json"), &signature).await?;
        let (hash, mut all) = (manifest.sha256, vec![manifest, signature]);
        all.extend(entries);
        Ok(ExportWritten { manifest: hash, files: all.into_iter().map(file).collect(), participants })
    }

    fn vault(&self) -> &dyn ExportVault {
        &*self.tenant.exports
    }

    fn odm(&self) -> impl Iterator<Item = (Format, OdmVersion)> {
        self.job.order.formats.iter().filter_map(|format| Some((*format, odm_version(*format)?)))
    }

    async fn create(&self, name: &str) -> Result<Out, Failure> {
        Ok(Hashed::new(self.vault().create(self.job.export, name).await?))
    }

    async fn plain(&self, name: String, bytes: &[u8]) -> Result<FileEntry, Failure> {
        let mut out = self.create(&name).await?;
        out.write_all(bytes).map_err(io)?;
        close(out, &name, "application/json", 1)
    }

    /// Hands each participant to `each`: one at a time, so that no more than one is in memory.
    async fn participants(
        &self,
        mut each: impl FnMut(ParticipantId, ParticipantRecord, Missed) -> Result<(), ExchangeError> + Send,
    ) -> Result<(), Failure> {
        let history = self.odm().next().is_some() && self.job.order.history != HistoryWanted::None;
        let wanted = if history { Wanted::History } else { Wanted::Notes };
        let mut after: Option<String> = None;
        loop {
            let (page, next) = self.source.participants(after.as_deref()).await?;
            for participant in page {
                let id = participant.participant;
                let loaded = self.source.load(participant, wanted).await?;
                let (record, missed) = record::record(loaded, &self.design);
                each(id, record, missed).map_err(failed)?;
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Whose data is taken by another road. Nothing of it is read here.
    async fn everybody(&self) -> Result<Vec<ParticipantId>, Failure> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let (page, next) = self.source.participants(after.as_deref()).await?;
            all.extend(page.into_iter().map(|participant| participant.participant));
            match next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    async fn users(&self) -> Result<Vec<UserEntry>, Failure> {
        let mut users = BTreeMap::new();
        self.participants(|_, record, _| {
            acts(&record, &mut |act| note_user(&mut users, act));
            Ok(())
        })
        .await?;
        Ok(users.into_values().map(|(_, user)| user).collect())
    }

    async fn files(&self, whole: &StudyExport<'_>) -> Result<(Vec<FileEntry>, Counts, Vec<ParticipantId>), Failure> {
        let study = &self.job.study;
        let mut odm = Vec::new();
        for (format, version) in self.odm() {
            let name = file_name(format, study, "");
            let out = self.create(&name).await?;
            odm.push((name, OdmWriter::begin(out, whole, self.odm_options(version)).map_err(failed)?));
        }
        let mut spooled = self.spooled().await?;
        let (mut counts, mut participants) = (Counts::default(), Vec::new());
        if self.job.order.formats.is_empty() {
            participants = self.everybody().await?;
            counts.participants = participants.len() as u64;
            return Ok((Vec::new(), counts, participants));
        }
        self.participants(|id, record, missed| {
            // Of one whose processing is restricted the number is there, and nothing else: whoever got it is to be told all the same.
            participants.push(id);
            counts.add(&record);
            counts.not_in_design += missed.not_in_design;
            counts.erased_participants += u64::from(missed.erased);
            odm.iter_mut().try_for_each(|(_, writer)| writer.participant(&record))?;
            spooled.as_mut().map_or(Ok(()), |spooled| spooled.participant(&record))
        })
        .await?;
        let mut entries = Vec::new();
        for (name, writer) in odm {
            let (out, replaced) = writer.finish().map_err(failed)?;
            let mut entry = close(out, &name, "application/xml", counts.participants)?;
            note_changed(&mut entry, "not-in-xml", replaced);
            entries.push(entry);
        }
        for (mut table, name) in spooled.map(Spooled::finish).into_iter().flatten().zip(&self.names) {
            for format in &self.job.order.formats {
                entries.extend(self.table(*format, whole, (&mut table, name)).await?);
            }
        }
        Ok((entries, counts, participants))
    }

    /// A spool for each table, if there are to be tables.
    async fn spooled(&self) -> Result<Option<Spooled<Sealed>>, Failure> {
        if self.job.order.formats.iter().all(|format| odm_version(*format).is_some()) {
            return Ok(None);
        }
        let mut room = Vec::new();
        for _ in &self.names {
            room.push(Sealed(self.vault().spool().await?));
        }
        let next = |_: &Table| room.pop().ok_or_else(|| std::io::Error::other("more tables than were counted"));
        Spooled::begin(&self.job.study, &self.design, self.by, next).map(Some).map_err(failed)
    }

    fn odm_options(&self, version: OdmVersion) -> OdmOptions {
        let history = match self.job.order.history {
            HistoryWanted::None => History::None,
            HistoryWanted::Last => History::Last,
            HistoryWanted::Whole => History::Whole,
        };
        OdmOptions { version, history, notes: true, metadata: true }
    }

    /// One table in one format.
    async fn table(
        &self,
        format: Format,
        whole: &StudyExport<'_>,
        (table, name): (&mut SpooledTable<Sealed>, &str),
    ) -> Result<Vec<FileEntry>, Failure> {
        if odm_version(format).is_some() {
            return Ok(Vec::new());
        }
        let file_name = file_name(format, &self.job.study, name);
        let mut out = self.create(&file_name).await?;
        let (mut changed, mut more) = (BTreeMap::new(), Vec::new());
        let kind = match format {
            Format::Odm132 | Format::Odm20 => "application/xml",
            Format::Csv => {
                let options = CsvOptions { guard_formulas: self.job.order.guard_formulas };
                let guarded = csv::write_csv(table, &mut out, options).map_err(failed)?;
                changed.insert("formula-guarded".to_owned(), guarded);
                "text/csv"
            }
            Format::DatasetJson => {
                dataset_json::write_dataset(whole, table, DatasetForm::Json, &mut out).map_err(failed)?;
                "application/json"
            }
            Format::Xpt => {
                let written = xpt::write_xpt(whole, table, name, &mut out).map_err(failed)?;
                for note in &written.notes {
                    let what = serde_json::to_value(note.what).ok();
                    let what = what.as_ref().and_then(|what| what.as_str()).unwrap_or_default().to_owned();
                    *changed.entry(what).or_default() += note.records.max(1);
                }
                let variables = format!("{}.{name}.xpt.variables.json", self.job.study);
                let bytes = serde_json::to_vec_pretty(&written).map_err(|error| Failure::damaged(WHAT, error))?;
                more.push(self.plain(variables, &bytes).await?);
                "application/x-sas-xport"
            }
        };
        let mut entry = close(out, &file_name, kind, table.records)?;
        changed.into_iter().for_each(|(what, times)| note_changed(&mut entry, &what, times));
        more.push(entry);
        Ok(more)
    }
}

fn odm_version(format: Format) -> Option<OdmVersion> {
    match format {
        Format::Odm132 => Some(OdmVersion::V1_3_2),
        Format::Odm20 => Some(OdmVersion::V2_0),
        Format::Csv | Format::DatasetJson | Format::Xpt => None,
    }
}

/// The file of a whole study, or of one table of it.
fn file_name(format: Format, study: &StudyId, table: &str) -> String {
    match format {
        Format::Odm132 => format!("{study}.odm132.xml"),
        Format::Odm20 => format!("{study}.odm20.xml"),
        Format::Csv => format!("{study}.{table}.csv"),
        Format::DatasetJson => format!("{study}.{table}.json"),
        Format::Xpt => format!("{study}.{table}.xpt"),
    }
}

/// The file is whole.
fn close(out: Out, name: &str, kind: &str, records: u64) -> Result<FileEntry, Failure> {
    let (held, entry) = out.finish(name, kind, records);
    held.finish().map_err(io)?;
    Ok(entry)
}

fn file(entry: FileEntry) -> File {
    let FileEntry { name, media_type, sha256, bytes, records, .. } = entry;
    File { name, media_type, sha256, bytes, records }
}

fn io(error: std::io::Error) -> Failure {
    Failure::unavailable("the vault of exports", error)
}

fn failed(error: ExchangeError) -> Failure {
    Failure::unavailable(WHAT, error)
}

fn note_changed(entry: &mut FileEntry, what: &str, times: u64) {
    if times > 0 {
        entry.changed.insert(what.to_owned(), times);
    }
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
