//! `lethe data exports …`: the register of exports. `lethe data verify-manifest`: whether files are those of an export.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::ids::{Label, StudyId};
use domain::port::PublicKey;
use exchange::manifest::{Hashed, Manifest};
use serde_json::{Value, json};

use crate::cli::backup::trust;
use crate::cli::options::Access;
use crate::cli::{CliError, Client};
use crate::platform::random_id;

/// The register of exports.
#[derive(Subcommand)]
pub(in crate::cli) enum Exports {
    /// Lists a study's exports: who got which data, what for, until when, and how many copies there are.
    List {
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// Prints them as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        access: Access,
    },
    /// Shows one export with its files and copies, as JSON.
    Show {
        /// The export's id.
        export: uuid::Uuid,
        /// The study.
        #[arg(long)]
        study: StudyId,
        #[command(flatten)]
        access: Access,
    },
    /// Registers that a copy was handed on.
    Copy {
        /// The export's id.
        export: uuid::Uuid,
        /// The study.
        #[arg(long)]
        study: StudyId,
        /// To whom: an organisation or an office, not the name of a person.
        #[arg(long, value_name = "TEXT")]
        recipient: Label,
        /// What for.
        #[arg(long, value_name = "TEXT")]
        purpose: Label,
        #[command(flatten)]
        access: Access,
    },
    /// Deletes the files that the platform holds. Copies that were handed on are not reached: they stay in the register.
    Delete {
        /// The export's id.
        export: uuid::Uuid,
        /// The study.
        #[arg(long)]
        study: StudyId,
        #[command(flatten)]
        access: Access,
    },
}

impl Exports {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::List { study, json, access } => list(&study, json, &access).await,
            Self::Show { export, study, access } => {
                let path = path(&study, export);
                out!("{}", Client::of(&access)?.get(&path).await?.body);
                Ok(())
            }
            Self::Copy { export, study, recipient, purpose, access } => {
                let copy = json!({"type": "give-copy", "recipient": recipient, "purpose": purpose});
                command(&study, export, &access, &copy).await?;
                note!("The copy is registered.");
                Ok(())
            }
            Self::Delete { export, study, access } => {
                command(&study, export, &access, &json!({"type": "delete"})).await?;
                note!("The files are deleted. Copies that were handed on are not.");
                Ok(())
            }
        }
    }
}

fn path(study: &StudyId, export: uuid::Uuid) -> String {
    format!("/v1/studies/{study}/exports/{export}")
}

async fn command(study: &StudyId, export: uuid::Uuid, access: &Access, body: &Value) -> Result<(), CliError> {
    Client::of(access)?.command(&path(study, export), random_id(), None, None, body).await?;
    Ok(())
}

async fn list(study: &StudyId, json: bool, access: &Access) -> Result<(), CliError> {
    let exports = Client::of(access)?.get(&format!("/v1/studies/{study}/exports")).await?.body["items"].take();
    if json {
        out!("{exports}");
        return Ok(());
    }
    out!(
        "{:<36} {:<8} {:<25} {:>6} {:>12}  recipient: purpose",
        "export",
        "stage",
        "expires",
        "copies",
        "participants"
    );
    for row in exports.as_array().into_iter().flatten() {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        out!(
            "{:<36} {:<8} {:<25} {:>6} {:>12}  {}: {}",
            text("export"),
            text("stage"),
            text("expires_at"),
            row["copies"].as_array().map_or(0, Vec::len),
            row["participants"],
            text("recipient"),
            text("purpose")
        );
    }
    Ok(())
}

/// Checks offline that files are those of an export: the manifest's signature, and every file's hash.
#[derive(Args)]
pub(in crate::cli) struct VerifyManifest {
    /// The folder of the files, with one manifest and its signature.
    dir: PathBuf,
    /// The public key that must have signed it (`lethe kms status` prints it; keep your own copy).
    #[arg(long, value_name = "PUBLIC-KEY", value_parser = trust)]
    trust: PublicKey,
    /// Refuses a folder in which there are other files too. Otherwise they are named, and nothing is said of them.
    #[arg(long)]
    strict: bool,
}

const MANIFEST: &str = ".manifest.json";

impl VerifyManifest {
    pub(super) fn run(&self) -> Result<(), CliError> {
        let manifests = self.manifests()?;
        if manifests.is_empty() {
            return Err(CliError::input(format!("there is no manifest in {}", self.dir.display())));
        }
        let mut refused = 0;
        let mut known = BTreeSet::new();
        for name in manifests {
            match self.check(&name, &mut known) {
                Ok(files) => out!("holds: {name} and {files} files"),
                Err(faults) => {
                    refused += faults.len();
                    faults.iter().for_each(|fault| out!("REFUSED: {name}: {fault}"));
                }
            }
        }
        let others: Vec<String> = self.names()?.into_iter().filter(|name| !known.contains(name)).collect();
        for name in &others {
            let how = if self.strict { "REFUSED" } else { "WARNING" };
            out!("{how}: {name} is in the folder and in no manifest that holds");
        }
        refused += if self.strict { others.len() } else { 0 };
        match refused {
            0 => Ok(()),
            count => Err(CliError::failed(self.dir.display(), format!("{count} things are not as they were signed"))),
        }
    }

    fn manifests(&self) -> Result<Vec<String>, CliError> {
        Ok(self.names()?.into_iter().filter(|name| name.ends_with(MANIFEST)).collect())
    }

    /// What is in the folder, sorted.
    fn names(&self) -> Result<BTreeSet<String>, CliError> {
        let failed = |error: std::io::Error| CliError::input(format!("{}: {error}", self.dir.display()));
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            found.insert(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        Ok(found)
    }

    /// How many files are as the manifest says, or what is not.
    fn check(&self, name: &str, known: &mut BTreeSet<String>) -> Result<usize, Vec<String>> {
        let signature_name = name.replace(MANIFEST, ".manifest.signature.json");
        let read = |name: &str| std::fs::read(self.dir.join(name)).map_err(|error| vec![format!("{name}: {error}")]);
        let (manifest, signature) = (read(name)?, read(&signature_name)?);
        infra::exports::check_signature(&manifest, &signature, &self.trust).map_err(|fault| vec![fault])?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(|_| vec!["a newer program wrote it".to_owned()])?;
        known.extend([name.to_owned(), signature_name]);
        known.extend(manifest.files.iter().map(|entry| entry.name.clone()));
        let faults: Vec<String> = manifest
            .files
            .iter()
            .filter_map(|entry| {
                // A name out of a signed manifest is ours, and still never leaves the folder.
                let inside = Path::new(&entry.name).components().count() == 1;
                let found = inside.then(|| hashed(&self.dir.join(&entry.name)))?;
                match found {
                    Ok(found) if found.sha256 == entry.sha256 && found.bytes == entry.bytes => None,
                    Ok(_) => Some(format!("{} is not what was exported", entry.name)),
                    Err(error) => Some(format!("{}: {error}", entry.name)),
                }
            })
            .collect();
        if faults.is_empty() { Ok(manifest.files.len()) } else { Err(faults) }
    }
}

fn hashed(path: &Path) -> std::io::Result<exchange::manifest::FileEntry> {
    let mut to = Hashed::new(std::io::sink());
    std::io::copy(&mut std::fs::File::open(path)?, &mut to)?;
    Ok(to.finish("", "", 0).1)
}
