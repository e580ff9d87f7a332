//! `lethe access …`: who was shown whose data.

use std::io::Write as _;

use clap::{Args, Subcommand};
use domain::Moment;
use domain::ids::StudyId;
use serde_json::Value;

use super::options::{Access as Reach, word};
use super::{CliError, Client};

/// Who was shown whose data (roles dpo, controller, auditor).
#[derive(Subcommand)]
pub(super) enum Access {
    /// Who has looked at a participant, the newest first.
    Participant {
        /// The participant.
        participant: uuid::Uuid,
        /// In which study.
        #[arg(long)]
        study: StudyId,
        /// Prints JSON, one entry a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Box<Reach>,
    },
    /// What a user was shown, the newest first; without a user, oneself.
    User {
        /// The user.
        user: Option<uuid::Uuid>,
        /// Prints JSON, one entry a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Box<Reach>,
    },
    /// The whole log as JSON, one entry a line, the oldest first.
    Export(Box<Export>),
}

/// The whole log.
#[derive(Args)]
pub(super) struct Export {
    /// From this time on (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = word::<Moment>)]
    since: Option<Moment>,
    /// Before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = word::<Moment>)]
    until: Option<Moment>,
    /// By this user.
    #[arg(long, value_name = "ID")]
    user: Option<uuid::Uuid>,
    /// In this study.
    #[arg(long)]
    study: Option<StudyId>,
    /// What was asked for, such as `participant.casebook`.
    #[arg(long)]
    view: Option<String>,
    #[command(flatten)]
    access: Reach,
}

impl Access {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Participant { participant, study, json, access } => {
                let path = format!("/v1/studies/{study}/participants/{participant}/access");
                listed(&Client::of(&access)?, &path, json).await
            }
            Self::User { user, json, access } => {
                let path = user.map_or("/v1/access/mine".to_owned(), |user| format!("/v1/users/{user}/access"));
                listed(&Client::of(&access)?, &path, json).await
            }
            Self::Export(export) => export.run().await,
        }
    }
}

/// Every page of a list, as it comes.
async fn listed(client: &Client, path: &str, json: bool) -> Result<(), CliError> {
    let mut cursor = String::new();
    let columns = [
        ("at", 30),
        ("user", 36),
        ("role", 13),
        ("organisation", 12),
        ("view", 22),
        ("outcome", 11),
        ("purpose", 20),
        ("address", 15),
        ("named", 5),
    ];
    let mut rows = Vec::new();
    loop {
        let body = client.get(&format!("{path}?limit=1000{cursor}")).await?.body;
        for entry in body["items"].as_array().into_iter().flatten() {
            if json {
                out!("{entry}");
            } else {
                rows.push(row(entry));
            }
        }
        match body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    if !json {
        super::print::table(&columns, &rows);
    }
    Ok(())
}

/// An entry as a line of the table: who stands beside what.
fn row(entry: &Value) -> Value {
    let mut row = entry.clone();
    let actor = &entry["actor"];
    for (name, from) in [("user", "id"), ("role", "role"), ("organisation", "organisation")] {
        row[name] = actor[from].clone();
    }
    if let Some(gone) = entry["address"].as_object().and_then(|shown| shown.keys().next()) {
        row["address"] = format!("({gone})").into();
    }
    row
}

impl Export {
    async fn run(self) -> Result<(), CliError> {
        // None of these holds a letter that an address would have to escape, but for the sign of an offset.
        let moment = |at: Moment| {
            let text = serde_json::to_value(at).unwrap_or_default();
            text.as_str().unwrap_or_default().replace('+', "%2B")
        };
        let given = [
            ("since", self.since.map(moment)),
            ("until", self.until.map(moment)),
            ("user", self.user.map(|user| user.to_string())),
            ("study", self.study.map(|study| study.to_string())),
            ("view", self.view),
        ];
        let pairs = given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        let path = format!("/v1/access?{}", pairs.collect::<Vec<_>>().join("&"));
        let written = |piece: &[u8]| {
            std::io::stdout().write_all(piece).map_err(|error| CliError::failed("standard output", error))
        };
        Client::of(&self.access)?.pieces(&path, written).await
    }
}
