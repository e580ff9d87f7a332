//! A participant's record: registration, consent, visits, forms and their values, queries, verification, locks,
//! signatures, withdrawal. Governed by the study.
//!
//! All of it is one stream, because it must agree: a save that closes a query, drops a signature and resets a
//! verification does so in the same commit, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::Day;
use crate::decider::{Context, Decider, ItemOutcome, Made, Recorded};
use crate::design::ItemValue;
use crate::history::{Aggregate, CommitHash, Revision, StreamId};
use crate::ids::{
    AllocationId, CheckId, Code, ConsentVersion, ErasureId, Label, ListId, QueryId, RandomisationNumber, SignatureId,
    SiteId, SubjectNumber, UnblindingId,
};
use crate::permit::Role;
use crate::randomisation::Levels;
use crate::scope::{DesignScoped, Erasable, Extent, OneValue, Part, Personal, Plain, Scope, tag};
use crate::study::Study;

mod capture;
mod checks;
mod command;
mod consent;
mod life;
mod locks;
mod migration;
mod place;
mod queries;
mod randomise;
mod readiness;
mod refused;
mod save;
mod sign;
mod verify;
mod visits;

pub use checks::{CheckOutcome, Severity};
pub use command::{Command, Expect, ItemToSave};
pub use consent::{Consent, ConsentRefused};
pub use life::{Eligibility, Ended, Ending, LifeRefused};
pub use locks::{Held, LockRefused, Locks};
pub use migration::{MigrationRefused, MigrationReport, Unfit};
pub use place::{FormKey, ItemKey, ItemPlace, Place, VisitKey};
pub use queries::{Queries, Query, QueryKind, QueryRefused, QueryState, is_of_site};
pub use randomise::{Allocation, Asked, Blinding, Given, Lot, RandomiseRefused, Unblinding};
pub use readiness::{Blocker, LeftOut, hindrances, left_out_items, readiness, required_items};
pub use refused::Refused;
pub use save::{NotDone, Source};
pub use sign::{
    Dropped, Factor, Meaning, SignRefused, Signature, SignatureCheck, Signatures, SignedForm, Signer, verify_signature,
};
pub use verify::{Verifications, VerifyRefused};
pub use visits::{Visit, VisitRefused};

/// A text about a person's health that can be redacted alone.
pub type FreeText = Personal<String, tag::HealthFreeText>;

// --- facts

