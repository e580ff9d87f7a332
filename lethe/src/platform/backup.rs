//! Backups of a running platform: on demand, and by the clock.

use std::sync::Arc;
use std::time::Duration;

use domain::history::JournalId;
use domain::ids::{StudyId, TenantId};
use domain::port::{Clock, OffSite};
use infra::backup::{BackedUpStudy, BackupError, Identity, OnProgress, Recipient, Report};
use infra::chance::SystemClock;
use infra::off_site::Place;
use projection_svc::studies;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::StartError;
use super::inner::Inner;
use super::open::journal_of;
use super::registry::Open;

/// How long after a failure a scheduled backup is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10 * 60);

/// How often it is looked what stands at the place of backups: others may make, read or remove them.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// When and where backups are made by themselves.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Where to.
    pub to: Place,
    /// Who can read them.
    pub recipients: Vec<Recipient>,
    /// How old the newest may become.
    pub every: Duration,
}

impl Inner {
    /// Backs a tenant up while it is written to: the journals first, the key tree last. Where the off-site copy lags
    /// behind, it is brought up to date too.
    pub(super) async fn back_up(
        &self,
        tenant: &TenantId,
        to: &dyn OffSite,
        recipients: &[Recipient],
        told: OnProgress<'_>,
    ) -> Result<Report, BackupError> {
        let open = self.registry.get(tenant).ok_or_else(|| BackupError::NoSuchTenant(tenant.clone()))?;
        let created = SystemClock.now();
        let studies = studies_of(&open).await?;
        let own = JournalId { tenant: tenant.clone(), study: None };
        let of_studies = studies.iter().map(|study| journal_of(tenant, &study.study));
        let known = self.data_dir.studies(tenant).unwrap_or_default();
        let log = known.contains(&StudyId::access_log()).then(|| JournalId::access_log(tenant));
        let journals = std::iter::once(own).chain(of_studies).chain(log);
        let order = infra::backup::Order {
            tenant: tenant.clone(),
            id: id_of(created),
            created,
            journals: journals.collect(),
            studies,
            keys: open.vault.off_site.is_some().then(|| Arc::clone(&open.keys)),
        };
        let report = infra::backup::create(&order, &open.client, to, recipients, &*open.vault.kms.signer, told).await?;
        tracing::info!(%tenant, backup = order.id, bytes = report.bytes_sent, "backed up");
        Ok(report)
    }

    /// Makes backups as the schedule says, for good.
    pub(super) async fn keep_backing_up(self: Arc<Self>, schedule: Schedule) {
        loop {
            let mut pause = schedule.every.min(LOOK_EVERY);
            for open in self.registry.open() {
                pause = pause.min(self.back_up_if_due(&open.ports.id, &schedule).await);
            }
            tokio::time::sleep(pause.max(Duration::from_secs(1))).await;
        }
    }

    /// How long until the tenant's next backup is due.
    async fn back_up_if_due(&self, tenant: &TenantId, schedule: &Schedule) -> Duration {
        let newest = match self.look_at_backups(tenant, schedule).await {
            Ok(newest) => newest,
            Err(error) => {
                return self.backup_failed(tenant, &error, "the place of backups does not answer; trying again");
            }
        };
        let age = newest.map(|created| (SystemClock.now() - created).try_into().unwrap_or(Duration::ZERO));
        if let Some(age) = age.filter(|age| *age < schedule.every) {
            return schedule.every - age;
        }
        let place = match schedule.to.open(tenant) {
            Ok(place) => place,
            Err(failure) => return self.backup_failed(tenant, &failure, "the place of backups cannot be used"),
        };
        match self.back_up(tenant, &*place, &schedule.recipients, &|_| {}).await {
            Ok(report) => {
                self.backups.iter().for_each(|watch| watch.made(tenant, report.manifest.created));
                schedule.every
            }
            Err(error) => self.backup_failed(tenant, &error, "the scheduled backup failed; trying again"),
        }
    }

    /// Says it, and how long until the next try.
    fn backup_failed(&self, tenant: &TenantId, error: &dyn std::fmt::Display, what: &str) -> Duration {
        tracing::error!(%tenant, %error, "{what}");
        let now = SystemClock.now();
        self.backups.iter().for_each(|watch| watch.failed(tenant, error.to_string(), now));
        RETRY_AFTER
    }

    /// When the tenant's newest backup was made.
    async fn look_at_backups(
        &self,
        tenant: &TenantId,
        schedule: &Schedule,
    ) -> Result<Option<OffsetDateTime>, StartError> {
        let open = self.registry.get(tenant).ok_or_else(|| StartError::NoSuchTenant { tenant: tenant.clone() })?;
        let trust = open.vault.kms.signer.public_key().await?;
        let place = schedule.to.open(tenant)?;
        let listed = infra::backup::list(&place, &trust).await?;
        let newest =
            listed.into_iter().filter_map(|listed| listed.manifest.ok()).map(|manifest| manifest.created).max();
        let reads = place.list(READS).await?;
        let restored: Vec<String> = reads.iter().filter(|name| name.contains("/restored-")).cloned().collect();
        let last_read = last_read(&reads);
        self.backups.iter().for_each(|watch| watch.restored(tenant, self::last_read(&restored), SystemClock.now()));
        self.backups.iter().for_each(|watch| watch.found(tenant, newest, last_read, SystemClock.now()));
        Ok(newest)
    }
}

/// Where it is noted beside the backups that one was read whole: `backup-reads/<id>/<how>-<seconds>`.
pub const READS: &str = "backup-reads/";

/// The newest of such notes.
pub fn last_read(names: &[String]) -> Option<OffsetDateTime> {
    let moment = |name: &String| {
        let seconds = name.rsplit_once('-')?.1.parse().ok()?;
        OffsetDateTime::from_unix_timestamp(seconds).ok()
    };
    names.iter().filter_map(moment).max()
}

async fn studies_of(open: &Open) -> Result<Vec<BackedUpStudy>, domain::port::Failure> {
    let studies = studies::list(&open.ports).await?.into_iter();
    Ok(studies.map(|study| BackedUpStudy { study: study.study, environment: Some(study.environment) }).collect())
}

/// A backup's id: when it was made.
fn id_of(created: OffsetDateTime) -> String {
    let form = format_description!("[year][month][day]t[hour][minute][second][subsecond digits:3]z");
    created.to_offset(UtcOffset::UTC).format(form).expect("every time has these parts")
}

/// Reads an identity file, as `age-keygen` and `lethe backup keygen` write it.
///
/// # Errors
/// Why it holds none.
pub fn read_identity(file: &std::path::Path) -> Result<Identity, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let line = text.lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-"));
    let line = line.ok_or_else(|| format!("{} holds no line AGE-SECRET-KEY-…", file.display()))?;
    line.parse().map_err(|error: &str| format!("{}: {error}", file.display()))
}
