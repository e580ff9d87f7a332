//! One process alone: every way through the machine. All interleavings: `model`.

use uuid::Uuid;

use super::*;

const HERE: InstallationId = InstallationId(Uuid::from_u128(1));
const ELSEWHERE: InstallationId = InstallationId(Uuid::from_u128(2));

fn head(shipped: u64, reserved: Option<u64>) -> Head {
    Head { site: HERE, shipped, reserved }
}

fn head_is(shipped: u64, reserved: Option<u64>) -> Answer {
    Answer::Head(Some(head(shipped, reserved)))
}

fn tree_is(root: u64, is_due: bool) -> Answer {
    Answer::Tree(Tree { root, is_due })
}

fn roots<const N: usize>(numbers: [u64; N]) -> BTreeSet<u64> {
    BTreeSet::from(numbers)
}

fn reserve(shipped: u64, root: u64) -> Ask {
    Ask::Reserve { from: head(shipped, None), root }
}

fn create(root: u64) -> Ask {
    Ask::CreateRoot { root }
}

fn write(from: u64, root: u64) -> Ask {
    Ask::WriteTree { from, root }
}

fn ship(shipped: u64, root: u64) -> Ask {
    Ask::Ship { from: head(shipped, Some(root)), root }
}

fn destroy<const N: usize>(numbers: [u64; N]) -> Ask {
    Ask::Destroy { roots: roots(numbers) }
}

/// Plays a rotation: what it must ask for, and what it is answered.
fn play(script: impl IntoIterator<Item = (Ask, Answer)>) -> Rotation {
    script.into_iter().enumerate().fold(Rotation::begin(HERE), |rotation, (at, (ask, answer))| {
        assert_eq!(rotation.ask(), Ok(ask), "step {at}");
        rotation.answer(answer)
    })
}

/// From the head and the tree as they are at first, to a rotation that has shipped root 2.
fn shipped_two() -> Vec<(Ask, Answer)> {
    vec![(Ask::ReadHead, head_is(1, Some(2))), (Ask::ReadTree, tree_is(2, false)), (ship(1, 2), Answer::Accepted)]
}

/// The last look: nothing lives but what the head needs.
fn last_look(root: u64) -> [(Ask, Answer); 2] {
    [(Ask::ListRoots, Answer::Roots(roots([root]))), (Ask::ReadHead, head_is(root, None))]
}

#[test]
fn a_fresh_rotation_reserves_creates_writes_ships_lists_reads_back_destroys_and_lists_again() {
    let done = play(
        [
            (Ask::ReadHead, head_is(1, None)),
            (Ask::ReadTree, tree_is(1, true)),
            (reserve(1, 2), Answer::Accepted),
            (create(2), Answer::Accepted),
            (write(1, 2), Answer::Accepted),
            (ship(1, 2), Answer::Accepted),
            (Ask::ListRoots, Answer::Roots(roots([1, 2]))),
            (Ask::ReadHead, head_is(2, None)),
            (Ask::ReadBack, tree_is(2, false)),
            (destroy([1]), Answer::Accepted),
        ]
        .into_iter()
        .chain(last_look(2)),
    );
    assert_eq!(done.ask(), Err(End::Done { root: 2 }));
}

#[test]
fn an_ended_rotation_stays_ended() {
    let superseded = play([(Ask::ReadHead, Answer::Head(Some(Head { site: ELSEWHERE, ..head(1, None) })))]);
    assert_eq!(superseded.ask(), Err(End::Superseded));
    assert_eq!(superseded.ask(), Err(End::Superseded), "asking changes nothing");
}

#[test]
fn with_nothing_to_do_it_only_cleans() {
    let done = play(
        [
            (Ask::ReadHead, head_is(3, None)),
            (Ask::ReadTree, tree_is(3, false)),
            (Ask::ListRoots, Answer::Roots(roots([1, 3, 7]))),
            (Ask::ReadHead, head_is(3, None)),
            (Ask::ReadBack, tree_is(3, false)),
            (destroy([1, 7]), Answer::Accepted),
        ]
        .into_iter()
        .chain(last_look(3)),
    );
    assert_eq!(done.ask(), Err(End::Done { root: 3 }));
}

#[test]
fn a_reservation_is_taken_over_before_the_tree_was_written() {
    let next = play([(Ask::ReadHead, head_is(1, Some(5))), (Ask::ReadTree, tree_is(1, true))]);
    assert_eq!(next.ask(), Ok(create(5)));
}

