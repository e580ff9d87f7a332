use super::around::Loss;
use super::driver::Mistake;
use super::explore::Scenario;
use super::world::{ANNA, BORIS, Faults};
use super::{TWO, faults, limit};

fn finds(mistake: Mistake, what: &str, scenario: Scenario) {
    let explored = Scenario { mistake, name: "planted", ..scenario }.explore(limit());
    let v = explored.violation.unwrap_or_default();
    println!("PLANTED {mistake:?}: {} worlds: {}", explored.worlds, v.lines().next().unwrap_or("NOTHING"));
    if std::env::var("LETHE_MODEL_TRACE").is_ok() {
        println!("{v}");
    }
    let _ = (what, BORIS);
}

#[test]
fn all() {
    let both = ANNA | BORIS;
    let split = Scenario { faults: faults(0, 0, 1), loss: Loss::SplitBrain, ..TWO };
    let lost = Scenario { faults: faults(1, 0, 1), ..TWO };
    let backup = Scenario { erases: [ANNA, 0], faults: faults(0, 0, 1), enrols: true, backups: 2, ..TWO };
    let _: Faults = faults(0, 0, 0);
    finds(Mistake::SameNodeKeys, "", TWO);
    finds(Mistake::OldRootKept, "", TWO);
    finds(Mistake::TornPath, "", TWO);
    finds(Mistake::RewrapWithoutExpectation, "", Scenario { enrols: true, ..TWO });
    finds(Mistake::InsertWithoutExpectation, "", Scenario { enrols: true, ..TWO });
    finds(Mistake::LatePutAccepted, "", Scenario { faults: faults(0, 1, 0), ..TWO });
    finds(Mistake::LatePutAccepted, "", split);
    finds(Mistake::DestroyAllNotMine, "", TWO);
    finds(Mistake::HeadBeforeList, "", TWO);
    finds(Mistake::NoSecondLook, "", TWO);
    finds(Mistake::NoSecondLook, "", split);
    finds(Mistake::NoSecondLook, "", lost);
    finds(Mistake::CheckAnyRoot, "", Scenario { erases: [ANNA, both], ..TWO });
    finds(Mistake::TakeOverForNothing, "", TWO);
    finds(Mistake::KeysBeforeJournal, "", backup);
    finds(Mistake::BackupUnconfirmed, "", backup);
    finds(Mistake::BackupUnconfirmed, "", Scenario { loss: Loss::SplitBrain, ..backup });
    finds(Mistake::RestoreOwnTree, "", backup);
    finds(Mistake::RestoreOwnTree, "", lost);
    finds(Mistake::RestoreShippedOnly, "", backup);
    finds(Mistake::RootNumberReused, "", split);
    finds(Mistake::CachedTop, "", split);
}
