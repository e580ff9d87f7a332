//! The only file that knows old shapes. An event is opened first, then upcast, then decoded,
//! so a step here sees plain JSON and need not know about keys.

use std::borrow::Cow;

use crate::history::{Aggregate, OpenEvent};

/// Brings an event to today's shape, one version at a time.
pub fn upcast(aggregate: Aggregate, event: &OpenEvent) -> Cow<'_, OpenEvent> {
    // Every shape ever written is still today's. The first old one adds a match on
    // (aggregate, name, version) here and a fixture in tests/it/fixtures.
    let _ = aggregate;
    Cow::Borrowed(event)
}
