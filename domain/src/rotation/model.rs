//! The rotation, explored: every interleaving of two processes that run the real [`super::Rotation`] in a small world.
//!
//! The world (`world`, `process`, `around`) has a KMS whose roots have an identity (a number that is destroyed and created
//! again is another key), sites with a live key tree and a journal, an off-site head that is changed by compare-and-set,
//! packs, backups in two parts, and a ledger. In it may happen, in any order: two erasures; a key that is created and the
//! commit that uses it; crashes of a process, of a restore, half way through a destruction; requests to the off-site
//! target that are late, arrive twice, or whose answer is lost; backups; the loss of the site and a restore from any
//! backup; a promoted second site while the first goes on and does not know.
//!
//! In every world that can be reached (`check`):
//!
//! - **no survivor is lost**: the site that holds the head reads everybody whose erasure is not committed; and if it were
//!   lost now, the tree that a restore finds would read everybody of every complete backup;
//! - **no erased person can be read** once a rotation for that person has ended: no copy of any tree that there ever was
//!   opens, with all copies together and every root that lives;
//! - **everything ends**: nobody waits for ever, no site that did nothing wrong is told that it is foreign, and no world
//!   comes again. So every run comes to its end, whatever the order in which the processes take their steps.
//!
//! *What was explored to the end*: each scenario below but the last, by default. The last one lets everything happen at
//! once and is cut at 100 000 worlds; `LETHE_MODEL_STATES=50000000 CARGO_PROFILE_TEST_OPT_LEVEL=3 cargo test -p domain
//! rotation::model` explores it further.
//!
//! *What is not in the world*: time, so leases (the wait before a destruction is the worker's) and a KMS that keeps a
//! root back for some days; a KMS, a head or a ledger that is set back to an older state itself; more than two processes;
//! reads that see only a part of a tree (the worker must look whether the top has changed meanwhile); a fence that meets
//! the creation of a key of the same person (the expectation on the bucket decides that); erasures with more than one
//! person each.
//!
//! What it asks of whoever runs the machine, each tried by leaving it out (`planted`): open the tree by the KMS *after*
//! the new root was created, never from a cache; write all or nothing, and over nothing but what was opened; fresh node
//! keys; a backup counts only if the head, read after its keys were copied, is still this site's and says that the root
//! of these keys is shipped; a restore loads the newest tree under the shipped root, from the packs or from any backup.

mod around;
mod check;
mod driver;
mod explore;
mod planted;
mod process;
mod world;

use around::Loss;
use driver::Mistake;
use explore::{Scenario, Witnessed};
use world::{ANNA, BORIS, Faults};

/// Two processes of one site, two erasures, nothing else.
const TWO: Scenario = Scenario {
    name: "two rotations",
    mistake: Mistake::None,
    erases: [ANNA, BORIS],
    faults: Faults { crashes: 0, delays: 0, losses: 0 },
    loss: Loss::Total,
    enrols: false,
    backups: 0,
    has_off_site: true,
    must_end: true,
};

const TOTAL_LOSS: Scenario = Scenario { name: "loss of the site", faults: Faults { losses: 1, ..TWO.faults }, ..TWO };

const SPLIT_BRAIN: Scenario = Scenario { name: "split brain", loss: Loss::SplitBrain, ..TOTAL_LOSS };

/// One erasure, somebody enrols, one backup besides the first, then the site is lost.
const BACKUPS: Scenario = Scenario { name: "backups", erases: [ANNA, 0], enrols: true, backups: 1, ..TOTAL_LOSS };

const LIMIT: usize = 1_000_000;

