//! The pages, one file a part of the desk.

mod access;
mod audit;
mod casebook;
mod designs;
mod door;
mod entry;
mod erasure;
mod incidents;
mod join;
mod matrix;
mod operations;
mod operations_journals;
mod operations_vault;
mod overview;
mod privacy;
mod queries;
mod reviews;
mod sessions;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use crate::fields::encoded;
use crate::frame::Guest;
use crate::{Parts, api, assets};

/// Every address of the desk.
pub(crate) fn routes() -> Router<Arc<Parts>> {
    Router::new()
        .route("/", get(front))
        .route("/sign-in", get(door::show).post(door::sign_in))
        .route("/sign-in/provider", post(door::to_provider))
        .route("/sign-in/provider/back", get(door::from_provider))
        .route("/sign-out", post(door::sign_out))
        .route("/join", get(join::show).post(join::look))
        .route("/join/open", post(join::open))
        .route("/desk/assets/{file}", get(assets::file))
        .route("/desk", get(overview::studies))
        .route("/desk/sessions", get(sessions::show))
        .route("/desk/sessions/password", post(sessions::password))
        .route("/desk/passkeys/{passkey}/remove", post(sessions::remove_passkey))
        .route("/desk/sessions/{session}/end", post(sessions::end))
        .route("/desk/users", get(users::show).post(users::invite))
        .route("/desk/users/{user}/link", post(users::link))
        .route("/desk/users/{user}/rights/{right}/end", post(users::end_right))
        .route("/desk/users/review", get(reviews::access).post(reviews::record_access))
        .route("/desk/users/review/{user}/{right}/end", post(reviews::end_right))
        .route("/desk/operations", get(operations::show))
        .route("/desk/operations/live", get(operations::live))
        .route("/desk/operations/projections", get(operations::projections).post(operations::rebuild))
        .route("/desk/operations/projections/live", get(operations::projections_live))
        .route("/desk/operations/standstills", get(operations::standstills))
        .route("/desk/operations/standstills/{journal}/retry", post(operations::retry))
        .route("/desk/operations/journals", get(operations_journals::all))
        .route("/desk/operations/journals/{journal}", get(operations_journals::one))
        .route(
            "/desk/operations/journals/{journal}/commits/{sequence}",
            get(operations_journals::commit).post(operations_journals::open),
        )
        .route("/desk/operations/keys", get(operations_vault::keys))
        .route("/desk/operations/backups", get(operations_vault::backups))
        .route("/desk/operations/sign-ins", get(operations_vault::sign_ins))
        .route("/desk/privacy", get(privacy::queue))
        .route("/desk/data-map", get(privacy::data_map))
        .route("/desk/access/{user}", get(access::of_user))
        .route("/desk/incidents", get(incidents::show))
        .route("/desk/incidents/{incident}", post(incidents::act))
        .route("/desk/studies/{study}/participants/{participant}/access", get(access::of_participant))
        .route("/desk/erasures/{erasure}", get(erasure::show).post(erasure::approve))
        .route("/desk/erasures/{erasure}/progress", get(erasure::progress))
        .route("/desk/studies/{study}", get(overview::study))
        .route("/desk/studies/{study}/matrix", get(matrix::show))
        .route("/desk/studies/{study}/participants", get(matrix::participants))
        .route("/desk/studies/{study}/queries", get(queries::show))
        .route("/desk/studies/{study}/queries/{participant}/{query}", post(queries::act))
        .route("/desk/studies/{study}/audit", get(audit::show))
        .route("/desk/studies/{study}/audit/review", get(reviews::trail).post(reviews::record_trail))
        .route("/desk/studies/{study}/designs", get(designs::show))
        .route("/desk/studies/{study}/sites", get(designs::sites))
        .route("/desk/studies/{study}/participants/{participant}", get(casebook::show))
        .route("/desk/studies/{study}/participants/{participant}/history", get(casebook::history))
        .route("/desk/studies/{study}/participants/{participant}/form", get(entry::show).post(entry::save))
        .route("/desk/studies/{study}/participants/{participant}/check", post(entry::check))
        .route("/desk/studies/{study}/participants/{participant}/visit", post(entry::visited))
        .route("/desk/studies/{study}/participants/{participant}/act", post(entry::act))
        .route("/desk/studies/{study}/participants/{participant}/privacy", get(privacy::person).post(privacy::ask))
}

/// Where somebody begins.
async fn front(guest: Guest) -> Redirect {
    Redirect::to(if guest.who.is_some() { "/desk" } else { "/sign-in" })
}

/// After a command: another page, which shows what was done.
pub(crate) fn on_to(path: &str, done: &str, answer: &api::Answer) -> Response {
    let sign = if path.contains('?') { '&' } else { '?' };
    let at = answer.position().map(|at| format!("&at={}", encoded(at))).unwrap_or_default();
    Redirect::to(&format!("{path}{sign}done={done}{at}")).into_response()
}
