//! Read models built again beside those that serve, step by step as one sees it: building, catching up, comparing, switching.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::Moment;
use domain::account::{Account, Command};
use domain::history::{Aggregate, StreamId};
use domain::ids::{AttemptId, Label, TenantId, UserId};
use domain::permit::may_command;
use domain::port::Clock as _;
use edge::{Caller, JsonBody, Parameters, Problem};
use infra::chance::SystemClock;
use projection_svc::rebuild::{self, RebuildProgress, Rebuilt, Which};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Entered;
use super::reply::{Problems, Since, reflecting};
use crate::cli::CliError;
use crate::platform::inner::Inner;

/// So many are remembered of each tenant.
const KEPT: usize = 20;

const BODY_MAX: usize = 4096;

/// A rebuild, as far as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperationsRebuild)]
pub(super) struct Run {
    /// Its id.
    rebuild: uuid::Uuid,
    /// Which read model; none: all.
    projection: Option<String>,
    /// Who ordered it.
    by: UserId,
    /// When it began.
    started_at: Moment,
    /// `building`, `catching-up`, `comparing`, `switching`, `done` or `failed`.
    stage: &'static str,
    /// How far it is, in positions of all journal streams together.
    done: u64,
    /// Where it ends.
    total: u64,
    /// When it ended.
    ended_at: Option<Moment>,
    /// Why it failed. What served before goes on serving.
    failed: Option<String>,
    /// What came out, one a read model.
    report: Vec<Compared>,
}

/// A read model that was built again and serves now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperationsRebuilt)]
pub(super) struct Compared {
    /// Its name.
    projection: String,
    /// Which of its tables serves now.
    generation: u64,
    /// How many rows it has.
    rows: u64,
    /// How many rows differ from those that served before: any is a fault, put right by the switch.
    differences: u64,
}

/// The rebuilds that this process has carried out since it started.
#[derive(Default)]
pub(in crate::platform) struct Rebuilds(Mutex<BTreeMap<TenantId, Vec<Run>>>);

impl Rebuilds {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, Vec<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, tenant: &TenantId) -> Vec<Run> {
        self.lock().get(tenant).cloned().unwrap_or_default()
    }

    pub(super) fn newest(&self, tenant: &TenantId) -> Option<Run> {
        self.lock().get(tenant)?.first().cloned()
    }

    pub(super) fn is_running(&self, tenant: &TenantId) -> bool {
        self.newest(tenant).is_some_and(|run| run.ended_at.is_none())
    }

    /// Begins one, unless one is under way.
    fn begin(&self, tenant: &TenantId, run: &Run) -> bool {
        let mut all = self.lock();
        let runs = all.entry(tenant.clone()).or_default();
        if runs.iter().any(|run| run.ended_at.is_none()) {
            return false;
        }
        runs.insert(0, run.clone());
        runs.truncate(KEPT);
        true
    }

    fn change(&self, tenant: &TenantId, rebuild: uuid::Uuid, change: impl FnOnce(&mut Run)) {
        let mut all = self.lock();
        let runs = all.entry(tenant.clone()).or_default();
        if let Some(run) = runs.iter_mut().find(|run| run.rebuild == rebuild) {
            change(run);
        }
    }

    fn forget(&self, tenant: &TenantId, rebuild: uuid::Uuid) {
        self.lock().entry(tenant.clone()).or_default().retain(|run| run.rebuild != rebuild);
    }
}

fn stage(progress: &RebuildProgress) -> &'static str {
    match progress.stage {
        rebuild::Stage::Building => "building",
        rebuild::Stage::CatchingUp => "catching-up",
        rebuild::Stage::Comparing => "comparing",
        rebuild::Stage::Switching => "switching",
    }
}

impl From<Rebuilt> for Compared {
    fn from(built: Rebuilt) -> Self {
        Self {
            projection: built.projection.to_owned(),
            generation: built.generation,
            rows: built.comparison.rows,
            differences: built.comparison.differences,
        }
    }
}

/// Rebuilds, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsRebuilds)]
pub(super) struct Listed {
    /// Since this process started.
    items: Vec<Run>,
}

/// The rebuilds since this process started, newest first.
#[utoipa::path(
    get,
    path = "/v1/operations/rebuilds",
    operation_id = "list_rebuilds",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "As they are at this moment.", body = Listed), Problems)
)]
pub(super) async fn list(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.show").await?;
    let positions = since.wait(&entered.open.ports).await?;
    Ok(reflecting(&positions, Listed { items: inner.rebuilds.of(&entered.open.ports.id) }))
}

/// What is to be built again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RebuildOrder)]
pub(super) struct Order {
    /// Which read model; none: all.
    #[serde(default)]
    projection: Option<Label>,
}