facts! {
    /// What happened in a participant's record.
    pub enum Event for Participant {
        /// The participant is in the study, under a pseudonym.
        "participant-registered" 1 Registered { site: SiteId, subject_number: SubjectNumber },
        /// Data is entered under this design version.
        "design-assigned" 1 DesignAssigned { design: CommitHash },
        /// From now on data is entered under another version. Values for which it has no place stay as they are.
        "design-migrated" 1 DesignMigrated { from: CommitHash, to: CommitHash, read_only: Vec<ItemPlace> },
        /// Consent was given; data may be entered.
        "consent-given" 1 ConsentGiven { version: ConsentVersion, reference: Option<FreeText> },
        /// Consent was withdrawn: nothing is entered until it is given again. What was collected before stays.
        "consent-withdrawn" 1 ConsentWithdrawn { version: ConsentVersion, reason: Option<FreeText> },
        /// A visit took place, or began.
        "visit-started" 1 VisitStarted { visit: VisitKey, on: Personal<Day, tag::HealthClinical>, reason: Option<FreeText> },
        /// A visit did not take place.
        "visit-missed" 1 VisitMissed { visit: VisitKey, reason: FreeText },
        /// Values of one form were saved.
        "items-saved" 2 ItemsSaved { form: FormKey, items: Vec<SavedItem>, source: Source },
        /// Everything that is known was entered: from here each change is a correction.
        "form-completed" 1 FormCompleted { form: FormKey },
        /// More is to be entered after all.
        "form-reopened" 1 FormReopened { form: FormKey, reason: FreeText },
        /// The form does not belong here. Its values stay, and count no more.
        "form-removed" 1 FormRemoved { form: FormKey, reason: FreeText },
        /// It belongs here after all.
        "form-restored" 1 FormRestored { form: FormKey, reason: FreeText },
        /// A value met an edit check: refused, or accepted with a query. The value is as it was sent; `at` is its number in
        /// a command that was refused.
        "check-fired" 1 CheckFired { form: FormKey, item: ItemKey, check: CheckId, severity: Severity, outcome: CheckOutcome, value: Option<DesignScoped<ItemValue>>, at: Option<u32>, message: Option<Label> },
        /// Somebody, or a check, asks about something.
        /// What a check asks is its message in the design, so such a query has no text.
        "query-opened" 1 QueryOpened { query: QueryId, kind: QueryKind, place: Place, check: Option<CheckId>, by: Role, to: Option<Role>, candidate: bool, text: Option<FreeText> },
        /// A candidate is put to whoever is to answer.
        "query-raised" 1 QueryRaised { query: QueryId },
        /// The site has answered.
        "query-answered" 1 QueryAnswered { query: QueryId, text: FreeText },
        /// Somebody else is to answer.
        "query-forwarded" 1 QueryForwarded { query: QueryId, to: Role, text: Option<FreeText> },
        /// It is settled: by the one who asked, or because the check passes.
        "query-closed" 1 QueryClosed { query: QueryId, by_check: bool, text: Option<FreeText> },
        /// It should not have been asked.
        "query-cancelled" 1 QueryCancelled { query: QueryId, text: FreeText },
        /// It was not settled.
        "query-reopened" 1 QueryReopened { query: QueryId, text: FreeText },
        /// What a closed query was about has changed.
        "data-changed-after-close" 1 DataChangedAfterClose { query: QueryId },
        /// Values agree with their source.
        "data-verified" 1 Verified { form: FormKey, items: Vec<ItemKey> },
        /// They do not, or were not looked at.
        "verification-withdrawn" 1 VerificationWithdrawn { form: FormKey, items: Vec<ItemKey>, reason: FreeText },
        /// They changed in this commit: they are to be verified anew.
        "verification-reset" 1 VerificationReset { form: FormKey, items: Vec<ItemKey> },
        /// A group of reviewers has looked at the form.
        "form-reviewed" 1 Reviewed { form: FormKey, group: Label },
        /// The form changed in this commit: these groups are to look again.
        "review-reset" 1 ReviewReset { form: FormKey, groups: Vec<Label> },
        /// No value changes here for the time being; queries go on.
        "data-frozen" 1 Frozen { place: Place, reason: Option<FreeText> },
        /// Values may change again.
        "data-unfrozen" 1 Unfrozen { place: Place, reason: FreeText },
        /// Nothing changes here any more.
        "data-locked" 1 Locked { place: Place, reason: Option<FreeText> },
        /// It may change again.
        "data-unlocked" 1 Unlocked { place: Place, reason: FreeText },
        /// Somebody answers for what stands here (21 CFR 11.50, 11.70).
        "record-signed" 1 Signed { signature: SignatureId, place: Place, meaning: Meaning, forms: Vec<SignedForm>, design: CommitHash, digest: CommitHash, factors: Vec<Factor>, printed_name: Personal<String, tag::UserSignature> },
        /// What was signed changed in this commit.
        "signature-dropped" 2 SignatureDropped { signature: SignatureId, place: Place },
        /// A slot of a list is asked for. What joins the two is sealed with what tells the arm.
        "randomisation-asked" 1 RandomisationAsked { list: ListId, strata: Personal<Levels, tag::HealthClinical>, allocation: Personal<AllocationId, tag::HealthBlinded>, number: Personal<RandomisationNumber, tag::HealthClinical> },
        /// The list gave one.
        "participant-randomised" 1 Randomised { list: ListId, number: Personal<RandomisationNumber, tag::HealthClinical>, stratum: Personal<u32, tag::HealthBlinded>, slot: Personal<u32, tag::HealthBlinded>, arm: Personal<Code, tag::HealthBlinded> },
        /// The list had none left, or was closed meanwhile: another list may be asked.
        "randomisation-failed" 1 RandomisationFailed { list: ListId },
        /// Somebody asks to be told the arm.
        "unblinding-asked" 1 UnblindingAsked { unblinding: UnblindingId, emergency: bool, reason: FreeText },
        /// Another person agrees.
        "unblinding-approved" 1 UnblindingApproved { unblinding: UnblindingId },
        /// The arm is told to the one who asked.
        "unblinded" 1 Unblinded { unblinding: UnblindingId },
        /// Somebody learned the arm who should not have.
        "inadvertent-unblinding" 1 InadvertentUnblinding { reason: FreeText },
        /// An investigator finds that somebody meets every criterion for taking part.
        "eligibility-confirmed" 1 EligibilityConfirmed { on: Personal<Day, tag::HealthClinical> },
        /// Somebody does not, and the sponsor lets them take part all the same.
        "eligibility-waived" 1 EligibilityWaived { reason: FreeText },
        /// Their part in the study ended on this day, and not because they withdrew. What was collected before stays.
        "participation-ended" 1 ParticipationEnded { how: Ending, on: Personal<Day, tag::HealthClinical>, reason: Option<FreeText> },
        /// It had not: they are expected again.
        "participation-resumed" 1 ParticipationResumed { reason: FreeText },
        /// The participant left. What was collected before stays.
        "participant-withdrawn" 1 Withdrawn { reason: Option<FreeText> },
        /// Marker of an erasure: nothing of these scopes is taken any more, and these values are gone.
        "scopes-fenced" 2 Fenced { erasure: ErasureId, scopes: Vec<Scope>, values: Vec<OneValue> },
        /// Marker of a restriction (GDPR Art 18): stored, not processed.
        "processing-restricted" 1 Restricted { },
        /// The restriction is over.
        "restriction-lifted" 1 RestrictionLifted { },
    }
}

