//! How people come in, over all accounts, newest first; and what somebody opened or had built again at the operator's desk.
//! Ids and structure alone: from where somebody came is not taken over.

use domain::Moment;
use domain::account::{self, EndCause, Event, OpeningReason};
use domain::field::Fact as _;
use domain::history::{Aggregate, Commit, CommitHash};
use domain::ids::{Label, SessionId, StudyId, UserId};
use domain::port::{Failure, Tenant};
use domain::structural;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{RowKey, kinds};
use crate::shown::Visible;
use crate::view;

// --- row

/// Something that happened at the door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AtTheDoor)]
pub struct SignIn {
    /// When.
    pub at: Moment,
    /// What: the name of a fact, such as `session-begun` or `sign-in-failed`.
    pub what: String,
    /// To whose account.
    pub user: UserId,
    /// Who did it, by the commit's header.
    pub by: UserId,
    /// In which session.
    pub session: Option<SessionId>,
    /// Why a session ended before its time.
    pub cause: Option<EndCause>,
    /// Until when nobody signs in to this account, if this failure was one too many.
    pub locked_until: Option<Moment>,
}

/// A look into a sealed commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CommitOpening)]
pub struct Opening {
    /// When.
    pub at: Moment,
    /// Who looked.
    pub user: UserId,
    /// The study in whose journal stream the commit stands; none: in the tenant's own.
    pub study: Option<StudyId>,
    /// Where in it.
    pub sequence: u64,
    /// The commit's hash.
    pub hash: CommitHash,
    /// Why.
    pub reason: OpeningReason,
}

/// A rebuild that somebody ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// When.
    pub at: Moment,
    /// Who.
    pub user: UserId,
    /// Which read model; none: all.
    pub projection: Option<Label>,
}

/// How often somebody failed in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InARow(u32);

structural!(SignIn, Opening, Ordered, InARow);

