//! One participant's casebook, and how a value came to be what it is.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use crate::fields::encoded;
use crate::frame::{Frame, Visit, page};
use crate::model::{Casebook, Design, Entry, Form, Item, List, Participant, Query, Shown as Value};
use crate::trouble::{Refused, Trouble};

/// A value as a line of the casebook.
struct Line {
    label: String,
    unit: String,
    /// What its code means, where it is one.
    code: String,
    item: Item,
    queries: usize,
    /// Its history.
    to: String,
}

/// A form of the casebook.
struct Part {
    anchor: String,
    visit: String,
    name: String,
    form: Form,
    lines: Vec<Line>,
    /// What is asked about it and not settled.
    asked: Vec<Asked>,
    /// Where it is entered.
    to: String,
}

/// A query about a form or a value of it.
struct Asked {
    query: String,
    state: String,
    label: String,
    said: String,
}

/// A visit of which something is known.
struct Took {
    name: String,
    repeat: u64,
    on: Option<Value>,
    reason: Option<Value>,
}

/// A visit that may take place: `oid|repeat` and its name.
struct MayTake {
    key: String,
    name: String,
    repeat: u64,
}

/// A form that the design foresees and nobody has begun.
struct Missing {
    visit: String,
    name: String,
    to: String,
}

#[derive(Template)]
#[template(path = "casebook.html")]
struct Shown {
    f: Frame,
    study: String,
    person: Participant,
    parts: Vec<Part>,
    missing: Vec<Missing>,
    visits: Vec<Took>,
    may_take: Vec<MayTake>,
    today: String,
    queries: Vec<Query>,
}

