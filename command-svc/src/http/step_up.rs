//! What cannot be undone is decided by somebody who proves anew who they are: both factors, or a passkey, for this one command.

use axum::http::StatusCode;
use domain::decider::Command;
use domain::ids::Environment;
use domain::participant::{Factor, Signer};
use domain::permit::{Principal, may_command, needs_step_up};
use domain::port::ReauthenticationError;
use domain::privacy;
use edge::Problem;

use crate::commands::Commands;

/// Refuses what cannot be undone, unless who decides it has proved who they are. A token decides it outside PROD alone, where
/// nothing is real.
pub(super) async fn step_up(
    commands: &Commands,
    who: &Principal,
    credential: Option<&str>,
    command: &privacy::Command,
) -> Result<(), Problem> {
    let name = format!("privacy.{}", command.name());
    // Who may not anyway is told so by the table of roles.
    if !needs_step_up(&name) || !may_command(who.actor.role, &name) {
        return Ok(());
    }
    if who.session.is_none() {
        return if who.environment == Environment::Prod { Err(by_a_session()) } else { Ok(()) };
    }
    let signer = who_signs(commands, who, credential.ok_or_else(needed)?).await?;
    let has = |factor| signer.factors.contains(&factor);
    let both = has(Factor::Password) && has(Factor::OneTimeCode) || has(Factor::Passkey);
    if both { Ok(()) } else { Err(needed()) }
}

fn needed() -> Problem {
    let detail =
        "this cannot be undone: send the password and a code, or a passkey, as Lethe-Signer with this very command";
    Problem::new(StatusCode::FORBIDDEN, "step-up-required", detail)
}

fn by_a_session() -> Problem {
    let detail = "this cannot be undone: in PROD a person decides it in a session, and no token does";
    Problem::new(StatusCode::FORBIDDEN, "step-up-required", detail)
}

/// Asks anew who it is. A credential that is not theirs ends here; one that was not sent is refused by the record.
pub(super) async fn who_signs(commands: &Commands, who: &Principal, credential: &str) -> Result<Signer, Problem> {
    commands.reauthentication.signer(who, credential).await.map_err(|error| match error {
        ReauthenticationError::Refused => {
            Problem::new(StatusCode::FORBIDDEN, "reauthentication-failed", error.to_string())
        }
        ReauthenticationError::TooFewFactors => {
            Problem::new(StatusCode::FORBIDDEN, "too-few-factors", error.to_string())
        }
        ReauthenticationError::NoPrintedName => {
            Problem::new(StatusCode::FORBIDDEN, "no-printed-name", error.to_string())
        }
        ReauthenticationError::Failed(failure) => failure.into(),
    })
}
