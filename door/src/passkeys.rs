//! Passkeys: asked, answered, added. A challenge counts once, for what it was asked for, for a few minutes; it is kept in memory,
//! so whoever was asked before a restart is asked again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::account::{Account, Command, PasskeyUse, Second};
use domain::ids::{Environment, PasskeyId, SessionId, TenantId, UserId};
use domain::permit::{Principal, Role};
use domain::port::{PasskeyAsked, PasskeyFault, PasskeyPlace, Tenant};
use domain::scope::Plain;
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::proof::{Factors, Proved};
use crate::sign_in::Begun;
use crate::{Door, NoEntry};

/// How long somebody may take to answer (Web Authentication, 15.1).
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// How many challenges are open at once at most.
const OPEN_MAX: usize = 10_000;

/// What a challenge was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To come in, whoever it is.
    SignIn,
    /// To prove anew who holds a session.
    Prove(UserId, SessionId),
    /// To add a passkey, by who proved this.
    Add(UserId, SessionId, Second),
}

/// The challenges that nobody has answered yet.
#[derive(Default)]
pub(crate) struct Challenges(Mutex<BTreeMap<[u8; 32], (Purpose, OffsetDateTime)>>);

impl Challenges {
    fn open(&self, challenge: [u8; 32], purpose: Purpose, now: OffsetDateTime) -> Result<[u8; 32], NoEntry> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.retain(|_, (_, until)| now < *until);
        }
        if open.len() >= OPEN_MAX {
            return Err(NoEntry::TooMany(Duration::from_secs(60)));
        }
        open.insert(challenge, (purpose, now + ANSWER_WITHIN));
        Ok(challenge)
    }

    /// What it was asked for, once.
    fn close(&self, challenge: &[u8; 32], now: OffsetDateTime) -> Option<Purpose> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(challenge);
        found.filter(|(_, until)| now < *until).map(|(purpose, _)| purpose)
    }
}

/// What a passkey answered. All of it bytes in base64url.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasskeyAnswer {
    /// Which one (`rawId`).
    credential: String,
    /// What the browser says was asked (`clientDataJSON`).
    client_data: String,
    /// What the authenticator says (`authenticatorData`).
    authenticator_data: String,
    /// Its signature.
    signature: String,
    /// Whose it is (`userHandle`); needed to sign in.
    user_handle: Option<String>,
}

/// What an authenticator made.
pub(crate) struct MadePasskey {
    pub(crate) name: Plain,
    pub(crate) client_data: Vec<u8>,
    pub(crate) attestation: Vec<u8>,
}

/// Why a passkey was not added.
pub(crate) enum NotAdded {
    NoEntry(NoEntry),
    Fault(PasskeyFault),
    NotAsked,
}

impl<E: Into<NoEntry>> From<E> for NotAdded {
    fn from(error: E) -> Self {
        Self::NoEntry(error.into())
    }
}

/// What the challenge was, as the browser repeats it. Whether it says so truly is checked with everything else.
fn challenge_in(client_data: &[u8]) -> Option<[u8; 32]> {
    #[derive(Deserialize)]
    struct Repeated {
        challenge: String,
    }
    let Repeated { challenge } = serde_json::from_slice(client_data).ok()?;
    bytes(&challenge)?.try_into().ok()
}

/// Reads base64url.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// By what an authenticator knows whose passkey it is: an id drawn at random, and the tenant's.
pub(crate) fn handle(tenant: &TenantId, user: UserId) -> Vec<u8> {
    [user.0.as_bytes(), tenant.as_str().as_bytes()].concat()
}

fn owner(handle: &[u8]) -> Option<(TenantId, UserId)> {
    let (user, tenant) = handle.split_first_chunk::<16>()?;
    Some((std::str::from_utf8(tenant).ok()?.parse().ok()?, UserId(uuid::Uuid::from_bytes(*user))))
}

impl Door {
    /// Where passkeys count: at the address under which people reach this platform, or on this machine at any port.
    pub(crate) fn place(&self) -> PasskeyPlace {
        place_of(self.parts.rules.public_url.as_deref())
    }

