//! The bytes of a stored row: how many cells, the clear part, then each cell with its name, every piece behind its
//! length. The count is there because a place without a cell means erased: a row cut between cells must not read so.
//! Nothing here is for ever: another layout is a new version of every projection, and they are built again.

use domain::field::RawValue;

use crate::cells::Cell;

/// A row as stored.
#[derive(Debug)]
pub(crate) struct StoredRow<'b> {
    /// The structure, as text.
    pub clear: &'b RawValue,
    /// The cells, sealed.
    pub cells: Vec<(Cell, Vec<u8>)>,
}

/// Writes a row down.
pub(crate) fn encode<'a>(clear: &[u8], cells: impl ExactSizeIterator<Item = (&'a Cell, &'a [u8])>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(clear.len() + 256);
    bytes.extend_from_slice(&length(cells.len()));
    push(&mut bytes, clear);
    for ((scope, part), sealed) in cells {
        push(&mut bytes, scope.as_str().as_bytes());
        push(&mut bytes, part.as_str().as_bytes());
        push(&mut bytes, sealed);
    }
    bytes
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).expect("nothing in a row comes near 4 GiB: a commit has at most 768 KiB").to_le_bytes()
}

fn push(bytes: &mut Vec<u8>, piece: &[u8]) {
    bytes.extend_from_slice(&length(piece.len()));
    bytes.extend_from_slice(piece);
}

/// Reads a row; otherwise what does not fit.
pub(crate) fn decode(bytes: &[u8]) -> Result<StoredRow<'_>, String> {
    let mut rest = bytes;
    let count = number(&mut rest)?;
    let clear = serde_json::from_slice(pull(&mut rest)?).map_err(|_| "its clear part is no JSON".to_owned())?;
    let mut cells = Vec::new();
    while !rest.is_empty() {
        let scope = text(pull(&mut rest)?)?.parse().map_err(|_| "it names an unheard-of scope".to_owned())?;
        let part = text(pull(&mut rest)?)?.to_owned().try_into().map_err(|_| "it names no part".to_owned())?;
        cells.push(((scope, part), pull(&mut rest)?.to_vec()));
    }
    if cells.len() == count { Ok(StoredRow { clear, cells }) } else { Err(cut()) }
}

fn cut() -> String {
    "it is cut off".to_owned()
}

fn number(rest: &mut &[u8]) -> Result<usize, String> {
    let (number, behind) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    *rest = behind;
    Ok(u32::from_le_bytes(*number) as usize)
}

fn pull<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = number(rest)?;
    let (piece, behind) = rest.split_at_checked(length).ok_or_else(cut)?;
    *rest = behind;
    Ok(piece)
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a name in it is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use domain::scope::{Part, Scope};

    #[test]
    fn a_row_reads_back_and_a_cut_one_does_not() {
        let cells = BTreeMap::from([((Scope::HealthClinical, Part::all()), vec![1, 2, 3])]);
        let bytes = encode(br#"{"a":1}"#, cells.iter().map(|(cell, sealed)| (cell, sealed.as_slice())));
        let row = decode(&bytes).expect("whole");
        assert_eq!((row.clear.get(), row.cells), (r#"{"a":1}"#, cells.into_iter().collect()));
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
