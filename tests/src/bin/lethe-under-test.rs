//! The real command line, built beside the tests so that they always run the code under test. It can be told where to
//! die: `LETHE_DIE_AT` names a failpoint, `LETHE_FAILPOINTS_SEEN` a file that takes the names of those that are passed.

use std::process::ExitCode;

use infra::telemetry::Failpoints;

fn main() -> ExitCode {
    let die_at = std::env::var("LETHE_DIE_AT").ok().map(|text| text.parse().expect("a failpoint: name or name:3"));
    let seen: Option<std::path::PathBuf> = std::env::var_os("LETHE_FAILPOINTS_SEEN").map(Into::into);
    let watched = die_at.is_some() || seen.is_some();
    lethe::cli::main_dying_at(watched.then_some(Failpoints { die_at, seen }))
}
