//! `lethe verify …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::ids::TenantId;
use domain::port::PublicKey;
use infra::off_site::Place;
use serde_json::json;

use super::CliError;
use super::backup::trust;
use super::options::{self, place};
use super::progress::watch;
use crate::platform::Operator;

/// Checks what Lethe says: a certificate offline, the whole record, or that an erasure holds by every road.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Verify {
    #[command(subcommand)]
    what: Option<What>,
    /// The certificate's file. It is checked with nothing but the public key: no network, no platform.
    #[arg(required = true)]
    certificate: Option<PathBuf>,
    /// The public key that must have signed it (`lethe kms status` prints it; keep your own copy).
    #[arg(long, required = true, value_name = "PUBLIC-KEY", value_parser = trust)]
    trust: Option<PublicKey>,
    /// Plain archives of the journals (`lethe backup extract`): then also that nothing but appends happened to the record.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    /// Writes the certificate as a page for people, to print.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// Reads every commit of a tenant: hash chains, contiguity, headers, tags, against the signed checkpoints. Names what
    /// is damaged.
    ///
    /// On a cluster it reads every replica of every journal: each leads for as long as it is read, then the one that led
    /// before. Whoever writes meanwhile waits a moment at each change.
    Journal {
        /// Whose.
        #[arg(long)]
        tenant: TenantId,
        /// Prints the report as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: options::Place,
    },
    /// Tries to open what erasures destroyed, past all fences: with every copy of the key tree that can be reached and
    /// every living root key.
    Erasure {
        /// The erasures' ids.
        #[arg(required = true)]
        erasures: Vec<uuid::Uuid>,
        /// Whose.
        #[arg(long)]
        tenant: TenantId,
        /// Backups whose copies of the key tree are tried, too.
        #[arg(long, value_name = "PLACE", value_parser = place, requires = "identity")]
        from: Option<Place>,
        /// The file of the secret key that opens them.
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
        #[command(flatten)]
        place: options::Place,
    },
}

impl Verify {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self.what {
            Some(What::Journal { tenant, json, place }) => journal(&tenant, json, &place).await,
            Some(What::Erasure { erasures, tenant, from, identity, place }) => {
                erasure(&erasures, &tenant, from, identity, &place).await
            }
            None => self.certificate().await,
        }
    }

    async fn certificate(self) -> Result<(), CliError> {
        let (Some(file), Some(trust)) = (self.certificate, self.trust) else {
            return Err(CliError::input("name the certificate's file and the public key: --trust PUBLIC-KEY"));
        };
        let text = std::fs::read_to_string(&file)
            .map_err(|error| CliError::input(format!("certificate {}: {error}", file.display())))?;
        let checked = infra::certificate::verify(text.trim_end(), &trust, self.journal.as_deref()).await;
        if self.json {
            out!("{}", json!({"verified": checked.is_verified(), "holds": checked.holds, "refused": checked.refused}));
        } else {
            checked.holds.iter().for_each(|line| out!("holds: {line}"));
            checked.refused.iter().for_each(|line| out!("REFUSED: {line}"));
        }
        if !checked.is_verified() {
            return Err(CliError::failed(format!("certificate {}", file.display()), "it is refused"));
        }
        if let Some(page) = self.page {
            let html = infra::certificate::page(text.trim_end()).unwrap_or_default();
            std::fs::write(&page, html).map_err(|error| CliError::failed(format!("{}", page.display()), error))?;
            note!("The page is in {}.", page.display());
        }
        note!("The certificate holds. What it cannot prove is written in it.");
        Ok(())
    }
}

async fn journal(tenant: &TenantId, json: bool, place: &options::Place) -> Result<(), CliError> {
    let operator = Operator::of(place).await?;
    let report = watch(&operator, "/v1/admin/verify", &json!({"tenant": tenant}), "verifying").await;
    operator.leave().await;
    let report = report?;
    let damaged = report["damaged"].as_u64().unwrap_or(u64::MAX);
    if json {
        out!("{report}");
    } else {
        out!(
            "{:<24} {:>9} {:>9} {:>9} {:>13} {:>11}",
            "journal",
            "commits",
            "streams",
            "guards",
            "authenticated",
            "checkpoints"
        );
        for row in report["journals"].as_array().into_iter().flatten() {
            let study = row["journal"]["study"].as_str().unwrap_or("_");
            let name = format!("{}/{study}", row["journal"]["tenant"].as_str().unwrap_or_default());
            let number = |key: &str| row[key].as_u64().unwrap_or_default();
            out!(
                "{name:<24} {:>9} {:>9} {:>9} {:>13} {:>11}",
                number("commits"),
                number("streams"),
                number("guards"),
                number("authenticated"),
                number("checkpoints")
            );
        }
        replicas(&report);
        for damage in report["named"].as_array().into_iter().flatten() {
            out!("DAMAGED: {}", damage.as_str().unwrap_or_default());
        }
    }
    let unread = report["unread"].as_u64().unwrap_or_default();
    match damaged {
        0 if unread > 0 => {
            Err(CliError::unavailable(format!("{unread} replicas could not be read; what could be read is whole")))
        }
        0 => {
            note!("The record is whole.");
            Ok(())
        }
        count => Err(CliError::failed("the record", format!("{count} damages"))),
    }
}

/// One line a replica, where there are several.
fn replicas(report: &serde_json::Value) {
    for row in report["replicas"].as_array().into_iter().flatten() {
        let (server, study) = (row["server"].as_str().unwrap_or_default(), row["journal"]["study"].as_str());
        let journal = format!("{}/{}", row["journal"]["tenant"].as_str().unwrap_or_default(), study.unwrap_or("_"));
        match (row["unread"].as_str(), row["sound"].as_bool()) {
            (Some(reason), _) => out!("{journal:<24} on {server}: NOT READ: {reason}"),
            (None, Some(true)) => out!("{journal:<24} on {server}: sound"),
            (None, _) => out!("{journal:<24} on {server}: {} damages", row["damaged"]),
        }
    }
}

async fn erasure(
    erasures: &[uuid::Uuid],
    tenant: &TenantId,
    from: Option<Place>,
    identity: Option<PathBuf>,
    place: &options::Place,
) -> Result<(), CliError> {
    let identity = identity.map(std::path::absolute).transpose();
    let identity = identity.map_err(|error| CliError::failed("the identity's file", error))?;
    let operator = Operator::of(place).await?;
    let mut opened = 0;
    for erasure in erasures {
        let body = json!({
            "tenant": tenant, "erasure": erasure, "from": from.as_ref().map(Place::as_text), "identity": identity,
        });
        let answer = operator.post("/v1/admin/probe", &body).await?;
        out!(
            "{erasure}: {} targets tried with the live tree and {} copies, {} opened",
            answer["targets"],
            answer["copies"],
            answer["opened"]
        );
        opened += answer["opened"].as_u64().unwrap_or(u64::MAX);
    }
    operator.leave().await;
    match opened {
        0 => Ok(()),
        count => Err(CliError::failed("an erasure does not hold", format!("{count} keys opened"))),
    }
}
