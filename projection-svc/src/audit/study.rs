//! The audit trail of a whole study, in the order in which it happened.
//!
//! Read piece by piece: a walk keeps the rows of a few hundred commits and what it knows of their participants, and
//! opens the entries of one commit at a time. So its memory does not depend on how long the trail is, nor on how fast
//! it is read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use domain::Moment;
use domain::field::Fact;
use domain::history::{Actor, Aggregate, DataSubject};
use domain::ids::{InvalidId, ParticipantId, SiteId, StudyId, SubjectNumber, UserId};
use domain::permit::Sites;
use domain::port::{Failure, Tenant};
use domain::{design_part, export, identity, participant, privacy, randomisation, study, subject_number};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::read::{AuditEntry, Before, Whose};
use super::{Audit, AuditRow, COMMITS, CommitRow};
use crate::participants::{self, Participant};
use crate::row::RowKey;
use crate::shown::Visible;
use crate::view;

/// How many commits are looked at in one step.
const STEP: usize = 256;

/// A place in the trail: everything up to and with this entry is behind it. Zero: the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrailPosition {
    /// The position of the commit in the study's journal stream.
    pub sequence: u64,
    /// How many of its entries are behind.
    pub entries: u32,
}

impl TrailPosition {
    /// Behind the whole commit at this position.
    pub fn after(sequence: u64) -> Self {
        Self { sequence, entries: u32::MAX }
    }

    /// Behind this entry.
    fn behind(sequence: u64, n: u32) -> Self {
        Self { sequence, entries: n.saturating_add(1) }
    }
}

/// The id of the last entry that is behind: `<sequence>/<n>`.
impl fmt::Display for TrailPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}/{:06}", self.sequence, self.entries.saturating_sub(1))
    }
}

/// An entry's id: behind it. A bare sequence: behind the whole commit.
impl FromStr for TrailPosition {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = InvalidId { kind: "place in the audit trail", rule: "the id of an entry, or a sequence" };
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong.clone());
        match text.split_once('/') {
            Some((sequence, n)) => {
                let n = u32::try_from(number(n)?).map_err(|_| wrong.clone())?;
                Ok(Self::behind(number(sequence)?, n))
            }
            None => Ok(Self::after(number(text)?)),
        }
    }
}

/// Which entries are wanted. What is empty asks for all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// About participants of this site, and about the site itself.
    pub site: Option<SiteId>,
    /// Stored at this time or later.
    pub since: Option<Moment>,
    /// Stored before this time.
    pub until: Option<Moment>,
    /// By this user.
    pub user: Option<UserId>,
    /// Of these kinds: stored names of events, or `entered`, `changed`, `cleared`.
    pub kinds: BTreeSet<String>,
    /// About participants only.
    pub participants_only: bool,
}

/// One entry, and whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StudyEntry {
    /// The participant; none: the study itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantId>,
    /// The participant's pseudonym.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_number: Option<SubjectNumber>,
    /// Where the participant is treated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// Processing is restricted (GDPR Art 18): its values are withheld from everybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
    /// What happened.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

/// Who acted in a trail, and until when.
#[derive(Debug, Default)]
pub struct Cast {
    /// Everybody, each in the latest role.
    pub actors: BTreeMap<UserId, Actor>,
    /// When the last of it was stored.
    pub last: Option<Moment>,
}

/// A walk through the trail of one study, for one reader.
pub struct StudyTrail {
    tenant: Arc<Tenant>,
    study: StudyId,
    filter: Filter,
    sites: Sites,
    visible: Visible,
    at: TrailPosition,
    through: u64,
    ahead: VecDeque<(u64, CommitRow)>,
    /// The walk has looked at every commit up to here.
    looked: u64,
    known: BTreeMap<DataSubject, Option<Participant>>,
}

impl StudyTrail {
    /// Walks from behind `from` to the commit at `through`, with what the reader reaches and sees.
    pub fn new(
        tenant: Arc<Tenant>,
        study: StudyId,
        filter: Filter,
        (sites, visible): (Sites, Visible),
        from: TrailPosition,
        through: u64,
    ) -> Self {
        // The commit in which `from` lies is looked at again: its last entries may be ahead.
        let looked = from.sequence.saturating_sub(1);
        let (ahead, known) = (VecDeque::new(), BTreeMap::new());
        Self { tenant, study, filter, sites, visible, at: from, through, ahead, looked, known }
    }

    /// The entries of the next commit that has some; none: this was the end.
    ///
    /// # Errors
    /// What the store and the keys say.
    pub async fn next(&mut self) -> Result<Option<Vec<StudyEntry>>, Failure> {
        while let Some((sequence, row)) = self.next_commit().await? {
            let behind = if sequence == self.at.sequence { self.at.entries } else { 0 };
            let mut entries = self.entries_of(sequence, &row).await?;
            entries.retain(|(n, entry)| *n >= behind && self.filter.wants_entry(&entry.entry));
            self.at = TrailPosition::after(sequence);
            if !entries.is_empty() {
                return Ok(Some(entries.into_iter().map(|(_, entry)| entry).collect()));
            }
        }
        Ok(None)
    }

    /// Who acted in what will be shown, and when it ends: one look at each commit, nothing is opened.
    ///
    /// # Errors
    /// What the store says.
    pub async fn cast(mut self) -> Result<Cast, Failure> {
        let mut cast = Cast::default();
        while let Some((_, row)) = self.next_commit().await? {
            cast.last = Some(row.act.stored_at);
            cast.actors.insert(row.act.actor.id, row.act.actor);
        }
        Ok(cast)
    }

    /// Whether there is a commit that the reader reaches and the filter wants. Nothing is opened.
    ///
    /// # Errors
    /// What the store says.
    pub async fn any(mut self) -> Result<bool, Failure> {
        Ok(self.next_commit().await?.is_some())
    }

