//! Freezing and locking: of an item, a form, a visit or a participant. Of a site and of the study: see the study.
//!
//! Frozen: no value changes; queries, verification, review and signatures go on. Locked: nothing changes but that
//! somebody signs for it. A locked database takes not even that. What a person may always ask for (to withdraw, to be
//! erased) passes every lock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Command, Event, FormKey, ItemKey, ItemPlace, Place, Record, Refused, free_text, needed_text, queries};
use crate::decider::Context;
use crate::ids::SiteId;
use crate::rejection::{Kind, Rejection};
use crate::scope::Plain;
use crate::study::{Setup, Study};

/// How firmly something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// No value changes for the time being.
    Frozen,
    /// Nothing changes any more.
    Locked,
}

structural!(Held);

/// What of a record is held.
#[derive(Debug, Clone, Default)]
pub struct Locks(pub BTreeMap<Place, Held>);

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockRefused {
    /// Frozen.
    #[error("this is frozen, or something around it or in it is: have it unfrozen first")]
    Frozen,
    /// Locked.
    #[error("this is locked, or something around it or in it is: have it unlocked first")]
    Locked,
    /// The study is over and done with.
    #[error("the database of this study is locked: have it unlocked first")]
    DatabaseLocked,
    /// What is there is being settled.
    #[error("the lock of the database is asked for: nothing new is opened until that is over")]
    LockAsked,
    /// They could not be answered below a lock.
    #[error("{0} queries here are not settled: close them first")]
    OpenQueries(usize),
}

impl Rejection for LockRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Locked => "locked",
            Self::DatabaseLocked => "database-locked",
            Self::LockAsked => "database-lock-asked",
            Self::OpenQueries(_) => "open-queries",
        }
    }

    fn kind(&self) -> Kind {
        Kind::Conflict
    }
}

impl From<Held> for LockRefused {
    fn from(held: Held) -> Self {
        match held {
            Held::Frozen => Self::Frozen,
            Held::Locked => Self::Locked,
        }
    }
}

pub(super) fn decide(record: &Record, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    match command {
        Command::Freeze { place, reason } => freeze(record, place, reason.as_ref(), context),
        Command::Lock { place, reason } => lock(record, place, reason.as_ref(), context),
        Command::Unfreeze { place, reason } => {
            release(record, place, Held::Frozen, context)?.map_or(Ok(vec![]), |()| {
                let reason = needed_text(record, reason, context)?;
                Ok(vec![Event::Unfrozen { place: place.clone(), reason }])
            })
        }
        Command::Unlock { place, reason } => release(record, place, Held::Locked, context)?.map_or(Ok(vec![]), |()| {
            let reason = needed_text(record, reason, context)?;
            Ok(vec![Event::Unlocked { place: place.clone(), reason }])
        }),
        _ => Ok(vec![]),
    }
}

fn freeze(
    record: &Record,
    place: &Place,
    reason: Option<&Plain>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    queries::known(record, place, context)?;
    gate_work(record, place, context)?;
    if record.locks.0.contains_key(place) {
        return Ok(vec![]);
    }
    let reason = free_text(record, reason, context)?;
    Ok(vec![Event::Frozen { place: place.clone(), reason }])
}

fn lock(
    record: &Record,
    place: &Place,
    reason: Option<&Plain>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    queries::known(record, place, context)?;
    if record.locks.0.get(place) == Some(&Held::Locked) {
        return Ok(vec![]);
    }
    gate_work(record, place, context)?;
    match record.queries.unsettled_within(place).count() {
        0 => {}
        open => return Err(LockRefused::OpenQueries(open).into()),
    }
    let reason = free_text(record, reason, context)?;
    Ok(vec![Event::Locked { place: place.clone(), reason }])
}