/// Builds read models again, beside those that serve; who ordered it is on record before it begins.
#[utoipa::path(
    post,
    path = "/v1/operations/rebuilds",
    operation_id = "order_rebuild",
    tag = "operations",
    request_body = Order,
    responses((status = 200, description = "It has begun.", body = Run), Problems)
)]
pub(super) async fn order(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<Order, BODY_MAX>,
) -> Result<Response, Problem> {
    const COMMAND: &str = "account.order-rebuild";
    if !may_command(who.actor.role, COMMAND) {
        return Err(Problem::forbidden(format!("the role {} may not send {COMMAND}", who.actor.role)));
    }
    let session = who.session.ok_or_else(in_a_session)?;
    let Entered { open, .. } = Entered::of(&inner, &who).await?;
    let projection = body.projection;
    let named = projection.as_ref().map(|name| name.as_str().to_owned());
    if let Some(name) = &named
        && !open.runner.models()?.iter().any(|model| model.projection == name)
    {
        return Err(Problem::not_found("no-such-projection", "there is no read model of this name"));
    }
    let run = Run {
        rebuild: inner.dice.uuid(),
        projection: named.clone(),
        by: who.actor.id,
        started_at: Moment(SystemClock.now()),
        stage: "building",
        done: 0,
        total: 0,
        ended_at: None,
        failed: None,
        report: Vec::new(),
    };
    let tenant = open.ports.id.clone();
    if !inner.rebuilds.begin(&tenant, &run) {
        let detail = "a rebuild is under way: wait until it has ended";
        return Err(Problem::new(StatusCode::CONFLICT, "rebuild-under-way", detail));
    }
    let command = Command::OrderRebuild { attempt: AttemptId(run.rebuild), session, projection };
    let stream = StreamId::in_tenant(&tenant, Aggregate::Account, who.actor.id);
    let request = inner.commands.request(who);
    let recorded = inner.commands.execute::<Account>(&open.ports, &stream, &command, &request).await;
    let recorded = recorded.inspect_err(|_| inner.rebuilds.forget(&tenant, run.rebuild))?;
    let which = named.map_or(Which::All, Which::One);
    tokio::spawn(carry_out(Arc::clone(&inner), open, run.rebuild, which));
    Ok(reflecting(&[recorded.position], run).into_response())
}

pub(super) fn in_a_session() -> Problem {
    Problem::forbidden("this is done in a session: a token is nobody who could be asked about it")
}

async fn carry_out(inner: Arc<Inner>, open: Arc<super::Open>, id: uuid::Uuid, which: Which) {
    let tenant = &open.ports.id;
    let tell = |progress: RebuildProgress| {
        inner.rebuilds.change(tenant, id, |run| {
            (run.stage, run.done, run.total) = (stage(&progress), progress.done, progress.total);
        });
    };
    let outcome = rebuild::rebuild(&open.runner, &which, tell).await;
    let ended = Some(Moment(SystemClock.now()));
    inner.rebuilds.change(tenant, id, |run| {
        run.ended_at = ended;
        match outcome {
            Ok(report) => {
                run.stage = "done";
                run.report = report.projections.into_iter().map(Compared::from).collect();
            }
            Err(failure) => (run.stage, run.failed) = ("failed", Some(CliError::from(failure).to_string())),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: u128) -> Run {
        Run {
            rebuild: uuid::Uuid::from_u128(id),
            projection: None,
            by: UserId(uuid::Uuid::nil()),
            started_at: Moment(time::OffsetDateTime::UNIX_EPOCH),
            stage: "building",
            done: 0,
            total: 0,
            ended_at: None,
            failed: None,
            report: Vec::new(),
        }
    }

    #[test]
    fn one_rebuild_of_a_tenant_is_under_way_at_a_time() {
        let (rebuilds, acme): (_, TenantId) = (Rebuilds::default(), "acme".parse().expect("valid"));
        assert!(rebuilds.begin(&acme, &run(1)) && rebuilds.is_running(&acme));
        assert!(!rebuilds.begin(&acme, &run(2)));
        assert!(rebuilds.begin(&"umbra".parse().expect("valid"), &run(3)), "others are not in its way");
        rebuilds.change(&acme, run(1).rebuild, |run| run.ended_at = Some(run.started_at));
        assert!(!rebuilds.is_running(&acme) && rebuilds.begin(&acme, &run(2)));
        rebuilds.forget(&acme, run(2).rebuild);
        assert_eq!(rebuilds.of(&acme).iter().map(|run| run.rebuild.as_u128()).collect::<Vec<_>>(), [1]);
    }
}
