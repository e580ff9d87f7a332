//! The write side: load, fold, permit, decide, append; and again on a conflict.
//!
//! - [`execute`]: the one loop through which every command goes. [`governing`]: the state of the stream that governs.
//!   `states`: the states of persons' streams, kept as long as the keys that opened them are vouched for.
//! - [`router`]: the addresses, one file a resource; [`openapi`]: their description.
//! - `randomise`: has the next slot of a list given to a participant, across two streams.
//! - `lock`: goes through every record of a study before its database is locked.
//! - [`erasure`]: carries out what was approved, step by step, and goes on after a crash.
//! - [`admin`]: what only the platform does. [`odm`]: reads ODM 1.3.2 files.

pub mod admin;
pub mod commands;
pub mod erasure;
pub mod execute;
mod exports;
pub mod follow_up;
pub mod governing;
mod http;
mod lock;
mod migration;
mod numbers;
pub mod odm;
mod randomise;
pub mod refusal;
mod rehearse;
mod states;
#[cfg(test)]
mod testing;
mod turns;
mod values;
mod watch;

pub use commands::Commands;
pub use execute::{Done, Request};
pub use http::{openapi, read_line, router};
pub use refusal::Refusal;
pub use watch::{Rules, Watcher};
