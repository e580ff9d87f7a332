//! Writing an archive.

use std::io::Write;

use sha2::{Digest as _, Sha256};

use super::item::{framed, header, message, trailer};
use super::{ArchiveError, ArchiveHeader, ArchiveTrailer};
use crate::journal::raw::RawMessage;

/// Writes an archive, message by message. Without [`ArchiveWriter::finish`] it is a cut one.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    to: W,
    hash: Sha256,
    header: ArchiveHeader,
    messages: u64,
    bytes: u64,
    last: u64,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive.
    ///
    /// # Errors
    /// When `to` cannot be written.
    pub fn new(to: W, header_of: ArchiveHeader) -> Result<Self, ArchiveError> {
        let last = header_of.from.max(1) - 1;
        let mut writer = Self { to, hash: Sha256::new(), header: header_of, messages: 0, bytes: 0, last };
        let first = header(&writer.header);
        writer.write(&first)?;
        Ok(writer)
    }

    /// Adds the next message.
    ///
    /// # Errors
    /// When it does not follow the one before, or `to` cannot be written.
    pub fn push(&mut self, next: &RawMessage) -> Result<(), ArchiveError> {
        let follows = next.sequence == self.last + 1;
        if next.sequence <= self.last || (self.header.origin.is_contiguous() && !follows) {
            let detail = format!("message {} does not follow message {}", next.sequence, self.last);
            return Err(ArchiveError::altered(detail));
        }
        self.write(&message(next)?)?;
        self.messages += 1;
        self.last = next.sequence;
        Ok(())
    }

    /// How many messages it has so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// How many bytes it has so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the archive: it goes up to the sequence `through`, which only in one of the key tree may lie behind the last
    /// message. Hands back what was written to.
    ///
    /// # Errors
    /// When `through` does not fit, or `to` cannot be written.
    pub fn finish_at(mut self, through: u64) -> Result<W, ArchiveError> {
        if through < self.last || (self.header.origin.is_contiguous() && through != self.last) {
            return Err(ArchiveError::altered(format!("its last message is {}, not {through}", self.last)));
        }
        let hash: [u8; 32] = self.hash.clone().finalize().into();
        let end = ArchiveTrailer { messages: self.messages, through };
        self.write(&trailer(end, &hash))?;
        self.to.flush()?;
        Ok(self.to)
    }

    /// Ends the archive with its last message.
    ///
    /// # Errors
    /// When `to` cannot be written.
    pub fn finish(self) -> Result<W, ArchiveError> {
        let last = self.last;
        self.finish_at(last)
    }

    fn write(&mut self, item: &[u8]) -> Result<(), ArchiveError> {
        let bytes = framed(item);
        self.hash.update(&bytes);
        self.bytes += bytes.len() as u64;
        Ok(self.to.write_all(&bytes)?)
    }
}
