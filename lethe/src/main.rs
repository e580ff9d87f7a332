//! The one binary: see `lethe --help`.

use std::process::ExitCode;

/// Commits and rows are many small values, made on one thread and dropped on another: the C library's allocator took a quarter
/// of what a command costs for that (ADR 0035).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lethe::cli::main()
}
