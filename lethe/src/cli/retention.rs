//! `lethe retention …`: how long a study must keep which data.

use std::collections::BTreeSet;

use clap::Subcommand;
use domain::ids::{Label, RuleId, StudyId};
use domain::privacy::RefusalGround;
use domain::scope::Scope;
use domain::study::{MONTHS_MAX, Trigger};
use serde_json::{Value, json};

use super::options::{Access, word};
use super::{CliError, Client};
use crate::platform::random_id;

/// Retention rules.
#[derive(Subcommand)]
pub(super) enum Retention {
    /// Sets a rule, or changes the one of this id (role data-manager or controller). What it keeps is not erased.
    Set {
        /// The rule's id, as the study numbers it: 1 to 32 of a-z, 0-9 and -.
        rule: RuleId,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// A scope to keep; may be given more than once.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<Scope>,
        /// From when it counts: registration, last-visit, consent-withdrawn or study-completed.
        #[arg(long, value_parser = word::<Trigger>)]
        trigger: Trigger,
        /// For how many months.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MONTHS_MAX)))]
        months: u32,
        /// The law, contract or protocol that says so.
        #[arg(long)]
        legal_basis: Label,
        /// The case of GDPR Art 17(3): freedom-of-expression, legal-obligation, public-health, research or legal-claims.
        #[arg(long, value_parser = word::<RefusalGround>)]
        ground: RefusalGround,
        /// Lets single values be redacted all the same.
        #[arg(long)]
        allows_redaction: bool,
        #[command(flatten)]
        access: Access,
    },
    /// Ends a rule (role controller): it keeps nothing any more, and erases nothing either.
    End {
        /// The rule's id.
        rule: RuleId,
        /// The study.
        #[arg(long)]
        study: StudyId,
        #[command(flatten)]
        access: Access,
    },
    /// Lists the rules that are in force.
    List {
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// Prints them as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Access,
    },
}

impl Retention {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Set { rule, study, scopes, trigger, months, legal_basis, ground, allows_redaction, access } => {
                let scopes: BTreeSet<Scope> = scopes.into_iter().collect();
                let body = json!({
                    "type": "set-retention", "rule": rule, "scopes": scopes, "trigger": trigger, "months": months,
                    "legal_basis": legal_basis, "ground": ground, "allows_redaction": allows_redaction,
                });
                send(&access, &study, &body).await?;
                note!("Rule {rule} keeps data of {study} from now on. Erasures that wait are not assessed anew by it.");
                Ok(())
            }
            Self::End { rule, study, access } => {
                send(&access, &study, &json!({"type": "end-retention", "rule": rule})).await?;
                note!("Rule {rule} keeps nothing any more.");
                Ok(())
            }
            Self::List { study, json, access } => {
                let found = Client::of(&access)?.get(&format!("/v1/studies/{study}")).await?.body;
                let rows = found["retention"].as_array().cloned().unwrap_or_default();
                if json {
                    out!("{}", Value::from(rows));
                } else {
                    let columns = [
                        ("rule", 16),
                        ("months", 6),
                        ("trigger", 18),
                        ("ground", 22),
                        ("allows_redaction", 16),
                        ("scopes", 0),
                    ];
                    super::print::table(&columns, &rows);
                }
                Ok(())
            }
        }
    }
}

async fn send(access: &Access, study: &StudyId, body: &Value) -> Result<(), CliError> {
    Client::of(access)?.command(&format!("/v1/studies/{study}"), random_id(), None, None, body).await?;
    Ok(())
}
