//! What a drill found out.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::Plan;
use super::look::Found;
use super::moments::Moment;
use crate::restore::Restored;

/// What came back, what is missing, and how long everything took.
#[derive(Debug)]
pub struct Figures {
    participants: usize,
    kms: &'static str,
    off_site: &'static str,
    restores: Vec<Restore>,
    pub(super) erasures: Vec<Duration>,
    pub(super) seconds: f64,
}

#[derive(Debug)]
struct Restore {
    moment: Moment,
    restored: Restored,
    found: Found,
}

impl Figures {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            participants: plan.participants,
            kms: plan.kms.as_str(),
            off_site: plan.off_site.as_str(),
            restores: Vec::new(),
            erasures: Vec::new(),
            seconds: 0.0,
        }
    }

    pub(super) fn restored(&mut self, moment: Moment, restored: Restored, found: Found) {
        self.restores.push(Restore { moment, restored, found });
    }

    /// Erased persons of whom something could be read, in whichever restore.
    pub fn erased_recovered(&self) -> usize {
        self.restores.iter().map(|restore| restore.found.erased_recovered.len()).sum()
    }

    /// Survivors of whom something could not be read as before, in whichever restore.
    pub fn survivors_unreadable(&self) -> usize {
        self.restores.iter().map(|restore| restore.found.survivors_unreadable.len()).sum()
    }

    /// Whatever is not as it must be, by name; empty: the drill was passed.
    pub fn faults(&self) -> Vec<String> {
        let of = |restore: &Restore| {
            let Found { erased_recovered, survivors_unreadable, other, .. } = &restore.found;
            let all = erased_recovered.iter().chain(survivors_unreadable).chain(other);
            let moment = restore.moment.as_str();
            all.map(|what| format!("backup taken {moment}: {what}")).collect::<Vec<_>>()
        };
        self.restores.iter().flat_map(of).collect()
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let mut shreds: Vec<f64> = self.restores.iter().flat_map(|restore| restore.found.shred_ms.clone()).collect();
        shreds.sort_by(f64::total_cmp);
        let worst = |of: fn(&Found) -> f64| self.restores.iter().map(|restore| of(&restore.found)).fold(0.0, f64::max);
        json!({
            "participants": self.participants,
            "kms": self.kms,
            "off_site": self.off_site,
            "restores": self.restores.len(),
            "erased": self.erasures.len(),
            "erased_recovered": self.erased_recovered(),
            "survivors_unreadable": self.survivors_unreadable(),
            "erasures_in_audit": self.restores.iter().map(|restore| restore.found.erasures_in_audit).min(),
            "certificates_verified": self.restores.iter().map(|restore| restore.found.certificates_verified).min(),
            "raw_opens_tried": self.restores.iter().map(|restore| restore.found.raw_tried).sum::<u64>(),
            "raw_opened": self.restores.iter().map(|restore| restore.found.raw_opened).sum::<u64>(),
            "shred_ms_p50": at(&shreds, 0.50),
            "shred_ms_p99": at(&shreds, 0.99),
            "erasure_ms_max": self.erasures.iter().map(Duration::as_millis).max().map(|ms| ms as u64),
            "certificate_bytes": worst(|found| found.certificate_bytes as f64) as u64,
            "verify_ms": worst(|found| found.verify_ms),
            "restore_seconds": self.restores.iter().map(|restore| restore.restored.seconds).fold(0.0, f64::max),
            "faults": self.faults(),
            "seconds": (self.seconds * 10.0).round() / 10.0,
        })
    }
}

/// A line for each number.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.json();
        let numbers = all.as_object().into_iter().flatten().filter(|(name, _)| *name != "faults");
        let lines: Vec<String> =
            numbers.map(|(name, value)| format!("{:<22} {value:>12}", name.replace('_', " "))).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The value at a quantile of sorted values.
fn at(sorted: &[f64], quantile: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * quantile).ceil() as usize).copied()
}