#[test]
fn a_reservation_is_taken_over_after_the_tree_was_written() {
    let next = play(shipped_two());
    assert_eq!(next.ask(), Ok(Ask::ListRoots));
}

#[test]
fn a_reservation_is_left_alone_with_nothing_to_write() {
    let done = play([
        (Ask::ReadHead, head_is(1, Some(2))),
        (Ask::ReadTree, tree_is(1, false)),
        (Ask::ListRoots, Answer::Roots(roots([1, 2]))),
        (Ask::ReadHead, head_is(1, Some(2))),
        (Ask::ReadTree, tree_is(1, false)),
    ]);
    assert_eq!(done.ask(), Err(End::Done { root: 1 }), "neither the shipped nor the reserved root dies");
}

#[test]
fn a_lost_answer_to_the_reservation_is_found_on_the_head() {
    let next = play([
        (Ask::ReadHead, head_is(1, None)),
        (Ask::ReadTree, tree_is(1, true)),
        (reserve(1, 2), Answer::Moved),
        (Ask::ReadHead, head_is(1, Some(2))),
        (Ask::ReadTree, tree_is(1, true)),
    ]);
    assert_eq!(next.ask(), Ok(create(2)));
}

#[test]
fn a_lost_answer_to_the_shipping_is_found_on_the_head() {
    let next = play([
        (Ask::ReadHead, head_is(1, Some(2))),
        (Ask::ReadTree, tree_is(2, false)),
        (ship(1, 2), Answer::Moved),
        (Ask::ReadHead, head_is(2, None)),
        (Ask::ReadTree, tree_is(2, false)),
    ]);
    assert_eq!(next.ask(), Ok(Ask::ListRoots), "the old roots are still to be destroyed");
}

#[test]
fn a_tree_that_another_process_wrote_is_begun_anew() {
    let next = play([
        (Ask::ReadHead, head_is(1, Some(2))),
        (Ask::ReadTree, tree_is(1, true)),
        (create(2), Answer::Accepted),
        (write(1, 2), Answer::Moved),
    ]);
    assert_eq!(next.ask(), Ok(Ask::ReadHead));
}

#[test]
fn another_site_may_take_the_head_at_any_look() {
    let elsewhere = || Answer::Head(Some(Head { site: ELSEWHERE, ..head(2, Some(3)) }));
    let mut late = shipped_two();
    late.push((Ask::ListRoots, Answer::Roots(roots([1, 2]))));
    late.push((Ask::ReadHead, elsewhere()));
    for script in [vec![(Ask::ReadHead, elsewhere())], late] {
        assert_eq!(play(script).ask(), Err(End::Superseded), "nothing is destroyed");
    }
}

#[test]
fn without_a_head_the_tree_is_foreign() {
    assert_eq!(play([(Ask::ReadHead, Answer::Head(None))]).ask(), Err(End::Foreign));
}

#[test]
fn a_tree_that_the_head_does_not_know_is_foreign() {
    for reserved in [None, Some(6)] {
        let foreign = play([
            (Ask::ReadHead, head_is(5, reserved)),
            (Ask::ReadTree, tree_is(3, true)),
            (Ask::ReadHead, head_is(5, reserved)),
        ]);
        assert_eq!(foreign.ask(), Err(End::Foreign));
    }
}

#[test]
fn a_tree_that_does_not_fit_is_no_alarm_if_the_head_has_moved_meanwhile() {
    let next = play([
        (Ask::ReadHead, head_is(1, None)),
        (Ask::ReadTree, tree_is(2, false)),
        (Ask::ReadHead, head_is(2, None)),
        (Ask::ReadTree, tree_is(2, false)),
    ]);
    assert_eq!(next.ask(), Ok(Ask::ListRoots));
}

#[test]
fn roots_that_nobody_knows_are_destroyed_until_none_comes_to_light() {
    let next = play(shipped_two().into_iter().chain([
        (Ask::ListRoots, Answer::Roots(roots([1, 2]))),
        (Ask::ReadHead, head_is(2, None)),
        (Ask::ReadBack, tree_is(2, false)),
        (destroy([1]), Answer::Accepted),
        (Ask::ListRoots, Answer::Roots(roots([2, 9]))),
        (Ask::ReadHead, head_is(2, None)),
        (Ask::ReadBack, tree_is(2, false)),
    ]));
    assert_eq!(next.ask(), Ok(destroy([9])));
}

