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
    /// Whether whoever writes about the person hangs up soon.
    pub(super) hasty: bool,
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

    fn finding(&self, wrong: Wrong, what: impl std::fmt::Display) -> Finding {
        Finding { wrong, what: format!("round {}, {}: {what}", self.round + 1, self.at) }
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
    /// A stream whose revisions do not follow one another, or a record that `verify` does not call whole.
    NotLinear,
    /// A request without an answer for far longer than the platform's patience.
    Hung,
    /// A failure that does not say what to do.
    Unclear,
    /// Something that did not come back by itself.
    Down,
}

impl Wrong {
    /// All of them.
    pub(super) const ALL: [Self; 7] =
        [Self::Lost, Self::Doubled, Self::HalfDone, Self::NotLinear, Self::Hung, Self::Unclear, Self::Down];

    /// Its name in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::HalfDone => "half-done",
            Self::NotLinear => "not-linear",
            Self::Hung => "hung",
            Self::Unclear => "unclear",
            Self::Down => "down",
        }
    }
}

/// Something that is wrong, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
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

/// The revisions of each stream, by the audit trail.
pub(super) type Revisions = BTreeMap<String, BTreeMap<u64, Uuid>>;

/// Which command wrote each revision of each of a person's streams, by the audit trail.
pub(super) fn revisions(trail: &[Value]) -> Result<Revisions, String> {
    let mut streams = Revisions::new();
    for entry in trail {
        let (act, stream) = (&entry["act"], entry["aggregate"].as_str().unwrap_or_default());
        let (Some(revision), Some(command)) =
            (act["revision"].as_u64(), act["command"].as_str().and_then(|text| text.parse().ok()))
        else {
            return Err(format!("an entry without revision or command: {entry}"));
        };
        if let Some(other) = streams.entry(stream.to_owned()).or_default().insert(revision, command)
            && other != command
        {
            return Err(format!("revision {revision} of {stream} is of two commands, {other} and {command}"));
        }
    }
    Ok(streams)
}

/// Every stream is one line: no revision is missing, and a command that was sent after another's answer comes after it.
pub(super) fn linear(person: &Person, trail: &[Value]) -> Vec<Finding> {
    let bent = |what: String| person.finding(Wrong::NotLinear, what);
    let streams = match revisions(trail) {
        Ok(streams) => streams,
        Err(what) => return vec![bent(what)],
    };
    let mut findings = Vec::new();
    for (stream, revisions) in &streams {
        let gap = (1..).zip(revisions.keys()).find(|(expected, revision)| expected != *revision);
        if let Some((expected, revision)) = gap {
            findings.push(bent(format!("after revision {} of {stream} comes {revision}", expected - 1)));
        }
        let at =
            |sent: &&Sent| revisions.iter().find(|(_, command)| **command == sent.id).map(|(revision, _)| *revision);
        // One client sends one command after the other, each when the one before was answered.
        let in_order: Vec<u64> =
            person.sent.iter().filter(|sent| sent.answer.is_some()).filter_map(|sent| at(&sent)).collect();
        if !in_order.is_sorted() {
            findings.push(bent(format!(
                "the commands of {stream} stand in another order than they were sent: {in_order:?}"
            )));
        }
        for sent in person.sent.iter().filter(|sent| at(sent).is_some()) {
            let answered = sent.answer.as_ref().and_then(|answer| answer["revision"].as_u64());
            if answered.is_some() && answered != at(&sent) {
                findings.push(bent(format!(
                    "{} was answered {answered:?} and is at {:?} of {stream}",
                    sent.id,
                    at(&sent)
                )));
            }
        }
    }
    findings
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
    /// What [`linear`] says of it.
    pub(super) bent: Vec<Finding>,
}

/// Every acknowledged command is there once and answered as before; one in doubt is there once at most.
pub(super) fn judge(person: &Person, found: &Found) -> Vec<Finding> {
    let mut findings = found.bent.clone();
    for sent in &person.sent {
        let count = |effects: &BTreeMap<Uuid, usize>| effects.get(&sent.id).copied().unwrap_or_default();
        let (before, after) = (count(&found.before), count(&found.after));
        let command = format!("{} {}", sent.name(), sent.id);
        if before.max(after) > 1 {
            let times = before.max(after);
            findings.push(person.finding(Wrong::Doubled, format!("{command} is in the audit trail {times} times")));
        }
        let Some(first) = &sent.answer else { continue };
        if before == 0 {
            findings
                .push(person.finding(Wrong::Lost, format!("{command} was acknowledged and is not in the audit trail")));
            continue;
        }
        match found.again.get(&sent.id) {
            Some(Ok(again)) if again == first => {}
            Some(Ok(again)) => {
                let what = format!("{command} was answered {first} and, sent again, {again}");
                findings.push(person.finding(Wrong::Lost, what));
            }
            Some(Err(refusal)) => {
                findings.push(
                    person.finding(Wrong::Lost, format!("{command} was acknowledged and, sent again, {refusal}")),
                );
            }
            None => findings.push(person.finding(Wrong::Lost, format!("{command} was not sent again"))),
        }
    }
    findings
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
pub(super) fn half_done(person: &Person, phase: Option<&str>) -> Finding {
    let erasure = person.erasure.unwrap_or_default();
    let phase = phase.unwrap_or("unknown");
    person.finding(Wrong::HalfDone, format!("the erasure {erasure} stands at `{phase}`"))
}

/// Whether a view of a person answers as it must: gone if erased, otherwise with what was acknowledged.
pub(super) fn view(
    person: &Person,
    name: &str,
    end: End,
    expected: Option<&str>,
    answer: &Result<Value, u16>,
) -> Option<Finding> {
    match (end, answer) {
        (End::Completed, Err(410)) => None,
        (End::Completed, Ok(_)) => Some(person.finding(Wrong::HalfDone, format!("{name} is shown after the erasure"))),
        (End::Completed, Err(status)) => {
            Some(person.finding(Wrong::HalfDone, format!("{name} answers {status} after the erasure, not 410")))
        }
        (End::NotBegun | End::Between, Ok(body)) => expected
            .filter(|value| !body.to_string().contains(*value))
            .map(|_| person.finding(Wrong::Lost, format!("{name} does not show what was acknowledged"))),
        (End::NotBegun | End::Between, Err(status)) => {
            expected.map(|_| person.finding(Wrong::Lost, format!("{name} answers {status} though nothing is erased")))
        }
    }
}

/// Whether a count of the study's is right.
pub(super) fn count(name: &str, expected: u64, counted: u64) -> Option<Finding> {
    let what = format!("the study counts {counted} {name}, not {expected}");
    match counted.cmp(&expected) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some(Finding { wrong: Wrong::Lost, what }),
        std::cmp::Ordering::Greater => Some(Finding { wrong: Wrong::Doubled, what }),
    }
}

#[cfg(test)]
mod tests;
