//! Tests as data: a story of facts, the world that folds it, and what its readers say.

mod fakes;
mod story;
mod world;

pub(crate) use fakes::{FakeCells, FakeJournal, FakeKeys, MemoryStore, NoErasures};
pub(crate) use story::{Story, details, label, participant, site, tenant};
pub(crate) use world::World;

/// A value as the API would write it.
pub(crate) fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("plain data with text keys")
}
