//! The checks on every read of a stream: complete, contiguous, chained.

use domain::history::{CommitHash, Header, StreamId, Tail};
use domain::port::Failure;

/// A stream as far as it was checked.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    stream: &'a StreamId,
    tail: Tail,
}

impl<'a> Chain<'a> {
    /// Continues after `tail`, which was checked before.
    pub(super) fn after(stream: &'a StreamId, tail: Tail) -> Self {
        Self { stream, tail }
    }

    /// Where the checked part ends.
    pub(super) fn tail(&self) -> Tail {
        self.tail
    }

    /// The next commit must be of this stream, have the next revision, and name the hash of the one before.
    pub(super) fn take(&mut self, header: &Header, hash: CommitHash) -> Result<(), Failure> {
        let expected = self.tail.revision.next();
        let fault = if header.stream != *self.stream {
            "it names another stream".to_owned()
        } else if header.revision != expected {
            format!("it has revision {}", header.revision)
        } else if header.previous != self.tail.hash {
            "it does not name the hash of the commit before it".to_owned()
        } else {
            self.tail = Tail { revision: expected, hash };
            return Ok(());
        };
        Err(Failure::damaged(format!("commit {expected} of {}", self.stream), fault))
    }
}
