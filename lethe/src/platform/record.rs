//! What proves the record of a tenant: its checkpoints, its certificates, and the check of all of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::history::{DataSubject, JournalId};
use domain::ids::{ErasureId, StudyId, TenantId};
use domain::port::{Clock as _, Failure, Target};
use infra::certificate::{CertificateParts, Certificates};
use infra::chance::SystemClock;
use infra::journal::{Client, LiveJournals, Replicas};
use infra::keys::KeyTree;
use infra::log::{CheckpointParts, Checkpoints};
use infra::verify::{self, Journals, ReplicaReport, Report};
use projection_svc::{Visible, erasures, studies};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::data_dir::Verified;
use super::inner::Inner;
use super::open::journal_of;
use super::registry::Open;
use super::{StartError, Vault};

/// How often a journal that has news is signed.
const EVERY: Duration = Duration::from_secs(5);

/// How often such a checkpoint goes off-site by itself. One that an erasure asks for goes at once.
const OFF_SITE_EVERY: Duration = Duration::from_secs(60);

/// How often it is asked whether another site has taken the key tree over.
const SITE_EVERY: Duration = Duration::from_secs(30);

/// What is new in the key tree goes off-site after so many of these times.
const TENDED_AFTER: u32 = 2;

/// The proofs of one tenant.
pub(super) struct Record {
    pub(super) checkpoints: Arc<Checkpoints>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) journals: LiveJournals,
    following: JoinHandle<()>,
    tending: JoinHandle<()>,
}

impl Record {
    /// Begins to sign what is written, off the command path.
    pub(super) fn new(id: &TenantId, dir: &Path, client: &Client, keys: &Arc<KeyTree>, vault: &Vault) -> Self {
        let journals = LiveJournals::new(client.clone(), id.clone());
        let checkpoints = Arc::new(Checkpoints::new(CheckpointParts {
            tenant: id.clone(),
            dir: dir.to_owned(),
            source: Arc::new(journals.clone()),
            signer: Arc::clone(&vault.kms.signer),
            off_site: vault.off_site.clone(),
            key_map: Some(Arc::clone(keys) as _),
            clock: Arc::new(SystemClock),
            every: EVERY,
            off_site_every: OFF_SITE_EVERY,
        }));
        let certificates = Arc::new(Certificates::new(CertificateParts {
            tenant: id.clone(),
            dir: dir.to_owned(),
            source: Arc::new(journals.clone()),
            checkpoints: Arc::clone(&checkpoints),
            keys: Arc::clone(keys),
            kms: Arc::clone(&vault.kms.kms),
            signer: Arc::clone(&vault.kms.signer),
            off_site: vault.off_site.clone(),
            clock: Arc::new(SystemClock),
        }));
        let follower = Arc::clone(&checkpoints);
        let following = tokio::spawn(async move { follower.run().await });
        let tending = tokio::spawn(tend(Arc::clone(keys)));
        Self { checkpoints, certificates, journals, following, tending }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.following.abort();
        self.tending.abort();
    }
}

/// Looks after the key tree, on nobody's way, until another site has taken it over. What fails is tried again.
async fn tend(keys: Arc<KeyTree>) {
    let mut round: u32 = 0;
    while !keys.is_superseded() {
        tokio::time::sleep(SITE_EVERY).await;
        round = round.wrapping_add(1);
        let done = match keys.check_site().await {
            Ok(()) if round.is_multiple_of(TENDED_AFTER) => keys.tend().await.map(drop),
            other => other,
        };
        if let Err(failure) = done
            && !keys.is_superseded()
        {
            tracing::warn!(tenant = %keys.tenant(), %failure, "the tree off-site falls behind: this is tried again");
        }
    }
}

fn targets(erasure: &erasures::Erasure) -> Vec<Target> {
    let data_subject = DataSubject(erasure.participant.0);
    let scopes = erasure.granted.iter().map(|scope| Target { data_subject, scope: *scope, part: None });
    let values = erasure.granted_values.iter();
    let values = values.map(|one| Target { data_subject, scope: one.scope, part: Some(one.part.clone()) });
    scopes.chain(values).collect()
}

/// The report as it is told: damages by name, those of replicas with their servers.
fn told(report: &Report, replicas: &[ReplicaReport]) -> Value {
    let names = |report: &Report| report.damages.iter().map(ToString::to_string).collect::<Vec<_>>();
    let of_replicas = replicas.iter().filter_map(|one| one.report.as_ref());
    let damaged = report.damaged + of_replicas.map(|report| report.damaged).sum::<u64>();
    let mut named = names(report);
    let mut each = Vec::new();
    for one in replicas {
        let own = one.report.as_ref().map(names).unwrap_or_default();
        named.extend(own.iter().map(|name| format!("on {}: {name}", one.server)));
        each.push(json!({
            "journal": one.journal, "server": one.server, "sound": one.is_sound(), "unread": one.unread,
            "damaged": one.report.as_ref().map(|report| report.damaged), "named": own,
            "checkpoints": one.report.as_ref().and_then(|report| report.journals.first()).map(|row| row.checkpoints),
        }));
    }
    let mut told = json!(report);
    told["damaged"] = damaged.into();
    told["unread"] = replicas.iter().filter(|one| one.unread.is_some()).count().into();
    told["named"] = named.into();
    told["replicas"] = each.into();
    told
}

impl Inner {
    /// Reads the whole record of a tenant and says what is damaged.
    pub(super) async fn verify(
        &self,
        open: &Open,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Value, Failure> {
        let id = &open.ports.id;
        let studies: Vec<StudyId> =
            self.data_dir.studies(id).map_err(|error| Failure::unavailable("the registry", error))?;
        let own = JournalId { tenant: id.clone(), study: None };
        let expected: Vec<JournalId> =
            std::iter::once(own).chain(studies.iter().map(|study| journal_of(id, study))).collect();
        let checkpoints = open.record.checkpoints.signed(&expected).await?;
        let what = Journals { source: &open.record.journals, expected, checkpoints, keys: Some(&open.keys) };
        let asking = self.nats.provisioner(id, "lethe-verify").await;
        let asking = asking.map_err(|error| Failure::unavailable("the NATS server", error))?;
        let replicas = Replicas::new(open.client.clone(), asking, id);
        let mut read: BTreeMap<JournalId, (u64, u64)> = BTreeMap::new();
        let mut tell = |journal: &JournalId, done: u64, total: u64| {
            read.insert(journal.clone(), (done, total));
            let sums = read.values().fold((0, 0), |sums, one| (sums.0 + one.0, sums.1 + one.1));
            progress(sums.0, sums.1);
        };
        let (report, replicas) = verify::journals_and_replicas(&what, &replicas, &mut tell).await?;
        let told = told(&report, &replicas);
        let verified =
            Verified { at: domain::Moment(SystemClock.now()), damaged: told["damaged"].as_u64().unwrap_or_default() };
        if let Err(error) = self.data_dir.remember_verified(id, &verified) {
            tracing::warn!(%error, "it is not remembered that the record was read");
        }
        Ok(told)
    }

    /// What an erasure destroyed, or will.
    pub(super) async fn targets_of(&self, open: &Open, erasure: ErasureId) -> Result<Vec<Target>, StartError> {
        for study in studies::list(&open.ports).await? {
            if let Some(found) = erasures::show(&open.ports, &study.study, &erasure, &Visible::none()).await? {
                return Ok(targets(&found));
            }
        }
        let detail = format!("there is no erasure {erasure} in this tenant");
        Err(StartError::Refused { code: "no-such-erasure", detail })
    }
}
