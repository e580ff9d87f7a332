//! What came of it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::history::{Finding, Wrong};
use super::kind::Kind;
use super::plan::Plan;

/// What was done and what was found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The plan's seed.
    pub seed: u64,
    /// How many rounds were carried out.
    pub rounds: u32,
    /// How often each fault happened.
    pub faults: BTreeMap<Kind, u32>,
    /// How many commands were acknowledged.
    pub acknowledged: usize,
    /// How many commands were not answered the first time.
    pub in_doubt: usize,
    /// How many answers said that something is not available, and what.
    pub unavailable: usize,
    /// How many erasures were asked for.
    pub erasures: usize,
    /// How many of them are completed; all others have not begun.
    pub erasures_completed: usize,
    /// How often all read models were built anew and compared.
    pub rebuilds: u32,
    /// How many rows a rebuild made otherwise.
    pub rebuild_differences: u64,
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
}

impl Outcome {
    /// Nothing done yet.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            seed: plan.seed,
            rounds: 0,
            faults: BTreeMap::new(),
            acknowledged: 0,
            in_doubt: 0,
            unavailable: 0,
            erasures: 0,
            erasures_completed: 0,
            rebuilds: 0,
            rebuild_differences: 0,
            findings: Vec::new(),
        }
    }

    /// What is wrong, a line each; none: all is well.
    pub fn findings(&self) -> Vec<String> {
        let rebuilt = Some(self.rebuild_differences).filter(|count| *count > 0);
        let rebuilt = rebuilt.map(|count| format!("rebuild: {count} rows are not what the journal says"));
        self.findings
            .iter()
            .map(|finding| format!("{}: {}", finding.wrong.name(), finding.what))
            .chain(rebuilt)
            .collect()
    }

    /// How many faults there were.
    pub fn struck(&self) -> u32 {
        self.faults.values().sum()
    }

    fn numbers(&self) -> Vec<(&'static str, u64)> {
        let number = |count: usize| count as u64;
        let mut all = vec![
            ("seed", self.seed),
            ("rounds", self.rounds.into()),
            ("faults", self.struck().into()),
            ("acknowledged", number(self.acknowledged)),
            ("in_doubt", number(self.in_doubt)),
            ("unavailable", number(self.unavailable)),
            ("erasures", number(self.erasures)),
            ("erasures_completed", number(self.erasures_completed)),
            ("rebuilds", self.rebuilds.into()),
            ("rebuild_differences", self.rebuild_differences),
        ];
        let count = |wrong: Wrong| self.findings.iter().filter(|finding| finding.wrong == wrong).count();
        all.extend(Wrong::ALL.map(|wrong| (wrong.name(), number(count(wrong)))));
        all
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let mut all: serde_json::Map<String, Value> =
            self.numbers().into_iter().map(|(name, number)| (name.replace('-', "_"), number.into())).collect();
        let each: serde_json::Map<String, Value> =
            self.faults.iter().map(|(kind, count)| (kind.name().to_owned(), (*count).into())).collect();
        all.insert("each".into(), each.into());
        all.insert("findings".into(), json!(self.findings()));
        all.into()
    }
}

/// A line for each number.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |name: &str, number: u64| format!("{:<21} {number:>20}", name.replace(['_', '-'], " "));
        let mut lines: Vec<String> = self.numbers().into_iter().map(|(name, number)| line(name, number)).collect();
        lines.extend(self.faults.iter().map(|(kind, count)| format!("  {:<19} {count:>20}", kind.name())));
        f.write_str(&lines.join("\n"))
    }
}
