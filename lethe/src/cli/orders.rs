//! `lethe hold …` and `lethe restrict …`: what keeps a person's data, and what keeps it from being processed.

use std::collections::BTreeSet;

use clap::Subcommand;
use domain::Day;
use domain::ids::{OrganisationId, StudyId};
use domain::privacy::RestrictionGround;
use domain::scope::Scope;
use serde_json::{Value, json};

use super::options::{Access, word};
use super::{CliError, Client};
use crate::platform::random_id;

/// Legal holds.
#[derive(Subcommand)]
pub(super) enum Hold {
    /// Orders that data be kept, whoever asks for its erasure (role dpo or controller). Prints the hold's id.
    // Not "Place": the options of that name would be its namesake in the parser.
    #[command(name = "place")]
    Order {
        /// The participant.
        participant: uuid::Uuid,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// A scope to keep; may be given more than once. Without: everything that is not erased.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// Who ordered it: a court, an authority, a department.
        #[arg(long)]
        authority: OrganisationId,
        /// When it is looked at again: YYYY-MM-DD.
        #[arg(long, value_name = "DAY", value_parser = word::<Day>)]
        review_on: Day,
        /// Why; sealed as free text. Required while the participant's texts are not erased.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        access: Access,
    },
    /// Ends a hold (role controller). Erasures that wait are assessed anew; none starts by itself.
    Lift {
        /// The participant.
        participant: uuid::Uuid,
        /// The hold's id.
        hold: uuid::Uuid,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// Why; sealed as free text. Required while the participant's texts are not erased.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        access: Access,
    },
    /// Lists the holds that are in force in a study (role dpo, controller or auditor).
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

impl Hold {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Order { participant, study, scopes, authority, review_on, reason, access } => {
                let hold = random_id();
                let mut body =
                    json!({"type": "place-hold", "hold": hold, "authority": authority, "review_on": review_on});
                if !scopes.is_empty() {
                    body["scopes"] = json!(scopes.into_iter().collect::<BTreeSet<_>>());
                }
                order(&access, &study, participant, body, reason).await?;
                out!("{hold}");
                note!(
                    "The data is kept until the hold is lifted: lethe hold lift {participant} {hold} --study {study} --reason WHY"
                );
                Ok(())
            }
            Self::Lift { participant, hold, study, reason, access } => {
                order(&access, &study, participant, json!({"type": "lift-hold", "hold": hold}), reason).await?;
                note!("The hold is lifted.");
                Ok(())
            }
            Self::List { study, json, access } => {
                let columns = [("hold", 36), ("participant", 36), ("authority", 16), ("review_on", 10), ("scopes", 0)];
                list(&access, &study, "holds", json, &columns).await
            }
        }
    }
}

/// Restrictions of processing (GDPR Art 18).
#[derive(Subcommand)]
pub(super) enum Restrict {
    /// Orders that data be stored and not processed (role dpo or controller).
    #[command(name = "place")]
    Order {
        /// The participant.
        participant: uuid::Uuid,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// On which ground of Art 18(1): accuracy-contested, unlawful-processing, legal-claims or objection-pending.
        #[arg(long, value_parser = word::<RestrictionGround>)]
        ground: RestrictionGround,
        /// Why; sealed as free text. Required while the participant's texts are not erased.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        access: Access,
    },
    /// Ends the restriction (role dpo or controller).
    Lift {
        /// The participant.
        participant: uuid::Uuid,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// Why; sealed as free text. Required while the participant's texts are not erased.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        access: Access,
    },
    /// Lists the restrictions that are in force in a study (role dpo, controller or auditor).
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

impl Restrict {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Order { participant, study, ground, reason, access } => {
                let body = json!({"type": "place-restriction", "ground": ground});
                order(&access, &study, participant, body, reason).await?;
                note!("The data is stored and not processed, until the restriction is lifted.");
                Ok(())
            }
            Self::Lift { participant, study, reason, access } => {
                order(&access, &study, participant, json!({"type": "lift-restriction"}), reason).await?;
                note!("The restriction is lifted.");
                Ok(())
            }
            Self::List { study, json, access } => {
                list(&access, &study, "restrictions", json, &[("participant", 36), ("ground", 0)]).await
            }
        }
    }
}

/// Sends an order about a participant's data.
async fn order(
    access: &Access,
    study: &StudyId,
    participant: uuid::Uuid,
    mut body: Value,
    reason: Option<String>,
) -> Result<(), CliError> {
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
    let path = format!("/v1/studies/{study}/participants/{participant}/privacy");
    Client::of(access)?.command(&path, random_id(), None, None, &body).await?;
    Ok(())
}

async fn list(
    access: &Access,
    study: &StudyId,
    what: &str,
    json: bool,
    columns: &[(&str, usize)],
) -> Result<(), CliError> {
    let found = Client::of(access)?.get(&format!("/v1/studies/{study}/{what}")).await?.body;
    let rows = found["items"].as_array().cloned().unwrap_or_default();
    if json {
        out!("{}", Value::from(rows));
    } else {
        super::print::table(columns, &rows);
    }
    Ok(())
}
