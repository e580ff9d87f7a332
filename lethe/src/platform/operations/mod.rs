//! What who runs the platform for a tenant asks of it: how it fares, what stands in its journals, keys, backups, who came in
//! (ADR 0048). A right of a tenant like any other, at the addresses where people come; what only the machine's own operator may,
//! stands in `admin`.
//!
//! Nothing here opens a value. What is about other tenants, or about studies of another environment, is left out.

mod backups;
mod description;
mod figures;
mod findings;
mod follow;
mod health;
mod journals;
mod keys;
mod opening;
mod projections;
mod rebuilds;
mod reply;
mod sign_ins;
mod standstills;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use domain::ids::StudyId;
use domain::permit::{Principal, may_query};
use domain::port::Failure;
use edge::Problem;
use projection_svc::studies;

pub(super) use description::openapi;
pub(super) use figures::Figures;
pub(super) use rebuilds::Rebuilds;

use super::inner::Inner;
use super::registry::Open;

/// Every address, to be put behind a credential.
pub(super) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/v1/operations/health", get(health::show))
        .route("/v1/operations/findings", get(findings::show))
        .route("/v1/operations/figures", get(figures::show))
        .route("/v1/operations/projections", get(projections::show))
        .route("/v1/operations/rebuilds", get(rebuilds::list).post(rebuilds::order))
        .route("/v1/operations/standstills", get(standstills::show))
        .route("/v1/operations/standstills/{journal}/retry", post(standstills::retry))
        .route("/v1/operations/journals", get(journals::list))
        .route("/v1/operations/journals/{journal}/streams", get(journals::streams))
        .route("/v1/operations/journals/{journal}/commits", get(journals::commits))
        .route("/v1/operations/journals/{journal}/commits/{sequence}/open", post(opening::open))
        .route("/v1/operations/openings", get(opening::list))
        .route("/v1/operations/keys", get(keys::show))
        .route("/v1/operations/kms", get(keys::kms))
        .route("/v1/operations/backups", get(backups::show))
        .route("/v1/operations/sign-ins", get(sign_ins::show))
        .with_state(inner)
}

/// Somebody who may ask this, with the tenant that they ask about.
struct Entered {
    open: Arc<Open>,
    /// Studies of another environment: for this credential they are not there.
    hidden: BTreeSet<StudyId>,
}

impl Entered {
    async fn new(inner: &Inner, who: &Principal, query: &str) -> Result<Self, Problem> {
        if !may_query(who.actor.role, query) {
            return Err(Problem::forbidden(format!("the role {} may not ask {query}", who.actor.role)));
        }
        Ok(Self::of(inner, who).await?)
    }

    /// Without asking who may: for what a command's own row decides.
    async fn of(inner: &Inner, who: &Principal) -> Result<Self, Failure> {
        let missing = || Failure::unavailable("the tenant", format!("{} is not served here", who.tenant));
        let open = inner.registry.get(&who.tenant).ok_or_else(missing)?;
        let known = studies::list(&open.ports).await?.into_iter();
        let hidden = known.filter(|study| study.environment != who.environment).map(|study| study.study);
        Ok(Self { hidden: hidden.collect(), open })
    }

    fn shows(&self, study: Option<&StudyId>) -> bool {
        study.is_none_or(|study| !self.hidden.contains(study))
    }
}
