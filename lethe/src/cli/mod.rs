//! The command line. Data goes to stdout, messages to stderr (clig.dev). Exit codes are in `exit.rs`.

#[macro_use]
pub(crate) mod print;

mod access;
mod admin;
mod backup;
mod bench;
mod client;
mod data;
mod demo;
mod doctor;
mod drill;
mod erase;
mod exit;
mod incident;
mod kms;
mod machine;
mod nats;
mod options;
mod orders;
mod progress;
mod randomisation;
mod rebuild;
mod restore;
mod retention;
mod serve;
mod session;
mod soak;
mod study;
mod tls;
mod user;
mod verify;

use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Parser, Subcommand};
use infra::telemetry::{Failpoints, LogFormat, Telemetry, TelemetryOptions};

pub use client::{ApiError, Client, Reply};
pub use erase::follow;
pub use exit::CliError;
pub use options::Place;

/// Where a test binary dies; none in the real one.
static FAILPOINTS: OnceLock<Option<Failpoints>> = OnceLock::new();

/// A clinical study data platform that remembers everything and can prove that it forgot.
#[derive(Parser)]
#[command(name = "lethe", version, about, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows the whole way: starts a platform, enrols invented participants, erases one.
    Demo(demo::Demo),
    /// Serves the platform: one process, and a supervised nats-server or a NATS cluster.
    Serve(serve::Serve),
    /// Looks at a platform that serves, and says what is unsafe about it.
    Doctor(doctor::Doctor),
    /// Tenants: the customers, each with its own keys, journal and account.
    #[command(subcommand)]
    Tenant(admin::Tenant),
    /// Studies and their designs.
    #[command(subcommand)]
    Study(study::Study),
    /// Randomisation lists: sealed before the first participant, shown to nobody while they are used.
    #[command(subcommand)]
    Randomisation(randomisation::Randomisation),
    /// Bearer tokens of people and programs.
    #[command(subcommand)]
    Token(admin::Token),
    /// The first who administers a tenant.
    #[command(subcommand)]
    Admin(user::Admin),
    /// People with accounts: invited, given rights.
    #[command(subcommand)]
    User(user::User),
    /// Machines: programs with secrets of their own, bound to where they come from.
    #[command(subcommand)]
    Machine(machine::Machine),
    /// Uses a link: sets the password and second factor of an account.
    Join(session::Join),
    /// Signs in; the commands that follow use the session.
    Login(session::Login),
    /// Signs out.
    Logout(session::Logout),
    /// Sessions: seen and ended.
    #[command(subcommand)]
    Sessions(session::Sessions),
    /// Who was shown whose data.
    #[command(subcommand)]
    Access(access::Access),
    /// What looked like an attack, and what was found out.
    #[command(subcommand)]
    Incident(incident::Incident),
    /// Participants' data.
    #[command(subcommand)]
    Data(data::Data),
    /// Erases a participant: asked for by one person, approved by another.
    #[command(subcommand)]
    Erase(erase::Erase),
    /// How long a study must keep which data.
    #[command(subcommand)]
    Retention(retention::Retention),
    /// Legal holds: data that is kept, whoever asks for its erasure.
    #[command(subcommand)]
    Hold(orders::Hold),
    /// Restrictions (GDPR Art 18): data that is stored and not processed.
    #[command(subcommand)]
    Restrict(orders::Restrict),
    /// Builds the read models anew from the journal, compares and switches.
    Rebuild(rebuild::Rebuild),
    /// Backups: made, listed, checked.
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Restores a tenant from a backup, beside the live KMS; erasures stay in force.
    Restore(restore::Restore),
    /// The KMS that holds the root keys.
    #[command(subcommand)]
    Kms(kms::Kms),
    /// A NATS that others run: the accounts that it must have.
    #[command(subcommand)]
    Nats(nats::Nats),
    /// Checks a certificate offline, the whole record, or that an erasure holds.
    Verify(verify::Verify),
    /// Rehearsals on a scratch instance, with figures.
    #[command(subcommand)]
    Drill(drill::Drill),
    /// Kills a platform of its own again and again, and checks that nothing is lost.
    Soak(soak::Soak),
    /// Measures a platform of its own beside raw limits of this machine.
    Bench(bench::Bench),
}

/// Reads the arguments, runs the subcommand, prints what went wrong once.
pub fn main() -> ExitCode {
    main_dying_at(None)
}

