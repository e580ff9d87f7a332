//! `lethe backup …`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use domain::ids::TenantId;
use domain::port::{OffSite, PublicKey};
use infra::backup::{Identity, Listed, Recipient};
use infra::off_site::Place;
use serde_json::{Value, json};

use super::CliError;
use super::options::{self, place};
use super::progress::{Bar, watch};
use crate::platform::{Operator, READS, StartError, last_read, read_identity};

/// Backups: encrypted to your keys, incremental, signed. How it all fits together: docs/backup.md.
#[derive(Subcommand)]
pub(super) enum Backup {
    /// Makes a key pair for backups. Prints the public key (the recipient); keep the file offline.
    Keygen {
        /// The file for the secret key.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Backs a tenant up, while it is written to.
    Create {
        /// Whose.
        #[arg(long)]
        tenant: TenantId,
        /// Where to: a folder or an S3-compatible store.
        #[arg(long, value_name = "PLACE", value_parser = place)]
        to: Place,
        /// Who can read it: an age public key. May be given more than once.
        #[arg(long = "recipient", required = true, value_parser = recipient)]
        recipients: Vec<Recipient>,
        /// Prints the report as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: options::Place,
    },
    /// Lists the backups at a place, with their age and when one was last restored or read through.
    List {
        #[command(flatten)]
        at: At,
        /// Prints them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Checks a backup: signature, presence, sizes and hashes; with the identity also every hash chain inside. Names what
    /// is missing, cut or altered.
    Verify {
        #[command(flatten)]
        at: At,
        /// Which one. Default: the newest.
        #[arg(long)]
        id: Option<String>,
        /// The file of the secret key.
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
        /// Prints the report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Writes a backup's journals as plain archives: what `lethe verify --journal` reads. Values stay sealed.
    Extract {
        #[command(flatten)]
        at: At,
        /// Which one. Default: the newest.
        #[arg(long)]
        id: Option<String>,
        /// The file of the secret key.
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// The folder for the archives.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// Which backups, and whose word counts.
#[derive(Args)]
pub(super) struct At {
    /// Whose.
    #[arg(long)]
    tenant: TenantId,
    /// Where they are.
    #[arg(long, value_name = "PLACE", value_parser = place)]
    from: Place,
    /// The public key that must have signed them (`lethe kms status` prints it). Default: the one that the KMS holds.
    #[arg(long, value_name = "PUBLIC-KEY", value_parser = trust)]
    trust: Option<PublicKey>,
    #[command(flatten)]
    place: options::Place,
}

pub(super) fn recipient(text: &str) -> Result<Recipient, String> {
    text.parse().map_err(|error: &str| format!("{error}: an age public key begins with age1"))
}

pub(super) fn trust(text: &str) -> Result<PublicKey, String> {
    infra::certificate::parse_public_key(text).map_err(|error| error.to_string())
}

impl Backup {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Keygen { out } => keygen(&out),
            Self::Create { tenant, to, recipients, json, place } => {
                let recipients: Vec<String> = recipients.iter().map(Recipient::to_string).collect();
                let body = json!({"tenant": tenant, "to": to.as_text(), "recipients": recipients});
                let operator = Operator::of(&place).await?;
                let report = watch(&operator, "/v1/admin/backup", &body, "backing up").await;
                operator.leave().await;
                tell_created(&report?, json);
                Ok(())
            }
            Self::List { at, json } => at.list(json).await,
            Self::Verify { at, id, identity, json } => at.verify(id, identity, json).await,
            Self::Extract { at, id, identity, to } => at.extract(id, identity, to).await,
        }
    }
}

fn keygen(out: &std::path::Path) -> Result<(), CliError> {
    let identity = Identity::generate();
    let fault = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CliError::conflict(format!("{} exists: it is left as it is", out.display()))
        }
        _ => CliError::failed(format!("{} cannot be written", out.display()), error),
    };
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(out).map_err(fault)?;
    let recipient = identity.to_public();
    let text = format!("# public key: {recipient}\n{}\n", infra::backup::identity_text(&identity).as_str());
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
    out!("{recipient}");
    note!(
        "The secret key is in {}. Keep it offline: who has it can read every backup, who loses it none.",
        out.display()
    );
    Ok(())
}

fn tell_created(report: &Value, json: bool) {
    if json {
        return out!("{report}");
    }
    let number = |key: &str| report[key].as_u64().unwrap_or_default();
    out!("{}", report["backup"].as_str().unwrap_or_default());
    note!(
        "{} messages, {} bytes in all; {} bytes sent now, {} chunks of earlier backups used again.",
        number("messages"),
        number("bytes"),
        number("bytes_sent"),
        number("chunks_used_again")
    );
}

impl At {
    async fn open(&self) -> Result<(Arc<dyn OffSite>, PublicKey), CliError> {
        let place = self.from.open(&self.tenant).map_err(StartError::from)?;
        let trust = match self.trust {
            Some(trust) => trust,
            None => {
                let vault = self.place.elsewhere(&self.place.data_dir()?)?.open(&self.tenant).await?;
                vault.kms.signer.public_key().await.map_err(StartError::from)?
            }
        };
        Ok((place, trust))
    }