/// `GET /desk/studies/{study}/participants/{participant}`.
pub(crate) async fn show(
    visit: Visit,
    Path((study, participant)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    shown(&visit, &study, &participant, None).await
}

/// The casebook, with what went wrong.
pub(super) async fn shown(
    visit: &Visit,
    study: &str,
    participant: &str,
    refused: Option<Refused>,
) -> Result<Response, Trouble> {
    let (base, who) = (format!("/v1/studies/{}", encoded(study)), encoded(participant));
    let one = visit.since(&format!("{base}/participants/{who}"));
    let casebook = visit.since(&format!("{base}/participants/{who}/casebook"));
    let queries = visit.since(&format!("{base}/queries?participant={who}&limit=1000"));
    let design = format!("{base}/design");
    let (person, casebook, design, queries) = tokio::try_join!(
        visit.api.get::<Participant>(&one),
        visit.api.get::<Casebook>(&casebook),
        visit.api.find::<Design>(&design),
        visit.api.find::<List<Query>>(&queries),
    )?;
    let f = visit.frame("matrix").of_study(study).live().but(refused);
    let design = design.unwrap_or_default();
    let queries: Vec<_> = queries.map(|list| list.items).unwrap_or_default();
    let queries: Vec<_> = queries.into_iter().filter(|query| is_open(&query.state)).collect();
    let here = format!("/desk/studies/{}/participants/{who}", encoded(study));
    let missing = missing(&design, &casebook, &here);
    let (visits, may_take) = (visits(&design, &casebook), may_take(&design, &casebook));
    let language = visit.words.language;
    let mut forms = casebook.forms;
    forms.sort_by_key(|form| (order(&design, form), form.visit_repeat, form.form_repeat));
    let parts = forms.into_iter().map(|form| part(&design, form, &queries, &here, language)).collect();
    let today = visit.now().date().to_string();
    let shown = Shown { f, study: study.to_owned(), person, parts, missing, visits, may_take, today, queries };
    Ok(page(&shown.f, &shown))
}

/// Whether somebody has to do something about it.
pub(super) fn is_open(state: &str) -> bool {
    matches!(state, "open" | "reopened" | "forwarded" | "answered" | "candidate")
}

/// Where the design has a form.
fn order(design: &Design, form: &Form) -> (usize, usize) {
    let visit = design.visits.iter().position(|visit| visit.oid == form.visit);
    let place = visit.and_then(|at| design.visits[at].forms.iter().position(|one| one.oid == form.form));
    (visit.unwrap_or(usize::MAX), place.unwrap_or(usize::MAX))
}

fn part(design: &Design, form: Form, queries: &[Query], here: &str, language: &str) -> Part {
    let key = format!(
        "visit={}&visit_repeat={}&form_oid={}&form_repeat={}",
        encoded(&form.visit),
        form.visit_repeat,
        encoded(&form.form),
        form.form_repeat
    );
    let mut form = form;
    let places = design.items_of(&form.form);
    let place = |item: &Item| places.iter().position(|(group, def, _)| *group == item.group && def.oid == item.item);
    form.items.sort_by_key(|item| (item.group_repeat, place(item).unwrap_or(usize::MAX)));
    let lines = std::mem::take(&mut form.items).into_iter().map(|item| {
        let asked = |query: &&Query| {
            let place = &query.place;
            place.visit.as_ref() == Some(&form.visit)
                && place.form.as_ref() == Some(&form.form)
                && place.item.as_ref() == Some(&item.item)
        };
        let to = format!(
            "{here}/history?{key}&group={}&group_repeat={}&item={}",
            encoded(&item.group),
            item.group_repeat,
            encoded(&item.item)
        );
        Line {
            label: design.item_name(&item.item, language).to_owned(),
            unit: design.unit_of(&item.item, language).to_owned(),
            code: design.code_label(&item, language).to_owned(),
            queries: queries.iter().filter(asked).count(),
            item,
            to,
        }
    });
    let lines = lines.collect();
    let about = queries.iter().filter(|query| {
        let place = &query.place;
        place.visit.as_ref() == Some(&form.visit) && place.form.as_ref() == Some(&form.form)
    });
    let asked = about.map(|query| Asked {
        query: query.query.clone(),
        state: query.state.clone(),
        label: query.place.item.as_ref().map_or("", |item| design.item_name(item, language)).to_owned(),
        said: said(query),
    });
    let asked = asked.collect();
    Part {
        asked,
        anchor: format!("{}-{}", form.visit, form.form),
        visit: match form.visit_repeat {
            1 => design.visit_name(&form.visit).to_owned(),
            more => format!("{} {more}", design.visit_name(&form.visit)),
        },
        name: design.form_name(&form.form).to_owned(),
        lines,
        to: format!("{here}/form?{key}"),
        form,
    }
}

/// What was said last about a query, or what the check says that asked it.
fn said(query: &Query) -> String {
    let last = query.thread.iter().rev().find_map(|remark| remark.text.as_ref().map(Value::text));
    last.filter(|text| !text.is_empty()).or_else(|| query.message.clone()).unwrap_or_default()
}

/// The times of a visit of which something is known.
fn repeats(casebook: &Casebook, visit: &str) -> BTreeSet<u64> {
    let of_visits = casebook.visits.iter().filter(|one| one.visit == visit).map(|one| one.visit_repeat);
    let of_forms = casebook.forms.iter().filter(|one| one.visit == visit).map(|one| one.visit_repeat);
    of_visits.chain(of_forms).collect()
}

fn visits(design: &Design, casebook: &Casebook) -> Vec<Took> {
    let place = |one: &&crate::model::Visited| {
        let at = design.visits.iter().position(|visit| visit.oid == one.visit);
        (at.unwrap_or(usize::MAX), one.visit_repeat)
    };
    let mut known: Vec<_> = casebook.visits.iter().collect();
    known.sort_by_key(place);
    let took = |one: &crate::model::Visited| Took {
        name: design.visit_name(&one.visit).to_owned(),
        repeat: one.visit_repeat,
        on: one.on.clone(),
        reason: one.reason.clone(),
    };
    known.into_iter().map(took).collect()
}

/// Every visit once, so that its day can be said or corrected; one that repeats, once more than it is known.
fn may_take(design: &Design, casebook: &Casebook) -> Vec<MayTake> {
    let mut may = Vec::new();
    for visit in &design.visits {
        let known = repeats(casebook, &visit.oid).last().copied().unwrap_or(0);
        let most = if visit.repeating { known + 1 } else { 1 };
        for repeat in 1..=most {
            may.push(MayTake { key: format!("{}|{repeat}", visit.oid), name: visit.name.clone(), repeat });
        }
    }
    may
}

fn missing(design: &Design, casebook: &Casebook, here: &str) -> Vec<Missing> {
    let mut missing = Vec::new();
    for visit in &design.visits {
        let mut times = repeats(casebook, &visit.oid);
        if times.is_empty() {
            times.insert(1);
        }
        for (time, form) in times.iter().flat_map(|time| visit.forms.iter().map(move |form| (*time, form))) {
            let those: Vec<&Form> = casebook
                .forms
                .iter()
                .filter(|one| one.visit == visit.oid && one.visit_repeat == time && one.form == form.oid)
                .collect();
            let repeating = design.forms.iter().any(|def| def.oid == form.oid && def.repeating);
            if those.iter().any(|one| !one.removed) && !repeating {
                continue;
            }
            let repeat = those.iter().map(|one| one.form_repeat).max().unwrap_or(0) + 1;
            let many = |count: u64| if count > 1 { format!(" {count}") } else { String::new() };
            missing.push(Missing {
                visit: format!("{}{}", visit.name, many(time)),
                name: format!("{}{}", design.form_name(&form.oid), many(repeat)),
                to: format!(
                    "{here}/form?visit={}&visit_repeat={time}&form_oid={}&form_repeat={repeat}",
                    encoded(&visit.oid),
                    encoded(&form.oid)
                ),
            });
        }
    }
    missing
}

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    f: Frame,
    label: String,
    back: String,
    entries: Vec<Entry>,
}

