//! One participant, as far as figures go: a fold of steps.

use std::collections::BTreeMap;

use domain::history::CommitHash;
use domain::ids::{CheckId, Oid, QueryId, SignatureId, SiteId, SubjectNumber};
use domain::participant::{Ending, Meaning, Place, QueryKind, QueryState, VisitKey};
use time::OffsetDateTime;

use super::state::Names;
use super::step::{Entry, Items, QueryStep, Step};

/// When something was stored and captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub stored: OffsetDateTime,
    pub captured: OffsetDateTime,
}

/// A participant as it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub site: SiteId,
    pub number: SubjectNumber,
    pub design: Option<CommitHash>,
    pub registered: Stamp,
    /// The first consent.
    pub consented: Option<Stamp>,
    /// Whether a consent stands.
    pub consents: bool,
    /// The first visit or value.
    pub begun: Option<Stamp>,
    pub randomised: Option<Stamp>,
    pub left: Option<Stamp>,
    /// How else their part in the study ended, and when that was said.
    pub ended: Option<(Ending, Stamp)>,
    /// The first erasure of a whole scope.
    pub erased: Option<Stamp>,
    pub visits: BTreeMap<VisitKey, VisitState>,
    /// By the number of its name.
    pub forms: BTreeMap<u32, FormState>,
    pub queries: BTreeMap<QueryId, Asked>,
    /// How often which check fired at which item.
    pub fired: BTreeMap<(CheckId, Oid), u64>,
    /// In the order in which they were given.
    pub signatures: Vec<Signed>,
}

/// A visit of which something is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VisitState {
    /// Somebody said that it took place.
    pub started: bool,
    /// Somebody said that it did not.
    pub missed: bool,
    /// When something was first known of it.
    pub known: Option<Stamp>,
    /// When a value of it was first entered.
    pub entered: Option<Stamp>,
}

/// A form that was saved, completed or removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FormState {
    /// By the number of its name.
    pub items: BTreeMap<u32, ItemState>,
    pub completed: bool,
    pub removed: bool,
}

/// An item that was saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ItemState {
    pub answered: bool,
    pub computed: bool,
    pub verified: bool,
    /// It was verified once, and does not count as that any more.
    pub again: bool,
}

/// A query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub kind: QueryKind,
    pub place: Place,
    pub state: QueryState,
    pub opened: OffsetDateTime,
    /// When it was answered first.
    pub answered: Option<OffsetDateTime>,
    /// It was settled at least once.
    pub settled: bool,
    pub reopened: bool,
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    pub signature: SignatureId,
    pub place: Place,
    pub meaning: Meaning,
    pub forms: Vec<u32>,
    pub dropped: bool,
}

impl Person {
    pub(super) fn new(site: SiteId, number: SubjectNumber, registered: Stamp) -> Self {
        Self {
            site,
            number,
            design: None,
            registered,
            consented: None,
            consents: false,
            begun: None,
            randomised: None,
            left: None,
            ended: None,
            erased: None,
            visits: BTreeMap::new(),
            forms: BTreeMap::new(),
            queries: BTreeMap::new(),
            fired: BTreeMap::new(),
            signatures: Vec::new(),
        }
    }

    /// Takes in one step. Like the fold of the record itself it is total: no order of steps breaks it.
    pub(super) fn step(&mut self, step: &Step, names: &mut Names, at: Stamp) {
        match step {
            Step::Design(design) => self.design = Some(*design),
            Step::Consented => {
                self.consented.get_or_insert(at);
                self.consents = true;
            }
            Step::Revoked => self.consents = false,
            Step::Started(visit) => {
                self.begun.get_or_insert(at);
                let visit = self.visit(visit, at);
                (visit.started, visit.missed) = (true, false);
            }
            Step::Missed(visit) => {
                let visit = self.visit(visit, at);
                (visit.started, visit.missed) = (false, true);
            }
            Step::Saved(form, items) => {
                self.begun.get_or_insert(at);
                let visit = self.visit(&form.visit(), at);
                if items.each().any(|(_, entry)| matches!(entry, Entry::Answered | Entry::Cleared)) {
                    visit.entered.get_or_insert(at);
                }
                self.form(names.form(form)).saved(items, names);
            }
            Step::Completed(form) => self.form(names.form(form)).completed = true,
            Step::Reopened(form) => self.form(names.form(form)).completed = false,
            Step::Removed(form) => self.form(names.form(form)).removed = true,
            Step::Restored(form) => self.form(names.form(form)).removed = false,
            Step::Verified(form, items) => self.form(names.form(form)).verified(items, names, true),
            Step::Unverified(form, items) => self.form(names.form(form)).verified(items, names, false),
            Step::Randomised => drop(self.randomised.get_or_insert(at)),
            Step::Ended(how) => self.ended = Some((*how, at)),
            Step::Resumed => self.ended = None,
            Step::Left => drop(self.left.get_or_insert(at)),
            Step::Erased => drop(self.erased.get_or_insert(at)),
            Step::Fired(check, item) => *self.fired.entry((check.clone(), item.clone())).or_default() += 1,
            Step::Asked { .. } | Step::Query(..) => self.query(step, at),
            Step::Signed { signature, place, meaning, forms } => {
                let forms = forms.iter().map(|form| names.form(form)).collect();
                let (signature, place, meaning) = (signature.clone(), place.clone(), *meaning);
                self.signatures.retain(|one| one.signature != signature);
                self.signatures.push(Signed { signature, place, meaning, forms, dropped: false });
            }
            Step::Dropped(signature) => {
                let dropped = self.signatures.iter_mut().filter(|one| one.signature == *signature);
                dropped.for_each(|one| one.dropped = true);
            }
            Step::SiteOpened(_)
            | Step::Published(..)
            | Step::Live(_)
            | Step::Active(..)
            | Step::Target(..)
            | Step::Registered(..) => {}
        }
    }

