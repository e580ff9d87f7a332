//! Entering a form, with what the checks say before it is saved; and what else is done to a form.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use edge::headers::{IDEMPOTENCY_KEY, LETHE_SIGNER};
use serde::Deserialize;
use serde_json::{Value, json};

use super::on_to;
use crate::fields::{Fields, encoded};
use crate::frame::{Frame, Visit, page};
use crate::model::{Casebook, Design, Form, ItemDef, Participant};
use crate::trouble::{Fault, Refused, Trouble};

/// A field of the form.
struct Field {
    /// `group|repeat|item`.
    key: String,
    label: String,
    unit: String,
    kind: &'static str,
    /// Code and label of each choice; none: free.
    choices: Vec<(String, String)>,
    value: String,
    /// What is stored, so that only what was changed is sent.
    stored: String,
    /// Why there is no value, as it is typed and as it is stored; empty: there is one, or nothing was said.
    not_done: String,
    stored_not_done: String,
    needed: bool,
}

/// The fields of one group; of one that repeats, a set for each time, and an empty one more.
struct Group {
    name: String,
    repeat: u64,
    repeating: bool,
    fields: Vec<Field>,
}

/// Why there may be no value.
const NOT_DONE: [&str; 4] = ["not-done", "not-applicable", "unknown", "refused"];

#[derive(Template)]
#[template(path = "entry.html")]
struct Shown {
    f: Frame,
    person: Participant,
    title: String,
    key: Vec<(&'static str, String)>,
    groups: Vec<Group>,
    not_done: [&'static str; 4],
    /// Whether a value was stored before: a correction has a reason.
    corrects: bool,
    /// Which state of the form this page shows: whoever changed it since is not overwritten.
    tag: String,
    id: String,
    here: String,
}

/// The form that is meant, from the address or from hidden fields.
/// A field by the name of `form` would hide the form that it stands in from scripts.
const KEY: [&str; 4] = ["visit", "visit_repeat", "form_oid", "form_repeat"];

/// `GET …/form`.
pub(crate) async fn show(visit: Visit, Path(place): Path<(String, String)>) -> Result<Response, Trouble> {
    let asked = visit.asked.clone();
    shown(&visit, &place, &asked, None).await
}

async fn shown(
    visit: &Visit,
    (study, participant): &(String, String),
    asked: &Fields,
    refused: Option<Refused>,
) -> Result<Response, Trouble> {
    let base = format!("/v1/studies/{}", encoded(study));
    let one = visit.since(&format!("{base}/participants/{}", encoded(participant)));
    let casebook = visit.since(&format!("{base}/participants/{}/casebook", encoded(participant)));
    let design = format!("{base}/design");
    let (person, casebook, design) = tokio::try_join!(
        visit.api.get::<Participant>(&one),
        visit.api.get::<Casebook>(&casebook),
        visit.api.get::<Design>(&design),
    )?;
    let there = there(&casebook, asked);
    let tag = there.map(|form| format!("\"{}\"", form.tag)).unwrap_or_default();
    let groups = groups(&design, asked, there, visit.words.language);
    let title = format!("{} · {}", design.visit_name(asked.text("visit")), design.form_name(asked.text("form_oid")));
    let here = format!("/desk/studies/{}/participants/{}", encoded(study), encoded(participant));
    let shown = Shown {
        f: visit.frame("matrix").of_study(study).but(refused),
        person,
        title,
        key: KEY.map(|name| (name, asked.text(name).to_owned())).into(),
        groups,
        not_done: NOT_DONE,
        corrects: there.is_some_and(|form| !form.items.is_empty()),
        tag,
        id: visit.id(),
        here,
    };
    Ok(page(&shown.f, &shown))
}

fn groups(design: &Design, asked: &Fields, there: Option<&Form>, language: &str) -> Vec<Group> {
    let stored = stored(there);
    let mut groups = Vec::new();
    for group in design.groups_of(asked.text("form_oid")) {
        let items = there.into_iter().flat_map(|form| &form.items).filter(|item| item.group == group.oid);
        let saved = items.map(|item| item.group_repeat).max().unwrap_or(0);
        let repeats = if group.repeating { saved + 1 } else { 1 };
        for repeat in 1..=repeats {
            let items = group.items.iter().filter_map(|item| Some((design.item(&item.oid)?, item.mandatory)));
            let fields = items.map(|(item, needed)| {
                let key = format!("{}|{repeat}|{}", group.oid, item.oid);
                // The empty set for one more time asks for nothing.
                let needed = needed && (!group.repeating || repeat <= saved.max(1));
                field(design, item, key, needed, (asked, &stored), language)
            });
            let (name, repeating) = (group.name.clone(), group.repeating);
            groups.push(Group { name, repeat, repeating, fields: fields.collect() });
        }
    }
    groups
}

fn field(
    design: &Design,
    item: &ItemDef,
    key: String,
    needed: bool,
    (asked, stored): (&Fields, &BTreeMap<String, (String, String)>),
    language: &str,
) -> Field {
    let (was, was_not_done) = stored.get(&key).cloned().unwrap_or_default();
    let typed = |kind: &str| asked.under(kind).find(|(name, _)| *name == key).map(|(_, text)| text.to_owned());
    let choices = design.codes(item).iter().map(|code| {
        let label = code.labels.get(language).unwrap_or(&code.value);
        (code.value.clone(), label.clone())
    });
    Field {
        label: design.item_name(&item.oid, language).to_owned(),
        unit: design.unit_of(&item.oid, language).to_owned(),
        kind: kind(item),
        choices: choices.collect(),
        value: typed("value.").unwrap_or_else(|| was.clone()),
        stored: was,
        not_done: typed("not_done.").unwrap_or_else(|| was_not_done.clone()),
        stored_not_done: was_not_done,
        needed,
        key,
    }
}

/// What kind of input a type has. A date that may be partial is text.
fn kind(item: &ItemDef) -> &'static str {
    match item.data_type.as_str() {
        "date" => "date",
        "integer" | "decimal" => "number",
        _ => "text",
    }
}

/// The form that is meant, if it was begun.
fn there<'a>(casebook: &'a Casebook, asked: &Fields) -> Option<&'a Form> {
    let same = |form: &&Form| {
        form.visit == asked.text("visit")
            && form.visit_repeat.to_string() == asked.text("visit_repeat")
            && form.form == asked.text("form_oid")
            && form.form_repeat.to_string() == asked.text("form_repeat")
    };
    casebook.forms.iter().find(same)
}