/// How many worlds one exploration may have.
fn limit() -> usize {
    std::env::var("LETHE_MODEL_STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(LIMIT)
}

/// Explores, finds nothing broken, and gives what was seen on the way.
fn holds(scenario: Scenario, limit: usize) -> (Witnessed, bool) {
    let explored = scenario.explore(limit);
    println!("[{}] {} worlds, all: {}", scenario.name, explored.worlds, explored.is_exhausted);
    if let Some((_, trace)) = explored.violation {
        panic!("{trace}");
    }
    (explored.witnessed, explored.is_exhausted)
}

/// Explores to the end.
fn holds_everywhere(scenario: Scenario) -> Witnessed {
    let (witnessed, is_exhausted) = holds(scenario, limit());
    assert!(is_exhausted, "[{}] was cut at {} worlds", scenario.name, limit());
    let erased = scenario.erases[0] | scenario.erases[1];
    assert_eq!(witnessed.destroyed, erased, "everybody who is to be erased is, in some world");
    witnessed
}

fn with(crashes: u8, delays: u8, scenario: Scenario) -> Scenario {
    Scenario { faults: Faults { crashes, delays, ..scenario.faults }, ..scenario }
}

#[test]
fn two_rotations_crash_and_lose_answers() {
    holds_everywhere(with(2, 1, TWO));
}

#[test]
fn two_processes_erase_the_same_person() {
    holds_everywhere(with(2, 2, Scenario { name: "overlapping erasures", erases: [ANNA, ANNA | BORIS], ..TWO }));
}

#[test]
fn somebody_enrols_meanwhile() {
    holds_everywhere(with(1, 1, Scenario { name: "enrolment", enrols: true, ..TWO }));
}

#[test]
fn a_backup_is_taken_meanwhile() {
    let backups = Scenario { name: "enrolment and backup", backups: 1, enrols: true, ..TWO };
    assert!(holds_everywhere(backups).newcomer_in_backup);
}

#[test]
fn the_site_is_lost_and_restored() {
    assert!(holds_everywhere(with(1, 0, TOTAL_LOSS)).ended_at_next_site);
}

#[test]
fn the_site_is_lost_twice() {
    let twice = Scenario { name: "two losses", faults: Faults { losses: 2, ..TWO.faults }, ..TWO };
    assert!(holds_everywhere(twice).ended_at_next_site);
}

#[test]
fn the_site_is_lost_after_a_backup_and_an_enrolment() {
    let witnessed = holds_everywhere(BACKUPS);
    assert!(witnessed.newcomer_in_backup && witnessed.ended_at_next_site);
}

#[test]
fn a_second_site_is_promoted_while_the_first_goes_on() {
    let witnessed = holds_everywhere(with(1, 0, SPLIT_BRAIN));
    assert!(witnessed.superseded && witnessed.ended_at_next_site);
}

#[test]
fn the_first_site_sends_late_requests_after_a_promotion() {
    let witnessed = holds_everywhere(with(0, 1, SPLIT_BRAIN));
    assert!(witnessed.superseded && witnessed.ended_at_next_site);
}

#[test]
fn both_sites_go_on_with_the_same_erasure() {
    holds_everywhere(Scenario { name: "split brain, one erasure", erases: [ANNA, ANNA | BORIS], ..SPLIT_BRAIN });
}

#[test]
fn a_promotion_with_backups_of_both_sites_and_an_enrolment() {
    let witnessed = holds_everywhere(Scenario { name: "split brain, backups", loss: Loss::SplitBrain, ..BACKUPS });
    assert!(witnessed.newcomer_in_backup && witnessed.superseded);
}

#[test]
fn without_an_off_site_target() {
    let local = Scenario { name: "no off-site target", has_off_site: false, ..BACKUPS };
    assert!(holds_everywhere(local).ended_at_next_site);
}

/// Everything that can happen, at once.
#[test]
fn everything_at_once() {
    for (name, loss) in [("everything, loss of the site", Loss::Total), ("everything, split brain", Loss::SplitBrain)] {
        let faults = Faults { crashes: 1, delays: 1, losses: 1 };
        let everything = Scenario { name, loss, faults, enrols: true, backups: 1, ..TWO };
        holds(everything, if limit() == LIMIT { 100_000 } else { limit() });
    }
}
