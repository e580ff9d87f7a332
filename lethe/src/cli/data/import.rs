//! Imports the participants of an ODM file: each through the ordinary commands, with a row for whatever was refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::{Mutex, PoisonError};

use command_svc::odm::{self, ParticipantData, Report, Row, Severity};
use domain::ids::{SiteId, SubjectNumber};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::Import;
use crate::cli::study::counted;
use crate::cli::{ApiError, CliError, Client};
use crate::platform::random_id;

mod versions;

use versions::Versions;

/// How many participants are sent side by side.
const SIDE_BY_SIDE: usize = 8;

/// What became of the file.
#[derive(Default)]
struct Tally {
    /// Participants of the file that are in the study now.
    participants: u64,
    /// Of these, those that were not there before.
    new_participants: u64,
    /// Values that were written.
    saved: u64,
    /// Values that stood there already.
    unchanged: u64,
    report: Report,
}

/// What came of one command.
enum Sent {
    Written,
    Unchanged,
    Refused,
}

/// What all participants of one run share.
struct Run<'a> {
    import: &'a Import,
    client: &'a Client,
    versions: Versions,
    /// By subject number: an import matches people by it, those of earlier runs too.
    known: Mutex<BTreeMap<String, Known>>,
}

/// A participant who has an id.
#[derive(Clone)]
struct Known {
    id: uuid::Uuid,
    /// Address of the design version under which the participant was registered, if it was before this run.
    design: Option<String>,
}

impl Import {
    pub(super) async fn run(self) -> Result<(), CliError> {
        // The whole file is looked through first: one that is cut off or is not ODM changes nothing.
        let survey = odm::survey(self.open()?, &odm::Limits::default()).map_err(|error| self.unreadable(&error))?;
        if self.strict && !survey.broken.rows.is_empty() {
            survey.broken.rows.iter().for_each(|row| out!("{row}"));
            let count = survey.broken.rows.len();
            return Err(
                self.unreadable(&format!("{count} faults against what ODM demands; without --strict it is read"))
            );
        }
        let client = Client::of(&self.access)?;
        let run = Run::prepare(&self, &client).await?;
        let bar = progress(survey.participants);
        let mut clinical =
            odm::read_clinical(self.open()?, &odm::Limits::default()).map_err(|error| self.unreadable(&error))?;
        let mut tally = Tally::default();
        loop {
            let group: Vec<ParticipantData> = clinical
                .by_ref()
                .take(SIDE_BY_SIDE)
                .collect::<Result<_, _>>()
                .map_err(|error| self.unreadable(&error))?;
            tally.report.append(clinical.take_report());
            if group.is_empty() {
                break;
            }
            let sent: Vec<_> =
                stream::iter(&group).map(|data| run.participant(data)).buffered(SIDE_BY_SIDE).collect().await;
            bar.inc(group.len() as u64);
            for outcome in sent {
                let one = outcome?;
                tally.participants += one.participants;
                tally.new_participants += one.new_participants;
                tally.saved += one.saved;
                tally.unchanged += one.unchanged;
                tally.report.append(one.report);
            }
        }
        bar.finish_and_clear();
        self.print(&tally);
        Ok(())
    }

