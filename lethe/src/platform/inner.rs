//! What a running platform consists of, and what its operator may do with it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use command_svc::Commands;
use command_svc::admin::Terms;
use domain::history::Position;
use domain::ids::{Environment, Label, StudyId, TenantId, TokenId, UserId};
use domain::port::{Clock, Dice, Failure};
use domain::user::AccountKind;
use door::Door;
use infra::chance::SystemClock;
use infra::journal::Provisioner;
use infra::telemetry::Metrics;
use projection_svc::rebuild::{self, Which};
use projection_svc::{JournalHealth, JournalState};
use query_api::Queries;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::backup_watch::BackupWatch;
use super::data_dir::DataDir;
use super::elsewhere::Elsewhere;
use super::listen::Shown;
use super::nats::Nats;
use super::registry::{Open, Registry};
use super::second_door::SecondDoors;
use super::{FirstLink, NewToken, StartError, open};
use crate::cli::CliError;

/// How long the operator's commands wait for the read models to take in what they wrote.
const PATIENCE: Duration = Duration::from_secs(10);

/// One process, all services.
pub(super) struct Inner {
    pub(super) data_dir: DataDir,
    pub(super) elsewhere: Elsewhere,
    pub(super) nats: Nats,
    pub(super) registry: Arc<Registry>,
    pub(super) commands: Arc<Commands>,
    pub(super) queries: Arc<Queries>,
    pub(super) door: Arc<Door>,
    pub(super) clock: Arc<dyn Clock>,
    /// Under which address people come, if not its own.
    pub(super) public_url: OnceLock<String>,
    /// What people are shown who come by TLS.
    pub(super) certificate: OnceLock<Shown>,
    pub(super) metrics: Metrics,
    /// Of scheduled backups, if there are any.
    pub(super) backups: Option<BackupWatch>,
    pub(super) operator_token: String,
    pub(super) dice: Arc<dyn Dice>,
    pub(super) erasing: JoinHandle<()>,
    pub(super) second_doors: SecondDoors,
}

impl Inner {
    pub(super) fn open(&self, id: &TenantId) -> Result<Arc<Open>, StartError> {
        self.registry.get(id).ok_or_else(|| StartError::NoSuchTenant { tenant: id.clone() })
    }

