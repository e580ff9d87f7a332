//! Edit checks: what fires when values are saved, what is refused and what is asked about.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, Refused};

/// What a check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It refuses.
    Hard,
    /// It accepts and asks.
    Soft,
}

/// What came of a check that fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// Nothing was saved.
    Refused,
    /// It was saved, and a query is open.
    Accepted,
}

structural!(Severity, CheckOutcome);

/// The refusal that these facts record, if a hard check fired.
pub(super) fn refusal(facts: &[Event]) -> Option<Refused> {
    let refused = |fact: &&Event| matches!(fact, Event::CheckFired { outcome: CheckOutcome::Refused, .. });
    let faults: Vec<_> = facts.iter().filter(refused).collect();
    (!faults.is_empty()).then(|| Refused::Faults(vec![]))
}
