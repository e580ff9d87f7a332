//! The participants of a study: who is where, how far, and what of them was forgotten. Structure only.

use std::collections::BTreeSet;

use domain::Moment;
use domain::history::{Aggregate, Commit, CommitHash};
use domain::ids::{ConsentVersion, ParticipantId, SiteId, StudyId, SubjectNumber};
use domain::participant::{Ending, Event, FormKey, ItemPlace};
use domain::permit::Sites;
use domain::port::{Failure, Tenant};
use domain::scope::Scope;
use domain::structural;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, RowKey, kinds, person};
use crate::shown::{Page, Visible};
use crate::view;

// --- row

/// A participant as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Participant {
    /// The random id.
    pub participant: ParticipantId,
    /// The pseudonym.
    pub subject_number: SubjectNumber,
    /// Where the participant is treated.
    pub site: SiteId,
    /// How far.
    pub state: ParticipantState,
    /// Whether they may take part; null: nobody has said so.
    #[serde(default)]
    pub eligibility: Option<EligibilityState>,
    /// How their part in the study ended, if it did and they did not withdraw; null: they are expected.
    #[serde(default)]
    pub ended: Option<Ending>,
    /// Content hash of the design version under which data is entered; none: the site's.
    #[serde(default)]
    pub design: Option<CommitHash>,
    /// Values for which that version has no place: they stay, and do not change.
    #[serde(default)]
    pub read_only: Vec<ItemPlace>,
    /// The consent that holds.
    pub consent: Option<ConsentVersion>,
    /// How many forms were saved.
    pub forms: usize,
    /// When something was last recorded.
    pub last_activity: Moment,
    /// Who registered the participant and when.
    pub registered: Act,
    /// The scopes that were erased.
    pub erased: BTreeSet<Scope>,
    /// How many single values of other scopes were redacted.
    pub redacted: usize,
    /// Whether processing is restricted (GDPR Art 18).
    pub restricted: bool,
}

/// How far a participant is in the study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParticipantState {
    /// In the study, without consent yet.
    Registered,
    /// Data may be entered.
    Consented,
    /// Left.
    Withdrawn,
}

/// Whether a participant may take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EligibilityState {
    /// Every criterion is met.
    Confirmed,
    /// One is not, and the sponsor lets them take part all the same.
    Waived,
}

/// A participant, and what is needed to count on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    shown: Participant,
    saved: BTreeSet<FormKey>,
}

/// Where a subject number leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    participant: ParticipantId,
    site: SiteId,
}

structural!(Record, Numbered);

