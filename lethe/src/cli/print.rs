//! Printing that takes no harm from a reader who has gone (`lethe … | head`).

use std::fmt::Arguments;
use std::io::Write;

use serde_json::Value;

/// Data, on stdout.
pub(crate) fn out(line: Arguments<'_>) {
    // Whoever closed the pipe has seen enough; what we do goes on.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A message for people, on stderr.
pub(crate) fn note(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Rows of a list, on stdout: each column with its name and its least width.
pub(crate) fn table(columns: &[(&str, usize)], rows: &[Value]) {
    let line = |cells: Vec<String>| {
        let padded = cells.iter().zip(columns).map(|(cell, (_, width))| format!("{cell:<width$}"));
        out(format_args!("{}", padded.collect::<Vec<_>>().join("  ").trim_end()));
    };
    line(columns.iter().map(|(name, _)| name.replace('_', " ")).collect());
    rows.iter().for_each(|row| line(columns.iter().map(|(name, _)| cell(&row[*name])).collect()));
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Prints data on stdout, like `println!`.
macro_rules! out {
    ($($given:tt)*) => { $crate::cli::print::out(format_args!($($given)*)) };
}

/// Prints a message on stderr, like `eprintln!`.
macro_rules! note {
    ($($given:tt)*) => { $crate::cli::print::note(format_args!($($given)*)) };
}
