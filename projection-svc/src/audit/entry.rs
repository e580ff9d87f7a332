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

use super::{About, Action, EntriesRow, EntryRow, EventName, FactRow, FieldName};
use crate::row::{Act, Named};

/// Why something was changed.
type Reason = Option<Personal<String, tag::HealthFreeText>>;

/// The entries of a commit, in order. Links to earlier entries are not set yet.
pub(super) fn of_commit(commit: &Commit) -> Result<EntriesRow, Malformed> {
    let mut facts = Vec::with_capacity(commit.events.len());
    match commit.header.stream.aggregate {
        Aggregate::Participant => {
            for (event, fact) in commit.events.iter().zip(commit.shared_facts::<participant::Event>()?.iter()) {
                facts.push(match fact {
                    participant::Event::ItemsSaved { form, items, source } => {
                        let entries = items.iter().map(|saved| of_item(*source, saved)).collect();
                        FactRow { form: Some(form.clone()), ..fact_of(event, entries) }
                    }
                    _ => of_fact(commit, event)?,
                });
            }
        }
        Aggregate::Identity => {
            for (event, fact) in commit.events.iter().zip(commit.shared_facts::<identity::Event>()?.iter()) {
                facts.push(match fact {
                    identity::Event::Recorded { details } => fact_of(event, of_details(details, &[], &None)),
                    identity::Event::Rectified { details, cleared, reason } => {
                        fact_of(event, of_details(details, cleared, reason))
                    }
                    _ => of_fact(commit, event)?,
                });
            }
        }
        Aggregate::Study => {
            for event in &commit.events {
                facts.push(of_study(commit, event)?);
            }
        }
        // A list tells the arms, a part is a text of any length, the hash of a file could tell an arm, and with the key of the
        // numbers they could be tried: they have views of their own. Here stands which one it was, who, and when.
        Aggregate::DesignPart
        | Aggregate::Randomisation
        | Aggregate::Export
        | Aggregate::SubjectNumber
        | Aggregate::Access
        | Aggregate::Incident => {
            for event in &commit.events {
                let details = super::Details(json!({"stream": commit.header.stream.to_string()}));
                facts.push(fact_of(event, vec![EntryRow { details, ..blank() }]));
            }
        }
        Aggregate::Privacy | Aggregate::User | Aggregate::Account => {
            for event in &commit.events {
                facts.push(of_fact(commit, event)?);
            }
        }
    }
    Ok(EntriesRow { about: About { aggregate: commit.header.stream.aggregate, act: act_of(commit) }, facts })
}

/// Who and when. The command of a list's commit is the allocation, which alone joins a person to a slot: it stays out.
fn act_of(commit: &Commit) -> Act {
    let act = Act::of(commit);
    match commit.header.stream.aggregate {
        Aggregate::Randomisation => Act { command: CommandId(Uuid::nil()), ..act },
        _ => act,
    }
}

fn blank() -> EntryRow {
    let (action, details) = (Action::Recorded, super::Details::default());
    EntryRow { action, item: None, field: None, details, value: None, previous: None, reason: None, values: None }
}

fn fact_of(event: &OpenEvent, entries: Vec<EntryRow>) -> FactRow {
    FactRow { event: EventName(event.kind.name.clone()), form: None, entries }
}

fn of_item(source: Source, saved: &SavedItem) -> EntryRow {
    let SavedItem { item, value, not_done, computed, reason } = saved;
    // Said only where it is not the ordinary case: a person entered a value, or cleared it.
    let mut details = Map::new();
    details.extend(not_done.map(|why| ("not_done".to_owned(), why.write())));
    details.extend(computed.then(|| ("computed".to_owned(), Value::Bool(true))));
    details.extend((source != Source::User).then(|| ("source".to_owned(), source.write())));
    let details = if details.is_empty() { Value::Null } else { Value::Object(details) };
    let value = value.as_ref().map(|value| DesignScoped {
        scope: value.scope,
        part: value.part.clone(),
        value: value.value.clone().map(|value| Value::String(value.0)),
    });
    let (item, reason) = (Some(item.clone()), reason.clone());
    EntryRow { item, details: super::Details(details), value, reason, ..blank() }
}

/// One entry a detail, those included that were cleared.
fn of_details(details: &Details, cleared: &[Detail], reason: &Reason) -> Vec<EntryRow> {
    let entry = |detail: Detail, value| EntryRow {
        field: Some(FieldName(detail.as_str().to_owned())),
        value,
        reason: reason.clone(),
        ..blank()
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
fn of_study(commit: &Commit, event: &OpenEvent) -> Result<FactRow, Malformed> {
    let mut fact = of_fact(commit, event)?;
    for entry in &mut fact.entries {
        let sealed = entry.values.take().map(|values| values.0.into_keys().collect::<Vec<_>>());
        if let (Some(sealed), Value::Object(details)) = (sealed, &mut entry.details.0) {
            details.insert("sealed".to_owned(), json!(sealed));
        }
    }
    Ok(fact)
}

/// Any other fact: its structure as it stands, its personal places apart.
fn of_fact(commit: &Commit, event: &OpenEvent) -> Result<FactRow, Malformed> {
    let event = upcast(commit.header.stream.aggregate, event);
    let mut values = BTreeMap::new();
    let details = super::Details(structure_of(&event.body, "", &mut values)?.unwrap_or_default());
    let values = (!values.is_empty()).then_some(Named(values));
    Ok(fact_of(&event, vec![EntryRow { details, values, ..blank() }]))
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
