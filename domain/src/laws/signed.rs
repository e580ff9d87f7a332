//! A signature holds as long as nothing of what it covers changes, and not a commit longer.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ids::SignatureId;
use crate::participant::{Event, FormKey, Participant, Place};

/// The form that a fact changes: its values, or whether it counts at all.
fn changes(fact: &Event) -> Option<&FormKey> {
    match fact {
        Event::ItemsSaved { form, .. } | Event::FormRemoved { form, .. } | Event::FormRestored { form, .. } => {
            Some(form)
        }
        _ => None,
    }
}

/// For each signature that was given: whether something that it covers changed in a later commit.
fn outdated(facts: &[(Revision, Event)]) -> BTreeMap<SignatureId, bool> {
    let given = facts.iter().filter_map(|(revision, fact)| match fact {
        Event::Signed { signature, place, .. } => Some((*revision, signature.clone(), place.clone())),
        _ => None,
    });
    let changed_after = |signed: Revision, place: &Place| {
        let later = facts.iter().filter(|(revision, _)| *revision > signed);
        // The two versions of these histories define the only form otherwise.
        let anew = |fact: &Event| matches!(fact, Event::DesignMigrated { .. });
        later.map(|(_, fact)| fact).any(|fact| anew(fact) || changes(fact).is_some_and(|form| place.touches(form)))
    };
    given.map(|(revision, signature, place)| (signature, changed_after(revision, &place))).collect()
}

proptest! {
    #[test]
    fn a_signature_holds_if_and_only_if_nothing_it_covers_changed((above, acts) in acts::<Participant>()) {
        let played = play::<Participant>(above, acts);
        for end in 0..=played.facts.len() {
            // The facts of one decision are one commit: nobody sees the state between them.
            if played.facts.get(end).is_some_and(|(next, _)| end > 0 && played.facts[end - 1].0 == *next) {
                continue;
            }
            let facts = &played.facts[..end];
            let state: Participant = fold(facts);
            let signatures = state.record().map(|record| record.signatures.0.clone()).unwrap_or_default();
            let dropped: BTreeMap<_, _> =
                signatures.iter().map(|(id, signature)| (id.clone(), signature.dropped.is_some())).collect();
            prop_assert_eq!(dropped, outdated(facts));
        }
    }
}

/// Both happen in random histories: otherwise the law above would hold of records that nobody signs.
#[test]
fn signatures_are_given_and_dropped_in_these_histories() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..2000 {
        let (above, acts) = acts::<Participant>().new_tree(&mut runner).expect("a history").current();
        seen.extend(outdated(&play::<Participant>(above, acts).facts).into_values());
    }
    assert_eq!(seen, [false, true].into());
}
