use super::queries::{at_item, item, opened, query, started, text};
use super::*;
use crate::participant::{Held, VisitKey};
use crate::study::{Database, StudyLocks};

fn places() -> [Place; 4] {
    [Place::Participant, Place::Visit(form().visit()), Place::Form(form()), at_item()]
}

fn frozen(place: Place) -> Event {
    Event::Frozen { place, reason: None }
}

fn locked(place: Place) -> Event {
    Event::Locked { place, reason: None }
}

fn change() -> Command {
    save(vec![to_save("SYSBP", Some("130"), Some("typo"))])
}

fn verify() -> Command {
    Command::Verify { form: form(), items: vec![] }
}

fn manager(news: impl IntoIterator<Item = Event>) -> Given<Participant> {
    started(news).by(principal(Role::DataManager, 5))
}

fn study(locks: StudyLocks) -> Study {
    let mut study = live_study();
    if let Study::Live { setup, .. } = &mut study {
        setup.locks = locks;
    }
    study
}

#[test]
fn no_value_changes_below_what_is_frozen_or_locked() {
    for place in places() {
        started([frozen(place.clone())]).expecting(3).when(change()).rejected("frozen");
        started([locked(place.clone())]).expecting(3).when(change()).rejected("locked");
        let unfrozen = Event::Unfrozen { place: place.clone(), reason: text("new") };
        started([frozen(place.clone()), unfrozen]).expecting(3).when(change()).facts();
        let unlocked = Event::Unlocked { place: place.clone(), reason: text("new") };
        started([locked(place), unlocked]).expecting(3).when(change()).facts();
    }
    let other = Place::Item(ItemPlace::of(&form(), &item("AETERM")));
    started([locked(other)]).expecting(3).when(change()).facts();
}

#[test]
fn what_is_held_is_not_taken_along_by_what_is_around_it() {
    let remove = || Command::RemoveForm { form: form(), reason: "the wrong form".into() };
    let miss = || Command::MissVisit { visit: form().visit(), reason: "ill".into() };
    for place in [Place::Form(form()), at_item()] {
        for command in [remove(), miss()] {
            started([frozen(place.clone())]).expecting(3).when(command.clone()).rejected("frozen");
            started([locked(place.clone())]).expecting(3).when(command.clone()).rejected("locked");
            let unlocked = Event::Unlocked { place: place.clone(), reason: text("new") };
            let removed = Event::FormRemoved { form: form(), reason: text("the wrong form") };
            let news = [locked(place.clone()), unlocked].into_iter();
            match command {
                Command::RemoveForm { .. } => started(news).expecting(3).when(command).facts(),
                _ => started(news.chain([removed])).expecting(3).when(command).facts(),
            };
        }
    }
    let other = Place::Visit(VisitKey { visit_repeat: 2, ..form().visit() });
    started([locked(other)]).expecting(3).when(remove()).facts();
}

#[test]
fn what_a_site_or_the_study_holds_is_held_in_the_record() {
    let of_site = |held| StudyLocks { sites: [(site("oslo"), held)].into(), ..StudyLocks::default() };
    let of_study = |held| StudyLocks { study: Some(held), ..StudyLocks::default() };
    for (held, code) in [(Held::Frozen, "frozen"), (Held::Locked, "locked")] {
        for locks in [of_site(held), of_study(held)] {
            started([]).governed(study(locks.clone())).expecting(3).when(change()).rejected(code);
            let register = Command::Register { site: site("oslo"), subject_number: "002".parse().expect("valid") };
            record([]).governed(study(locks)).when(register).rejected(code);
        }
    }
    let elsewhere = StudyLocks { sites: [(site("bergen"), Held::Locked)].into(), ..StudyLocks::default() };
    started([]).governed(study(elsewhere)).expecting(3).when(change()).facts();
}

#[test]
fn a_hold_is_placed_and_released_once_with_a_reason_for_the_release() {
    for place in places() {
        let freeze = Command::Freeze { place: place.clone(), reason: None };
        let lock = Command::Lock { place: place.clone(), reason: None };
        let unfreeze = |why: &str| Command::Unfreeze { place: place.clone(), reason: why.into() };
        let unlock = |why: &str| Command::Unlock { place: place.clone(), reason: why.into() };
        manager([]).when(freeze.clone()).then([frozen(place.clone())]);
        manager([frozen(place.clone())]).when(freeze.clone()).then([]);
        manager([locked(place.clone())]).when(freeze).rejected("locked");
        manager([frozen(place.clone())]).when(lock.clone()).then([locked(place.clone())]);
        manager([locked(place.clone())]).when(lock).then([]);
        manager([frozen(place.clone())]).when(unfreeze(" ")).rejected("reason-required");
        let unfrozen = Event::Unfrozen { place: place.clone(), reason: text("new") };
        manager([frozen(place.clone())]).when(unfreeze("new")).then([unfrozen]);
        manager([locked(place.clone())]).when(unfreeze("new")).rejected("locked");
        manager([locked(place.clone())]).when(unlock(" ")).rejected("reason-required");
        let unlocked = Event::Unlocked { place: place.clone(), reason: text("new") };
        manager([locked(place.clone())]).when(unlock("new")).then([unlocked]);
        manager([]).when(unlock("new")).then([]);
    }
    let inner = Command::Unlock { place: at_item(), reason: "new".into() };
    manager([locked(at_item()), locked(Place::Form(form()))]).when(inner).rejected("locked");
}

