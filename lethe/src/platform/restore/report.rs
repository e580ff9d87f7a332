//! What a restore did, and what it could not bring back.

use std::fmt;

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
}

impl Restored {
    /// How much time is lost (RPO), in seconds: from the backup to the newest sign of what it has not.
    /// None: nothing off-site says.
    pub fn rpo_seconds(&self) -> Option<i64> {
        self.signed_until?;
        let until = self.lost.iter().map(|lost| lost.until).max();
        Some(until.zip(self.created).map_or(0, |(until, created)| (until - created).whole_seconds().max(0)))
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let lost = |lost: &Lost| json!({"journal": lost.journal, "from": lost.from, "through": lost.through, "messages": lost.through + 1 - lost.from});
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
            let count = lost.through + 1 - lost.from;
            writeln!(f, "Lost: {count} messages of {} ({} to {}).", lost.journal, lost.from, lost.through)?;
        }
        let until = until.to_offset(UtcOffset::UTC).format(&Rfc3339).unwrap_or_default();
        if self.lost.is_empty() {
            return writeln!(f, "Nothing is known to be lost (RPO 0 s): the newest checkpoint off-site is of {until}.");
        }
        writeln!(f, "That was written within {rpo} s after the backup (RPO), as known from the checkpoint of {until}.")
    }
}
