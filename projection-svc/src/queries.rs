//! The queries of a study: what was asked about which data, where it stands, how long it takes, and every word of it.
//!
//! Texts are in sealed cells, each with a key of its own; the list itself is structure.

use std::collections::BTreeMap;

use domain::history::{Aggregate, Commit, DataSubject};
use domain::ids::{CheckId, Label, ParticipantId, QueryId, SiteId, StudyId, SubjectNumber};
use domain::participant::{Event, FreeText, ItemPlace, Place, QueryKind, QueryState};
use domain::permit::{Role, Sites};
use domain::port::{Failure, Tenant};
use domain::structural;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cells::OpenRow;
use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, RowKey, kinds, person};
use crate::shown::{Page, Shown, Visible};
use crate::view;

// --- row

/// What is known of a query beside its words. Structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Head {
    /// The query.
    pub query: QueryId,
    /// About whose data.
    pub participant: ParticipantId,
    /// The pseudonym.
    pub subject_number: SubjectNumber,
    /// Where the participant is treated.
    pub site: SiteId,
    /// What kind of question.
    pub kind: QueryKind,
    /// About what.
    pub place: Place,
    /// The check that asks: its message in the design is the question.
    pub check: Option<CheckId>,
    /// What the check asks, in the words of the design.
    pub message: Option<Label>,
    /// Where it stands.
    pub state: QueryState,
    /// In which role it was asked.
    pub by: Role,
    /// Who is to answer; none: the site.
    pub to: Option<Role>,
    /// What it was about has changed after it was closed.
    pub changed_after_close: bool,
    /// Who asked and when: its age counts from here, without pauses.
    pub opened: Act,
    /// How long the first answer took, in seconds.
    pub answered_after: Option<i64>,
    /// How long it took until it was settled, in seconds; none while it is not.
    pub settled_after: Option<i64>,
}

/// One step of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = QueryStep)]
pub enum Step {
    /// Asked.
    Opened,
    /// A candidate was put to whoever is to answer.
    Raised,
    /// Answered.
    Answered,
    /// Handed on.
    Forwarded,
    /// Settled by a person.
    Closed,
    /// Settled by itself: the check passes.
    Resolved,
    /// Taken back.
    Cancelled,
    /// Not settled after all.
    Reopened,
    /// What it was about has changed.
    DataChanged,
}

/// Whom the queries of a record are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    subject_number: SubjectNumber,
    site: SiteId,
}

/// Where an entry of the list leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    participant: ParticipantId,
    site: SiteId,
    query: QueryId,
}

structural!(Head, Step, Whose, Listed);

domain::fields! {
    /// A query with its thread.
    pub struct Asked {
        /// What is known of it.
        pub head: Head,
        /// Everything that was said.
        pub thread: Vec<Said>,
    }
}

domain::fields! {
    /// One step of it.
    pub struct Said {
        /// What was done.
        pub step: Step,
        /// Who and when.
        pub act: Act,
        /// In which words.
        pub text: Option<FreeText>,
    }
}

