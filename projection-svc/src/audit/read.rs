//! How the audit trail is read.

use std::collections::{BTreeMap, BTreeSet};

use domain::history::{Aggregate, DataSubject};
use domain::ids::{ParticipantId, StudyId};
use domain::participant::{FormKey, ItemKey};
use domain::port::{Failure, Tenant};
use domain::scope::{DesignScoped, OneValue, Personal, tag};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Action, Audit, AuditRow, ENTRIES, EntryId, EntryRow, Subject, entry_key};
use crate::cells::OpenRow;
use crate::row::{Act, Named, RowKey, person};
use crate::shown::{Page, Shown, Visible};
use crate::view;

/// One entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// The entry's id: later ones come after.
    pub id: String,
    /// Which stream of the participant says so.
    pub aggregate: Aggregate,
    /// The event's stored name.
    pub event: String,
    /// What was done.
    pub action: Action,
    /// The form, of an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<FormKey>,
    /// The item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemKey>,
    /// The field of an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The value before; null: there was none.
    pub old: Option<Shown<Value>>,
    /// The value after; null: there is none.
    pub new: Option<Shown<Value>>,
    /// Why; null: no reason was asked for.
    pub reason: Option<Shown<String>>,
    /// Of a fact that is not about a field: what it says, its personal places left out. Of an item: `not_done`, `computed`,
    /// and `source` if it was not a person; null if there is nothing of these.
    pub details: Value,
    /// Of a fact that is not about a field: its personal places, by their path.
    pub values: BTreeMap<String, Shown<Value>>,
    /// How an erasure names what can be redacted alone: `new`, `reason`, or the path of one of `values`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redactable: BTreeMap<String, OneValue>,
    /// Who and when.
    pub act: Act,
}

/// The entries about a participant, oldest first, opened as far as `visible` goes.
///
/// # Errors
/// What the store and the keys say.
pub async fn page(
    tenant: &Tenant,
    study: &StudyId,
    participant: &ParticipantId,
    visible: &Visible,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<AuditEntry>, Failure> {
    let limit = limit.max(1);
    let prefix = RowKey::about(Some(study), person(*participant), ENTRIES);
    let after = after.map(|id| format!("{ENTRIES}{id}"));
    let mut rows = view::scan::<Audit>(tenant, &prefix, after.as_deref(), limit.saturating_add(1), visible).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let mut items = Vec::with_capacity(rows.len());
    for (key, open) in rows {
        if let AuditRow::Entry(entry) = open.row {
            let old = match &entry.previous {
                Some(previous) => value_of(tenant, study, Some(person(*participant)), previous, visible).await?,
                None => None,
            };
            let id = key.rest.strip_prefix(ENTRIES).unwrap_or(&key.rest).to_owned();
            items.push(shown(id, entry, old, &open.withheld, visible));
        }
    }
    let next = if more { items.last().map(|last| last.id.clone()) } else { None };
    Ok(Page { items, next })
}

/// The value that an earlier entry gave a field.
pub(super) async fn value_of(
    tenant: &Tenant,
    study: &StudyId,
    person: Option<DataSubject>,
    id: &EntryId,
    visible: &Visible,
) -> Result<Option<Shown<Value>>, Failure> {
    let key = entry_key(study, person, id);
    match view::get_visible::<Audit>(tenant, &key, visible).await? {
        Some(OpenRow { row: AuditRow::Entry(entry), withheld, .. }) => {
            Ok(entry.value.map(|value| Shown::of_scoped(value, &withheld)))
        }
        Some(OpenRow { row: AuditRow::Last(_) | AuditRow::Commit(_), .. }) | None => {
            Err(Failure::damaged(format!("row {key} of the read model audit"), "a later entry names it as an entry"))
        }
    }
}

pub(super) fn shown(
    id: String,
    entry: EntryRow,
    old: Option<Shown<Value>>,
    withheld: &BTreeSet<crate::cells::Cell>,
    visible: &Visible,
) -> AuditEntry {
    let EntryRow { subject, act, value, reason, values, .. } = entry;
    let hidden = subject.draft_by().is_some_and(|by| !visible.shows_draft_by(by));
    let place = |value: DesignScoped<Value>| match hidden {
        true => Shown::Withheld { withheld: value.scope },
        false => Shown::of_scoped(value, withheld),
    };
    let redactable = redactable(&value, &reason, &values);
    let Subject { aggregate, event, action, form, item, field, details } = subject;
    AuditEntry {
        id,
        aggregate,
        event,
        action,
        form,
        item,
        field,
        old,
        new: value.map(|value| Shown::of_scoped(value, withheld)),
        reason: reason.map(|reason| Shown::of_personal(reason, withheld)),
        details,
        values: values.0.into_iter().map(|(path, value)| (path, place(value))).collect(),
        redactable,
        act,
    }
}

/// The values with a key of their own.
fn redactable(
    value: &Option<DesignScoped<Value>>,
    reason: &Option<Personal<String, tag::HealthFreeText>>,
    values: &Named<DesignScoped<Value>>,
) -> BTreeMap<String, OneValue> {
    let new = value.iter().map(|value| ("new", value.scope, &value.part));
    let reason = reason.iter().map(|reason| ("reason", reason.scope(), &reason.part));
    let places = values.0.iter().map(|(path, value)| (path.as_str(), value.scope, &value.part));
    let named = new.chain(reason).chain(places);
    named.filter_map(|(place, scope, part)| Some((place.to_owned(), OneValue::of(scope, part)?))).collect()
}
