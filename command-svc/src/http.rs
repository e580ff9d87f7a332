//! The addresses of the write side: one file a resource.

mod bulk;
mod call;
mod description;
mod designs;
mod exports;
mod incidents;
mod lines;
mod participants;
mod randomisation;
mod rehearsal;
mod reply;
mod step_up;
mod studies;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::commands::Commands;

pub use bulk::read_line;
pub use description::openapi;

/// The write side's routes. Whoever serves them puts [`edge::authenticated`] and [`edge::fallbacks`] around all
/// services at once.
pub fn router(commands: Arc<Commands>) -> Router {
    Router::new()
        .route("/v1/studies/{study}", post(studies::command))
        .route("/v1/studies/{study}/lock-readiness", get(studies::lock_readiness))
        .route("/v1/studies/{study}/designs", post(designs::publish))
        .route("/v1/studies/{study}/commands", post(bulk::commands))
        .route("/v1/studies/{study}/participants/{participant}", post(participants::record))
        .route("/v1/studies/{study}/participants/{participant}/rehearsal", post(rehearsal::rehearse))
        .route("/v1/studies/{study}/participants/{participant}/migration/{design}", get(participants::migration_report))
        .route("/v1/studies/{study}/participants/{participant}/identity", post(participants::identity))
        .route("/v1/studies/{study}/participants/{participant}/privacy", post(participants::privacy))
        .route("/v1/studies/{study}/participants/{participant}/allocation", get(participants::allocation))
        .route("/v1/studies/{study}/exports/{export}", post(exports::command))
        .route("/v1/incidents/{incident}", post(incidents::command))
        .route("/v1/studies/{study}/randomisation", get(randomisation::list))
        .route("/v1/studies/{study}/randomisation/{list}", post(randomisation::command))
        .route("/v1/studies/{study}/randomisation/{list}/reveal", get(randomisation::reveal))
        .with_state(commands)
}

#[cfg(test)]
mod tests;
