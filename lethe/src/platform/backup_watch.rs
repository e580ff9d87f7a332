//! How old the scheduled backups are, and when one was last read whole: for `/readyz` and the metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::Moment;
use domain::ids::TenantId;
use infra::telemetry::METRICS_TARGET;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tracing::{Level, event};

/// A backup that is so many times as old as it may become is a fault.
const TOO_OLD: u32 = 2;

/// What is known of the backups of every tenant.
pub(super) struct BackupWatch {
    every: Duration,
    tenants: Mutex<BTreeMap<TenantId, Watched>>,
}

struct Watched {
    /// When this process first looked.
    since: OffsetDateTime,
    newest: Option<OffsetDateTime>,
    last_read: Option<OffsetDateTime>,
    last_restored: Option<OffsetDateTime>,
    /// Why the last try failed, if it did.
    failed: Option<String>,
}

/// What is known of a tenant's backups.
pub(super) struct Known {
    pub(super) newest: Option<OffsetDateTime>,
    pub(super) last_read: Option<OffsetDateTime>,
    pub(super) last_restored: Option<OffsetDateTime>,
    /// Why the last try to make one failed, if it did.
    pub(super) failed: Option<String>,
}

impl BackupWatch {
    /// Nothing is known yet of backups that are made `every` so often.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, tenants: Mutex::default() }
    }

    /// What stands at the place of backups.
    pub(super) fn found(
        &self,
        tenant: &TenantId,
        newest: Option<OffsetDateTime>,
        last_read: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) {
        self.change(tenant, now, |watched| (watched.newest, watched.last_read) = (newest, last_read));
    }

    /// When one was last restored from, as is noted at the place of backups.
    pub(super) fn restored(&self, tenant: &TenantId, last: Option<OffsetDateTime>, now: OffsetDateTime) {
        self.change(tenant, now, |watched| watched.last_restored = last);
    }

    /// How old the newest may become.
    pub(super) fn every(&self) -> Duration {
        self.every
    }

    /// What is known of a tenant's.
    pub(super) fn of(&self, tenant: &TenantId) -> Option<Known> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.get(tenant).map(|watched| Known {
            newest: watched.newest,
            last_read: watched.last_read,
            last_restored: watched.last_restored,
            failed: watched.failed.clone(),
        })
    }

    /// A backup was made.
    pub(super) fn made(&self, tenant: &TenantId, created: OffsetDateTime) {
        self.change(tenant, created, |watched| (watched.newest, watched.failed) = (Some(created), None));
    }

    /// A backup could not be made, or not be looked for.
    pub(super) fn failed(&self, tenant: &TenantId, why: String, now: OffsetDateTime) {
        self.change(tenant, now, |watched| watched.failed = Some(why));
    }

    /// The tenants whose newest backup is too old.
    pub(super) fn faults(&self, now: OffsetDateTime) -> Vec<String> {
        self.each_fault(now).into_values().collect()
    }

    /// What is wrong with one tenant's.
    pub(super) fn fault_of(&self, tenant: &TenantId, now: OffsetDateTime) -> Option<String> {
        self.each_fault(now).remove(tenant)
    }

    fn each_fault(&self, now: OffsetDateTime) -> BTreeMap<TenantId, String> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = |(tenant, watched): (&TenantId, &Watched)| {
            let age = now - watched.newest.unwrap_or(watched.since);
            let why = watched.failed.as_deref().unwrap_or("it is being made");
            let hours = age.whole_hours();
            let told = match watched.newest {
                Some(_) => format!("the newest backup of tenant {tenant} is {hours} hours old: {why}"),
                None => format!("tenant {tenant} has had no backup for {hours} hours: {why}"),
            };
            (age > self.every * TOO_OLD).then(|| (tenant.clone(), told))
        };
        tenants.iter().filter_map(fault).collect()
    }

    /// One object a tenant.
    pub(super) fn json(&self, now: OffsetDateTime) -> Vec<Value> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |(tenant, watched): (&TenantId, &Watched)| {
            let age = |moment: Option<OffsetDateTime>| moment.map(|moment| (now - moment).whole_seconds());
            json!({
                "tenant": tenant,
                "every_seconds": self.every.as_secs(),
                "newest": watched.newest.map(Moment),
                "age_seconds": age(watched.newest),
                "last_verified": watched.last_read.map(Moment),
                "last_verified_age_seconds": age(watched.last_read),
                "failed": watched.failed,
            })
        };
        tenants.iter().map(row).collect()
    }

    /// Measures the ages as they are now.
    pub(super) fn measure(&self, now: OffsetDateTime) {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, watched) in tenants.iter() {
            let tenant = tenant.as_str();
            if let Some(age) = watched.newest.map(|newest| (now - newest).as_seconds_f64()) {
                event!(target: METRICS_TARGET, Level::INFO, gauge.lethe_backup_age_seconds = age, tenant);
            }
            if let Some(age) = watched.last_read.map(|read| (now - read).as_seconds_f64()) {
                event!(target: METRICS_TARGET, Level::INFO, gauge.lethe_backup_last_verified_age_seconds = age, tenant);
            }
        }
    }

    fn change(&self, tenant: &TenantId, now: OffsetDateTime, change: impl FnOnce(&mut Watched)) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Watched { since: now, newest: None, last_read: None, last_restored: None, failed: None };
        change(tenants.entry(tenant.clone()).or_insert_with(unknown));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const THEN: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn watch() -> (BackupWatch, TenantId) {
        (BackupWatch::new(DAY), "acme".parse().expect("valid"))
    }

    #[test]
    fn a_failed_backup_is_a_fault_when_the_newest_is_twice_as_old_as_it_may_become() {
        let (watch, acme) = watch();
        watch.found(&acme, Some(THEN), None, THEN);
        watch.failed(&acme, "the disk is full".to_owned(), THEN + DAY);
        assert_eq!(watch.faults(THEN + 2 * DAY), Vec::<String>::new());
        let faults = watch.faults(THEN + 2 * DAY + Duration::from_secs(1));
        assert_eq!(faults, ["the newest backup of tenant acme is 48 hours old: the disk is full"]);
        watch.made(&acme, THEN + 3 * DAY);
        assert_eq!(watch.faults(THEN + 3 * DAY), Vec::<String>::new());
        assert_eq!(watch.json(THEN + 3 * DAY)[0]["failed"], Value::Null);
    }

    #[test]
    fn a_backup_that_never_was_is_a_fault_as_well() {
        let (watch, acme) = watch();
        watch.failed(&acme, "no disk".to_owned(), THEN);
        watch.failed(&acme, "no disk".to_owned(), THEN + DAY);
        assert_eq!(watch.faults(THEN + DAY), Vec::<String>::new());
        let faults = watch.faults(THEN + 3 * DAY);
        assert_eq!(faults, ["tenant acme has had no backup for 72 hours: no disk"]);
    }

    #[test]
    fn ages_are_told() {
        let (watch, acme) = watch();
        watch.found(&acme, Some(THEN), Some(THEN + Duration::from_secs(60)), THEN);
        let row = &watch.json(THEN + Duration::from_secs(90))[0];
        assert_eq!((&row["age_seconds"], &row["last_verified_age_seconds"]), (&json!(90), &json!(30)));
    }
}
