//! `lethe erase …`: one person asks, another approves; then the keys are destroyed.

use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use clap::Subcommand;
use domain::ids::StudyId;
use domain::privacy::Justification;
use domain::scope::{OneValue, Part, Scope};
use serde_json::{Value, json};

use super::options::Access;
use super::session::proof;
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
        /// A scope to erase; may be given more than once. Without, and without --value: everything.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// A single value to redact: its part, as the audit trail names it under `redactable`; may be given more than
        /// once. PART alone is one of health.free-text, otherwise SCOPE/PART.
        #[arg(long = "value", value_name = "PART", value_parser = one_value)]
        values: Vec<OneValue>,
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
        /// Accepts that there is no off-site copy of the key tree. Not needed where one is configured.
        #[arg(long)]
        accept_single_copy: bool,
        /// Shows what would be erased and how much of what it touches, and does nothing.
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
            Self::Request { participant, study, scopes, values, justification, reason, access } => {
                let erasure = random_id();
                let mut body = json!({"type": "request-erasure", "erasure": erasure, "justification": justification});
                if !scopes.is_empty() {
                    body["scopes"] = json!(scopes);
                }
                if !values.is_empty() {
                    body["values"] = json!(values);
                }
                if let Some(reason) = reason {
                    body["reason"] = json!(reason);
                }
                let path = format!("/v1/studies/{study}/participants/{participant}/privacy");
                let client = Client::of(&access)?;
                let asked = client.command(&path, random_id(), None, None, &body).await?;
                out!("{erasure}");
                let at = asked.position.unwrap_or_default();
                let shown = client.get(&format!("/v1/erasures/{erasure}?min_position={at}")).await;
                match shown.is_ok_and(|shown| text(&shown.body, "phase") == "refused") {
                    true => note!("Refused: everything is held or retained. The grounds: lethe erase show {erasure}"),
                    false => {
                        note!("Asked for. Another person approves it: lethe erase approve {erasure} --instruction REF");
                    }
                }
                Ok(())
            }
            Self::Approve { erasure, instruction, accept_single_copy, dry_run, yes, json, access } => {
                let client = Client::of(&access)?;
                let found = show(&client, erasure).await?;
                preview(&found, accept_single_copy);
                touched(&client.get(&format!("/v1/erasures/{erasure}/impact")).await?.body);
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

fn one_value(text: &str) -> Result<OneValue, String> {
    let (scope, part) = match text.split_once('/') {
        Some((scope, part)) => (scope.parse().map_err(|error| format!("{error}"))?, part),
        None => (Scope::HealthFreeText, text),
    };
    let part = Part::try_from(part.to_owned()).map_err(|error| error.to_string())?;
    OneValue::of(scope, &part).ok_or_else(|| "this part is shared by many values: erase its scope".into())
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
    let list = |key: &str| found.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let granted = list("granted").iter().filter_map(Value::as_str).map(str::to_owned);
    let values = list("granted_values").iter().map(named);
    let granted: Vec<String> = granted.chain(values).collect();
    note!("Participant {} of study {}.", text(found, "participant"), text(found, "study"));
    note!("Will be unreadable for good, backups included: {}", granted.join(", "));
    for kept in list("refused") {
        note!("Stays: {}", kept_because(kept));
    }
    note!("Stays: who did what and when (without values), and the counts.");
    if !accept_single_copy && text(found, "key_tree_copies") == "single" {
        note!("There is no off-site copy: nothing will be readable any more from now on, but the keys are destroyed");
        note!("only once the single copy is accepted (--accept-single-copy, now or later).");
    }
}

/// How much of what it touches, and how much of that stays.
fn touched(impact: &Value) {
    let list = |key: &str| impact.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let count = |of: &Value, key: &str| of.get(key).and_then(Value::as_u64).unwrap_or_default();
    for stream in list("streams") {
        let (gone, kept) = (count(stream, "values_gone"), count(stream, "values_kept"));
        let (commits, name) = (count(stream, "commits"), text(stream, "stream"));
        note!("Stream {name}: {commits} commits stay; {gone} values become unreadable, {kept} stay.");
    }
    note!("Keys: {} are destroyed.", count(impact, "keys"));
    for model in list("read_models").iter().filter(|model| count(model, "cells_gone") > 0) {
        let (rows, gone) = (count(model, "rows"), count(model, "cells_gone"));
        note!("Read model {}: {gone} cells in {rows} rows become unreadable.", text(model, "model"));
    }
    let held = list("exports").iter().filter(|export| export.get("held") == Some(&Value::Bool(true))).count();
    note!("Exports: {held} held here are deleted, of {} that held the participant.", list("exports").len());
    let recipients: Vec<&str> = list("recipients").iter().filter_map(Value::as_str).collect();
    if !recipients.is_empty() {
        note!("To be told, and to delete their copies themselves: {}.", recipients.join(", "));
    }
    note!("Backups and off-site copies: all of them; the keys in them are sealed under a root that is destroyed.");
}

/// A scope, or one value of it.
fn named(value: &Value) -> String {
    match text(value, "part") {
        "" => text(value, "scope").to_owned(),
        part => format!("{}/{part}", text(value, "scope")),
    }
}

/// What is kept, on which ground and until when.
fn kept_because(kept: &Value) -> String {
    let rule = match text(kept, "rule") {
        "" => String::new(),
        rule => format!(", rule {rule}"),
    };
    let until = match (text(kept, "until"), text(kept, "after")) {
        ("", "") => String::new(),
        ("", after) => format!(", until some time after {after}, which has not happened yet"),
        (day, _) => format!(", until {day}"),
    };
    format!("{} ({}{rule}{until})", named(kept), text(kept, "ground"))
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
    // A session alone decides nothing that cannot be undone.
    let approved = if client.is_session() {
        client.command_signed(&path, random_id(), &proof()?, &body).await?
    } else {
        client.command(&path, random_id(), None, None, &body).await?
    };
    let done = follow(client, erasure, approved.position.as_deref(), |step| note!("  {step}")).await?;
    match text(&done, "phase") {
        "completed" => {
            let number = |key: &str| done["destroyed"][key].as_u64().unwrap_or_default();
            out!(
                "Erased: {} keys destroyed with root {}, {} targets tried again, nothing opens",
                number("keys"),
                number("root_before"),
                done["probed"],
            );
            tell(&done);
            if number("keys") == 0 {
                note!(
                    "Nothing was held there: if that is a surprise, look whether the scope or the value is the one you meant."
                );
            }
            Ok(done)
        }
        "refused" => Err(CliError::conflict("the erasure was refused; `lethe erase show` says on what ground")),
        phase => Err(CliError::unavailable(format!("the erasure stands at `{phase}`: {}", why_it_rests(&done)))),
    }
}

/// Whom the controller must tell (GDPR Art 19): their copies are out of the platform's reach.
fn tell(done: &Value) {
    let lines = recipients(done);
    if !lines.is_empty() {
        note!("Tell those who got data of this person (GDPR Art 19): nothing that they hold is erased by this.");
    }
    lines.iter().for_each(|line| out!("{line}"));
}

/// Who was given what, a line each.
fn recipients(done: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let line = |who: &Value, given: &Value| {
        let copy = if given["copy"].is_null() { "" } else { ", a copy that was handed on" };
        let (purpose, export, at) = (text(given, "purpose"), text(given, "export"), text(given, "given_at"));
        format!("tell: {} ({purpose}), export {export}{copy}, given at {at}", text(who, "recipient"))
    };
    let of = |who: Value| list(&who["given"]).iter().map(|given| line(&who, given)).collect::<Vec<_>>();
    list(&done["tell"]).into_iter().flat_map(of).collect()
}

/// What an erasure waits for that is not completed.
fn why_it_rests(found: &Value) -> String {
    match text(found, "waiting_for") {
        "approval" => "it was assessed anew, because a hold or a rule came first: look at it and approve again".into(),
        "single-copy" => "nothing can be read any more, but the keys are not destroyed yet: there is no off-site copy. Approve again with --accept-single-copy".into(),
        "destruction-date" => format!(
            "nothing can be read any more; the KMS keeps the old root until {}. It goes on by itself then",
            text(found, "destruction_due")
        ),
        "platform" | "nobody" => "it goes on by itself, see `lethe erase show`".into(),
        other => format!("it waits for {other} and goes on by itself when that answers, see `lethe erase show`"),
    }
}

/// How long an erasure may stand still before nobody watches it any more.
const QUIET: Duration = Duration::from_secs(60);

/// Follows the erasure until it rests, showing each step; from what was done at `position` on. Without a position the
/// read models must know of it already: an erasure that they have not read of is unheard-of.
///
/// # Errors
/// The first answer that is a refusal.
pub async fn follow(
    client: &Client,
    erasure: uuid::Uuid,
    position: Option<&str>,
    mut each: impl FnMut(&str),
) -> Result<Value, CliError> {
    let since = position.map(|position| format!("?min_position={position}")).unwrap_or_default();
    let (mut shown, mut waited, mut last) = (0, String::new(), None);
    let seen = |found: Value| {
        let steps = found["steps"].as_array().map_or(&[][..], Vec::as_slice);
        steps.iter().skip(shown).for_each(|step| each(text(step, "phase")));
        shown = steps.len();
        let waits = text(&found, "waiting_for").to_owned();
        if waits != waited && !matches!(waits.as_str(), "platform" | "nobody" | "approval") {
            each(&format!("waits for {waits}"));
        }
        waited = waits;
        let rests = matches!(text(&found, "phase"), "completed" | "refused")
            || matches!(waited.as_str(), "single-copy" | "destruction-date")
            // After the approval that is looked from: it fell.
            || (position.is_some() && waited == "approval");
        last = Some(found);
        if rests { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    client.events(&format!("/v1/erasures/{erasure}{since}"), QUIET, seen).await?;
    match last {
        Some(found) => Ok(found),
        None => show(client, erasure).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_named_by_its_part_or_by_scope_and_part() {
        let text = "5f0c2e8c6d7a4b519a3e1d2c4b5a6978-1";
        let value = |scope| OneValue { scope, part: Part::try_from(text.to_owned()).expect("valid") };
        assert_eq!(one_value(text), Ok(value(Scope::HealthFreeText)));
        assert_eq!(one_value(&format!("health.optional/{text}")), Ok(value(Scope::HealthOptional)));
        for wrong in ["", "all", "health.free-text/all", "unheard-of/x", "Ada Lovelace"] {
            let error = one_value(wrong).expect_err(wrong);
            assert!(!error.contains("Ada"), "{error}");
        }
    }

    #[test]
    fn what_is_kept_is_shown_with_its_ground_and_its_date() {
        let held = json!({"scope": "health.clinical", "ground": "legal-hold", "until": "2027-01-31"});
        assert_eq!(kept_because(&held), "health.clinical (legal-hold, until 2027-01-31)");
        let retained = json!({"scope": "health.free-text", "part": "x-1", "ground": "research", "rule": "ich", "until": null, "after": "study-completed"});
        assert_eq!(
            kept_because(&retained),
            "health.free-text/x-1 (research, rule ich, until some time after study-completed, which has not happened yet)"
        );
    }

    #[test]
    fn whoever_was_given_data_is_named_with_what_for_and_when() {
        let given =
            |copy: Value| json!({"purpose": "registry", "export": "e-1", "copy": copy, "given_at": "2026-11-20"});
        let done =
            json!({"tell": [{"recipient": "Health registry", "given": [given(Value::Null), given(json!("c-1"))]}]});
        let line = |copy: &str| format!("tell: Health registry (registry), export e-1{copy}, given at 2026-11-20");
        assert_eq!(recipients(&done), [line(""), line(", a copy that was handed on")]);
        assert_eq!(recipients(&json!({})), [] as [String; 0]);
    }
}
