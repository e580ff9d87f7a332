//! Reviews: who looked through which part of an audit trail, or through who may come in, when, and what was found.

use domain::account::{Event, Reviewed};
use domain::history::{Aggregate, Commit};
use domain::ids::{Environment, ReviewId};
use domain::port::{Failure, Tenant};
use domain::scope::{Personal, tag};
use domain::structural;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{Act, RowKey, kinds};
use crate::shown::{Shown, Visible};
use crate::view;

// --- row

domain::fields! {
    /// One review.
    pub struct ReviewRow {
        /// What was found.
        pub finding: Personal<String, tag::UserFreeText>,
        /// The rest, which is not personal.
        pub made: Made,
    }
}

/// What is not personal of a review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    review: ReviewId,
    of: Reviewed,
    environment: Environment,
    act: Act,
}

structural!(Made);

kinds! {
    /// What the table holds.
    pub enum Kept {
        /// A review.
        "review" Review(ReviewRow),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Reviews;

impl Projection for Reviews {
    const NAME: &'static str = "reviews";
    const VERSION: u32 = 1;
    type Row = Kept;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Account
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, Kept>) -> Result<(), Stop> {
        let Some(person) = commit.header.stream.data_subject() else { return Ok(()) };
        for event in commit.facts::<Event>()? {
            if let Event::ReviewRecorded { review, of, finding } = event {
                let made = Made { review, of, environment: commit.header.environment, act: Act::of(commit) };
                let key = RowKey::about(None, person, format!("review/{review}"));
                rows.put(key, Kept::Review(ReviewRow { finding, made }));
            }
        }
        Ok(())
    }
}

// --- readers

/// A review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Review {
    /// Its id.
    pub review: ReviewId,
    /// Of what.
    pub of: Reviewed,
    /// What was found, and what is done about it.
    #[schema(inline)]
    pub finding: Shown<String>,
    /// By whom, and when.
    pub act: Act,
}

/// The reviews that were recorded in an environment and that `wanted` names, the newest first.
///
/// # Errors
/// What the store and the keys say.
pub async fn list(
    tenant: &Tenant,
    environment: Environment,
    wanted: impl Fn(&Reviewed) -> bool,
    visible: &Visible,
) -> Result<Vec<Review>, Failure> {
    let mut found = Vec::new();
    for (_, open) in view::whole::<Reviews>(tenant, visible).await? {
        let Kept::Review(ReviewRow { finding, made }) = open.row;
        if made.environment == environment && wanted(&made.of) {
            let finding = Shown::of_personal(finding, &open.withheld);
            found.push(Review { review: made.review, of: made.of, finding, act: made.act });
        }
    }
    found.sort_by_key(|review| std::cmp::Reverse((review.act.stored_at, review.review)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World};
    use domain::history::DataSubject;
    use domain::scope::{Erasable, Extent, Part, Scope};
    use uuid::Uuid;

    fn recorded(n: u128, of: Reviewed, finding: &str) -> Event {
        let part = Part::try_from(format!("{n}-0")).expect("valid");
        let finding = Personal::in_part(part, Erasable::Known(finding.to_owned()));
        Event::ReviewRecorded { review: ReviewId(Uuid::from_u128(n)), of, finding }
    }

    fn trail(after: u64, through: u64) -> Reviewed {
        Reviewed::AuditTrail { study: Story::study_id(), sites: domain::permit::Sites::All, after, through }
    }

    #[tokio::test]
    async fn reviews_are_listed_newest_first_and_their_findings_are_sealed() {
        let mut story = Story::new();
        story.account(7, recorded(1, trail(0, 5), "SECRET one"));
        story.account(7, recorded(2, Reviewed::Access {}, "SECRET two"));
        story.account(8, recorded(3, trail(5, 9), "SECRET three"));
        let world = World::of::<Reviews>(&story).await;
        let of_trail = |of: &Reviewed| matches!(of, Reviewed::AuditTrail { .. });
        let listed =
            async |visible: &Visible| list(&world.tenant, Environment::Test, of_trail, visible).await.expect("reads");
        let ids: Vec<_> = listed(&Visible::all()).await.into_iter().map(|review| review.review.0.as_u128()).collect();
        assert_eq!(ids, [3, 1]);
        assert!(!world.store.contains_bytes(b"SECRET"));
        let scope = Scope::UserFreeText;
        assert_eq!(listed(&Visible::none()).await[0].finding, Shown::Withheld { withheld: scope });
        world.keys.erase(DataSubject(Uuid::from_u128(8)), &Extent::of_scopes([scope]));
        assert_eq!(listed(&Visible::all()).await[0].finding, Shown::Erased { erased: scope });
        assert_eq!(listed(&Visible::all()).await[1].finding, Shown::Value("SECRET one".to_owned()));
    }
}
