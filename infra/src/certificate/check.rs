//! Checks a certificate without us: the text, the public key that one trusts, and, if one has it, a copy of the journal.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::history::{Aggregate, JournalId, StreamId};
use domain::port::{Destruction, PublicKey, Signature, Target};
use serde_json::Value;

use super::body::{Body, Certificate, DestroyedScope, FORMAT, Finding};
use super::canonical::canonical;
use crate::archive::ArchiveJournals;
use crate::journal::names::{Subject, parse_subject};
use crate::key_map::proof::{Named, Removal};
use crate::keys::{KeyId, PersonKey};
use crate::log::checkpoint::Checkpoint;
use crate::log::leaf::leaf_of;
use crate::log::merkle::{Peaks, is_included};
use crate::log::note::is_signed;
use crate::log::{Hash, RawJournals as _};
use crate::seal::peek;

/// What came of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What was seen to hold, in words.
    pub holds: Vec<String>,
    /// Why the certificate is refused, in words; empty: it holds.
    pub refused: Vec<String>,
}

impl Checked {
    /// Whether all of it holds.
    pub fn is_verified(&self) -> bool {
        self.refused.is_empty()
    }

    fn note(&mut self, is_so: bool, holds: impl Into<String>, refused: impl Into<String>) {
        if is_so { self.holds.push(holds.into()) } else { self.refused.push(refused.into()) }
    }

    fn must(&mut self, is_so: bool, refused: impl Into<String>) {
        if !is_so {
            self.refused.push(refused.into());
        }
    }
}

/// Checks a certificate against the public key that one trusts and, if `journal` is a folder of plain archives, against
/// that copy of the record. Goes to no network.
pub async fn verify(text: &str, trust: &PublicKey, journal: Option<&Path>) -> Checked {
    let mut checked = Checked::default();
    let Some(body) = signed(text, trust, &mut checked) else {
        return checked;
    };
    let points = record(&body, trust, &mut checked);
    key_map(&body, &mut checked);
    arithmetic(&body, &mut checked);
    if let (Some(dir), Some((before, after))) = (journal, points) {
        against(dir, &body, &before, &after, &mut checked).await;
    }
    checked
}

/// What is signed, if it is.
fn signed(text: &str, trust: &PublicKey, checked: &mut Checked) -> Option<Body> {
    let value: Option<Value> = serde_json::from_str(text).ok();
    // One spelling only: then no two readers can read two things in it.
    let is_canonical = value.as_ref().and_then(canonical).is_some_and(|spelt| spelt == text.trim_end_matches('\n'));
    if !is_canonical {
        checked.refused.push("it is no JSON in the canonical form of RFC 8785".to_owned());
        return None;
    }
    let value = value?;
    let Ok(certificate) = serde_json::from_value::<Certificate>(value.clone()) else {
        checked.refused.push("it is not a certificate of the format that this program knows".to_owned());
        return None;
    };
    let signature = &certificate.signature;
    let bytes = BASE64.decode(&signature.value).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let message = value.get("certificate").and_then(canonical)?;
    let is_ours = signature.algorithm == "Ed25519"
        && BASE64.decode(&signature.key).is_ok_and(|key| key == trust.0)
        && bytes.is_some_and(|bytes| is_signed(trust, message.as_bytes(), &Signature(bytes)));
    checked.note(is_ours, "it is signed by the key that you trust", "it is not signed by the key that you trust");
    checked.must(certificate.certificate.format == FORMAT, "its format is unknown here: a newer program issued it");
    is_ours.then_some(certificate.certificate)
}