    /// A new challenge.
    pub(crate) fn challenge(&self, purpose: Purpose) -> Result<[u8; 32], NoEntry> {
        self.challenges.open(self.parts.dice.bytes(), purpose, self.now())
    }

    /// A new challenge for whoever wants to come in.
    pub(crate) fn challenge_nobody(&self, address: Option<IpAddr>) -> Result<[u8; 32], NoEntry> {
        self.asking.admit(address, self.now()).map_err(NoEntry::TooMany)?;
        self.challenge(Purpose::SignIn)
    }

    /// Begins a session for whose passkey it is. Nobody guesses a passkey, so a pause after wrong passwords does not hold it up.
    pub(crate) async fn sign_in_by_passkey(
        self: &Arc<Self>,
        answer: &PasskeyAnswer,
        wanted: (Option<Role>, Option<Environment>),
        address: Option<IpAddr>,
    ) -> Result<Begun, NoEntry> {
        self.admit(address)?;
        let owner = answer.user_handle.as_deref().and_then(bytes).and_then(|handle| owner(&handle));
        let (id, user) = owner.ok_or(NoEntry::Wrong)?;
        let tenant = self.parts.tenants.tenant(&id).ok_or(NoEntry::Wrong)?;
        let account = self.account(&tenant, user).await?;
        match self.answered(&account, answer, &Purpose::SignIn) {
            Some(used) => self.begin(&tenant, user, &account, wanted, Second::Passkey(used), address).await,
            None => {
                if known(&account, answer).is_some() {
                    self.record_failure(&tenant, user, address);
                }
                Err(NoEntry::Wrong)
            }
        }
    }

    /// The use of the account's own passkey that answers a challenge asked for this; none if it does not.
    pub(crate) fn answered(&self, account: &Account, answer: &PasskeyAnswer, purpose: &Purpose) -> Option<PasskeyUse> {
        let client_data = bytes(&answer.client_data)?;
        let challenge = challenge_in(&client_data)?;
        let asked_for = self.challenges.close(&challenge, self.now())?;
        let (passkey, key) = known(account, answer)?;
        let asked = PasskeyAsked { challenge: &challenge, place: &self.place() };
        let (said, signature) = (bytes(&answer.authenticator_data)?, bytes(&answer.signature)?);
        match self.parts.passkeys.holds(asked, &key, &client_data, &said, &signature) {
            Ok(count) => (asked_for == *purpose).then_some(PasskeyUse { passkey, count }),
            Err(fault) => {
                tracing::warn!(%passkey, %fault, "a passkey did not open");
                None
            }
        }
    }

    /// What proves both factors, all of it anew: a password with a one-time code, or a passkey.
    pub(crate) async fn prove_both(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        who: &Principal,
        session: SessionId,
        (factors, passkey): (&Factors, Option<&PasskeyAnswer>),
    ) -> Result<Second, NoEntry> {
        let (user, name) = (who.actor.id, who.actor.id.to_string());
        self.names.begin("prove", &name, self.now()).map_err(NoEntry::TooMany)?;
        let account = self.account(tenant, user).await?;
        let second = match passkey {
            Some(answer) => self.answered(&account, answer, &Purpose::Prove(user, session)).map(Second::Passkey),
            None => match self.prove(account.credentials.as_ref(), factors).await? {
                Some(Proved { password: true, second }) => second,
                _ => None,
            },
        };
        let Some(second) = second else {
            self.record_failure(tenant, user, None);
            return Err(NoEntry::Wrong);
        };
        self.names.forget("prove", &name);
        Ok(second)
    }

