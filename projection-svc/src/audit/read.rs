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

use super::{About, Action, Audit, AuditRow, ENTRIES, EntriesRow, EntryId, EntryRow, EventName, FactRow, entries_key};
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
    let whose = Whose { tenant, study, person: Some(person(*participant)), visible };
    let prefix = RowKey::about(Some(study), person(*participant), ENTRIES);
    // The commit in which the page before ended may have more.
    let (commit, behind) = after.map_or(("", ""), |id| id.split_once('/').unwrap_or((id, "")));
    let begun = match commit.parse() {
        Ok(sequence) if !behind.is_empty() => whose.entries(sequence).await?,
        Ok(_) | Err(_) => None,
    };
    let (mut before, mut items) = (Before::default(), Vec::new());
    if let Some(found) = begun {
        items.extend(whose.shown(found, &mut before).await?);
        items.retain(|entry: &AuditEntry| Some(entry.id.as_str()) > after);
    }
    // Each commit has an entry: no more of them are needed than entries.
    while items.len() <= limit {
        let last = items.last().map_or(commit, |entry: &AuditEntry| entry.id.split('/').next().unwrap_or_default());
        let after = (!last.is_empty()).then(|| format!("{ENTRIES}{last}"));
        let wanted = (limit - items.len()).saturating_add(1).min(AT_ONCE);
        let rows = view::scan::<Audit>(tenant, &prefix, after.as_deref(), wanted, visible).await?;
        let end = rows.len() < wanted;
        for (key, open) in rows {
            items.extend(whose.shown(found(&key, open)?, &mut before).await?);
        }
        if end {
            break;
        }
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|last| last.id.clone()) } else { None };
    Ok(Page { items, next })
}

/// How many commits are read at once: each may have many entries, and a page has few.
const AT_ONCE: usize = 16;

/// The entries of one commit, and what of them was withheld.
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) row: EntriesRow,
    pub(super) withheld: BTreeSet<crate::cells::Cell>,
}

fn found(key: &RowKey, open: OpenRow<AuditRow>) -> Result<Found, Failure> {
    let sequence = key.rest.strip_prefix(ENTRIES).and_then(|sequence| sequence.parse().ok());
    match (sequence, open) {
        (Some(sequence), OpenRow { row: AuditRow::Entries(row), withheld, .. }) => {
            Ok(Found { sequence, row, withheld })
        }
        _ => Err(Failure::damaged(format!("row {key} of the read model audit"), "it is no commit's entries")),
    }
}

/// Values of earlier entries that were looked at: several entries follow those of one commit.
#[derive(Default)]
pub(super) struct Before(BTreeMap<u64, BTreeMap<u32, Option<Shown<Value>>>>);

/// Commits whose values are remembered.
const REMEMBERED_MAX: usize = 64;

/// About whom, and for whom.
pub(super) struct Whose<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) study: &'a StudyId,
    pub(super) person: Option<DataSubject>,
    pub(super) visible: &'a Visible,
}

impl Whose<'_> {
    /// The entries of the commit at this position.
    pub(super) async fn entries(&self, sequence: u64) -> Result<Option<Found>, Failure> {
        let key = entries_key(self.study, self.person, sequence);
        let open = view::get_visible::<Audit>(self.tenant, &key, self.visible).await?;
        open.map(|open| found(&key, open)).transpose()
    }

    /// As they are shown.
    pub(super) async fn shown(&self, found: Found, before: &mut Before) -> Result<Vec<AuditEntry>, Failure> {
        let Found { sequence, row: EntriesRow { about, facts }, withheld } = found;
        let mut entries = Vec::new();
        for FactRow { event, form, entries: made } in facts {
            for entry in made {
                let old = match &entry.previous {
                    Some(previous) => self.value_of(*previous, before).await?,
                    None => None,
                };
                let id = EntryId(sequence, u32::try_from(entries.len()).unwrap_or(u32::MAX));
                let of = (&about, &event, form.as_ref());
                entries.push(shown(id, of, entry, old, &withheld, self.visible));
            }
        }
        Ok(entries)
    }

    /// The value that an earlier entry gave a field.
    async fn value_of(&self, id: EntryId, before: &mut Before) -> Result<Option<Shown<Value>>, Failure> {
        if !before.0.contains_key(&id.0) {
            let Some(found) = self.entries(id.0).await? else { return Err(not_there(id)) };
            let withheld = found.withheld;
            let values = found.row.facts.into_iter().flat_map(|fact| fact.entries).map(|entry| entry.value);
            let values = values.map(|value| value.map(|value| Shown::of_scoped(value, &withheld)));
            if before.0.len() >= REMEMBERED_MAX {
                before.0.clear();
            }
            before.0.insert(id.0, (0..).zip(values).collect());
        }
        let value = before.0.get(&id.0).and_then(|values| values.get(&id.1));
        value.cloned().ok_or_else(|| not_there(id))
    }
}

fn not_there(id: EntryId) -> Failure {
    Failure::damaged(format!("entry {id} of the read model audit"), "a later entry names it as an entry")
}

fn shown(
    id: EntryId,
    (about, event, form): (&About, &EventName, Option<&FormKey>),
    entry: EntryRow,
    old: Option<Shown<Value>>,
    withheld: &BTreeSet<crate::cells::Cell>,
    visible: &Visible,
) -> AuditEntry {
    let hidden = entry.draft_by(event).is_some_and(|by| !visible.shows_draft_by(by));
    let place = |value: DesignScoped<Value>| match hidden {
        true => Shown::Withheld { withheld: value.scope },
        false => Shown::of_scoped(value, withheld),
    };
    let EntryRow { action, item, field, details, value, reason, values, .. } = entry;
    let values = values.unwrap_or_default();
    let redactable = redactable(&value, &reason, &values);
    AuditEntry {
        id: id.to_string(),
        aggregate: about.aggregate,
        event: event.0.clone(),
        action,
        form: form.cloned(),
        item,
        field: field.map(|field| field.0),
        old,
        new: value.map(|value| Shown::of_scoped(value, withheld)),
        reason: reason.map(|reason| Shown::of_personal(reason, withheld)),
        details: details.0,
        values: values.0.into_iter().map(|(path, value)| (path, place(value))).collect(),
        redactable,
        act: about.act.clone(),
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
