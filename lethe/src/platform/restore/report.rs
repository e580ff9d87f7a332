//! What a restore did, and what it could not bring back.

use std::collections::BTreeMap;
use std::fmt;

use infra::off_site::PutBack;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// What a restore did.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// The backup's id.
    pub backup: String,
    /// When it was made.
    pub created: Option<OffsetDateTime>,
    /// Messages of all journals that were written back, or were there from an interrupted run.
    pub messages: u64,
    /// When the newest checkpoint off-site was signed: what came later is not known. None: there is none.
    pub signed_until: Option<OffsetDateTime>,
    /// What the signed checkpoints know and the backup has not.
    pub lost: Vec<Lost>,
    /// Where the backup of each journal ends.
    pub ends: BTreeMap<String, u64>,
    /// Whether there is an off-site ledger.
    pub has_ledger: bool,
    /// Persons of whom there is at least one order.
    pub persons: u64,
    /// Commits that came from the ledger.
    pub orders_brought_back: u64,
    /// The root that holds now.
    pub root: u64,
    /// How long it took (RTO), in seconds.
    pub seconds: f64,
}

/// The end of a journal that the backup does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// `tenant/study`, or `tenant/_`.
    pub journal: String,
    /// The first message that is lost.
    pub from: u64,
    /// The last that is known.
    pub through: u64,
    /// When that one was there already.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
    /// How many of these messages are orders that came back from the off-site ledger.
    #[serde(default)]
    pub brought_back: u64,
}

impl Lost {
    /// How many messages the backup has not.
    fn lacking(&self) -> u64 {
        self.through + 1 - self.from
    }

    /// How many of them did not come back.
    fn for_good(&self) -> u64 {
        self.lacking().saturating_sub(self.brought_back)
    }
}

impl Restored {
    /// Notes which of the messages that the backup has not came back from the ledger: the commits that stand behind the
    /// backup's end now, and were stored by the time of which the loss is known.
    pub(super) fn take_back(&mut self, journal: &str, back: &PutBack) {
        let end = self.ends.get(journal).copied().unwrap_or(u64::MAX);
        for (_, stored_at) in back.commits.iter().filter(|(sequence, _)| *sequence > end) {
            let lost = self.lost.iter_mut().filter(|lost| lost.journal == journal && lost.until >= *stored_at);
            if let Some(lost) = lost.filter(|lost| lost.for_good() > 0).min_by_key(|lost| lost.until) {
                lost.brought_back += 1;
            }
        }
    }

    /// How much time is lost (RPO), in seconds: from the backup to the newest sign of what it has not and what did not
    /// come back. None: nothing off-site says.
    pub fn rpo_seconds(&self) -> Option<i64> {
        self.signed_until?;
        let until = self.lost.iter().filter(|lost| lost.for_good() > 0).map(|lost| lost.until).max();
        Some(until.zip(self.created).map_or(0, |(until, created)| (until - created).whole_seconds().max(0)))
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let lost = |lost: &Lost| json!({"journal": lost.journal, "from": lost.from, "through": lost.through, "messages": lost.for_good(), "brought_back": lost.brought_back});
        json!({
            "backup": self.backup,
            "created": self.created.map(domain::Moment),
            "messages": self.messages,
            "known_until": self.signed_until.map(domain::Moment),
            "lost": self.lost.iter().map(lost).collect::<Vec<_>>(),
            "persons_with_orders": self.persons,
            "orders_brought_back": self.orders_brought_back,
            "root": self.root,
            "rpo_seconds": self.rpo_seconds(),
            "rto_seconds": (self.seconds * 10.0).round() / 10.0,
        })
    }
}

/// In words.
impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Restored backup {}: {} messages, key tree under root {}.", self.backup, self.messages, self.root)?;
        if !self.has_ledger {
            writeln!(f, "There is no off-site ledger: the orders and erasures that the backup knows are in force.")?;
        } else {
            writeln!(
                f,
                "Orders of {} persons are in force, {} of their commits came from the off-site ledger.",
                self.persons, self.orders_brought_back
            )?;
        }
        self.write_lost(f)?;
        write!(f, "It took {:.1} s (RTO).", self.seconds)
    }
}