kinds! {
    /// What the table holds.
    #[expect(clippy::large_enum_variant, reason = "rows are handled one by one, never in arrays")]
    pub enum QueryRow {
        /// A query.
        "query" Query(Asked),
        /// The participant of a record.
        "whose" Whose(Whose),
        /// An entry of the list, by state and age.
        "listed" Listed(Listed),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct QueryLists;

impl Projection for QueryLists {
    const NAME: &'static str = "queries";
    const VERSION: u32 = 4;
    type Row = QueryRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Participant
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, QueryRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let (Some(study), Some(person)) = (&stream.journal.study, stream.data_subject()) else {
            return Ok(());
        };
        let facts = commit.shared_facts::<Event>()?;
        let messages = messages(&facts);
        for event in facts.iter() {
            if let Event::Registered { site, subject_number } = event {
                let whose = Whose { subject_number: subject_number.clone(), site: site.clone() };
                rows.put(whose_key(study, person), QueryRow::Whose(whose));
            } else if let Some((query, step, text)) = step_of(event) {
                let key = query_key(study, person, &query);
                let before = match rows.get(&key)?.cloned() {
                    Some(QueryRow::Query(asked)) => Some(asked),
                    Some(_) | None => None,
                };
                let whose = rows.get(&whose_key(study, person))?.cloned();
                let asked = match (before.clone(), whose) {
                    (Some(asked), _) => asked,
                    (None, Some(QueryRow::Whose(whose))) => match opened(event, whose, person, commit, &messages) {
                        Some(asked) => asked,
                        None => continue,
                    },
                    (None, _) => continue,
                };
                let asked = asked.after(event, Said { step, act: Act::of(commit), text });
                let before = before.map(|before| listed_keys(study, &before.head)).into_iter().flatten();
                before.for_each(|key| rows.delete(key));
                for key in listed_keys(study, &asked.head) {
                    rows.put(key, QueryRow::Listed(Listed::of(&asked.head)));
                }
                rows.put(key, QueryRow::Query(asked));
            }
        }
        Ok(())
    }
}

fn whose_key(study: &StudyId, person: DataSubject) -> RowKey {
    RowKey::about(Some(study), person, "whose")
}

fn query_key(study: &StudyId, person: DataSubject, query: &QueryId) -> RowKey {
    RowKey::about(Some(study), person, format!("query/{query}"))
}

const LISTED: &str = "listed/";

/// The lists in which a query stands: that of the study, and that of its site.
fn listed_keys(study: &StudyId, head: &Head) -> [RowKey; 2] {
    let place = place_of(head);
    [LISTED.to_owned(), of_site(&head.site)].map(|list| RowKey::plain(Some(study), list + &place))
}

fn of_site(site: &SiteId) -> String {
    format!("sited/{site}/")
}

/// By state, then by age, oldest first. Digits are padded, so that text sorts as numbers do.
fn place_of(head: &Head) -> String {
    let opened = head.opened.stored_at.0.unix_timestamp_nanos().max(0);
    format!("{}/{opened:026}/{}/{}", state_name(head.state), head.participant, head.query)
}

/// The state as in the API.
fn state_name(state: QueryState) -> &'static str {
    match state {
        QueryState::Candidate => "candidate",
        QueryState::Open => "open",
        QueryState::Reopened => "reopened",
        QueryState::Forwarded => "forwarded",
        QueryState::Answered => "answered",
        QueryState::Closed => "closed",
        QueryState::Resolved => "resolved",
        QueryState::Cancelled => "cancelled",
    }
}

/// What a fact means for which query.
fn step_of(event: &Event) -> Option<(QueryId, Step, Option<FreeText>)> {
    let some = |query: &QueryId, step, text: Option<&FreeText>| Some((query.clone(), step, text.cloned()));
    match event {
        Event::QueryOpened { query, text, .. } => some(query, Step::Opened, text.as_ref()),
        Event::QueryRaised { query } => some(query, Step::Raised, None),
        Event::QueryAnswered { query, text } => some(query, Step::Answered, Some(text)),
        Event::QueryForwarded { query, text, .. } => some(query, Step::Forwarded, text.as_ref()),
        Event::QueryClosed { query, by_check: true, text } => some(query, Step::Resolved, text.as_ref()),
        Event::QueryClosed { query, text, .. } => some(query, Step::Closed, text.as_ref()),
        Event::QueryCancelled { query, text } => some(query, Step::Cancelled, Some(text)),
        Event::QueryReopened { query, text } => some(query, Step::Reopened, Some(text)),
        Event::DataChangedAfterClose { query } => some(query, Step::DataChanged, None),
        _ => None,
    }
}

/// What the checks say that fired in a commit, each at its place.
type Messages = BTreeMap<(CheckId, Place), Label>;

fn messages(facts: &[Event]) -> Messages {
    let said = |fact: &Event| match fact {
        Event::CheckFired { form, item, check, message: Some(message), .. } => {
            Some(((check.clone(), Place::Item(ItemPlace::of(form, item))), message.clone()))
        }
        _ => None,
    };
    facts.iter().filter_map(said).collect()
}

