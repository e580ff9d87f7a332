//! Brings a tenant back from a backup into an empty data directory, beside the live KMS and the off-site copy.
//!
//! Nothing is served before all of it is done: a note in the data directory says so until the end. Killed in between,
//! the same order goes on where it was.

mod copies;
mod journals;
mod note;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use command_svc::erasure::{ErasureTrigger, reinstate};
use command_svc::{Commands, Refusal};
use domain::history::JournalId;
use domain::ids::{StudyId, TenantId};
use domain::port::{Clock, Failure, PublicKey, Tenants};
use infra::archive::Origin;
use infra::backup::{Backup, Identity};
use infra::chance::{SystemClock, SystemDice};
use infra::journal::{Client, Provisioner};
use infra::keys::KeyTree;
use infra::off_site::{LedgerStream, Place, put_back, read_ledger};

use super::data_dir::DataDir;
use super::elsewhere::{Elsewhere, Vault};
use super::nats::Nats;
use super::record::Record;
use super::registry::Registry;
use super::{StartError, open};
use crate::cli::CliError;

pub use copies::tree_copies;
pub(super) use note::RestoreNote;
pub use report::{Lost, Restored};

/// What to restore, from where, to where.
pub struct Order {
    /// Whose record.
    pub tenant: TenantId,
    /// Where the backups are.
    pub from: Place,
    /// Which one; none: the newest that is whole.
    pub backup: Option<String>,
    /// Opens it.
    pub identity: Identity,
    /// The key that must have signed it; none: the one that the KMS holds.
    pub trust: Option<PublicKey>,
    /// An empty directory, or one in which this restore was begun.
    pub data_dir: PathBuf,
    /// The live KMS and the off-site copy.
    pub elsewhere: Elsewhere,
    /// Whether the pinned nats-server may be installed.
    pub install_nats_server: bool,
}

/// How far a restore is: what is being done, and how much of it.
pub type OnStep<'a> = &'a (dyn Fn(&str, infra::backup::Progress) + Send + Sync);

/// Carries an order out.
///
/// # Errors
/// What is missing, cut, altered or in the way, by name. Begun again, it goes on.
pub async fn run(order: &Order, told: OnStep<'_>) -> Result<Restored, CliError> {
    let begun = Instant::now();
    order.elsewhere.refuse_inside(&order.data_dir)?;
    let vault = order.elsewhere.open(&order.tenant).await?;
    let trust = match order.trust {
        Some(trust) => trust,
        None => vault.kms.signer.public_key().await.map_err(StartError::from)?,
    };
    let backup = find(order, &trust).await?;
    let data_dir = DataDir::take(&order.data_dir)?;
    let mut note = RestoreNote::begin(&data_dir, &order.tenant, &backup.manifest.id)?;
    // The others that are here keep their accounts.
    let nats = open::nats(&order.elsewhere, order.install_nats_server, &data_dir, &data_dir.tenants()?).await?;
    let restoring = Restoring { order, told, vault, trust, nats: &nats, data_dir: &data_dir };
    let done = restoring.run(&backup, &mut note).await;
    nats.shutdown().await;
    let mut restored = done?;
    note.end()?;
    restored.seconds = begun.elapsed().as_secs_f64();
    Ok(restored)
}

/// The backup that is meant.
async fn find(order: &Order, trust: &PublicKey) -> Result<Backup, CliError> {
    let place = order.from.open(&order.tenant).map_err(StartError::from)?;
    if let Some(id) = &order.backup {
        return Backup::open(place, id, trust).await.map_err(CliError::from);
    }
    let newest = infra::backup::newest(&place, trust).await.map_err(CliError::from)?;
    let newest = newest
        .ok_or_else(|| CliError::not_found(format!("there is no backup of {} at {}", order.tenant, order.from)))?;
    Backup::open(place, &newest, trust).await.map_err(CliError::from)
}

struct Restoring<'a> {
    order: &'a Order,
    told: OnStep<'a>,
    vault: Vault,
    trust: PublicKey,
    nats: &'a Nats,
    data_dir: &'a DataDir,
}