/// The values that stand on a form, and why there is none, by `group|repeat|item`.
fn stored(form: Option<&Form>) -> BTreeMap<String, (String, String)> {
    let items = form.into_iter().flat_map(|form| &form.items);
    let text = |item: &crate::model::Item| item.value.as_ref().map(crate::model::Shown::text).unwrap_or_default();
    let entry = |item: &crate::model::Item| {
        let key = format!("{}|{}|{}", item.group, item.group_repeat, item.item);
        (key, (text(item), item.not_done.clone().unwrap_or_default()))
    };
    items.map(entry).collect()
}

/// The form as a part of a command.
fn key_of(fields: &Fields) -> Value {
    let number = |name: &str| fields.text(name).parse::<u32>().unwrap_or(1);
    json!({
        "visit": fields.text("visit"), "visit_repeat": number("visit_repeat"),
        "form": fields.text("form_oid"), "form_repeat": number("form_repeat"),
    })
}

/// What was typed, as a command: only what differs from what was stored.
fn save_items(fields: &Fields) -> Value {
    let mut items = Vec::new();
    let of = |kind: &str, key: &str| {
        fields.under(kind).find(|(name, _)| *name == key).map_or(String::new(), |(_, text)| text.trim().to_owned())
    };
    for (key, value) in fields.under("value.") {
        let (was, not_done, was_not_done) = (of("stored.", key), of("not_done.", key), of("stored_not_done.", key));
        let unchanged = value.trim() == was && not_done == was_not_done;
        let parts: Vec<&str> = key.split('|').collect();
        let (&[group, repeat, item], false) = (&parts[..], unchanged) else { continue };
        // Why there is no value takes the place of one; a value that is typed takes the place of the reason.
        let said = Some(not_done).filter(|why| !why.is_empty() && (value.trim() == was || value.trim().is_empty()));
        let value = Some(value.trim()).filter(|text| !text.is_empty() && said.is_none());
        let mut one = json!({
            "group": group, "group_repeat": repeat.parse::<u32>().unwrap_or(1), "item": item, "value": value,
        });
        if let Some(said) = said {
            one["not_done"] = said.into();
        }
        let corrects = !was.is_empty() || !was_not_done.is_empty();
        if let (true, Some(reason)) = (corrects, fields.some("reason")) {
            one["reason"] = reason.into();
        }
        items.push(one);
    }
    let mut command = key_of(fields);
    command["type"] = "save-items".into();
    command["items"] = items.into();
    command
}