    fn visit(&mut self, visit: &VisitKey, at: Stamp) -> &mut VisitState {
        let state = self.visits.entry(visit.clone()).or_default();
        state.known.get_or_insert(at);
        state
    }

    fn form(&mut self, form: u32) -> &mut FormState {
        self.forms.entry(form).or_default()
    }

    fn query(&mut self, step: &Step, at: Stamp) {
        match step {
            Step::Asked { query, kind, place, candidate } => {
                let state = match (kind, candidate) {
                    (QueryKind::Annotation, _) => QueryState::Closed,
                    (_, true) => QueryState::Candidate,
                    (_, false) => QueryState::Open,
                };
                let (kind, place, opened) = (*kind, place.clone(), at.stored);
                let asked = Asked { kind, place, state, opened, answered: None, settled: false, reopened: false };
                self.queries.insert(query.clone(), asked);
            }
            Step::Query(query, done) => {
                if let Some(asked) = self.queries.get_mut(query) {
                    asked.step(*done, at);
                }
            }
            _ => {}
        }
    }

    /// Whether nothing more is expected; the rule of lock readiness.
    pub(super) fn is_over(&self) -> bool {
        self.left.is_some() || self.ended.is_some()
    }

    /// Whether a value was entered, or somebody said that it took place; the rule of lock readiness.
    pub(super) fn took_place(&self, visit: &VisitKey, names: &Names) -> bool {
        let saved = |(form, state): (&u32, &FormState)| state.stands() && names.form_of(*form).visit() == *visit;
        self.visits.get(visit).is_some_and(|state| state.started) || self.forms.iter().any(saved)
    }

    /// The signatures that were dropped and that nobody has given again since: the same place, the same meaning.
    pub(super) fn to_give_again(&self) -> usize {
        let again = |(n, lost): &(usize, &Signed)| {
            let same = |one: &Signed| one.place == lost.place && one.meaning == lost.meaning;
            let later = self.signatures.iter().enumerate().any(|(m, one)| same(one) && (!one.dropped || m > *n));
            lost.dropped && !later
        };
        self.signatures.iter().enumerate().filter(again).count()
    }
}

impl FormState {
    /// It belongs here, and something was saved on it.
    pub(super) fn stands(&self) -> bool {
        !self.removed && !self.items.is_empty()
    }

    fn saved(&mut self, items: &Items, names: &mut Names) {
        for (item, entry) in items.each() {
            let Some(item) = names.item(item) else { continue };
            let state = self.items.entry(item).or_default();
            state.answered = matches!(entry, Entry::Answered | Entry::Computed);
            state.computed = matches!(entry, Entry::Computed | Entry::NotComputed);
        }
    }

    fn verified(&mut self, items: &Items, names: &mut Names, verified: bool) {
        for (item, _) in items.each() {
            if let Some(state) = names.item(item).and_then(|item| self.items.get_mut(&item)) {
                state.again = !verified && (state.verified || state.again);
                state.verified = verified;
            }
        }
    }
}

impl Asked {
    fn step(&mut self, done: QueryStep, at: Stamp) {
        self.state = match done {
            QueryStep::Raised => QueryState::Open,
            QueryStep::Answered => QueryState::Answered,
            QueryStep::Forwarded => QueryState::Forwarded,
            QueryStep::Closed => QueryState::Closed,
            QueryStep::Cancelled => QueryState::Cancelled,
            QueryStep::Reopened => QueryState::Reopened,
        };
        if done == QueryStep::Answered {
            self.answered.get_or_insert(at.stored);
        }
        self.settled |= self.state.is_settled();
        self.reopened |= done == QueryStep::Reopened;
    }
}