    fn open(&self) -> Result<BufReader<File>, CliError> {
        let file = File::open(&self.file).map_err(|error| self.unreadable(&error))?;
        Ok(BufReader::new(file))
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> CliError {
        CliError::input(format!("{}: {error}. Nothing more was sent", self.file.display()))
    }

    fn print(&self, tally: &Tally) {
        let Tally { participants, new_participants, saved, unchanged, report } = tally;
        if self.json {
            let counts = json!({
                "participants": participants, "new_participants": new_participants, "values": saved + unchanged,
                "saved": saved, "unchanged": unchanged, "report": report,
            });
            return out!("{counts}");
        }
        print_rows(&report.rows);
        note!(
            "{participants} participants ({new_participants} new), {saved} values saved, {unchanged} were there already."
        );
        note!("{}", counted(report));
    }
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

fn progress(participants: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("importing {bar:40} {pos}/{len} participants, {eta} left");
    ProgressBar::new(participants).with_style(style.expect("the template is constant"))
}

impl<'a> Run<'a> {
    async fn prepare(import: &'a Import, client: &'a Client) -> Result<Self, CliError> {
        let study = format!("/v1/studies/{}", import.study);
        let versions = Versions::of(client, &study, &client.get(&study).await?.body).await?;
        Ok(Self { import, client, versions, known: Mutex::new(known(client, &study).await?) })
    }

    /// One participant: refusals become rows; no answer ends the import.
    async fn participant(&self, data: &ParticipantData) -> Result<Tally, CliError> {
        let mut tally = Tally::default();
        let Known { id, design } = self.known(&data.subject_number);
        let captured_at = data.audit.as_ref().and_then(|audit| audit.at).and_then(|at| at.format(&Rfc3339).ok());
        let captured_at = captured_at.as_deref();
        let path = format!("/v1/studies/{}/participants/{id}", self.import.study);
        let Some(site) = self.site_of(data) else {
            tally.refuse(data.line, "SubjectData", "site", "the file names no site of the study: give --site".into());
            return Ok(tally);
        };
        let consent =
            json!({"type": "give-consent", "version": self.import.consent, "reference": self.import.reference});
        for (rule, body) in [("register", register(&site, &data.subject_number)), ("consent", consent)] {
            match self.send(&path, captured_at, &body, &mut tally, (data.line, "SubjectData", rule)).await? {
                Sent::Refused => return Ok(tally),
                Sent::Written if rule == "register" => tally.new_participants = 1,
                Sent::Written | Sent::Unchanged => {}
            }
        }
        tally.participants = 1;
        let design = self.versions.design(self.client, design.as_deref(), &site).await?;
        let plan = odm::plan(data, &design);
        tally.report.append(plan.report);
        for save in plan.saves {
            self.form(&path, captured_at, save, &mut tally).await?;
        }
        Ok(tally)
    }

    /// One form. A value that a hard check refuses is on record, and becomes a row; so does one that the platform computes
    /// otherwise. The rest is sent again without it, so that one absurd value does not cost the form.
    async fn form(
        &self,
        path: &str,
        captured_at: Option<&str>,
        mut save: odm::Save,
        tally: &mut Tally,
    ) -> Result<(), CliError> {
        while !save.lines.is_empty() {
            let values = save.lines.len() as u64;
            let body = serde_json::to_value(&save.command).map_err(|error| CliError::failed("a command", error))?;
            let error = match self.client.command(path, random_id(), None, captured_at, &body).await {
                Ok(reply) if reply.body["events"] == json!(0) => {
                    tally.unchanged += values;
                    return Ok(());
                }
                Ok(_) => {
                    tally.saved += values;
                    return Ok(());
                }
                Err(error) => error,
            };
            let refused = refused_items(&error);
            if refused.is_empty() && is_answer(&error) {
                tally.refuse(save.line, "FormData", "form", error.to_string());
                return Ok(());
            }
            if refused.is_empty() {
                return Err(error.into());
            }
            let rule = if error.code == "hard-check" { "hard-check" } else { "item" };
            for (n, what) in &refused {
                let line = save.lines.get(*n).copied().unwrap_or(save.line);
                tally.refuse(line, "ItemData", rule, what.clone());
            }
            save.leave_out(refused.keys().copied());
        }
        Ok(())
    }

    /// The file's site if the study has it; otherwise the one given, or the only one there is.
    fn site_of(&self, data: &ParticipantData) -> Option<SiteId> {
        let named = data.site.as_ref().and_then(|site| site.parse().ok()).filter(|site| self.versions.has(site));
        named.or_else(|| self.import.site.clone()).or_else(|| self.versions.only_site())
    }

    fn known(&self, number: &SubjectNumber) -> Known {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(number.to_string()).or_insert_with(|| Known { id: random_id(), design: None }).clone()
    }

    async fn send(
        &self,
        path: &str,
        captured_at: Option<&str>,
        body: &Value,
        tally: &mut Tally,
        (line, element, rule): (u64, &str, &'static str),
    ) -> Result<Sent, CliError> {
        match self.client.command(path, random_id(), None, captured_at, body).await {
            Ok(reply) if reply.body["events"] == json!(0) => Ok(Sent::Unchanged),
            Ok(_) => Ok(Sent::Written),
            Err(error) if is_answer(&error) => {
                tally.refuse(line, element, rule, error.to_string());
                Ok(Sent::Refused)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The numbers of the items whose values a refusal is about, with what it says of each.
fn refused_items(error: &ApiError) -> BTreeMap<usize, String> {
    if !matches!(error.code.as_str(), "hard-check" | "invalid-items") {
        return BTreeMap::new();
    }
    let number = |pointer: &str| pointer.strip_prefix("/items/")?.strip_suffix("/value")?.parse().ok();
    error.faults.iter().filter_map(|(pointer, detail)| Some((number(pointer)?, detail.clone()))).collect()
}

/// The platform said no to this one command; the others may go on.
fn is_answer(error: &ApiError) -> bool {
    matches!(error.status, Some(404 | 409 | 410 | 412 | 413 | 422 | 428))
}

fn register(site: &SiteId, number: &SubjectNumber) -> Value {
    json!({"type": "register", "site": site, "subject_number": number})
}

impl Tally {
    fn refuse(&mut self, line: u64, element: &str, rule: &'static str, what: String) {
        let row = Row { line: Some(line), element: element.into(), oid: None, severity: Severity::Refused, rule, what };
        self.report.rows.push(row);
    }
}

/// Everybody who is there, by subject number.
async fn known(client: &Client, study: &str) -> Result<BTreeMap<String, Known>, CliError> {
    let mut known = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{study}/participants?limit=1000{cursor}")).await?.body;
        for item in page["items"].as_array().into_iter().flatten() {
            let text = |key: &str| item[key].as_str().unwrap_or_default();
            if let Ok(id) = text("participant").parse() {
                let design = item["design"].as_str().map(str::to_owned);
                known.insert(text("subject_number").to_owned(), Known { id, design });
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(known),
        }
    }
}
