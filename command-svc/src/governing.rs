//! The folded state of governing streams, kept between commands.
//!
//! Only of streams that hold nothing about a person: what is kept here outlives an erasure (`states.rs` has what does not).

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::decider::{Decider, Fold, Recorded};
use domain::design_part::DesignPart;
use domain::history::{Aggregate, CommitHash, StreamId, Tail};
use domain::ids::{Environment, StudyId};
use domain::port::{Failure, Journal, Tenant};
use futures_util::future::try_join_all;

use crate::refusal::Refusal;

/// How many states are kept.
const STATES_MAX: usize = 64;

/// A governing state and where its stream ended when it was read.
#[derive(Debug, Default)]
pub struct Folded<G> {
    /// The state.
    pub state: G,
    /// Where the stream ended.
    pub tail: Tail,
    /// The environment that its commits name; none before the first.
    pub environment: Option<Environment>,
}

/// States by stream; the one that was not used for longest goes first.
#[derive(Default)]
pub struct GoverningCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    uses: u64,
    states: BTreeMap<StreamId, State>,
}

struct State {
    last_use: u64,
    folded: Arc<dyn Any + Send + Sync>,
}

impl GoverningCache {
    /// The state of `stream` as it stands now.
    pub async fn current<G: Fold>(&self, tenant: &Tenant, stream: &StreamId) -> Result<Arc<Folded<G>>, Refusal> {
        let before = self
            .kept::<G>(stream)
            .unwrap_or_else(|| Arc::new(Folded { state: G::default(), tail: Tail::default(), environment: None }));
        let news = tenant.journal.load(stream, before.tail).await?;
        if news.is_empty() {
            return Ok(before);
        }
        let mut state = before.state.clone();
        for commit in news.iter() {
            state.apply(commit).map_err(|fault| Refusal::malformed(stream, &fault))?;
        }
        supply(&*tenant.journal, stream, &mut state).await?;
        let last = news.last().map(|commit| (commit.tail(), Some(commit.header.environment)));
        let (tail, environment) = last.unwrap_or((before.tail, before.environment));
        let folded = Arc::new(Folded { state, tail, environment });
        self.keep(stream, &folded);
        Ok(folded)
    }

    /// The state of `stream` as it is remembered, otherwise as it stands now. For what finds out by itself that it has moved.
    pub async fn remembered<G: Fold>(&self, tenant: &Tenant, stream: &StreamId) -> Result<Arc<Folded<G>>, Refusal> {
        match self.kept(stream) {
            Some(kept) => Ok(kept),
            None => self.current(tenant, stream).await,
        }
    }

    /// The study's environment, which it keeps for good; none if there is no such study.
    pub async fn environment(&self, tenant: &Tenant, study: &StudyId) -> Result<Option<Environment>, Refusal> {
        let stream = StreamId::in_study(&tenant.id, study, Aggregate::Study, study);
        if let Some(kept) = self.kept::<domain::study::Study>(&stream) {
            return Ok(kept.environment);
        }
        match self.current::<domain::study::Study>(tenant, &stream).await {
            // The journal cannot tell a study that never was from a journal stream that is lost; the list can.
            Err(Refusal::Failed(Failure::Missing { .. }))
                if !tenant.journal.journals().await?.contains(&stream.journal) =>
            {
                Ok(None)
            }
            folded => Ok(folded?.environment),
        }
    }

    fn kept<G: Fold>(&self, stream: &StreamId) -> Option<Arc<Folded<G>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let uses = kept.uses;
        let state = kept.states.get_mut(stream)?;
        state.last_use = uses;
        state.folded.clone().downcast().ok()
    }

    fn keep<G: Fold>(&self, stream: &StreamId, folded: &Arc<Folded<G>>) {
        if stream.data_subject().is_some() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let present = kept.states.get(stream).and_then(|state| state.folded.downcast_ref::<Folded<G>>());
        if present.is_some_and(|present| present.tail.revision > folded.tail.revision) {
            return;
        }
        if !kept.states.contains_key(stream) && kept.states.len() >= STATES_MAX {
            let oldest = kept.states.iter().min_by_key(|(_, state)| state.last_use).map(|(stream, _)| stream.clone());
            oldest.and_then(|stream| kept.states.remove(&stream));
        }
        let last_use = kept.uses;
        kept.states.insert(stream.clone(), State { last_use, folded: folded.clone() });
    }
}

/// Hands a state the parts that it refers to and does not hold yet.
pub(crate) async fn supply<G: Fold>(journal: &dyn Journal, stream: &StreamId, state: &mut G) -> Result<(), Refusal> {
    let missing = state.missing_parts();
    if missing.is_empty() {
        return Ok(());
    }
    let parts = parts(journal, stream, &missing).await?;
    state.supply_parts(parts).map_err(|fault| Refusal::malformed(stream, &fault))
}

/// The texts of a design's parts, in order.
async fn parts(journal: &dyn Journal, governing: &StreamId, hashes: &[CommitHash]) -> Result<Vec<String>, Refusal> {
    try_join_all(hashes.iter().map(|hash| async move {
        let stream =
            StreamId { journal: governing.journal.clone(), aggregate: Aggregate::DesignPart, id: hash.to_string() };
        let mut part = DesignPart::default();
        for commit in journal.load(&stream, Tail::default()).await? {
            let facts = commit.facts().map_err(|fault| Refusal::malformed(&stream, &fault))?;
            facts.iter().for_each(|fact| part.evolve(fact, Recorded::of(&commit.header)));
        }
        match part {
            DesignPart::Stored(text) => Ok(text.0),
            DesignPart::Absent => Err(Refusal::Failed(Failure::missing(stream))),
        }
    }))
    .await
}