    /// The next commit that the reader reaches and the filter wants.
    async fn next_commit(&mut self) -> Result<Option<(u64, CommitRow)>, Failure> {
        loop {
            while let Some((sequence, row)) = self.ahead.pop_front() {
                if self.filter.wants(&row) && self.reaches(&row).await? {
                    return Ok(Some((sequence, row)));
                }
            }
            if !self.look_ahead().await? {
                return Ok(None);
            }
        }
    }

    /// Reads the rows of the next commits. False: there are no more.
    async fn look_ahead(&mut self) -> Result<bool, Failure> {
        if self.looked >= self.through {
            return Ok(false);
        }
        // The store answers at once, always: others get their turn here.
        tokio::task::yield_now().await;
        // What was known of participants may have changed meanwhile: a restriction counts from its next commit on.
        self.known.clear();
        let prefix = RowKey::plain(Some(&self.study), COMMITS);
        let after = format!("{COMMITS}{:020}", self.looked);
        let rows = view::scan::<Audit>(&self.tenant, &prefix, Some(&after), STEP, &Visible::none()).await?;
        let full = rows.len() == STEP;
        for (key, open) in rows {
            let sequence = key.rest.strip_prefix(COMMITS).and_then(|digits| digits.parse().ok());
            if let (Some(sequence), AuditRow::Commit(row)) = (sequence, open.row)
                && sequence <= self.through
            {
                self.looked = sequence;
                self.ahead.push_back((sequence, row));
            } else {
                self.looked = self.through;
                break;
            }
        }
        if !full {
            self.looked = self.through;
        }
        Ok(!self.ahead.is_empty())
    }

    /// Whether the reader reaches the site that it is about. Lists of all sites are for who reaches all sites.
    async fn reaches(&mut self, row: &CommitRow) -> Result<bool, Failure> {
        let Some(person) = row.person else {
            let site = |row: &CommitRow| row.aggregate == Aggregate::Study;
            return Ok(site(row) || self.sites == Sites::All);
        };
        let wanted = self.filter.site.clone();
        let reached = self.sites.clone();
        Ok(self.participant(person).await?.is_some_and(|known| {
            reached.contains(&known.site) && wanted.as_ref().is_none_or(|wanted| *wanted == known.site)
        }))
    }

    async fn participant(&mut self, person: DataSubject) -> Result<Option<&Participant>, Failure> {
        if !self.known.contains_key(&person) {
            let found = participants::show(&self.tenant, &self.study, &ParticipantId(person.0)).await?;
            self.known.insert(person, found);
        }
        Ok(self.known.get(&person).and_then(Option::as_ref))
    }

    /// The entries of one commit with their numbers in it.
    async fn entries_of(&mut self, sequence: u64, row: &CommitRow) -> Result<Vec<(u32, StudyEntry)>, Failure> {
        let about = match row.person {
            Some(person) => self.participant(person).await?.cloned(),
            None => None,
        };
        let restricted = about.as_ref().is_some_and(|about| about.restricted);
        let visible = if restricted { Visible::none() } else { self.visible.clone() };
        let whose = Whose { tenant: &self.tenant, study: &self.study, person: row.person, visible: &visible };
        let Some(found) = whose.entries(sequence).await? else { return Ok(Vec::new()) };
        let entries = whose.shown(found, &mut Before::default()).await?;
        let of_study = |entry| StudyEntry {
            participant: about.as_ref().map(|about| about.participant),
            subject_number: about.as_ref().map(|about| about.subject_number.clone()),
            site: about.as_ref().map(|about| about.site.clone()),
            restricted,
            entry,
        };
        Ok((0..).zip(entries.into_iter().map(of_study)).collect())
    }
}

/// Kinds that are not names of events: what was done to a field.
const ACTIONS: &[&str] = &["entered", "changed", "cleared"];

/// Every kind that a filter may name: what was done to a field, and the stored names of events.
pub fn kinds() -> BTreeSet<&'static str> {
    let events = [
        participant::Event::TYPES,
        identity::Event::TYPES,
        privacy::Event::TYPES,
        study::Event::TYPES,
        design_part::Event::TYPES,
        randomisation::Event::TYPES,
        export::Event::TYPES,
        subject_number::Event::TYPES,
    ];
    events.into_iter().flatten().map(|(name, _)| *name).chain(ACTIONS.iter().copied()).collect()
}

impl Filter {
    /// Whether the commit can hold an entry that is wanted.
    fn wants(&self, row: &CommitRow) -> bool {
        let stored = row.act.stored_at;
        let of_kind = self.kinds.is_empty()
            || self.kinds.iter().any(|kind| ACTIONS.contains(&kind.as_str()) || row.events.contains(kind));
        of_kind
            && self.since.is_none_or(|since| stored >= since)
            && self.until.is_none_or(|until| stored < until)
            && self.user.is_none_or(|user| user == row.act.actor.id)
            && (row.person.is_some() || !self.participants_only)
            && (row.person.is_some() || self.site.is_none() || row.aggregate == Aggregate::Study)
    }

    fn wants_entry(&self, entry: &AuditEntry) -> bool {
        let action = serde_json::to_value(entry.action).ok();
        let action = action.as_ref().and_then(|action| action.as_str()).unwrap_or_default();
        let of_kind = self.kinds.is_empty() || self.kinds.contains(&entry.event) || self.kinds.contains(action);
        // Of the study's own entries, a site has those that name it.
        let own = entry.aggregate == Aggregate::Study;
        let site = entry.details.get("site").and_then(|site| site.as_str());
        of_kind && (!own || self.site.as_ref().is_none_or(|wanted| site == Some(wanted.as_str())))
    }
}
