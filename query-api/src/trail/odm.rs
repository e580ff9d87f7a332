//! Entries of the audit trail in ODM's words.

use domain::design::StudyDesign;
use domain::history::{Actor, Aggregate};
use domain::participant::{FormKey, ItemKey, NotDone, Place, Source, VisitKey};
use domain::scope::Scope;
use exchange::model::{Act, ItemState, Shown, SiteEntry, UserEntry, Withheld, missing_code};
use exchange::odm::metadata::Oids;
use exchange::odm::{TrailChange, TrailEntry, TrailFrame, TrailPlace, TrailSubject};
use projection_svc::audit::{AuditEntry, Cast, StudyEntry};
use projection_svc::studies::Study;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What stands before the first entry. The file is of the time of its last one, so the same question gives the same bytes.
pub(crate) fn frame(study: &Study, design: Option<&StudyDesign>, cast: Cast, through: u64) -> TrailFrame {
    let live_since = domain::Day(study.created.stored_at.0.date());
    let user = |actor: Actor| UserEntry {
        user: actor.id,
        role: actor.role,
        organisation: actor.organisation,
        // Names of users are in no answer of the platform.
        name: None,
    };
    TrailFrame {
        study: study.study.clone(),
        environment: study.environment,
        design_version: design.map_or_else(|| "none".to_owned(), |design| design.version.clone()),
        oids: design.map(Oids::of).unwrap_or_default(),
        created_at: cast.last.unwrap_or(study.created.stored_at),
        file_oid: format!("LETHE.AUDIT.{}.{through}", study.study),
        through: through.to_string(),
        software_version: env!("CARGO_PKG_VERSION"),
        users: cast.actors.into_values().map(user).collect(),
        sites: study
            .sites
            .iter()
            .map(|site| SiteEntry { site: site.site.clone(), name: site.name.clone(), live_since })
            .collect(),
    }
}

/// One entry. An ODM file speaks of pseudonyms: of an identity it says that it changed, never to what.
pub(crate) fn entry(of: StudyEntry) -> TrailEntry {
    let StudyEntry { subject_number, site, restricted, entry, .. } = of;
    let subject = subject_number.zip(site).map(|(number, site)| TrailSubject { number, site, restricted });
    let identity = entry.aggregate == Aggregate::Identity;
    let change = entry.item.is_some().then(|| change(&entry, restricted));
    let reason = entry.reason.as_ref().filter(|_| !identity).map(|reason| shown(reason, restricted, Clone::clone));
    TrailEntry {
        id: entry.id.clone(),
        place: if subject.is_some() { place(&entry) } else { TrailPlace::default() },
        subject,
        event: entry.event.clone(),
        change,
        reason: reason.or_else(|| reason_of_fact(&entry, restricted)),
        details: details(&entry, identity),
        by: by(&entry),
    }
}

/// Why, where the fact says it under this name.
fn reason_of_fact(entry: &AuditEntry, restricted: bool) -> Option<Shown> {
    if entry.aggregate == Aggregate::Identity {
        return None;
    }
    let sealed = entry.values.get("reason").map(|reason| shown(reason, restricted, text));
    sealed.or_else(|| Some(Shown::Text(entry.details.get("reason")?.as_str()?.to_owned())))
}

pub(crate) fn by(entry: &AuditEntry) -> Act {
    let act = &entry.act;
    Act {
        user: act.actor.id,
        role: act.actor.role,
        organisation: act.actor.organisation.clone(),
        captured_at: act.captured_at,
        stored_at: act.stored_at,
        source: read(entry.details.get("source")).unwrap_or(Source::User),
    }
}

fn read<T: DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    T::deserialize(value?).ok()
}

/// A text as it is, anything else as JSON.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn shown<T>(value: &projection_svc::shown::Shown<T>, restricted: bool, text: fn(&T) -> String) -> Shown {
    use projection_svc::shown::Shown as Of;
    match value {
        Of::Value(value) => Shown::Text(text(value)),
        Of::Erased { .. } => Shown::Erased,
        Of::Withheld { .. } if restricted => Shown::Withheld(Withheld::Restricted),
        Of::Withheld { withheld: Scope::HealthBlinded } => Shown::Withheld(Withheld::Blinded),
        Of::Withheld { .. } => Shown::Withheld(Withheld::NoRight),
    }
}

fn change(entry: &AuditEntry, restricted: bool) -> TrailChange {
    let new = entry.new.as_ref().map(|new| shown(new, restricted, text));
    let state = match &new {
        Some(Shown::Text(value)) => ItemState::Value(value.clone()),
        Some(Shown::Erased) => ItemState::Erased,
        Some(Shown::Withheld(why)) => ItemState::Withheld(*why),
        None => read::<NotDone>(entry.details.get("not_done")).map_or(ItemState::Cleared, ItemState::NotDone),
    };
    TrailChange {
        old: entry.old.as_ref().map(|old| shown(old, restricted, text)),
        new,
        missing: missing_code(&state),
        computed: entry.details.get("computed").is_some(),
    }
}

/// What the event says beside the item's value, as the API shows it.
fn details(entry: &AuditEntry, identity: bool) -> String {
    if identity {
        return entry.field.as_ref().map(|field| json!({"field": field}).to_string()).unwrap_or_default();
    }
    let mut all = serde_json::Map::new();
    if !entry.details.is_null() {
        all.insert("details".to_owned(), entry.details.clone());
    }
    if !entry.values.is_empty() {
        all.insert("values".to_owned(), json!(entry.values));
    }
    if all.is_empty() { String::new() } else { Value::Object(all).to_string() }
}

/// Where in the record: as the entry says, or the fact.
pub(crate) fn place(entry: &AuditEntry) -> TrailPlace {
    let details = &entry.details;
    let form = entry.form.clone().or_else(|| read::<FormKey>(details.get("form")));
    let item = entry.item.clone().or_else(|| read::<ItemKey>(details.get("item")));
    match (form, read::<Place>(details.get("place"))) {
        (Some(form), _) => of_form(&form, item.as_ref()),
        (None, Some(Place::Item(item))) => of_form(&item.form(), Some(&item.item())),
        (None, Some(Place::Form(form))) => of_form(&form, None),
        (None, Some(Place::Visit(visit))) => of_visit(&visit),
        (None, Some(Place::Participant)) => TrailPlace::default(),
        (None, None) => read(details.get("visit")).map(|visit| of_visit(&visit)).unwrap_or_default(),
    }
}

fn of_visit(visit: &VisitKey) -> TrailPlace {
    TrailPlace { visit: Some((visit.visit.as_str().to_owned(), visit.visit_repeat)), ..TrailPlace::default() }
}

fn of_form(form: &FormKey, item: Option<&ItemKey>) -> TrailPlace {
    TrailPlace {
        form: Some((form.form.as_str().to_owned(), form.form_repeat)),
        item: item.map(|item| (item.group.as_str().to_owned(), item.group_repeat, item.item.as_str().to_owned())),
        ..of_visit(&form.visit())
    }
}
