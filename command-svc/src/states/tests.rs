use domain::history::{Aggregate, CommitHash, Revision};
use domain::participant::Participant;
use uuid::Uuid;

use super::*;

fn tenant(name: &str) -> TenantId {
    name.parse().expect("valid")
}

fn stream_of(name: &str, n: u128) -> StreamId {
    StreamId::in_tenant(&tenant(name), Aggregate::Participant, Uuid::from_u128(n))
}

fn stream(n: u128) -> StreamId {
    stream_of("acme", n)
}

fn known(revision: u64, bytes: usize) -> Known<Participant> {
    let tail = Tail { revision: Revision(revision), hash: CommitHash([1; 32]) };
    Known { tail, bytes, ..Known::default() }
}

fn revision(states: &States, stream: &StreamId, vouched: u64) -> Option<u64> {
    states.take::<Participant>(stream, vouched).map(|known| known.tail.revision.0)
}

#[test]
fn no_more_are_kept_than_may_be_and_the_longest_unused_go_first() {
    let states = States::bounded(3, usize::MAX);
    for n in 0..3 {
        states.put(&stream(n), 1, known(1, 10));
    }
    // Used again: now the second one is the oldest.
    let first = states.take::<Participant>(&stream(0), 1).expect("kept");
    states.put(&stream(0), 1, first);
    states.put(&stream(3), 1, known(1, 10));
    assert_eq!(states.held(), (3, 30));
    let kept: Vec<u128> = (0..4).filter(|n| revision(&states, &stream(*n), 1).is_some()).collect();
    assert_eq!(kept, [0, 2, 3]);
    assert_eq!(states.held(), (0, 0));
}

#[test]
fn they_are_bounded_by_what_they_take_as_well() {
    let states = States::bounded(1000, 100);
    for n in 0..50 {
        states.put(&stream(n), 1, known(1, 30));
        assert!(states.held().1 <= 100, "{:?}", states.held());
    }
    assert_eq!(states.held(), (3, 90));
    states.put(&stream(99), 1, known(1, 101));
    assert_eq!((states.held(), revision(&states, &stream(99), 1)), ((3, 90), None), "too large to be kept at all");
    states.put(&stream(49), 1, known(2, 100));
    assert_eq!((states.held(), revision(&states, &stream(49), 1)), ((1, 100), Some(2)), "counted once when it grows");
}

#[test]
fn what_was_read_before_a_fence_is_not_handed_out_after_it() {
    let states = States::default();
    states.put(&stream(1), 1, known(3, 10));
    assert_eq!((revision(&states, &stream(1), 2), states.held()), (None, (0, 0)));
}

#[test]
fn the_later_of_two_stays() {
    let states = States::default();
    for (put, stays) in [(3, 3), (2, 3), (4, 4)] {
        states.put(&stream(1), 1, known(put, 10));
        let known = states.take::<Participant>(&stream(1), 1).expect("kept");
        assert_eq!(known.tail.revision.0, stays);
        states.put(&stream(1), 1, known);
    }
    states.put(&stream(2), 1, Known::<Participant>::default());
    assert_eq!(states.held().0, 1, "nothing is kept of a stream that is not there");
}

#[test]
fn a_person_is_forgotten_and_a_sweep_leaves_what_is_vouched_for() {
    let states = States::default();
    let other = stream_of("other", 1);
    for (stream, vouched) in [(stream(1), 1), (stream(2), 1), (stream(3), 2), (other.clone(), 1)] {
        states.put(&stream, vouched, known(1, 10));
    }
    assert_eq!(states.tenants(), [tenant("acme"), tenant("other")]);
    states.forget(stream(1).data_subject().expect("a person"));
    assert_eq!(states.held().0, 2, "in each study and tenant");
    states.sweep(&tenant("acme"), Some(2));
    assert_eq!(states.held().0, 1);
    assert_eq!(revision(&states, &stream(3), 2), Some(1));
    states.put(&stream(3), 2, known(1, 10));
    states.put(&other, 1, known(1, 10));
    states.sweep(&tenant("acme"), None);
    assert_eq!((states.held().0, states.tenants()), (1, vec![tenant("other")]));
}

#[test]
fn what_nobody_uses_goes_in_time() {
    let states = States::default();
    let round = |states: &States| {
        states.begin_sweep();
        states.sweep(&tenant("acme"), Some(1));
    };
    states.put(&stream(1), 1, known(1, 10));
    states.put(&stream(2), 1, known(1, 10));
    (0..SWEEPS_UNUSED_MAX).for_each(|_| round(&states));
    let used = states.take::<Participant>(&stream(1), 1).expect("kept so long");
    states.put(&stream(1), 1, used);
    round(&states);
    assert_eq!((states.held().0, revision(&states, &stream(1), 1)), (1, Some(1)));
}
