//! Known mistakes, planted one by one: the model must find each. `LETHE_MODEL_TRACE=1` prints how one gets there.

use super::check::Kind;
use super::driver::Mistake;
use super::explore::Scenario;
use super::world::{ANNA, Faults};
use super::{BACKUPS, SPLIT_BRAIN, TOTAL_LOSS, TWO, limit};

/// Two rotations while Dora enrols.
const ENROLS: Scenario = Scenario { enrols: true, ..TWO };

fn finds(mistake: Mistake, kind: Kind, scenario: Scenario) {
    let explored = Scenario { mistake, must_end: kind == Kind::NoEnd, ..scenario }.explore(limit());
    let Some((found, trace)) = explored.violation else {
        panic!("{mistake:?} was not found in {} worlds of [{}]", explored.worlds, scenario.name)
    };
    if std::env::var_os("LETHE_MODEL_TRACE").is_some() {
        println!("{mistake:?} in {trace}");
    }
    assert_eq!(found, kind, "{trace}");
}

#[test]
fn same_node_keys_on_rewrap() {
    finds(Mistake::SameNodeKeys, Kind::ErasedReadable, TWO);
}

#[test]
fn old_root_kept() {
    finds(Mistake::OldRootKept, Kind::ErasedReadable, TWO);
}

#[test]
fn torn_path() {
    finds(Mistake::TornPath, Kind::SurvivorLost, TWO);
}

#[test]
fn no_expectation_on_a_node_at_a_rewrap() {
    finds(Mistake::RewrapWithoutExpectation, Kind::SurvivorLost, ENROLS);
}

#[test]
fn no_expectation_on_a_node_at_an_insert() {
    finds(Mistake::InsertWithoutExpectation, Kind::SurvivorLost, ENROLS);
}

#[test]
fn late_put_accepted() {
    let delayed = Scenario { faults: Faults { delays: 1, ..TWO.faults }, ..TWO };
    finds(Mistake::LatePutAccepted, Kind::SurvivorLost, delayed);
}

#[test]
fn late_put_accepted_from_the_site_before() {
    finds(Mistake::LatePutAccepted, Kind::SurvivorLost, SPLIT_BRAIN);
}

#[test]
fn destroy_everything_not_mine() {
    finds(Mistake::DestroyAllNotMine, Kind::SurvivorLost, TWO);
}

#[test]
fn head_read_before_the_list() {
    finds(Mistake::HeadBeforeList, Kind::SurvivorLost, TWO);
}

#[test]
fn keys_destroyed_without_looking_for_other_versions() {
    finds(Mistake::NoSecondLook, Kind::ErasedReadable, SPLIT_BRAIN);
}

#[test]
fn keys_destroyed_without_asking_which_root_the_live_tree_is_under() {
    finds(Mistake::CheckAnyRoot, Kind::ErasedReadable, Scenario { erases: [ANNA, 0], ..TOTAL_LOSS });
}

#[test]
fn keys_destroyed_without_asking_whether_something_was_left_when_the_tree_was_read_back() {
    finds(Mistake::BackUnasked, Kind::ErasedReadable, TWO);
}

#[test]
fn a_reservation_taken_over_with_nothing_to_write() {
    finds(Mistake::TakeOverForNothing, Kind::NoEnd, TWO);
}

#[test]
fn backup_of_the_keys_before_the_journal() {
    finds(Mistake::KeysBeforeJournal, Kind::SurvivorLost, BACKUPS);
}

#[test]
fn backup_under_a_root_that_was_never_shipped() {
    finds(Mistake::BackupUnconfirmed, Kind::SurvivorLost, BACKUPS);
}

#[test]
fn restore_with_the_tree_of_the_backup() {
    finds(Mistake::RestoreOwnTree, Kind::SurvivorLost, BACKUPS);
}

#[test]
fn restore_with_the_shipped_tree_where_a_backup_has_a_newer_one() {
    finds(Mistake::RestoreShippedOnly, Kind::SurvivorLost, BACKUPS);
}

#[test]
fn number_of_a_root_used_by_two_sites() {
    finds(Mistake::RootNumberReused, Kind::ErasedReadable, SPLIT_BRAIN);
}

#[test]
fn promoted_without_taking_the_head() {
    finds(Mistake::HeadNotTaken, Kind::SurvivorLost, SPLIT_BRAIN);
}

#[test]
fn tree_opened_from_a_cache() {
    finds(Mistake::CachedTop, Kind::ErasedReadable, SPLIT_BRAIN);
}
