//! Reading an archive.

use std::io::{ErrorKind, Read};

use sha2::{Digest as _, Sha256};

use super::item::{ITEM_MAX, Item, framed, read_header, read_item};
use super::{ArchiveError, ArchiveHeader, ArchiveTrailer};
use crate::journal::raw::RawMessage;

/// Reads an archive, message by message. Only when it has given `None` is the whole known to be what was written.
#[derive(Debug)]
pub struct ArchiveReader<R> {
    from: R,
    hash: Sha256,
    header: ArchiveHeader,
    messages: u64,
    last: u64,
    trailer: Option<ArchiveTrailer>,
}

impl<R: Read> ArchiveReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is none, or none that this program knows.
    pub fn open(mut from: R) -> Result<Self, ArchiveError> {
        let first = match item(&mut from) {
            Ok(Some(first)) => first,
            Ok(None) | Err(Broken::Cut | Broken::Spelling) => return Err(ArchiveError::NotAnArchive),
            Err(Broken::Io(error)) => return Err(error.into()),
        };
        let header = read_header(&first)?;
        let last = header.from.max(1) - 1;
        let hash = Sha256::new().chain_update(framed(&first));
        Ok(Self { from, hash, header, messages: 0, last, trailer: None })
    }

    /// What it says of itself first.
    pub fn header(&self) -> &ArchiveHeader {
        &self.header
    }

    /// What it says of itself last: known after the last message.
    pub fn trailer(&self) -> Option<ArchiveTrailer> {
        self.trailer
    }

    /// The next message; none: that was all, and all of it is what was written.
    ///
    /// # Errors
    /// When it is cut off or altered. What came before may be altered, too: only the end tells.
    #[expect(clippy::should_implement_trait, reason = "an error ends it, which an iterator does not say")]
    pub fn next(&mut self) -> Result<Option<RawMessage>, ArchiveError> {
        if self.trailer.is_some() {
            return Ok(None);
        }
        let number = self.messages + 1;
        let bytes = match item(&mut self.from) {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(Broken::Cut) => return Err(ArchiveError::Cut { after: self.messages }),
            Err(Broken::Spelling) => {
                return Err(ArchiveError::altered(format!("item {number} is not spelt as the format says")));
            }
            Err(Broken::Io(error)) => return Err(error.into()),
        };
        match read_item(&bytes, number)? {
            Item::Message(message) => self.take(message, &bytes).map(Some),
            Item::End(trailer, hash) => self.end(trailer, hash).map(|()| None),
        }
    }

    fn take(&mut self, message: RawMessage, bytes: &[u8]) -> Result<RawMessage, ArchiveError> {
        let follows = message.sequence == self.last + 1;
        if message.sequence <= self.last || (self.header.origin.is_contiguous() && !follows) {
            let detail = format!("message {} does not follow message {}", message.sequence, self.last);
            return Err(ArchiveError::altered(detail));
        }
        self.hash.update(framed(bytes));
        self.messages += 1;
        self.last = message.sequence;
        Ok(message)
    }

    fn end(&mut self, trailer: ArchiveTrailer, hash: [u8; 32]) -> Result<(), ArchiveError> {
        let counted: [u8; 32] = self.hash.clone().finalize().into();
        let fits = trailer.through == self.last || (!self.header.origin.is_contiguous() && trailer.through > self.last);
        if counted != hash {
            return Err(ArchiveError::altered("its hash is not the one of its trailer"));
        }
        if trailer.messages != self.messages || !fits {
            return Err(ArchiveError::altered("it has more or fewer messages than its trailer says"));
        }
        match item(&mut self.from) {
            Ok(None) => {}
            Err(Broken::Io(error)) => return Err(error.into()),
            _ => return Err(ArchiveError::altered("something follows its trailer")),
        }
        self.trailer = Some(trailer);
        Ok(())
    }
}

/// Why there is no next item.
enum Broken {
    Cut,
    Spelling,
    Io(std::io::Error),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof { Self::Cut } else { Self::Io(error) }
    }
}

/// The next byte string of the file; none at its end. Never takes more memory than the largest item may have.
fn item(from: &mut impl Read) -> Result<Option<Vec<u8>>, Broken> {
    let mut first = [0_u8; 1];
    loop {
        match from.read(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = length(first[0], from)?;
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length { Err(Broken::Cut) } else { Ok(Some(bytes)) }
}

/// The length of a byte string, in its shortest spelling.
fn length(first: u8, from: &mut impl Read) -> Result<u64, Broken> {
    let more = match first {
        0x40..=0x57 => return Ok(u64::from(first - 0x40)),
        0x58 => 1,
        0x59 => 2,
        0x5a => 4,
        _ => return Err(Broken::Spelling),
    };
    let mut bytes = [0_u8; 8];
    from.read_exact(&mut bytes[8 - more..])?;
    let length = u64::from_be_bytes(bytes);
    let shortest = match more {
        1 => 24,
        2 => 1 << 8,
        _ => 1 << 16,
    };
    if length < shortest || length > ITEM_MAX { Err(Broken::Spelling) } else { Ok(length) }
}
