//! Consent: which version was given when, and whether it holds for what is entered.

use time::OffsetDateTime;

use super::{Event, Record, Refused, free_text};
use crate::Day;
use crate::decider::{Context, Recorded};
use crate::ids::ConsentVersion;
use crate::rejection::{Kind, Rejection};
use crate::scope::{Plain, Scope};
use crate::study::Study;

/// A consent that was given, and whether it was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Which version of the consent form.
    pub version: ConsentVersion,
    /// When.
    pub given: OffsetDateTime,
    /// When it was withdrawn, if it was.
    pub withdrawn: Option<OffsetDateTime>,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentRefused {
    /// Not one of the study's.
    #[error("the study has no consent form of this version: publish it first")]
    NoSuchVersion,
    /// The site may not use it.
    #[error("this version of the consent form is not approved at the participant's site: record the approval first")]
    NotApproved,
    /// It was taken back.
    #[error(
        "consent was withdrawn: nothing new is taken unless it is given again; what is missing is said not to be done"
    )]
    Withdrawn,
    /// There was none yet.
    #[error(
        "this is from before consent was given, by its visit's day or by when it was captured: nothing from before is taken"
    )]
    Before,
    /// There was one, and it is over.
    #[error("the consent that was given had ended when this took place: consent is to be given anew")]
    Expired,
    /// A newer one is needed.
    #[error("when this took place, consent to version {0} or a later one was required: consent is to be given anew")]
    Outdated(ConsentVersion),
}

impl Rejection for ConsentRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchVersion => "no-such-consent-version",
            Self::NotApproved => "consent-not-approved",
            Self::Withdrawn => "consent-withdrawn",
            Self::Before => "before-consent",
            Self::Expired => "consent-expired",
            Self::Outdated(_) => "re-consent-required",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchVersion => Kind::Invalid,
            Self::NotApproved | Self::Withdrawn | Self::Before | Self::Expired | Self::Outdated(_) => Kind::Conflict,
        }
    }
}

pub(super) fn give(
    record: &Record,
    version: &ConsentVersion,
    reference: Option<&Plain>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let holds = |last: &Consent| last.withdrawn.is_none() && last.version == *version;
    if record
        .consents
        .last()
        .is_some_and(|last| holds(last) && covers(last, DataOf::Moment(context.captured_at), context))
    {
        return Ok(vec![]);
    }
    if let Some(consents) = context.governing.consents().filter(|consents| !consents.is_empty()) {
        let published = consents.published(version).ok_or(ConsentRefused::NoSuchVersion)?;
        if !published.approved.contains_key(&record.site) {
            return Err(ConsentRefused::NotApproved.into());
        }
    }
    super::locks::gate_work(record, &super::Place::Participant, context)?;
    let reference = free_text(record, reference, context)?;
    Ok(vec![Event::ConsentGiven { version: version.clone(), reference }])
}

/// Always taken: a reason that cannot be kept any more does not stand in the way.
pub(super) fn withdraw(
    record: &Record,
    reason: Option<&Plain>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let Some(version) = record.consent.clone() else { return Ok(vec![]) };
    let kept = reason.filter(|reason| !reason.is_blank() && !record.fenced.contains(&Scope::HealthFreeText));
    Ok(vec![Event::ConsentWithdrawn { version, reason: free_text(record, kept, context)? }])
}

/// Whether somebody consented once: nothing is said of anybody who never did.
pub(super) fn was_given(record: &Record) -> Result<(), Refused> {
    if record.consents.is_empty() { Err(Refused::NoConsent) } else { Ok(()) }
}

/// Whether data may be entered now: data of `day` if that is known, otherwise data of the moment at which it was captured.
/// A study that published no consent form has no validity and no approvals to hold it against.
pub(super) fn gate(record: &Record, day: Option<Day>, context: &Context<'_, Study>) -> Result<(), Refused> {
    was_given(record)?;
    if record.consent.is_none() {
        return Err(ConsentRefused::Withdrawn.into());
    }
    let Some(consents) = context.governing.consents().filter(|consents| !consents.is_empty()) else { return Ok(()) };
    let of = day.map_or(DataOf::Moment(context.captured_at), DataOf::Day);
    let given = || record.consents.iter().filter(|consent| of.is_after(consent));
    if given().next().is_none() {
        return Err(ConsentRefused::Before.into());
    }
    let mut held = given().filter(|consent| covers(consent, of, context)).peekable();
    if held.peek().is_none() {
        return Err(ConsentRefused::Expired.into());
    }
    match consents.required(&record.site, of.day()) {
        Some(required) if !held.any(|consent| consents.satisfies(&consent.version, required)) => {
            Err(ConsentRefused::Outdated(required.clone()).into())
        }
        Some(_) | None => Ok(()),
    }
}

/// When data is from.
#[derive(Clone, Copy)]
enum DataOf {
    /// The day of its visit.
    Day(Day),
    /// When it was captured.
    Moment(OffsetDateTime),
}

impl DataOf {
    fn day(self) -> Day {
        match self {
            Self::Day(day) => day,
            Self::Moment(at) => Day(at.date()),
        }
    }

    /// A day is that of the site's calendar, which may still show the day before.
    fn is_after(self, consent: &Consent) -> bool {
        match self {
            Self::Day(day) => (consent.given - time::Duration::hours(12)).date() <= day.0,
            Self::Moment(at) => consent.given <= at,
        }
    }

    fn is_before(self, withdrawn: OffsetDateTime) -> bool {
        match self {
            Self::Day(day) => day.0 <= withdrawn.date(),
            Self::Moment(at) => at < withdrawn,
        }
    }
}

/// Whether a consent holds for data: given before, not withdrawn, not over.
fn covers(consent: &Consent, of: DataOf, context: &Context<'_, Study>) -> bool {
    let published = context.governing.consents().and_then(|consents| consents.published(&consent.version));
    let over = published.and_then(|published| published.ends(Day(consent.given.date())));
    of.is_after(consent)
        && consent.withdrawn.is_none_or(|withdrawn| of.is_before(withdrawn))
        && over.is_none_or(|over| of.day() < over)
}

pub(super) fn evolve(record: &mut Record, event: &Event, recorded: Recorded) {
    match event {
        Event::ConsentGiven { version, .. } => {
            record.consent = Some(version.clone());
            let given = recorded.captured_at;
            record.consents.push(Consent { version: version.clone(), given, withdrawn: None });
        }
        Event::ConsentWithdrawn { .. } => {
            record.consent = None;
            let open = record.consents.iter_mut().filter(|consent| consent.withdrawn.is_none());
            open.for_each(|consent| consent.withdrawn = Some(recorded.captured_at));
        }
        _ => {}
    }
}
