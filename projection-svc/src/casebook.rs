//! The casebook: every current value of one participant, visit by visit and form by form, sealed at rest.

use std::collections::{BTreeMap, BTreeSet};

use domain::Day;
use domain::design::ItemValue;
use domain::history::{Aggregate, Commit, Revision};
use domain::ids::{Label, Oid, ParticipantId, SignatureId, StudyId};
use domain::participant::{
    Event, FormKey, FreeText, Held, ItemKey, Meaning, NotDone, Place, SavedItem, Source, VisitKey,
};
use domain::port::{Failure, Tenant};
use domain::scope::{DesignScoped, OneValue, Personal, tag};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cells::{Cell, OpenRow};
use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, Named, RowKey, Tag, kinds, person};
use crate::shown::{Shown, Visible};
use crate::view;

// --- row

domain::fields! {
    /// One form instance: one row.
    pub struct FormRow {
        /// Which form of which visit.
        pub form: FormKey,
        /// The last revision that touched its values.
        pub tag: Tag,
        /// Everything that is known was entered.
        pub completed: bool,
        /// It does not belong here.
        pub removed: bool,
        /// The groups of reviewers who have looked at it as it stands.
        pub reviewed: Vec<Label>,
        /// Who saved its values and when, each act once: those of a form mostly come together.
        pub acts: Acts,
        /// Its values, by group, repeat and item.
        pub items: Named<ItemRow>,
    }
}

/// Acts by their revision: a commit has one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Acts(BTreeMap<Revision, Act>);

domain::fields! {
    /// One value.
    pub struct ItemRow {
        /// Which item.
        pub item: ItemKey,
        /// Its value; none: cleared, or not done.
        pub value: Option<DesignScoped<ItemValue>>,
        /// Why there is none.
        pub not_done: Option<NotDone>,
        /// The platform computed it.
        pub computed: bool,
        /// What entered it.
        pub source: Source,
        /// It agrees with its source.
        pub verified: bool,
        /// The revision that saved it: who and when is among the form's acts.
        pub act: Tag,
    }
}

domain::fields! {
    /// Whether a visit took place.
    pub struct VisitRow {
        /// Which visit.
        pub visit: VisitKey,
        /// On which day it took place, or began; none: it did not.
        pub on: Option<Personal<Day, tag::HealthClinical>>,
        /// Why not, or why on another day.
        pub reason: Option<FreeText>,
        /// Who said so and when.
        pub act: Act,
    }
}

domain::fields! {
    /// What of a record is frozen or locked.
    pub struct HeldRow {
        /// Each place with how firmly.
        pub places: Vec<HeldPlace>,
    }
}

domain::fields! {
    /// A signature.
    pub struct SignatureRow {
        /// Which one.
        pub signature: SignatureId,
        /// What was signed.
        pub place: Place,
        /// What it means.
        pub meaning: Meaning,
        /// The name printed with it.
        pub printed_name: Personal<String, tag::UserSignature>,
        /// The forms that it covers.
        pub forms: Vec<FormKey>,
        /// Who signed and when.
        pub act: Act,
        /// Who changed what it covers, and when; none: it holds.
        pub dropped: Option<Act>,
    }
}

/// A place that is frozen or locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldPlace {
    /// What is held.
    pub place: Place,
    /// How firmly.
    pub held: Held,
}

domain::structural!(HeldPlace, Acts);

