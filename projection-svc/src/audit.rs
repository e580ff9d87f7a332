//! The audit trail: every change of every field, and every other fact, about one participant. Who, when and what stay
//! for ever; values and reasons are in sealed cells and go with their keys.
//!
//! An entry does not repeat the value that was there before: it names the entry that wrote it. So a value is sealed
//! once, erasing or redacting it reaches the old and the new side alike, and an entry is never written again.
//!
//! Facts that are not about a field are shown as they stand in the journal, so a new kind of event appears here
//! without a line of code.
//!
//! Beside the entries stands one row a commit, by its position: the way through the whole study in the order in which
//! it happened, to be walked, filtered and taken up again without opening anything.

mod entry;
mod read;
mod study;

pub use read::{AuditEntry, page};
pub use study::{Cast, Filter, StudyEntry, StudyTrail, TrailPosition, kinds};

use std::collections::{BTreeMap, BTreeSet};

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

/// What an entry is about. Structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Which stream of the participant says so.
    pub aggregate: Aggregate,
    /// The event's stored name.
    pub event: String,
    /// What was done.
    pub action: Action,
    /// The form, of an item.
    pub form: Option<FormKey>,
    /// The item.
    pub item: Option<ItemKey>,
    /// The field of an identity.
    pub field: Option<String>,
    /// The rest of the fact; of an item, why it has no value, that it was computed, and what else than a person entered it.
    pub details: Value,
}

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

/// The entry that wrote a field last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(pub String);

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

structural!(Subject, EntryId, CommitRow);

domain::fields! {
    /// One entry.
    pub struct EntryRow {
        /// What it is about.
        pub subject: Subject,
        /// Who and when.
        pub act: Act,
        /// The value that the field got; none: cleared, or not about a field.
        pub value: Option<DesignScoped<Value>>,
        /// The entry that wrote the field before.
        pub previous: Option<EntryId>,
        /// Why it was changed.
        pub reason: Option<Personal<String, tag::HealthFreeText>>,
        /// The personal places of a fact that is not about a field, by their path in it.
        pub values: Named<DesignScoped<Value>>,
    }
}

kinds! {
    /// What the table holds.
    #[expect(clippy::large_enum_variant, reason = "rows are handled one by one, never in arrays")]
    pub enum AuditRow {
        /// An entry.
        "entry" Entry(EntryRow),
        /// Which entry wrote each field of one form (or the identity) last.
        "last" Last(Named<EntryId>),
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
    const VERSION: u32 = 5;
    type Row = AuditRow;

    fn takes(aggregate: Aggregate) -> bool {
        // Users belong to the tenant, not to a study.
        !matches!(aggregate, Aggregate::User | Aggregate::Account)
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, AuditRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let Some(study) = &stream.journal.study else {
            return Ok(());
        };
        let person = stream.data_subject();
        let mut last = LastEntries::default();
        let entries = entry::of_commit(commit)?;
        let row = CommitRow {
            person,
            aggregate: stream.aggregate,
            events: commit.events.iter().map(|event| event.kind.name.clone()).collect(),
            entries: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            act: entry::act_of(commit),
        };
        rows.put(commit_key(study, commit.position.sequence), AuditRow::Commit(row));
        for (n, mut entry) in entries.into_iter().enumerate() {
            let id = EntryId::of(commit.position.sequence, n);
            if let (Some((group, field)), Some(person)) = (entry.subject.field_path(), person) {
                let key = RowKey::about(Some(study), person, format!("last/{group}"));
                entry.follow(last.replace(rows, key, field, id.clone())?);
            }
            rows.put(entry_key(study, person, &id), AuditRow::Entry(entry));
        }
        last.write(rows);
        Ok(())
    }
}

const ENTRIES: &str = "entry/";
const COMMITS: &str = "at/";

fn entry_key(study: &StudyId, person: Option<DataSubject>, id: &EntryId) -> RowKey {
    RowKey { study: Some(study.clone()), person, rest: format!("{ENTRIES}{}", id.0) }
}

fn commit_key(study: &StudyId, sequence: u64) -> RowKey {
    RowKey::plain(Some(study), format!("{COMMITS}{sequence:020}"))
}

impl EntryId {
    /// The `n`-th entry, from 0, of the commit at this position.
    fn of(sequence: u64, n: usize) -> Self {
        Self(format!("{sequence:020}/{n:06}"))
    }
}

/// Which entries wrote the fields that a commit touches last. One commit may touch many fields of one form.
#[derive(Default)]
struct LastEntries(BTreeMap<RowKey, Named<EntryId>>);

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
                Some(AuditRow::Entry(_) | AuditRow::Commit(_)) | None => Named::default(),
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
        self.subject.action = match (&previous, &self.value) {
            // Said not to be done from the beginning: nothing was there to clear.
            (None, None) => Action::Entered,
            (Some(_), None) => Action::Cleared,
            (None, Some(_)) => Action::Entered,
            (Some(_), Some(_)) => Action::Changed,
        };
        self.previous = previous;
    }
}

impl Subject {
    /// Who drafted the query whose words stand here, if it was opened as a draft. Once it is put to the site, the site
    /// reads them with the query.
    fn draft_by(&self) -> Option<Role> {
        let candidate = self.event == "query-opened" && self.details["candidate"] == true;
        candidate.then(|| self.details["by"].as_str()?.parse().ok()).flatten()
    }

    /// The form (or the identity) that the field belongs to, and the field in it; none of a fact about no field.
    fn field_path(&self) -> Option<(String, String)> {
        match (&self.form, &self.item, &self.field) {
            (Some(form), Some(item), _) => Some((form_path(form), item_path(item))),
            (_, _, Some(field)) => Some(("identity".to_owned(), field.clone())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
