//! Moves participants to another design version, one after another: what was moved stays moved if one is refused.

use clap::Args;
use domain::history::CommitHash;
use domain::ids::{ParticipantId, SiteId, StudyId};
use serde_json::json;

use crate::cli::options::Access;
use crate::cli::{CliError, Client};

/// Moves participants to another published design.
#[derive(Args)]
pub(in crate::cli) struct Migrate {
    /// Which participants. Default: all of the site.
    participants: Vec<ParticipantId>,
    /// All participants of this site.
    #[arg(long, conflicts_with = "participants", required_unless_present = "participants")]
    site: Option<SiteId>,
    /// The design's content hash.
    #[arg(long)]
    to: CommitHash,
    /// Says what would change, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// The study.
    #[arg(long)]
    study: StudyId,
    #[command(flatten)]
    access: Access,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let client = Client::of(&self.access)?;
        let participants = match &self.site {
            Some(site) => of_site(&client, &self.study, site).await?,
            None => self.participants.iter().map(ToString::to_string).collect(),
        };
        let mut refused = 0;
        for participant in &participants {
            let path = format!("/v1/studies/{}/participants/{participant}", self.study);
            let report = client.get(&format!("{path}/migration/{}", self.to)).await?.body;
            let sent = match self.dry_run {
                true => Ok(()),
                false => client.post(&path, &json!({"type": "migrate", "to": self.to})).await.map(|_| ()),
            };
            if let Err(error) = &sent {
                refused += 1;
                note!("{participant}: {error}");
            }
            out!(
                "{}",
                json!({"participant": participant, "migrated": sent.is_ok() && !self.dry_run, "report": report})
            );
        }
        let done = participants.len() - refused;
        note!("{done} of {} participants {}.", participants.len(), if self.dry_run { "looked at" } else { "migrated" });
        match refused {
            0 => Ok(()),
            _ => Err(CliError::conflict(&format!("{refused} participants were not migrated: see above"))),
        }
    }
}

async fn of_site(client: &Client, study: &StudyId, site: &SiteId) -> Result<Vec<String>, CliError> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/studies/{study}/participants?limit=500{cursor}")).await?.body;
        let here = page["items"].as_array().into_iter().flatten().filter(|one| one["site"] == site.as_str());
        found.extend(here.filter_map(|one| one["participant"].as_str().map(str::to_owned)));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(found),
        }
    }
}
