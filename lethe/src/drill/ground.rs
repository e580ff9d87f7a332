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

/// A scratch folder with a KMS of its own.
pub struct Ground {
    folder: PathBuf,
    elsewhere: Elsewhere,
    identity: Identity,
    /// Runs as long as the drill does.
    _server: Option<OpenBao>,
}

/// A backup of the drill, by its id.
pub(super) struct Backup(String);

impl Ground {
    /// Prepares a folder, which must not hold anything, and starts a server where the KMS is one.
    ///
    /// # Errors
    /// What is not installed or does not start.
    pub async fn prepare(folder: &Path, kms: KmsKind) -> Result<Self, CliError> {
        let vault = folder.join("vault");
        for made in [&vault, &folder.join("elsewhere").join("copy"), &folder.join("elsewhere").join("backups")] {
            std::fs::create_dir_all(made).map_err(|error| CliError::failed(format!("{}", made.display()), error))?;
        }
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
        let off_site = Some(Place::Folder(folder.join("elsewhere").join("copy")));
        let elsewhere = Elsewhere { kms, off_site };
        Ok(Self { folder: folder.to_owned(), elsewhere, identity: Identity::generate(), _server: server })
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

    fn backups(&self) -> Place {
        Place::Folder(self.folder.join("elsewhere").join("backups"))
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
        let made = platform.back_up(&tenant(), &self.backups(), &recipients).await;
        Ok(Backup(made.map_err(|error| CliError::failed("a backup", error))?.id))
    }

    /// Nothing of the site is left.
    pub(super) fn lose_the_site(&self) -> Result<(), CliError> {
        let site = self.folder.join("site");
        std::fs::remove_dir_all(&site).map_err(|error| CliError::failed(format!("{} stays", site.display()), error))
    }

    pub(super) async fn restore(&self, backup: &Backup) -> Result<Restored, CliError> {
        let order = restore::Order {
            tenant: tenant(),
            from: self.backups(),
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
        let copies = restore::tree_copies(&tenant(), &self.elsewhere, Some((&self.backups(), &self.identity))).await?;
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

fn tenant() -> TenantId {
    TENANT.parse().expect("a valid tenant id")
}
