//! Imports the participants of a file: each through the ordinary commands, with a row for whatever became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use command_svc::odm::{Report, Row};
use domain::ids::{SiteId, SubjectNumber};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Import;
use crate::cli::study::counted;
use crate::cli::{CliError, Client};

mod journey;
mod progress;
mod records;
mod rows;
mod versions;

use journey::Journey;
use progress::{Progress, Run as RunId};
use records::{Batch, Records, Task};
use rows::{Line, Outcome, ReportFile, Tally};
use versions::Versions;

/// How many participants are sent side by side.
const SIDE_BY_SIDE: usize = 8;

/// What all participants of one run share.
struct Run<'a> {
    import: &'a Import,
    client: &'a Client,
    versions: Versions,
    id: RunId,
    /// By subject number: an import matches people by it, those of earlier runs too.
    known: Mutex<BTreeMap<String, Known>>,
}

/// A participant who has an id.
#[derive(Clone)]
struct Known {
    id: uuid::Uuid,
    /// Address of the design version under which the participant was registered, if it was before this run.
    design: Option<String>,
    /// Registered before this run.
    there: bool,
    /// Registered and consented, as far as this run is to see to it.
    ready: bool,
    /// Where the journal stood after the last command.
    position: Option<String>,
    /// Of a dry run: what would have been carried out so far.
    tried: Vec<serde_json::Value>,
}

impl Known {
    fn of(id: uuid::Uuid, design: Option<String>, there: bool) -> Self {
        Self { id, design, there, ready: false, position: None, tried: Vec::new() }
    }
}

impl Import {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let client = Client::of(&self.access)?;
        let study = format!("/v1/studies/{}", self.study);
        let versions = Versions::of(&client, &study, &client.get(&study).await?.body).await?;
        let live = versions.live().ok_or_else(|| CliError::failed("the study", "it has no design"))?;
        let mapping = self.mapping.as_deref().map(records::mapping).transpose()?;
        let mut records =
            Records::open(&self.file, mapping.as_ref(), &live).map_err(|error| self.unreadable(&error))?;
        // The whole file is looked through first: one that is cut off or is no such file changes nothing.
        let survey = records.survey().map_err(|error| self.unreadable(&error))?;
        if self.strict && !survey.broken.rows.is_empty() {
            survey.broken.rows.iter().for_each(|row| out!("{row}"));
            let count = survey.broken.rows.len();
            return Err(
                self.unreadable(&format!("{count} faults against what ODM demands; without --strict it is read"))
            );
        }
        self.refuse_strangers(&survey.studies)?;
        let (mut progress, mut file) = self.begin()?;
        let known = known(&client, &study, progress.id(), progress.position()).await?;
        let run = Run { import: &self, client: &client, versions, id: progress.id(), known: Mutex::new(known) };
        records.skip(progress.done()).map_err(|error| self.unreadable(&error))?;
        let bar = bar(survey.records, progress.done(), self.dry_run);
        let mut rows = Report::default();
        loop {
            let batch = records.batch().map_err(|error| self.unreadable(&error))?;
            let (size, lines, tally) = run.batch(batch).await?;
            for line in &lines {
                file.write(line)?;
                rows.rows.extend(line.row());
            }
            progress.advance(size, tally, file.bytes()?)?;
            bar.inc(size);
            if size == 0 {
                break;
            }
        }
        bar.finish_and_clear();
        progress.finish()?;
        self.print(progress.tally(), &rows);
        match progress.tally().refused {
            0 => Ok(()),
            refused => Err(CliError::in_part(format!("{refused} rows were refused: the report says why"))),
        }
    }

    /// A file that says whose data it holds is believed.
    fn refuse_strangers(&self, named: &BTreeSet<String>) -> Result<(), CliError> {
        let known = |oid: &String| *oid == self.study.as_str() || self.from_studies.contains(oid);
        let strangers: Vec<&str> = named.iter().filter(|oid| !known(oid)).map(String::as_str).collect();
        if strangers.is_empty() {
            return Ok(());
        }
        let strangers = strangers.join(", ");
        let what = format!("its data is of the study {strangers}, not of {}: say so with --from-study", self.study);
        Err(self.unreadable(&what))
    }

    /// The progress and the report: new ones, or those of a run that was broken off.
    fn begin(&self) -> Result<(Progress, ReportFile), CliError> {
        let Some(report) = self.report.as_deref() else {
            return Ok((Progress::unkept(), ReportFile::none()));
        };
        if self.dry_run {
            return Ok((Progress::unkept(), ReportFile::create(report)?));
        }
        if !self.resume {
            let file = ReportFile::create(report)?;
            return Ok((Progress::begin(report, &self.file, &self.study)?, file));
        }
        let progress = Progress::resume(report, &self.file, &self.study)?;
        let file = ReportFile::resume(report, progress.report_bytes())?;
        Ok((progress, file))
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> CliError {
        CliError::input(format!("{}: {error}. Nothing more was sent", self.file.display()))
    }

    fn print(&self, tally: &Tally, report: &Report) {
        let Tally { participants, new_participants, saved, unchanged, refused, queries, position } = tally;
        if self.json {
            let counts = json!({
                "dry_run": self.dry_run, "participants": participants, "new_participants": new_participants,
                "values": saved + unchanged, "saved": saved, "unchanged": unchanged, "refused": refused,
                "queries": queries, "position": position, "report": report,
            });
            return out!("{counts}");
        }
        print_rows(&report.rows);
        let would = if self.dry_run { "A dry run, nothing was written: " } else { "" };
        note!(
            "{would}{participants} participants ({new_participants} new), {saved} values saved, {unchanged} were there \
             already, {queries} queries opened by edit checks."
        );
        note!("{}", counted(report));
    }
}

