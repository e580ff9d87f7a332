//! Printing that takes no harm from a reader who has gone (`lethe … | head`).

use std::fmt::Arguments;
use std::io::Write;

/// Data, on stdout.
pub(crate) fn out(line: Arguments<'_>) {
    // Whoever closed the pipe has seen enough; what we do goes on.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A message for people, on stderr.
pub(crate) fn note(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints data on stdout, like `println!`.
macro_rules! out {
    ($($given:tt)*) => { $crate::cli::print::out(format_args!($($given)*)) };
}

/// Prints a message on stderr, like `eprintln!`.
macro_rules! note {
    ($($given:tt)*) => { $crate::cli::print::note(format_args!($($given)*)) };
}