impl Restored {
    fn write_lost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(until), Some(rpo)) = (self.signed_until, self.rpo_seconds()) else {
            return writeln!(
                f,
                "What was written after the backup is lost. How much that is, nothing says: there is no checkpoint off-site."
            );
        };
        for lost in &self.lost {
            let Lost { journal, from, through, brought_back, .. } = lost;
            match (lost.for_good(), brought_back) {
                (count, 0) => writeln!(f, "Lost: {count} messages of {journal} ({from} to {through}).")?,
                (0, _) => {
                    writeln!(f, "Lost: nothing of {journal}: all of {from} to {through} came back from the ledger.")?
                }
                (count, back) => {
                    let lacking = lost.lacking();
                    writeln!(
                        f,
                        "Lost: {count} of the {lacking} messages {from} to {through} of {journal}; the other {back} came \
                         back from the ledger."
                    )?;
                }
            }
        }
        let until = until.to_offset(UtcOffset::UTC).format(&Rfc3339).unwrap_or_default();
        if self.lost.iter().all(|lost| lost.for_good() == 0) {
            return writeln!(f, "Nothing is known to be lost (RPO 0 s): the newest checkpoint off-site is of {until}.");
        }
        writeln!(f, "That was written within {rpo} s after the backup (RPO), as known from the checkpoint of {until}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn restored() -> Restored {
        let lost = Lost {
            journal: "acme/cardio".into(),
            from: 11,
            through: 15,
            until: datetime!(2026-03-01 12:00 UTC),
            brought_back: 0,
        };
        Restored {
            created: Some(datetime!(2026-03-01 11:00 UTC)),
            signed_until: Some(lost.until),
            lost: vec![lost],
            ends: [("acme/cardio".to_owned(), 10)].into(),
            ..Restored::default()
        }
    }

    fn back(commits: &[(u64, OffsetDateTime)]) -> PutBack {
        PutBack { written: 0, commits: commits.to_vec() }
    }

    #[test]
    fn what_came_back_from_the_ledger_is_not_lost() {
        let mut restored = restored();
        let (known, later) = (datetime!(2026-03-01 11:30 UTC), datetime!(2026-03-01 12:01 UTC));
        // One that the backup has, two that it has not, one that was stored after what is known.
        restored.take_back("acme/cardio", &back(&[(7, known), (11, known), (12, known), (13, later)]));
        restored.take_back("acme/_", &back(&[(11, known)]));
        let json = restored.json();
        assert_eq!((&json["lost"][0]["messages"], &json["lost"][0]["brought_back"]), (&json!(3), &json!(2)), "{json}");
        assert_eq!(json["rpo_seconds"], 3600);
        let text = restored.to_string();
        assert!(text.contains("Lost: 3 of the 5 messages 11 to 15 of acme/cardio; the other 2 came back"), "{text}");
    }

    #[test]
    fn where_everything_came_back_nothing_is_lost() {
        let mut restored = restored();
        let known = datetime!(2026-03-01 11:30 UTC);
        let all: Vec<_> = (11..=17).map(|sequence| (sequence, known)).collect();
        restored.take_back("acme/cardio", &back(&all));
        assert_eq!((restored.lost[0].brought_back, restored.rpo_seconds()), (5, Some(0)));
        let text = restored.to_string();
        assert!(
            text.contains("Lost: nothing of acme/cardio") && text.contains("Nothing is known to be lost"),
            "{text}"
        );
    }

    #[test]
    fn without_a_ledger_all_that_the_backup_has_not_is_lost() {
        let text = restored().to_string();
        assert!(text.contains("Lost: 5 messages of acme/cardio (11 to 15)."), "{text}");
        assert_eq!(restored().rpo_seconds(), Some(3600));
    }
}
