//! Everything in turn.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::more::More;
use super::{Append, Query, ground, print, remove};
use crate::bench::{Figures, Ground};
use crate::cli::CliError;

#[derive(Args)]
pub(in crate::cli) struct All {
    /// Folder for what takes long to fill; it is kept, and used again. Default: a new temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Small studies and few rounds: to see that it works, not to measure.
    #[arg(long)]
    quick: bool,
    /// Prints one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// One of them with what it does by itself, so that nothing is said twice.
#[derive(Parser)]
struct One {
    #[command(subcommand)]
    which: Part,
}

#[derive(Subcommand)]
enum Part {
    Query(Query),
    Append(Append),
    #[command(flatten)]
    More(More),
}

/// In this order.
const PARTS: [&str; 7] = ["append", "bulk", "rebuild", "enrol", "query", "shred", "memory"];

impl All {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let ground = ground(self.data.as_deref())?;
        let mut measured = Vec::new();
        for name in PARTS {
            note!("{name}: {} of {}", measured.len() + 1, PARTS.len());
            let there = ground.below(name);
            measured.push((name, self.one(name)?.which.measure(&there).await?));
            let again = matches!(name, "rebuild" | "query" | "memory");
            if self.data.is_none() || !again {
                remove(&there)?;
            }
        }
        print(Figures::together(measured), &ground, self.json).await?;
        if self.data.is_none() { remove(&ground) } else { Ok(()) }
    }

    /// As the command line would have it.
    fn one(&self, name: &str) -> Result<One, CliError> {
        let quick = self.quick.then_some("--quick");
        // An export of each format of a large study says little more than one.
        let formats = (name == "query").then_some(["--formats", "csv"]).into_iter().flatten();
        let said = ["bench", name].into_iter().chain(quick).chain(formats);
        One::try_parse_from(said).map_err(|error| CliError::failed(name, error))
    }
}

impl Part {
    async fn measure(self, ground: &Ground) -> Result<Figures, CliError> {
        match self {
            Self::Query(query) => query.measure(ground).await,
            Self::Append(append) => append.measure(ground).await,
            Self::More(more) => more.measure(ground).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_a_command_of_its_own() {
        for quick in [true, false] {
            let all = All { data: None, quick, json: true };
            for name in PARTS {
                all.one(name).unwrap();
            }
            assert!(all.one("nothing").is_err());
        }
    }
}
