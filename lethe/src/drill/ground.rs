//! Where a drill keeps its things: the site, which is lost; and elsewhere the KMS, the off-site copy, the backups.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::history::DataSubject;
use domain::ids::TenantId;
use domain::port::{Kms, OffSite, PublicKey, Target};
use domain::scope::Scope;
use infra::backup::Identity;
use infra::keys::kms::KmsConfig;
use infra::keys::kms::dev::{OpenBao, SoftHsm};
use infra::off_site::Place;
use infra::off_site::seaweed::{self, SeaweedServer};

use super::people::TENANT;
use crate::cli::CliError;
use crate::platform::{Elsewhere, Options, Platform};
use crate::restore::{self, Restored};

/// Which KMS a drill uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KmsKind {
    /// Files in two folders.
    File,
    /// A SoftHSM token: a protocol test, nothing more.
    Pkcs11,
    /// An OpenBao server of its own.
    OpenBao,
}

impl KmsKind {
    /// From the command line.
    ///
    /// # Errors
    /// Another word.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "file" => Ok(Self::File),
            "pkcs11" => Ok(Self::Pkcs11),
            "openbao" => Ok(Self::OpenBao),
            _ => Err("file, pkcs11 or openbao".to_owned()),
        }
    }

    /// The same word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Pkcs11 => "pkcs11",
            Self::OpenBao => "openbao",
        }
    }
}

/// Where a drill keeps its off-site copy and its backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffSiteKind {
    /// Two folders.
    Folder,
    /// Two buckets with object lock, on an S3 server of its own.
    S3,
}

impl OffSiteKind {
    /// From the command line.
    ///
    /// # Errors
    /// Another word.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "folder" => Ok(Self::Folder),
            "s3" => Ok(Self::S3),
            _ => Err("folder or s3".to_owned()),
        }
    }

    /// The same word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::S3 => "s3",
        }
    }
}

/// A scratch folder with a KMS of its own.
pub struct Ground {
    folder: PathBuf,
    elsewhere: Elsewhere,
    identity: Identity,
    backups: Place,
    /// These run as long as the drill does.
    _servers: (Option<OpenBao>, Option<SeaweedServer>),
}

/// A backup of the drill, by its id.
pub(super) struct Backup(String);

impl Ground {
    /// Prepares a folder, which must not hold anything, and starts the servers that are needed.
    ///
    /// # Errors
    /// What is not installed or does not start.
    pub async fn prepare(folder: &Path, kms: KmsKind, off_site: OffSiteKind) -> Result<Self, CliError> {
        let vault = folder.join("vault");
        make(&vault)?;
        let (kms, server) = match kms {
            KmsKind::File => (KmsConfig::File { dir: vault.join("kms") }, None),
            KmsKind::Pkcs11 => (Self::token(folder)?.config(), None),
            KmsKind::OpenBao => {
                let binary = tokio::task::spawn_blocking(|| OpenBao::locate_or_install(|step| note!("{step}"))).await;
                let binary = binary.map_err(CliError::unavailable)?.map_err(CliError::unavailable)?;
                let server = OpenBao::start(&binary, &vault.join("openbao")).await.map_err(CliError::unavailable)?;
                (server.config().map_err(CliError::unavailable)?, Some(server))
            }
        };
        let (copy, backups, s3) = places(&folder.join("elsewhere"), off_site).await?;
        let elsewhere = Elsewhere { kms, off_site: Some(copy), nats: None };
        let (folder, identity) = (folder.to_owned(), Identity::generate());
        Ok(Self { folder, elsewhere, identity, backups, _servers: (server, s3) })
    }

    /// The SoftHSM token of a drill. Its module finds it by an environment variable that a process has from its start.
    ///
    /// # Errors
    /// SoftHSM is not installed.
    pub fn token(folder: &Path) -> Result<SoftHsm, CliError> {
        SoftHsm::within(&folder.join("vault").join("token")).map_err(CliError::unavailable)
    }