kinds! {
    /// What the table holds.
    #[expect(clippy::large_enum_variant, reason = "rows are handled one by one, never in arrays")]
    pub enum CasebookRow {
        /// A form.
        "form" Form(FormRow),
        /// A visit.
        "visit" Visit(VisitRow),
        /// What is frozen or locked.
        "held" Held(HeldRow),
        /// A signature.
        "signature" Signature(SignatureRow),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Casebooks;

impl Projection for Casebooks {
    const NAME: &'static str = "casebook";
    const VERSION: u32 = 5;
    type Row = CasebookRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Participant
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, CasebookRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let (Some(study), Some(person)) = (&stream.journal.study, stream.data_subject()) else {
            return Ok(());
        };
        let key = |path: String| RowKey::about(Some(study), person, path);
        for event in commit.shared_facts::<Event>()?.iter() {
            match event {
                Event::VisitStarted { visit, on, reason } => {
                    let (visit, on, reason) = (visit.clone(), Some(on.clone()), reason.clone());
                    let row = VisitRow { visit, on, reason, act: Act::of(commit) };
                    rows.put(key(visit_path(&row.visit)), CasebookRow::Visit(row));
                }
                Event::VisitMissed { visit, reason } => {
                    let (visit, reason) = (visit.clone(), Some(reason.clone()));
                    let row = VisitRow { visit, on: None, reason, act: Act::of(commit) };
                    rows.put(key(visit_path(&row.visit)), CasebookRow::Visit(row));
                }
                Event::Frozen { place, .. } => hold(rows, key(HELD.into()), place, Some(Held::Frozen))?,
                Event::Locked { place, .. } => hold(rows, key(HELD.into()), place, Some(Held::Locked))?,
                Event::Unfrozen { place, .. } | Event::Unlocked { place, .. } => {
                    hold(rows, key(HELD.into()), place, None)?;
                }
                Event::Signed { signature, place, meaning, forms, printed_name, .. } => {
                    let forms = forms.iter().map(|signed| signed.form.clone()).collect();
                    let (signature, place, printed_name) = (signature.clone(), place.clone(), printed_name.clone());
                    let meaning = *meaning;
                    let (act, dropped) = (Act::of(commit), None);
                    let row = SignatureRow { signature, place, meaning, printed_name, forms, act, dropped };
                    rows.put(key(signature_path(&row.signature)), CasebookRow::Signature(row));
                }
                Event::SignatureDropped { signature, .. } => {
                    let key = key(signature_path(signature));
                    if let Some(CasebookRow::Signature(mut row)) = rows.get(&key)?.cloned() {
                        row.dropped.get_or_insert_with(|| Act::of(commit));
                        rows.put(key, CasebookRow::Signature(row));
                    }
                }
                event => {
                    if let Some(form) = form_of(event) {
                        let key = key(form_path(form));
                        let row = match rows.get(&key)?.cloned() {
                            Some(CasebookRow::Form(row)) => row,
                            Some(_) | None => empty(form.clone()),
                        };
                        rows.put(key, CasebookRow::Form(row.after(event, commit)));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The row of what is held. Visits have two steps in their path and forms four, so it is neither's.
const HELD: &str = "held";

/// The row of a signature: three steps, so it is neither a visit's nor a form's.
fn signature_path(signature: &SignatureId) -> String {
    format!("signed/{signature}/by")
}

fn hold(rows: &mut Rows<'_, CasebookRow>, key: RowKey, place: &Place, held: Option<Held>) -> Result<(), Stop> {
    let mut places = match rows.get(&key)?.cloned() {
        Some(CasebookRow::Held(row)) => row.places,
        Some(_) | None => Vec::new(),
    };
    places.retain(|one| one.place != *place);
    places.extend(held.map(|held| HeldPlace { place: place.clone(), held }));
    rows.put(key, CasebookRow::Held(HeldRow { places }));
    Ok(())
}

/// The form whose row a fact changes.
fn form_of(event: &Event) -> Option<&FormKey> {
    match event {
        Event::ItemsSaved { form, .. }
        | Event::FormCompleted { form }
        | Event::FormReopened { form, .. }
        | Event::FormRemoved { form, .. }
        | Event::FormRestored { form, .. }
        | Event::Verified { form, .. }
        | Event::VerificationWithdrawn { form, .. }
        | Event::VerificationReset { form, .. }
        | Event::Reviewed { form, .. }
        | Event::ReviewReset { form, .. } => Some(form),
        _ => None,
    }
}

fn visit_path(visit: &VisitKey) -> String {
    format!("{}/{:010}", visit.visit, visit.visit_repeat)
}

/// The form as a path of ids. Repeats have leading zeros, so that the tenth comes after the ninth.
pub(crate) fn form_path(form: &FormKey) -> String {
    format!("{}/{:010}/{}/{:010}", form.visit, form.visit_repeat, form.form, form.form_repeat)
}

/// The item as a path of ids within its form.
pub(crate) fn item_path(item: &ItemKey) -> String {
    format!("{}/{:010}/{}", item.group, item.group_repeat, item.item)
}

fn empty(form: FormKey) -> FormRow {
    let (completed, removed, reviewed) = (false, false, Vec::new());
    let (acts, items) = (Acts::default(), Named::default());
    FormRow { form, tag: Tag(Revision::NONE), completed, removed, reviewed, acts, items }
}

impl FormRow {
    fn after(mut self, event: &Event, commit: &Commit) -> Self {
        match event {
            Event::ItemsSaved { items, source, .. } => return self.saved(items, *source, commit),
            Event::FormCompleted { .. } => self.completed = true,
            Event::FormReopened { .. } => self.completed = false,
            Event::FormRemoved { .. } => self.removed = true,
            Event::FormRestored { .. } => self.removed = false,
            Event::Verified { items, .. } => self.verify(items, true),
            Event::VerificationWithdrawn { items, .. } | Event::VerificationReset { items, .. } => {
                self.verify(items, false);
            }
            Event::Reviewed { group, .. } if !self.reviewed.contains(group) => self.reviewed.push(group.clone()),
            Event::ReviewReset { groups, .. } => self.reviewed.retain(|group| !groups.contains(group)),
            _ => {}
        }
        self
    }

    fn saved(mut self, items: &[SavedItem], source: Source, commit: &Commit) -> Self {
        self.tag = Tag(commit.header.revision);
        for SavedItem { item, value, not_done, computed, .. } in items {
            let path = item_path(item);
            // Whether a change ends a verification is a fact of its own.
            let verified = self.items.0.get(&path).is_some_and(|before| before.verified);
            // Whoever entered what it is computed of did not enter it.
            let source = if *computed { Source::System } else { source };
            let (item, value) = (item.clone(), value.clone());
            let (not_done, computed, act) = (*not_done, *computed, self.tag);
            let row = ItemRow { item, value, not_done, computed, source, verified, act };
            self.items.0.insert(path, row);
        }
        self.acts.0.insert(commit.header.revision, Act::of(commit));
        // Those of values that were all saved again say nothing any more.
        let items = &self.items.0;
        self.acts.0.retain(|revision, _| items.values().any(|item| item.act.0 == *revision));
        self
    }

    fn verify(&mut self, items: &[ItemKey], verified: bool) {
        for item in items {
            if let Some(row) = self.items.0.get_mut(&item_path(item)) {
                row.verified = verified;
            }
        }
    }
}

// --- readers

/// Every form of a participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Casebook {
    /// The visits of which something is known.
    #[serde(default)]
    pub visits: Vec<Visit>,
    /// The forms of which something is known, by visit and form.
    pub forms: Vec<Form>,
    /// What is frozen or locked.
    #[serde(default)]
    pub held: Vec<HeldPlace>,
}

/// Whether a visit took place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CasebookVisit)]
pub struct Visit {
    /// Which visit.
    #[serde(flatten)]
    pub visit: VisitKey,
    /// On which day it took place, or began; null: it did not.
    pub on: Option<Shown<Day>>,
    /// Why not, or why on another day.
    pub reason: Option<Shown<String>>,
    /// Who said so and when.
    pub act: Act,
}

/// A form with its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Form {
    /// Which form of which visit.
    #[serde(flatten)]
    pub form: FormKey,
    /// The last revision that touched its values: its `ETag`.
    #[schema(value_type = u64)]
    pub tag: Revision,
    /// Everything that is known was entered.
    #[serde(default)]
    pub completed: bool,
    /// It does not belong here: its values count no more.
    #[serde(default)]
    pub removed: bool,
    /// The groups of reviewers who have looked at it as it stands.
    #[serde(default)]
    pub reviewed: Vec<Label>,
    /// Its values, by group and item.
    pub items: Vec<Item>,
    /// Who has answered for it, oldest first; whether that stands is `dropped`. What was verified over the record itself is
    /// at `…/signatures`.
    #[serde(default)]
    pub signatures: Vec<FormSignature>,
}

/// A signature that covers a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FormSignature {
    /// Which one.
    pub signature: SignatureId,
    /// What was signed: this form, its visit, or all of the record.
    pub place: Place,
    /// What it means.
    pub meaning: Meaning,
    /// The name printed with it.
    pub printed_name: Shown<String>,
    /// Who signed and when.
    pub act: Act,
    /// Who changed something of what was signed, and when; null: it holds.
    pub dropped: Option<Act>,
}

/// A value with who saved it and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Item {
    /// The item group's OID.
    pub group: Oid,
    /// Which occurrence of the group on the form, from 1.
    pub group_repeat: u32,
    /// The item's OID.
    pub item: Oid,
    /// The value; null: it was cleared, or not done.
    pub value: Option<Shown<ItemValue>>,
    /// Why there is none.
    #[serde(default)]
    pub not_done: Option<NotDone>,
    /// The platform computed it.
    #[serde(default)]
    pub computed: bool,
    /// What entered it.
    #[serde(default)]
    pub source: Source,
    /// It agrees with its source.
    #[serde(default)]
    pub verified: bool,
    /// How an erasure names this value, if it can be redacted alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redactable: Option<OneValue>,
    /// Who saved it and when.
    pub act: Act,
}

/// Every current value of a participant.
///
/// # Errors
/// What the store and the keys say.
pub async fn show(
    tenant: &Tenant,
    study: &StudyId,
    participant: &ParticipantId,
    visible: &Visible,
) -> Result<Casebook, Failure> {
    let prefix = RowKey::about(Some(study), person(*participant), "");
    let rows = view::scan::<Casebooks>(tenant, &prefix, None, usize::MAX, visible).await?;
    let mut casebook = Casebook { visits: Vec::new(), forms: Vec::new(), held: Vec::new() };
    let mut signatures = Vec::new();
    for (_, OpenRow { row, withheld, .. }) in rows {
        match row {
            CasebookRow::Form(row) => casebook.forms.push(shown(row, &withheld)?),
            CasebookRow::Visit(row) => casebook.visits.push(shown_visit(row, &withheld)),
            CasebookRow::Held(row) => casebook.held = row.places,
            CasebookRow::Signature(row) => signatures.push(shown_signature(row, &withheld)),
        }
    }
    signatures.sort_by_key(|(_, one)| one.act.revision);
    for form in &mut casebook.forms {
        let covers = signatures.iter().filter(|(forms, _)| forms.contains(&form.form));
        form.signatures = covers.map(|(_, one)| one.clone()).collect();
    }
    Ok(casebook)
}

/// One form of a participant.
///
/// # Errors
/// What the store and the keys say.
pub async fn form(
    tenant: &Tenant,
    study: &StudyId,
    participant: &ParticipantId,
    form: &FormKey,
    visible: &Visible,
) -> Result<Option<Form>, Failure> {
    let key = RowKey::about(Some(study), person(*participant), form_path(form));
    Ok(match view::get_visible::<Casebooks>(tenant, &key, visible).await? {
        Some(OpenRow { row: CasebookRow::Form(row), withheld, .. }) => Some(shown(row, &withheld)?),
        Some(_) | None => None,
    })
}

fn shown(row: FormRow, withheld: &BTreeSet<Cell>) -> Result<Form, Failure> {
    let FormRow { form, tag, completed, removed, reviewed, acts, items } = row;
    let act_of = |Tag(revision): Tag| {
        let nobody =
            || Failure::damaged("a form of the read model casebook", format!("nobody did revision {revision}"));
        acts.0.get(&revision).cloned().ok_or_else(nobody)
    };
    let item = |row: ItemRow| {
        Ok(Item {
            act: act_of(row.act)?,
            group: row.item.group,
            group_repeat: row.item.group_repeat,
            item: row.item.item,
            redactable: row.value.as_ref().and_then(|value| OneValue::of(value.scope, &value.part)),
            value: row.value.map(|value| Shown::of_scoped(value, withheld)),
            not_done: row.not_done,
            computed: row.computed,
            source: row.source,
            verified: row.verified,
        })
    };
    let items = items.0.into_values().map(item).collect::<Result<_, Failure>>()?;
    Ok(Form { form, tag: tag.0, completed, removed, reviewed, items, signatures: Vec::new() })
}

fn shown_signature(row: SignatureRow, withheld: &BTreeSet<Cell>) -> (Vec<FormKey>, FormSignature) {
    let SignatureRow { signature, place, meaning, printed_name, forms, act, dropped } = row;
    let printed_name = Shown::of_personal(printed_name, withheld);
    (forms, FormSignature { signature, place, meaning, printed_name, act, dropped })
}

fn shown_visit(row: VisitRow, withheld: &BTreeSet<Cell>) -> Visit {
    let VisitRow { visit, on, reason, act } = row;
    let on = on.map(|on| Shown::of_personal(on, withheld));
    Visit { visit, on, reason: reason.map(|reason| Shown::of_personal(reason, withheld)), act }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World, json, participant};
    use domain::scope::Scope;
    use serde_json::{Value, json};

    fn story() -> Story {
        let mut story = Story::new();
        story.registered(1, "oslo");
        story.registered(2, "oslo");
        story.consented(1);
        let text = Scope::HealthFreeText;
        story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "120"), ("PULSE", Scope::HealthClinical, "60")]);
        story.saved(1, "AE", &[("TERM", text, "headache")]);
        story.saved(1, "VS", &[("SYSBP", Scope::HealthClinical, "125")]);
        story.cleared(1, "VS", "PULSE");
        story.saved(2, "AE", &[("TERM", text, "nausea")]);
        story
    }

    async fn values(world: &World, n: u128, visible: &Visible) -> Vec<(String, Value)> {
        let casebook = show(&world.tenant, &Story::study_id(), &participant(n), visible).await.expect("reads");
        let items = casebook.forms.iter().flat_map(|form| form.items.iter());
        items.map(|item| (item.item.to_string(), json(&item.value))).collect()
    }

    fn named<const N: usize>(values: [(&str, Value); N]) -> Vec<(String, Value)> {
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[tokio::test]
    async fn it_shows_the_current_values_with_tag_and_author() {
        let world = World::of::<Casebooks>(&story()).await;
        assert_eq!(
            values(&world, 1, &Visible::all()).await,
            named([("TERM", json!("headache")), ("PULSE", json!(null)), ("SYSBP", json!("125"))])
        );
        let key = Story::form("VS");
        let vs = form(&world.tenant, &Story::study_id(), &participant(1), &key, &Visible::all()).await;
        let vs = vs.expect("reads").expect("is there");
        assert_eq!((vs.tag, vs.items[1].act.revision), (Revision(6), Revision(5)));
        assert_eq!(json(&vs)["visit"], "V1");
    }

    #[tokio::test]
    async fn an_erased_scope_says_so_and_everything_else_stays() {
        let mut world = World::of::<Casebooks>(&story()).await;
        world.erase::<Casebooks>(1, &[Scope::HealthClinical]).await;
        let erased = json!({"erased": "health.clinical"});
        assert_eq!(
            values(&world, 1, &Visible::all()).await,
            named([("TERM", json!("headache")), ("PULSE", json!(null)), ("SYSBP", erased)])
        );
        assert_eq!(values(&world, 2, &Visible::all()).await, named([("TERM", json!("nausea"))]));
    }

    #[tokio::test]
    async fn one_value_is_redacted_and_its_neighbours_stay() {
        let mut story = story();
        story.saved(1, "AE", &[("OTHER", Scope::HealthFreeText, "dizzy")]);
        let mut world = World::of::<Casebooks>(&story).await;
        let redactable = async |world: &World, item: &str| {
            let casebook =
                show(&world.tenant, &Story::study_id(), &participant(1), &Visible::none()).await.expect("reads");
            let found = casebook.forms.iter().flat_map(|form| &form.items).find(|found| found.item.to_string() == item);
            found.expect("is there").redactable.clone()
        };
        let term = redactable(&world, "TERM").await.expect("a free text has a key of its own");
        assert_eq!(redactable(&world, "SYSBP").await, None, "clinical values share one");
        world.redact::<Casebooks>(1, &[term]).await;
        let erased = json!({"erased": "health.free-text"});
        assert_eq!(
            values(&world, 1, &Visible::all()).await,
            named([("OTHER", json!("dizzy")), ("TERM", erased), ("PULSE", json!(null)), ("SYSBP", json!("125"))])
        );
        assert_eq!(values(&world, 2, &Visible::all()).await, named([("TERM", json!("nausea"))]));
    }

    #[tokio::test]
    async fn what_a_reader_may_not_see_is_withheld() {
        let world = World::of::<Casebooks>(&story()).await;
        let withheld = json!({"withheld": "health.free-text"});
        assert_eq!(values(&world, 2, &Visible::none()).await, named([("TERM", withheld)]));
    }

    /// Everything that can be said of a form beside its values, and of a visit.
    fn told() -> Story {
        let mut story = story();
        let item = |item: &str| ItemKey {
            group: "G".parse().expect("valid"),
            group_repeat: 1,
            item: item.parse().expect("valid"),
        };
        let vs = || Story::form("VS");
        let saved =
            |item: ItemKey, value, not_done, computed| SavedItem { item, value, not_done, computed, reason: None };
        let bmi = DesignScoped {
            scope: Scope::HealthClinical,
            part: domain::scope::Part::all(),
            value: domain::scope::Erasable::Known(ItemValue("21".into())),
        };
        let items =
            vec![saved(item("TEMP"), None, Some(NotDone::Refused), false), saved(item("BMI"), Some(bmi), None, true)];
        let missed = VisitKey { visit: "V2".parse().expect("valid"), visit_repeat: 1 };
        for event in [
            Event::VisitStarted {
                visit: vs().visit(),
                on: Personal::new(Day(time::macros::date!(2026 - 11 - 20))),
                reason: None,
            },
            Event::VisitMissed { visit: missed, reason: Personal::new("on holiday".to_owned()) },
            Event::ItemsSaved { form: vs(), items, source: Source::Device },
            Event::Verified { form: vs(), items: vec![item("SYSBP"), item("BMI")] },
            Event::VerificationReset { form: vs(), items: vec![item("BMI")] },
            Event::Reviewed { form: vs(), group: crate::testing::label("medical") },
            Event::FormCompleted { form: vs() },
            Event::FormRemoved { form: Story::form("AE"), reason: Personal::new("another's".to_owned()) },
            Event::Frozen { place: Place::Participant, reason: None },
            Event::Locked { place: Place::Form(vs()), reason: None },
            Event::Unfrozen { place: Place::Participant, reason: Personal::new("a correction".to_owned()) },
        ] {
            story.participant(1, event);
        }
        story
    }

    #[tokio::test]
    async fn it_says_what_stands_beside_the_values() {
        let world = World::of::<Casebooks>(&told()).await;
        let all = show(&world.tenant, &Story::study_id(), &participant(1), &Visible::all()).await.expect("reads");
        let [ae, vs] = all.forms.as_slice() else { panic!("{:?}", all.forms) };
        assert_eq!((ae.completed, ae.removed, vs.completed, vs.removed), (false, true, true, false));
        assert_eq!(json(&vs.reviewed), json!(["medical"]));
        let said: Vec<_> =
            vs.items.iter().map(|one| (one.item.as_str(), one.not_done, one.computed, one.verified)).collect();
        assert_eq!(
            said,
            [
                ("BMI", None, true, false),
                ("PULSE", None, false, false),
                ("SYSBP", None, false, true),
                ("TEMP", Some(NotDone::Refused), false, false),
            ]
        );
        assert_eq!((vs.items[0].source, vs.items[2].source), (Source::System, Source::User), "BMI was computed");
        assert_eq!(vs.tag, vs.items[0].act.revision, "what is said of a form is no new tag of its values");
        let [first, second] = all.visits.as_slice() else { panic!("{:?}", all.visits) };
        assert_eq!(
            (json(&first.on), json(&second.on), json(&second.reason)),
            (json!("2026-11-20"), json!(null), json!("on holiday"))
        );
        assert_eq!(
            json(&all.held),
            json!([{"place": {"level": "form", "visit": "V1", "visit_repeat": 1, "form": "VS", "form_repeat": 1}, "held": "locked"}])
        );
    }

    #[tokio::test]
    async fn a_form_says_who_answered_for_it_and_whether_that_stands() {
        let mut story = told();
        let signed = |signature: &str, place: Place| Event::Signed {
            signature: signature.parse().expect("valid"),
            place,
            meaning: Meaning::Responsibility,
            forms: vec![domain::participant::SignedForm { form: Story::form("VS"), tag: Revision(3) }],
            design: domain::history::CommitHash([1; 32]),
            digest: domain::history::CommitHash([2; 32]),
            factors: vec![domain::participant::Factor::Token],
            printed_name: Personal::new("Grace Hopper".to_owned()),
        };
        let place = Place::Form(Story::form("VS"));
        story.participant(1, signed("s1", place.clone()));
        story.participant(1, Event::SignatureDropped { signature: "s1".parse().expect("valid"), place });
        story.participant(1, signed("s2", Place::Participant));
        let mut world = World::of::<Casebooks>(&story).await;
        let found = async |world: &World, visible: &Visible| {
            let all = show(&world.tenant, &Story::study_id(), &participant(1), visible).await.expect("reads");
            let [ae, vs] = all.forms.as_slice() else { panic!("{:?}", all.forms) };
            assert!(ae.signatures.is_empty(), "nobody signed it");
            let one = |one: &FormSignature| {
                (one.signature.to_string(), one.meaning, json(&one.printed_name), one.dropped.is_some())
            };
            vs.signatures.iter().map(one).collect::<Vec<_>>()
        };
        let line = |id: &str, name: Value, dropped| (id.to_owned(), Meaning::Responsibility, name, dropped);
        let name = || json!("Grace Hopper");
        assert_eq!(found(&world, &Visible::all()).await, [line("s1", name(), true), line("s2", name(), false)]);
        let monitor = Visible::of(domain::permit::Role::Monitor);
        assert_eq!(
            found(&world, &monitor).await[1],
            line("s2", name(), false),
            "whoever sees a signature sees the name"
        );
        let withheld = json!({"withheld": "user.signature"});
        let program = Visible::of(domain::permit::Role::Integrator);
        assert_eq!(found(&world, &program).await[1], line("s2", withheld, false));
        assert!(!world.store.contains_bytes(b"Grace Hopper"));
        world.erase::<Casebooks>(1, &[Scope::UserSignature]).await;
        let erased = json!({"erased": "user.signature"});
        assert_eq!(found(&world, &Visible::all()).await[1], line("s2", erased, false));
    }

    #[tokio::test]
    async fn the_day_of_a_visit_goes_with_its_scope() {
        let mut world = World::of::<Casebooks>(&told()).await;
        world.erase::<Casebooks>(1, &[Scope::HealthClinical]).await;
        let all = show(&world.tenant, &Story::study_id(), &participant(1), &Visible::all()).await.expect("reads");
        assert_eq!(json(&all.visits[0].on), json!({"erased": "health.clinical"}));
        assert_eq!(all.forms[1].items[3].not_done, Some(NotDone::Refused), "why nothing was measured is structure");
    }

    #[tokio::test]
    async fn no_value_is_in_the_store_in_the_clear() {
        let world = World::of::<Casebooks>(&story()).await;
        assert!(!world.store.contains_bytes(b"headache") && world.store.contains_bytes(b"TERM"));
    }
}