fields! {
    /// One value as saved; neither value nor not done: cleared.
    pub struct SavedItem {
        /// Which item.
        pub item: ItemKey,
        /// Its value.
        pub value: Option<DesignScoped<ItemValue>>,
        /// Why there is none.
        pub not_done: Option<NotDone>,
        /// The platform computed it.
        pub computed: bool,
        /// Why a saved value was changed.
        pub reason: Option<FreeText>,
    }
}

// --- state

/// The record as it stands.
#[derive(Debug, Clone, Default)]
pub enum Participant {
    /// Nobody registered the participant.
    #[default]
    Unregistered,
    /// In the study.
    Registered(Record),
    /// Left the study.
    Withdrawn(Record),
}

/// What is known of a participant.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where the participant is treated.
    pub site: SiteId,
    /// The pseudonym.
    pub subject_number: SubjectNumber,
    /// The design version under which data is entered; none: registered before versions were recorded.
    pub design: Option<CommitHash>,
    /// Values for which that version has no place: they stay, and do not change.
    pub read_only: BTreeSet<ItemPlace>,
    /// The consent that holds.
    pub consent: Option<ConsentVersion>,
    /// Every consent that was given, in order.
    pub consents: Vec<Consent>,
    /// The visits of which something is known.
    pub visits: BTreeMap<VisitKey, Visit>,
    /// The forms that were saved.
    pub forms: BTreeMap<FormKey, Form>,
    /// What was asked.
    pub queries: Queries,
    /// What was verified and reviewed.
    pub verifications: Verifications,
    /// What is frozen or locked.
    pub locks: Locks,
    /// Who has signed what.
    pub signatures: Signatures,
    /// Randomisation, and who was told the arm.
    pub blinding: Blinding,
    /// Whether they may take part, once it is said.
    pub eligibility: Option<Eligibility>,
    /// The participant left: nothing more is expected.
    pub withdrawn: bool,
    /// How else their part in the study ended, if it did: nothing more is expected.
    pub ended: Option<Ended>,
    /// It was said that it had ended, and then that it had not.
    resumed: bool,
    /// The scopes that an erasure fenced.
    pub fenced: BTreeSet<Scope>,
    /// The single values that an erasure took.
    pub redacted: BTreeSet<OneValue>,
    /// Whether processing is restricted.
    pub restricted: bool,
}

/// A form as it stands.
#[derive(Debug, Clone, Default)]
pub struct Form {
    /// The last revision that touched it: its tag.
    pub tag: Revision,
    /// Its items.
    pub items: BTreeMap<ItemKey, Item>,
    /// Everything that is known was entered.
    pub completed: bool,
    /// It does not belong here.
    pub removed: bool,
}

/// An item as it stands.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its value; none: cleared or not done.
    pub value: Option<Erasable<ItemValue>>,
    /// Why there is none.
    pub not_done: Option<NotDone>,
    /// The platform computed it.
    pub computed: bool,
    /// Who saved it last, and when.
    pub saved: Recorded,
    /// The place of the reason that was given, if one was: it tells by which command.
    pub reason: Option<Part>,
}

impl Participant {
    /// The record, unless nobody registered it.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Unregistered => None,
            Self::Registered(record) | Self::Withdrawn(record) => Some(record),
        }
    }

    fn record_mut(&mut self) -> Option<&mut Record> {
        match self {
            Self::Unregistered => None,
            Self::Registered(record) | Self::Withdrawn(record) => Some(record),
        }
    }
}

