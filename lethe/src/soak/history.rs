//! What was sent, what is found afterwards, and the verdict.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

/// Who sends a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Integrator,
    Dpo,
    Controller,
}

/// A command: sent once, and again under the same id.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) id: Uuid,
    pub(super) by: Part,
    pub(super) path: String,
    pub(super) body: Value,
    /// The first answer; none: in doubt, it may be there or not.
    pub(super) answer: Option<Value>,
}

impl Sent {
    /// The command's name.
    pub(super) fn name(&self) -> &str {
        self.body.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it is what sets an erasure off.
    pub(super) fn approves(&self) -> bool {
        self.by == Part::Controller
    }
}

/// An invented participant, and everything that was sent about them.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) round: u32,
    /// The address of the participant.
    pub(super) at: String,
    /// What identifies the person: readable while nothing is erased.
    pub(super) email: String,
    /// What only this person told.
    pub(super) narrative: String,
    /// The id of the erasure, of those who leave.
    pub(super) erasure: Option<Uuid>,
    /// What is still to be sent, in order.
    pub(super) plan: std::collections::VecDeque<Sent>,
    /// What was sent, in order.
    pub(super) sent: Vec<Sent>,
}

impl Person {
    /// Whether such a command was acknowledged.
    pub(super) fn has(&self, body_holds: impl Fn(&Sent) -> bool) -> bool {
        self.sent.iter().any(|sent| sent.answer.is_some() && body_holds(sent))
    }

    fn fault(&self, wrong: Wrong, what: impl std::fmt::Display) -> Fault {
        Fault { wrong, what: format!("round {}, {}: {what}", self.round + 1, self.at) }
    }
}

/// In which way something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Acknowledged, and not there as it was answered.
    Lost,
    /// There more than once.
    Doubled,
    /// An erasure between its beginning and its end, or one that shows what it erased.
    HalfDone,
}

/// Something that is wrong, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) wrong: Wrong,
    pub(super) what: String,
}

/// How many commits each command wrote, by the audit trail. One commit has an entry for every field that it touched.
pub(super) fn effects(trail: &[Value]) -> BTreeMap<Uuid, usize> {
    let mut commits: BTreeMap<Uuid, BTreeSet<(&str, u64)>> = BTreeMap::new();
    for entry in trail {
        let act = &entry["act"];
        let command = act["command"].as_str().and_then(|text| text.parse().ok());
        let commit = (entry["aggregate"].as_str().unwrap_or_default(), act["revision"].as_u64().unwrap_or_default());
        if let Some(command) = command {
            commits.entry(command).or_default().insert(commit);
        }
    }
    commits.into_iter().map(|(command, commits)| (command, commits.len())).collect()
}

/// What is found about one person.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// [`effects`] before anything is sent again: afterwards, what was lost would be there anew.
    pub(super) before: BTreeMap<Uuid, usize>,
    /// What each acknowledged command answers when it is sent again.
    pub(super) again: BTreeMap<Uuid, Result<Value, String>>,
    /// [`effects`] after that.
    pub(super) after: BTreeMap<Uuid, usize>,
}

/// Every acknowledged command is there once and answered as before; one in doubt is there once at most.
pub(super) fn judge(person: &Person, found: &Found) -> Vec<Fault> {
    let mut faults = Vec::new();
    for sent in &person.sent {
        let count = |effects: &BTreeMap<Uuid, usize>| effects.get(&sent.id).copied().unwrap_or_default();
        let (before, after) = (count(&found.before), count(&found.after));
        let command = format!("{} {}", sent.name(), sent.id);
        if before.max(after) > 1 {
            let times = before.max(after);
            faults.push(person.fault(Wrong::Doubled, format!("{command} is in the audit trail {times} times")));
        }
        let Some(first) = &sent.answer else { continue };
        if before == 0 {
            faults.push(person.fault(Wrong::Lost, format!("{command} was acknowledged and is not in the audit trail")));
            continue;
        }
        match found.again.get(&sent.id) {
            Some(Ok(again)) if again == first => {}
            Some(Ok(again)) => {
                let what = format!("{command} was answered {first} and, sent again, {again}");
                faults.push(person.fault(Wrong::Lost, what));
            }
            Some(Err(refusal)) => {
                faults
                    .push(person.fault(Wrong::Lost, format!("{command} was acknowledged and, sent again, {refusal}")));
            }
            None => faults.push(person.fault(Wrong::Lost, format!("{command} was not sent again"))),
        }
    }
    faults
}

/// How an erasure ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    NotBegun,
    Completed,
    /// Neither, so far.
    Between,
}

/// Where an erasure stands, by what became of its approval and by its phase, if it is known at all.
pub(super) fn end(person: &Person, phase: Option<&str>) -> End {
    let approval = person.sent.iter().find(|sent| sent.approves());
    let acknowledged = approval.is_some_and(|approval| approval.answer.is_some());
    match phase {
        Some("completed") if approval.is_some() => End::Completed,
        None | Some("requested" | "assessed") if !acknowledged => End::NotBegun,
        _ => End::Between,
    }
}

/// What to say of an erasure that did not come to rest.
pub(super) fn half_done(person: &Person, phase: Option<&str>) -> Fault {
    let erasure = person.erasure.unwrap_or_default();
    let phase = phase.unwrap_or("unknown");
    person.fault(Wrong::HalfDone, format!("the erasure {erasure} stands at `{phase}`"))
}

/// Whether a view of a person answers as it must: gone if erased, otherwise with what was acknowledged.
pub(super) fn view(
    person: &Person,
    name: &str,
    end: End,
    expected: Option<&str>,
    answer: &Result<Value, u16>,
) -> Option<Fault> {
    match (end, answer) {
        (End::Completed, Err(410)) => None,
        (End::Completed, Ok(_)) => Some(person.fault(Wrong::HalfDone, format!("{name} is shown after the erasure"))),
        (End::Completed, Err(status)) => {
            Some(person.fault(Wrong::HalfDone, format!("{name} answers {status} after the erasure, not 410")))
        }
        (End::NotBegun | End::Between, Ok(body)) => expected
            .filter(|value| !body.to_string().contains(*value))
            .map(|_| person.fault(Wrong::Lost, format!("{name} does not show what was acknowledged"))),
        (End::NotBegun | End::Between, Err(status)) => {
            expected.map(|_| person.fault(Wrong::Lost, format!("{name} answers {status} though nothing is erased")))
        }
    }
}

/// Whether a count of the study's is right.
pub(super) fn count(name: &str, expected: u64, counted: u64) -> Option<Fault> {
    let what = format!("the study counts {counted} {name}, not {expected}");
    match counted.cmp(&expected) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some(Fault { wrong: Wrong::Lost, what }),
        std::cmp::Ordering::Greater => Some(Fault { wrong: Wrong::Doubled, what }),
    }
}

#[cfg(test)]
mod tests;
