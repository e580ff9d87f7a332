//! What a commit says to the audit trail.

use std::collections::BTreeMap;

use domain::field::{Field, Malformed, PERSONAL};
use domain::history::{Aggregate, Commit, OpenEvent};
use domain::identity::{self, Detail, Details};
use domain::ids::CommandId;
use domain::participant::{self, SavedItem, Source};
use domain::scope::{DesignScoped, Part, Personal, tag};
use domain::upcast::upcast;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Action, EntryRow, Subject};
use crate::row::{Act, Named};

/// Why something was changed.
type Reason = Option<Personal<String, tag::HealthFreeText>>;

/// The entries of a commit, in order. Links to earlier entries are not set yet.
pub(super) fn of_commit(commit: &Commit) -> Result<Vec<EntryRow>, Malformed> {
    let mut entries = Vec::new();
    match commit.header.stream.aggregate {
        Aggregate::Participant => {
            for (event, fact) in commit.events.iter().zip(commit.facts::<participant::Event>()?) {
                match fact {
                    participant::Event::ItemsSaved { form, items, source } => {
                        entries.extend(items.into_iter().map(|saved| of_item(commit, event, (&form, source), saved)));
                    }
                    _ => entries.push(of_fact(commit, event)?),
                }
            }
        }
        Aggregate::Identity => {
            for (event, fact) in commit.events.iter().zip(commit.facts::<identity::Event>()?) {
                match fact {
                    identity::Event::Recorded { details } => {
                        entries.extend(of_details(commit, event, &details, &[], &None));
                    }
                    identity::Event::Rectified { details, cleared, reason } => {
                        entries.extend(of_details(commit, event, &details, &cleared, &reason));
                    }
                    _ => entries.push(of_fact(commit, event)?),
                }
            }
        }
        Aggregate::Study => {
            for event in &commit.events {
                entries.push(of_study(commit, event)?);
            }
        }
        // A list tells the arms, a part is a text of any length, the hash of a file could tell an arm, and with the key of the
        // numbers they could be tried: they have views of their own. Here stands which one it was, who, and when.
        Aggregate::DesignPart | Aggregate::Randomisation | Aggregate::Export | Aggregate::SubjectNumber => {
            for event in &commit.events {
                let mut entry = blank(commit, event);
                entry.act = act_of(commit);
                entry.subject.details = json!({"stream": commit.header.stream.to_string()});
                entries.push(entry);
            }
        }
        Aggregate::Privacy | Aggregate::User | Aggregate::Account => {
            for event in &commit.events {
                entries.push(of_fact(commit, event)?);
            }
        }
    }
    Ok(entries)
}

/// Who and when. The command of a list's commit is the allocation, which alone joins a person to a slot: it stays out.
pub(super) fn act_of(commit: &Commit) -> Act {
    let act = Act::of(commit);
    match commit.header.stream.aggregate {
        Aggregate::Randomisation => Act { command: CommandId(Uuid::nil()), ..act },
        _ => act,
    }
}

fn blank(commit: &Commit, event: &OpenEvent) -> EntryRow {
    let subject = Subject {
        aggregate: commit.header.stream.aggregate,
        event: event.kind.name.clone(),
        action: Action::Recorded,
        form: None,
        item: None,
        field: None,
        details: Value::Null,
    };
    EntryRow { subject, act: Act::of(commit), value: None, previous: None, reason: None, values: Named::default() }
}

fn of_item(
    commit: &Commit,
    event: &OpenEvent,
    (form, source): (&participant::FormKey, Source),
    saved: SavedItem,
) -> EntryRow {
    let SavedItem { item, value, not_done, computed, reason } = saved;
    let mut entry = blank(commit, event);
    // Said only where it is not the ordinary case: a person entered a value, or cleared it.
    let mut details = Map::new();
    details.extend(not_done.map(|why| ("not_done".to_owned(), why.write())));
    details.extend(computed.then(|| ("computed".to_owned(), Value::Bool(true))));
    details.extend((source != Source::User).then(|| ("source".to_owned(), source.write())));
    if !details.is_empty() {
        entry.subject.details = Value::Object(details);
    }
    entry.subject.form = Some(form.clone());
    entry.subject.item = Some(item);
    entry.value = value.map(|value| DesignScoped {
        scope: value.scope,
        part: value.part,
        value: value.value.map(|value| Value::String(value.0)),
    });
    entry.reason = reason;
    entry
}

/// One entry a detail, those included that were cleared.
fn of_details(
    commit: &Commit,
    event: &OpenEvent,
    details: &Details,
    cleared: &[Detail],
    reason: &Reason,
) -> Vec<EntryRow> {
    let entry = |detail: Detail, value| {
        let mut entry = blank(commit, event);
        entry.subject.field = Some(detail.as_str().to_owned());
        entry.value = value;
        entry.reason.clone_from(reason);
        entry
    };
    // Details have no parts of their own: only texts can be redacted one by one.
    let known = details.present().map(|(detail, scope, value)| {
        let value = value.clone().map(Value::String);
        entry(detail, Some(DesignScoped { scope, part: Part::all(), value }))
    });
    let cleared = cleared.iter().map(|detail| entry(*detail, None));
    known.chain(cleared).collect()
}

/// A fact of the study as a whole. The row is about nobody, so it has no place for what is sealed: that is named.
fn of_study(commit: &Commit, event: &OpenEvent) -> Result<EntryRow, Malformed> {
    let mut entry = of_fact(commit, event)?;
    let sealed: Vec<String> = std::mem::take(&mut entry.values).0.into_keys().collect();
    if let (false, Value::Object(details)) = (sealed.is_empty(), &mut entry.subject.details) {
        details.insert("sealed".to_owned(), json!(sealed));
    }
    Ok(entry)
}

/// Any other fact: its structure as it stands, its personal places apart.
fn of_fact(commit: &Commit, event: &OpenEvent) -> Result<EntryRow, Malformed> {
    let event = upcast(commit.header.stream.aggregate, event);
    let mut entry = blank(commit, &event);
    let mut values = BTreeMap::new();
    entry.subject.details = structure_of(&event.body, "", &mut values)?.unwrap_or_default();
    entry.values = Named(values);
    Ok(entry)
}

/// The structure of an open body; none if it is itself a personal place. Those go into `values` under their path.
fn structure_of(
    node: &Value,
    path: &str,
    values: &mut BTreeMap<String, DesignScoped<Value>>,
) -> Result<Option<Value>, Malformed> {
    let below = |step: &str| {
        if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") }
    };
    match node {
        Value::Object(fields) if fields.contains_key(PERSONAL) => {
            values.insert(path.to_owned(), DesignScoped::read(node)?);
            Ok(None)
        }
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, field) in fields {
                if let Some(field) = structure_of(field, &below(name), values)? {
                    kept.insert(name.clone(), field);
                }
            }
            Ok(Some(Value::Object(kept)))
        }
        Value::Array(items) => {
            let mut kept = Vec::new();
            for (n, item) in items.iter().enumerate() {
                kept.extend(structure_of(item, &below(&n.to_string()), values)?);
            }
            Ok(Some(Value::Array(kept)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(Some(node.clone())),
    }
}
