//! WIP
mod around;
mod check;
mod driver;
mod explore;
mod process;
mod world;

use around::Loss;
use driver::Mistake;
use explore::Scenario;
use world::{ANNA, BORIS, Faults};

const BASE: Scenario = Scenario {
    name: "",
    mistake: Mistake::None,
    erasures: ANNA | BORIS,
    faults: Faults { crashes: 0, delays: 0, losses: 0 },
    loss: Loss::Total,
    enrols: false,
    backups: 0,
};

fn limit() -> usize {
    std::env::var("LETHE_MODEL_STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(400_000)
}

fn holds(scenario: Scenario) {
    let t = std::time::Instant::now();
    let explored = scenario.explore(limit());
    println!(
        "{}: {} worlds, exhausted: {} in {:?}",
        scenario.name,
        explored.worlds,
        explored.is_exhausted,
        t.elapsed()
    );
    assert!(explored.violation.is_none(), "{}", explored.violation.unwrap_or_default());
}

#[test]
fn check_any_root() {
    let e = Scenario { name: "check any root", mistake: Mistake::CheckAnyRoot, ..BASE }.explore(limit());
    println!("{}", e.violation.unwrap_or_default());
}

#[test]
fn two() {
    holds(Scenario { name: "two", ..BASE });
}
#[test]
fn crash() {
    holds(Scenario { name: "two, 1 crash", faults: Faults { crashes: 1, delays: 0, losses: 0 }, ..BASE });
}
#[test]
fn delay() {
    holds(Scenario { name: "two, 1 crash 1 delay", faults: Faults { crashes: 1, delays: 1, losses: 0 }, ..BASE });
}
#[test]
fn enrols() {
    holds(Scenario {
        name: "two, enrol, 1 crash",
        faults: Faults { crashes: 1, delays: 0, losses: 0 },
        enrols: true,
        ..BASE
    });
}
#[test]
fn disaster() {
    holds(Scenario {
        name: "one, disaster",
        erasures: ANNA,
        faults: Faults { crashes: 0, delays: 0, losses: 1 },
        enrols: true,
        backups: 2,
        ..BASE
    });
}
#[test]
fn split() {
    holds(Scenario {
        name: "one, split",
        erasures: ANNA,
        faults: Faults { crashes: 0, delays: 0, losses: 1 },
        enrols: true,
        backups: 2,
        loss: Loss::SplitBrain,
        ..BASE
    });
}
#[test]
fn split2() {
    holds(Scenario {
        name: "two, split",
        erasures: ANNA | BORIS,
        faults: Faults { crashes: 0, delays: 0, losses: 1 },
        enrols: false,
        backups: 1,
        loss: Loss::SplitBrain,
        ..BASE
    });
}