fn record(body: &Body, trust: &PublicKey, checked: &mut Checked) -> Option<(Checkpoint, Checkpoint)> {
    let (journal, record) = (body.journal(), &body.record);
    let open = |note: &str, which: &str, checked: &mut Checked| match Checkpoint::open(note, &journal, trust) {
        Ok(checkpoint) => Some(checkpoint),
        Err(fault) => {
            checked.refused.push(format!("the checkpoint {which} is refused: {fault}"));
            None
        }
    };
    let before = open(&record.before, "before", checked)?;
    let after = open(&record.after, "after", checked)?;
    let begun = &record.begun;
    checked.must(
        before.size < begun.sequence && begun.sequence <= after.size,
        "the erasure did not begin between the two checkpoints",
    );
    checked.must(before.time <= after.time, "the checkpoint after is older than the one before");
    let proof = hashes(&record.consistency);
    checked.note(
        proof.is_some_and(|proof| before.is_prefix_of(&after, &proof)),
        format!(
            "of the first {} messages of the record none was changed or removed, up to message {}",
            before.size, after.size
        ),
        "the record was changed between the two checkpoints, other than by appending",
    );
    let leaf = leaf_of(after.incarnations.of(begun.sequence), begun.sequence, &begun.hash.0);
    let is_in = hashes(&begun.inclusion)
        .is_some_and(|proof| is_included(&leaf, begun.sequence.saturating_sub(1), after.size, &after.root, &proof));
    checked.note(
        is_in,
        format!("the commit that began the erasure is message {} of the record", begun.sequence),
        "the commit that began the erasure is not in the record",
    );
    Some((before, after))
}

fn hashes(texts: &[String]) -> Option<Vec<Hash>> {
    texts.iter().map(|text| BASE64.decode(text).ok()?.try_into().ok()).collect()
}

fn key_map(body: &Body, checked: &mut Checked) {
    let mut shown: BTreeMap<u64, Vec<(Named, bool)>> = BTreeMap::new();
    for step in &body.key_map {
        let named: Vec<Named> = step
            .emptied
            .iter()
            .map(|emptied| {
                let target =
                    Target { data_subject: body.data_subject, scope: emptied.scope, part: emptied.part.clone() };
                (target, emptied.generations)
            })
            .collect();
        let proof = BASE64.decode(&step.proof).ok().and_then(|bytes| Removal::decode(&bytes).ok());
        let held = proof.map(|proof| proof.check(&step.before.0, &step.after.0, &named));
        match held {
            Some(Ok(held)) => {
                checked.holds.push(format!(
                    "with root version {} the named keys of this person went, and nobody else's key was removed, changed or added",
                    step.root_after
                ));
                shown.entry(step.root_after).or_default().extend(named.into_iter().zip(held));
            }
            Some(Err(fault)) => checked.refused.push(format!("the proof of the key map is refused: {fault}")),
            None => checked.refused.push("the proof of the key map cannot be read".to_owned()),
        }
    }
    for scope in &body.destroyed {
        let step = shown.get(&scope.root_after);
        let held = step.and_then(|step| {
            let found = step.iter().find(|((target, _), _)| (target.scope, &target.part) == (scope.scope, &scope.part));
            found.map(|(_, held)| *held)
        });
        match (scope.finding, held) {
            (Finding::Destroyed, Some(true)) | (Finding::NoneHeld, Some(false)) => {}
            // Where nothing was held, no root need have been replaced; where one was, it must show it.
            (Finding::NoneHeld, None) if step.is_none() => {}
            (Finding::NoneHeld, None) => {
                checked.refused.push(format!("{}: no proof of the key map shows that nothing was held", scope.scope));
            }
            (Finding::Destroyed, Some(false)) => {
                checked.refused.push(format!("{}: keys are said to be destroyed where none were", scope.scope));
            }
            (Finding::NoneHeld, Some(true)) => {
                checked.refused.push(format!("{}: there were keys, and none are said to be destroyed", scope.scope));
            }
            (Finding::Destroyed, None) => {
                checked.refused.push(format!("{}: no proof of the key map shows that its keys went", scope.scope));
            }
        }
    }
}

fn arithmetic(body: &Body, checked: &mut Checked) {
    let sections: u64 = body.destroyed.iter().map(|scope| scope.sections).sum();
    checked.must(sections == body.sections_made_unreadable, "the numbers of sections do not add up");
    for scope in &body.destroyed {
        let DestroyedScope { finding, keys, sections, root_before, root_after, .. } = scope;
        let fits = match finding {
            Finding::Destroyed => *keys > 0 && root_before < root_after,
            Finding::NoneHeld => *keys == 0 && *sections == 0,
        };
        checked.must(fits, format!("{}: finding, keys, sections and roots do not fit together", scope.scope));
        let is_kept = scope.part.is_none() && body.kept.iter().any(|kept| kept.scope == scope.scope);
        checked.must(!is_kept, format!("{}: said to be destroyed and kept", scope.scope));
    }
    checked.must(!body.destroyed.is_empty(), "nothing is said to be destroyed");
    let order = &body.order;
    checked.must(order.requested_by != order.approved_by, "the same user asked and approved");
    let times =
        [order.requested_at, order.approved_at, body.logically_effective_at, body.cryptographically_complete_by];
    checked.must(times.is_sorted(), "the times do not follow each other");
    if let Destruction::Scheduled { at } = body.old_roots {
        checked.must(at <= body.cryptographically_complete_by, "an old root outlives the date of completion");
    }
    checked.must(!body.what_this_cannot_prove.is_empty(), "it does not say what it cannot prove");
    checked
        .holds
        .push(format!("{sections} sections of the record cannot be read any more, by this count of its issuer"));
}

