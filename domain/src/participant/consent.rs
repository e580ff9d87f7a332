//! Consent: which version was given when, and whether it holds.

use super::{Event, Record, Refused, free_text};
use crate::decider::Context;
use crate::ids::ConsentVersion;
use crate::scope::Plain;
use crate::study::Study;

pub(super) fn give(
    record: &Record,
    version: &ConsentVersion,
    reference: Option<&Plain>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    if record.consent.as_ref() == Some(version) {
        return Ok(vec![]);
    }
    let reference = free_text(record, reference, context)?;
    Ok(vec![Event::ConsentGiven { version: version.clone(), reference }])
}

pub(super) fn withdraw(
    record: &Record,
    reason: Option<&Plain>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let Some(version) = record.consent.clone() else { return Ok(vec![]) };
    Ok(vec![Event::ConsentWithdrawn { version, reason: free_text(record, reason, context)? }])
}

/// Whether data may be entered.
pub(super) fn gate(record: &Record, _context: &Context<'_, Study>) -> Result<(), Refused> {
    if record.consent.is_some() { Ok(()) } else { Err(Refused::NoConsent) }
}
