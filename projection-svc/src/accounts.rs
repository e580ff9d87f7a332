//! Accounts: whose a login is, what a session's secret opens, which link is out. A login and a name are sealed; they are found
//! by opening them, so nothing that is derived from one is ever stored.

use std::collections::BTreeMap;

use domain::Moment;
use domain::account::{self, Link, Terms};
use domain::history::{Actor, ActorKind, Aggregate, Commit, CommitHash, DataSubject};
use domain::ids::{RightId, SessionId, UserId};
use domain::permit::Principal;
use domain::port::{Failure, Tenant};
use domain::scope::{Personal, tag};
use domain::structural;
use domain::user::{self, AccountKind};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::projection::{Projection, Rows, Stop};
use crate::row::{RowKey, kinds};
use crate::shown::{Shown, Visible};
use crate::view;

// --- row

domain::fields! {
    /// What is known of one account.
    pub struct AccountRow {
        /// Its name, for people.
        pub name: Option<Personal<String, tag::UserProfile>>,
        /// By which name its holder signs in.
        pub login: Option<Personal<String, tag::UserProfile>>,
        /// Which identity provider knows its holder.
        pub issuer: Option<Personal<String, tag::UserProfile>>,
        /// And by what.
        pub subject: Option<Personal<String, tag::UserProfile>>,
        /// The rest, which is not personal.
        pub standing: Standing,
    }
}

/// What is not personal of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    user: UserId,
    kind: AccountKind,
    link: Option<Link>,
    opened: bool,
    rights: BTreeMap<RightId, Held>,
    sessions: BTreeMap<SessionId, SessionShown>,
}

/// A right, since when it is there, and when a session last began by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    terms: Terms,
    given_at: Moment,
    used_at: Option<Moment>,
}

/// A session that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionShown {
    /// Its id.
    pub session: SessionId,
    /// By which right.
    pub right: RightId,
    /// When it began.
    pub begun_at: Moment,
    /// When it ends by itself.
    pub expires_at: Moment,
    /// What its secret is known by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(ignore)]
    hash: Option<CommitHash>,
}

/// What a hash leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    user: UserId,
}

structural!(Standing, Hashed);

kinds! {
    /// What the table holds.
    #[expect(clippy::large_enum_variant, reason = "rows are handled one by one, never in arrays")]
    pub enum Kept {
        /// An account.
        "account" Account(AccountRow),
        /// The hash of a session's secret.
        "session" Session(Hashed),
        /// The hash of a link's secret.
        "link" Link(Hashed),
    }
}

// --- apply

/// The projection.
#[derive(Debug)]
pub struct Accounts;

impl Projection for Accounts {
    const NAME: &'static str = "accounts";
    const VERSION: u32 = 3;
    type Row = Kept;

    fn takes(aggregate: Aggregate) -> bool {
        matches!(aggregate, Aggregate::User | Aggregate::Account)
    }

    fn apply(commit: &Commit, rows: &mut Rows<'_, Kept>) -> Result<(), Stop> {
        let Some(person) = commit.header.stream.data_subject() else {
            return Ok(());
        };
        let key = account_key(UserId(person.0));
        let mut row = match rows.get(&key)? {
            Some(Kept::Account(row)) => row.clone(),
            Some(_) | None => empty(UserId(person.0)),
        };
        let before: Vec<RowKey> = row.standing.hash_keys().map(|(key, _)| key).collect();
        if commit.header.stream.aggregate == Aggregate::User {
            for event in commit.facts::<user::Event>()? {
                if let user::Event::Registered { kind, name, .. } = event {
                    (row.name, row.standing.kind) = (Some(name), kind);
                }
            }
        } else {
            for event in commit.facts::<account::Event>()? {
                row.take(event, commit.header.stored_at);
            }
        }
        let after: BTreeMap<RowKey, Kept> = row.standing.hash_keys().collect();
        before.into_iter().filter(|key| !after.contains_key(key)).for_each(|key| rows.delete(key));
        after.into_iter().for_each(|(key, hashed)| rows.put(key, hashed));
        rows.put(key, Kept::Account(row));
        Ok(())
    }
}

fn empty(user: UserId) -> AccountRow {
    let (rights, sessions) = (BTreeMap::new(), BTreeMap::new());
    let standing = Standing { user, kind: AccountKind::User, link: None, opened: false, rights, sessions };
    AccountRow { name: None, login: None, issuer: None, subject: None, standing }
}

