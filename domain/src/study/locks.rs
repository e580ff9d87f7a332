//! Freezing and locking a site or the whole study, and the lock of the database.
//!
//! The database is locked by two persons: one asks once all data is frozen, another confirms once nothing hinders it.
//! From the asking on nothing new is opened in any record, so what hinders only gets less.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, Refused, Setup, Study};
use crate::history::CommitHash;
use crate::ids::{Label, SiteId, UserId};
use crate::participant::Held;
use crate::rejection::Fault;

/// What of a study is held.
#[derive(Debug, Clone, Default)]
pub struct StudyLocks {
    /// All of it.
    pub study: Option<Held>,
    /// By site.
    pub sites: BTreeMap<SiteId, Held>,
    /// How far the lock of the database is.
    pub database: Database,
}

/// How far the lock of the database is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Database {
    /// Not locked, and nobody asks for it.
    #[default]
    Open,
    /// This one asks for it.
    LockAsked(UserId),
    /// Locked.
    Locked,
    /// Locked; this one asks for the end of that.
    UnlockAsked(UserId),
}

/// What was found when every record of the study was gone through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// So many records.
    pub participants: u64,
    /// So many things hinder a lock.
    pub blockers: u64,
    /// SHA-256 over every participant and the hash of the last commit of the record: what a lock would hold.
    pub digest: CommitHash,
    /// What hinders, participant by participant; not more than a page of them.
    #[serde(skip)]
    pub faults: Vec<Fault>,
}

impl StudyLocks {
    /// How firmly the data of a site is held.
    pub fn held(&self, site: &SiteId) -> Option<Held> {
        self.study.max(self.sites.get(site).copied())
    }

    /// Whether nothing is taken any more.
    pub fn is_database_locked(&self) -> bool {
        matches!(self.database, Database::Locked | Database::UnlockAsked(_))
    }

    fn of(&self, site: Option<&SiteId>) -> Option<Held> {
        site.map_or(self.study, |site| self.sites.get(site).copied())
    }

    fn set(&mut self, site: Option<&SiteId>, held: Option<Held>) {
        match (site, held) {
            (None, held) => self.study = held,
            (Some(site), Some(held)) => drop(self.sites.insert(site.clone(), held)),
            (Some(site), None) => drop(self.sites.remove(site)),
        }
        // Whoever lets data change again has taken back what was asked on the strength of its being frozen.
        if self.study.is_none() && matches!(self.database, Database::LockAsked(_)) {
            self.database = Database::Open;
        }
    }

    pub(super) fn evolve(&mut self, event: &Event, actor: UserId) {
        match event {
            Event::DataFrozen { site, .. } => self.set(site.as_ref(), Some(Held::Frozen)),
            Event::DataLocked { site, .. } => self.set(site.as_ref(), Some(Held::Locked)),
            Event::DataUnfrozen { site, .. } | Event::DataUnlocked { site, .. } => self.set(site.as_ref(), None),
            Event::DatabaseLockAsked { .. } => self.database = Database::LockAsked(actor),
            Event::DatabaseLocked { .. } => self.database = Database::Locked,
            Event::DatabaseUnlockAsked { .. } => self.database = Database::UnlockAsked(actor),
            Event::DatabaseUnlocked {} => self.database = Database::Open,
            _ => {}
        }
    }
}

impl Study {
    /// How firmly the data of a site is held by the study.
    pub fn held(&self, site: &SiteId) -> Option<Held> {
        self.setup().and_then(|setup| setup.locks.held(site))
    }

    /// Whether nothing is taken any more.
    pub fn is_database_locked(&self) -> bool {
        self.setup().is_some_and(|setup| setup.locks.is_database_locked())
    }

    /// Whether the lock of the database waits for the second person.
    pub fn lock_is_asked(&self) -> bool {
        self.setup().is_some_and(|setup| matches!(setup.locks.database, Database::LockAsked(_)))
    }