/// `POST …/form`.
pub(crate) async fn save(
    visit: Visit,
    Path(place): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Trouble> {
    let (study, participant) = &place;
    let command = save_items(&fields);
    let path = format!("/v1/studies/{}/participants/{}", encoded(study), encoded(participant));
    let key = HeaderValue::try_from(fields.text("id")).map_err(|_| Trouble::not_there())?;
    let mut headers = vec![(IDEMPOTENCY_KEY, key)];
    if let Some(tag) = fields.some("tag") {
        headers.push((header::IF_MATCH, HeaderValue::try_from(tag).map_err(|_| Trouble::not_there())?));
    }
    match visit.api.post_with(&path, &command, &headers).await {
        Ok(answer) => {
            let to = format!("/desk/studies/{}/participants/{}", encoded(study), encoded(participant));
            Ok(on_to(&to, "saved", &answer))
        }
        Err(Trouble::Refused(refused)) => shown(&visit, &place, &fields, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

/// What saving would answer.
#[derive(Deserialize)]
struct Would {
    #[serde(default)]
    warnings: Vec<Fault>,
    #[serde(default)]
    items: Vec<WouldItem>,
}

#[derive(Deserialize)]
struct WouldItem {
    queries: u64,
}

#[derive(Template)]
#[template(path = "check.html")]
struct Checked {
    f: Frame,
    /// What the checks say: which item, and what about it.
    said: Vec<(String, String)>,
    refused: bool,
}

/// `POST …/check`: what the checks say about what is typed. Nothing is written.
pub(crate) async fn check(
    visit: Visit,
    Path((study, participant)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Trouble> {
    let command = save_items(&fields);
    let base = format!("/v1/studies/{}", encoded(&study));
    let design: Design = visit.api.get(&format!("{base}/design")).await?;
    let path = format!("{base}/participants/{}/rehearsal", encoded(&participant));
    let f = visit.frame("");
    let named = |pointer: &str| {
        let at = pointer.split('/').find_map(|part| part.parse::<usize>().ok());
        let item = at.and_then(|at| command["items"][at]["item"].as_str());
        item.map(|oid| design.item_name(oid, visit.words.language).to_owned()).unwrap_or_default()
    };
    let listed = |faults: &[Fault]| faults.iter().map(|fault| (named(&fault.pointer), fault.detail.clone())).collect();
    let (mut said, refused): (Vec<_>, _) =
        match visit.api.post(&path, &json!({"commands": [{"command": command, "if_match": fields.some("tag")}]})).await
        {
            Ok(answer) => {
                let Would { warnings, items } = answer.read()?;
                let mut said: Vec<_> = listed(&warnings);
                let asked = items.iter().enumerate().filter(|(_, item)| item.queries > 0);
                said.extend(asked.map(|(at, _)| (named(&format!("/items/{at}")), f.t("entry.would-ask").to_owned())));
                (said, false)
            }
            Err(Trouble::Refused(refused)) if refused.faults.is_empty() => {
                (vec![(String::new(), f.why_not(&refused).to_owned())], true)
            }
            Err(Trouble::Refused(refused)) => (listed(&refused.faults), true),
            Err(trouble) => return Err(trouble),
        };
    said.dedup();
    let shown = Checked { f, said, refused };
    Ok(page(&shown.f, &shown))
}

/// `POST …/visit`: says on which day a visit took place, or that it did not.
pub(crate) async fn visited(
    visit: Visit,
    Path((study, participant)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Trouble> {
    let what = fields.text("do");
    // The visit, and which time of it: `oid|repeat`.
    let (oid, repeat) = fields.text("visit").rsplit_once('|').unwrap_or((fields.text("visit"), "1"));
    let mut command = json!({"type": what, "visit": oid, "visit_repeat": repeat.parse::<u32>().unwrap_or(1)});
    for name in ["on", "reason"] {
        if let Some(text) = fields.some(name) {
            command[name] = text.into();
        }
    }
    let path = format!("/v1/studies/{}/participants/{}", encoded(&study), encoded(&participant));
    match visit.api.post(&path, &command).await {
        Ok(answer) => {
            let to = format!("/desk/studies/{}/participants/{}", encoded(&study), encoded(&participant));
            Ok(on_to(&to, "act", &answer))
        }
        Err(Trouble::Refused(refused)) => super::casebook::shown(&visit, &study, &participant, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

/// `POST …/act`: completes, verifies, signs, freezes, locks or asks about a form.
pub(crate) async fn act(
    visit: Visit,
    Path((study, participant)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Trouble> {
    let what = fields.text("do");
    let form = key_of(&fields);
    let mut place = form.clone();
    place["level"] = "form".into();
    let command = match what {
        "complete-form" | "verify" => {
            let mut command = form;
            command["type"] = what.into();
            command
        }
        "open-query" => {
            if let Some((group, rest)) = fields.text("item").split_once('|')
                && let Some((repeat, item)) = rest.split_once('|')
            {
                place["level"] = "item".into();
                place["group"] = group.into();
                place["group_repeat"] = repeat.parse::<u32>().unwrap_or(1).into();
                place["item"] = item.into();
            }
            json!({"type": what, "place": place, "text": fields.text("text")})
        }
        "sign" => json!({"type": what, "place": place, "meaning": fields.text("meaning")}),
        _ => json!({"type": what, "place": place}),
    };
    let mut headers = Vec::new();
    if what == "sign" {
        let factors = HeaderValue::try_from(super::erasure::factors(&fields)).map_err(|_| Trouble::internal())?;
        headers.push((LETHE_SIGNER, factors));
    }
    let path = format!("/v1/studies/{}/participants/{}", encoded(&study), encoded(&participant));
    match visit.api.post_with(&path, &command, &headers).await {
        Ok(answer) => {
            let to = format!("/desk/studies/{}/participants/{}", encoded(&study), encoded(&participant));
            Ok(on_to(&to, "act", &answer))
        }
        Err(Trouble::Refused(refused)) => super::casebook::shown(&visit, &study, &participant, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_changed_is_sent_and_a_correction_has_its_reason() {
        let sent = "visit=V1&visit_repeat=1&form_oid=VS&form_repeat=1&reason=misread\
            &value.G%7C1%7CA=120&stored.G%7C1%7CA=120&value.G%7C1%7CB=+81+&stored.G%7C1%7CB=80&value.G%7C1%7CC=5&stored.G%7C1%7CC=";
        let command = save_items(&Fields::parse(sent.as_bytes()));
        assert_eq!(
            command["items"],
            json!([
                {"group": "G", "group_repeat": 1, "item": "B", "value": "81", "reason": "misread"},
                {"group": "G", "group_repeat": 1, "item": "C", "value": "5"},
            ])
        );
        assert_eq!((command["type"].as_str(), command["visit_repeat"].as_u64()), (Some("save-items"), Some(1)));
    }

    #[test]
    fn why_there_is_no_value_is_sent_in_its_place() {
        let sent = "visit=V1&visit_repeat=1&form_oid=VS&form_repeat=1&reason=broken\
            &value.G%7C1%7CA=120&stored.G%7C1%7CA=120&not_done.G%7C1%7CA=not-done\
            &value.G%7C2%7CB=&stored.G%7C2%7CB=&not_done.G%7C2%7CB=unknown\
            &value.G%7C1%7CC=7&stored.G%7C1%7CC=&not_done.G%7C1%7CC=refused&stored_not_done.G%7C1%7CC=refused\
            &value.G%7C3%7CA=&stored.G%7C3%7CA=&not_done.G%7C3%7CA=";
        let command = save_items(&Fields::parse(sent.as_bytes()));
        assert_eq!(
            command["items"],
            json!([
                {"group": "G", "group_repeat": 1, "item": "A", "value": null, "not_done": "not-done", "reason": "broken"},
                {"group": "G", "group_repeat": 1, "item": "C", "value": "7", "reason": "broken"},
                {"group": "G", "group_repeat": 2, "item": "B", "value": null, "not_done": "unknown"},
            ])
        );
    }
}