// --- evolve, decide

impl Decider for Participant {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = Study;
    type Rules = ();

    /// What was decided before the study froze or locked its data is not stored after (ADR 0019).
    const GUARDED: bool = true;

    /// Nobody's record is written to as often.
    const KEPT: bool = true;

    fn governed_by(stream: &StreamId) -> Option<StreamId> {
        let study = stream.journal.study.clone()?;
        Some(StreamId { journal: stream.journal.clone(), aggregate: Aggregate::Study, id: study.to_string() })
    }

    fn decide(&self, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
        match command {
            Command::Register { site, subject_number } => self.register(site, subject_number, context),
            Command::GiveConsent { version, reference } => {
                consent::give(self.writable(context)?, version, reference.as_ref(), context)
            }
            Command::WithdrawConsent { reason } => {
                consent::withdraw(self.visible(context)?.1, reason.as_ref(), context)
            }
            Command::StartVisit { .. } => visits::decide(self.writable(context)?, command, context),
            // What is missing is accounted for after a withdrawal too; nothing new is taken.
            Command::MissVisit { .. } => visits::decide(self.processable(context)?, command, context),
            Command::SaveItems { form, items, source } => {
                let record = self.processable(context)?;
                let record = if save::accounts_only(record, form, items) { record } else { self.writable(context)? };
                save::decide(record, form, items, *source, context)
            }
            Command::CompleteForm { .. }
            | Command::ReopenForm { .. }
            | Command::RemoveForm { .. }
            | Command::RestoreForm { .. } => capture::decide(self.processable(context)?, command, context),
            Command::OpenQuery { .. }
            | Command::RaiseQuery { .. }
            | Command::AnswerQuery { .. }
            | Command::ForwardQuery { .. }
            | Command::CloseQuery { .. }
            | Command::CancelQuery { .. }
            | Command::ReopenQuery { .. } => queries::decide(self.processable(context)?, command, context),
            Command::Verify { .. } | Command::WithdrawVerification { .. } | Command::ReviewForm { .. } => {
                verify::decide(self.processable(context)?, command, context)
            }
            Command::Freeze { .. } | Command::Unfreeze { .. } | Command::Lock { .. } | Command::Unlock { .. } => {
                locks::decide(self.processable(context)?, command, context)
            }
            Command::Sign { place, meaning, signer } => {
                sign::decide(self.processable(context)?, place, *meaning, signer.as_ref(), context)
            }
            Command::Migrate { to } => migration::decide(self.processable(context)?, to, context),
            Command::Randomise { .. }
            | Command::RecordRandomisation { .. }
            | Command::AskUnblinding { .. }
            | Command::ApproveUnblinding { .. }
            | Command::RecordUnblinding { .. }
            | Command::RecordInadvertentUnblinding { .. } => self.blinding(command, context),
            Command::ConfirmEligibility { .. }
            | Command::WaiveEligibility { .. }
            | Command::EndParticipation { .. }
            | Command::ResumeParticipation { .. } => life::decide(self.writable(context)?, command, context),
            Command::Withdraw { reason } => match self.visible(context)? {
                (Self::Withdrawn(_), _) => Ok(vec![]),
                (_, record) => {
                    let reason = free_text(record, reason.as_ref(), context)?;
                    Ok(vec![Event::Withdrawn { reason }])
                }
            },
            Command::Fence { erasure, scopes, values } => Ok(self.fence(*erasure, scopes, values)),
            Command::Restrict {} => Ok(self.restrict(true)),
            Command::LiftRestriction {} => Ok(self.restrict(false)),
        }
    }

    fn refusal(facts: &[Event]) -> Option<Refused> {
        checks::refusal(facts)
    }

    fn gives_number(facts: &[Event]) -> Option<&SubjectNumber> {
        facts.iter().find_map(|fact| match fact {
            Event::Registered { subject_number, .. } => Some(subject_number),
            _ => None,
        })
    }

    fn report(command: &Command, facts: &[Event]) -> Vec<ItemOutcome> {
        save::report(command, facts)
    }

    fn made(command: &Command, facts: &[Event]) -> Option<Made> {
        let asks = matches!(command, Command::OpenQuery { .. });
        facts.iter().find_map(|fact| match fact {
            Event::QueryOpened { query, .. } if asks => Some(Made::Query(query.clone())),
            Event::Signed { signature, .. } => Some(Made::Signature(signature.clone())),
            Event::UnblindingAsked { unblinding, .. } => Some(Made::Unblinding(unblinding.clone())),
            _ => None,
        })
    }