    /// The backup that is meant: by its id, or the newest.
    async fn id(&self, given: Option<String>, place: &Arc<dyn OffSite>, trust: &PublicKey) -> Result<String, CliError> {
        if let Some(id) = given {
            return Ok(id);
        }
        let newest = infra::backup::newest(place, trust).await?;
        newest.ok_or_else(|| CliError::not_found(format!("there is no backup of {} at {}", self.tenant, self.from)))
    }

    async fn list(self, json: bool) -> Result<(), CliError> {
        let (place, trust) = self.open().await?;
        let listed = infra::backup::list(&place, &trust).await.map_err(StartError::from)?;
        let mut rows = Vec::new();
        for one in &listed {
            rows.push(row(one, &*place).await?);
        }
        if json {
            out!("{}", Value::from(rows.clone()));
            return refused_among(&rows);
        }
        out!("{:<24} {:>10} {:>12} {:>14}  read through", "backup", "age", "messages", "bytes");
        for row in &rows {
            let text = |key: &str| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
            let (id, age) = (text("backup"), text("age"));
            match row["refused"].as_str() {
                Some(refused) => out!("{id:<24} refused: {refused}"),
                None => {
                    out!("{id:<24} {age:>10} {:>12} {:>14}  {}", text("messages"), text("bytes"), text("last_read"))
                }
            }
        }
        refused_among(&rows)
    }

    async fn verify(self, id: Option<String>, identity: Option<PathBuf>, json: bool) -> Result<(), CliError> {
        let (place, trust) = self.open().await?;
        let id = self.id(id, &place, &trust).await?;
        let identity = identity.map(|file| read_identity(&file).map_err(CliError::input)).transpose()?;
        let bar = Bar::new("checking");
        let told = |progress| bar.show(progress);
        let verified = infra::backup::verify(Arc::clone(&place), &id, &trust, identity.as_ref(), &told).await;
        bar.end();
        let verified = verified?;
        let faults: Vec<String> = verified.faults.iter().map(ToString::to_string).collect();
        if json {
            out!(
                "{}",
                json!({"backup": id, "chunks": verified.chunks, "bytes": verified.bytes, "messages": verified.messages, "faults": faults})
            );
        } else {
            faults.iter().for_each(|fault| out!("{fault}"));
        }
        if !faults.is_empty() {
            return Err(CliError::failed(format!("backup {id}"), format!("{} things are wrong with it", faults.len())));
        }
        let read =
            verified.messages.map_or("not opened".to_owned(), |messages| format!("{messages} messages read through"));
        note!("Backup {id} is whole: {} chunks, {} bytes, {read}.", verified.chunks, verified.bytes);
        match verified.messages {
            Some(_) => note_read(&*place, &id, "verified").await,
            None => Ok(()),
        }
    }

    async fn extract(self, id: Option<String>, identity: PathBuf, to: PathBuf) -> Result<(), CliError> {
        let (place, trust) = self.open().await?;
        let id = self.id(id, &place, &trust).await?;
        let identity = read_identity(&identity).map_err(CliError::input)?;
        let backup = infra::backup::Backup::open(place, &id, &trust).await?;
        std::fs::create_dir_all(&to).map_err(|error| CliError::failed(format!("{}", to.display()), error))?;
        let bar = Bar::new("extracting");
        let told = |progress| bar.show(progress);
        let written = infra::backup::extract(&backup, &identity, &to, &told).await;
        bar.end();
        written?.iter().for_each(|file| out!("{}", file.display()));
        Ok(())
    }
}

/// A list with a backup that is refused is not all right.
fn refused_among(rows: &[Value]) -> Result<(), CliError> {
    match rows.iter().filter(|row| row["refused"].is_string()).count() {
        0 => Ok(()),
        count => Err(CliError::failed("the backups", format!("{count} refused, named in the list"))),
    }
}

/// Notes beside a backup that it was read whole: a backup that nobody ever read is a hope.
pub(super) async fn note_read(place: &dyn OffSite, id: &str, how: &str) -> Result<(), CliError> {
    let now = domain::port::Clock::now(&infra::chance::SystemClock);
    let name = format!("{READS}{id}/{how}-{}", now.unix_timestamp());
    Ok(place.put(&name, b"").await.map_err(StartError::from)?)
}

async fn row(one: &Listed, place: &dyn OffSite) -> Result<Value, CliError> {
    let reads = place.list(&format!("{READS}{}/", one.id)).await.map_err(StartError::from)?;
    let last_read = last_read(&reads).map(domain::Moment);
    Ok(match &one.manifest {
        Ok(manifest) => {
            let age = domain::port::Clock::now(&infra::chance::SystemClock) - manifest.created;
            json!({
                "backup": one.id, "created": domain::Moment(manifest.created), "age_seconds": age.whole_seconds(),
                "age": in_words(age), "messages": manifest.messages(), "bytes": manifest.bytes(),
                "recipients": manifest.recipients,
                "last_read": last_read.map_or(json!("never"), |moment| json!(moment)),
            })
        }
        Err(refused) => json!({"backup": one.id, "refused": refused.to_string()}),
    })
}

fn in_words(age: time::Duration) -> String {
    match age.whole_minutes() {
        minutes @ ..120 => format!("{minutes} min"),
        minutes @ 120..2880 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}
