//! Who comes in: links, sign-in, sessions, and who signs.
//!
//! - [`Door`]: what it works with. `sign_in`: from a login to a session. `links`: how accounts begin. `sessions`: who stands
//!   behind a session, and until when. `passkeys`: asked, answered, added. `machines`: programs, their secrets. `provider`: by OpenID Connect. `sign`: who signs, asked anew.
//! - `proof`: factors, checked with the same work whatever the answer. `throttle`: how often somebody may try.
//! - [`router`]: the addresses, one file a resource; [`openapi`]: their description.
//!
//! Every fact goes through the one loop of `command-svc`; every rule about accounts stands in `domain`'s `account`.

mod http;
mod links;
mod machines;
mod passkeys;
mod proof;
mod provider;
mod secret;
mod sessions;
mod sign;
mod sign_in;
mod throttle;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use command_svc::{Commands, Refusal};
use domain::account::Account;
use domain::decider::Fold as _;
use domain::history::{Aggregate, Position, StreamId, Tail};
use domain::ids::UserId;
use domain::permit::Principal;
use domain::port::{Clock, Credentials, Dice, Failure, Passkeys, Providers, Secrets, Tenant, Tenants, Watching};
use tokio::sync::Semaphore;

pub use http::{openapi, router};
pub use links::IssuedLink;
pub use secret::link_address;

use links::Pending;
use machines::Accesses;
use passkeys::Challenges;
use provider::Provided;
use sessions::Seen;
use throttle::{Addresses, Names};

/// How long things last, and how the door is reached.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long a session may rest before it is over.
    pub idle: Duration,
    /// How long a session lasts at most.
    pub session: Duration,
    /// How long the link of the first administrator may be used.
    pub first_link: Duration,
    /// How long an invitation may be used.
    pub invitation: Duration,
    /// How many proofs an address may send in a minute.
    pub proofs_a_minute: u32,
    /// The address under which people reach this platform, if it is behind a proxy. With `https` the cookie is for TLS only.
    pub public_url: Option<String>,
    /// Whether this process itself speaks TLS to people.
    pub tls: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15 * 60),
            session: Duration::from_secs(12 * 3600),
            first_link: Duration::from_secs(3600),
            invitation: Duration::from_secs(3 * 86_400),
            proofs_a_minute: 30,
            public_url: None,
            tls: false,
        }
    }
}

/// What the door is put together from.
pub struct Parts {
    /// The tenants that are served.
    pub tenants: Arc<dyn Tenants>,
    /// The write side.
    pub commands: Arc<Commands>,
    /// Who stands behind a token.
    pub tokens: Arc<dyn Credentials>,
    /// Passwords and one-time codes.
    pub secrets: Arc<dyn Secrets>,
    /// What passkeys say.
    pub passkeys: Arc<dyn Passkeys>,
    /// Where people of tenants prove who they are.
    pub providers: Arc<dyn Providers>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub dice: Arc<dyn Dice>,
    /// Who is told of sign-ins in vain.
    pub watching: Arc<dyn Watching>,
    /// How long things last.
    pub rules: Rules,
}

/// How many passwords are hashed at once: each takes a core and its memory.
const HASHES_AT_ONCE: usize = 4;

/// How long an answer waits for the read models to take in what it wrote.
const PATIENCE: Duration = Duration::from_secs(10);

/// The door of one process, for all its tenants.
pub struct Door {
    parts: Parts,
    names: Names,
    addresses: Addresses,
    /// How often an address has a passkey asked.
    asking: Addresses,
    challenges: Challenges,
    accesses: Accesses,
    provided: Provided,
    seen: Seen,
    pending: Mutex<std::collections::BTreeMap<domain::history::CommitHash, Pending>>,
    /// Held while a login is taken, so that no two take the same.
    opening: tokio::sync::Mutex<()>,
    hashing: Semaphore,
    decoy: OnceLock<String>,
}

/// Why nobody comes in.
#[derive(Debug)]
pub(crate) enum NoEntry {
    /// Too many tries: again after this time.
    TooMany(Duration),
    /// Unknown, or wrong: nobody is told which.
    Wrong,
    /// Proved, but no right counts for what was asked.
    NoRight,
    /// The rules say no.
    Refused(Refusal),
    /// The world failed.
    Failed(Failure),
}

impl From<Failure> for NoEntry {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Refusal> for NoEntry {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(failure) => Self::Failed(failure),
            other => Self::Refused(other),
        }
    }
}

impl Door {
    /// Whether a proxy on this machine stands between people and this process: its word counts for where they are.
    pub fn is_behind_a_proxy(&self) -> bool {
        self.parts.rules.public_url.is_some()
    }

    /// Puts the door together.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            names: Names::new(parts.dice.bytes()),
            addresses: Addresses::new(parts.rules.proofs_a_minute),
            asking: Addresses::new(parts.rules.proofs_a_minute),
            challenges: Challenges::default(),
            accesses: Accesses::default(),
            provided: Provided::default(),
            parts,
            seen: Seen::default(),
            pending: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            hashing: Semaphore::new(HASHES_AT_ONCE),
            decoy: OnceLock::new(),
        })
    }

    fn now(&self) -> time::OffsetDateTime {
        self.parts.clock.now()
    }

    /// The account as its own stream says: a read model may be behind.
    async fn account(&self, tenant: &Tenant, user: UserId) -> Result<Account, Failure> {
        let stream = account_stream(tenant, user);
        let mut account = Account::default();
        for commit in tenant.journal.load(&stream, Tail::default()).await? {
            account.apply(&commit).map_err(|fault| Failure::damaged(&stream, fault))?;
        }
        Ok(account)
    }

    /// Decides a command to an account.
    async fn command(
        &self,
        tenant: &Tenant,
        user: UserId,
        by: Principal,
        command: &domain::account::Command,
    ) -> Result<Position, Refusal> {
        let request = self.parts.commands.request(by);
        let stream = account_stream(tenant, user);
        Ok(self.parts.commands.execute::<Account>(tenant, &stream, command, &request).await?.position)
    }

    /// Waits until what was written counts.
    async fn seen_by_all(&self, tenant: &Tenant, position: &Position) -> Result<(), Failure> {
        if tenant.progress.wait_for(position, PATIENCE).await? {
            Ok(())
        } else {
            Err(Failure::unavailable("the read models", "they are behind; what was asked is done"))
        }
    }

    /// Refuses an address that has sent too many proofs.
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Result<(), NoEntry> {
        self.addresses.admit(address, self.now()).map_err(NoEntry::TooMany)
    }
}

fn account_stream(tenant: &Tenant, user: UserId) -> StreamId {
    StreamId::in_tenant(&tenant.id, Aggregate::Account, user)
}

/// The platform itself. Accounts belong to the tenant and to no study: they are real even where a study is a test.
fn platform(tenant: &Tenant) -> Principal {
    Principal::system(tenant.id.clone(), domain::ids::Environment::Prod)
}