impl Restoring<'_> {
    async fn run(&self, backup: &Backup, note: &mut RestoreNote) -> Result<Restored, CliError> {
        let provisioner = self.nats.provisioner(&self.order.tenant, "lethe-restore").await?;
        let provisioner = Provisioner::new(provisioner, self.nats.replicas());
        let client = self.nats.service(&self.order.tenant).await?;
        let mut restored = self.journals(backup, note, &provisioner, &client).await?;
        let stream = provisioner.tenant(&self.order.tenant).await;
        stream.map_err(|error| CliError::unavailable(format!("the key tree's stream: {error}")))?;
        // A backup from before there was an access log has none: nobody would be shown anything.
        let log = provisioner.journal(&JournalId::access_log(&self.order.tenant)).await;
        log.map_err(|error| CliError::unavailable(format!("the access log: {error}")))?;
        self.tell("taking the key tree over");
        let dir = self.data_dir.tenant(&self.order.tenant);
        let keys = self.vault.key_tree(&client, &self.order.tenant, &dir);
        restored.root = self.keys(backup, &keys, &client).await?;
        self.sign(backup, &Record::new(&self.order.tenant, &dir, &client, &keys, &self.vault)).await?;
        let ledger = self.ledger().await?;
        restored.has_ledger = self.vault.off_site.is_some();
        restored.persons = ledger.len() as u64;
        self.tell("bringing back the orders that the backup does not know");
        for person in &ledger {
            let back = put_back(&client, person).await.map_err(StartError::from)?;
            restored.orders_brought_back += back.written as u64;
            restored.take_back(&journals::name(&person.stream.journal), &back);
        }
        for study in &backup.manifest.studies {
            self.data_dir.remember_study(&self.order.tenant, &study.study)?;
        }
        self.data_dir.remember_study(&self.order.tenant, &StudyId::access_log())?;
        self.tell("putting the erasures into force");
        self.reinstate(&ledger).await?;
        Ok(restored)
    }

    /// The newest tree that stands off-site; the backup's own only where nothing does and no root came after it. That
    /// one keeps its root: under another, no backup that was made so far could be restored a second time.
    async fn keys(&self, backup: &Backup, keys: &KeyTree, client: &Client) -> Result<u64, CliError> {
        if self.vault.off_site.is_some() {
            let claimed = keys.claim(&[]).await.map_err(StartError::from)?;
            tracing::info!(root = claimed.loaded, packs = claimed.packs, "the key tree was taken over");
        } else {
            // The top is written last: where it can be read, an interrupted run wrote the whole tree.
            let status = match keys.status().await {
                Ok(status) => status,
                Err(_) => {
                    journals::nodes(backup, &self.order.identity, &self.order.tenant, client).await?;
                    keys.status().await.map_err(StartError::from)?
                }
            };
            let newest = status.head.reserved.unwrap_or(status.root).max(status.root);
            if status.living.last().is_none_or(|last| *last > newest) || !status.living.contains(&status.root) {
                return Err(CliError::conflict(format!(
                    "the backup's key tree is under root {}, and the KMS has {}: somebody was erased since, or the root was \
                     replaced. Name the off-site target (--off-site) if there is one, otherwise restore a backup that was \
                     made after that",
                    status.root,
                    roots(&status.living)
                )));
            }
            keys.attach().await.map_err(StartError::from)?;
        }
        Ok(keys.status().await.map_err(StartError::from)?.root)
    }

    /// Signs the journals as they were restored, before anything is appended: an erasure that was under way when the site
    /// was lost gets its certificate from here on.
    async fn sign(&self, backup: &Backup, record: &Record) -> Result<(), CliError> {
        for origin in backup.origins() {
            if let Origin::Events(journal) = origin {
                record.checkpoints.force(&journal).await.map_err(StartError::from)?;
            }
        }
        Ok(())
    }

    async fn ledger(&self) -> Result<Vec<LedgerStream>, CliError> {
        match &self.vault.off_site {
            Some(off_site) => Ok(read_ledger(&**off_site, &self.order.tenant).await.map_err(StartError::from)?),
            None => Ok(Vec::new()),
        }
    }

    /// Opens the tenant as at a start, serves nobody, and puts every erasure into force again.
    async fn reinstate(&self, ledger: &[LedgerStream]) -> Result<(), CliError> {
        let (tenant, studies) = (&self.order.tenant, self.data_dir.studies(&self.order.tenant)?);
        let opened = open::tenant(self.nats, self.data_dir, &self.order.elsewhere, tenant, &studies).await?;
        let (ports, registry) = (Arc::clone(&opened.ports), Arc::new(Registry::default()));
        registry.add(opened);
        let tenants: Arc<dyn Tenants> = Arc::clone(&registry) as _;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let commands = Commands::new(tenants, clock, Arc::new(SystemDice), ErasureTrigger::default());
        let mut outcome = Ok(());
        for (done, person) in ledger.iter().enumerate() {
            let progress =
                infra::backup::Progress { messages: done as u64, of_messages: ledger.len() as u64, bytes: 0 };
            (self.told)("putting the erasures into force", progress);
            outcome = reinstate(&commands, &ports, &person.stream).await;
            if outcome.is_err() {
                break;
            }
        }
        // What was restored is signed at once: the next restore must know that this one was.
        if outcome.is_ok() {
            for journal in ports.journal.journals().await.map_err(StartError::from)? {
                ports.certifier.checkpoint(&journal).await.map_err(StartError::from)?;
            }
            for open in registry.open() {
                self.note_restored(&open.record.journals).await?;
            }
        }
        for open in registry.open() {
            open.stop().await;
        }
        registry.close();
        const WHAT: &str = "an erasure could not be put into force again";
        outcome.map_err(|refusal| match refusal {
            Refusal::Failed(Failure::Unavailable { .. }) => CliError::unavailable(format!("{WHAT}: {refusal}")),
            other => CliError::failed(WHAT, other),
        })
    }

    fn tell(&self, what: &str) {
        (self.told)(what, infra::backup::Progress::default());
    }
}

fn roots(living: &std::collections::BTreeSet<u64>) -> String {
    let numbers: Vec<String> = living.iter().map(u64::to_string).collect();
    if numbers.is_empty() { "no root".to_owned() } else { format!("root {}", numbers.join(", ")) }
}