/// Whether there is such a hold to release; refused where something larger is locked, as it would change nothing.
fn release(record: &Record, place: &Place, held: Held, context: &Context<'_, Study>) -> Result<Option<()>, Refused> {
    gate_database(context)?;
    let around = record.locks.0.iter().filter(|(own, _)| *own != place && own.covers(place)).map(|(_, held)| *held);
    if around.chain(context.governing.held(&record.site)).any(|held| held == Held::Locked) {
        return Err(LockRefused::Locked.into());
    }
    match record.locks.0.get(place) {
        Some(found) if *found == held => Ok(Some(())),
        Some(Held::Locked) => Err(LockRefused::Locked.into()),
        Some(Held::Frozen) | None => Ok(None),
    }
}

/// How firmly `place` is held, by itself, by something around it or by the study.
pub(super) fn held(record: &Record, place: &Place, context: &Context<'_, Study>) -> Option<Held> {
    let here = record.locks.0.iter().filter(|(own, _)| own.covers(place)).map(|(_, held)| *held);
    here.chain(context.governing.held(&record.site)).max()
}

/// Whether an item's value may change: neither it nor anything around it is held, here or in the study.
pub(super) fn gate(
    record: &Record,
    form: &FormKey,
    item: &ItemKey,
    context: &Context<'_, Study>,
) -> Result<(), LockRefused> {
    gate_place(record, &Place::Item(ItemPlace::of(form, item)), context)
}

/// The same for a whole form or visit: whether it may be completed, reopened, restored or started.
pub(super) fn gate_place(record: &Record, place: &Place, context: &Context<'_, Study>) -> Result<(), LockRefused> {
    gate_database(context)?;
    held(record, place, context).map_or(Ok(()), |held| Err(held.into()))
}

/// The same for what takes everything within `place` along: nothing in there is held either.
pub(super) fn gate_whole(record: &Record, place: &Place, context: &Context<'_, Study>) -> Result<(), LockRefused> {
    gate_place(record, place, context)?;
    let within = record.locks.0.iter().filter(|(own, _)| place.covers(own)).map(|(_, held)| *held).max();
    within.map_or(Ok(()), |held| Err(held.into()))
}

/// Whether one may work on what stands at `place` without changing a value: it is not locked.
pub(super) fn gate_work(record: &Record, place: &Place, context: &Context<'_, Study>) -> Result<(), LockRefused> {
    gate_database(context)?;
    if held(record, place, context) == Some(Held::Locked) { Err(LockRefused::Locked) } else { Ok(()) }
}

/// Whether something may be opened that was settled. Once the database's lock is asked for, what hinders it only gets
/// less: so what is found to be settled stays so until it is locked.
pub(super) fn gate_news(record: &Record, place: &Place, context: &Context<'_, Study>) -> Result<(), LockRefused> {
    gate_work(record, place, context)?;
    if context.governing.lock_is_asked() { Err(LockRefused::LockAsked) } else { Ok(()) }
}

/// Whether anything is taken at all.
pub(super) fn gate_database(context: &Context<'_, Study>) -> Result<(), LockRefused> {
    if context.governing.is_database_locked() { Err(LockRefused::DatabaseLocked) } else { Ok(()) }
}

/// Whether somebody may be registered at `site`.
pub(super) fn gate_registration(setup: &Setup, site: &SiteId) -> Result<(), LockRefused> {
    if setup.locks.is_database_locked() {
        return Err(LockRefused::DatabaseLocked);
    }
    setup.locks.held(site).map_or(Ok(()), |held| Err(held.into()))
}

impl Locks {
    pub(super) fn evolve(&mut self, event: &Event) {
        match event {
            Event::Frozen { place, .. } => drop(self.0.insert(place.clone(), Held::Frozen)),
            Event::Locked { place, .. } => drop(self.0.insert(place.clone(), Held::Locked)),
            Event::Unfrozen { place, .. } | Event::Unlocked { place, .. } => drop(self.0.remove(place)),
            _ => {}
        }
    }
}
