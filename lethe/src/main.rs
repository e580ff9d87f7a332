//! The one binary: see `lethe --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lethe::cli::main()
}
