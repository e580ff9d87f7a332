//! One participant's way into the study: registered, consented, then one command after another. In a dry run the same
//! commands are tried, each on the record as it would be after those before it.

use std::collections::BTreeMap;

use command_svc::odm::{self, Step, Transaction};
use domain::ids::{SiteId, SubjectNumber};
use domain::participant::{Command, FormKey};
use domain::scope::Plain;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::records::{Task, Work};
use super::rows::{Line, Outcome, Tally};
use super::{Known, Run};
use crate::cli::client::Reply;
use crate::cli::{ApiError, CliError};

/// How often a form that others change at the same time is read again.
const TAGS: u32 = 5;

/// A participant under way.
pub(super) struct Journey<'a> {
    run: &'a Run<'a>,
    path: String,
    known: Known,
    /// What to send as `If-Match` for a form.
    tags: BTreeMap<FormKey, String>,
    lines: Vec<Line>,
    tally: Tally,
}

/// Where a command comes from: which record, which of its steps, sent for the how manieth time.
#[derive(Clone, Copy)]
struct From {
    record: u64,
    step: usize,
    attempt: u32,
}

impl<'a> Journey<'a> {
    pub(super) fn of(run: &'a Run<'a>, number: &SubjectNumber, record: u64) -> Self {
        let known = run.known(number, record);
        let path = format!("/v1/studies/{}/participants/{}", run.import.study, known.id);
        Self { run, path, known, tags: BTreeMap::new(), lines: Vec::new(), tally: Tally::default() }
    }

    pub(super) fn known(&self) -> Known {
        Known { position: self.tally.position.clone().or(self.known.position.clone()), ..self.known.clone() }
    }

    pub(super) fn end(self) -> (Vec<Line>, Tally) {
        (self.lines, self.tally)
    }

    /// Refusals become lines; no answer ends the import.
    pub(super) async fn task(&mut self, task: &Task) -> Result<(), CliError> {
        if !self.may_begin(task) {
            return Ok(());
        }
        let Some(site) = self.run.site_of(task.site.as_deref()) else {
            let what = "the file names no site of the study: give --site";
            self.refuse((task.line, task.element), "site", what.into());
            return Ok(());
        };
        let (new, said) = (self.tally.new_participants, self.lines.len());
        if self.enrolled(task, &site).await? {
            self.work(task, &site).await?;
        }
        if self.tally.new_participants > new {
            self.say_if_nothing_else(task, said);
        }
        Ok(())
    }

    /// Whom the study has now is told, though nothing else of the row was taken: an attempt is on record with somebody.
    fn say_if_nothing_else(&mut self, task: &Task, said: usize) {
        let outcomes = |wanted: &[Outcome]| self.lines[said..].iter().any(|line| wanted.contains(&line.outcome));
        if outcomes(&[Outcome::Refused]) && !outcomes(&[Outcome::Saved, Outcome::Unchanged]) {
            let consented = if self.known.ready && self.run.import.consent.is_some() { " with consent" } else { "" };
            let what = format!("the participant is registered{consented}, though nothing else of it was taken");
            self.lines.push(Line::new(task.line, task.element, None, Outcome::Note).because("registered", what));
        }
    }

    async fn work(&mut self, task: &Task, site: &SiteId) -> Result<(), CliError> {
        match &task.work {
            Work::Row(steps) => {
                for (n, step) in steps.iter().enumerate() {
                    // A row is taken whole or not at all.
                    if !self.step(step.clone(), true, (task.record, n)).await? {
                        break;
                    }
                }
            }
            Work::Odm(data) => {
                let versions = &self.run.versions;
                let design = versions.design(self.run.client, self.known.design.as_deref(), site).await?;
                let plan = odm::plan(data, &design);
                self.lines.extend(plan.report.rows.iter().map(Line::of_row));
                for (n, step) in plan.steps.into_iter().enumerate() {
                    self.step(step, self.run.import.whole_forms, (task.record, n)).await?;
                }
            }
        }
        Ok(())
    }

    /// What the file says of the participant as a whole: new, or there.
    fn may_begin(&mut self, task: &Task) -> bool {
        let there = self.known.there || self.known.ready;
        let what = match task.transaction {
            Transaction::Insert if self.known.there => "it is to be new, and the study has this subject number already",
            Transaction::Update | Transaction::Context if !there => {
                "it is to be there, and the study has no such subject number"
            }
            _ => return true,
        };
        self.refuse((task.line, task.element), "transaction", format!("{what}: nothing of it was taken"));
        false
    }

