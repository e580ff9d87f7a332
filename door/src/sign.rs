//! Who signs, asked anew (21 CFR 11.200): the password and a code, or a passkey, for the first signature of a session, one of them
//! for later ones. What is given is checked against the account of the session alone, so nobody signs for another.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use command_svc::Refusal;
use domain::account::{Account, Command, Second};
use domain::decider::Fold as _;
use domain::history::{Aggregate, StreamId, Tail};
use domain::ids::{AttemptId, SessionId};
use domain::participant::{Factor, Signer};
use domain::permit::Principal;
use domain::port::{Failure, ReauthenticationError, Tenant};
use domain::rejection::Rejection as _;
use domain::scope::{Erasable, Plain};
use domain::user::User;
use serde::Deserialize;

use crate::Door;
use crate::passkeys::{PasskeyAnswer, Purpose};
use crate::proof::{Factors, Proved};

/// What stands before a password and a code in `Lethe-Signer`.
const FACTORS: &str = "Factors ";

/// What stands before the answer of a passkey there.
const PASSKEY: &str = "Passkey ";

/// What was sent to prove who it is.
enum Sent {
    Factors(Factors),
    Passkey(PasskeyAnswer),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentFactors {
    password: Option<Plain>,
    code: Option<Plain>,
}

/// Reads `Factors <base64 of {"password": …, "code": …}>`: a password may hold what a header may not. Or
/// `Passkey <base64 of what it answered>`.
fn read(credential: &str) -> Option<Sent> {
    let decoded = |text: &str| {
        let text = text.trim();
        STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()
    };
    if let Some(text) = credential.strip_prefix(PASSKEY) {
        return serde_json::from_slice(&decoded(text)?).ok().map(Sent::Passkey);
    }
    let SentFactors { password, code } = serde_json::from_slice(&decoded(credential.strip_prefix(FACTORS)?)?).ok()?;
    // A recovery code brings somebody back in; it signs nothing.
    Some(Sent::Factors(Factors { password, code, recovery_code: None }))
}

impl Door {
    /// The holder of the session in which a signature is asked for, proved anew.
    ///
    /// # Errors
    /// See [`ReauthenticationError`].
    pub async fn signer(self: &Arc<Self>, who: &Principal, credential: &str) -> Result<Signer, ReauthenticationError> {
        let refused = ReauthenticationError::Refused;
        let Some(session) = who.session else { return Err(refused) };
        let Some(sent) = read(credential) else { return Err(refused) };
        let missing = || Failure::missing(format!("tenant {}", who.tenant));
        let tenant = self.parts.tenants.tenant(&who.tenant).ok_or_else(missing)?;
        let (name, now) = (who.actor.id.to_string(), self.now());
        if self.names.begin("sign", &name, now).is_err() {
            return Err(refused);
        }
        let account = self.account(&tenant, who.actor.id).await?;
        // Whoever guesses at a sign-in elsewhere keeps nobody from signing.
        if account.session_at(session, now).is_none() {
            return Err(refused);
        }
        let Some(proved) = self.proved(who, session, &account, &sent).await? else {
            self.record_failure(&tenant, who.actor.id, None);
            return Err(refused);
        };
        let attempt = AttemptId(self.parts.dice.uuid());
        let Proved { password, second } = proved;
        let command = Command::Reauthenticate { attempt, session, password, second };
        match self.command(&tenant, who.actor.id, who.clone(), &command).await {
            Ok(_) => self.names.forget("sign", &name),
            Err(Refusal::Failed(failure)) => return Err(failure.into()),
            Err(Refusal::Rejected(answer)) if answer.code() == "too-few-factors" => {
                self.names.forget("sign", &name);
                return Err(ReauthenticationError::TooFewFactors);
            }
            Err(_) => return Err(refused),
        }
        Ok(Signer { printed_name: printed_name(&tenant, who).await?, factors: factors_of(proved) })
    }
}

impl Door {
    async fn proved(
        self: &Arc<Self>,
        who: &Principal,
        session: SessionId,
        account: &Account,
        sent: &Sent,
    ) -> Result<Option<Proved>, Failure> {
        match sent {
            Sent::Factors(factors) => self.prove(account.credentials.as_ref(), factors).await,
            Sent::Passkey(answer) => {
                let used = self.answered(account, answer, &Purpose::Prove(who.actor.id, session));
                Ok(used.map(|used| Proved { password: false, second: Some(Second::Passkey(used)) }))
            }
        }
    }
}

fn factors_of(proved: Proved) -> Vec<Factor> {
    let second = proved.second.map(|second| match second {
        Second::Passkey(_) => Factor::Passkey,
        Second::OneTime(_) | Second::Recovery(_) | Second::Provider => Factor::OneTimeCode,
    });
    proved.password.then_some(Factor::Password).into_iter().chain(second).collect()
}

/// The name under which the signer was registered.
async fn printed_name(tenant: &Tenant, who: &Principal) -> Result<Plain, ReauthenticationError> {
    let stream = StreamId::in_tenant(&tenant.id, Aggregate::User, who.actor.id);
    let mut user = User::default();
    for commit in tenant.journal.load(&stream, Tail::default()).await? {
        user.apply(&commit).map_err(|fault| Failure::damaged(&stream, fault))?;
    }
    match user.account().map(|account| &account.name) {
        Some(Erasable::Known(name)) => Ok(name.clone().into()),
        Some(Erasable::Erased) | None => Err(ReauthenticationError::NoPrintedName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_read_whatever_letters_a_password_has() {
        let text = r#"{"password": "pässwörd", "code": "123456"}"#;
        for encoded in [STANDARD.encode(text), URL_SAFE_NO_PAD.encode(text)] {
            let Some(Sent::Factors(factors)) = read(&format!("Factors {encoded}")) else { panic!("reads") };
            assert_eq!(factors.password, Some("pässwörd".into()));
            assert_eq!(factors.code, Some("123456".into()));
        }
        let unknown = format!("Factors {}", STANDARD.encode(r#"{"user": "another"}"#));
        for wrong in ["", "Factors ", "Bearer lethe_acme_x", "Factors %", &unknown] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
