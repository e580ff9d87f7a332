use super::super::Command;
use super::*;
use crate::ids::Environment;
use crate::permit::Role;
use crate::testing::{Given, given, label, principal, site};
use uuid::Uuid;

fn study(news: impl IntoIterator<Item = Event>) -> Given<Study> {
    let created = Event::Created { name: label("Cardio"), environment: Environment::Test };
    let opened = Event::SiteOpened { site: site("oslo"), name: label("Oslo") };
    // These facts are recorded by nobody: the one with the id of all zeros.
    given::<Study>([created, opened].into_iter().chain(news)).by(principal(Role::Controller, 5))
}

fn at(name: &str) -> Option<SiteId> {
    Some(site(name))
}

fn why() -> Label {
    label("for the analysis")
}

fn frozen(site: Option<SiteId>) -> Event {
    Event::DataFrozen { site, reason: None }
}

fn locked(site: Option<SiteId>) -> Event {
    Event::DataLocked { site, reason: None }
}

fn asked() -> Event {
    Event::DatabaseLockAsked { reason: why() }
}

fn database_locked() -> Event {
    Event::DatabaseLocked { participants: 2, digest: CommitHash([4; 32]) }
}

fn lock(blockers: u64) -> Command {
    Command::LockDatabase {
        checked: Some(Checked { participants: 2, blockers, digest: CommitHash([4; 32]), faults: vec![] }),
    }
}

#[test]
fn a_site_or_the_study_is_frozen_and_locked_and_let_go_with_a_reason() {
    for at in [None, at("oslo")] {
        let freeze = Command::FreezeData { site: at.clone(), reason: None };
        let lock = Command::LockData { site: at.clone(), reason: None };
        let unfreeze = Command::UnfreezeData { site: at.clone(), reason: why() };
        let unlock = Command::UnlockData { site: at.clone(), reason: why() };
        study([]).when(freeze.clone()).then([frozen(at.clone())]);
        study([frozen(at.clone())]).when(freeze.clone()).then([]);
        study([frozen(at.clone())]).when(lock.clone()).then([locked(at.clone())]);
        study([locked(at.clone())]).when(freeze).rejected("locked");
        study([frozen(at.clone())])
            .when(unfreeze.clone())
            .then([Event::DataUnfrozen { site: at.clone(), reason: why() }]);
        study([locked(at.clone())]).when(unfreeze).rejected("locked");
        study([locked(at.clone())])
            .when(unlock.clone())
            .then([Event::DataUnlocked { site: at.clone(), reason: why() }]);
        study([]).when(unlock).then([]);
    }
    study([]).when(Command::FreezeData { site: at("paris"), reason: None }).rejected("no-such-site");
}

#[test]
fn the_database_is_locked_by_two_persons_once_values_are_frozen_and_nothing_hinders() {
    let ask = || Command::AskDatabaseLock { reason: why() };
    study([]).when(ask()).rejected("not-frozen");
    study([frozen(at("oslo"))]).when(ask()).rejected("not-frozen");
    study([frozen(None)]).when(ask()).then([asked()]);
    study([frozen(None)]).when(lock(0)).rejected("lock-not-asked");
    let waits = || [frozen(None), asked()];
    study(waits()).by(principal(Role::Controller, 0)).when(lock(0)).rejected("same-person");
    study(waits()).when(Command::LockDatabase { checked: None }).rejected("not-checked");
    study(waits()).when(lock(1)).rejected("lock-blocked");
    study(waits()).when(lock(0)).then([database_locked()]);
    study(waits().into_iter().chain([database_locked()])).when(lock(0)).then([]);
}

#[test]
fn who_lets_values_change_takes_back_what_was_asked() {
    let unfrozen = Event::DataUnfrozen { site: None, reason: why() };
    study([frozen(None), asked(), unfrozen]).when(lock(0)).rejected("lock-not-asked");
    let of_site = Event::DataUnfrozen { site: at("oslo"), reason: why() };
    study([frozen(None), frozen(at("oslo")), asked(), of_site]).when(lock(0)).then([database_locked()]);
}

#[test]
fn a_locked_database_is_unlocked_by_two_persons_and_stays_frozen() {
    let ask = || Command::AskDatabaseUnlock { reason: why() };
    let unlock_asked = Event::DatabaseUnlockAsked { reason: why() };
    let over = || [frozen(None), asked(), database_locked()];
    study([]).when(ask()).rejected("database-not-locked");
    study(over()).when(ask()).then([unlock_asked.clone()]);
    study(over()).when(Command::UnlockDatabase {}).rejected("unlock-not-asked");
    let waits = || over().into_iter().chain([unlock_asked.clone()]);
    study(waits()).by(principal(Role::Controller, 0)).when(Command::UnlockDatabase {}).rejected("same-person");
    study(waits()).when(Command::UnlockDatabase {}).then([Event::DatabaseUnlocked {}]);
    let mut state = Study::default();
    let created = Event::Created { name: label("Cardio"), environment: Environment::Test };
    let facts = [created].into_iter().chain(waits()).chain([Event::DatabaseUnlocked {}]);
    facts.for_each(|event| crate::decider::Decider::evolve(&mut state, &event, crate::history::Revision(1).into()));
    assert!(!state.is_database_locked());
    assert_eq!(state.held(&site("oslo")), Some(Held::Frozen));
}

#[test]
fn nothing_of_the_study_moves_below_a_locked_database() {
    let over = || [frozen(None), asked(), database_locked()];
    let commands = [
        Command::UnfreezeData { site: None, reason: why() },
        Command::LockData { site: at("oslo"), reason: None },
        Command::OpenSite { site: site("bergen"), name: label("Bergen") },
        Command::GoLive { design: CommitHash([1; 32]) },
    ];
    for command in commands {
        study(over()).when(command).rejected("database-locked");
    }
}

#[test]
fn one_person_is_the_one_who_asked() {
    let mut locks = StudyLocks::default();
    locks.evolve(&asked(), UserId(Uuid::from_u128(3)));
    assert_eq!(locks.database, Database::LockAsked(UserId(Uuid::from_u128(3))));
}