fn opened(event: &Event, whose: Whose, person: DataSubject, commit: &Commit, messages: &Messages) -> Option<Asked> {
    let Event::QueryOpened { query, kind, place, check, by, to, candidate, .. } = event else { return None };
    let state = match (kind, candidate) {
        (QueryKind::Annotation, _) => QueryState::Closed,
        (_, true) => QueryState::Candidate,
        (_, false) => QueryState::Open,
    };
    let head = Head {
        query: query.clone(),
        participant: ParticipantId(person.0),
        subject_number: whose.subject_number,
        site: whose.site,
        kind: *kind,
        place: place.clone(),
        check: check.clone(),
        message: check.as_ref().and_then(|check| messages.get(&(check.clone(), place.clone())).cloned()),
        state,
        by: *by,
        to: *to,
        changed_after_close: false,
        opened: Act::of(commit),
        answered_after: None,
        settled_after: None,
    };
    Some(Asked { head, thread: Vec::new() })
}

impl Listed {
    fn of(head: &Head) -> Self {
        Self { participant: head.participant, site: head.site.clone(), query: head.query.clone() }
    }
}

impl Asked {
    fn after(mut self, event: &Event, said: Said) -> Self {
        let head = &mut self.head;
        let after = (said.act.stored_at.0 - head.opened.stored_at.0).whole_seconds();
        match said.step {
            Step::Opened => {}
            Step::Raised => head.state = QueryState::Open,
            Step::Answered => {
                head.state = QueryState::Answered;
                head.answered_after.get_or_insert(after);
            }
            Step::Forwarded => head.state = QueryState::Forwarded,
            Step::Closed => head.state = QueryState::Closed,
            Step::Resolved => head.state = QueryState::Resolved,
            Step::Cancelled => head.state = QueryState::Cancelled,
            Step::Reopened => {
                head.state = QueryState::Reopened;
                head.changed_after_close = false;
            }
            Step::DataChanged => head.changed_after_close = true,
        }
        if let Event::QueryForwarded { to, .. } = event {
            head.to = Some(*to);
        }
        head.settled_after = match head.state.is_settled() {
            true => Some(head.settled_after.unwrap_or(after)),
            false => None,
        };
        self.thread.push(said);
        self
    }
}

// --- readers

/// A query as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Query {
    /// What is known of it.
    #[serde(flatten)]
    pub head: Head,
    /// Everything that was said, oldest first.
    pub thread: Vec<Remark>,
}

/// One step of a query as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = QueryRemark)]
pub struct Remark {
    /// What was done.
    pub step: Step,
    /// Who and when.
    #[serde(flatten)]
    pub act: Act,
    /// In which words; none: without any.
    pub text: Option<Shown<String>>,
}

/// Which queries are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// In this state only.
    pub state: Option<QueryState>,
    /// At this site only.
    pub site: Option<SiteId>,
    /// Of this participant only.
    pub participant: Option<ParticipantId>,
}

impl Wanted {
    fn takes(&self, head: &Head, sites: &Sites) -> bool {
        sites.contains(&head.site)
            && self.site.as_ref().is_none_or(|site| *site == head.site)
            && self.state.is_none_or(|state| state == head.state)
    }

    /// The lists that hold all that is wanted, and nothing of a site that is not reached.
    fn lists(&self, sites: &Sites) -> Vec<String> {
        match (&self.site, sites) {
            (Some(site), reached) => reached.contains(site).then(|| of_site(site)).into_iter().collect(),
            (None, Sites::Only(reached)) => reached.iter().map(of_site).collect(),
            (None, Sites::All) => vec![LISTED.to_owned()],
        }
    }
}

/// Where a query stands in its list, and how to find it.
type Entry = (String, Listed);

