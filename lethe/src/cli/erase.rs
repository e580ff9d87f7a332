//! `lethe erase …`: one person asks, another approves; then the keys are destroyed.

use std::io::{BufRead, Write};

use clap::Subcommand;
use domain::ids::StudyId;
use domain::privacy::Justification;
use domain::scope::Scope;
use serde_json::{Value, json};

use super::options::Access;
use super::{CliError, Client};
use crate::platform::random_id;

/// Erasures.
#[derive(Subcommand)]
pub(super) enum Erase {
    /// Asks for an erasure (role dpo or investigator). Prints its id.
    Request {
        /// The participant.
        participant: uuid::Uuid,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// A scope to erase; may be given more than once. Without: everything.
        #[arg(long = "scope")]
        scopes: Vec<Scope>,
        /// The ground (GDPR Art 17(1)).
        #[arg(long, value_parser = justification, default_value = "consent-withdrawn")]
        justification: Justification,
        /// In words; sealed as free text.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        access: Access,
    },
    /// Approves it (role controller, another person), after showing what it will do. It cannot be undone.
    Approve {
        /// The erasure's id.
        erasure: uuid::Uuid,
        /// Reference of the controller's instruction.
        #[arg(long)]
        instruction: String,
        /// Accepts that there is no off-site copy yet of the key tree.
        #[arg(long)]
        accept_single_copy: bool,
        /// Shows what would be erased, and does nothing.
        #[arg(long)]
        dry_run: bool,
        /// For scripts: does not ask.
        #[arg(long)]
        yes: bool,
        /// Prints the whole erasure as JSON when it is done.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Access,
    },
    /// Shows an erasure.
    Show {
        /// The erasure's id.
        erasure: uuid::Uuid,
        #[command(flatten)]
        access: Access,
    },
}

impl Erase {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Request { participant, study, scopes, justification, reason, access } => {
                let erasure = random_id();
                let mut body = json!({"type": "request-erasure", "erasure": erasure, "justification": justification});
                if !scopes.is_empty() {
                    body["scopes"] = json!(scopes);
                }
                if let Some(reason) = reason {
                    body["reason"] = json!(reason);
                }
                let path = format!("/v1/studies/{study}/participants/{participant}/privacy");
                Client::of(&access)?.command(&path, random_id(), None, None, &body).await?;
                out!("{erasure}");
                note!("Asked for. Another person approves it: lethe erase approve {erasure} --instruction REF");
                Ok(())
            }
            Self::Approve { erasure, instruction, accept_single_copy, dry_run, yes, json, access } => {
                let client = Client::of(&access)?;
                let found = show(&client, erasure).await?;
                preview(&found, accept_single_copy);
                if dry_run {
                    return Ok(());
                }
                if !yes {
                    confirm(&found)?;
                }
                let done = approve(&client, erasure, &found, &instruction, accept_single_copy).await?;
                if json {
                    out!("{done:#}");
                }
                Ok(())
            }
            Self::Show { erasure, access } => {
                out!("{:#}", show(&Client::of(&access)?, erasure).await?);
                Ok(())
            }
        }
    }
}

fn justification(text: &str) -> Result<Justification, String> {
    serde_json::from_value(Value::from(text)).map_err(|_| {
        "no-longer-necessary, consent-withdrawn, objection, unlawful-processing, legal-obligation or childs-data".into()
    })
}

async fn show(client: &Client, erasure: uuid::Uuid) -> Result<Value, CliError> {
    Ok(client.get(&format!("/v1/erasures/{erasure}")).await?.body)
}

fn text<'a>(found: &'a Value, key: &str) -> &'a str {
    found.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What will be gone, what stays, and that there is no way back.
fn preview(found: &Value, accept_single_copy: bool) {
    let scopes = |key: &str| {
        let listed = found.get(key).and_then(Value::as_array).into_iter().flatten();
        let names = listed.filter_map(|entry| entry.as_str().or_else(|| entry.get("scope")?.as_str()));
        names.collect::<Vec<_>>().join(", ")
    };
    note!("Participant {} of study {}.", text(found, "participant"), text(found, "study"));
    note!("Will be unreadable for good, backups included: {}", scopes("granted"));
    if !scopes("refused").is_empty() {
        note!("Stays, with its ground: {}", scopes("refused"));
    }
    note!("Stays: who did what and when (without values), and the counts.");
    if !accept_single_copy {
        note!("There is no off-site copy: nothing will be readable any more from now on, but the keys are destroyed");
        note!("only once the single copy is accepted (--accept-single-copy, now or later).");
    }
}

/// Asks for the participant's id, typed.
fn confirm(found: &Value) -> Result<(), CliError> {
    eprint!("Type the participant's id to go on: ");
    std::io::stderr().flush().map_err(|error| CliError::failed("the question", error))?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed).map_err(|error| CliError::failed("the answer", error))?;
    if typed.trim() == text(found, "participant") {
        Ok(())
    } else {
        Err(CliError::input("that is not the id: nothing was done"))
    }
}

async fn approve(
    client: &Client,
    erasure: uuid::Uuid,
    found: &Value,
    instruction: &str,
    accept_single_copy: bool,
) -> Result<Value, CliError> {
    let path = format!("/v1/studies/{}/participants/{}/privacy", text(found, "study"), text(found, "participant"));
    let body = if accept_single_copy && text(found, "phase") == "committed" {
        json!({"type": "accept-single-copy", "erasure": erasure})
    } else {
        json!({
            "type": "approve-erasure", "erasure": erasure, "instruction": instruction,
            "accept_single_copy": accept_single_copy,
        })
    };
    client.command(&path, random_id(), None, None, &body).await?;
    let done = follow(client, erasure, |phase| note!("  {phase}")).await?;
    match text(&done, "phase") {
        "completed" => {
            let number = |key: &str| done["destroyed"][key].as_u64().unwrap_or_default();
            out!(
                "Erased: {} keys destroyed with root {}, {} scopes tried again, nothing opens",
                number("keys"),
                number("root_before"),
                done["probed"],
            );
            Ok(done)
        }
        "refused" => Err(CliError::conflict("the erasure was refused; `lethe erase show` says on what ground")),
        phase => Err(CliError::unavailable(format!(
            "the erasure stands at `{phase}`: {}",
            if accept_single_copy {
                "it goes on by itself, see `lethe erase show`"
            } else {
                "nothing can be read any more, but the keys are not destroyed yet: there is no off-site copy. Approve again with --accept-single-copy"
            }
        ))),
    }
}

/// Follows the erasure until it rests, showing each step.
///
/// # Errors
/// The first answer that is a refusal.
pub async fn follow(client: &Client, erasure: uuid::Uuid, mut each: impl FnMut(&str)) -> Result<Value, CliError> {
    let mut shown = 0;
    for _ in 0..600 {
        let found = show(client, erasure).await?;
        let steps = found["steps"].as_array().map_or(&[][..], Vec::as_slice);
        steps.iter().skip(shown).for_each(|step| each(text(step, "phase")));
        shown = steps.len();
        let phase = text(&found, "phase");
        let waits = phase == "committed" && found.get("single_copy_accepted") == Some(&Value::Bool(false));
        if matches!(phase, "completed" | "refused") || waits {
            return Ok(found);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    show(client, erasure).await
}