#[test]
fn frozen_data_is_asked_about_verified_and_answered_for_and_locked_data_is_not() {
    let open = || Command::OpenQuery {
        place: at_item(),
        kind: QueryKind::Manual,
        text: "Sure?".into(),
        to: None,
        candidate: false,
    };
    let answer = || Command::AnswerQuery { query: query(), text: "Yes".into() };
    manager([frozen(Place::Form(form()))]).when(open()).facts();
    manager([frozen(Place::Form(form()))]).when(verify()).facts();
    started([opened(Role::Monitor), frozen(Place::Form(form()))]).when(answer()).facts();
    for place in [Place::Form(form()), Place::Participant] {
        manager([locked(place.clone())]).when(open()).rejected("locked");
        manager([locked(place.clone())]).when(verify()).rejected("locked");
        // Such a lock cannot come about here; a study or a site can be locked over an open query.
        started([opened(Role::Monitor), locked(place)]).when(answer()).rejected("locked");
    }
}

#[test]
fn nothing_is_locked_over_a_query_that_could_then_not_be_answered() {
    let lock = |place| Command::Lock { place, reason: None };
    let closed = Event::QueryClosed { query: query(), by_check: false, text: None };
    for place in places() {
        manager([opened(Role::Monitor)]).when(lock(place.clone())).rejected("open-queries");
        manager([opened(Role::Monitor), closed.clone()]).when(lock(place)).facts();
    }
    let other = Place::Item(ItemPlace::of(&form(), &item("AETERM")));
    manager([opened(Role::Monitor)]).when(lock(other)).facts();
}

#[test]
fn a_locked_database_takes_nothing_but_what_a_person_may_always_ask_for() {
    let locked = || study(StudyLocks { database: Database::Locked, ..StudyLocks::default() });
    let refused = [
        change(),
        verify(),
        Command::AnswerQuery { query: query(), text: "Yes".into() },
        Command::Freeze { place: at_item(), reason: None },
        Command::Unlock { place: at_item(), reason: "new".into() },
    ];
    for command in refused {
        manager([opened(Role::Monitor)]).governed(locked()).expecting(3).when(command).rejected("database-locked");
    }
    for command in [Command::Withdraw { reason: None }, Command::WithdrawConsent { reason: None }] {
        started([]).governed(locked()).when(command).facts();
    }
    let fence = Command::Fence {
        erasure: ErasureId(uuid::Uuid::nil()),
        scopes: [Scope::HealthClinical].into(),
        values: BTreeSet::new(),
    };
    started([]).governed(locked()).when(fence).facts();
}

#[test]
fn once_the_lock_of_the_database_is_asked_for_what_hinders_it_only_gets_less() {
    let asked = || {
        let somebody = principal(Role::DataManager, 1).actor.id;
        let database = Database::LockAsked(somebody);
        study(StudyLocks { study: Some(Held::Frozen), database, ..StudyLocks::default() })
    };
    let (verified, waits) = (Event::Verified { form: form(), items: vec![item("SYSBP")] }, opened(Role::DataManager));
    let closed = Event::QueryClosed { query: query(), by_check: false, text: None };
    let open = Command::OpenQuery {
        place: Place::Participant,
        kind: QueryKind::Manual,
        text: "?".into(),
        to: None,
        candidate: false,
    };
    let reopen = Command::ReopenQuery { query: query(), text: "?".into() };
    let withdraw = Command::WithdrawVerification { form: form(), items: vec![], reason: "?".into() };
    manager([]).governed(asked()).when(open).rejected("database-lock-asked");
    manager([waits.clone(), closed.clone()]).governed(asked()).when(reopen).rejected("database-lock-asked");
    manager([verified]).governed(asked()).when(withdraw).rejected("database-lock-asked");
    manager([waits]).governed(asked()).when(Command::CloseQuery { query: query(), text: None }).then([closed]);
    manager([]).governed(asked()).when(verify()).facts();
}
