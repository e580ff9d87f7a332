//! One cell of a spooled record, and its bytes.

use std::io::{self, BufRead, Read, Write};

/// A cell.
#[derive(Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing: never entered, or why not stands in the record's last column.
    Empty,
    /// A text, typed by its column.
    Text(String),
}

/// Never prints the text.
impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Empty) { "Cell(empty)" } else { "Cell(…)" })
    }
}

impl Cell {
    /// The text, if there is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Empty => None,
            Self::Text(text) => Some(text),
        }
    }

    /// Writes it: a length of four bytes, the largest of which means *empty*, then the text.
    pub(super) fn write(&self, to: &mut (impl Write + ?Sized)) -> io::Result<()> {
        match self {
            Self::Empty => to.write_all(&u32::MAX.to_be_bytes()),
            Self::Text(text) => {
                let length = u32::try_from(text.len()).ok().filter(|length| *length < u32::MAX);
                let length = length.ok_or_else(|| io::Error::other("a text of more than four gigabytes"))?;
                to.write_all(&length.to_be_bytes())?;
                to.write_all(text.as_bytes())
            }
        }
    }

    /// Reads one.
    pub(super) fn read(from: &mut (impl BufRead + ?Sized)) -> io::Result<Self> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length == u32::MAX {
            return Ok(Self::Empty);
        }
        let mut text = String::new();
        if from.take(u64::from(length)).read_to_string(&mut text)? < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self::Text(text))
    }
}
