//! Records of a CSV file, with the lines that they begin on.

use std::io::{self, BufRead};

/// A record.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The line that it begins on, from 1.
    pub line: u64,
    /// Its fields; none: empty and not in quotes.
    pub fields: Vec<Option<String>>,
}

/// Never prints a field.
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row(line {}, {} fields)", self.line, self.fields.len())
    }
}

/// Why a file cannot be read further. Never holds what stands there.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The bytes did not come.
    #[error("the file cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A quote was opened and never closed.
    #[error(
        "line {0}: a quote begins here and never ends: the file is cut off, or a quote within a field is not doubled"
    )]
    OpenQuote(u64),
    /// Something stands after a closing quote, or a quote within a field that does not begin with one.
    #[error("line {0}: a quote stands where none may be: put the whole field in quotes and double the quotes in it")]
    StrayQuote(u64),
    /// Not UTF-8.
    #[error("line {0}: the text is not UTF-8: convert the file")]
    NotUtf8(u64),
    /// A record is too long.
    #[error("line {line}: a record has more than {limit} bytes: is a quote missing?")]
    TooLong {
        /// Where it begins.
        line: u64,
        /// The limit.
        limit: usize,
    },
    /// There is no header line.
    #[error("the file is empty: its first line must name the columns")]
    NoHeader,
    /// A column of the mapping is not there, or there twice.
    #[error("the column {0:?} of the mapping must be there once in the first line")]
    Column(String),
}

/// The longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads records one at a time. Lines end with CRLF or LF; a byte order mark is skipped; blank lines are no records.
pub struct CsvReader<R> {
    from: R,
    delimiter: u8,
    line: u64,
    begun: bool,
}

/// Where the reader is within a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    FieldStart,
    Plain,
    Quoted,
    QuoteInQuoted,
}

/// A record while it is read.
struct Reading {
    at: At,
    field: Vec<u8>,
    quoted: bool,
    fields: Vec<Option<String>>,
    bytes: usize,
    begins: u64,
    quote_line: u64,
}

impl<R: BufRead> CsvReader<R> {
    /// In front of a file.
    pub fn new(from: R, delimiter: u8) -> Self {
        Self { from, delimiter, line: 1, begun: false }
    }

    /// The next record.
    pub fn next_row(&mut self) -> Result<Option<Row>, CsvError> {
        self.skip_mark()?;
        loop {
            match self.record()? {
                Some(row) if row.fields == [None] => {}
                other => return Ok(other),
            }
        }
    }

    fn skip_mark(&mut self) -> Result<(), CsvError> {
        if !self.begun && self.from.fill_buf()?.starts_with(b"\xEF\xBB\xBF") {
            self.from.consume(3);
        }
        self.begun = true;
        Ok(())
    }

    fn record(&mut self) -> Result<Option<Row>, CsvError> {
        let mut reading = Reading::new(self.line);
        loop {
            let Some(byte) = self.byte()? else { return reading.end_of_file() };
            reading.bytes += 1;
            if reading.bytes > RECORD_BYTES_MAX {
                return Err(CsvError::TooLong { line: reading.begins, limit: RECORD_BYTES_MAX });
            }
            if reading.take(byte, self.delimiter, self.line)? {
                return reading.row().map(Some);
            }
        }
    }

    fn byte(&mut self) -> Result<Option<u8>, CsvError> {
        let Some(byte) = self.from.fill_buf()?.first().copied() else { return Ok(None) };
        self.from.consume(1);
        self.line += u64::from(byte == b'\n');
        Ok(Some(byte))
    }
}

impl Reading {
    fn new(line: u64) -> Self {
        let (field, fields) = (Vec::new(), Vec::new());
        Self { at: At::FieldStart, field, quoted: false, fields, bytes: 0, begins: line, quote_line: line }
    }

    /// Takes a byte; true at the end of the record. `line` is the one that the next byte is on.
    fn take(&mut self, byte: u8, delimiter: u8, line: u64) -> Result<bool, CsvError> {
        match (self.at, byte) {
            (At::Quoted, b'"') => self.at = At::QuoteInQuoted,
            (At::Quoted, _) => self.field.push(byte),
            (At::QuoteInQuoted, b'"') => {
                self.field.push(b'"');
                self.at = At::Quoted;
            }
            (At::FieldStart, b'"') => (self.at, self.quoted, self.quote_line) = (At::Quoted, true, line),
            (_, b'\n') => {
                self.end_field()?;
                return Ok(true);
            }
            (_, byte) if byte == delimiter => self.end_field()?,
            (At::QuoteInQuoted, b'\r') => {}
            (At::QuoteInQuoted, _) | (At::Plain, b'"') => return Err(CsvError::StrayQuote(line)),
            (At::FieldStart | At::Plain, _) => {
                self.field.push(byte);
                self.at = At::Plain;
            }
        }
        Ok(false)
    }

    fn end_field(&mut self) -> Result<(), CsvError> {
        // Only the carriage return of the line's end, never one within quotes.
        if !self.quoted && self.field.last() == Some(&b'\r') {
            self.field.pop();
        }
        let text = String::from_utf8(std::mem::take(&mut self.field)).map_err(|_| CsvError::NotUtf8(self.begins))?;
        self.fields.push(if text.is_empty() && !self.quoted { None } else { Some(text) });
        (self.at, self.quoted) = (At::FieldStart, false);
        Ok(())
    }

    fn end_of_file(mut self) -> Result<Option<Row>, CsvError> {
        match self.at {
            At::Quoted => Err(CsvError::OpenQuote(self.quote_line)),
            At::FieldStart if self.fields.is_empty() => Ok(None),
            _ => {
                self.end_field()?;
                self.row().map(Some)
            }
        }
    }

    fn row(self) -> Result<Row, CsvError> {
        Ok(Row { line: self.begins, fields: self.fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Vec<(u64, Vec<Option<String>>)>;

    fn read(text: &str) -> Result<Read, String> {
        let mut reader = CsvReader::new(text.as_bytes(), b',');
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row().map_err(|error| error.to_string())? {
            rows.push((row.line, row.fields));
        }
        Ok(rows)
    }

    fn some(fields: &[&str]) -> Vec<Option<String>> {
        fields.iter().map(|field| (*field != "∅").then(|| (*field).to_owned())).collect()
    }

    #[test]
    fn fields_come_as_they_were_meant() {
        let rows = read("\u{FEFF}a,b\r\n\"x,\"\"y\"\"\r\nz\",\r\n\n\"\",w").unwrap();
        assert_eq!(rows, [(1, some(&["a", "b"])), (2, some(&["x,\"y\"\r\nz", "∅"])), (5, some(&["", "w"]))]);
    }

    #[test]
    fn a_damaged_file_is_named_by_line() {
        assert!(read("a,b\n\"x,1\ny,2\n").unwrap_err().starts_with("line 2: a quote begins here"));
        assert!(read("a\nx\"y\n").unwrap_err().starts_with("line 2: a quote stands"));
        assert!(read("a\n\"x\"y\n").unwrap_err().starts_with("line 2: a quote stands"));
        assert_eq!(read("").unwrap(), []);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(cells in proptest::collection::vec("[a-c\",\r\n é]{1,12}", 1..6)) {
            let quoted: Vec<_> = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            let rows = read(&format!("{}\r\n", quoted.join(","))).unwrap();
            proptest::prop_assert_eq!(&rows[0].1, &cells.into_iter().map(Some).collect::<Vec<_>>());
        }
    }
}
