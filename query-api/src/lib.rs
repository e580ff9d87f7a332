//! Reads over HTTP: one view, one file (path, parameters, answer).
//!
//! A view never opens what the caller's role may not see, and never answers from before `min_position`.

pub mod access;
mod answer;
mod audit;
#[cfg(test)]
mod blinding;
mod casebook;
mod datasets;
mod description;
mod desk;
mod erasures;
mod events;
mod exports;
mod figures;
mod identity;
mod incidents;
mod matrix;
mod overview;
mod participants;
mod queries;
pub mod rave;
mod signatures;
mod studies;
mod trail;
mod unusual;

use std::sync::Arc;

use axum::Router;

pub use description::openapi;
pub use desk::Queries;

/// All views, behind whatever authentication the composition root puts around them.
pub fn router(queries: Arc<Queries>) -> Router {
    Router::new()
        .merge(studies::routes())
        .merge(overview::routes())
        .merge(figures::routes())
        .merge(participants::routes())
        .merge(casebook::routes())
        .merge(matrix::routes())
        .merge(queries::routes())
        .merge(signatures::routes())
        .merge(identity::routes())
        .merge(audit::routes())
        .merge(trail::routes())
        .merge(unusual::routes())
        .merge(events::routes())
        .merge(erasures::routes())
        .merge(exports::routes())
        .merge(datasets::routes())
        .merge(access::routes())
        .merge(incidents::routes())
        .with_state(queries)
}
