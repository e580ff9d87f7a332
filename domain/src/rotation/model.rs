//! WIP
mod around;
mod check;
mod driver;
mod explore;
mod planted;
mod process;
mod world;

use around::Loss;
use driver::Mistake;
use explore::Scenario;
use world::{ANNA, BORIS, Faults};

/// Two processes at one site, two erasures, nothing else.
const TWO: Scenario = Scenario {
    name: "two rotations",
    mistake: Mistake::None,
    erases: [ANNA, BORIS],
    faults: Faults { crashes: 0, delays: 0, losses: 0 },
    loss: Loss::Total,
    enrols: false,
    backups: 0,
};

/// How many worlds one exploration may have: more for a long run.
fn limit() -> usize {
    std::env::var("LETHE_MODEL_STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(400_000)
}

fn holds(scenario: Scenario) {
    let t = std::time::Instant::now();
    let explored = scenario.explore(limit());
    println!(
        "HOLDS {}: {} worlds, exhausted: {} in {:?}",
        scenario.name,
        explored.worlds,
        explored.is_exhausted,
        t.elapsed()
    );
    assert!(explored.violation.is_none(), "{}", explored.violation.unwrap_or_default());
}

fn faults(crashes: u8, delays: u8, losses: u8) -> Faults {
    Faults { crashes, delays, losses }
}

#[test]
fn all() {
    let both = ANNA | BORIS;
    for s in [
        Scenario { name: "2 crashes 1 delay", faults: faults(2, 1, 0), ..TWO },
        Scenario { name: "same, 2 crashes 1 delay", erases: [both, both], faults: faults(2, 1, 0), ..TWO },
        Scenario { name: "overlap, 2 crashes 2 delay", erases: [ANNA, both], faults: faults(2, 2, 0), ..TWO },
        Scenario { name: "2 crashes 1 delay enrol", enrols: true, faults: faults(2, 1, 0), ..TWO },
        Scenario { name: "1 crash enrol bk", enrols: true, backups: 1, faults: faults(1, 0, 0), ..TWO },
        Scenario { name: "disaster 2p", faults: faults(0, 0, 1), ..TWO },
        Scenario { name: "disaster 2p crash", faults: faults(1, 0, 1), ..TWO },
        Scenario { name: "disaster 2p crash delay", faults: faults(1, 1, 1), ..TWO },
        Scenario { name: "disaster 2 2p", faults: faults(0, 0, 2), ..TWO },
        Scenario { name: "split 2p crash", faults: faults(1, 0, 1), loss: Loss::SplitBrain, ..TWO },
        Scenario { name: "split 2p crash delay", faults: faults(1, 1, 1), loss: Loss::SplitBrain, ..TWO },
        Scenario {
            name: "split overlap crash delay",
            erases: [ANNA, both],
            faults: faults(1, 1, 1),
            loss: Loss::SplitBrain,
            ..TWO
        },
        Scenario {
            name: "disaster 1p enrol bk",
            erases: [ANNA, 0],
            enrols: true,
            backups: 2,
            faults: faults(0, 0, 1),
            ..TWO
        },
        Scenario {
            name: "split 1p enrol bk",
            erases: [ANNA, 0],
            enrols: true,
            backups: 2,
            faults: faults(0, 0, 1),
            loss: Loss::SplitBrain,
            ..TWO
        },
    ] {
        holds(s)
    }
}
