//! The matrix of a study: one line a participant, with every visit and form and how far each is. Structure only.
//!
//! A line is one row, under site and subject number: a page is one range of the table, and nothing has to be opened.
//! What a line is counted from stands in rows of its own, so that a line stays short however many values a form has.

use std::collections::BTreeMap;

use domain::history::{Aggregate, Commit, CommitHash, DataSubject};
use domain::ids::{Oid, ParticipantId, QueryId, SignatureId, SiteId, StudyId, SubjectNumber};
use domain::participant::{Ending, Event, FormKey, Held, ItemKey, Place, QueryKind, SavedItem, VisitKey};
use domain::permit::Sites;
use domain::port::{Failure, Tenant};
use domain::structural;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::casebook::{form_path, item_path};
use crate::participants::ParticipantState;
use crate::projection::{Projection, Rows, Stop};
use crate::row::{RowKey, kinds};
use crate::shown::{Page, Visible};
use crate::view;

// --- row

/// One participant with all visits and forms of which something is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MatrixLine)]
pub struct Line {
    /// The random id.
    pub participant: ParticipantId,
    /// The pseudonym.
    pub subject_number: SubjectNumber,
    /// Where the participant is treated.
    pub site: SiteId,
    /// How far.
    pub state: ParticipantState,
    /// How their part in the study ended, if it did and they did not withdraw; null: they are expected.
    pub ended: Option<Ending>,
    /// Content hash of the design version under which data is entered; none: the site's.
    pub design: Option<CommitHash>,
    /// All of the record is frozen or locked.
    pub held: Option<Held>,
    /// How many queries about it are not settled.
    pub open_queries: u32,
    /// Processing is restricted (GDPR Art 18).
    pub restricted: bool,
    /// The visits of which something is known.
    pub visits: Vec<Visit>,
}

/// One visit of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MatrixVisit)]
pub struct Visit {
    /// The visit's OID.
    pub visit: Oid,
    /// Which occurrence, from 1.
    pub visit_repeat: u32,
    /// Whether it took place.
    pub state: VisitState,
    /// The visit is frozen or locked.
    pub held: Option<Held>,
    /// Its forms of which something is known.
    pub forms: Vec<Form>,
}

/// Whether a visit took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = MatrixVisitState)]
pub enum VisitState {
    /// Nobody has said so; it has forms.
    Unsaid,
    /// It did.
    Started,
    /// It did not.
    Missed,
}

/// One form of a visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MatrixForm)]
pub struct Form {
    /// The form's OID.
    pub form: Oid,
    /// Which occurrence, from 1.
    pub form_repeat: u32,
    /// How far.
    pub state: FormState,
    /// How many items have a value, or a reason why they have none.
    pub items: u32,
    /// How many of them agree with their source.
    pub verified: u32,
    /// How many queries about it are not settled.
    pub open_queries: u32,
    /// How many signatures stand on it.
    pub signatures: u32,
    /// The form is frozen or locked.
    pub held: Option<Held>,
}

/// How far a form is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = MatrixFormState)]
pub enum FormState {
    /// Begun.
    Begun,
    /// Everything that is known was entered.
    Completed,
    /// It does not belong here.
    Removed,
}

/// Where a participant's line stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    site: SiteId,
    subject_number: SubjectNumber,
}

/// The items of one form that say something: whether each is verified, by its path in the form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Items(BTreeMap<String, bool>);

/// The queries and signatures of one record that count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// About what each query is, and whether it is settled.
    queries: BTreeMap<QueryId, (Place, bool)>,
    /// The forms that each signature still stands on.
    signatures: BTreeMap<SignatureId, Vec<FormKey>>,
}

structural!(Line, Whose, Items, Standing);

