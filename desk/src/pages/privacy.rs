//! The data protection officer's desk: what is asked, by when, and what keeps data from an erasure. No clinical value.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime};

use super::on_to;
use crate::fields::{Fields, encoded};
use crate::frame::{Frame, Visit, page};
use crate::model::{Erasure, Hold, List, Participant, Restriction, Study};
use crate::trouble::{Refused, Trouble};

/// What a participant's data is parted into, as it can be erased.
const SCOPES: [&str; 7] = [
    "identity.contact",
    "identity.code-list",
    "identity.national-id",
    "health.clinical",
    "health.free-text",
    "health.blinded",
    "health.optional",
];

const JUSTIFICATIONS: [&str; 6] =
    ["consent-withdrawn", "no-longer-necessary", "objection", "unlawful-processing", "legal-obligation", "childs-data"];

const GROUNDS: [&str; 4] = ["accuracy-contested", "unlawful-processing", "legal-claims", "objection-pending"];

/// An erasure in the queue.
struct Waiting {
    erasure: Erasure,
    asked_at: String,
    due: String,
    /// How many days are left; below zero: overdue.
    left: i64,
    /// The participant's number.
    number: String,
}

struct OfStudy {
    study: Study,
    holds: Vec<Hold>,
    restrictions: Vec<Restriction>,
}

#[derive(Template)]
#[template(path = "privacy.html")]
struct Queue {
    f: Frame,
    open: Vec<Waiting>,
    done: Vec<Waiting>,
    overdue: usize,
    studies: Vec<OfStudy>,
    numbers: BTreeMap<String, String>,
}

impl Queue {
    /// What people call a participant.
    fn number<'a>(&'a self, participant: &'a str) -> &'a str {
        self.numbers.get(participant).map_or(participant, String::as_str)
    }
}

/// The numbers of everybody on the page, asked for side by side.
async fn numbers(
    visit: &Visit,
    open: &[Waiting],
    done: &[Waiting],
    studies: &[OfStudy],
) -> Result<BTreeMap<String, String>, Trouble> {
    let mut people = BTreeSet::new();
    people.extend(open.iter().chain(done).map(|one| (&one.erasure.study, &one.erasure.participant)));
    for of in studies {
        people.extend(of.holds.iter().map(|hold| (&of.study.study, &hold.participant)));
        people.extend(of.restrictions.iter().map(|one| (&of.study.study, &one.participant)));
    }
    let asked = people.into_iter().map(async |(study, participant)| {
        let path = format!("/v1/studies/{}/participants/{}", encoded(study), encoded(participant));
        visit.api.find::<Participant>(&path).await
    });
    let found = futures_util::future::try_join_all(asked).await?;
    Ok(found.into_iter().flatten().map(|person| (person.participant, person.subject_number)).collect())
}

/// `GET /desk/privacy`.
pub(crate) async fn queue(visit: Visit) -> Result<Response, Trouble> {
    let known: Vec<Study> = visit.api.get("/v1/studies").await?;
    let (mut open, mut done, mut studies) = (Vec::new(), Vec::new(), Vec::new());
    for study in known {
        let base = format!("/v1/studies/{}", encoded(&study.study));
        let mut cursor = String::new();
        loop {
            let path = visit.since(&format!("{base}/erasures{cursor}"));
            let List::<Erasure> { items, next } = visit.api.get(&path).await?;
            for erasure in items {
                let waiting = waiting(erasure, visit.now());
                if waiting.erasure.open { open.push(waiting) } else { done.push(waiting) }
            }
            match next {
                Some(next) => cursor = format!("?cursor={next}"),
                None => break,
            }
        }
        let (holds, restrictions) = (format!("{base}/holds"), format!("{base}/restrictions"));
        let (holds, restrictions) =
            tokio::try_join!(visit.api.get::<List<Hold>>(&holds), visit.api.get::<List<Restriction>>(&restrictions))?;
        studies.push(OfStudy { study, holds: holds.items, restrictions: restrictions.items });
    }
    let numbers = numbers(&visit, &open, &done, &studies).await?;
    for one in open.iter_mut().chain(&mut done) {
        one.number = numbers.get(&one.erasure.participant).cloned().unwrap_or_default();
    }
    open.sort_by(|a, b| a.due.cmp(&b.due));
    done.sort_by(|a, b| b.asked_at.cmp(&a.asked_at));
    let overdue = open.iter().filter(|one| one.left < 0).count();
    let shown = Queue { f: visit.frame("privacy"), open, done, overdue, studies, numbers };
    Ok(page(&shown.f, &shown))
}

