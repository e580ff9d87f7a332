//! The desk: the pages that people work at.
//!
//! A page knows nothing by itself. What it shows it asks the API for, inside the process, with the session of the one who
//! looks; what it is told to do it sends there as a command. So what somebody may see or do is decided in one place, and this
//! crate holds neither a key nor a port to data (ADR 0040).
//!
//! - [`router`]: the addresses. `pages`: one file a part of the desk. `model`: what is read of the API's answers.
//! - `api`: asks. `frame`: what every page shares. `guard`: headers, and from where a form may come. `fields`: forms as sent.
//! - `words`: every text, from `words/en.txt`. `chart`: pictures. `assets`: what a page loads, all of it from here.

mod api;
mod assets;
mod chart;
mod fields;
mod frame;
mod guard;
mod model;
mod pages;
mod trouble;
mod words;

use std::sync::Arc;

use axum::Router;
use domain::port::{Clock, Credentials, Dice};

/// What the desk is put together from.
pub struct Parts {
    /// The API, with its authentication: what every page asks.
    pub api: Router,
    /// Who stands behind a session: whose page it is.
    pub credentials: Arc<dyn Credentials>,
    /// Which day it is: how long is left.
    pub clock: Arc<dyn Clock>,
    /// Ids of what is begun here.
    pub dice: Arc<dyn Dice>,
    /// Whether people come by TLS.
    pub tls: bool,
}

/// All pages.
pub fn router(parts: Parts) -> Router {
    let tls = parts.tls;
    guard::guarded(pages::routes().with_state(Arc::new(parts)), tls)
}

#[cfg(test)]
mod tests;
