//! The audit trail: every change of every field, and every other fact, about one participant. Who, when and what stay
//! for ever; values and reasons are in sealed cells and go with their keys.
//!
//! An entry does not repeat the value that was there before: it names the entry that wrote it. So a value is sealed
//! once, erasing or redacting it reaches the old and the new side alike, and an entry is never written again.
//!
//! The entries of a commit are one row: they were written together, by one person, at one time, and share their cells.
//!
//! Facts that are not about a field are shown as they stand in the journal, so a new kind of event appears here
//! without a line of code.
//!
//! Beside the entries stands one row a commit, by its position: the way through the whole study in the order in which
//! it happened, to be walked, filtered and taken up again without opening anything.

mod entry;
mod read;
mod study;
mod unusual;

pub use read::{AuditEntry, page};
pub use study::{Cast, Filter, StudyEntry, StudyTrail, TrailPosition, kinds};
pub use unusual::{Lines, Looked, Rule, Unusual, unusual};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use domain::history::{Aggregate, Commit, DataSubject};
use domain::ids::StudyId;
use domain::participant::{FormKey, ItemKey};
use domain::permit::Role;
use domain::scope::{DesignScoped, Personal, tag};
use domain::structural;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::casebook::{form_path, item_path};
use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, Named, RowKey, kinds};

// --- row

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AuditAction)]
pub enum Action {
    /// A field got its first value, or was said at first not to be done.
    Entered,
    /// A field got another value.
    Changed,
    /// A field has no value any more.
    Cleared,
    /// Something else happened: see `event`.
    Recorded,
}

/// The `n`-th entry, from 0, of the commit at this position: the one that wrote a field last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryId(pub u64, pub u32);

/// Which entry wrote each field of one form (or the identity) last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Last(BTreeMap<String, EntryId>);

/// One commit of the study, where it stands in the journal stream: who, when, about whom, and how many entries it made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRow {
    /// The person whose entries they are; none: the study's own.
    pub person: Option<DataSubject>,
    /// Which kind of stream.
    pub aggregate: Aggregate,
    /// The stored names of its events, each once.
    pub events: BTreeSet<String>,
    /// How many entries there are.
    pub entries: u32,
    /// Who and when.
    pub act: Act,
}

structural!(About, EntryId, Last, CommitRow);

/// What all entries of a commit share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Which stream of the participant says so.
    pub aggregate: Aggregate,
    /// Who and when.
    pub act: Act,
}

domain::fields! {
    /// The entries of one commit.
    pub struct EntriesRow {
        /// What they share.
        pub about: About,
        /// Fact by fact.
        pub facts: Vec<FactRow>,
    }
}

domain::fields! {
    /// The entries that one fact makes: one for each field that it is about, or one.
    pub struct FactRow {
        /// The event's stored name.
        pub event: EventName,
        /// The form, of items.
        pub form: Option<FormKey>,
        /// Them.
        pub entries: Vec<EntryRow>,
    }
}

domain::fields! {
    /// One entry.
    pub struct EntryRow {
        /// What was done.
        pub action: Action,
        /// The item.
        pub item: Option<ItemKey>,
        /// The field of an identity.
        pub field: Option<FieldName>,
        /// The rest of the fact; of an item, why it has no value, that it was computed, and what else than a person entered
        /// it.
        pub details: Details,
        /// The value that the field got; none: cleared, or not about a field.
        pub value: Option<DesignScoped<Value>>,
        /// The entry that wrote the field before.
        pub previous: Option<EntryId>,
        /// Why it was changed.
        pub reason: Option<Personal<String, tag::HealthFreeText>>,
        /// The personal places of a fact that is not about a field, by their path in it; none if there are none.
        pub values: Option<Named<DesignScoped<Value>>>,
    }
}

/// An event's stored name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventName(pub String);

/// The name of a detail of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldName(pub String);

/// What of a fact is structure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Details(pub Value);

structural!(Action, EventName, FieldName, Details);

