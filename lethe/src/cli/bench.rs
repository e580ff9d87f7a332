//! `lethe bench …`.

mod all;
mod more;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::CliError;
use crate::bench::{self, AppendPlan, Figures, Ground, Plan};
use crate::platform::random_id;

/// Without a subcommand, all but `curve`, as `all` does.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Bench {
    #[command(subcommand)]
    which: Option<Which>,
    #[command(flatten)]
    all: all::All,
}

/// Measures a platform of its own, each figure beside a raw limit measured in the same run.
#[derive(Subcommand)]
enum Which {
    /// Everything in turn, as one table or one JSON object: append, bulk, rebuild, enrol, query, shred, memory, disk.
    All(all::All),
    /// How long the participant matrix, the query list and the casebook of a large study take to answer, and how much
    /// memory an export of all of it takes.
    Query(Query),
    /// How many commands a second are answered as durable, over HTTP and over NATS, by one client and by many; beside them
    /// single conditional publishes by as many clients to a nats-server with the same settings.
    Append(Append),
    #[command(flatten)]
    More(more::More),
}

#[derive(Args)]
pub(super) struct Append {
    /// How many clients send side by side: one measurement for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,512")]
    clients: Vec<u16>,
    /// How many commands each round has; those of one client a fifth.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    commands: u32,
    /// How many rounds, ours and the raw limit in turn; one more goes before, unmeasured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// By which doors, in turn: http, nats.
    #[arg(long, value_delimiter = ',', default_value = "http,nats")]
    doors: Vec<String>,
    /// Few commands and rounds: to see that it works, not to measure.
    #[arg(long, conflicts_with_all = ["commands", "rounds"])]
    quick: bool,
    /// Prints one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Query {
    /// How many invented participants the study has.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    participants: u32,
    /// How many values each of them has, in forms of twenty.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=2000))]
    values: u32,
    /// How many clients ask side by side.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    clients: u32,
    /// How many requests of each view are timed in one of the rounds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// How many rounds, ours and the raw limit in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The formats in which the whole study is exported, with commas between them; `none` leaves the exports out.
    #[arg(long, value_delimiter = ',', default_value = "odm132,odm20,csv,dataset-json,xpt")]
    formats: Vec<String>,
    /// A small study and few requests: to see that it works, not to measure.
    #[arg(long, conflicts_with_all = ["participants", "values", "requests", "rounds"])]
    quick: bool,
    /// Folder for data, root keys and the log; it is kept, and used again by a run on as many participants. Default: a new
    /// temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Prints one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self.which.unwrap_or(Which::All(self.all)) {
            Which::All(all) => all.run().await,
            Which::Query(query) => query.run().await,
            Which::Append(append) => append.run().await,
            Which::More(more) => more.run().await,
        }
    }
}

impl Query {
    fn plan(&self) -> Plan {
        let formats = self.formats.iter().filter(|format| *format != "none").cloned().collect();
        let (participants, values, requests, rounds) = match self.quick {
            true => (100, 40, 100, 2),
            false => (self.participants, self.values, self.requests as usize, self.rounds as usize),
        };
        Plan { participants, values, clients: self.clients as usize, requests, rounds, formats }
    }

    async fn run(self) -> Result<(), CliError> {
        let (json, kept) = (self.json, self.data.is_some());
        let ground = ground(self.data.as_deref())?;
        print(self.measure(&ground).await?, &ground, json).await?;
        if kept { Ok(()) } else { remove(&ground) }
    }

    async fn measure(self, ground: &Ground) -> Result<Figures, CliError> {
        let plan = self.plan();
        if !plan.values.is_multiple_of(20) {
            return Err(CliError::input("--values takes a multiple of 20: a form has twenty"));
        }
        bench::query(&plan, ground).await
    }
}

impl Append {
    async fn run(self) -> Result<(), CliError> {
        let (json, ground) = (self.json, ground(None)?);
        print(self.measure(&ground).await?, &ground, json).await?;
        remove(&ground)
    }

    async fn measure(self, ground: &Ground) -> Result<Figures, CliError> {
        if self.clients.is_empty() || self.clients.contains(&0) {
            return Err(CliError::input("--clients takes numbers from 1, with commas between them"));
        }
        let (commands, rounds) = if self.quick { (200, 2) } else { (self.commands as usize, self.rounds as usize) };
        let clients = self.clients.iter().map(|clients| usize::from(*clients)).collect();
        let plan = AppendPlan { clients, commands, rounds, doors: self.doors };
        Ok(bench::append(&plan, ground).await?.with_waits_of_one_client())
    }
}

/// Where it happens: the given folder, otherwise a new one.
fn ground(folder: Option<&Path>) -> Result<Ground, CliError> {
    let temporary = || std::env::temp_dir().join(format!("lethe-bench-{}", random_id().simple()));
    let folder = folder.map_or_else(temporary, Path::to_owned);
    let folder = std::path::absolute(folder).map_err(|error| CliError::failed("the folder", error))?;
    let binary = std::env::current_exe().map_err(|error| CliError::failed("the running binary", error))?;
    note!("Data, root keys and the log of serve are in {}.", folder.display());
    Ok(Ground::new(&binary, &folder))
}

/// Prints what was measured, and beside it what the disk takes.
async fn print(mut figures: Figures, ground: &Ground, as_json: bool) -> Result<(), CliError> {
    figures.results.push(bench::disk(ground.folder()).await?);
    if as_json {
        out!("{}", figures.json());
    } else {
        out!("{figures}");
    }
    Ok(())
}

fn remove(ground: &Ground) -> Result<(), CliError> {
    let folder = ground.folder();
    std::fs::remove_dir_all(folder)
        .map_err(|error| CliError::failed(format!("{} cannot be removed", folder.display()), error))
}