    fn evolve(&mut self, event: &Event, recorded: Recorded) {
        match event {
            Event::Registered { site, subject_number } => {
                *self = Self::Registered(Record::new(site.clone(), subject_number.clone()));
            }
            Event::Withdrawn { .. } => {
                if let Self::Registered(record) = self {
                    *self = Self::Withdrawn(Record { withdrawn: true, ..record.clone() });
                }
            }
            other => {
                if let Some(record) = self.record_mut() {
                    record.evolve(other, recorded);
                }
            }
        }
    }

    fn tag(&self, command: &Command, stream: Revision) -> Revision {
        match command.form() {
            // A form that was never saved has no tag, so that its ETag is one that If-Match takes.
            Some(form) => {
                self.record().and_then(|record| record.forms.get(&form)).map_or(Revision::NONE, |form| form.tag)
            }
            None => stream,
        }
    }
}

impl Record {
    /// Whether nothing more is expected of the participant.
    pub fn is_over(&self) -> bool {
        self.withdrawn || self.ended.is_some()
    }

    fn new(site: SiteId, subject_number: SubjectNumber) -> Self {
        Self {
            site,
            subject_number,
            design: None,
            read_only: BTreeSet::new(),
            consent: None,
            consents: Vec::new(),
            visits: BTreeMap::new(),
            forms: BTreeMap::new(),
            queries: Queries::default(),
            verifications: Verifications::default(),
            locks: Locks::default(),
            signatures: Signatures::default(),
            blinding: Blinding::default(),
            eligibility: None,
            withdrawn: false,
            ended: None,
            resumed: false,
            fenced: BTreeSet::new(),
            redacted: BTreeSet::new(),
            restricted: false,
        }
    }

    fn evolve(&mut self, event: &Event, recorded: Recorded) {
        match event {
            Event::DesignAssigned { design } => self.design = Some(*design),
            Event::DesignMigrated { to, read_only, .. } => {
                self.design = Some(*to);
                self.read_only = read_only.iter().cloned().collect();
            }
            Event::ConsentGiven { .. } | Event::ConsentWithdrawn { .. } => consent::evolve(self, event, recorded),
            Event::VisitStarted { .. } | Event::VisitMissed { .. } => visits::evolve(&mut self.visits, event),
            Event::ItemsSaved { .. }
            | Event::FormCompleted { .. }
            | Event::FormReopened { .. }
            | Event::FormRemoved { .. }
            | Event::FormRestored { .. } => capture::evolve(&mut self.forms, event, recorded),
            Event::QueryOpened { .. }
            | Event::QueryRaised { .. }
            | Event::QueryAnswered { .. }
            | Event::QueryForwarded { .. }
            | Event::QueryClosed { .. }
            | Event::QueryCancelled { .. }
            | Event::QueryReopened { .. }
            | Event::DataChangedAfterClose { .. } => self.queries.evolve(event, recorded),
            Event::Verified { .. }
            | Event::VerificationWithdrawn { .. }
            | Event::VerificationReset { .. }
            | Event::Reviewed { .. }
            | Event::ReviewReset { .. } => self.verifications.evolve(event, recorded),
            Event::Frozen { .. } | Event::Unfrozen { .. } | Event::Locked { .. } | Event::Unlocked { .. } => {
                self.locks.evolve(event);
            }
            Event::Signed { .. } | Event::SignatureDropped { .. } => self.signatures.evolve(event, recorded),
            Event::RandomisationAsked { .. }
            | Event::Randomised { .. }
            | Event::RandomisationFailed { .. }
            | Event::UnblindingAsked { .. }
            | Event::UnblindingApproved { .. }
            | Event::Unblinded { .. }
            | Event::InadvertentUnblinding { .. } => self.blinding.evolve(event, recorded),
            Event::EligibilityConfirmed { .. }
            | Event::EligibilityWaived { .. }
            | Event::ParticipationEnded { .. }
            | Event::ParticipationResumed { .. } => life::evolve(self, event),
            Event::Fenced { scopes, values, .. } => {
                self.fenced.extend(scopes);
                self.redacted.extend(values.iter().cloned());
            }
            Event::Restricted {} => self.restricted = true,
            Event::RestrictionLifted {} => self.restricted = false,
            // Kept for the audit trail: a check has no state of its own.
            Event::CheckFired { .. } | Event::Registered { .. } | Event::Withdrawn { .. } => {}
        }
    }
}

