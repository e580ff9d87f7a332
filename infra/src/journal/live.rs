//! The journal streams of a tenant, raw, as they are on the server now.

use async_nats::Client;
use async_trait::async_trait;
use domain::history::{JournalId, StreamId};
use domain::ids::TenantId;
use domain::port::Failure;
use serde_json::json;

use super::group::Lane;
use super::journals::Journals;
use super::names::journal_stream;
use super::provision::{INCARNATION, INCARNATIONS};
use super::raw::{RawMessage, RawReader};
use super::read::missing_or_unavailable;
use super::wire::Wire;
use crate::log::leaf::Incarnations;
use crate::log::{JournalState, RawJournals};

/// Reads them through a connection of the tenant's service login.
#[derive(Debug, Clone)]
pub struct LiveJournals {
    client: Client,
    tenant: TenantId,
}

impl LiveJournals {
    /// Those of `tenant`.
    pub fn new(client: Client, tenant: TenantId) -> Self {
        Self { client, tenant }
    }

    fn reader(&self, journal: &JournalId) -> RawReader {
        RawReader::new(self.client.clone(), journal)
    }
}

#[async_trait]
impl RawJournals for LiveJournals {
    async fn journals(&self) -> Result<Vec<JournalId>, Failure> {
        Journals::new(Wire::new(self.client.clone()), self.tenant.clone(), Lane::default()).list().await
    }

    async fn state(&self, journal: &JournalId) -> Result<JournalState, Failure> {
        let name = journal_stream(journal);
        let info = Wire::new(self.client.clone()).api(&format!("STREAM.INFO.{name}"), json!({})).await;
        let info = info.map_err(|refusal| missing_or_unavailable(&name, refusal))?;
        let damaged = |detail: &str| Failure::damaged(format!("journal stream {name}"), detail);
        let last = info["state"]["last_seq"].as_u64().ok_or_else(|| damaged("it does not say where it ends"))?;
        let metadata = &info["config"]["metadata"];
        // A journal stream that was never restored needs no list.
        let incarnations = match (metadata[INCARNATIONS].as_str(), metadata[INCARNATION].as_str()) {
            (Some(list), _) => list.parse().map_err(|_| damaged("its list of incarnations cannot be read"))?,
            (None, Some("1")) => Incarnations::default(),
            (None, _) => return Err(damaged("it does not say which messages are of which incarnation")),
        };
        Ok(JournalState { last, incarnations })
    }

    async fn page(&self, journal: &JournalId, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure> {
        self.reader(journal).page(from, through).await
    }

    async fn commits(&self, stream: &StreamId) -> Result<Vec<RawMessage>, Failure> {
        self.reader(&stream.journal).of_stream(stream, 1).await
    }
}