fn open(path: &Path) -> Result<BufReader<File>, std::io::Error> {
    File::open(path).map(BufReader::new)
}

/// Prints the rows; of those that say the same on many lines, the first with their number.
pub(crate) fn print_rows(rows: &[Row]) {
    let said = |row: &Row| (row.severity, row.element.clone(), row.oid.clone(), row.rule, row.what.clone());
    let mut times: BTreeMap<_, u64> = BTreeMap::new();
    for row in rows {
        *times.entry(said(row)).or_default() += 1;
    }
    for row in rows {
        match times.remove(&said(row)) {
            Some(1) => out!("{row}"),
            Some(times) => out!("{row} ({times} in all)"),
            None => {}
        }
    }
}

fn bar(records: u64, done: u64, dry: bool) -> ProgressBar {
    let what = if dry { "trying" } else { "importing" };
    let template = format!("{what} {{bar:40}} {{pos}}/{{len}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("the template is constant");
    let bar = ProgressBar::new(records).with_style(style).with_position(done);
    bar.reset_eta();
    bar
}

impl Run<'_> {
    /// Sends a batch: one participant after another side by side, those of one participant in order.
    async fn batch(&self, batch: Batch) -> Result<(u64, Vec<Line>, Tally), CliError> {
        let Batch { size, tasks, rows } = batch;
        let mut lines: Vec<Line> = rows;
        let mut people: Vec<Vec<Task>> = Vec::new();
        for task in tasks {
            match people.iter_mut().find(|one| one[0].subject_number == task.subject_number) {
                Some(one) => one.push(task),
                None => people.push(vec![task]),
            }
        }
        let sent: Vec<_> = stream::iter(&people).map(|tasks| self.person(tasks)).buffered(SIDE_BY_SIDE).collect().await;
        let mut tally = Tally::default();
        for outcome in sent {
            let (more, one) = outcome?;
            lines.extend(more);
            tally.add(&one);
        }
        tally.refused = lines.iter().filter(|line| line.outcome == Outcome::Refused).count() as u64;
        Ok((size, lines, tally))
    }

    async fn person(&self, tasks: &[Task]) -> Result<(Vec<Line>, Tally), CliError> {
        let mut journey = Journey::of(self, &tasks[0].subject_number, tasks[0].record);
        for task in tasks {
            journey.task(task).await?;
        }
        let known = journey.known();
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(tasks[0].subject_number.to_string(), known);
        drop(all);
        Ok(journey.end())
    }

    /// Who has this subject number; somebody new has an id that follows from the run and the record.
    fn known(&self, number: &SubjectNumber, record: u64) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Known::of(self.id.participant(record), None, false);
        known.get(number.as_str()).cloned().unwrap_or_else(new)
    }

    /// The file's site if the study has it; otherwise the one given, or the only one there is.
    fn site_of(&self, named: Option<&str>) -> Option<SiteId> {
        let named = named.and_then(|site| site.parse().ok()).filter(|site| self.versions.has(site));
        named.or_else(|| self.import.site.clone()).or_else(|| self.versions.only_site())
    }
}

/// Everybody who is there, by subject number. Those whom this run registered before it was broken off are new all the same.
async fn known(
    client: &Client,
    study: &str,
    run: RunId,
    position: Option<&str>,
) -> Result<BTreeMap<String, Known>, CliError> {
    let mut known = BTreeMap::new();
    let since = position.map(|position| format!("&min_position={position}")).unwrap_or_default();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{study}/participants?limit=1000{since}{cursor}")).await?.body;
        for item in page["items"].as_array().into_iter().flatten() {
            let text = |key: &str| item[key].as_str().unwrap_or_default();
            if let Ok(id) = text("participant").parse() {
                let design = item["design"].as_str().map(str::to_owned);
                known.insert(text("subject_number").to_owned(), Known::of(id, design, !run.made(id)));
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(known),
        }
    }
}
