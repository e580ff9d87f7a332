//! A user or service account, and the bearer tokens by which it is known. A token's secret is never stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Moment;
use crate::decider::{self, Context, Decider, Recorded};
use crate::history::{ActorKind, CommitHash, StreamId};
use crate::ids::{Environment, OrganisationId, TokenId};
use crate::permit::{Role, Sites};
use crate::rejection::{Kind, Rejection};
use crate::scope::{Erasable, Personal, Plain, Scope, tag};

// --- facts

facts! {
    /// What happened to a user.
    pub enum Event for User {
        /// The user exists.
        "user-registered" 1 Registered { kind: AccountKind, organisation: OrganisationId, name: Personal<String, tag::UserProfile> },
        /// A token is known by its hash.
        "token-issued" 1 TokenIssued { token: TokenId, grant: Grant },
        /// The token counts no more.
        "token-revoked" 1 TokenRevoked { token: TokenId },
    }
}

/// A person, or a program with a name. The platform itself has no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountKind {
    /// A person.
    User,
    /// A program.
    ServiceAccount,
}

impl From<AccountKind> for ActorKind {
    fn from(kind: AccountKind) -> Self {
        match kind {
            AccountKind::User => Self::User,
            AccountKind::ServiceAccount => Self::ServiceAccount,
        }
    }
}

/// What a token is known by and what it opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenGrant)]
pub struct Grant {
    /// SHA-256 of the secret.
    pub token_hash: CommitHash,
    /// In which role.
    pub role: Role,
    /// In which environment.
    pub environment: Environment,
    /// For which organisation.
    pub organisation: OrganisationId,
    /// At which sites.
    pub sites: Sites,
    /// Until when.
    pub expires_at: Moment,
}

structural!(AccountKind, Grant);

// --- state

/// The user as it stands.
#[derive(Debug, Clone, Default)]
pub enum User {
    /// Nobody registered it.
    #[default]
    Unregistered,
    /// Registered.
    Registered(Account),
}

/// What is known of a user.
#[derive(Debug, Clone)]
pub struct Account {
    /// Person or program.
    pub kind: AccountKind,
    /// The organisation it belongs to.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: Erasable<String>,
    /// Every token ever issued.
    pub tokens: BTreeMap<TokenId, Token>,
}

/// A token as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Counts until it expires.
    Issued(Grant),
    /// Counts no more.
    Revoked,
}

impl User {
    /// The account, unless nobody registered it.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Unregistered => None,
            Self::Registered(account) => Some(account),
        }
    }

    /// What `token` opens at `now`; none if it is unknown, revoked or expired.
    pub fn grant(&self, token: TokenId, now: time::OffsetDateTime) -> Option<&Grant> {
        match self.account()?.tokens.get(&token)? {
            Token::Issued(grant) if now < grant.expires_at.0 => Some(grant),
            Token::Issued(_) | Token::Revoked => None,
        }
    }
}

// --- commands

/// What somebody wants of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = UserCommand)]
pub enum Command {
    /// Registers the user under the id in the address.
    Register {
        /// Person or program.
        kind: AccountKind,
        /// The organisation it belongs to.
        organisation: OrganisationId,
        /// Its name, for people.
        name: Plain,
    },
    /// Makes a token known. Who asks keeps the secret; only its hash comes here.
    IssueToken {
        /// The token's id, chosen by the client.
        token: TokenId,
        /// What it is known by and what it opens.
        grant: Grant,
    },
    /// Ends a token.
    RevokeToken {
        /// Which one.
        token: TokenId,
    },
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::IssueToken { .. } => "issue-token",
            Self::RevokeToken { .. } => "revoke-token",
        }
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not there.
    #[error("there is no such user: register it first")]
    NoSuchUser,
    /// Not there.
    #[error("the user has no such token")]
    NoSuchToken,
    /// Registered already, as somebody else.
    #[error("this user id is registered already, with another kind, organisation or name")]
    RegisteredOtherwise,
    /// No name.
    #[error("a name is needed: 1 to 200 printable characters")]
    InvalidName,
    /// The id is taken.
    #[error("this token id was used before: choose a new random id")]
    TokenExists,
    /// The platform's own role.
    #[error("no token can have the role system")]
    SystemRole,
    /// Opens nothing.
    #[error("a token for no site opens nothing: name at least one, or all")]
    NoSites,
    /// Over before it begins.
    #[error("the token would have expired already: name a time to come")]
    Expired,
    /// An erasure has taken the profile.
    #[error("the scope {0} of this user has been erased: nothing of it is taken any more")]
    Erased(Scope),
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchUser => "no-such-user",
            Self::NoSuchToken => "no-such-token",
            Self::RegisteredOtherwise => "registered-otherwise",
            Self::InvalidName => "invalid-name",
            Self::TokenExists => "token-exists",
            Self::SystemRole => "system-role",
            Self::NoSites => "no-sites",
            Self::Expired => "expired",
            Self::Erased(_) => "erased",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchUser | Self::NoSuchToken => Kind::NotFound,
            Self::InvalidName | Self::SystemRole | Self::NoSites | Self::Expired => Kind::Invalid,
            Self::RegisteredOtherwise | Self::TokenExists => Kind::Conflict,
            Self::Erased(_) => Kind::Erased,
        }
    }
}

