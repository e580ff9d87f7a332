//! Bearer tokens: from the hash of a secret to the one who stands behind it. Nothing personal: no name is kept.

use domain::Moment;
use domain::history::{Actor, Aggregate, Commit, CommitHash};
use domain::ids::{TokenId, UserId};
use domain::permit::Principal;
use domain::port::{Failure, Tenant};
use domain::structural;
use domain::user::{AccountKind, Event, Grant};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{RowKey, kinds};
use crate::view;

// --- row

/// A user: what a token needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    kind: AccountKind,
}

/// A token of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    kind: AccountKind,
    grant: Grant,
    revoked: bool,
}

/// Whose token has this hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    user: UserId,
    token: TokenId,
}

structural!(Account, Issued, Hashed);

kinds! {
    /// What the table holds.
    pub enum TokenRow {
        /// A user.
        "account" Account(Account),
        /// A token.
        "issued" Issued(Issued),
        /// A token's hash.
        "hashed" Hashed(Hashed),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Tokens;

impl Projection for Tokens {
    const NAME: &'static str = "tokens";
    const VERSION: u32 = 2;
    type Row = TokenRow;

    fn takes(aggregate: Aggregate) -> bool {
        aggregate == Aggregate::User
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, TokenRow>) -> Result<(), Stop> {
        let Some(person) = commit.header.stream.data_subject() else {
            return Ok(());
        };
        let user = UserId(person.0);
        let account = account_key(user);
        for event in commit.facts::<Event>()? {
            match event {
                Event::Registered { kind, .. } => rows.put(account.clone(), TokenRow::Account(Account { kind })),
                Event::TokenIssued { token, grant } => {
                    if let Some(TokenRow::Account(Account { kind })) = rows.get(&account)? {
                        let issued = Issued { kind: *kind, grant, revoked: false };
                        rows.put(hash_key(&issued.grant.token_hash), TokenRow::Hashed(Hashed { user, token }));
                        rows.put(token_key(user, token), TokenRow::Issued(issued));
                    }
                }
                Event::TokenRevoked { token } => {
                    let key = token_key(user, token);
                    if let Some(TokenRow::Issued(issued)) = rows.get(&key)? {
                        let revoked = TokenRow::Issued(Issued { revoked: true, ..issued.clone() });
                        rows.put(key, revoked);
                    }
                }
            }
        }
        Ok(())
    }
}

fn account_key(user: UserId) -> RowKey {
    RowKey::plain(None, format!("account/{user}"))
}

fn token_key(user: UserId, token: TokenId) -> RowKey {
    RowKey::plain(None, format!("token/{user}/{token}"))
}

fn hash_key(hash: &CommitHash) -> RowKey {
    RowKey::plain(None, format!("hash/{hash}"))
}

// --- readers

/// Who stands behind the token with this hash at `now`; none if it is unknown, revoked or expired.
///
/// # Errors
/// What the store says.
pub async fn principal_of(
    tenant: &Tenant,
    token_hash: &CommitHash,
    now: OffsetDateTime,
) -> Result<Option<Principal>, Failure> {
    let Some(TokenRow::Hashed(Hashed { user, token })) = view::get::<Tokens>(tenant, &hash_key(token_hash)).await?
    else {
        return Ok(None);
    };
    match view::get::<Tokens>(tenant, &token_key(user, token)).await? {
        // Another user may have been given a token of the same hash since: only the one that is named counts.
        Some(TokenRow::Issued(Issued { kind, grant, revoked: false }))
            if grant.token_hash == *token_hash && Moment(now) < grant.expires_at =>
        {
            let Grant { role, environment, organisation, sites, .. } = grant;
            let actor = Actor { id: user, kind: kind.into(), role, organisation };
            Ok(Some(Principal { tenant: tenant.id.clone(), environment, actor, sites, session: None }))
        }
        Some(_) | None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World};
    use domain::history::ActorKind;
    use domain::permit::{Role, Sites};
    use domain::scope::Personal;
    use time::macros::datetime;
    use uuid::Uuid;

    const TOKEN: TokenId = TokenId(Uuid::from_u128(5));
    const HASH: CommitHash = CommitHash([7; 32]);

    fn story() -> Story {
        let mut story = Story::new();
        let organisation = || "hospital".parse().expect("valid");
        let name = Personal::new("Grace Hopper".to_owned());
        story.user(1, Event::Registered { kind: AccountKind::ServiceAccount, organisation: organisation(), name });
        let grant = Grant {
            token_hash: HASH,
            role: Role::Monitor,
            environment: domain::ids::Environment::Test,
            organisation: organisation(),
            sites: Sites::Only(["oslo".parse().expect("valid")].into()),
            expires_at: Moment(datetime!(2026-12-01 00:00 UTC)),
        };
        story.user(1, Event::TokenIssued { token: TOKEN, grant });
        story
    }

    #[tokio::test]
    async fn a_hash_leads_to_its_principal_until_the_token_expires() {
        let world = World::of::<Tokens>(&story()).await;
        let before = principal_of(&world.tenant, &HASH, datetime!(2026-11-30 23:59:59 UTC)).await.expect("reads");
        let principal = before.expect("is there");
        assert_eq!((principal.actor.kind, principal.actor.role), (ActorKind::ServiceAccount, Role::Monitor));
        assert!(!principal.sites.contains(&"bergen".parse().expect("valid")));
        for (hash, now) in
            [(HASH, datetime!(2026-12-01 00:00 UTC)), (CommitHash([8; 32]), datetime!(2026-11-30 00:00 UTC))]
        {
            assert_eq!(principal_of(&world.tenant, &hash, now).await.expect("reads"), None, "{hash} at {now}");
        }
        assert!(!world.store.contains_bytes(b"Hopper"));
    }

    #[tokio::test]
    async fn a_revoked_token_opens_nothing() {
        let mut story = story();
        story.user(1, Event::TokenRevoked { token: TOKEN });
        let world = World::of::<Tokens>(&story).await;
        let now = datetime!(2026-11-30 00:00 UTC);
        assert_eq!(principal_of(&world.tenant, &HASH, now).await.expect("reads"), None);
    }
}
