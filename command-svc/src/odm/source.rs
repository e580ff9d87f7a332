//! The bytes below the XML reader: counts lines and columns, and stops before one piece of markup fills the memory.

use std::io::{self, BufRead, Read};

use super::error::Place;

/// A source of bytes that knows where it is.
pub(super) struct Source<R> {
    inner: R,
    place: Place,
    bytes: u64,
    piece: u64,
    piece_limit: u64,
    exceeded: bool,
}

impl<R: BufRead> Source<R> {
    pub(super) fn new(inner: R, piece_limit: u64) -> Self {
        Self { inner, place: Place::START, bytes: 0, piece: 0, piece_limit, exceeded: false }
    }

    /// Where the next byte stands.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A new tag, text or comment begins.
    pub(super) fn begin_piece(&mut self) {
        self.piece = 0;
    }

    /// Whether one piece was larger than the limit.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// Whether nothing follows.
    pub(super) fn at_end(&mut self) -> bool {
        self.inner.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// Whether the first bytes are those of a wide encoding; such a file would look like damaged XML.
    pub(super) fn is_wide(&mut self) -> io::Result<bool> {
        let start = self.inner.fill_buf()?;
        Ok([&[0xFF, 0xFE], &[0xFE, 0xFF], &[b'<', 0], &[0, b'<']].iter().any(|mark| start.starts_with(*mark)))
    }
}

impl<R: BufRead> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(into.len());
        into[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let available = self.inner.fill_buf()?;
        let room = usize::try_from(self.piece_limit - self.piece).unwrap_or(usize::MAX);
        if room == 0 && !available.is_empty() {
            self.exceeded = true;
            return Err(io::Error::other("a piece of the file is too large"));
        }
        Ok(&available[..available.len().min(room)])
    }

    fn consume(&mut self, count: usize) {
        if let Ok(available) = self.inner.fill_buf() {
            for byte in &available[..count.min(available.len())] {
                match byte {
                    b'\n' => self.place = Place { line: self.place.line + 1, column: 1 },
                    0x80..0xC0 => {} // not the first byte of a character
                    _ => self.place.column += 1,
                }
            }
        }
        self.inner.consume(count);
        self.bytes += count as u64;
        self.piece += count as u64;
    }
}