// --- evolve, decide

impl Decider for User {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = ();
    type Rules = ();

    fn governed_by(_: &StreamId) -> Option<StreamId> {
        None
    }

    fn decide(&self, command: &Command, context: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        match command {
            Command::Register { kind, organisation, name } => self.register(*kind, organisation, name),
            Command::IssueToken { token, grant } => self.issue(*token, grant, context.now),
            Command::RevokeToken { token } => {
                let account = self.account().ok_or(Refused::NoSuchUser)?;
                match account.tokens.get(token).ok_or(Refused::NoSuchToken)? {
                    Token::Issued(_) => Ok(vec![Event::TokenRevoked { token: *token }]),
                    Token::Revoked => Ok(vec![]),
                }
            }
        }
    }

    fn evolve(&mut self, event: &Event, _: Recorded) {
        match (self, event) {
            (user, Event::Registered { kind, organisation, name }) => {
                *user = Self::Registered(Account {
                    kind: *kind,
                    organisation: organisation.clone(),
                    name: name.value.clone(),
                    tokens: BTreeMap::new(),
                });
            }
            (Self::Registered(account), Event::TokenIssued { token, grant }) => {
                account.tokens.insert(*token, Token::Issued(grant.clone()));
            }
            (Self::Registered(account), Event::TokenRevoked { token }) => {
                account.tokens.insert(*token, Token::Revoked);
            }
            (Self::Unregistered, Event::TokenIssued { .. } | Event::TokenRevoked { .. }) => {}
        }
    }
}

impl User {
    fn register(&self, kind: AccountKind, organisation: &OrganisationId, name: &Plain) -> Result<Vec<Event>, Refused> {
        if name.is_blank() || name.0.chars().count() > 200 || name.0.contains(char::is_control) {
            return Err(Refused::InvalidName);
        }
        let organisation = organisation.clone();
        match self.account() {
            None => Ok(vec![Event::Registered { kind, organisation, name: Personal::new(name.0.clone()) }]),
            Some(account) if account.kind != kind || account.organisation != organisation => {
                Err(Refused::RegisteredOtherwise)
            }
            Some(account) => match &account.name {
                Erasable::Known(known) if *known == name.0 => Ok(vec![]),
                Erasable::Known(_) => Err(Refused::RegisteredOtherwise),
                Erasable::Erased => Err(Refused::Erased(Scope::UserProfile)),
            },
        }
    }

