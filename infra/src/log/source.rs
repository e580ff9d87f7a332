//! Where the log's messages come from.

use async_trait::async_trait;
use domain::history::{JournalId, StreamId};
use domain::port::Failure;

use super::checkpoint::KeyMapState;
use super::leaf::Incarnations;
use crate::journal::raw::RawMessage;

/// The journal streams of one tenant, message by message, as they are stored.
#[async_trait]
pub trait RawJournals: Send + Sync {
    /// Every journal stream that is there.
    async fn journals(&self) -> Result<Vec<JournalId>, Failure>;

    /// Where one stands. `Missing` if it is not there.
    async fn state(&self, journal: &JournalId) -> Result<JournalState, Failure>;

    /// Its messages `from` to `through`, at least one, as many as come at once. A gap is `Damaged`.
    async fn page(&self, journal: &JournalId, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure>;

    /// The commits of one stream, oldest first.
    async fn commits(&self, stream: &StreamId) -> Result<Vec<RawMessage>, Failure>;
}

/// Where a journal stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalState {
    /// Its last sequence; zero: empty.
    pub last: u64,
    /// Its lives.
    pub incarnations: Incarnations,
}

/// The key map as it stands, for checkpoints.
#[async_trait]
pub trait KeyMapSource: Send + Sync {
    /// Its root and what it takes in; none: there is no key tree yet.
    async fn state(&self) -> Result<Option<KeyMapState>, Failure>;
}