kinds! {
    /// What the table holds.
    pub enum MatrixRow {
        /// A line of the matrix.
        "line" Line(Line),
        /// Where a participant's line stands.
        "whose" Whose(Whose),
        /// The items of a form.
        "items" Items(Items),
        /// Queries and signatures.
        "standing" Standing(Standing),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Matrix;

impl Projection for Matrix {
    const NAME: &'static str = "matrix";
    const VERSION: u32 = 4;
    type Row = MatrixRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Participant
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, MatrixRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let (Some(study), Some(person)) = (&stream.journal.study, stream.data_subject()) else {
            return Ok(());
        };
        let record = RecordRows { study, person };
        for event in commit.shared_facts::<Event>()?.iter() {
            if let Event::Registered { site, subject_number } = event {
                let line = registered(ParticipantId(person.0), site.clone(), subject_number.clone());
                let whose = Whose { site: line.site.clone(), subject_number: line.subject_number.clone() };
                rows.put(record.key("whose"), MatrixRow::Whose(whose));
                rows.put(record.line_key(&line.site, &line.subject_number), MatrixRow::Line(line));
            } else if let Some(mut line) = record.line(rows)? {
                record.take(event, &mut line, rows)?;
                rows.put(record.line_key(&line.site, &line.subject_number), MatrixRow::Line(line));
            }
        }
        Ok(())
    }
}

const LINES: &str = "line/";

/// The rows of one participant.
struct RecordRows<'a> {
    study: &'a StudyId,
    person: DataSubject,
}

