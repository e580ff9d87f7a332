//! Who takes part, what is erased of whom, and what everybody's data looks like.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::{CliError, Client, follow};
use crate::demo::study::STUDY;
use crate::demo::{self, Cast, Voice};
use crate::platform::{Platform, random_id};

/// The tenant of the demo, and of the drill.
pub(super) const TENANT: &str = "demo";

/// How long an erasure may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// An erasure of the drill.
pub(super) struct Erasure {
    pub(super) id: Uuid,
    /// The person's place among the participants.
    pub(super) person: usize,
    /// Only the address; otherwise everything.
    pub(super) contact_only: bool,
}

/// The study of the drill, with all its people.
pub(super) struct Study {
    cast: Cast,
    pub(super) people: Vec<demo::people::Person>,
    pub(super) erasures: Vec<Erasure>,
}

/// All answers about one participant, by name of the view; a refusal by its code.
pub(super) type Answers = BTreeMap<&'static str, Value>;

impl Study {
    pub(super) async fn enrol(platform: &Platform, participants: usize, quiet: bool) -> Result<Self, CliError> {
        let cast = Cast::assemble(platform).await?;
        let enrolled = demo::enrol(&cast, participants, platform.dice(), &Voice { quiet }).await?;
        let erasures = [(0, false), (1, true), (2, false)].map(|(person, contact_only)| Erasure {
            id: random_id(),
            person,
            contact_only,
        });
        Ok(Self { cast, people: enrolled, erasures: erasures.into() })
    }

    /// The same tokens at a platform that was restored.
    pub(super) fn moved_to(&mut self, platform: &Platform) {
        self.cast.move_to(&platform.url());
    }

    pub(super) async fn request(&self, erasure: &Erasure) -> Result<(), CliError> {
        let mut body = json!({"type": "request-erasure", "erasure": erasure.id, "justification": "consent-withdrawn"});
        if erasure.contact_only {
            body["scopes"] = json!(["identity.contact"]);
        }
        self.cast.dpo.command(&self.privacy(erasure), random_id(), None, None, &body).await?;
        Ok(())
    }

    /// Approves and waits for the end. Returns how long that took.
    pub(super) async fn approve(&self, erasure: &Erasure) -> Result<Duration, CliError> {
        let begun = Instant::now();
        let body = json!({"type": "approve-erasure", "erasure": erasure.id, "instruction": "DRILL/1"});
        let approved = self.cast.controller.command(&self.privacy(erasure), random_id(), None, None, &body).await?;
        let end = follow(&self.cast.dpo, erasure.id, approved.position.as_deref(), |_| {});
        let done = tokio::time::timeout(PATIENCE, end).await;
        let done = done.map_err(|_| CliError::unavailable(format!("the erasure {} does not end", erasure.id)))??;
        match done["phase"].as_str() {
            Some("completed") => Ok(begun.elapsed()),
            _ => Err(CliError::failed(format!("the erasure {} does not complete", erasure.id), done)),
        }
    }

    fn privacy(&self, erasure: &Erasure) -> String {
        format!("{}/privacy", self.at(erasure.person))
    }

    fn at(&self, person: usize) -> String {
        format!("/v1/studies/{STUDY}/participants/{}", self.people[person].id)
    }

    /// What the API answers about everybody.
    pub(super) async fn look(&self) -> Result<Vec<Answers>, CliError> {
        let mut all = Vec::with_capacity(self.people.len());
        for person in 0..self.people.len() {
            let at = self.at(person);
            let mut answers = Answers::new();
            for (name, client, path) in [
                ("participant", &self.cast.investigator, at.clone()),
                ("casebook", &self.cast.investigator, format!("{at}/casebook")),
                ("identity", &self.cast.investigator, format!("{at}/identity")),
                ("audit", &self.cast.auditor, format!("{at}/audit")),
            ] {
                answers.insert(name, answer(client, &path).await?);
            }
            all.push(answers);
        }
        Ok(all)
    }

    /// An erasure as the DPO sees it, and its certificate.
    pub(super) async fn shown(&self, erasure: &Erasure) -> Result<(Value, Value), CliError> {
        let path = format!("/v1/erasures/{}", erasure.id);
        Ok((answer(&self.cast.dpo, &path).await?, answer(&self.cast.dpo, &format!("{path}/certificate")).await?))
    }
}

async fn answer(client: &Client, path: &str) -> Result<Value, CliError> {
    match client.get(path).await {
        Ok(reply) => Ok(reply.body),
        Err(error) if matches!(error.status, Some(404 | 410)) => Ok(json!({"refused": error.code})),
        Err(error) => Err(error.into()),
    }
}
