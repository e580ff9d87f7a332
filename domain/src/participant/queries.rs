//! Queries: questions about data, from opening to closing (ODM 2.0 `Query`, with forwarding and reopening).
//!
//! A query is settled by the group that asked: the site cannot close what a monitor asks. A query of an edit check
//! settles itself once the check passes. Frozen data is asked about as before; below a lock nothing is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CheckOutcome, Command, Event, FormKey, Place, Record, Refused, SavedItem, free_text, locks, needed_text};
use crate::decider::{Context, Recorded};
use crate::ids::{CheckId, QueryId};
use crate::permit::{Role, may_command};
use crate::rejection::{Kind, Rejection};
use crate::scope::Plain;
use crate::study::Study;

/// What kind of question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueryKind {
    /// Asked by a person.
    #[default]
    Manual,
    /// Asked by an edit check; it closes by itself when the check passes.
    System,
    /// A remark that needs no answer: closed from the beginning.
    Annotation,
    /// Found while comparing with the source.
    SourceData,
}

/// Where a query stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueryState {
    /// A draft: nobody is asked yet.
    Candidate,
    /// It waits for an answer.
    Open,
    /// It waits for an answer again, because it was not settled.
    Reopened,
    /// It waits for an answer of somebody else than was asked at first.
    Forwarded,
    /// It waits for whoever asked.
    Answered,
    /// Settled by whoever asked.
    Closed,
    /// Settled by itself: the check passes.
    Resolved,
    /// Should not have been asked.
    Cancelled,
}

impl QueryState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Candidate,
        Self::Open,
        Self::Reopened,
        Self::Forwarded,
        Self::Answered,
        Self::Closed,
        Self::Resolved,
        Self::Cancelled,
    ];

    /// Whether an answer is due.
    pub fn waits_for_answer(self) -> bool {
        matches!(self, Self::Open | Self::Reopened | Self::Forwarded)
    }

    /// Whether there was an end of it.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Closed | Self::Resolved | Self::Cancelled)
    }
}

structural!(QueryKind, QueryState);

/// A query as it stands.
#[derive(Debug, Clone)]
pub struct Query {
    /// What kind of question.
    pub kind: QueryKind,
    /// About what.
    pub place: Place,
    /// The check that asked, if one did.
    pub check: Option<CheckId>,
    /// Where it stands.
    pub state: QueryState,
    /// In which role it was asked.
    pub by: Role,
    /// Who is to answer; none: the site.
    pub to: Option<Role>,
    /// Who asked, and when.
    pub opened: Recorded,
    /// What it was about has changed after it was closed.
    pub changed_after_close: bool,
}

/// All queries of a participant.
#[derive(Debug, Clone, Default)]
pub struct Queries(pub BTreeMap<QueryId, Query>);

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryRefused {
    /// Not there.
    #[error("there is no such query in this participant's record")]
    NoSuchQuery,
    /// Not in the design.
    #[error("there is no such place in the design version of this participant, nor in this record")]
    NoSuchPlace,
    /// Only a check asks so.
    #[error("a query of this kind is not opened by this role: system queries by edit checks, source data by monitors")]
    KindNotYours,
    /// Already elsewhere.
    #[error("this cannot be done with a query that is {}", name(*.0))]
    State(QueryState),
    /// Another group asked.
    #[error("a query is closed, cancelled and reopened by the group that opened it")]
    NotYours,
    /// Somebody else is asked.
    #[error("this query is for another role to answer: have it forwarded")]
    NotAsked,
    /// That role answers nothing.
    #[error("the role {0} answers no queries")]
    CannotAnswer(Role),
}

impl Rejection for QueryRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchQuery => "no-such-query",
            Self::NoSuchPlace => "no-such-place",
            Self::KindNotYours => "query-kind",
            Self::State(_) => "query-state",
            Self::NotYours => "query-of-others",
            Self::NotAsked => "query-for-others",
            Self::CannotAnswer(_) => "cannot-answer",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchQuery => Kind::NotFound,
            Self::NoSuchPlace | Self::CannotAnswer(_) => Kind::Invalid,
            Self::State(_) => Kind::Conflict,
            Self::KindNotYours | Self::NotYours | Self::NotAsked => Kind::Forbidden,
        }
    }
}