impl AccountRow {
    fn take(&mut self, event: account::Event, stored_at: OffsetDateTime) {
        use account::Event;
        let standing = &mut self.standing;
        match event {
            Event::LinkIssued { link, expires_at } => standing.link = Some(Link { hash: link, expires_at }),
            Event::RightGiven { right, terms } => {
                standing.rights.insert(right, Held { terms, given_at: Moment(stored_at), used_at: None });
            }
            Event::RightEnded { right } => {
                standing.rights.remove(&right);
            }
            Event::CredentialsSet { login, .. } => {
                (self.login, self.issuer, self.subject) = (Some(login), None, None);
                (standing.link, standing.opened) = (None, true);
                standing.sessions.clear();
            }
            Event::IdentityLinked { issuer, subject, .. } => {
                (self.login, self.issuer, self.subject) = (None, Some(issuer), Some(subject));
                (standing.link, standing.opened) = (None, true);
                standing.sessions.clear();
            }
            Event::PasswordChanged { session, .. } => standing.sessions.retain(|id, _| *id == session),
            Event::SessionBegun { session, token_hash, right, expires_at, .. } => {
                standing.sessions.retain(|_, one| stored_at < one.expires_at.0);
                let begun_at = Moment(stored_at);
                // What is done in a session is done within hours of this: it says when the right was used.
                if let Some(known) = standing.rights.get_mut(&right) {
                    known.used_at = Some(begun_at);
                }
                let shown = SessionShown { session, right, begun_at, expires_at, hash: Some(token_hash) };
                standing.sessions.insert(session, shown);
            }
            Event::SessionEnded { session, .. } => {
                standing.sessions.remove(&session);
            }
            Event::PasskeyRemoved { session, .. } => standing.sessions.retain(|id, _| Some(*id) == session),
            Event::SignInFailed { .. }
            | Event::Reauthenticated { .. }
            | Event::PasskeyAdded { .. }
            | Event::MachineAdmitted { .. }
            | Event::MachineSecretIssued { .. }
            | Event::MachineSecretRevoked { .. }
            | Event::MachineDismissed {}
            | Event::ReviewRecorded { .. }
            | Event::CommitOpened { .. }
            | Event::RebuildOrdered { .. } => {}
        }
    }
}

impl Standing {
    /// The rows by which the secrets that count are found.
    fn hash_keys(&self) -> impl Iterator<Item = (RowKey, Kept)> {
        let hashed = || Hashed { user: self.user };
        let sessions = self.sessions.values().filter_map(|session| session.hash);
        let sessions = sessions.map(move |hash| (session_key(&hash), Kept::Session(hashed())));
        sessions.chain(self.link.map(|link| (link_key(&link.hash), Kept::Link(hashed()))))
    }
}

fn account_key(user: UserId) -> RowKey {
    RowKey::about(None, DataSubject(user.0), "account")
}

fn session_key(hash: &CommitHash) -> RowKey {
    RowKey::plain(None, format!("session/{hash}"))
}

fn link_key(hash: &CommitHash) -> RowKey {
    RowKey::plain(None, format!("link/{hash}"))
}

// --- readers

/// An account, for who administers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = User)]
pub struct UserShown {
    /// Its id.
    pub user: UserId,
    /// A person or a program.
    pub kind: AccountKind,
    /// Its name, for people.
    #[schema(inline)]
    pub name: Option<Shown<String>>,
    /// By which name its holder signs in.
    #[schema(inline)]
    pub login: Option<Shown<String>>,
    /// Whether a link was used: only then can anybody sign in.
    pub opened: bool,
    /// Until when the link that is out may be used.
    pub link_until: Option<Moment>,
    /// The rights that were given and not ended.
    pub rights: Vec<RightShown>,
}

/// A right of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Right)]
pub struct RightShown {
    /// Its id.
    pub right: RightId,
    /// What it lets its holder be.
    #[serde(flatten)]
    pub terms: Terms,
    /// When it was given.
    pub given_at: Option<Moment>,
    /// When a session last began by it; null: none ever did.
    pub used_at: Option<Moment>,
}

/// Who stands behind a session, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Who acts.
    pub principal: Principal,
    /// When it began.
    pub begun_at: Moment,
}

async fn account(tenant: &Tenant, user: UserId, visible: &Visible) -> Result<Option<AccountRow>, Failure> {
    let found = view::get_visible::<Accounts>(tenant, &account_key(user), visible).await?;
    Ok(found.and_then(|open| if let Kept::Account(row) = open.row { Some(row) } else { None }))
}