impl Participant {
    fn register(
        &self,
        site: &SiteId,
        subject_number: &SubjectNumber,
        context: &Context<'_, Study>,
    ) -> Result<Vec<Event>, Refused> {
        if let Some(record) = self.record() {
            if !context.principal.sites.contains(&record.site) {
                return Err(Refused::NoSuchParticipant);
            }
            let same = record.site == *site && record.subject_number == *subject_number;
            return if same { Ok(vec![]) } else { Err(Refused::RegisteredOtherwise) };
        }
        let Study::Live { setup, .. } = context.governing else { return Err(Refused::StudyNotLive) };
        if setup.completed.is_some() {
            return Err(Refused::StudyCompleted);
        }
        locks::gate_registration(setup, site)?;
        if !setup.sites.contains_key(site) || !context.principal.sites.contains(site) {
            return Err(Refused::NoSuchSite);
        }
        let design = context.governing.design_at(site).ok_or(MigrationRefused::NoDesignAtSite)?;
        let registered = Event::Registered { site: site.clone(), subject_number: subject_number.clone() };
        Ok(vec![registered, Event::DesignAssigned { design }])
    }

    /// The record, if it is there and at a site that the credential reaches.
    fn visible(&self, context: &Context<'_, Study>) -> Result<(&Self, &Record), Refused> {
        match self.record() {
            Some(record) if context.principal.sites.contains(&record.site) => Ok((self, record)),
            Some(_) | None => Err(Refused::NoSuchParticipant),
        }
    }

    /// The record, if something may be added to it.
    fn writable(&self, context: &Context<'_, Study>) -> Result<&Record, Refused> {
        match self.visible(context)? {
            (Self::Withdrawn(_), _) => Err(Refused::Withdrawn),
            (_, record) if record.restricted => Err(Refused::Restricted),
            (_, record) => Ok(record),
        }
    }

    /// The record, if something may be done with what stands in it: after a withdrawal too.
    fn processable(&self, context: &Context<'_, Study>) -> Result<&Record, Refused> {
        match self.visible(context)? {
            (_, record) if record.restricted => Err(Refused::Restricted),
            (_, record) => Ok(record),
        }
    }

    fn fence(&self, erasure: ErasureId, scopes: &BTreeSet<Scope>, values: &BTreeSet<OneValue>) -> Vec<Event> {
        let Some(record) = self.record() else { return vec![] };
        let present = Extent { scopes: record.fenced.clone(), values: record.redacted.clone() };
        match news(&present, scopes, values) {
            Some((scopes, values)) => vec![Event::Fenced { erasure, scopes, values }],
            None => vec![],
        }
    }

    fn restrict(&self, restricted: bool) -> Vec<Event> {
        match self.record() {
            Some(record) if record.restricted != restricted => {
                vec![if restricted { Event::Restricted {} } else { Event::RestrictionLifted {} }]
            }
            Some(_) | None => vec![],
        }
    }
}

/// What of scopes and values no marker stands for yet, if anything.
pub(crate) fn news(
    present: &Extent,
    scopes: &BTreeSet<Scope>,
    values: &BTreeSet<OneValue>,
) -> Option<(Vec<Scope>, Vec<OneValue>)> {
    let scopes: Vec<Scope> = scopes.difference(&present.scopes).copied().collect();
    let is_new = |value: &&OneValue| !present.covers(value.scope, &value.part);
    let values: Vec<OneValue> = values.iter().filter(is_new).cloned().collect();
    (!scopes.is_empty() || !values.is_empty()).then_some((scopes, values))
}

/// A free text with a key of its own; refused where that scope is erased.
fn free_text(record: &Record, text: Option<&Plain>, context: &Context<'_, Study>) -> Result<Option<FreeText>, Refused> {
    text.map(|text| needed_text(record, text, context)).transpose()
}

/// The same for a text that must be there.
fn needed_text(record: &Record, text: &Plain, context: &Context<'_, Study>) -> Result<FreeText, Refused> {
    if text.is_blank() {
        return Err(Refused::ReasonRequired);
    }
    if record.fenced.contains(&Scope::HealthFreeText) {
        return Err(Refused::Erased(Scope::HealthFreeText));
    }
    Ok(Personal::in_part(Part::of_command(context.command, 0), Erasable::Known(text.0.clone())))
}

#[cfg(test)]
mod tests;