kinds! {
    /// What the table holds.
    pub enum AuditRow {
        /// The entries of a commit.
        "entries" Entries(EntriesRow),
        /// Which entries wrote the fields of a form last.
        "last" Last(Last),
        /// What one commit holds, by its position.
        "commit" Commit(CommitRow),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Audit;

impl Projection for Audit {
    const NAME: &'static str = "audit";
    const VERSION: u32 = 6;
    type Row = AuditRow;

    fn takes(aggregate: Aggregate) -> bool {
        // Users belong to the tenant, not to a study.
        !matches!(aggregate, Aggregate::User | Aggregate::Account | Aggregate::Access | Aggregate::Incident)
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, AuditRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let Some(study) = &stream.journal.study else {
            return Ok(());
        };
        let person = stream.data_subject();
        let sequence = commit.position.sequence;
        let mut made = entry::of_commit(commit)?;
        let mut last = LastEntries::default();
        let mut n = 0;
        for fact in &mut made.facts {
            for entry in &mut fact.entries {
                if let (Some((group, field)), Some(person)) = (entry.field_path(fact.form.as_ref()), person) {
                    let key = RowKey::about(Some(study), person, format!("last/{group}"));
                    entry.follow(last.replace(rows, key, field, EntryId(sequence, n))?);
                }
                n += 1;
            }
        }
        let row = CommitRow {
            person,
            aggregate: stream.aggregate,
            events: commit.events.iter().map(|event| event.kind.name.clone()).collect(),
            entries: n,
            act: made.about.act.clone(),
        };
        rows.put(commit_key(study, sequence), AuditRow::Commit(row));
        rows.put(entries_key(study, person, sequence), AuditRow::Entries(made));
        last.write(rows);
        Ok(())
    }
}

const ENTRIES: &str = "entry/";
const COMMITS: &str = "at/";

fn entries_key(study: &StudyId, person: Option<DataSubject>, sequence: u64) -> RowKey {
    RowKey { study: Some(study.clone()), person, rest: format!("{ENTRIES}{sequence:020}") }
}

fn commit_key(study: &StudyId, sequence: u64) -> RowKey {
    RowKey::plain(Some(study), format!("{COMMITS}{sequence:020}"))
}

/// The id as it is shown: later ones come after.
impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}/{:06}", self.0, self.1)
    }
}

/// Which entries wrote the fields that a commit touches last. One commit may touch many fields of one form.
#[derive(Default)]
struct LastEntries(BTreeMap<RowKey, Last>);

impl LastEntries {
    /// Notes `id` as the last entry of a field. Returns the one before.
    fn replace(
        &mut self,
        rows: &Rows<'_, AuditRow>,
        key: RowKey,
        field: String,
        id: EntryId,
    ) -> Result<Option<EntryId>, Stop> {
        if !self.0.contains_key(&key) {
            let last = match rows.get(&key)? {
                Some(AuditRow::Last(last)) => last.clone(),
                Some(AuditRow::Entries(_) | AuditRow::Commit(_)) | None => Last::default(),
            };
            self.0.insert(key.clone(), last);
        }
        Ok(self.0.entry(key).or_default().0.insert(field, id))
    }

    fn write(self, rows: &mut Rows<'_, AuditRow>) {
        self.0.into_iter().for_each(|(key, last)| rows.put(key, AuditRow::Last(last)));
    }
}

impl EntryRow {
    /// Links the entry to the one that wrote its field before, and says what that makes of it.
    fn follow(&mut self, previous: Option<EntryId>) {
        self.action = match (&previous, &self.value) {
            // Said not to be done from the beginning: nothing was there to clear.
            (None, None) => Action::Entered,
            (Some(_), None) => Action::Cleared,
            (None, Some(_)) => Action::Entered,
            (Some(_), Some(_)) => Action::Changed,
        };
        self.previous = previous;
    }

    /// The form (or the identity) that the field belongs to, and the field in it; none of a fact about no field.
    fn field_path(&self, form: Option<&FormKey>) -> Option<(String, String)> {
        match (form, &self.item, &self.field) {
            (Some(form), Some(item), _) => Some((form_path(form), item_path(item))),
            (_, _, Some(field)) => Some(("identity".to_owned(), field.0.clone())),
            _ => None,
        }
    }

    /// Who drafted the query whose words stand here, if it was opened as a draft. Once it is put to the site, the site
    /// reads them with the query.
    fn draft_by(&self, event: &EventName) -> Option<Role> {
        let Details(details) = &self.details;
        let candidate = event.0 == "query-opened" && details["candidate"] == true;
        candidate.then(|| details["by"].as_str()?.parse().ok()).flatten()
    }
}

#[cfg(test)]
mod tests;