/// Reads the copy of the record from its start.
async fn against(dir: &Path, body: &Body, before: &Checkpoint, after: &Checkpoint, checked: &mut Checked) {
    let journal = body.journal();
    let lives = BTreeMap::from([(journal.clone(), after.incarnations.clone())]);
    let read = match ArchiveJournals::open(dir, &journal.tenant, lives) {
        Ok(source) => replay(&source, &journal, body, before, after).await,
        Err(failure) => Err(failure),
    };
    let replay = match read {
        Ok(replay) => replay,
        Err(failure) => return checked.refused.push(format!("the copy of the journal: {failure}")),
    };
    let has_root = |signed: &Checkpoint| replay.roots.get(&signed.size) == Some(&signed.root);
    let has_roots = has_root(before) && has_root(after);
    checked.note(
        has_roots,
        format!("your copy of the journal is the record that was signed, all {} messages of it", after.size),
        "your copy of the journal is not the record that was signed: it was changed, or is shorter",
    );
    checked.note(
        replay.has_begun,
        "the commit that began the erasure stands in your copy",
        "the commit that began the erasure does not stand in your copy",
    );
    let sections: u64 = replay.sections.iter().sum();
    let fits = replay.sections.iter().zip(&body.destroyed).all(|(count, scope)| *count == scope.sections);
    checked.note(
        fits,
        format!("{sections} sections of your copy are sealed under the destroyed keys, as the certificate says"),
        "your copy has another number of sections under the destroyed keys than the certificate says",
    );
}

/// What was seen in a copy of the record.
struct Replay {
    roots: BTreeMap<u64, Hash>,
    has_begun: bool,
    /// One for each destroyed scope.
    sections: Vec<u64>,
}

async fn replay(
    source: &ArchiveJournals,
    journal: &JournalId,
    body: &Body,
    before: &Checkpoint,
    after: &Checkpoint,
) -> Result<Replay, domain::port::Failure> {
    let begun = &body.record.begun;
    let privacy =
        StreamId { journal: journal.clone(), aggregate: Aggregate::Privacy, id: body.data_subject.to_string() };
    let mut replay = Replay { roots: BTreeMap::new(), has_begun: false, sections: vec![0; body.destroyed.len()] };
    let last = source.state(journal).await?.last.min(after.size);
    let mut peaks = Peaks::default();
    let sizes = [before.size, after.size];
    replay.roots.insert(0, peaks.root());
    while peaks.size() < last {
        for message in source.page(journal, peaks.size() + 1, last).await? {
            peaks.push(after.incarnations.leaf(message.sequence, &message.payload));
            if sizes.contains(&message.sequence) {
                replay.roots.insert(message.sequence, peaks.root());
            }
            let Some(Subject::Stream(stream)) = parse_subject(&message.subject) else {
                continue;
            };
            if stream.data_subject() != Some(body.data_subject) {
                continue;
            }
            // What is no commit any more shows in the root.
            let Ok(peeked) = peek(&message.payload) else {
                continue;
            };
            replay.has_begun |= (message.sequence, &stream, peeked.hash) == (begun.sequence, &privacy, begun.hash);
            for key in peeked.keys {
                if let KeyId::Person(key) = key {
                    count(&key, body, &mut replay.sections);
                }
            }
        }
    }
    Ok(replay)
}

fn count(key: &PersonKey, body: &Body, sections: &mut [u64]) {
    for (scope, count) in body.destroyed.iter().zip(sections) {
        let is_hit = (key.data_subject, key.scope) == (body.data_subject, scope.scope)
            && scope.part.as_ref().is_none_or(|part| *part == key.part);
        *count += u64::from(is_hit);
    }
}
