//! What of a commit the figures need: structure only, and as short as it can be written.

use domain::Moment;
use domain::history::{Commit, CommitHash, DataSubject};
use domain::ids::{CheckId, Oid, ParticipantId, QueryId, SignatureId, SiteId, SubjectNumber};
use domain::participant::{Ending, Event, FormKey, ItemKey, Meaning, Place, QueryKind, SavedItem, VisitKey};
use domain::structural;
use domain::study::{self, Target};
use serde::{Deserialize, Serialize};

/// What one commit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// About whom; none: about the study.
    pub(super) participant: Option<ParticipantId>,
    /// When it was stored, by the server's clock.
    pub(super) stored_at: Moment,
    /// When it was captured.
    pub(super) captured_at: Moment,
    /// What, in order.
    pub(super) steps: Vec<Step>,
}

impl Happened {
    pub(super) fn new(person: Option<DataSubject>, commit: &Commit, steps: Vec<Step>) -> Self {
        let (stored_at, captured_at) = (Moment(commit.header.stored_at), Moment(commit.header.captured_at));
        Self { participant: person.map(|person| ParticipantId(person.0)), stored_at, captured_at, steps }
    }
}

structural!(Happened);

/// One fact without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    // --- of the study
    SiteOpened(SiteId),
    Published(CommitHash, Vec<CommitHash>),
    Live(CommitHash),
    Active(CommitHash, SiteId),
    Target(SiteId, Target),
    // --- of a participant
    Registered(SiteId, SubjectNumber),
    Design(CommitHash),
    Consented,
    Revoked,
    Started(VisitKey),
    Missed(VisitKey),
    Saved(FormKey, Items),
    Completed(FormKey),
    Reopened(FormKey),
    Removed(FormKey),
    Restored(FormKey),
    Fired(CheckId, Oid),
    Asked { query: QueryId, kind: QueryKind, place: Place, candidate: bool },
    Query(QueryId, QueryStep),
    Verified(FormKey, Items),
    Unverified(FormKey, Items),
    Signed { signature: SignatureId, place: Place, meaning: Meaning, forms: Vec<FormKey> },
    Dropped(SignatureId),
    Randomised,
    Ended(Ending),
    Resumed,
    Left,
    Erased,
}

/// What was done with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum QueryStep {
    Raised,
    Answered,
    Forwarded,
    Closed,
    Cancelled,
    Reopened,
}

/// Items with what stands there, in one text: a participant has hundreds, and all of them are read for a figure of
/// an earlier time. No OID has a slash or a blank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Items(String);

/// What stands at an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// A value, or the word that there is none: it is answered.
    Answered,
    /// Nothing any more.
    Cleared,
    /// A value that the platform computed.
    Computed,
    /// Nothing, since there was nothing to compute from.
    NotComputed,
}

const ENTRIES: [(Entry, char); 4] =
    [(Entry::Answered, 'a'), (Entry::Cleared, 'n'), (Entry::Computed, 'c'), (Entry::NotComputed, 'x')];

impl Items {
    fn of<'a>(items: impl Iterator<Item = (&'a ItemKey, Entry)>) -> Self {
        let letter = |entry| ENTRIES.iter().find(|known| known.0 == entry).map_or('a', |known| known.1);
        let one = |(item, entry): (&ItemKey, Entry)| {
            format!("{}/{}/{}/{}", item.group, item.group_repeat, item.item, letter(entry))
        };
        Self(items.map(one).collect::<Vec<_>>().join(" "))
    }

    fn saved(items: &[SavedItem]) -> Self {
        let entry = |item: &SavedItem| match (item.value.is_some() || item.not_done.is_some(), item.computed) {
            (true, false) => Entry::Answered,
            (false, false) => Entry::Cleared,
            (true, true) => Entry::Computed,
            (false, true) => Entry::NotComputed,
        };
        Self::of(items.iter().map(|saved| (&saved.item, entry(saved))))
    }

    fn named(items: &[ItemKey]) -> Self {
        Self::of(items.iter().map(|item| (item, Entry::Answered)))
    }

    /// Each item as a path of ids, with what stands there.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, Entry)> {
        self.0.split(' ').filter_map(|one| {
            let (path, letter) = one.rsplit_once('/')?;
            let entry = ENTRIES.iter().find(|(_, known)| letter.strip_prefix(*known) == Some(""))?.0;
            Some((path, entry))
        })
    }
}

/// Reads the path of an item.
pub(super) fn item_at(path: &str) -> Option<ItemKey> {
    let [group, group_repeat, item] = path.split('/').collect::<Vec<_>>().try_into().ok()?;
    let (group, group_repeat) = (group.parse().ok()?, group_repeat.parse().ok()?);
    Some(ItemKey { group, group_repeat, item: item.parse().ok()? })
}

