//! What is written in bulk, enrolled, rebuilt, shredded; and the memory that it takes.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{ground, print, remove};
use crate::bench::{self, BulkPlan, CurveOf, CurvePlan, EnrolPlan, Figures, Ground, Plan};
use crate::cli::CliError;

#[derive(Subcommand)]
pub(in crate::cli) enum More {
    /// How many commits a second the bulk route takes, beside atomic batches of 1000 raw messages.
    Bulk(Bulk),
    /// How many participants a second are registered one by one over HTTP, each with a key that is durable first; beside
    /// single conditional publishes by as many clients.
    Enrol(Enrol),
    /// How many commits a second all read models are built again from, every section opened; beside an ordered consumer
    /// of the same journal stream.
    Rebuild(Rebuild),
    /// How long one shred takes, by the number of keys in the tree; beside an atomic write of the same shape.
    Shred(Shred),
    /// How much memory the serving process has, by the number of participants; beside its nats-server's.
    Memory(Memory),
    /// The same by the number of streams, each at 10^3 and up: commands, a rebuild, a shred, and the memory of both
    /// processes. A million streams take long to fill: `fill_s` of the smaller ones says how long.
    Curve(Curve),
}

#[derive(Args)]
struct How {
    /// How many rounds, ours and the raw limit in turn; one more goes before, unmeasured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A small study and few rounds: to see that it works, not to measure.
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Prints one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

impl How {
    fn rounds(&self) -> u32 {
        if self.quick { 2 } else { self.rounds }
    }
}

#[derive(Args)]
pub(in crate::cli) struct Bulk {
    /// How many invented participants each round writes.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    participants: u32,
    /// How many values each of them has, in forms of twenty.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=2000))]
    values: u32,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
pub(in crate::cli) struct Enrol {
    /// How many clients send side by side.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// How many invented participants are registered in each round.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    participants: u32,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
pub(in crate::cli) struct Rebuild {
    /// How many invented participants the study has.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    participants: u32,
    /// How many values each of them has, in forms of twenty.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=2000))]
    values: u32,
    /// Folder for data, root keys and the log; it is kept, and used again by a run on as many participants. Default: a new
    /// temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
pub(in crate::cli) struct Shred {
    /// Numbers of keys at which to measure.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000])]
    keys: Vec<usize>,
    /// A small tree: to see that it works, not to measure.
    #[arg(long, conflicts_with = "keys")]
    quick: bool,
    /// Prints one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(in crate::cli) struct Memory {
    /// Numbers of invented participants at which to look.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1_000, 10_000])]
    participants: Vec<u32>,
    /// Folder for data, root keys and the log; it is kept, and used again by a run that goes to as many participants.
    /// Default: a new temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many rounds: in each, the platform is started anew.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Few participants: to see that it works, not to measure.
    #[arg(long, conflicts_with_all = ["participants", "rounds"])]
    quick: bool,
    /// Prints one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(in crate::cli) struct Curve {
    /// Numbers of streams (participants, keys) at which to measure.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    streams: Vec<u32>,
    /// What is measured there.
    #[arg(long, value_delimiter = ',', default_values = ["append", "rebuild", "shred"])]
    of: Vec<CurveOf>,
    /// How many clients send side by side.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// How many commands each round has.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    commands: u32,
    /// Folder for data, root keys and the logs, one below it for each number of streams; it is kept, and used again.
    /// Default: a new temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

impl More {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let (json, kept) = (self.json(), self.data().is_some());
        let ground = ground(self.data())?;
        print(self.measure(&ground).await?, &ground, json).await?;
        if kept { Ok(()) } else { remove(&ground) }
    }

    fn data(&self) -> Option<&Path> {
        match self {
            Self::Rebuild(Rebuild { data, .. })
            | Self::Memory(Memory { data, .. })
            | Self::Curve(Curve { data, .. }) => data.as_deref(),
            Self::Bulk(_) | Self::Enrol(_) | Self::Shred(_) => None,
        }
    }

    fn json(&self) -> bool {
        match self {
            Self::Bulk(Bulk { how, .. })
            | Self::Enrol(Enrol { how, .. })
            | Self::Rebuild(Rebuild { how, .. })
            | Self::Curve(Curve { how, .. }) => how.json,
            Self::Shred(Shred { json, .. }) | Self::Memory(Memory { json, .. }) => *json,
        }
    }

    pub(super) async fn measure(self, ground: &Ground) -> Result<Figures, CliError> {
        match self {
            Self::Bulk(Bulk { participants, values, how }) => {
                let participants = if how.quick { 20 } else { participants };
                bench::bulk(&BulkPlan { participants, values: forms(values)?, rounds: how.rounds() }, ground).await
            }
            Self::Enrol(Enrol { clients, participants, how }) => {
                let participants = if how.quick { 50 } else { participants };
                let plan = EnrolPlan { clients: usize::from(clients), participants, rounds: how.rounds() };
                bench::enrol(&plan, ground).await
            }
            Self::Rebuild(Rebuild { participants, values, how, .. }) => {
                let (participants, values) = if how.quick { (20, 40) } else { (participants, forms(values)?) };
                let (rounds, formats) = (how.rounds() as usize, Vec::new());
                bench::rebuild(&Plan { participants, values, clients: 1, requests: 1, rounds, formats }, ground).await
            }
            Self::Shred(Shred { mut keys, quick, .. }) => {
                keys.sort_unstable();
                bench::shred(if quick { &[100] } else { &keys }, ground.folder()).await
            }
            Self::Memory(Memory { mut participants, rounds, quick, .. }) => {
                participants.sort_unstable();
                let (sizes, rounds): (&[u32], _) = if quick { (&[0, 20], 2) } else { (&participants, rounds) };
                bench::memory(sizes, rounds as usize, ground).await
            }
            Self::Curve(curve) => bench::curve(&curve.plan()?, ground).await,
        }
    }
}

impl Curve {
    fn plan(mut self) -> Result<CurvePlan, CliError> {
        self.streams.sort_unstable();
        if self.streams.first().is_none_or(|least| *least == 0) {
            return Err(CliError::input("--streams takes numbers from 1, with commas between them"));
        }
        let rounds = self.how.rounds() as usize;
        let (streams, commands) = if self.how.quick { (vec![20, 40], 100) } else { (self.streams, self.commands) };
        Ok(CurvePlan { streams, clients: usize::from(self.clients), commands, rounds, of: self.of })
    }
}

fn forms(values: u32) -> Result<u32, CliError> {
    if values.is_multiple_of(20) {
        return Ok(values);
    }
    Err(CliError::input("--values takes a multiple of 20: a form has twenty"))
}
