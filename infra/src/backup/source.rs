//! A journal stream while it is copied: message after message up to an end, while others write on.

use std::collections::VecDeque;
use std::time::Duration;

use domain::port::Failure;
use tokio::time::sleep;

use crate::archive::Origin;
use crate::journal::raw::{RawMessage, RawReader};

/// How long a replica may be behind its leader.
const LAGS: u32 = 50;
const LAG: Duration = Duration::from_millis(100);

/// Reads on from where it stands.
pub(super) struct Source {
    pub(super) origin: Origin,
    pub(super) reader: RawReader,
    /// The last sequence to be read. Of a key tree: found when it is reached.
    pub(super) through: u64,
    /// The next sequence to be read.
    next: u64,
    waiting: VecDeque<RawMessage>,
    is_done: bool,
}

impl Source {
    pub(super) fn new(origin: Origin, reader: RawReader, through: u64) -> Self {
        Self { origin, reader, through, next: 1, waiting: VecDeque::new(), is_done: false }
    }

    /// Goes on elsewhere.
    pub(super) fn jump_to(&mut self, next: u64) {
        self.waiting.clear();
        self.next = next;
    }

    /// The next message; none: that was the last one.
    pub(super) async fn next(&mut self) -> Result<Option<RawMessage>, Failure> {
        if self.waiting.is_empty() && !self.is_done {
            if self.origin.is_contiguous() { self.fill().await? } else { self.fill_sparse().await? }
        }
        Ok(self.waiting.pop_front())
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        let page = self.reader.page(self.next, self.through).await?;
        self.is_done = page.is_empty();
        self.take(page);
        Ok(())
    }

    /// Nodes are replaced while they are read. What was read up to an end of the journal stream holds the last message
    /// of every place at that moment: one that was replaced behind us stands again before us.
    async fn fill_sparse(&mut self) -> Result<(), Failure> {
        for _ in 0..LAGS {
            let (page, is_end) = self.reader.rest(self.next).await?;
            if !page.is_empty() {
                self.take(page);
                // Not the end for a leader that was ahead of the replica that answered.
                self.is_done = is_end && self.next > self.through;
                self.through = self.through.max(self.next - 1);
                return Ok(());
            }
            if self.next > self.through {
                self.is_done = true;
                return Ok(());
            }
            sleep(LAG).await;
        }
        Err(Failure::unavailable("the key tree", "a replica stays behind its leader"))
    }

    fn take(&mut self, page: Vec<RawMessage>) {
        self.next = page.last().map_or(self.next, |last| last.sequence + 1);
        self.waiting.extend(page);
    }
}