/// The queries at these sites, by state and age.
///
/// # Errors
/// What the store and the keys say.
pub async fn list(
    tenant: &Tenant,
    study: &StudyId,
    (sites, wanted): (&Sites, &Wanted),
    visible: &Visible,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Query>, Failure> {
    let limit = limit.max(1);
    let mut entries = match wanted.participant {
        Some(participant) => of_participant(tenant, study, (sites, wanted), participant, after).await?,
        None => of_lists(tenant, study, (sites, wanted), after, limit + 1).await?,
    };
    entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|(place, _)| place.clone());
    let key = |(_, listed): &Entry| query_key(study, person(listed.participant), &listed.query);
    let keys: Vec<RowKey> = entries.iter().map(key).collect();
    let rows = view::get_many::<QueryLists>(tenant, &keys, visible).await?;
    let is_shown = |query: &Query| query.head.state != QueryState::Candidate || visible.shows_draft_by(query.head.by);
    let queries = rows.into_iter().filter_map(|(_, open)| shown(open));
    Ok(Page { items: queries.filter(is_shown).collect(), next })
}

/// Everything about one participant, read where it stands: however many queries the study has.
async fn of_participant(
    tenant: &Tenant,
    study: &StudyId,
    (sites, wanted): (&Sites, &Wanted),
    participant: ParticipantId,
    after: Option<&str>,
) -> Result<Vec<Entry>, Failure> {
    let prefix = RowKey::about(Some(study), person(participant), "query/");
    let rows = view::scan::<QueryLists>(tenant, &prefix, None, usize::MAX, &Visible::none()).await?;
    let entry = |open: OpenRow<QueryRow>| match open.row {
        QueryRow::Query(Asked { head, .. }) if wanted.takes(&head, sites) => Some((place_of(&head), Listed::of(&head))),
        _ => None,
    };
    let entries = rows.into_iter().filter_map(|(_, open)| entry(open));
    Ok(entries.filter(|(place, _)| after.is_none_or(|after| place.as_str() > after)).collect())
}

/// The first entries of each list: as many as are needed if all of them stand in one.
async fn of_lists(
    tenant: &Tenant,
    study: &StudyId,
    (sites, wanted): (&Sites, &Wanted),
    after: Option<&str>,
    needed: usize,
) -> Result<Vec<Entry>, Failure> {
    let state = wanted.state.map(|state| format!("{}/", state_name(state))).unwrap_or_default();
    let mut entries = Vec::new();
    for list in wanted.lists(sites) {
        let prefix = RowKey::plain(Some(study), format!("{list}{state}"));
        let after = after.map(|after| format!("{list}{after}"));
        let rows = view::scan::<QueryLists>(tenant, &prefix, after.as_deref(), needed, &Visible::none()).await?;
        entries.extend(rows.into_iter().filter_map(|(key, open)| match open.row {
            QueryRow::Listed(listed) => Some((key.rest[list.len()..].to_owned(), listed)),
            _ => None,
        }));
    }
    Ok(entries)
}

/// What is known of one query beside its words.
///
/// # Errors
/// What the store says.
pub async fn head(
    tenant: &Tenant,
    study: &StudyId,
    participant: ParticipantId,
    query: &QueryId,
) -> Result<Option<Head>, Failure> {
    let key = query_key(study, person(participant), query);
    let found = view::get_visible::<QueryLists>(tenant, &key, &Visible::none()).await?;
    Ok(found.and_then(shown).map(|query| query.head))
}

fn shown(open: OpenRow<QueryRow>) -> Option<Query> {
    let OpenRow { row, withheld, .. } = open;
    let QueryRow::Query(Asked { head, thread }) = row else { return None };
    // What a check asks is said by the design, and by nobody else.
    let message = || head.message.as_ref().map(|message| Shown::Value(message.to_string()));
    let remark = |Said { step, act, text }: Said| {
        let text = text.map(|text| Shown::of_personal(text, &withheld));
        Remark { step, act, text: text.or_else(|| message().filter(|_| step == Step::Opened)) }
    };
    let thread = thread.into_iter().map(remark).collect();
    Some(Query { thread, head })
}

#[cfg(test)]
mod tests;