    /// Whether the participant is registered and has given consent, as far as that is this run's to do.
    async fn enrolled(&mut self, task: &Task, site: &SiteId) -> Result<bool, CliError> {
        if self.known.ready {
            return Ok(true);
        }
        let register = json!({"type": "register", "site": site, "subject_number": task.subject_number});
        let import = self.run.import;
        let consent = import.consent.as_ref();
        let consent =
            consent.map(|version| json!({"type": "give-consent", "version": version, "reference": import.reference}));
        // Who is there already may be registered at another site, or be known under an older consent: that is no fault.
        let register = Some(register).filter(|_| !self.known.there);
        let steps = [("register", register), ("consent", consent)];
        for (n, (rule, body)) in steps.into_iter().enumerate() {
            let Some(body) = body else { continue };
            let id = self.run.id.command(&format!("{}/{rule}/{n}", self.known.id));
            match self.send(id, None, task.captured_at, &body).await {
                Ok(reply) if rule == "register" => self.tally.new_participants += u64::from(wrote(&reply)),
                Ok(_) => {}
                Err(error) if is_answer(&error) => {
                    self.refuse((task.line, task.element), rule, error.to_string());
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.known.ready = true;
        self.tally.participants += 1;
        Ok(true)
    }

    /// One command. A value that a hard check refuses is on record, and becomes a line; so does one that does not fit. Unless
    /// the form is taken whole or not, the rest is sent again without it. Whether anything was taken.
    async fn step(&mut self, mut step: Step, whole: bool, (record, n): (u64, usize)) -> Result<bool, CliError> {
        let of_values = matches!(step.command, Command::SaveItems { .. });
        if let (Command::RemoveForm { reason, .. }, Some(given)) = (&mut step.command, &self.run.import.reason)
            && reason.is_blank()
        {
            *reason = Plain(given.clone());
        }
        let mut attempt = 0;
        loop {
            if of_values && step.items.is_empty() {
                return Ok(false);
            }
            let body = serde_json::to_value(&step.command).map_err(|error| CliError::failed("a command", error))?;
            let from = From { record, step: n, attempt };
            let error = match self.tagged(from, &step, &body).await {
                Ok(reply) => {
                    self.taken(&step, &reply);
                    return Ok(true);
                }
                Err(error) => error,
            };
            attempt += 1;
            if self.with_reasons(&mut step, &error) {
                continue;
            }
            let refused = refused_items(&error);
            let answers = is_answer(&error) || (error.status == Some(403) && !of_values);
            if refused.is_empty() && !answers {
                return Err(error.into());
            }
            let rule = if error.code == "hard-check" { "hard-check" } else { "item" };
            for (n, what) in &refused {
                let at = step.items.get(*n);
                let (line, name) = at.map_or((step.line, None), |at| (at.line, Some(at.name.as_str())));
                let element = if step.element == "row" { "row" } else { "ItemData" };
                self.lines.push(Line::new(line, element, name, Outcome::Refused).because(rule, what.clone()));
            }
            if refused.is_empty() || whole {
                let rule = if of_values { "form" } else { "command" };
                let what = match refused.is_empty() {
                    true => error.to_string(),
                    false => "taken whole or not at all: none of its values was".into(),
                };
                let line = Line::new(step.line, step.element, step.oid.as_deref(), Outcome::Refused);
                self.lines.push(line.because(rule, what));
                return Ok(false);
            }
            step.leave_out(refused.keys().copied());
        }
    }

    /// Gives the reason of the command line to each value that changes without one. Whether that helps.
    fn with_reasons(&self, step: &mut Step, error: &ApiError) -> bool {
        let Some(reason) = &self.run.import.reason else { return false };
        if error.code == "reason-required"
            && let Command::StartVisit { reason: none @ None, .. } = &mut step.command
        {
            *none = Some(Plain(reason.clone()));
            return true;
        }
        let wanted = error.faults.iter().filter_map(|(pointer, _)| item_of(pointer)).filter(|(_, f)| *f == "reason");
        wanted.fold(false, |any, (n, _)| step.give_reason(n, reason) || any)
    }

    /// Sends a command with the tag of its form, and again if that is another one by now.
    async fn tagged(&mut self, from: From, step: &Step, body: &Value) -> Result<Reply, ApiError> {
        let form = form_of(&step.command).cloned();
        let id = format!("{}/{}/{}", from.record, from.step, from.attempt);
        let id = self.run.id.command(&format!("{}/{id}", self.known.id));
        let mut asked = 0;
        loop {
            let tag = form.as_ref().and_then(|form| self.tags.get(form)).cloned();
            match self.send(id, tag.as_deref(), step.captured_at, body).await {
                Ok(reply) => {
                    if let (Some(form), Some(tag)) = (form, reply.etag.clone().filter(|tag| tag != "\"0\"")) {
                        self.tags.insert(form, tag);
                    }
                    return Ok(reply);
                }
                Err(error) => {
                    asked += 1;
                    match form.as_ref().filter(|_| matches!(error.status, Some(412 | 428)) && asked < TAGS) {
                        Some(form) => self.read_tag(form).await?,
                        None => return Err(error),
                    }
                }
            }
        }
    }

    async fn read_tag(&mut self, form: &FormKey) -> Result<(), ApiError> {
        let since = self.tally.position.as_ref().or(self.known.position.as_ref());
        let since = since.map(|position| format!("?min_position={position}"));
        let casebook = self.run.client.get(&format!("{}/casebook{}", self.path, since.unwrap_or_default())).await?;
        let forms = casebook.body["forms"].as_array().into_iter().flatten();
        let mut tags = forms.filter(|one| {
            let key = ["visit", "visit_repeat", "form", "form_repeat"].map(|key| (key.to_owned(), one[key].clone()));
            let key = key.into_iter().filter(|(_, value)| !value.is_null()).collect::<serde_json::Map<_, _>>();
            serde_json::from_value::<FormKey>(Value::Object(key)).is_ok_and(|key| key == *form)
        });
        match tags.next().and_then(|form| form["tag"].as_u64()) {
            Some(tag) => drop(self.tags.insert(form.clone(), format!("\"{tag}\""))),
            None => drop(self.tags.remove(form)),
        }
        Ok(())
    }

    async fn send(
        &mut self,
        id: uuid::Uuid,
        tag: Option<&str>,
        captured_at: Option<OffsetDateTime>,
        body: &Value,
    ) -> Result<Reply, ApiError> {
        let captured_at = captured_at.and_then(|at| at.format(&Rfc3339).ok());
        let reply = if self.run.import.dry_run {
            let step = json!({
                "command": body, "idempotency_key": format!("\"{id}\""), "if_match": tag, "captured_at": captured_at,
            });
            self.known.tried.push(step);
            let reply =
                self.run.client.post(&format!("{}/rehearsal", self.path), &json!({"commands": self.known.tried})).await;
            if reply.is_err() {
                self.known.tried.pop();
            }
            reply?
        } else {
            self.run.client.command(&self.path, id, tag, captured_at.as_deref(), body).await?
        };
        self.tally.reach(reply.position.as_deref());
        Ok(reply)
    }

    /// A line for each value, or for what else was said.
    fn taken(&mut self, step: &Step, reply: &Reply) {
        let outcome = |saved: bool| if saved { Outcome::Saved } else { Outcome::Unchanged };
        if step.items.is_empty() {
            let line = Line::new(step.line, step.element, step.oid.as_deref(), outcome(wrote(reply)));
            return self.lines.push(line);
        }
        let element = if step.element == "row" { "row" } else { "ItemData" };
        for (n, at) in step.items.iter().enumerate() {
            let item = &reply.body["items"][n];
            let saved = item["saved"].as_bool().unwrap_or_else(|| wrote(reply));
            let queries = item["queries"].as_u64().unwrap_or_default();
            self.lines.push(Line { queries, ..Line::new(at.line, element, Some(&at.name), outcome(saved)) });
            self.tally.saved += u64::from(saved);
            self.tally.unchanged += u64::from(!saved);
            self.tally.queries += queries;
        }
    }

    fn refuse(&mut self, (line, element): (u64, &str), rule: &'static str, what: String) {
        self.lines.push(Line::new(line, element, None, Outcome::Refused).because(rule, what));
    }
}

fn wrote(reply: &Reply) -> bool {
    reply.body["events"] != json!(0)
}

fn form_of(command: &Command) -> Option<&FormKey> {
    match command {
        Command::SaveItems { form, .. } => Some(form),
        _ => None,
    }
}

/// Which item a fault is about, and which field of it.
fn item_of(pointer: &str) -> Option<(usize, &str)> {
    let rest = pointer.strip_prefix("/items/")?;
    let (number, field) = rest.split_once('/').unwrap_or((rest, ""));
    Some((number.parse().ok()?, field))
}

/// The numbers of the items whose values a refusal is about, with what it says of each. Where something is wrong with what
/// is said of values, those whose value breaks a rule are not among them: sent again without the others, they are refused
/// for that alone, and that they were tried is on record.
fn refused_items(error: &ApiError) -> BTreeMap<usize, String> {
    if !matches!(error.code.as_str(), "hard-check" | "invalid-items") {
        return BTreeMap::new();
    }
    let all = || error.faults.iter().filter_map(|(pointer, detail)| Some((item_of(pointer)?, detail.clone())));
    let otherwise = all().any(|((_, field), _)| field != "value");
    all().filter(|((_, field), _)| !otherwise || *field != "value").map(|((n, _), detail)| (n, detail)).collect()
}

/// The platform said no to this one command; the others may go on.
fn is_answer(error: &ApiError) -> bool {
    matches!(error.status, Some(404 | 409 | 410 | 412 | 413 | 422 | 428))
}

#[test]
fn a_fault_names_an_item_and_its_field() {
    assert_eq!(item_of("/items/12/value"), Some((12, "value")));
    assert_eq!(item_of("/items/3"), Some((3, "")));
    assert_eq!(item_of("/form"), None);
}