/// Who stands behind the session with this hash at `now`; none if it is unknown or over, or its right is.
///
/// # Errors
/// What the store says.
pub async fn behind(tenant: &Tenant, hash: &CommitHash, now: OffsetDateTime) -> Result<Option<Behind>, Failure> {
    let key = session_key(hash);
    let Some(found) = view::get_visible::<Accounts>(tenant, &key, &Visible::none()).await? else { return Ok(None) };
    let Kept::Session(Hashed { user }) = found.row else { return Ok(None) };
    let Some(row) = account(tenant, user, &Visible::none()).await? else { return Ok(None) };
    let session = row.standing.sessions.into_values().find(|session| session.hash == Some(*hash));
    let Some(session) = session.filter(|session| now < session.expires_at.0) else { return Ok(None) };
    let held = row.standing.rights.get(&session.right).map(|held| &held.terms);
    let Some(terms) = held.filter(|terms| terms.hold_at(now)) else {
        return Ok(None);
    };
    let (role, organisation) = (terms.role, terms.organisation.clone());
    let actor = Actor { id: user, kind: ActorKind::User, role, organisation };
    let (environment, sites) = (terms.environment, terms.sites.clone());
    let SessionShown { session, begun_at, .. } = session;
    let principal = Principal { tenant: tenant.id.clone(), environment, actor, sites, session: Some(session) };
    Ok(Some(Behind { principal, begun_at }))
}

/// Whose account opens with this login; none if nobody's does. All logins are opened, whatever the answer.
///
/// # Errors
/// What the store and the keys say.
pub async fn by_login(tenant: &Tenant, login: &str) -> Result<Option<UserId>, Failure> {
    let mut found = None;
    for kept in view::all::<Accounts>(tenant).await? {
        if let Kept::Account(row) = kept
            && let Some(known) = row.login.as_ref().and_then(|login| login.value.known())
            && same_login(known, login)
        {
            found = Some(row.standing.user);
        }
    }
    Ok(found)
}

/// Whose account a person of an identity provider comes in to; none if it is nobody's.
///
/// # Errors
/// What the store and the keys say.
pub async fn by_identity(tenant: &Tenant, issuer: &str, subject: &str) -> Result<Option<UserId>, Failure> {
    let is = |text: &Option<Personal<String, tag::UserProfile>>, wanted: &str| {
        text.as_ref().and_then(|text| text.value.known()).is_some_and(|known| known == wanted)
    };
    let mut found = None;
    for kept in view::all::<Accounts>(tenant).await? {
        if let Kept::Account(row) = kept
            && is(&row.issuer, issuer)
            && is(&row.subject, subject)
        {
            found = Some(row.standing.user);
        }
    }
    Ok(found)
}

