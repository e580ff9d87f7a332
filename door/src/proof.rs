//! Factors, checked. Every factor that was given is checked in full, against a decoy where there is no account, so that
//! neither the answer nor the time it takes says which one was wrong.

use std::sync::Arc;

use domain::account::{Credentials, Second};
use domain::design::content_hash;
use domain::port::{Dice, Failure};
use domain::scope::{Erasable, Plain};

use crate::Door;

/// What somebody gave to prove who they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Factors {
    pub(crate) password: Option<Plain>,
    pub(crate) code: Option<Plain>,
    pub(crate) recovery_code: Option<Plain>,
}

/// What of it was right. Nothing counts if something was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proved {
    pub(crate) password: bool,
    pub(crate) second: Option<Second>,
}

/// The secret of nobody's codes.
const DECOY_ONE_TIME: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Door {
    /// Checks what was given; none if anything of it is wrong, nothing was given, or there is nobody.
    pub(crate) async fn prove(
        self: &Arc<Self>,
        credentials: Option<&Credentials>,
        factors: &Factors,
    ) -> Result<Option<Proved>, Failure> {
        let known = |text: Option<&Erasable<String>>| text.and_then(|text| text.known()).cloned();
        let password = known(credentials.map(|one| &one.password));
        let one_time = known(credentials.map(|one| &one.one_time));
        let recovery = credentials.and_then(|one| one.recovery.known()).cloned().unwrap_or_default();
        let (door, given, now) = (Arc::clone(self), factors.clone(), self.now());
        self.slowly(move || {
            let secrets = &door.parts.secrets;
            let there = password.is_some() && one_time.is_some();
            // Made for everybody: the first who asks waits for it, whoever that is.
            let decoy = door.decoy();
            let hash = password.unwrap_or(decoy);
            let one_time = one_time.unwrap_or_else(|| DECOY_ONE_TIME.to_owned());
            let right = given.password.as_ref().map(|password| secrets.is_password(&password.0, &hash));
            let step = given.code.as_ref().map(|code| secrets.step_of(&one_time, code.0.trim(), now));
            let place = given.recovery_code.as_ref().map(|code| {
                let hash = content_hash(plain_code(&code.0).as_bytes()).to_string();
                recovery.iter().position(|known| *known == hash).and_then(|at| u32::try_from(at).ok())
            });
            let wrong = right == Some(false) || step == Some(None) || place == Some(None);
            let second = step.flatten().map(Second::OneTime).or(place.flatten().map(Second::Recovery));
            let proved = Proved { password: right == Some(true), second };
            (there && !wrong && (proved.password || second.is_some())).then_some(proved)
        })
        .await
    }

    /// Runs what takes a core for a while where nobody waits for it, and not too much of it at once.
    pub(crate) async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let gone = |error: &dyn std::fmt::Display| Failure::unavailable("the check of a password", error);
        let _one_of_few = self.hashing.acquire().await.map_err(|error| gone(&error))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| gone(&error))
    }

    /// The hash of a password that nobody has.
    fn decoy(&self) -> String {
        let made = || {
            let word: String = self.parts.dice.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            self.parts.secrets.hash_password(&word).unwrap_or_default()
        };
        self.decoy.get_or_init(made).clone()
    }
}

/// How many recovery codes an account gets.
const CODES: usize = 10;

/// New recovery codes: 80 bits each, in groups for people.
pub(crate) fn recovery_codes(dice: &dyn Dice) -> Vec<String> {
    let code = |_| {
        let digits: String = dice.bytes()[..10].iter().map(|byte| format!("{byte:02x}")).collect();
        let groups: Vec<&str> = (0..4).map(|at| &digits[at * 5..at * 5 + 5]).collect();
        groups.join("-")
    };
    (0..CODES).map(code).collect()
}

/// What a recovery code is stored as.
pub(crate) fn recovery_hash(code: &str) -> Plain {
    content_hash(plain_code(code).as_bytes()).to_string().into()
}

/// A code as it counts, whatever groups and letters it was typed in.
fn plain_code(code: &str) -> String {
    code.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_lowercase()).collect()
}