    pub(super) fn hold(
        &self,
        site: Option<&SiteId>,
        held: Held,
        reason: Option<&Label>,
    ) -> Result<Vec<Event>, Refused> {
        let locks = self.changeable(site)?;
        let (site, reason) = (site.cloned(), reason.cloned());
        match (locks.of(site.as_ref()), held) {
            (Some(before), held) if before == held => Ok(vec![]),
            (_, Held::Locked) => Ok(vec![Event::DataLocked { site, reason }]),
            (None, Held::Frozen) => Ok(vec![Event::DataFrozen { site, reason }]),
            (Some(_), Held::Frozen) => Err(Refused::DataLocked),
        }
    }

    pub(super) fn release(&self, site: Option<&SiteId>, held: Held, reason: &Label) -> Result<Vec<Event>, Refused> {
        let locks = self.changeable(site)?;
        let (site, reason) = (site.cloned(), reason.clone());
        match (locks.of(site.as_ref()), held) {
            (Some(Held::Frozen), Held::Frozen) => Ok(vec![Event::DataUnfrozen { site, reason }]),
            (Some(Held::Locked), Held::Locked) => Ok(vec![Event::DataUnlocked { site, reason }]),
            (Some(Held::Locked), Held::Frozen) => Err(Refused::DataLocked),
            (Some(Held::Frozen), Held::Locked) | (None, _) => Ok(vec![]),
        }
    }

    fn changeable(&self, site: Option<&SiteId>) -> Result<&StudyLocks, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
        if site.is_some_and(|site| !setup.sites.contains_key(site)) {
            return Err(Refused::NoSuchSite);
        }
        setup.unlocked().map(|setup| &setup.locks)
    }

    pub(super) fn ask_database_lock(&self, reason: &Label) -> Result<Vec<Event>, Refused> {
        let locks = &self.setup().ok_or(Refused::NoSuchStudy)?.locks;
        match locks.database {
            Database::Open if locks.study.is_none() => Err(Refused::NotFrozen),
            Database::Open => Ok(vec![Event::DatabaseLockAsked { reason: reason.clone() }]),
            Database::LockAsked(_) => Ok(vec![]),
            Database::Locked | Database::UnlockAsked(_) => Err(Refused::DatabaseLocked),
        }
    }

    /// Locks, if another person asked for it and nothing hinders.
    pub(super) fn lock_database(&self, checked: Option<&Checked>, actor: UserId) -> Result<Vec<Event>, Refused> {
        let locks = &self.setup().ok_or(Refused::NoSuchStudy)?.locks;
        match locks.database {
            Database::Open => Err(Refused::LockNotAsked),
            Database::LockAsked(asked) if asked == actor => Err(Refused::SamePerson),
            Database::LockAsked(_) => match checked {
                None => Err(Refused::NotChecked),
                Some(checked) if checked.blockers > 0 => Err(Refused::Blocked(checked.clone())),
                Some(Checked { participants, digest, .. }) => {
                    Ok(vec![Event::DatabaseLocked { participants: *participants, digest: *digest }])
                }
            },
            Database::Locked | Database::UnlockAsked(_) => Ok(vec![]),
        }
    }

    pub(super) fn ask_database_unlock(&self, reason: &Label) -> Result<Vec<Event>, Refused> {
        match self.setup().ok_or(Refused::NoSuchStudy)?.locks.database {
            Database::Open | Database::LockAsked(_) => Err(Refused::DatabaseNotLocked),
            Database::Locked => Ok(vec![Event::DatabaseUnlockAsked { reason: reason.clone() }]),
            Database::UnlockAsked(_) => Ok(vec![]),
        }
    }

    pub(super) fn unlock_database(&self, actor: UserId) -> Result<Vec<Event>, Refused> {
        match self.setup().ok_or(Refused::NoSuchStudy)?.locks.database {
            Database::Open | Database::LockAsked(_) => Ok(vec![]),
            Database::Locked => Err(Refused::UnlockNotAsked),
            Database::UnlockAsked(asked) if asked == actor => Err(Refused::SamePerson),
            Database::UnlockAsked(_) => Ok(vec![Event::DatabaseUnlocked {}]),
        }
    }
}

impl Setup {
    /// What is set up, if it may still change.
    pub(super) fn unlocked(&self) -> Result<&Self, Refused> {
        if self.locks.is_database_locked() { Err(Refused::DatabaseLocked) } else { Ok(self) }
    }
}

#[cfg(test)]
mod tests;
