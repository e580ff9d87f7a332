//! What the platform answers about a study and one participant, through the caller's own rights.

use domain::design::StudyDesign;
use domain::history::CommitHash;
use domain::ids::{SignatureId, StudyId};
use domain::participant::{Meaning, Place};
use projection_svc::Shown;
use projection_svc::audit::AuditEntry;
use projection_svc::casebook::Casebook;
use projection_svc::participants::Participant;
use projection_svc::queries::Query;
use projection_svc::row::Act;
use projection_svc::studies::Study;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::{ApiError, CliError, Client};

/// How many entries a page has.
const PAGE: usize = 500;

/// A study behind the HTTP API.
pub(super) struct Source<'a> {
    client: &'a Client,
    path: String,
    /// Who exports may not read the audit trail.
    pub(super) no_audit: bool,
    /// Nor the queries.
    pub(super) no_queries: bool,
    /// Nor the signatures.
    pub(super) no_signatures: bool,
}

/// What is known of one participant.
pub(super) struct Loaded {
    pub(super) participant: Participant,
    /// The audit trail was asked for.
    pub(super) history: bool,
    /// None: every value is erased.
    pub(super) casebook: Option<Casebook>,
    /// Empty if it was not asked for, or may not be read.
    pub(super) audit: Vec<AuditEntry>,
    pub(super) queries: Vec<Query>,
    pub(super) signatures: Vec<Signature>,
}

/// A signature, as far as an export shows it.
#[derive(Deserialize)]
pub(super) struct Signature {
    pub(super) signature: SignatureId,
    pub(super) place: Place,
    pub(super) meaning: Meaning,
    pub(super) printed_name: Shown<String>,
    #[serde(flatten)]
    pub(super) act: Act,
    pub(super) digest: CommitHash,
    pub(super) holds: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(client: &'a Client, study: &StudyId) -> Self {
        let path = format!("/v1/studies/{study}");
        Self { client, path, no_audit: false, no_queries: false, no_signatures: false }
    }

    /// The study, and up to where its journal is reflected.
    pub(super) async fn study(&self) -> Result<(Study, u64), CliError> {
        let reply = self.client.get(&self.path).await?;
        let positions = edge::headers::parse_positions(reply.position.as_deref().unwrap_or_default());
        let position = positions.ok().and_then(|positions| Some(positions.first()?.sequence));
        let position = position.ok_or_else(|| CliError::failed("the study", "the answer has no Lethe-Position"))?;
        Ok((typed(reply.body, "the study")?, position))
    }

    pub(super) async fn design(&self, design: &CommitHash) -> Result<StudyDesign, CliError> {
        typed(self.client.get(&format!("{}/designs/{design}", self.path)).await?.body, "the design")
    }

    /// One page of participants, and where the next one begins.
    pub(super) async fn participants(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Participant>, Option<String>), CliError> {
        Ok(self.page(&format!("{}/participants", self.path), "", cursor).await?)
    }

    /// Everything that the caller may see of one participant. Of one whose processing is restricted nothing is asked.
    pub(super) async fn load(&mut self, participant: Participant, history: bool) -> Result<Loaded, CliError> {
        let (audit, queries, signatures) = (Vec::new(), Vec::new(), Vec::new());
        let mut loaded = Loaded { participant, history, casebook: None, audit, queries, signatures };
        if loaded.participant.restricted {
            return Ok(loaded);
        }
        let id = loaded.participant.participant;
        let path = format!("{}/participants/{id}", self.path);
        loaded.casebook = match self.client.get(&format!("{path}/casebook")).await {
            Ok(reply) => Some(typed(reply.body, "a casebook")?),
            Err(error) if error.status == Some(410) => None,
            Err(error) => return Err(error.into()),
        };
        // Where everything is erased, the audit trail still says what was there.
        if history || loaded.casebook.is_none() {
            (loaded.audit, self.no_audit) = self.all(&format!("{path}/audit"), "").await?;
        }
        if !self.no_queries {
            let query = format!("&participant={id}");
            (loaded.queries, self.no_queries) = self.all(&format!("{}/queries", self.path), &query).await?;
        }
        if !self.no_signatures {
            (loaded.signatures, self.no_signatures) = match self.client.get(&format!("{path}/signatures")).await {
                Ok(mut reply) => (typed(reply.body["items"].take(), "the signatures")?, false),
                Err(error) if error.status == Some(403) => (Vec::new(), true),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(loaded)
    }

    /// Every entry of a list, or that the caller may not read it.
    async fn all<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<(Vec<T>, bool), CliError> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            match self.page(path, query, cursor.as_deref()).await {
                Ok((items, next)) => {
                    all.extend(items);
                    cursor = next;
                }
                Err(error) if error.status == Some(403) => return Ok((Vec::new(), true)),
                Err(error) => return Err(error.into()),
            }
            if cursor.is_none() {
                return Ok((all, false));
            }
        }
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &str,
        cursor: Option<&str>,
    ) -> Result<(Vec<T>, Option<String>), ApiError> {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let mut body = self.client.get(&format!("{path}?limit={PAGE}{query}{cursor}")).await?.body;
        let next = body["next"].as_str().map(str::to_owned);
        let items = serde_json::from_value(body["items"].take()).map_err(|error| ApiError::local(strange(&error)))?;
        Ok((items, next))
    }
}

fn typed<T: DeserializeOwned>(body: Value, what: &str) -> Result<T, CliError> {
    serde_json::from_value(body).map_err(|error| CliError::failed(what, strange(&error)))
}

/// What is wrong with an answer. Never the message itself: it may quote a value.
fn strange(error: &serde_json::Error) -> String {
    format!("the platform's answer is of another shape ({:?}): is it of another version?", error.classify())
}
