//! A table as CSV: UTF-8, a header line, CRLF, quoted where it must be.

use std::io::Write;

use crate::ExchangeError;
use crate::table::{Spool, SpooledTable};

/// How it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CsvOptions {
    /// Texts that a spreadsheet would take for a formula get an apostrophe before them. That changes the text, so it is
    /// for files that people open, never for files that programs read; how many were changed is given back.
    pub guard_formulas: bool,
}

/// Writes a table; gives back how many texts were changed to guard against formulas. An empty cell has no quotes, an
/// empty text would have them.
pub fn write_csv<S: Spool>(
    table: &mut SpooledTable<S>,
    to: &mut impl Write,
    options: CsvOptions,
) -> Result<u64, ExchangeError> {
    let mut guarded = 0;
    let names: Vec<_> = table.table.columns.iter().map(|column| column.name.clone()).collect();
    line(to, names.iter().map(|name| Some(name.as_str())), options, &mut guarded)?;
    let mut records = table.records()?;
    while let Some(cells) = records.next_record()? {
        line(to, cells.iter().map(|cell| cell.text()), options, &mut guarded)?;
    }
    to.flush()?;
    Ok(guarded)
}

fn line<'t>(
    to: &mut impl Write,
    cells: impl Iterator<Item = Option<&'t str>>,
    options: CsvOptions,
    guarded: &mut u64,
) -> Result<(), ExchangeError> {
    for (n, cell) in cells.enumerate() {
        if n > 0 {
            to.write_all(b",")?;
        }
        if let Some(text) = cell {
            let guard = options.guard_formulas && is_formula(text);
            *guarded += u64::from(guard);
            field(to, text, guard)?;
        }
    }
    Ok(to.write_all(b"\r\n")?)
}

fn field(to: &mut impl Write, text: &str, guard: bool) -> Result<(), ExchangeError> {
    let quote = text.is_empty() || text.contains(['"', ',', '\r', '\n']) || text != text.trim();
    if !quote && !guard {
        return Ok(to.write_all(text.as_bytes())?);
    }
    to.write_all(if guard { b"\"'" } else { b"\"" })?;
    to.write_all(text.replace('"', "\"\"").as_bytes())?;
    Ok(to.write_all(b"\"")?)
}

/// A number is not a formula, though it may begin like one.
fn is_formula(text: &str) -> bool {
    let number = text.strip_prefix(['-', '+']).is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    });
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{FF1D}', '\u{FF0B}', '\u{FF0D}', '\u{FF20}']) && !number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[Option<&str>], guard_formulas: bool) -> (String, u64) {
        let (mut bytes, mut guarded) = (Vec::new(), 0);
        line(&mut bytes, cells.iter().copied(), CsvOptions { guard_formulas }, &mut guarded).unwrap();
        (String::from_utf8(bytes).unwrap(), guarded)
    }

    #[test]
    fn what_needs_quotes_has_them() {
        let (text, _) =
            written(&[Some("a,b"), None, Some("say \"no\""), Some(" x"), Some(""), Some("l1\nl2"), Some("72")], false);
        assert_eq!(text, "\"a,b\",,\"say \"\"no\"\"\",\" x\",\"\",\"l1\nl2\",72\r\n");
    }

    #[test]
    fn formulas_are_guarded_only_when_asked_and_numbers_never() {
        let cells = [Some("=1+1"), Some("-5"), Some("+3.5"), Some("-5+2"), Some("@SUM(A1)"), Some("\tx"), Some("a=b")];
        assert_eq!(written(&cells, true), ("\"'=1+1\",-5,+3.5,\"'-5+2\",\"'@SUM(A1)\",\"'\tx\",a=b\r\n".into(), 4));
        assert_eq!(written(&cells, false).1, 0);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(cells in proptest::collection::vec(proptest::option::of("[a=, \"\r\né]{0,9}"), 2..6)) {
            let (text, _) = written(&cells.iter().map(Option::as_deref).collect::<Vec<_>>(), false);
            let row = crate::csv::CsvReader::new(text.as_bytes(), b',').next_row().unwrap().unwrap();
            proptest::prop_assert_eq!(row.fields, cells);
        }
    }
}