impl Step {
    pub(super) fn of_study(event: &study::Event) -> Option<Self> {
        Some(match event {
            study::Event::SiteOpened { site, .. } => Self::SiteOpened(site.clone()),
            study::Event::DesignPublished { design, parts, .. } => Self::Published(*design, parts.clone()),
            study::Event::WentLive { design } => Self::Live(*design),
            study::Event::DesignActivated { design, site } => Self::Active(*design, site.clone()),
            study::Event::EnrolmentTargetSet { site, participants, by } => {
                Self::Target(site.clone(), Target { participants: *participants, by: *by })
            }
            _ => return None,
        })
    }

    pub(super) fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Registered { site, subject_number } => Self::Registered(site.clone(), subject_number.clone()),
            Event::DesignAssigned { design } | Event::DesignMigrated { to: design, .. } => Self::Design(*design),
            Event::ConsentGiven { .. } => Self::Consented,
            Event::ConsentWithdrawn { .. } => Self::Revoked,
            Event::VisitStarted { visit, .. } => Self::Started(visit.clone()),
            Event::VisitMissed { visit, .. } => Self::Missed(visit.clone()),
            Event::ItemsSaved { form, items, .. } => Self::Saved(form.clone(), Items::saved(items)),
            Event::FormCompleted { form } => Self::Completed(form.clone()),
            Event::FormReopened { form, .. } => Self::Reopened(form.clone()),
            Event::FormRemoved { form, .. } => Self::Removed(form.clone()),
            Event::FormRestored { form, .. } => Self::Restored(form.clone()),
            Event::CheckFired { check, item, .. } => Self::Fired(check.clone(), item.item.clone()),
            Event::Verified { form, items } => Self::Verified(form.clone(), Items::named(items)),
            Event::VerificationWithdrawn { form, items, .. } | Event::VerificationReset { form, items } => {
                Self::Unverified(form.clone(), Items::named(items))
            }
            Event::Signed { signature, place, meaning, forms, .. } => Self::Signed {
                signature: signature.clone(),
                place: place.clone(),
                meaning: *meaning,
                forms: forms.iter().map(|signed| signed.form.clone()).collect(),
            },
            Event::SignatureDropped { signature, .. } => Self::Dropped(signature.clone()),
            Event::Randomised { .. } => Self::Randomised,
            Event::ParticipationEnded { how, .. } => Self::Ended(*how),
            Event::ParticipationResumed { .. } => Self::Resumed,
            Event::Withdrawn { .. } => Self::Left,
            Event::Fenced { scopes, .. } if !scopes.is_empty() => Self::Erased,
            other => return Self::of_query(other),
        })
    }

    fn of_query(event: &Event) -> Option<Self> {
        let done = |query: &QueryId, step| Some(Self::Query(query.clone(), step));
        match event {
            Event::QueryOpened { query, kind, place, candidate, .. } => {
                let (query, place) = (query.clone(), place.clone());
                Some(Self::Asked { query, kind: *kind, place, candidate: *candidate })
            }
            Event::QueryRaised { query } => done(query, QueryStep::Raised),
            Event::QueryAnswered { query, .. } => done(query, QueryStep::Answered),
            Event::QueryForwarded { query, .. } => done(query, QueryStep::Forwarded),
            Event::QueryClosed { query, .. } => done(query, QueryStep::Closed),
            Event::QueryCancelled { query, .. } => done(query, QueryStep::Cancelled),
            Event::QueryReopened { query, .. } => done(query, QueryStep::Reopened),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_read_back_and_nothing_else_is_read() {
        let item = |group: &str, group_repeat, item: &str| ItemKey {
            group: group.parse().expect("valid"),
            group_repeat,
            item: item.parse().expect("valid"),
        };
        let written: Vec<_> = ENTRIES.iter().zip(1..).map(|((entry, _), n)| (item("IG.1", n, "I:2"), *entry)).collect();
        let items = Items::of(written.iter().map(|(item, entry)| (item, *entry)));
        assert_eq!(items.0, "IG.1/1/I:2/a IG.1/2/I:2/n IG.1/3/I:2/c IG.1/4/I:2/x");
        let read: Vec<_> = items.each().filter_map(|(path, entry)| Some((item_at(path)?, entry))).collect();
        assert_eq!(read, written);
        assert_eq!(Items::of(std::iter::empty()).each().count(), 0);
        assert_eq!(Items("G/1/I/z G/1/I/aa".to_owned()).each().count(), 0);
        for wrong in ["G/1", "G/x/I", "G/1/I/b", ""] {
            assert_eq!(item_at(wrong), None, "{wrong}");
        }
    }
}
