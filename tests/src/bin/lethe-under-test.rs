//! The real command line, built beside the tests so that they always run the code under test.

use std::process::ExitCode;

fn main() -> ExitCode {
    lethe::cli::main()
}