    fn issue(&self, token: TokenId, grant: &Grant, now: time::OffsetDateTime) -> Result<Vec<Event>, Refused> {
        let account = self.account().ok_or(Refused::NoSuchUser)?;
        match account.tokens.get(&token) {
            Some(Token::Issued(known)) if known == grant => return Ok(vec![]),
            Some(_) => return Err(Refused::TokenExists),
            None => {}
        }
        match grant {
            Grant { role: Role::System, .. } => Err(Refused::SystemRole),
            Grant { sites: Sites::Only(sites), .. } if sites.is_empty() => Err(Refused::NoSites),
            Grant { expires_at, .. } if expires_at.0 <= now => Err(Refused::Expired),
            Grant { .. } => Ok(vec![Event::TokenIssued { token, grant: grant.clone() }]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Revision;
    use crate::scope::Part;
    use crate::testing::given;
    use time::macros::datetime;
    use uuid::Uuid;

    const T: TokenId = TokenId(Uuid::from_u128(5));

    fn register(name: &str) -> Command {
        let organisation = "hospital".parse().expect("valid");
        Command::Register { kind: AccountKind::User, organisation, name: name.into() }
    }

    fn registered() -> Event {
        let organisation = "hospital".parse().expect("valid");
        Event::Registered { kind: AccountKind::User, organisation, name: Personal::new("Grace Hopper".into()) }
    }

    fn grant() -> Grant {
        Grant {
            token_hash: CommitHash([7; 32]),
            role: Role::Investigator,
            environment: Environment::Test,
            organisation: "hospital".parse().expect("valid"),
            sites: Sites::All,
            expires_at: Moment(datetime!(2026-11-22 12:00:01 UTC)),
        }
    }

    fn issue(grant: Grant) -> Command {
        Command::IssueToken { token: T, grant }
    }

    #[test]
    fn a_user_is_registered_once() {
        given::<User>([]).when(register("Grace Hopper")).then([registered()]);
        given::<User>([registered()]).when(register("Grace Hopper")).then([]);
        given::<User>([registered()]).when(register("Alan Turing")).rejected("registered-otherwise");
        given::<User>([]).when(register("  ")).rejected("invalid-name");
        assert!(!format!("{:?}", register("Grace Hopper")).contains("Grace"));
    }

    #[test]
    fn an_erased_name_is_not_taken_again() {
        let organisation = "hospital".parse().expect("valid");
        let name = Personal::in_part(Part::all(), Erasable::Erased);
        let erased = Event::Registered { kind: AccountKind::User, organisation, name };
        given::<User>([erased]).when(register("Grace Hopper")).rejected("erased");
    }

    #[test]
    fn a_token_has_a_role_sites_and_an_end() {
        let issued = Event::TokenIssued { token: T, grant: grant() };
        given::<User>([]).when(issue(grant())).rejected("no-such-user");
        given::<User>([registered()]).when(issue(grant())).then([issued.clone()]);
        given::<User>([registered(), issued.clone()]).when(issue(grant())).then([]);
        let monitor = Grant { role: Role::Monitor, ..grant() };
        given::<User>([registered(), issued]).when(issue(monitor)).rejected("token-exists");
        let system = Grant { role: Role::System, ..grant() };
        given::<User>([registered()]).when(issue(system)).rejected("system-role");
        let nowhere = Grant { sites: Sites::Only([].into()), ..grant() };
        given::<User>([registered()]).when(issue(nowhere)).rejected("no-sites");
        let over = Grant { expires_at: Moment(datetime!(2026-11-22 12:00 UTC)), ..grant() };
        given::<User>([registered()]).when(issue(over)).rejected("expired");
    }

    #[test]
    fn a_revoked_token_counts_no_more_and_never_again() {
        let issued = Event::TokenIssued { token: T, grant: grant() };
        let revoked = Event::TokenRevoked { token: T };
        let revoke = Command::RevokeToken { token: T };
        given::<User>([registered()]).when(revoke.clone()).rejected("no-such-token");
        given::<User>([registered(), issued.clone()]).when(revoke).then([revoked.clone()]);
        given::<User>([registered(), issued.clone(), revoked.clone()]).when(issue(grant())).rejected("token-exists");
        let mut user = User::default();
        [registered(), issued].iter().for_each(|event| user.evolve(event, Revision(1).into()));
        let before = datetime!(2026-11-22 12:00 UTC);
        assert_eq!(user.grant(T, before), Some(&grant()));
        assert_eq!(user.grant(T, datetime!(2026-11-22 12:00:01 UTC)), None, "expired");
        user.evolve(&revoked, Revision(2).into());
        assert_eq!(user.grant(T, before), None, "revoked");
    }
}
