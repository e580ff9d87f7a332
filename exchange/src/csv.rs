//! Comma-separated values (RFC 4180).

pub mod write;

pub use write::{CsvOptions, write_csv};