fn name(state: QueryState) -> &'static str {
    match state {
        QueryState::Candidate => "a candidate",
        QueryState::Open => "open",
        QueryState::Reopened => "reopened",
        QueryState::Forwarded => "forwarded",
        QueryState::Answered => "answered",
        QueryState::Closed => "closed",
        QueryState::Resolved => "resolved",
        QueryState::Cancelled => "cancelled",
    }
}

/// Who stands together when it comes to closing a query.
#[derive(PartialEq, Eq)]
enum Group {
    Site,
    Monitors,
    DataManagement,
}

fn group(role: Role) -> Group {
    match role {
        Role::Investigator | Role::Coordinator | Role::Integrator => Group::Site,
        Role::Monitor => Group::Monitors,
        _ => Group::DataManagement,
    }
}

/// Whether this role is of the site, which is asked.
pub fn is_of_site(role: Role) -> bool {
    group(role) == Group::Site
}

impl Query {
    /// A check cannot judge an answer, so whoever looks after the data may: a value may be right and fire all the same.
    fn is_settled_by(&self, role: Role) -> bool {
        match self.kind {
            QueryKind::System => group(role) != Group::Site,
            _ => group(role) == group(self.by),
        }
    }

    fn asks(&self, role: Role) -> bool {
        self.to.map_or(group(role) == Group::Site, |to| group(to) == group(role))
    }

    /// Asked by `check` at `place`, and not settled yet.
    fn waits_on(&self, check: &CheckId, place: &Place) -> bool {
        !self.state.is_settled() && self.check.as_ref() == Some(check) && self.place == *place
    }
}

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    let asked = Asked { record, context };
    match command {
        Command::OpenQuery { place, kind, text, to, candidate } => asked.open(place, *kind, text, *to, *candidate),
        Command::RaiseQuery { query } => asked.raise(query),
        Command::AnswerQuery { query, text } => asked.answer(query, text),
        Command::ForwardQuery { query, to, text } => asked.forward(query, *to, text.as_ref()),
        Command::CloseQuery { query, text } => asked.close(query, text.as_ref()),
        Command::CancelQuery { query, text } => asked.cancel(query, text),
        Command::ReopenQuery { query, text } => asked.reopen(query, text),
        _ => Ok(vec![]),
    }
}

struct Asked<'a> {
    record: &'a Record,
    context: &'a Context<'a, Study>,
}