impl RecordRows<'_> {
    fn key(&self, rest: impl Into<String>) -> RowKey {
        RowKey::about(Some(self.study), self.person, rest)
    }

    fn line_key(&self, site: &SiteId, number: &SubjectNumber) -> RowKey {
        RowKey::plain(Some(self.study), format!("{LINES}{site}/{number}/{}", ParticipantId(self.person.0)))
    }

    fn line(&self, rows: &Rows<'_, MatrixRow>) -> Result<Option<Line>, Stop> {
        let Some(MatrixRow::Whose(Whose { site, subject_number })) = rows.get(&self.key("whose"))? else {
            return Ok(None);
        };
        match rows.get(&self.line_key(site, subject_number))? {
            Some(MatrixRow::Line(line)) => Ok(Some(line.clone())),
            Some(_) | None => Ok(None),
        }
    }

    fn take(&self, event: &Event, line: &mut Line, rows: &mut Rows<'_, MatrixRow>) -> Result<(), Stop> {
        match event {
            Event::ConsentGiven { .. } => line.state = ParticipantState::Consented,
            Event::ConsentWithdrawn { .. } if line.state == ParticipantState::Consented => {
                line.state = ParticipantState::Registered;
            }
            Event::Withdrawn { .. } => line.state = ParticipantState::Withdrawn,
            Event::ParticipationEnded { how, .. } => line.ended = Some(*how),
            Event::ParticipationResumed { .. } => line.ended = None,
            Event::DesignAssigned { design } | Event::DesignMigrated { to: design, .. } => line.design = Some(*design),
            Event::Restricted {} => line.restricted = true,
            Event::RestrictionLifted {} => line.restricted = false,
            Event::VisitStarted { visit, .. } => line.visit(visit).state = VisitState::Started,
            Event::VisitMissed { visit, .. } => line.visit(visit).state = VisitState::Missed,
            Event::ItemsSaved { form, items, .. } => {
                self.items(form, line, rows, |known| items.iter().for_each(|item| known.save(item)))?;
            }
            Event::Verified { form, items } => self.items(form, line, rows, |known| known.verify(items, true))?,
            Event::VerificationWithdrawn { form, items, .. } | Event::VerificationReset { form, items } => {
                self.items(form, line, rows, |known| known.verify(items, false))?;
            }
            Event::FormCompleted { form } => line.form(form).state = FormState::Completed,
            Event::FormReopened { form, .. } | Event::FormRestored { form, .. } => {
                line.form(form).state = FormState::Begun;
            }
            Event::FormRemoved { form, .. } => line.form(form).state = FormState::Removed,
            Event::Frozen { place, .. } => line.hold(place, Some(Held::Frozen)),
            Event::Locked { place, .. } => line.hold(place, Some(Held::Locked)),
            Event::Unfrozen { place, .. } | Event::Unlocked { place, .. } => line.hold(place, None),
            event => self.standing(event, line, rows)?,
        }
        Ok(())
    }

    /// Counts the items of a form anew.
    fn items(
        &self,
        form: &FormKey,
        line: &mut Line,
        rows: &mut Rows<'_, MatrixRow>,
        change: impl FnOnce(&mut Items),
    ) -> Result<(), Stop> {
        let key = self.key(format!("items/{}", form_path(form)));
        let mut items = match rows.get(&key)? {
            Some(MatrixRow::Items(items)) => items.clone(),
            Some(_) | None => Items::default(),
        };
        change(&mut items);
        let shown = line.form(form);
        shown.items = count(items.0.len());
        shown.verified = count(items.0.values().filter(|verified| **verified).count());
        rows.put(key, MatrixRow::Items(items));
        Ok(())
    }

    /// Counts queries and signatures anew, if the fact is about one.
    fn standing(&self, event: &Event, line: &mut Line, rows: &mut Rows<'_, MatrixRow>) -> Result<(), Stop> {
        if !is_standing(event) {
            return Ok(());
        }
        let key = self.key("standing");
        let mut standing = match rows.get(&key)? {
            Some(MatrixRow::Standing(standing)) => standing.clone(),
            Some(_) | None => Standing::default(),
        };
        standing.take(event);
        let open = || standing.queries.values().filter(|(_, settled)| !settled).map(|(place, _)| place);
        line.open_queries = count(open().count());
        for (form, shown) in line.forms() {
            shown.open_queries = count(open().filter(|place| of_form(place, &form)).count());
            let on_it = |forms: &&Vec<FormKey>| forms.contains(&form);
            shown.signatures = count(standing.signatures.values().filter(on_it).count());
        }
        rows.put(key, MatrixRow::Standing(standing));
        Ok(())
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A query about the whole visit is not about each of its forms.
fn of_form(place: &Place, form: &FormKey) -> bool {
    matches!(place, Place::Form(_) | Place::Item(_)) && place.touches(form)
}

fn is_standing(event: &Event) -> bool {
    matches!(
        event,
        Event::QueryOpened { .. }
            | Event::QueryClosed { .. }
            | Event::QueryCancelled { .. }
            | Event::QueryReopened { .. }
            | Event::Signed { .. }
            | Event::SignatureDropped { .. }
    )
}

impl Standing {
    fn take(&mut self, event: &Event) {
        match event {
            Event::QueryOpened { query, kind, place, .. } => {
                self.queries.insert(query.clone(), (place.clone(), *kind == QueryKind::Annotation));
            }
            Event::QueryClosed { query, .. } | Event::QueryCancelled { query, .. } => self.settle(query, true),
            Event::QueryReopened { query, .. } => self.settle(query, false),
            Event::Signed { signature, forms, .. } => {
                let forms = forms.iter().map(|signed| signed.form.clone()).collect();
                self.signatures.insert(signature.clone(), forms);
            }
            // It answers for nothing any more, whichever part of it changed.
            Event::SignatureDropped { signature, .. } => drop(self.signatures.remove(signature)),
            _ => {}
        }
    }

    fn settle(&mut self, query: &QueryId, settled: bool) {
        if let Some((_, was)) = self.queries.get_mut(query) {
            *was = settled;
        }
    }
}

impl Items {
    fn save(&mut self, item: &SavedItem) {
        let path = item_path(&item.item);
        if item.value.is_none() && item.not_done.is_none() {
            self.0.remove(&path);
        } else {
            // Whether a change ends a verification is a fact of its own.
            self.0.entry(path).or_default();
        }
    }

    fn verify(&mut self, items: &[ItemKey], verified: bool) {
        for item in items {
            if let Some(known) = self.0.get_mut(&item_path(item)) {
                *known = verified;
            }
        }
    }
}

fn registered(participant: ParticipantId, site: SiteId, subject_number: SubjectNumber) -> Line {
    Line {
        participant,
        subject_number,
        site,
        state: ParticipantState::Registered,
        ended: None,
        design: None,
        held: None,
        open_queries: 0,
        restricted: false,
        visits: Vec::new(),
    }
}

impl Line {
    /// The visit, begun if nothing was known of it.
    fn visit(&mut self, key: &VisitKey) -> &mut Visit {
        let place = self.visits.binary_search_by(|visit| visit.key().cmp(key));
        let at = place.unwrap_or_else(|at| {
            let VisitKey { visit, visit_repeat } = key.clone();
            let visit = Visit { visit, visit_repeat, state: VisitState::Unsaid, held: None, forms: Vec::new() };
            self.visits.insert(at, visit);
            at
        });
        &mut self.visits[at]
    }

    /// The form, begun if nothing was known of it.
    fn form(&mut self, key: &FormKey) -> &mut Form {
        let visit = self.visit(&key.visit());
        let place = visit.forms.binary_search_by(|one| (&one.form, one.form_repeat).cmp(&(&key.form, key.form_repeat)));
        let at = place.unwrap_or_else(|at| {
            visit.forms.insert(at, Form::begun(key));
            at
        });
        &mut visit.forms[at]
    }

    fn forms(&mut self) -> impl Iterator<Item = (FormKey, &mut Form)> {
        self.visits.iter_mut().flat_map(|visit| {
            let VisitKey { visit: oid, visit_repeat } = visit.key();
            visit.forms.iter_mut().map(move |form| {
                let (visit, form_repeat) = (oid.clone(), form.form_repeat);
                (FormKey { visit, visit_repeat, form: form.form.clone(), form_repeat }, form)
            })
        })
    }

    fn hold(&mut self, place: &Place, held: Option<Held>) {
        match place {
            Place::Participant => self.held = held,
            Place::Visit(visit) => self.visit(visit).held = held,
            Place::Form(form) => self.form(form).held = held,
            // A single item does not hold its form.
            Place::Item(_) => {}
        }
    }
}

impl Visit {
    fn key(&self) -> VisitKey {
        VisitKey { visit: self.visit.clone(), visit_repeat: self.visit_repeat }
    }
}

impl Form {
    fn begun(key: &FormKey) -> Self {
        Self {
            form: key.form.clone(),
            form_repeat: key.form_repeat,
            state: FormState::Begun,
            items: 0,
            verified: 0,
            open_queries: 0,
            signatures: 0,
            held: None,
        }
    }
}

// --- readers

/// The matrix of these sites: by site, and there by subject number.
///
/// # Errors
/// What the store says.
pub async fn list(
    tenant: &Tenant,
    study: &StudyId,
    sites: &Sites,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Line>, Failure> {
    let mut ranges: Vec<String> = match sites {
        Sites::All => vec![LINES.to_owned()],
        Sites::Only(sites) => sites.iter().map(|site| format!("{LINES}{site}/")).collect(),
    };
    // As keys are ordered, which is not as sites are: `oslo-2/` comes before `oslo/`.
    ranges.sort_unstable();
    let mut page = Page { items: Vec::new(), next: None };
    let mut last = None;
    for range in ranges {
        // What comes before the key where the last page ended was shown.
        if after.is_some_and(|after| after > range.as_str() && !after.starts_with(&range)) {
            continue;
        }
        let prefix = RowKey::plain(Some(study), range);
        let wanted = limit + 1 - page.items.len();
        for (key, open) in view::scan::<Matrix>(tenant, &prefix, after, wanted, &Visible::none()).await? {
            if page.items.len() == limit {
                page.next = last;
                return Ok(page);
            }
            if let MatrixRow::Line(line) = open.row {
                page.items.push(line);
            }
            last = Some(key.rest);
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::{Story, World, json, participant, site};
    use domain::ids::{CheckId, CommandId};
    use domain::participant::FreeText;
    use domain::permit::Role;
    use domain::scope::{Personal, Scope};
    use serde_json::json;

    fn item(item: &str) -> ItemKey {
        ItemKey { group: "G".parse().expect("valid"), group_repeat: 1, item: item.parse().expect("valid") }
    }

    fn asked(query: usize, place: Place) -> Event {
        let check: Option<CheckId> = None;
        let (by, to) = (Role::Monitor, None);
        Event::QueryOpened {
            query: id(query),
            kind: QueryKind::Manual,
            place,
            check,
            by,
            to,
            candidate: false,
            text: None,
        }
    }

    fn id(query: usize) -> QueryId {
        QueryId::of_command(CommandId(uuid::Uuid::from_u128(900)), query)
    }

    fn text() -> FreeText {
        Personal::new("because".to_owned())
    }

    fn story() -> Story {
        let mut story = Story::new();
        for (n, at) in [(2, "oslo"), (1, "oslo"), (3, "bergen"), (4, "porto"), (5, "oslo-2")] {
            story.registered(n, at);
        }
        story.consented(1);
        story
    }

    async fn line(story: &Story, n: usize) -> serde_json::Value {
        let world = World::of::<Matrix>(story).await;
        let page = list(&world.tenant, &Story::study_id(), &Sites::All, None, 10).await.expect("reads");
        json(&page.items[n])
    }

    #[tokio::test]
    async fn a_line_says_how_far_every_form_is() {
        let mut story = story();
        let form = Story::form("VS");
        story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120"), ("PULSE", Scope::HealthClinical, "70")]);
        story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "121")]);
        story.cleared(1, "VS", "PULSE");
        story.saved(1, "AE", &[("TERM", Scope::HealthFreeText, "headache")]);
        story.participant(1, Event::Verified { form: form.clone(), items: vec![item("SYSBP"), item("PULSE")] });
        story.participant(1, Event::FormCompleted { form: form.clone() });
        story.participant(1, asked(1, Place::Item(domain::participant::ItemPlace::of(&form, &item("SYSBP")))));
        story.participant(1, asked(2, Place::Visit(form.visit())));
        story.participant(1, asked(3, Place::Form(form.clone())));
        story.participant(1, Event::QueryClosed { query: id(3), by_check: false, text: Some(text()) });
        story.participant(1, Event::Locked { place: Place::Form(form.clone()), reason: None });
        let shown = line(&story, 2).await;
        assert_eq!((&shown["subject_number"], &shown["state"]), (&json!("S-001"), &json!("consented")));
        assert_eq!(shown["open_queries"], 2);
        let [ae, vs] = [&shown["visits"][0]["forms"][0], &shown["visits"][0]["forms"][1]];
        assert_eq!((&ae["form"], &ae["state"], &ae["items"]), (&json!("AE"), &json!("begun"), &json!(1)));
        assert_eq!(
            *vs,
            json!({"form": "VS", "form_repeat": 1, "state": "completed", "items": 1, "verified": 1,
                "open_queries": 1, "signatures": 0, "held": "locked"})
        );
        assert_eq!(shown["visits"][0]["state"], "unsaid");
        story.participant(1, Event::VisitMissed { visit: form.visit(), reason: text() });
        story.participant(1, Event::QueryReopened { query: id(3), text: text() });
        story.participant(1, Event::VerificationReset { form: form.clone(), items: vec![item("SYSBP")] });
        story.participant(1, Event::Unlocked { place: Place::Form(form.clone()), reason: text() });
        story.participant(1, Event::Locked { place: Place::Participant, reason: None });
        let shown = line(&story, 2).await;
        let vs = &shown["visits"][0]["forms"][1];
        assert_eq!((&vs["open_queries"], &vs["verified"], &vs["held"]), (&json!(2), &json!(0), &json!(null)));
        assert_eq!((&shown["visits"][0]["state"], &shown["held"]), (&json!("missed"), &json!("locked")));
    }

    #[tokio::test]
    async fn pages_go_by_site_and_keep_to_the_sites_of_the_caller() {
        let world = World::of::<Matrix>(&story()).await;
        let only = |sites: &[&str]| Sites::Only(sites.iter().map(|id| site(id)).collect());
        for (sites, expected) in [
            (Sites::All, vec!["S-003", "S-005", "S-001", "S-002", "S-004"]),
            (only(&["oslo", "oslo-2"]), vec!["S-005", "S-001", "S-002"]),
            (only(&["oslo"]), vec!["S-001", "S-002"]),
            (only(&["porto", "bergen"]), vec!["S-003", "S-004"]),
            (only(&["paris"]), vec![]),
        ] {
            for limit in 1..=5 {
                let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
                loop {
                    let page = list(&world.tenant, &Story::study_id(), &sites, after.as_deref(), limit).await;
                    let page = page.expect("reads");
                    seen.extend(page.items.iter().map(|item| item.subject_number.to_string()));
                    pages += 1;
                    match page.next {
                        Some(next) => after = Some(next),
                        None => break,
                    }
                }
                assert_eq!(seen, expected, "{sites:?} by {limit}");
                assert_eq!(pages, expected.len().div_ceil(limit).max(1), "{sites:?} by {limit}");
            }
        }
        assert_eq!(participant(1), line_of(&world, "oslo").await);
    }

    async fn line_of(world: &World, at: &str) -> ParticipantId {
        let sites = Sites::Only(BTreeSet::from([site(at)]));
        let page = list(&world.tenant, &Story::study_id(), &sites, None, 1).await.expect("reads");
        page.items[0].participant
    }

    #[tokio::test]
    async fn an_erasure_leaves_the_structure_and_no_value_is_there() {
        let mut story = story();
        story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "137")]);
        let mut world = World::of::<Matrix>(&story).await;
        assert!(!world.store.contains_bytes(b"137") && world.store.contains_bytes(b"SYSBP"));
        world.erase::<Matrix>(1, &[Scope::HealthClinical]).await;
        let page = list(&world.tenant, &Story::study_id(), &Sites::All, None, 10).await.expect("reads");
        assert_eq!(page.items[2].visits[0].forms[0].items, 1);
    }
}