/// Logins differ by more than the size of their letters.
fn same_login(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Whose link has this hash, if it may be used at `now`.
///
/// # Errors
/// What the store says.
pub async fn by_link(tenant: &Tenant, hash: &CommitHash, now: OffsetDateTime) -> Result<Option<UserId>, Failure> {
    let Some(found) = view::get_visible::<Accounts>(tenant, &link_key(hash), &Visible::none()).await? else {
        return Ok(None);
    };
    let Kept::Link(Hashed { user }) = found.row else { return Ok(None) };
    let row = account(tenant, user, &Visible::none()).await?;
    let link = row.and_then(|row| row.standing.link);
    Ok(link.filter(|link| link.hash == *hash && now < link.expires_at.0).map(|_| user))
}

/// Every account, opened as far as `visible` goes.
///
/// # Errors
/// What the store and the keys say.
pub async fn list(tenant: &Tenant, visible: &Visible) -> Result<Vec<UserShown>, Failure> {
    let mut users = Vec::new();
    for (_, open) in view::whole::<Accounts>(tenant, visible).await? {
        let Kept::Account(AccountRow { name, login, standing, .. }) = open.row else { continue };
        let shown = |text: Option<Personal<String, _>>| text.map(|text| Shown::of_personal(text, &open.withheld));
        let right = |(right, held): (RightId, Held)| {
            let (given_at, used_at) = (Some(held.given_at), held.used_at);
            RightShown { right, terms: held.terms, given_at, used_at }
        };
        let rights = standing.rights.into_iter().map(right).collect();
        users.push(UserShown {
            user: standing.user,
            kind: standing.kind,
            name: shown(name),
            login: shown(login),
            opened: standing.opened,
            link_until: standing.link.map(|link| link.expires_at),
            rights,
        });
    }
    Ok(users)
}

/// The sessions of an account that are not over at `now`; none if there is no such account.
///
/// # Errors
/// What the store says.
pub async fn sessions(
    tenant: &Tenant,
    user: UserId,
    now: OffsetDateTime,
) -> Result<Option<Vec<SessionShown>>, Failure> {
    let row = account(tenant, user, &Visible::none()).await?;
    let open = |session: &SessionShown| now < session.expires_at.0;
    let shown = |session: SessionShown| SessionShown { hash: None, ..session };
    Ok(row.map(|row| row.standing.sessions.into_values().filter(open).map(shown).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, World};
    use domain::account::{EndCause, Event, Second};
    use domain::ids::Environment;
    use domain::permit::{Role, Sites};
    use domain::scope::Scope;
    use time::macros::datetime;
    use uuid::Uuid;

    const USER: UserId = UserId(Uuid::from_u128(1));
    const RIGHT: RightId = RightId(Uuid::from_u128(2));
    const SESSION: SessionId = SessionId(Uuid::from_u128(3));
    const LINK: CommitHash = CommitHash([4; 32]);
    const SECRET: CommitHash = CommitHash([5; 32]);
    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const LATER: OffsetDateTime = datetime!(2026-11-22 13:00 UTC);

    fn invited() -> Story {
        let mut story = Story::new();
        let organisation: domain::ids::OrganisationId = "hospital".parse().expect("valid");
        let name = Personal::new("Grace Hopper".to_owned());
        let registered = user::Event::Registered { kind: AccountKind::User, organisation: organisation.clone(), name };
        story.user(1, registered);
        let (role, environment, sites) = (Role::Monitor, Environment::Test, Sites::All);
        let terms = Terms { role, environment, organisation, sites, expires_at: Some(Moment(LATER)) };
        story.account(1, Event::RightGiven { right: RIGHT, terms });
        story.account(1, Event::LinkIssued { link: LINK, expires_at: Moment(LATER) });
        story
    }

    fn inside() -> Story {
        let mut story = invited();
        let secret = || Personal::new("SECRET".to_owned());
        story.account(
            1,
            Event::CredentialsSet {
                link: LINK,
                login: Personal::new("Grace@example.org".to_owned()),
                password: secret(),
                one_time: Personal::new("SECRET".to_owned()),
                recovery: Personal::new(vec![]),
                step: 1,
            },
        );
        let begun = Event::SessionBegun {
            session: SESSION,
            token_hash: SECRET,
            right: RIGHT,
            expires_at: Moment(datetime!(2026-11-22 12:30 UTC)),
            second: Second::OneTime(2),
            address: None,
        };
        story.account(1, begun);
        story
    }

    async fn role_behind(world: &World, now: OffsetDateTime) -> Option<Role> {
        let behind = behind(&world.tenant, &SECRET, now).await.expect("reads");
        behind.map(|behind| behind.principal.actor.role)
    }

    #[tokio::test]
    async fn a_link_is_found_until_it_is_used_or_over() {
        let world = World::of::<Accounts>(&invited()).await;
        assert_eq!(by_link(&world.tenant, &LINK, NOW).await.expect("reads"), Some(USER));
        assert_eq!(by_link(&world.tenant, &LINK, LATER).await.expect("reads"), None, "over");
        let world = World::of::<Accounts>(&inside()).await;
        assert_eq!(by_link(&world.tenant, &LINK, NOW).await.expect("reads"), None, "used");
    }

    #[tokio::test]
    async fn a_session_counts_until_it_is_over_or_its_right_is() {
        let world = World::of::<Accounts>(&inside()).await;
        assert_eq!(role_behind(&world, NOW).await, Some(Role::Monitor));
        assert_eq!(role_behind(&world, datetime!(2026-11-22 12:30 UTC)).await, None);
        for end in
            [Event::SessionEnded { session: SESSION, cause: EndCause::Revoked }, Event::RightEnded { right: RIGHT }]
        {
            let mut story = inside();
            story.account(1, end.clone());
            let world = World::of::<Accounts>(&story).await;
            assert_eq!(role_behind(&world, NOW).await, None, "{end:?}");
        }
    }

    #[tokio::test]
    async fn a_right_says_when_it_was_given_and_when_it_was_last_used() {
        let right = async |story: &Story| {
            let world = World::of::<Accounts>(story).await;
            let shown = list(&world.tenant, &Visible::none()).await.expect("reads").remove(0).rights.remove(0);
            (shown.given_at.is_some(), shown.used_at)
        };
        assert_eq!(right(&invited()).await, (true, None), "never used");
        assert_eq!(right(&inside()).await, (true, Some(Moment(NOW))));
    }

    #[tokio::test]
    async fn a_login_is_found_by_opening_it_and_not_once_it_is_erased() {
        let world = World::of::<Accounts>(&inside()).await;
        assert_eq!(by_login(&world.tenant, "grace@EXAMPLE.org").await.expect("reads"), Some(USER));
        assert_eq!(by_login(&world.tenant, "grace").await.expect("reads"), None);
        assert!(!world.store.contains_bytes(b"example.org") && !world.store.contains_bytes(b"Hopper"));
        assert!(!world.store.contains_bytes(b"SECRET"), "no secret is kept here at all");
        let shown = list(&world.tenant, &Visible::none()).await.expect("reads");
        assert_eq!(shown[0].name, Some(Shown::Withheld { withheld: Scope::UserProfile }));
        world.keys.erase(DataSubject(USER.0), &domain::scope::Extent::of_scopes([Scope::UserProfile]));
        assert_eq!(by_login(&world.tenant, "grace@example.org").await.expect("reads"), None);
    }
}