#[test]
fn nothing_is_destroyed_that_the_tree_is_under() {
    let next = play(shipped_two().into_iter().chain([
        (Ask::ListRoots, Answer::Roots(roots([1, 2]))),
        (Ask::ReadHead, head_is(2, None)),
        (Ask::ReadBack, tree_is(1, false)),
    ]));
    assert_eq!(next.ask(), Ok(Ask::ReadHead));
}

/// What was read back under a root that is not the shipped one, or with something left in it, proves nothing.
#[test]
fn the_tree_is_looked_at_once_more_unless_what_was_read_back_is_what_is_shipped() {
    for (back, head_then) in [(tree_is(2, true), head_is(2, None)), (tree_is(2, false), head_is(3, None))] {
        let next = play(shipped_two().into_iter().chain([
            (Ask::ListRoots, Answer::Roots(roots([1, 2]))),
            (Ask::ReadHead, head_is(2, None)),
            (Ask::ReadBack, back),
            (destroy([1]), Answer::Accepted),
            (Ask::ListRoots, Answer::Roots(roots([]))),
            (Ask::ReadHead, head_then),
        ]));
        assert_eq!(next.ask(), Ok(Ask::ReadHead), "begun anew");
    }
}

#[test]
fn the_root_that_another_rotation_has_reserved_meanwhile_is_spared() {
    let next = play(shipped_two().into_iter().chain([
        (Ask::ListRoots, Answer::Roots(roots([1, 2, 3]))),
        (Ask::ReadHead, head_is(2, Some(3))),
        (Ask::ReadBack, tree_is(2, false)),
    ]));
    assert_eq!(next.ask(), Ok(destroy([1])));
}

#[test]
fn it_is_not_done_while_something_is_still_to_go() {
    let next = play(shipped_two().into_iter().chain([
        (Ask::ListRoots, Answer::Roots(roots([2]))),
        (Ask::ReadHead, head_is(2, None)),
        (Ask::ReadTree, tree_is(2, true)),
        (Ask::ReadHead, head_is(2, None)),
        (Ask::ReadTree, tree_is(2, true)),
    ]));
    assert_eq!(next.ask(), Ok(reserve(2, 3)));
}

#[test]
fn it_is_not_done_while_the_live_tree_is_under_another_root_than_the_shipped_one() {
    let next = play(shipped_two().into_iter().chain([
        (Ask::ListRoots, Answer::Roots(roots([2]))),
        (Ask::ReadHead, head_is(2, None)),
        (Ask::ReadTree, tree_is(3, false)),
        (Ask::ReadHead, head_is(2, Some(3))),
        (Ask::ReadTree, tree_is(3, false)),
    ]));
    assert_eq!(next.ask(), Ok(ship(2, 3)), "what is gone from the live tree is still in the shipped one");
}

#[test]
fn an_answer_that_does_not_belong_to_the_question_begins_anew() {
    let answers = [tree_is(1, true), Answer::Accepted, Answer::Moved];
    for answer in answers {
        assert_eq!(Rotation::begin(HERE).answer(answer).ask(), Ok(Ask::ReadHead));
    }
}

#[test]
fn a_restored_site_reserves_above_everything_that_was_ever_reserved_or_lives() {
    let taken = |reserved, live| head(4, reserved).taken_by(ELSEWHERE, &live);
    assert_eq!(taken(None, roots([4])), Head { site: ELSEWHERE, shipped: 4, reserved: Some(5) });
    assert_eq!(taken(Some(6), roots([4])).reserved, Some(7), "the site before may still create the root 6");
    assert_eq!(taken(Some(5), roots([4, 5, 9])).reserved, Some(10));
    assert_eq!(taken(None, roots([])).reserved, Some(5));
}

#[test]
fn a_head_is_the_same_after_it_was_written_and_read() {
    let written = serde_json::to_string(&head(4, Some(5))).expect("a head is plain data");
    assert_eq!(
        written, r#"{"site":"00000000-0000-0000-0000-000000000001","shipped":4,"reserved":5}"#,
        "it lies off-site for years"
    );
    assert_eq!(serde_json::from_str::<Head>(&written).expect("what was written can be read"), head(4, Some(5)));
}