kinds! {
    /// What the table holds.
    pub enum Kept {
        /// Something that happened at the door.
        "sign-in" SignIn(SignIn),
        /// A look into a commit.
        "opening" Opening(Opening),
        /// A rebuild.
        "rebuild" Ordered(Ordered),
        /// What an account has failed since its holder last came in.
        "failures" InARow(InARow),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct SignIns;

impl Projection for SignIns {
    const NAME: &'static str = "sign-ins";
    const VERSION: u32 = 1;
    type Row = Kept;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Account
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, Kept>) -> Result<(), Stop> {
        let Some(person) = commit.header.stream.data_subject() else {
            return Ok(());
        };
        let (user, at) = (UserId(person.0), commit.header.stored_at);
        let failures = RowKey::plain(None, format!("failures/{user}"));
        for (index, event) in commit.facts::<Event>()?.into_iter().enumerate() {
            let key = |kind: &str| RowKey::plain(None, newest_first(kind, commit.position.sequence, index));
            let mut shown = sign_in(&event, commit, user);
            match event {
                Event::SignInFailed { .. } => {
                    let before = match rows.get(&failures)? {
                        Some(Kept::InARow(InARow(count))) => *count,
                        Some(_) | None => 0,
                    };
                    let count = before.saturating_add(1);
                    let pause = account::pause_after(count);
                    shown.locked_until = (!pause.is_zero()).then(|| Moment(at + pause));
                    rows.put(failures.clone(), Kept::InARow(InARow(count)));
                }
                Event::CredentialsSet { .. } | Event::SessionBegun { .. } | Event::Reauthenticated { .. } => {
                    rows.put(failures.clone(), Kept::InARow(InARow(0)));
                }
                Event::CommitOpened { study, sequence, hash, reason, .. } => {
                    let opening = Opening { at: Moment(at), user, study, sequence, hash, reason };
                    rows.put(key("opening"), Kept::Opening(opening));
                }
                Event::RebuildOrdered { projection, .. } => {
                    rows.put(key("rebuild"), Kept::Ordered(Ordered { at: Moment(at), user, projection }));
                }
                _ => {}
            }
            rows.put(key("at"), Kept::SignIn(shown));
        }
        Ok(())
    }
}

/// Keys are read in ascending order, so that the newest has the least.
fn newest_first(kind: &str, sequence: u64, index: usize) -> String {
    format!("{kind}/{:020}/{:04}", u64::MAX - sequence, 9999 - index.min(9999))
}

fn sign_in(event: &Event, commit: &Commit, user: UserId) -> SignIn {
    let (session, cause) = match event {
        Event::SessionBegun { session, .. }
        | Event::PasswordChanged { session, .. }
        | Event::Reauthenticated { session, .. }
        | Event::CommitOpened { session, .. }
        | Event::RebuildOrdered { session, .. } => (Some(*session), None),
        Event::SessionEnded { session, cause } => (Some(*session), Some(*cause)),
        _ => (None, None),
    };
    SignIn {
        at: Moment(commit.header.stored_at),
        what: event.name().to_owned(),
        user,
        by: commit.header.actor.id,
        session,
        cause,
        locked_until: None,
    }
}

// --- readers

async fn newest<T>(
    tenant: &Tenant,
    kind: &str,
    most: usize,
    wanted: impl Fn(Kept) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    let prefix = RowKey::plain(None, format!("{kind}/"));
    let found = view::scan::<SignIns>(tenant, &prefix, None, most, &Visible::none()).await?;
    Ok(found.into_iter().filter_map(|(_, open)| wanted(open.row)).collect())
}

/// The newest things that happened at the door, at most so many.
///
/// # Errors
/// What the store says.
pub async fn list(tenant: &Tenant, most: usize) -> Result<Vec<SignIn>, Failure> {
    newest(tenant, "at", most, |row| if let Kept::SignIn(one) = row { Some(one) } else { None }).await
}

/// The newest looks into commits, at most so many.
///
/// # Errors
/// What the store says.
pub async fn openings(tenant: &Tenant, most: usize) -> Result<Vec<Opening>, Failure> {
    newest(tenant, "opening", most, |row| if let Kept::Opening(one) = row { Some(one) } else { None }).await
}

/// The newest orders of rebuilds, at most so many.
///
/// # Errors
/// What the store says.
pub async fn ordered(tenant: &Tenant, most: usize) -> Result<Vec<Ordered>, Failure> {
    newest(tenant, "rebuild", most, |row| if let Kept::Ordered(one) = row { Some(one) } else { None }).await
}

/// What happened in one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SignInCounts)]
pub struct Counts {
    /// Sessions that began.
    pub begun: u64,
    /// Tries that proved nothing.
    pub failed: u64,
    /// Of those, such that locked an account for a while.
    pub locked: u64,
}

/// So many of the newest are counted at most.
const COUNTED_MAX: usize = 100_000;

/// The counts of the last `hours` hours before `now`, oldest first: each with when it begins.
///
/// # Errors
/// What the store says.
pub async fn by_hour(
    tenant: &Tenant,
    now: OffsetDateTime,
    hours: u32,
) -> Result<Vec<(OffsetDateTime, Counts)>, Failure> {
    let this = now.replace_time(time::Time::from_hms(now.hour(), 0, 0).unwrap_or(time::Time::MIDNIGHT));
    let first = this - time::Duration::HOUR * hours.saturating_sub(1);
    let mut counted: Vec<_> = (0..hours).map(|hour| (first + time::Duration::HOUR * hour, Counts::default())).collect();
    for one in list(tenant, COUNTED_MAX).await? {
        let Ok(hour) = usize::try_from((one.at.0 - first).whole_hours()) else { continue };
        if one.at.0 < first {
            continue;
        }
        let Some((_, counts)) = counted.get_mut(hour) else { continue };
        match one.what.as_str() {
            "session-begun" => counts.begun += 1,
            "sign-in-failed" => counts.failed += 1,
            _ => {}
        }
        counts.locked += u64::from(one.locked_until.is_some());
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World};
    use domain::account::Second;
    use domain::ids::{AttemptId, RightId};
    use domain::scope::Personal;
    use time::macros::datetime;
    use uuid::Uuid;

    const SESSION: SessionId = SessionId(Uuid::from_u128(3));
    const NINE: OffsetDateTime = datetime!(2026-11-22 09:10 UTC);
    const TEN: OffsetDateTime = datetime!(2026-11-22 10:20 UTC);

    fn failed(n: u128) -> Event {
        let address = Some(Personal::new("203.0.113.7".to_owned()));
        Event::SignInFailed { attempt: AttemptId(Uuid::from_u128(n)), address }
    }

    fn begun() -> Event {
        Event::SessionBegun {
            session: SESSION,
            token_hash: CommitHash([5; 32]),
            right: RightId(Uuid::from_u128(2)),
            expires_at: Moment(datetime!(2026-11-22 12:30 UTC)),
            second: Second::OneTime(2),
            address: None,
        }
    }

    fn story() -> Story {
        let mut story = Story::new();
        story.at(NINE);
        (0..5).for_each(|n| story.account(1, failed(n)));
        story.account(2, failed(9));
        story.at(TEN);
        story.account(1, begun());
        story.account(1, failed(6));
        let (attempt, reason) = (AttemptId(Uuid::from_u128(7)), OpeningReason::Fault);
        let hash = CommitHash([1; 32]);
        story.account(1, Event::CommitOpened { attempt, session: SESSION, study: None, sequence: 4, hash, reason });
        story
    }

    #[tokio::test]
    async fn what_happened_at_the_door_is_listed_newest_first_and_without_an_address() {
        let world = World::of::<SignIns>(&story()).await;
        let all = list(&world.tenant, 100).await.expect("reads");
        let named: Vec<_> = all.iter().map(|one| one.what.as_str()).take(3).collect();
        assert_eq!(named, ["commit-opened", "sign-in-failed", "session-begun"]);
        assert_eq!(all.len(), 9);
        assert_eq!(list(&world.tenant, 2).await.expect("reads").len(), 2);
        let told = serde_json::to_string(&all).expect("plain data");
        assert!(!told.contains("203.0.113"), "{told}");
        let opened = openings(&world.tenant, 9).await.expect("reads");
        assert_eq!((opened.len(), opened[0].sequence, opened[0].reason), (1, 4, OpeningReason::Fault));
        assert_eq!(ordered(&world.tenant, 9).await.expect("reads"), []);
    }

    #[tokio::test]
    async fn the_fifth_failure_in_a_row_locks_and_one_who_came_in_begins_anew() {
        let world = World::of::<SignIns>(&story()).await;
        let all = list(&world.tenant, 100).await.expect("reads");
        let locked: Vec<_> = all.iter().filter_map(|one| one.locked_until).collect();
        assert_eq!(locked, [Moment(NINE + time::Duration::seconds(30))]);
    }

    #[tokio::test]
    async fn the_hours_are_counted_and_what_is_older_is_not() {
        let world = World::of::<SignIns>(&story()).await;
        let now = datetime!(2026-11-22 10:59 UTC);
        let hours = by_hour(&world.tenant, now, 2).await.expect("reads");
        let (nine, ten) = (datetime!(2026-11-22 9:00 UTC), datetime!(2026-11-22 10:00 UTC));
        let expected =
            [(nine, Counts { begun: 0, failed: 6, locked: 1 }), (ten, Counts { begun: 1, failed: 1, locked: 0 })];
        assert_eq!(hours, expected);
        assert_eq!(by_hour(&world.tenant, now, 1).await.expect("reads"), expected[1..]);
    }
}