    /// What is wrong right now; empty: ready.
    pub(super) async fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(self.nats.fault());
        let refused = self.registry.refused().into_iter();
        faults.extend(refused.map(|(id, reason)| format!("tenant {id} is not served: {reason}")));
        for open in self.registry.open() {
            faults.extend(open.runner.health().iter().filter_map(|health| fault(&open.ports.id, health)));
        }
        faults.extend(self.backups.iter().flat_map(|backups| backups.faults(SystemClock.now())));
        faults
    }

    /// Creates an account, journal streams, a root key and the key tree. Done again, it changes nothing.
    pub(super) async fn create_tenant(&self, id: &TenantId) -> Result<(), StartError> {
        if self.registry.get(id).is_some() {
            return Ok(());
        }
        if let Some((_, reason)) = self.registry.refused().into_iter().find(|(refused, _)| refused == id) {
            return Err(StartError::Refused { code: "tenant-not-served", detail: reason });
        }
        self.nats.admit(id).await?;
        let provisioner = self.nats.provisioner(id, "lethe-provision").await?;
        Provisioner::new(provisioner, self.nats.replicas()).tenant(id).await.map_err(refused)?;
        let client = self.nats.service(id).await?;
        let keys = self.elsewhere.open(id).await?.key_tree(&client, id, &self.data_dir.tenant(id));
        // It is there already if this was interrupted just after.
        if keys.structure_key().await.is_err() {
            keys.create().await?;
        }
        self.data_dir.remember_tenant(id)?;
        self.registry.add(open::tenant(&self.nats, &self.data_dir, &self.elsewhere, id, &[]).await?);
        self.second_doors.open(&self.nats, id).await
    }

    /// Creates a study's journal stream and its first commit. Done again, it changes nothing.
    pub(super) async fn create_study(
        &self,
        id: &TenantId,
        study: &StudyId,
        name: Label,
        environment: Environment,
    ) -> Result<(), StartError> {
        let open = self.open(id)?;
        let provisioner = self.nats.provisioner(id, "lethe-provision").await?;
        let journal = open::journal_of(id, study);
        Provisioner::new(provisioner, self.nats.replicas()).journal(&journal).await.map_err(refused)?;
        self.data_dir.remember_study(id, study)?;
        open.runner.add_journal(journal).await?;
        let done = self.commands.create_study(&open.ports, study, name, environment).await.map_err(rejected)?;
        self.seen(&open, &done.position).await
    }

    /// Registers the user if need be, and issues a token.
    pub(super) async fn create_token(&self, new: NewToken) -> Result<(TokenId, String), StartError> {
        let open = self.open(&new.tenant)?;
        let expires_at = SystemClock.now() + Duration::from_secs(u64::from(new.days) * 86_400);
        let kind = if new.service_account { AccountKind::ServiceAccount } else { AccountKind::User };
        let (user, organisation) = (new.user, new.organisation.clone());
        let registered = self.commands.register_user(&open.ports, user, kind, organisation, new.name.into()).await;
        registered.map_err(rejected)?;
        let terms = Terms {
            role: new.role,
            environment: new.environment,
            organisation: new.organisation,
            sites: new.sites,
            expires_at,
        };
        let issued = self.commands.issue_token(&open.ports, user, terms).await.map_err(rejected)?;
        self.seen(&open, &issued.position).await?;
        Ok((issued.id, issued.text))
    }

    /// Ends a token.
    pub(super) async fn revoke_token(&self, id: &TenantId, user: UserId, token: TokenId) -> Result<(), StartError> {
        let open = self.open(id)?;
        let done = self.commands.revoke_token(&open.ports, user, token).await.map_err(rejected)?;
        self.seen(&open, &done.position).await
    }

    /// A link for the first who administers a tenant, unless there is somebody.
    pub(super) async fn first_link(&self, id: &TenantId, url: &str) -> Result<Option<FirstLink>, StartError> {
        self.open(id)?;
        let issued = self.door.first_link(id).await?;
        let base = self.public_url.get().map_or(url, String::as_str);
        Ok(issued
            .map(|link| FirstLink { address: door::link_address(base, &link.secret), expires_at: link.expires_at }))
    }

    async fn seen(&self, open: &Open, position: &Position) -> Result<(), StartError> {
        if open.ports.progress.wait_for(position, PATIENCE).await? {
            Ok(())
        } else {
            Err(Failure::unavailable("the read models", "they are behind; what was asked is done").into())
        }
    }

    /// Starts a rebuild; its lines come through the channel.
    pub(super) fn rebuild(&self, id: &TenantId, name: Option<String>) -> Result<mpsc::Receiver<String>, StartError> {
        let open = self.open(id)?;
        let which = match name {
            None => Which::All,
            Some(name) => Which::One(name),
        };
        let (lines, received) = mpsc::channel(64);
        tokio::spawn(async move {
            // Progress is told as far as somebody listens; the rebuild itself goes on.
            let tell = |progress: rebuild::RebuildProgress| {
                let _ = lines
                    .try_send(json!({"kind": "progress", "done": progress.done, "total": progress.total}).to_string());
            };
            let outcome = rebuild::rebuild(&open.runner, &which, tell).await;
            match outcome {
                Ok(report) => {
                    for built in report.projections {
                        let line = json!({"kind": "report", "projection": built.projection, "rows": built.comparison.rows, "differences": built.comparison.differences});
                        let _ = lines.send(line.to_string()).await;
                    }
                }
                Err(failure) => {
                    let error = CliError::from(failure);
                    let line = json!({"kind": "failed", "status": error.status(), "detail": error.to_string()});
                    let _ = lines.send(line.to_string()).await;
                }
            }
        });
        Ok(received)
    }

    /// Stops what follows the journal, then the nats-server.
    pub(super) async fn stop(&self) {
        self.second_doors.close();
        self.erasing.abort();
        for open in self.registry.open() {
            open.stop().await;
        }
        self.registry.close();
        self.nats.shutdown().await;
    }
}

fn refused(error: infra::journal::ProvisionError) -> StartError {
    StartError::Refused { code: "not-provisioned", detail: error.to_string() }
}

fn rejected(refusal: command_svc::Refusal) -> StartError {
    match refusal {
        command_svc::Refusal::Failed(failure) => StartError::Failed(failure),
        other => StartError::Refused { code: "refused", detail: other.to_string() },
    }
}

fn fault(tenant: &TenantId, health: &JournalHealth) -> Option<String> {
    let journal = health.study.as_ref().map_or_else(|| tenant.to_string(), |study| format!("{tenant}/{study}"));
    match &health.state {
        JournalState::Following => None,
        JournalState::Retrying { reason } => Some(format!("the read models of {journal} wait: {reason}")),
        JournalState::Stopped { reason } => Some(format!("the read models of {journal} stopped: {reason}")),
    }
}