impl Asked<'_> {
    fn role(&self) -> Role {
        self.context.principal.actor.role
    }

    fn open(
        &self,
        place: &Place,
        kind: QueryKind,
        text: &Plain,
        to: Option<Role>,
        candidate: bool,
    ) -> Result<Vec<Event>, Refused> {
        let query = QueryId::of_command(self.context.command, 0);
        if self.record.queries.0.contains_key(&query) {
            return Ok(vec![]);
        }
        let by = self.role();
        let asks = kind != QueryKind::Annotation;
        if kind == QueryKind::System
            || (kind == QueryKind::SourceData && by != Role::Monitor)
            || (asks && by == Role::Integrator)
        {
            return Err(QueryRefused::KindNotYours.into());
        }
        answers(to)?;
        known(self.record, place, self.context)?;
        locks::gate_news(self.record, place, self.context)?;
        let text = Some(needed_text(self.record, text, self.context)?);
        let (place, candidate) = (place.clone(), candidate && kind != QueryKind::Annotation);
        Ok(vec![Event::QueryOpened { query, kind, place, check: None, by, to, candidate, text }])
    }

    /// The query, unless it stands below a lock.
    fn find(&self, query: &QueryId) -> Result<&Query, Refused> {
        let found = self.record.queries.0.get(query).ok_or(QueryRefused::NoSuchQuery)?;
        locks::gate_work(self.record, &found.place, self.context)?;
        Ok(found)
    }

    /// The query, if this role settles it.
    fn own(&self, query: &QueryId) -> Result<&Query, Refused> {
        let found = self.find(query)?;
        if found.is_settled_by(self.role()) { Ok(found) } else { Err(QueryRefused::NotYours.into()) }
    }

    fn raise(&self, query: &QueryId) -> Result<Vec<Event>, Refused> {
        match self.own(query)?.state {
            QueryState::Candidate => Ok(vec![Event::QueryRaised { query: query.clone() }]),
            QueryState::Open => Ok(vec![]),
            state => Err(QueryRefused::State(state).into()),
        }
    }

    fn answer(&self, query: &QueryId, text: &Plain) -> Result<Vec<Event>, Refused> {
        let found = self.find(query)?;
        if !found.state.waits_for_answer() {
            return Err(QueryRefused::State(found.state).into());
        }
        if !found.asks(self.role()) {
            return Err(QueryRefused::NotAsked.into());
        }
        let text = needed_text(self.record, text, self.context)?;
        Ok(vec![Event::QueryAnswered { query: query.clone(), text }])
    }

    fn forward(&self, query: &QueryId, to: Role, text: Option<&Plain>) -> Result<Vec<Event>, Refused> {
        let found = self.find(query)?;
        answers(Some(to))?;
        if found.state.is_settled() || found.state == QueryState::Candidate {
            return Err(QueryRefused::State(found.state).into());
        }
        if !found.asks(self.role()) && !found.is_settled_by(self.role()) {
            return Err(QueryRefused::NotAsked.into());
        }
        if found.to == Some(to) && found.state == QueryState::Forwarded {
            return Ok(vec![]);
        }
        let text = free_text(self.record, text, self.context)?;
        Ok(vec![Event::QueryForwarded { query: query.clone(), to, text }])
    }

    fn close(&self, query: &QueryId, text: Option<&Plain>) -> Result<Vec<Event>, Refused> {
        let found = self.own(query)?;
        if found.state.is_settled() || found.state == QueryState::Candidate {
            return Err(QueryRefused::State(found.state).into());
        }
        let text = free_text(self.record, text, self.context)?;
        Ok(vec![Event::QueryClosed { query: query.clone(), by_check: false, text }])
    }

    fn cancel(&self, query: &QueryId, text: &Plain) -> Result<Vec<Event>, Refused> {
        let found = self.own(query)?;
        if !found.state.waits_for_answer() && found.state != QueryState::Candidate {
            return Err(QueryRefused::State(found.state).into());
        }
        let text = needed_text(self.record, text, self.context)?;
        Ok(vec![Event::QueryCancelled { query: query.clone(), text }])
    }

    fn reopen(&self, query: &QueryId, text: &Plain) -> Result<Vec<Event>, Refused> {
        let found = self.own(query)?;
        let was_asked = found.kind != QueryKind::Annotation;
        let settled = matches!(found.state, QueryState::Closed | QueryState::Resolved);
        // An answer that settles nothing is sent back.
        if !was_asked || !(settled || found.state == QueryState::Answered) {
            return Err(QueryRefused::State(found.state).into());
        }
        if settled {
            locks::gate_news(self.record, &found.place, self.context)?;
        }
        let text = needed_text(self.record, text, self.context)?;
        Ok(vec![Event::QueryReopened { query: query.clone(), text }])
    }
}

fn answers(to: Option<Role>) -> Result<(), QueryRefused> {
    match to {
        Some(role) if !may_command(role, "participant.answer-query") => Err(QueryRefused::CannotAnswer(role)),
        Some(_) | None => Ok(()),
    }
}

/// A place is asked about, held or signed if the design has it, or had it: what was saved there stays.
pub(super) fn known(record: &Record, place: &Place, context: &Context<'_, Study>) -> Result<(), Refused> {
    let design = context.governing.design_of(record).ok_or(Refused::StudyNotLive)?;
    let saved = || match place {
        Place::Participant => true,
        Place::Visit(visit) => record.forms.keys().any(|form| form.visit() == *visit),
        Place::Form(form) => record.forms.contains_key(form),
        Place::Item(item) => record.forms.get(&item.form()).is_some_and(|form| form.items.contains_key(&item.item())),
    };
    if place.stands_in(design) || saved() { Ok(()) } else { Err(QueryRefused::NoSuchPlace.into()) }
}

