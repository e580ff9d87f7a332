//! Comma-separated values (RFC 4180): tables out, and rows in, by a mapping of columns to items.

mod dates;
pub mod mapping;
pub mod read;
pub mod rows;
pub mod write;

pub use mapping::{ItemColumn, Mapping, Origin, RepeatOrigin, VisitDate};
pub use read::{CsvError, CsvReader, Row};
pub use rows::{MappedItem, MappedRow, RowFault, Rows};
pub use write::{CsvOptions, write_csv};
