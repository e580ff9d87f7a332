//! Who came in, who did not, and which accounts were locked for a while. From where is on record, sealed, and told nobody here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::Moment;
use domain::ids::UserId;
use domain::permit::may_see;
use domain::scope::Scope;
use edge::{Caller, Parameters, Problem};
use projection_svc::sign_ins::{self, Counts, SignIn};
use projection_svc::{Shown, Visible, accounts};
use serde::Serialize;
use utoipa::ToSchema;

use super::Entered;
use super::reply::{Problems, Since, reflecting};
use crate::platform::inner::Inner;

/// How many are listed.
const LISTED: usize = 200;

/// How many hours are counted.
const HOURS: u32 = 24;

/// Who came in and who did not.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsSignIns)]
pub(super) struct SignIns {
    /// The last 24 hours, oldest first.
    hours: Vec<Hour>,
    /// What happened at the door, newest first, at most 200.
    items: Vec<Named>,
}

/// What happened in an hour.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsHour)]
pub(super) struct Hour {
    /// When it begins.
    at: Moment,
    #[serde(flatten)]
    counts: Counts,
}

/// Something that happened at the door, with whose account it is for those who may see that.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationsSignIn)]
pub(super) struct Named {
    #[serde(flatten)]
    one: SignIn,
    /// The account's name, for who administers accounts; none for others.
    name: Option<String>,
}

/// Who came in, who did not and who was locked out for a while: by hour, and the newest one by one.
#[utoipa::path(
    get,
    path = "/v1/operations/sign-ins",
    operation_id = "list_all_sign_ins",
    tag = "operations",
    params(Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = SignIns), Problems)
)]
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    let entered = Entered::new(&inner, &who, "operations.sign-ins").await?;
    let tenant = &entered.open.ports;
    let positions = since.wait(tenant).await?;
    let mut names: BTreeMap<UserId, String> = BTreeMap::new();
    if may_see(who.actor.role, Scope::UserProfile) {
        for user in accounts::list(tenant, &Visible::of(who.actor.role)).await? {
            if let Some(Shown::Value(name)) = user.name {
                names.insert(user.user, name);
            }
        }
    }
    let hours = sign_ins::by_hour(tenant, inner.clock.now(), HOURS).await?.into_iter();
    let items = sign_ins::list(tenant, LISTED).await?.into_iter();
    let body = SignIns {
        hours: hours.map(|(at, counts)| Hour { at: Moment(at), counts }).collect(),
        items: items.map(|one| Named { name: names.get(&one.user).cloned(), one }).collect(),
    };
    Ok(reflecting(&positions, body))
}
