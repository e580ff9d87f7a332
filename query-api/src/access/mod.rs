//! Who was shown whose data: recorded before the first byte leaves, and shown to who may ask (ADR 0041).
//!
//! `layer` stands around every route and makes one entry of each answer, `log` stores it, `views` shows what is on
//! record. No log, no look: what cannot be recorded is not shown.

mod layer;
mod log;
pub(crate) mod views;

pub use layer::logged;
pub use log::{AccessLog, Entry};

pub(crate) use views::routes;
