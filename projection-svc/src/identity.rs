//! Who one participant is: what holds now, each detail sealed under the key of its scope.

use domain::history::{Aggregate, Commit, Revision};
use domain::identity::{Detail, Details, Event};
use domain::ids::{ParticipantId, StudyId};
use domain::port::{Failure, Tenant};
use domain::scope::{DesignScoped, Part};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, Named, RowKey, Tag, person};
use crate::shown::{Shown, Visible};
use crate::view;

// --- row

domain::fields! {
    /// What is known of one participant.
    pub struct IdentityRow {
        /// The last revision that touched it.
        pub tag: Tag,
        /// The details that hold now, by name.
        pub details: Named<DetailRow>,
    }
}

domain::fields! {
    /// One detail.
    pub struct DetailRow {
        /// Which.
        pub detail: Detail,
        /// Its value.
        pub value: DesignScoped<String>,
        /// Who recorded it and when.
        pub act: Act,
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Identities;

impl Projection for Identities {
    const NAME: &'static str = "identity";
    const VERSION: u32 = 2;
    type Row = IdentityRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Identity
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, IdentityRow>) -> Result<(), Stop> {
        let stream = &commit.header.stream;
        let (Some(study), Some(person)) = (&stream.journal.study, stream.data_subject()) else {
            return Ok(());
        };
        let key = RowKey::about(Some(study), person, "identity");
        for event in commit.facts::<Event>()? {
            let (details, cleared) = match event {
                Event::Recorded { details } => (details, Vec::new()),
                Event::Rectified { details, cleared, .. } => (details, cleared),
                Event::Fenced { .. } | Event::Restricted {} | Event::RestrictionLifted {} => continue,
            };
            let row = rows.get(&key)?.cloned().unwrap_or_else(empty);
            rows.put(key.clone(), row.after(&details, &cleared, commit));
        }
        Ok(())
    }
}

fn empty() -> IdentityRow {
    IdentityRow { tag: Tag(Revision::NONE), details: Named::default() }
}

impl IdentityRow {
    fn after(mut self, details: &Details, cleared: &[Detail], commit: &Commit) -> Self {
        self.tag = Tag(commit.header.revision);
        for detail in cleared {
            self.details.0.remove(detail.as_str());
        }
        for (detail, scope, value) in details.present() {
            // Details have no parts of their own: only texts can be redacted one by one.
            let value = DesignScoped { scope, part: Part::all(), value: value.clone() };
            self.details.0.insert(detail.as_str().to_owned(), DetailRow { detail, value, act: Act::of(commit) });
        }
        self
    }
}

// --- readers

/// Who a participant is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// The last revision that touched it: its `ETag`.
    #[schema(value_type = u64)]
    pub tag: Revision,
    /// The details that were recorded and not cleared.
    pub details: Vec<DetailShown>,
}

/// One detail with who recorded it and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = IdentityDetail)]
pub struct DetailShown {
    /// Which.
    pub detail: Detail,
    /// Its value.
    pub value: Shown<String>,
    /// Who recorded it and when.
    pub act: Act,
}

/// Who a participant is, opened as far as `visible` goes; none if nobody recorded it.
///
/// # Errors
/// What the store and the keys say.
pub async fn show(
    tenant: &Tenant,
    study: &StudyId,
    participant: &ParticipantId,
    visible: &Visible,
) -> Result<Option<Identity>, Failure> {
    let key = RowKey::about(Some(study), person(*participant), "identity");
    let Some(open) = view::get_visible::<Identities>(tenant, &key, visible).await? else {
        return Ok(None);
    };
    let detail = |DetailRow { detail, value, act }: DetailRow| DetailShown {
        detail,
        value: Shown::of_scoped(value, &open.withheld),
        act,
    };
    let IdentityRow { tag, details } = open.row;
    Ok(Some(Identity { tag: tag.0, details: details.0.into_values().map(detail).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World, details, json, participant};
    use domain::scope::{Personal, Scope};
    use serde_json::{Value, json};

    fn story() -> Story {
        let mut story = Story::new();
        story.registered(1, "oslo");
        let recorded = details([
            (Detail::FamilyName, "Lovelace"),
            (Detail::Email, "ada@example.org"),
            (Detail::Telephone, "+47 22 00 00 00"),
        ]);
        story.identity(1, Event::Recorded { details: recorded });
        story.identity(
            1,
            Event::Rectified {
                details: details([(Detail::FamilyName, "King")]),
                cleared: vec![Detail::Telephone],
                reason: Some(Personal::new("married".to_owned())),
            },
        );
        story
    }

    async fn values(world: &World, visible: &Visible) -> Vec<(Detail, Value)> {
        let identity = show(&world.tenant, &Story::study_id(), &participant(1), visible).await.expect("reads");
        identity.expect("is there").details.iter().map(|shown| (shown.detail, json(&shown.value))).collect()
    }

    #[tokio::test]
    async fn it_shows_what_holds_now() {
        let world = World::of::<Identities>(&story()).await;
        assert_eq!(
            values(&world, &Visible::all()).await,
            [(Detail::Email, json!("ada@example.org")), (Detail::FamilyName, json!("King"))]
        );
        assert!(!world.store.contains_bytes(b"King") && world.store.contains_bytes(b"family_name"));
        let none = show(&world.tenant, &Story::study_id(), &participant(2), &Visible::all()).await;
        assert_eq!(none.expect("reads"), None);
    }

    #[tokio::test]
    async fn forgetting_the_contact_keeps_the_name() {
        let mut world = World::of::<Identities>(&story()).await;
        world.erase::<Identities>(1, &[Scope::IdentityContact]).await;
        assert_eq!(
            values(&world, &Visible::all()).await,
            [(Detail::Email, json!({"erased": "identity.contact"})), (Detail::FamilyName, json!("King"))]
        );
    }
}
