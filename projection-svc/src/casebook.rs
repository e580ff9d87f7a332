//! The casebook: every current value of one participant, form by form, sealed at rest.

use domain::design::ItemValue;
use domain::history::{Aggregate, Commit, Revision};
use domain::ids::{Oid, ParticipantId, StudyId};
use domain::participant::{Event, FormKey, ItemKey, SavedItem};
use domain::port::{Failure, Tenant};
use domain::scope::{DesignScoped, OneValue};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cells::OpenRow;
use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, Named, RowKey, Tag, person};
use crate::shown::{Shown, Visible};
use crate::view;

// --- row

domain::fields! {
    /// One form instance: one row.
    pub struct FormRow {
        /// Which form of which visit.
        pub form: FormKey,
        /// The last revision that touched it.
        pub tag: Tag,
        /// Its values, by group, repeat and item.
        pub items: Named<ItemRow>,
    }
}

domain::fields! {
    /// One value.
    pub struct ItemRow {
        /// Which item.
        pub item: ItemKey,
        /// Its value; none: cleared.
        pub value: Option<DesignScoped<ItemValue>>,
        /// Who saved it and when.
        pub act: Act,
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Casebooks;

impl Projection for Casebooks {
    const NAME: &'static str = "casebook";
    const VERSION: u32 = 1;
    type Row = FormRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Participant
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, FormRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let (Some(study), Some(person)) = (&stream.journal.study, stream.data_subject()) else {
            return Ok(());
        };
        for event in commit.facts::<Event>()? {
            if let Event::ItemsSaved { form, items, .. } = event {
                let key = RowKey::about(Some(study), person, form_path(&form));
                let row = rows.get(&key)?.cloned().unwrap_or_else(|| empty(form));
                rows.put(key, row.saved(items, commit));
            }
        }
        Ok(())
    }
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
    FormRow { form, tag: Tag(Revision::NONE), items: Named::default() }
}

impl FormRow {
    fn saved(mut self, items: Vec<SavedItem>, commit: &Commit) -> Self {
        self.tag = Tag(commit.header.revision);
        for SavedItem { item, value, .. } in items {
            let row = ItemRow { item, value, act: Act::of(commit) };
            self.items.0.insert(item_path(&row.item), row);
        }
        self
    }
}

// --- readers

/// Every form of a participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Casebook {
    /// The forms that were saved, by visit and form.
    pub forms: Vec<Form>,
}

/// A form with its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Form {
    /// Which form of which visit.
    #[serde(flatten)]
    pub form: FormKey,
    /// The last revision that touched it: its `ETag`.
    #[schema(value_type = u64)]
    pub tag: Revision,
    /// Its values, by group and item.
    pub items: Vec<Item>,
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
    /// The value; null: it was cleared.
    pub value: Option<Shown<ItemValue>>,
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
    Ok(Casebook { forms: rows.into_iter().map(|(_, open)| shown(open)).collect() })
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
    Ok(view::get_visible::<Casebooks>(tenant, &key, visible).await?.map(shown))
}

fn shown(open: OpenRow<FormRow>) -> Form {
    let OpenRow { row: FormRow { form, tag, items }, withheld, .. } = open;
    let item = |ItemRow { item, value, act }: ItemRow| Item {
        group: item.group,
        group_repeat: item.group_repeat,
        item: item.item,
        redactable: value.as_ref().and_then(|value| OneValue::of(value.scope, &value.part)),
        value: value.map(|value| Shown::of_scoped(value, &withheld)),
        act,
    };
    Form { form, tag: tag.0, items: items.0.into_values().map(item).collect() }
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

    #[tokio::test]
    async fn no_value_is_in_the_store_in_the_clear() {
        let world = World::of::<Casebooks>(&story()).await;
        assert!(!world.store.contains_bytes(b"headache") && world.store.contains_bytes(b"TERM"));
    }
}