/// `GET …/history`: every entry of the audit trail about one value, oldest first.
pub(crate) async fn history(
    visit: Visit,
    Path((study, participant)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    let base = format!("/v1/studies/{}", encoded(&study));
    let trail = format!("{base}/participants/{}/audit?limit=1000", encoded(&participant));
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let List::<Entry> { items, next } = visit.api.get(&format!("{trail}{cursor}")).await?;
        entries.extend(items.into_iter().filter(|entry| is_about(entry, &visit)));
        match next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let design: Design = visit.api.find(&format!("{base}/design")).await?.unwrap_or_default();
    let label = design.item_name(visit.asked.text("item"), visit.words.language).to_owned();
    let back = format!("/desk/studies/{}/participants/{}", encoded(&study), encoded(&participant));
    let shown = History { f: visit.frame("matrix").of_study(&study), label, back, entries };
    Ok(page(&shown.f, &shown))
}

fn is_about(entry: &Entry, visit: &Visit) -> bool {
    let asked = |name: &str, text: &str| visit.asked.text(name) == text;
    let (Some(form), Some(item)) = (&entry.form, &entry.item) else { return false };
    asked("visit", &form.visit)
        && asked("visit_repeat", &form.visit_repeat.to_string())
        && asked("form_oid", &form.form)
        && asked("form_repeat", &form.form_repeat.to_string())
        && asked("group", &item.group)
        && asked("group_repeat", &item.group_repeat.to_string())
        && asked("item", &item.item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn design() -> Design {
        let design = json!({
            "visits": [
                {"oid": "V1", "name": "Baseline", "forms": [{"oid": "VS"}]},
                {"oid": "U", "name": "Unscheduled", "repeating": true, "forms": [{"oid": "VS"}, {"oid": "AE"}]},
            ],
            "forms": [
                {"oid": "VS", "name": "Vital signs", "item_groups": []},
                {"oid": "AE", "name": "Adverse event", "repeating": true, "item_groups": []},
            ],
            "item_groups": [], "items": [], "code_lists": [],
        });
        serde_json::from_value(design).expect("a design")
    }

    fn form(visit: &str, visit_repeat: u64, form: &str, form_repeat: u64) -> serde_json::Value {
        json!({"visit": visit, "visit_repeat": visit_repeat, "form": form, "form_repeat": form_repeat, "completed": false,
            "removed": false, "signatures": [], "tag": 1, "items": []})
    }

    #[test]
    fn what_repeats_can_be_begun_once_more_and_the_rest_once() {
        let casebook = json!({
            "visits": [{"visit": "U", "visit_repeat": 1, "on": "2026-11-01"}, {"visit": "U", "visit_repeat": 2, "on": null}],
            "forms": [form("V1", 1, "VS", 1), form("U", 1, "AE", 1), form("U", 1, "VS", 1)],
        });
        let casebook: Casebook = serde_json::from_value(casebook).expect("a casebook");
        let keys: Vec<_> = may_take(&design(), &casebook).into_iter().map(|visit| visit.key).collect();
        assert_eq!(keys, ["V1|1", "U|1", "U|2", "U|3"]);
        let missing: Vec<_> =
            missing(&design(), &casebook, "").into_iter().map(|one| format!("{}, {}", one.visit, one.name)).collect();
        assert_eq!(
            missing,
            ["Unscheduled, Adverse event 2", "Unscheduled 2, Vital signs", "Unscheduled 2, Adverse event"]
        );
    }
}