    /// The folder of it all.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The data directory of the site.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("site").join("data")
    }

    /// A tenant's part of what stands elsewhere.
    pub(super) async fn elsewhere(&self, tenant: &TenantId) -> Result<(Arc<dyn Kms>, Arc<dyn OffSite>), CliError> {
        let vault = self.elsewhere.open(tenant).await?;
        let off_site = vault.off_site.ok_or_else(|| CliError::unavailable("the drill has no off-site target"))?;
        Ok((vault.kms.kms, off_site))
    }

    pub(super) async fn start(&self) -> Result<Platform, CliError> {
        let options = Options::new(&self.data_dir(), &self.folder).elsewhere(self.elsewhere.clone());
        Ok(Platform::start(options.install_nats_server()).await?)
    }

    pub(super) async fn back_up(&self, platform: &Platform) -> Result<Backup, CliError> {
        let recipients = [self.identity.to_public()];
        let made = platform.back_up(&tenant(), &self.backups, &recipients).await;
        Ok(Backup(made?.id))
    }

    /// Nothing of the site is left.
    pub(super) fn lose_the_site(&self) -> Result<(), CliError> {
        let site = self.folder.join("site");
        std::fs::remove_dir_all(&site).map_err(|error| CliError::failed(format!("{} stays", site.display()), error))
    }

    pub(super) async fn restore(&self, backup: &Backup) -> Result<Restored, CliError> {
        let order = restore::Order {
            tenant: tenant(),
            from: self.backups.clone(),
            backup: Some(backup.0.clone()),
            identity: self.identity.clone(),
            trust: None,
            data_dir: self.data_dir(),
            elsewhere: self.elsewhere.clone(),
            install_nats_server: true,
        };
        restore::run(&order, &|_, _| {}).await
    }

    /// Tries every key of an erased person past all fences: with the live tree and with every copy of it, off-site and
    /// in any backup, under every root that lives. Says how many targets were tried and how many keys opened.
    pub(super) async fn open_raw(
        &self,
        platform: &Platform,
        person: uuid::Uuid,
        contact_only: bool,
    ) -> Result<(u64, u64), CliError> {
        let scopes: Vec<Scope> = match contact_only {
            true => vec![Scope::IdentityContact],
            false => Scope::of_participants().collect(),
        };
        let data_subject = DataSubject(person);
        let target = |scope: Scope| Target { data_subject, scope, part: None };
        let targets: Vec<Target> = scopes.into_iter().map(target).collect();
        let copies = restore::tree_copies(&tenant(), &self.elsewhere, Some((&self.backups, &self.identity))).await?;
        let opened = platform.probe(&tenant(), &targets, &copies).await?;
        Ok((targets.len() as u64 * (1 + copies.len() as u64), opened))
    }

    /// Checks a certificate offline, with nothing but the public key.
    pub(super) async fn verify(&self, certificate: &str) -> Result<(), String> {
        let trust = self.public_key().await.map_err(|error| error.to_string())?;
        let checked = infra::certificate::verify(certificate, &trust, None).await;
        if checked.is_verified() { Ok(()) } else { Err(checked.refused.join("; ")) }
    }

    async fn public_key(&self) -> Result<PublicKey, CliError> {
        let vault = self.elsewhere.open(&tenant()).await?;
        vault.kms.signer.public_key().await.map_err(CliError::unavailable)
    }
}

/// The place of the off-site copy, that of the backups, and the server if they are on one.
async fn places(folder: &Path, kind: OffSiteKind) -> Result<(Place, Place, Option<SeaweedServer>), CliError> {
    if kind == OffSiteKind::Folder {
        let (copy, backups) = (folder.join("copy"), folder.join("backups"));
        make(&copy)?;
        make(&backups)?;
        return Ok((Place::Folder(copy), Place::Folder(backups), None));
    }
    let binary = tokio::task::spawn_blocking(|| seaweed::locate_or_install(|step| note!("{step}"))).await;
    let binary = binary.map_err(CliError::unavailable)?.map_err(CliError::unavailable)?;
    let server = SeaweedServer::start(&binary, &folder.join("s3")).await.map_err(CliError::unavailable)?;
    for bucket in ["copy", "backups"] {
        server.create_locked_bucket(bucket, 1).await.map_err(CliError::unavailable)?;
    }
    Ok((server.place("copy"), server.place("backups"), Some(server)))
}

fn make(folder: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(folder).map_err(|error| CliError::failed(format!("{}", folder.display()), error))
}

fn tenant() -> TenantId {
    TENANT.parse().expect("a valid tenant id")
}
