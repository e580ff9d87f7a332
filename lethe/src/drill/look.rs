//! What can be reached after a restore, by every road.

use std::time::Instant;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ground::Ground;
use super::people::{Answers, Erasure, Study};
use crate::cli::CliError;
use crate::platform::Platform;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Erased persons of whom something can be read, and what.
    pub(super) erased_recovered: Vec<String>,
    /// Survivors who are not as before, and how.
    pub(super) survivors_unreadable: Vec<String>,
    /// What else is not as it must be.
    pub(super) other: Vec<String>,
    pub(super) erasures_in_audit: usize,
    pub(super) certificates_verified: usize,
    pub(super) certificate_bytes: usize,
    pub(super) verify_ms: f64,
    /// How many raw openings were tried past all fences, with every copy of the tree that can be reached.
    pub(super) raw_tried: u64,
    pub(super) raw_opened: u64,
    pub(super) shred_ms: Vec<f64>,
}

pub(super) async fn at(
    ground: &Ground,
    platform: &Platform,
    study: &Study,
    before: &[Answers],
) -> Result<Found, CliError> {
    let mut found = Found::default();
    let after = study.look().await?;
    for (person, (before, after)) in before.iter().zip(&after).enumerate() {
        match study.erasures.iter().find(|erasure| erasure.person == person) {
            Some(erasure) => found.erased(study, erasure, before, after),
            None => found.survivor(person, before, after),
        }
    }
    for erasure in &study.erasures {
        found.certificate(ground, study, erasure).await?;
        let (tried, opened) = ground.open_raw(platform, study.people[erasure.person].id, erasure.contact_only).await?;
        found.raw_tried += tried;
        found.raw_opened += opened;
        if opened > 0 {
            found.erased_recovered.push(format!("{opened} keys of participant {} open", erasure.person + 1));
        }
    }
    Ok(found)
}

impl Found {
    fn survivor(&mut self, person: usize, before: &Answers, after: &Answers) {
        let differs = |name: &&&str| before.get(**name) != after.get(**name);
        let names: Vec<_> = before.keys().filter(differs).copied().collect();
        if !names.is_empty() {
            self.survivors_unreadable.push(format!("participant {}: {} differs", person + 1, names.join(", ")));
        }
    }

    fn erased(&mut self, study: &Study, erasure: &Erasure, before: &Answers, after: &Answers) {
        let who = format!("participant {}", erasure.person + 1);
        // E-mail, telephone, national id, address, name: the first two and the address are contact data.
        let canaries = &study.people[erasure.person].canaries;
        let gone: Vec<&String> = match erasure.contact_only {
            true => vec![&canaries[0], &canaries[1], &canaries[3]],
            false => canaries.iter().collect(),
        };
        for (view, answer) in after {
            let text = answer.to_string();
            if gone.iter().any(|value| text.contains(value.as_str())) {
                self.erased_recovered.push(format!("{who}: an erased value is shown in {view}"));
            }
        }
        if erasure.contact_only {
            if before.get("casebook") != after.get("casebook") {
                self.survivors_unreadable.push(format!("{who}: the casebook differs, though only contact was erased"));
            }
        } else {
            for view in ["casebook", "identity"] {
                if after.get(view).and_then(|answer| answer["refused"].as_str()) != Some("erased") {
                    self.erased_recovered.push(format!("{who}: {view} does not say erased"));
                }
            }
        }
        if is_in_audit(after) {
            self.erasures_in_audit += 1;
        } else {
            self.other.push(format!("{who}: the erasure is not in the audit trail to its end"));
        }
    }

    async fn certificate(&mut self, ground: &Ground, study: &Study, erasure: &Erasure) -> Result<(), CliError> {
        let (shown, certificate) = study.shown(erasure).await?;
        if shown["phase"] != "completed" {
            self.other.push(format!("the erasure {} is shown as {}", erasure.id, shown["phase"]));
        }
        self.shred_ms.extend(between(&shown, "committed", "keys-destroyed"));
        let text = certificate.to_string();
        let begun = Instant::now();
        match ground.verify(&text).await {
            Ok(()) => self.certificates_verified += 1,
            Err(why) => {
                self.other.push(format!("the certificate of the erasure {} does not verify: {why}", erasure.id))
            }
        }
        self.verify_ms = self.verify_ms.max(begun.elapsed().as_secs_f64() * 1000.0);
        self.certificate_bytes = self.certificate_bytes.max(text.len());
        Ok(())
    }
}

/// How many milliseconds lie between two steps.
fn between(shown: &Value, before: &str, after: &str) -> Option<f64> {
    let at = |phase: &str| {
        let steps = shown["steps"].as_array()?;
        let step = steps.iter().find(|step| step["phase"] == phase)?;
        OffsetDateTime::parse(step["act"]["stored_at"].as_str()?, &Rfc3339).ok()
    };
    Some((at(after)? - at(before)?).as_seconds_f64() * 1000.0)
}

fn is_in_audit(answers: &Answers) -> bool {
    let entries = answers.get("audit").and_then(|audit| audit["items"].as_array());
    let is_completed = |entry: &Value| entry.to_string().contains("erasure-completed");
    entries.is_some_and(|entries| entries.iter().any(is_completed))
}
