use super::*;
use crate::history::Revision;

/// Approved without accepting a single copy, and committed.
fn waiting() -> Vec<Event> {
    let mut facts = carried_out(2);
    facts[2] = approved(false);
    facts
}

fn moment(text: &str) -> Moment {
    serde_json::from_value(text.into()).expect("a moment")
}

fn scheduled(text: &str) -> Event {
    Event::DestructionScheduled { erasure: E, until: moment(text) }
}

const LATER: &str = "2026-12-22T12:00:00Z";

#[test]
fn with_a_copy_elsewhere_the_keys_go_without_a_word() {
    let destroy = record(Step::KeysDestroyed { destroyed: destroyed(), copy: TreeCopies::OffSite });
    let facts = orders(waiting()).by(platform()).when(destroy).facts();
    assert!(matches!(&facts[..], [Event::KeysDestroyed { keys: 2, copy: TreeCopies::OffSite, .. }]), "{facts:?}");
}

#[test]
fn keys_of_which_nothing_is_said_are_not_destroyed() {
    let one = destroyed().into_iter().take(1).collect();
    let destroy = record(Step::KeysDestroyed { destroyed: one, copy: TreeCopies::OffSite });
    orders(waiting()).by(platform()).when(destroy).rejected("not-destroyed");
}

#[test]
fn a_kms_with_a_pending_window_is_waited_for_and_the_date_is_kept() {
    let schedule = |text, copy| record(Step::DestructionScheduled { until: moment(text), copy });
    let single = schedule(LATER, TreeCopies::Single);
    orders(waiting()).by(platform()).when(single).rejected("no-off-site-copy");
    let ask = || schedule(LATER, TreeCopies::OffSite);
    orders(waiting()).by(platform()).when(ask()).then([scheduled(LATER)]);
    let before = || waiting().into_iter().chain([scheduled(LATER)]);
    orders(before()).by(platform()).when(ask()).then([]);
    let much_later = schedule("2027-12-22T12:00:00Z", TreeCopies::OffSite);
    orders(before()).by(platform()).when(much_later).then([scheduled("2027-12-22T12:00:00Z")]);
    let mut state = Privacy::default();
    before().for_each(|event| state.evolve(&event, Revision(1).into()));
    let Some(Next::DestroyKeys(doomed)) = state.next(E) else { panic!("{:?}", state.next(E)) };
    assert_eq!(doomed.not_before, Some(moment(LATER)));
    let destroy = record(Step::KeysDestroyed { destroyed: destroyed(), copy: TreeCopies::OffSite });
    for event in orders(before()).by(platform()).when(destroy).facts() {
        state.evolve(&event, Revision(2).into());
    }
    let Stage::KeysDestroyed(done) = &state.erasures[&E].stage else { panic!("{:?}", state.erasures) };
    assert_eq!((done.scheduled, done.targets.len()), (Some(moment(LATER)), 2));
}

#[test]
fn the_platform_goes_on_where_the_record_is_lost() {
    let begin = || given::<Privacy>(carried_out(0)).when(record(Step::Begun {}));
    begin().rejected("no-such-participant");
    let lost = given::<Privacy>(carried_out(0)).by(platform()).when(record(Step::Begun {}));
    lost.then([Event::ErasureBegun { erasure: E }]);
}
