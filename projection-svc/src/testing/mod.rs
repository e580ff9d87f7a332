//! Tests as data: a story of facts, the world that folds it, and what its readers say.

mod fakes;
mod story;
mod world;

pub use fakes::{FakeCells, FakeJournal, FakeKeys, MemoryStore, NoErasures};
pub use story::{Story, actor, details, label, participant, site, tenant};
pub use world::World;

/// A value as the API would write it.
pub fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("plain data with text keys")
}
