//! Deciding what is recorded about a person's identity.

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, Detail, Details, Event, Identity, PlainDetails, Refused, Vault};
use crate::decider::Context;
use crate::history::Revision;
use crate::ids::ErasureId;
use crate::participant::{Participant, Record, news};
use crate::rejection::Fault;
use crate::scope::{Erasable, Extent, OneValue, Part, Personal, Plain, Scope, tag};

type Here<'a> = Context<'a, Participant>;
type Known = BTreeMap<Detail, Erasable<String>>;
type Facts = Result<Vec<Event>, Refused>;

pub(super) fn decide(identity: &Identity, command: &Command, context: &Here<'_>) -> Facts {
    match command {
        Command::Record { details } => identity.record(details, context),
        Command::Rectify { details, clear, reason } => identity.rectify(details, clear, reason.as_ref(), context),
        Command::Fence { erasure, scopes, values } => Ok(identity.fence(*erasure, scopes, values)),
        Command::Restrict {} => Ok(if identity.restricted { vec![] } else { vec![Event::Restricted {}] }),
        Command::LiftRestriction {} => Ok(if identity.restricted { vec![Event::RestrictionLifted {}] } else { vec![] }),
    }
}

impl Identity {
    fn record(&self, wanted: &PlainDetails, context: &Here<'_>) -> Facts {
        let record = self.writable(context)?;
        self.refuse_erased(wanted.present().map(|(detail, _)| detail), record)?;
        let mut faults: Vec<Fault> = wanted.faults().collect();
        if wanted.present().next().is_none() {
            faults.push(Fault { pointer: "/details".into(), detail: "at least one detail is needed".into() });
        }
        match &self.vault {
            _ if !faults.is_empty() => Err(Refused::Faults(faults)),
            Vault::Recorded { details, .. } if changes(wanted, details).is_empty() => Ok(vec![]),
            Vault::Recorded { .. } => Err(Refused::RecordedOtherwise),
            Vault::Empty if matches!(context.governing, Participant::Withdrawn(_)) => Err(Refused::Withdrawn),
            Vault::Empty => Ok(vec![Event::Recorded { details: Details::of(changes(wanted, &Known::new())) }]),
        }
    }

    /// A withdrawn participant's identity can still be put right: that is a right of its own (GDPR Art 16).
    fn rectify(
        &self,
        wanted: &PlainDetails,
        clear: &BTreeSet<Detail>,
        reason: Option<&Plain>,
        context: &Here<'_>,
    ) -> Facts {
        let record = self.writable(context)?;
        let Vault::Recorded { details, tag } = &self.vault else {
            return Err(Refused::NothingRecorded);
        };
        self.refuse_erased(wanted.present().map(|(detail, _)| detail).chain(clear.iter().copied()), record)?;
        let text_erased = self.is_fenced(Scope::HealthFreeText, record);
        let reason = reason.filter(|reason| !reason.is_blank());
        let faults = rectify_faults(wanted, clear, reason.is_some() || text_erased);
        if !faults.is_empty() {
            return Err(Refused::Faults(faults));
        }
        if reason.is_some() && text_erased {
            return Err(Refused::ReasonErased);
        }
        let changed = changes(wanted, details);
        let cleared: Vec<Detail> = clear.iter().copied().filter(|detail| details.contains_key(detail)).collect();
        if changed.is_empty() && cleared.is_empty() {
            return Ok(vec![]);
        }
        check_tag(*tag, context.expected)?;
        let own_part = Part::of_command(context.command, 0);
        let reason: Option<Personal<String, tag::HealthFreeText>> =
            reason.map(|reason| Personal::in_part(own_part, Erasable::Known(reason.0.clone())));
        Ok(vec![Event::Rectified { details: Details::of(changed), cleared, reason }])
    }

    /// The participant's record, if it is at a site of this credential and may be processed.
    fn writable<'a>(&self, context: &'a Here<'_>) -> Result<&'a Record, Refused> {
        match context.governing.record() {
            Some(record) if context.principal.sites.contains(&record.site) => {
                if self.restricted || record.restricted {
                    Err(Refused::Restricted)
                } else {
                    Ok(record)
                }
            }
            Some(_) | None => Err(Refused::NoSuchParticipant),
        }
    }

    fn is_fenced(&self, scope: Scope, record: &Record) -> bool {
        self.fenced.contains(&scope) || record.fenced.contains(&scope)
    }

    fn refuse_erased(&self, mut wanted: impl Iterator<Item = Detail>, record: &Record) -> Result<(), Refused> {
        match wanted.find(|detail| self.is_fenced(detail.scope(), record)) {
            Some(detail) => Err(Refused::Erased(detail.scope())),
            None => Ok(()),
        }
    }

    /// A fence may come before anything is recorded: then it stands alone, and nothing of its scopes ever will be.
    fn fence(&self, erasure: ErasureId, scopes: &BTreeSet<Scope>, values: &BTreeSet<OneValue>) -> Vec<Event> {
        let present = Extent { scopes: self.fenced.clone(), values: self.redacted.clone() };
        match news(&present, scopes, values) {
            Some((scopes, values)) => vec![Event::Fenced { erasure, scopes, values }],
            None => vec![],
        }
    }
}

/// The details that are not what is known. What is erased differs from everything.
fn changes(wanted: &PlainDetails, known: &Known) -> BTreeMap<Detail, String> {
    let differs = |detail: &Detail, plain: &Plain| match known.get(detail) {
        Some(Erasable::Known(text)) => *text != plain.0,
        Some(Erasable::Erased) | None => true,
    };
    let changed = wanted.present().filter(|(detail, plain)| differs(detail, plain));
    changed.map(|(detail, plain)| (detail, plain.0.clone())).collect()
}

fn rectify_faults(wanted: &PlainDetails, clear: &BTreeSet<Detail>, reason_given: bool) -> Vec<Fault> {
    let mut faults: Vec<Fault> = wanted.faults().collect();
    let mut fault = |pointer: &str, detail: String| faults.push(Fault { pointer: pointer.into(), detail });
    if let Some(both) = clear.iter().find(|detail| wanted.get(**detail).is_some()) {
        fault("/clear", format!("{} is set and cleared in one command", both.as_str()));
    }
    if wanted.present().next().is_none() && clear.is_empty() {
        fault("/details", "there is nothing to rectify".into());
    }
    if !reason_given {
        fault("/reason", "say why: a reason is required".into());
    }
    faults
}

fn check_tag(current: Revision, expected: Option<Revision>) -> Result<(), Refused> {
    match expected {
        Some(expected) if expected != current => Err(Refused::TagDiffers(current)),
        Some(_) | None => Ok(()),
    }
}