/// As [`main`], in a test binary that dies where it is told to.
pub fn main_dying_at(failpoints: Option<Failpoints>) -> ExitCode {
    FAILPOINTS.set(failpoints).expect("main runs once");
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&CliError::failed("the runtime does not start", error)),
    };
    match runtime.block_on(run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Demo(demo) => demo.run().await,
        Command::Serve(serve) => serve.run().await,
        Command::Doctor(doctor) => doctor.run().await,
        Command::Tenant(tenant) => tenant.run().await,
        Command::Study(study) => study.run().await,
        Command::Randomisation(randomisation) => randomisation.run().await,
        Command::Token(token) => token.run().await,
        Command::Admin(admin) => admin.run().await,
        Command::User(user) => user.run().await,
        Command::Access(access) => access.run().await,
        Command::Incident(incident) => incident.run().await,
        Command::Machine(machine) => machine.run().await,
        Command::Join(join) => join.run().await,
        Command::Login(login) => login.run().await,
        Command::Logout(logout) => logout.run().await,
        Command::Sessions(sessions) => sessions.run().await,
        Command::Data(data) => data.run().await,
        Command::Erase(erase) => erase.run().await,
        Command::Retention(retention) => retention.run().await,
        Command::Hold(hold) => hold.run().await,
        Command::Restrict(restrict) => restrict.run().await,
        Command::Rebuild(rebuild) => rebuild.run().await,
        Command::Backup(backup) => backup.run().await,
        Command::Restore(restore) => restore.run().await,
        Command::Kms(kms) => kms.run().await,
        Command::Nats(nats) => nats.run().await,
        Command::Verify(verify) => verify.run().await,
        Command::Drill(drill) => drill.run().await,
        Command::Soak(soak) => soak.run().await,
        Command::Bench(bench) => bench.run().await,
    }
}

/// Starts logs, traces and metrics for a long-running subcommand.
fn start_telemetry(format: LogFormat, filter: Option<&str>) -> Result<Telemetry, CliError> {
    let given = std::env::var_os("LETHE_LOG").is_some() || std::env::var_os("RUST_LOG").is_some();
    let options = TelemetryOptions {
        service_name: "lethe".into(),
        format,
        filter: filter.filter(|_| !given).map(str::to_owned),
        otlp_endpoint: None,
        failpoints: FAILPOINTS.get().cloned().flatten(),
    };
    Telemetry::start(options).map_err(|error| CliError::failed("logs and traces cannot be started", error))
}

/// Sends what is still to be sent. Blocks, so it runs where that harms nobody.
async fn end_telemetry(telemetry: Telemetry) {
    let ended = tokio::task::spawn_blocking(|| telemetry.shutdown()).await;
    if let Ok(Err(error)) = ended {
        note!("lethe: {error}");
    }
}

/// Ctrl-C, or SIGTERM from whoever supervises us.
async fn until_told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be listened for");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn no_subcommand_stumbles_over_its_own_options() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_keeps_data_is_ordered_in_words() {
        let person = "9f0c2e8c-6d7a-4b51-9a3e-1d2c4b5a6978";
        for line in [
            format!("hold place {person} --study cardio --authority court --review-on 2027-01-31 --reason why"),
            format!("hold lift {person} {person} --study cardio"),
            "hold list --study cardio --json".to_owned(),
            format!("restrict place {person} --study cardio --ground legal-claims"),
            format!("restrict lift {person} --study cardio"),
            "retention set r-1 --study cardio --scope health.clinical --trigger last-visit --months 12 --ground research \
             --legal-basis law"
                .to_owned(),
            "retention end r-1 --study cardio".to_owned(),
        ] {
            let parsed = Arguments::try_parse_from(std::iter::once("lethe").chain(line.split_whitespace()));
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().map_or_else(String::new, |error| error.to_string()));
        }
        for (line, says) in [
            (
                "retention set r-1 --study cardio --scope health.clinical --trigger birth --months 12 --ground research --legal-basis law",
                "last-visit",
            ),
            ("hold list --study CARDIO", "--study"),
            (
                "retention set r-1 --study cardio --scope health.clinical --trigger last-visit --months 0 --ground research --legal-basis law",
                "--months",
            ),
        ] {
            let error = Arguments::try_parse_from(std::iter::once("lethe").chain(line.split_whitespace())).err();
            let error = error.expect(line).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