    /// Adds a passkey that was made for a challenge asked in this very session.
    pub(crate) async fn add_passkey(
        &self,
        tenant: &Tenant,
        who: &Principal,
        made: MadePasskey,
    ) -> Result<PasskeyId, NotAdded> {
        let challenge = challenge_in(&made.client_data).ok_or(NotAdded::NotAsked)?;
        let asked_for = self.challenges.close(&challenge, self.now());
        let (session, second) = match (asked_for, who.session) {
            (Some(Purpose::Add(user, session, second)), Some(here)) if user == who.actor.id && session == here => {
                (session, second)
            }
            _ => return Err(NotAdded::NotAsked),
        };
        let asked = PasskeyAsked { challenge: &challenge, place: &self.place() };
        let read = self.parts.passkeys.made(asked, &made.client_data, &made.attestation).map_err(NotAdded::Fault)?;
        let passkey = PasskeyId(self.parts.dice.uuid());
        let command = Command::AddPasskey {
            passkey,
            session,
            second,
            credential: URL_SAFE_NO_PAD.encode(read.credential).into(),
            key: URL_SAFE_NO_PAD.encode(read.key).into(),
            name: made.name,
            count: read.count,
        };
        let position = self.command(tenant, who.actor.id, who.clone(), &command).await?;
        self.seen_by_all(tenant, &position).await?;
        Ok(passkey)
    }

    /// Removes a passkey: one's own, or anybody's for who administers.
    pub(crate) async fn remove_passkey(
        &self,
        tenant: &Tenant,
        by: Principal,
        user: UserId,
        passkey: PasskeyId,
    ) -> Result<(), NoEntry> {
        let position = self.command(tenant, user, by, &Command::RemovePasskey { passkey }).await?;
        Ok(self.seen_by_all(tenant, &position).await?)
    }
}

/// Which passkey of the account it is, and its key.
fn known(account: &Account, answer: &PasskeyAnswer) -> Option<(PasskeyId, Vec<u8>)> {
    let credential = bytes(&answer.credential)?;
    let is = |known: &String| bytes(known).is_some_and(|known| known == credential);
    let found = account.passkeys.iter().find(|(_, one)| one.credential.known().is_some_and(is));
    let (id, passkey) = found?;
    Some((*id, bytes(passkey.key.known()?)?))
}

fn place_of(public_url: Option<&str>) -> PasskeyPlace {
    let Some(url) = public_url else { return PasskeyPlace { id: "localhost".to_owned(), origin: None } };
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split('/').next().unwrap_or(rest).to_lowercase();
    let id = authority.rsplit_once(':').map_or(&*authority, |(host, _)| host).to_owned();
    PasskeyPlace { id, origin: Some(format!("{scheme}://{authority}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    #[test]
    fn a_challenge_is_answered_once_and_in_time() {
        let challenges = Challenges::default();
        let open = |n| challenges.open([n; 32], Purpose::SignIn, NOW).expect("room");
        assert_eq!(challenges.close(&open(1), NOW), Some(Purpose::SignIn));
        assert_eq!(challenges.close(&[1; 32], NOW), None, "once");
        assert_eq!(challenges.close(&open(2), NOW + ANSWER_WITHIN), None, "in time");
        assert_eq!(challenges.close(&[3; 32], NOW), None, "never asked");
    }

    #[test]
    fn a_handle_says_whose_a_passkey_is() {
        let (tenant, user) = ("acme".parse::<TenantId>().expect("valid"), UserId(uuid::Uuid::from_u128(7)));
        let handle = handle(&tenant, user);
        assert!(handle.len() <= 64, "Web Authentication, 5.4.3");
        assert_eq!(owner(&handle), Some((tenant, user)));
        assert_eq!(owner(&handle[..15]), None);
        assert_eq!(owner(&handle[..16]), None);
    }

    #[test]
    fn passkeys_count_where_people_reach_the_platform() {
        for (url, id, origin) in [
            (None, "localhost", None),
            (Some("https://lethe.example.org"), "lethe.example.org", Some("https://lethe.example.org")),
            (Some("https://Lethe.example.org:8443/x"), "lethe.example.org", Some("https://lethe.example.org:8443")),
        ] {
            let place = place_of(url);
            assert_eq!((&*place.id, place.origin.as_deref()), (id, origin));
        }
    }
}