kinds! {
    /// What the table holds.
    #[expect(clippy::large_enum_variant, reason = "rows are handled one by one, never in arrays")]
    pub enum ParticipantRow {
        /// A participant.
        "record" Record(Record),
        /// An entry of the list by subject number.
        "numbered" Numbered(Numbered),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Participants;

impl Projection for Participants {
    const NAME: &'static str = "participants";
    const VERSION: u32 = 5;
    type Row = ParticipantRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Participant
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, ParticipantRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let (Some(study), Some(person)) = (&stream.journal.study, stream.data_subject()) else {
            return Ok(());
        };
        let participant = ParticipantId(person.0);
        let key = key(study, participant);
        for event in commit.shared_facts::<Event>()?.iter() {
            match (rows.get(&key)?.cloned(), event) {
                (_, Event::Registered { site, subject_number }) => {
                    let (site, subject_number) = (site.clone(), subject_number.clone());
                    let numbered = Numbered { participant, site: site.clone() };
                    let record = registered(participant, site, subject_number, commit);
                    let listed = RowKey::plain(Some(study), number_key(&record.shown.subject_number, participant));
                    rows.put(listed, ParticipantRow::Numbered(numbered));
                    rows.put(key.clone(), ParticipantRow::Record(record));
                }
                (Some(ParticipantRow::Record(record)), event) => {
                    rows.put(key.clone(), ParticipantRow::Record(record.after(event, commit)));
                }
                (Some(ParticipantRow::Numbered(_)) | None, _) => {}
            }
        }
        Ok(())
    }
}

const NUMBERS: &str = "number/";

fn key(study: &StudyId, participant: ParticipantId) -> RowKey {
    RowKey::about(Some(study), person(participant), "record")
}

fn number_key(number: &SubjectNumber, participant: ParticipantId) -> String {
    format!("{NUMBERS}{number}/{participant}")
}

fn registered(participant: ParticipantId, site: SiteId, subject_number: SubjectNumber, commit: &Commit) -> Record {
    let shown = Participant {
        participant,
        subject_number,
        site,
        state: ParticipantState::Registered,
        eligibility: None,
        ended: None,
        design: None,
        read_only: Vec::new(),
        consent: None,
        forms: 0,
        last_activity: Moment(commit.header.stored_at),
        registered: Act::of(commit),
        erased: BTreeSet::new(),
        redacted: 0,
        restricted: false,
    };
    Record { shown, saved: BTreeSet::new() }
}

impl Record {
    fn after(mut self, event: &Event, commit: &Commit) -> Self {
        let shown = &mut self.shown;
        shown.last_activity = Moment(commit.header.stored_at);
        match event {
            Event::DesignAssigned { design } => shown.design = Some(*design),
            Event::DesignMigrated { to, read_only, .. } => {
                shown.design = Some(*to);
                shown.read_only.clone_from(read_only);
            }
            Event::ConsentGiven { version, .. } => {
                shown.consent = Some(version.clone());
                shown.state = ParticipantState::Consented;
            }
            Event::ItemsSaved { form, .. } => {
                if !self.saved.contains(form) {
                    self.saved.insert(form.clone());
                }
                shown.forms = self.saved.len();
            }
            Event::Withdrawn { .. } => {
                shown.state = ParticipantState::Withdrawn;
            }
            Event::EligibilityConfirmed { .. } => {
                shown.eligibility = Some(EligibilityState::Confirmed);
            }
            Event::EligibilityWaived { .. } => {
                shown.eligibility = Some(EligibilityState::Waived);
            }
            Event::ParticipationEnded { how, .. } => {
                shown.ended = Some(*how);
            }
            Event::ParticipationResumed { .. } => {
                shown.ended = None;
            }
            Event::Fenced { scopes, values, .. } => {
                shown.erased.extend(scopes);
                shown.redacted += values.len();
            }
            Event::Restricted {} => {
                shown.restricted = true;
            }
            Event::RestrictionLifted {} => {
                shown.restricted = false;
            }
            Event::ConsentWithdrawn { .. } => {
                shown.consent = None;
                if shown.state == ParticipantState::Consented {
                    shown.state = ParticipantState::Registered;
                }
            }
            _ => {}
        }
        self
    }
}

// --- readers

/// One participant.
///
/// # Errors
/// What the store says.
pub async fn show(
    tenant: &Tenant,
    study: &StudyId,
    participant: &ParticipantId,
) -> Result<Option<Participant>, Failure> {
    match view::get::<Participants>(tenant, &key(study, *participant)).await? {
        Some(ParticipantRow::Record(record)) => Ok(Some(record.shown)),
        Some(ParticipantRow::Numbered(_)) | None => Ok(None),
    }
}

/// The participants at these sites, by subject number.
///
/// # Errors
/// What the store says.
pub async fn list(
    tenant: &Tenant,
    study: &StudyId,
    sites: &Sites,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Participant>, Failure> {
    let limit = limit.max(1);
    let (ids, next) = listed(tenant, study, sites, after, limit).await?;
    let keys: Vec<RowKey> = ids.into_iter().map(|participant| key(study, participant)).collect();
    let rows = view::get_many::<Participants>(tenant, &keys, &Visible::none()).await?;
    let shown = |(_, open): view::Found<ParticipantRow>| match open.row {
        ParticipantRow::Record(record) => Some(record.shown),
        ParticipantRow::Numbered(_) => None,
    };
    Ok(Page { items: rows.into_iter().filter_map(shown).collect(), next })
}

/// Who stands on a page of the list, and where the next one begins.
async fn listed(
    tenant: &Tenant,
    study: &StudyId,
    sites: &Sites,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<ParticipantId>, Option<String>), Failure> {
    let prefix = RowKey::plain(Some(study), NUMBERS);
    let (mut ids, mut after) = (Vec::with_capacity(limit), after.map(ToOwned::to_owned));
    loop {
        // One more than is shown says whether there is another page.
        let rows = view::scan::<Participants>(tenant, &prefix, after.as_deref(), limit + 1, &Visible::none()).await?;
        let whole = rows.len() > limit;
        for (key, open) in rows {
            if ids.len() == limit {
                return Ok((ids, after));
            }
            if let ParticipantRow::Numbered(numbered) = open.row
                && sites.contains(&numbered.site)
            {
                ids.push(numbered.participant);
            }
            after = Some(key.rest);
        }
        if !whole {
            return Ok((ids, None));
        }
    }
}

/// Whoever has this subject number in the study.
///
/// # Errors
/// What the store says.
pub async fn by_subject_number(
    tenant: &Tenant,
    study: &StudyId,
    number: &SubjectNumber,
) -> Result<Vec<Participant>, Failure> {
    let prefix = RowKey::plain(Some(study), format!("{NUMBERS}{number}/"));
    let mut found = Vec::new();
    for (_, open) in view::scan::<Participants>(tenant, &prefix, None, usize::MAX, &Visible::none()).await? {
        if let ParticipantRow::Numbered(numbered) = open.row {
            found.extend(show(tenant, study, &numbered.participant).await?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World, json, participant, site};
    use serde_json::json;

    fn story() -> Story {
        let mut story = Story::new();
        story.registered(2, "oslo");
        story.registered(1, "oslo");
        story.registered(3, "bergen");
        story.consented(1);
        story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120")]);
        story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "125")]);
        story.participant(3, Event::Withdrawn { reason: None });
        story
    }

    #[tokio::test]
    async fn a_participant_shows_how_far_it_is() {
        let mut story = story();
        story.participant(1, Event::Restricted {});
        let world = World::of::<Participants>(&story).await;
        let shown = show(&world.tenant, &Story::study_id(), &participant(1)).await.expect("reads").expect("is there");
        let shown = json(&shown);
        for (field, value) in [
            ("subject_number", json!("S-001")),
            ("site", json!("oslo")),
            ("state", json!("consented")),
            ("consent", json!("v1")),
            ("forms", json!(1)),
            ("erased", json!([])),
            ("restricted", json!(true)),
        ] {
            assert_eq!(shown[field], value, "{field}");
        }
        let last = story.commits.last().map(|commit| commit.header.stored_at);
        assert_eq!(
            Some(shown["last_activity"].clone()),
            last.map(|at| json(&Moment(at))),
            "a restriction is news, too"
        );
        assert_eq!(show(&world.tenant, &Story::study_id(), &participant(9)).await.expect("reads"), None);
    }

    #[tokio::test]
    async fn the_list_is_paged_by_subject_number_and_keeps_to_the_sites() {
        let world = World::of::<Participants>(&story()).await;
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = list(&world.tenant, &Story::study_id(), &Sites::All, after.as_deref(), 2).await.expect("reads");
            seen.extend(page.items.iter().map(|item| item.subject_number.to_string()));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ["S-001", "S-002", "S-003"]);
        let sites = Sites::Only([site("bergen")].into());
        let page = list(&world.tenant, &Story::study_id(), &sites, None, 1).await.expect("reads");
        assert_eq!((page.items.len(), page.next), (1, None));
        assert_eq!(page.items[0].state, ParticipantState::Withdrawn);
        let number = "S-002".parse().expect("valid");
        let found = by_subject_number(&world.tenant, &Story::study_id(), &number).await.expect("reads");
        assert_eq!(found.iter().map(|found| found.participant).collect::<Vec<_>>(), [participant(2)]);
    }

    #[tokio::test]
    async fn an_erasure_leaves_the_participant_and_names_the_scopes() {
        let mut world = World::of::<Participants>(&story()).await;
        world.erase::<Participants>(1, &[Scope::HealthClinical]).await;
        let shown = show(&world.tenant, &Story::study_id(), &participant(1)).await.expect("reads").expect("is there");
        assert_eq!(shown.erased, [Scope::HealthClinical].into());
        assert_eq!(shown.forms, 1);
    }
}