fn waiting(erasure: Erasure, now: OffsetDateTime) -> Waiting {
    let asked_at = erasure.steps.first().map(|step| step.act.stored_at.clone()).unwrap_or_default();
    let asked = OffsetDateTime::parse(&asked_at, &Rfc3339).unwrap_or(now);
    let due = a_month_after(asked.date());
    Waiting { erasure, asked_at, left: (due - now.date()).whole_days(), due: due.to_string(), number: String::new() }
}

/// GDPR Art 12(3): one month. A day that the next month does not have is its last.
fn a_month_after(day: Date) -> Date {
    let year = if day.month() == Month::December { day.year() + 1 } else { day.year() };
    let month = day.month().next();
    let last = month.length(year);
    Date::from_calendar_date(year, month, day.day().min(last)).unwrap_or(day)
}

#[derive(Template)]
#[template(path = "person.html")]
struct Person {
    f: Frame,
    study: String,
    person: Participant,
    scopes: [&'static str; 7],
    justifications: [&'static str; 6],
    grounds: [&'static str; 4],
    erasures: Vec<Erasure>,
    holds: Vec<Hold>,
    restrictions: Vec<Restriction>,
    /// What a form on this page begins.
    id: String,
    today: String,
}

/// `GET /desk/studies/{study}/participants/{participant}/privacy`.
pub(crate) async fn person(visit: Visit, Path(place): Path<(String, String)>) -> Result<Response, Trouble> {
    shown(&visit, &place, None).await
}

async fn shown(
    visit: &Visit,
    (study, participant): &(String, String),
    refused: Option<Refused>,
) -> Result<Response, Trouble> {
    let base = format!("/v1/studies/{}", encoded(study));
    let one = visit.since(&format!("{base}/participants/{}", encoded(participant)));
    let of_study = |what: &str| visit.since(&format!("{base}/{what}"));
    let (erasures, holds, restrictions) = (of_study("erasures"), of_study("holds"), of_study("restrictions"));
    let (person, erasures, holds, restrictions) = tokio::try_join!(
        visit.api.get::<Participant>(&one),
        visit.api.find::<List<Erasure>>(&erasures),
        visit.api.find::<List<Hold>>(&holds),
        visit.api.find::<List<Restriction>>(&restrictions),
    )?;
    let of = |whose: &str| whose == person.participant;
    let erasures = erasures.map_or_else(Vec::new, |list| list.items);
    let holds = holds.map_or_else(Vec::new, |list| list.items);
    let restrictions = restrictions.map_or_else(Vec::new, |list| list.items);
    let shown = Person {
        f: visit.frame("participants").of_study(study).but(refused),
        study: study.clone(),
        scopes: SCOPES,
        justifications: JUSTIFICATIONS,
        grounds: GROUNDS,
        erasures: erasures.into_iter().filter(|one| of(&one.participant)).collect(),
        holds: holds.into_iter().filter(|one| of(&one.participant)).collect(),
        restrictions: restrictions.into_iter().filter(|one| of(&one.participant)).collect(),
        person,
        id: visit.id(),
        today: visit.now().date().to_string(),
    };
    Ok(page(&shown.f, &shown))
}

/// `POST` to the same: asks for an erasure, places and lifts holds and restrictions.
pub(crate) async fn ask(
    visit: Visit,
    Path(place): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Trouble> {
    let (study, participant) = &place;
    let what = fields.text("do");
    let mut command = json!({"type": what});
    match what {
        "request-erasure" => {
            command["erasure"] = fields.text("id").into();
            command["justification"] = fields.text("justification").into();
            // Nothing ticked: everything.
            if !fields.all("scope").is_empty() {
                command["scopes"] = json!(fields.all("scope"));
            }
        }
        "place-hold" => {
            command["hold"] = fields.text("id").into();
            command["authority"] = fields.text("authority").into();
            command["review_on"] = fields.text("review_on").into();
            if !fields.all("scope").is_empty() {
                command["scopes"] = json!(fields.all("scope"));
            }
        }
        "lift-hold" => command["hold"] = fields.text("hold").into(),
        "place-restriction" => command["ground"] = fields.text("ground").into(),
        _ => {}
    }
    if let Some(reason) = fields.some("reason") {
        command["reason"] = reason.into();
    }
    let path = format!("/v1/studies/{}/participants/{}/privacy", encoded(study), encoded(participant));
    match visit.api.post(&path, &command).await {
        Ok(answer) if what == "request-erasure" => {
            Ok(on_to(&format!("/desk/erasures/{}", encoded(fields.text("id"))), "erasure-asked", &answer))
        }
        Ok(answer) => {
            let to = format!("/desk/studies/{}/participants/{}/privacy", encoded(study), encoded(participant));
            Ok(on_to(&to, "privacy", &answer))
        }
        Err(Trouble::Refused(refused)) => shown(&visit, &place, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

/// A field of a fact that is personal, and its scope.
struct Row {
    aggregate: &'static str,
    fact: &'static str,
    field: String,
    scope: String,
}

/// What a study keeps of one kind of data.
struct KindKept {
    scope: String,
    /// In which of a person's streams it stands.
    streams: Vec<String>,
    /// The rules that keep it from an erasure; none: it goes when it is asked for.
    rules: Vec<KeptBy>,
}

/// A rule of retention, in words.
struct KeptBy {
    rule: String,
    basis: String,
    ground: String,
    months: u64,
    trigger: String,
}

struct StudyMap {
    study: String,
    name: String,
    kinds: Vec<KindKept>,
}

#[derive(Template)]
#[template(path = "data_map.html")]
struct DataMap {
    f: Frame,
    studies: Vec<StudyMap>,
    rows: Vec<Row>,
}

/// `GET /desk/data-map`: generated from the types, so it cannot be out of date; beside it what each study keeps, and why.
pub(crate) async fn data_map(visit: Visit) -> Result<Response, Trouble> {
    let f = visit.frame("data-map");
    let map = domain::data_map();
    let known: Vec<Study> = visit.api.get("/v1/studies").await?;
    let studies = known.iter().map(|study| study_map(&f, study, &map)).collect();
    let row = |row: domain::field::DataMapRow| Row {
        aggregate: row.aggregate,
        fact: row.event,
        field: row.field,
        scope: f.name("scope", row.scope),
    };
    let rows = map.into_iter().map(row).collect();
    let shown = DataMap { f, studies, rows };
    Ok(page(&shown.f, &shown))
}

fn study_map(f: &Frame, study: &Study, map: &[domain::field::DataMapRow]) -> StudyMap {
    let kind = |scope: &'static str| {
        let rules = study.retention.iter().filter(|rule| rule.scopes.iter().any(|one| one == scope));
        let rules = rules.map(|rule| KeptBy {
            rule: rule.rule.clone(),
            basis: rule.legal_basis.clone(),
            ground: f.name("ground", &rule.ground),
            months: rule.months,
            trigger: f.name("trigger", &rule.trigger),
        });
        // What a value is, its study's design says.
        let by_design = |row: &domain::field::DataMapRow| scope.starts_with("health.") && !row.scope.contains('.');
        let rows = map.iter().filter(|row| row.scope == scope || by_design(row));
        let streams: BTreeSet<&str> = rows.map(|row| row.aggregate).collect();
        let streams = streams.into_iter().map(|stream| f.name("stream", stream)).collect();
        KindKept { scope: f.name("scope", scope), streams, rules: rules.collect() }
    };
    StudyMap { study: study.study.clone(), name: study.name.clone(), kinds: SCOPES.map(kind).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    #[test]
    fn a_month_is_a_month_of_the_calendar() {
        for (day, due) in [
            (date!(2026 - 11 - 22), date!(2026 - 12 - 22)),
            (date!(2026 - 12 - 31), date!(2027 - 01 - 31)),
            (date!(2027 - 01 - 31), date!(2027 - 02 - 28)),
        ] {
            assert_eq!(a_month_after(day), due);
        }
    }
}
