//! What came of it.

use std::fmt;

use serde_json::{Value, json};

use super::Plan;
use super::history::{Fault, Wrong};

/// What was done and what was found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The plan's seed.
    pub seed: u64,
    /// How many rounds were carried out.
    pub rounds: u32,
    /// How often `serve` was killed.
    pub kills_of_serve: u32,
    /// How often its nats-server was killed.
    pub kills_of_nats_server: u32,
    /// How many commands were acknowledged.
    pub acknowledged: usize,
    /// How many commands a kill kept from being answered or sent.
    pub cut_off: usize,
    /// How many erasures were asked for.
    pub erasures: usize,
    /// How many of them are completed; all others have not begun.
    pub erasures_completed: usize,
    /// How many rows a rebuild made otherwise.
    pub rebuild_differences: u64,
    /// What is wrong.
    pub(super) faults: Vec<Fault>,
}

impl Outcome {
    /// Nothing done yet.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            seed: plan.seed,
            rounds: 0,
            kills_of_serve: 0,
            kills_of_nats_server: 0,
            acknowledged: 0,
            cut_off: 0,
            erasures: 0,
            erasures_completed: 0,
            rebuild_differences: 0,
            faults: Vec::new(),
        }
    }

    /// What is wrong, a line each; none: all is well.
    pub fn faults(&self) -> Vec<String> {
        let rebuilt = Some(self.rebuild_differences).filter(|count| *count > 0);
        let rebuilt = rebuilt.map(|count| format!("rebuild: {count} rows are not what the journal says"));
        let name = |fault: &Fault| {
            let kind = match fault.wrong {
                Wrong::Lost => "lost",
                Wrong::Doubled => "doubled",
                Wrong::HalfDone => "half-done",
            };
            format!("{kind}: {}", fault.what)
        };
        self.faults.iter().map(name).chain(rebuilt).collect()
    }

    fn count(&self, wrong: Wrong) -> usize {
        self.faults.iter().filter(|fault| fault.wrong == wrong).count()
    }

    fn numbers(&self) -> [(&'static str, u64); 13] {
        let number = |count: usize| count as u64;
        [
            ("seed", self.seed),
            ("rounds", self.rounds.into()),
            ("kills", (self.kills_of_serve + self.kills_of_nats_server).into()),
            ("kills_of_serve", self.kills_of_serve.into()),
            ("kills_of_nats_server", self.kills_of_nats_server.into()),
            ("acknowledged", number(self.acknowledged)),
            ("cut_off", number(self.cut_off)),
            ("lost", number(self.count(Wrong::Lost))),
            ("doubled", number(self.count(Wrong::Doubled))),
            ("erasures", number(self.erasures)),
            ("erasures_completed", number(self.erasures_completed)),
            ("half_done", number(self.count(Wrong::HalfDone))),
            ("rebuild_differences", self.rebuild_differences),
        ]
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let mut all: serde_json::Map<String, Value> =
            self.numbers().into_iter().map(|(name, number)| (name.to_owned(), number.into())).collect();
        all.insert("faults".into(), json!(self.faults()));
        all.into()
    }
}

/// A line for each number.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.numbers().map(|(name, number)| format!("{:<21} {number:>20}", name.replace('_', " ")));
        f.write_str(&lines.join("\n"))
    }
}
