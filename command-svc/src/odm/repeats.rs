//! Repeat keys to occurrences counted from 1: ODM allows any text where the domain counts.

use std::collections::BTreeMap;

/// More occurrences than any visit schedule has; a larger number is an id and not a count.
const OCCURRENCE_MAX: u32 = 1_000_000;

/// The occurrence of one key, and whether its own text said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) number: u32,
    pub(super) counted: bool,
}

/// Numbers the keys of each `scope`. A key that is a number from 1 up keeps it, unless another key has it already; the
/// others follow the largest, in order of appearance. No key at all is the first occurrence.
pub(super) fn occurrences<S: Ord + Clone>(keys: &[(S, Option<String>)]) -> BTreeMap<(S, Option<String>), Occurrence> {
    let mut found: BTreeMap<(S, Option<String>), Occurrence> = BTreeMap::new();
    let mut taken: BTreeMap<S, BTreeMap<u32, Option<String>>> = BTreeMap::new();
    for (scope, key) in keys {
        let Some(number) = as_number(key.as_deref()) else {
            continue;
        };
        let owner = taken.entry(scope.clone()).or_default().entry(number).or_insert_with(|| key.clone());
        // No key and the key "1" mean the same occurrence; "01" beside "1" does not.
        if owner == key || (key.is_none() || owner.is_none()) {
            found.insert((scope.clone(), key.clone()), Occurrence { number, counted: false });
        }
    }
    for (scope, key) in keys {
        found.entry((scope.clone(), key.clone())).or_insert_with(|| {
            let numbers = taken.entry(scope.clone()).or_default();
            let number = numbers.last_key_value().map_or(1, |(last, _)| last + 1);
            numbers.insert(number, key.clone());
            Occurrence { number, counted: true }
        });
    }
    found
}

fn as_number(key: Option<&str>) -> Option<u32> {
    match key {
        None => Some(1),
        Some(text) => text.parse().ok().filter(|number| (1..=OCCURRENCE_MAX).contains(number)),
    }
}