/// What saving these items of `form` means for queries. `fired` are the checks that accept and ask; `passed` those
/// that look at what was saved and are content.
pub(super) fn after_save(
    record: &Record,
    form: &FormKey,
    saved: &[SavedItem],
    fired: &[Event],
    passed: &[(CheckId, Place)],
    context: &Context<'_, Study>,
) -> Vec<Event> {
    let all = || record.queries.0.iter();
    let resolved = all().filter(|(_, query)| passed.iter().any(|(check, place)| query.waits_on(check, place)));
    let resolved = resolved.map(|(query, _)| Event::QueryClosed { query: query.clone(), by_check: true, text: None });
    let changed = |query: &Query| {
        let settled = matches!(query.state, QueryState::Closed | QueryState::Resolved);
        settled && query.kind != QueryKind::Annotation && !query.changed_after_close
    };
    let touched = |query: &Query| saved.iter().any(|one| query.place.covers_item(form, &one.item));
    let changed = all().filter(|(_, query)| changed(query) && touched(query));
    let changed = changed.map(|(query, _)| Event::DataChangedAfterClose { query: query.clone() });
    let asked = asked_by_checks(record, fired, context);
    resolved.chain(changed).chain(asked).collect()
}

/// One query for each check and place that has none waiting yet.
fn asked_by_checks(record: &Record, fired: &[Event], context: &Context<'_, Study>) -> Vec<Event> {
    let mut asked: Vec<(&CheckId, Place)> = Vec::new();
    for event in fired {
        let Event::CheckFired { form, item, check, outcome: CheckOutcome::Accepted, .. } = event else { continue };
        let one = (check, Place::Item(super::ItemPlace::of(form, item)));
        let waits = record.queries.0.values().any(|query| query.waits_on(one.0, &one.1));
        if !waits && !asked.contains(&one) {
            asked.push(one);
        }
    }
    let open = |(n, (check, place)): (usize, (&CheckId, Place))| Event::QueryOpened {
        query: QueryId::of_command(context.command, n),
        kind: QueryKind::System,
        place,
        check: Some(check.clone()),
        by: Role::System,
        to: None,
        candidate: false,
        text: None,
    };
    asked.into_iter().enumerate().map(open).collect()
}

impl Queries {
    /// Those that are not settled, and lie within `place`.
    pub fn unsettled_within(&self, place: &Place) -> impl Iterator<Item = (&QueryId, &Query)> {
        self.0.iter().filter(move |(_, query)| !query.state.is_settled() && place.covers(&query.place))
    }

    pub(super) fn evolve(&mut self, event: &Event, recorded: Recorded) {
        match event {
            Event::QueryOpened { query, kind, place, check, by, to, candidate, .. } => {
                let state = match (kind, candidate) {
                    (QueryKind::Annotation, _) => QueryState::Closed,
                    (_, true) => QueryState::Candidate,
                    (_, false) => QueryState::Open,
                };
                let (kind, place, check, by, to) = (*kind, place.clone(), check.clone(), *by, *to);
                let opened = Query { kind, place, check, state, by, to, opened: recorded, changed_after_close: false };
                self.0.insert(query.clone(), opened);
            }
            Event::QueryRaised { query } => self.becomes(query, QueryState::Open),
            Event::QueryAnswered { query, .. } => self.becomes(query, QueryState::Answered),
            Event::QueryForwarded { query, to, .. } => {
                self.becomes(query, QueryState::Forwarded);
                self.0.entry(query.clone()).and_modify(|query| query.to = Some(*to));
            }
            Event::QueryClosed { query, by_check: true, .. } => self.becomes(query, QueryState::Resolved),
            Event::QueryClosed { query, .. } => self.becomes(query, QueryState::Closed),
            Event::QueryCancelled { query, .. } => self.becomes(query, QueryState::Cancelled),
            Event::QueryReopened { query, .. } => {
                self.becomes(query, QueryState::Reopened);
                self.0.entry(query.clone()).and_modify(|query| query.changed_after_close = false);
            }
            Event::DataChangedAfterClose { query } => {
                self.0.entry(query.clone()).and_modify(|query| query.changed_after_close = true);
            }
            _ => {}
        }
    }

    fn becomes(&mut self, query: &QueryId, state: QueryState) {
        self.0.entry(query.clone()).and_modify(|query| query.state = state);
    }
}
