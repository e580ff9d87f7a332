//! Queries: questions about data, from opening to closing (ODM 2.0 `Query`, with forwarding and reopening).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Command, Event, FormKey, Place, Record, Refused, SavedItem};
use crate::decider::{Context, Recorded};
use crate::ids::{CheckId, QueryId};
use crate::permit::Role;
use crate::rejection::{Kind, Rejection};
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
    /// A remark that needs no answer.
    Annotation,
    /// Found while comparing with the source.
    SourceData,
}

/// Where a query stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueryState {
    /// It waits for an answer.
    Open,
    /// It waits for whoever asked.
    Answered,
    /// Settled.
    Closed,
    /// Should not have been asked.
    Cancelled,
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
}

impl Rejection for QueryRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchQuery => "no-such-query",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchQuery => Kind::NotFound,
        }
    }
}

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    let _ = (record, command, context);
    Ok(vec![])
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
    let _ = (record, form, saved, fired, passed, context);
    vec![]
}

impl Queries {
    pub(super) fn evolve(&mut self, event: &Event, recorded: Recorded) {
        let _ = (event, recorded);
    }
}
