//! A participant's record: registration, consent, forms, withdrawal. Governed by the study.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decider::{self, Context, Decider};
use crate::design::ItemValue;
use crate::history::{Aggregate, Revision, StreamId};
use crate::ids::{ConsentVersion, ErasureId, Oid, SiteId, SubjectNumber};
use crate::rejection::{Fault, Kind, Rejection};
use crate::scope::{DesignScoped, Erasable, Extent, OneValue, Part, Personal, Plain, Scope, tag};
use crate::study::Study;

mod save;

// --- facts

facts! {
    /// What happened in a participant's record.
    pub enum Event for Participant {
        /// The participant is in the study, under a pseudonym.
        "participant-registered" 1 Registered { site: SiteId, subject_number: SubjectNumber },
        /// Consent was given; data may be entered.
        "consent-given" 1 ConsentGiven { version: ConsentVersion, reference: Option<Personal<String, tag::HealthFreeText>> },
        /// Values of one form were saved.
        "items-saved" 1 ItemsSaved { form: FormKey, items: Vec<SavedItem> },
        /// The participant left. What was collected before stays.
        "participant-withdrawn" 1 Withdrawn { reason: Option<Personal<String, tag::HealthFreeText>> },
        /// Marker of an erasure: nothing of these scopes is taken any more, and these values are gone.
        "scopes-fenced" 2 Fenced { erasure: ErasureId, scopes: Vec<Scope>, values: Vec<OneValue> },
        /// Marker of a restriction (GDPR Art 18): stored, not processed.
        "processing-restricted" 1 Restricted { },
        /// The restriction is over.
        "restriction-lifted" 1 RestrictionLifted { },
    }
}

/// Which form of which visit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FormKey {
    /// The visit's OID.
    pub visit: Oid,
    /// Which occurrence of the visit, from 1.
    #[serde(default = "one")]
    pub visit_repeat: u32,
    /// The form's OID.
    pub form: Oid,
    /// Which occurrence of the form in the visit, from 1.
    #[serde(default = "one")]
    pub form_repeat: u32,
}

/// Which item of a form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemKey {
    /// The item group's OID.
    pub group: Oid,
    /// Which occurrence of the group on the form, from 1.
    #[serde(default = "one")]
    pub group_repeat: u32,
    /// The item's OID.
    pub item: Oid,
}

fn one() -> u32 {
    1
}

structural!(FormKey, ItemKey);

fields! {
    /// One value as saved; none: cleared.
    pub struct SavedItem {
        /// Which item.
        pub item: ItemKey,
        /// Its value.
        pub value: Option<DesignScoped<ItemValue>>,
        /// Why a saved value was changed.
        pub reason: Option<Personal<String, tag::HealthFreeText>>,
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
    /// The consent that holds.
    pub consent: Option<ConsentVersion>,
    /// The forms that were saved.
    pub forms: BTreeMap<FormKey, Form>,
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
    /// Its values; a cleared one is none.
    pub items: BTreeMap<ItemKey, Option<Erasable<ItemValue>>>,
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

// --- commands

/// What somebody wants of a participant's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = ParticipantCommand)]
pub enum Command {
    /// Registers the participant under the id in the address.
    Register {
        /// Where.
        site: SiteId,
        /// The pseudonym.
        subject_number: SubjectNumber,
    },
    /// Records that consent was given.
    GiveConsent {
        /// Which version of the consent form.
        version: ConsentVersion,
        /// Where the signed form is found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<Plain>,
    },
    /// Saves values of one form: all or none.
    SaveItems {
        /// Which form.
        #[serde(flatten)]
        form: FormKey,
        /// The values.
        items: Vec<ItemToSave>,
    },
    /// Records that the participant left.
    Withdraw {
        /// Why, if the participant said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Marks scopes and single values as erased. The platform's own.
    Fence {
        /// For which erasure.
        erasure: ErasureId,
        /// Which scopes.
        #[serde(default)]
        scopes: BTreeSet<Scope>,
        /// Which values.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        values: BTreeSet<OneValue>,
    },
    /// Marks processing as restricted. The platform's own.
    Restrict {},
    /// Ends the restriction. The platform's own.
    LiftRestriction {},
}

/// One value to save.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemToSave {
    /// The item group's OID.
    pub group: Oid,
    /// Which occurrence of the group on the form, from 1.
    #[serde(default = "one")]
    pub group_repeat: u32,
    /// The item's OID.
    pub item: Oid,
    /// The value; null clears it.
    pub value: Option<ItemValue>,
    /// Why, if a saved value is changed or cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Plain>,
}

impl ItemToSave {
    /// Which item of the form.
    pub fn key(&self) -> ItemKey {
        ItemKey { group: self.group.clone(), group_repeat: self.group_repeat, item: self.item.clone() }
    }
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::GiveConsent { .. } => "give-consent",
            Self::SaveItems { .. } => "save-items",
            Self::Withdraw { .. } => "withdraw",
            Self::Fence { .. } => "fence",
            Self::Restrict {} => "restrict",
            Self::LiftRestriction {} => "lift-restriction",
        }
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not there, or not at a site of this credential.
    #[error("there is no such participant: register it first, or use a credential of its site")]
    NoSuchParticipant,
    /// The study takes no participants yet.
    #[error("the study is not live: publish a design, open a site and go live first")]
    StudyNotLive,
    /// The study is over.
    #[error("the study is completed: nobody is registered any more")]
    StudyCompleted,
    /// The site is not open.
    #[error("the site is not open in this study, or not one of this credential")]
    NoSuchSite,
    /// Registered already, elsewhere or under another number.
    #[error("this participant id is registered already, at another site or under another subject number")]
    RegisteredOtherwise,
    /// No consent yet.
    #[error("no consent is recorded for this participant: record it first")]
    NoConsent,
    /// The participant left.
    #[error("the participant has withdrawn: nothing can be added")]
    Withdrawn,
    /// Processing is restricted.
    #[error("processing of this participant's data is restricted: nothing can be added until that is lifted")]
    Restricted,
    /// An erasure has taken the scope.
    #[error("the scope {0} of this participant has been erased: nothing of it is taken any more")]
    Erased(Scope),
    /// A saved form is changed without saying which revision.
    #[error("the form was saved before: send If-Match with its ETag")]
    TagRequired,
    /// The form changed meanwhile.
    #[error("the form has changed: read it again and decide anew")]
    TagDiffers(Revision),
    /// Something in the body does not fit the design.
    #[error("{} of the items cannot be saved, so none was", .0.len())]
    Faults(Vec<Fault>),
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchParticipant => "no-such-participant",
            Self::StudyNotLive => "study-not-live",
            Self::StudyCompleted => "study-completed",
            Self::NoSuchSite => "no-such-site",
            Self::RegisteredOtherwise => "registered-otherwise",
            Self::NoConsent => "no-consent",
            Self::Withdrawn => "withdrawn",
            Self::Restricted => "restricted",
            Self::Erased(_) => "erased",
            Self::TagRequired => "tag-required",
            Self::TagDiffers(_) => "tag-differs",
            Self::Faults(_) => "invalid-items",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchParticipant => Kind::NotFound,
            Self::NoSuchSite | Self::Faults(_) => Kind::Invalid,
            Self::StudyNotLive
            | Self::StudyCompleted
            | Self::RegisteredOtherwise
            | Self::NoConsent
            | Self::Withdrawn
            | Self::Restricted => Kind::Conflict,
            Self::Erased(_) => Kind::Erased,
            Self::TagRequired => Kind::PreconditionRequired,
            Self::TagDiffers(current) => Kind::PreconditionFailed { current: *current },
        }
    }

    fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Faults(faults) => faults.clone(),
            _ => Vec::new(),
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

    fn governed_by(stream: &StreamId) -> Option<StreamId> {
        let study = stream.journal.study.clone()?;
        Some(StreamId { journal: stream.journal.clone(), aggregate: Aggregate::Study, id: study.to_string() })
    }

    fn decide(&self, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
        match command {
            Command::Register { site, subject_number } => self.register(site, subject_number, context),
            Command::GiveConsent { version, reference } => self.give_consent(version, reference.as_ref(), context),
            Command::SaveItems { form, items } => save::decide(self.writable(context)?, form, items, context),
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

    fn evolve(&mut self, event: &Event, revision: Revision) {
        match event {
            Event::Registered { site, subject_number } => {
                *self = Self::Registered(Record {
                    site: site.clone(),
                    subject_number: subject_number.clone(),
                    consent: None,
                    forms: BTreeMap::new(),
                    fenced: BTreeSet::new(),
                    redacted: BTreeSet::new(),
                    restricted: false,
                });
            }
            Event::Withdrawn { .. } => {
                if let Self::Registered(record) = self {
                    *self = Self::Withdrawn(record.clone());
                }
            }
            other => {
                if let Some(record) = self.record_mut() {
                    record.evolve(other, revision);
                }
            }
        }
    }

    fn tag(&self, command: &Command, stream: Revision) -> Revision {
        match command {
            Command::SaveItems { form, .. } => {
                // A form that was never saved has no tag, so that its ETag is one that If-Match takes.
                self.record().and_then(|record| record.forms.get(form)).map_or(Revision::NONE, |form| form.tag)
            }
            _ => stream,
        }
    }
}

impl Record {
    fn evolve(&mut self, event: &Event, revision: Revision) {
        match event {
            Event::ConsentGiven { version, .. } => self.consent = Some(version.clone()),
            Event::ItemsSaved { form, items } => {
                let form = self.forms.entry(form.clone()).or_default();
                form.tag = revision;
                for saved in items {
                    let value = saved.value.as_ref().map(|value| value.value.clone());
                    form.items.insert(saved.item.clone(), value);
                }
            }
            Event::Fenced { scopes, values, .. } => {
                self.fenced.extend(scopes);
                self.redacted.extend(values.iter().cloned());
            }
            Event::Restricted {} => self.restricted = true,
            Event::RestrictionLifted {} => self.restricted = false,
            Event::Registered { .. } | Event::Withdrawn { .. } => {}
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
            let same = record.site == *site && record.subject_number == *subject_number;
            return if same { Ok(vec![]) } else { Err(Refused::RegisteredOtherwise) };
        }
        let Study::Live { setup, .. } = context.governing else { return Err(Refused::StudyNotLive) };
        if setup.completed.is_some() {
            return Err(Refused::StudyCompleted);
        }
        if !setup.sites.contains_key(site) || !context.principal.sites.contains(site) {
            return Err(Refused::NoSuchSite);
        }
        Ok(vec![Event::Registered { site: site.clone(), subject_number: subject_number.clone() }])
    }

    fn give_consent(
        &self,
        version: &ConsentVersion,
        reference: Option<&Plain>,
        context: &Context<'_, Study>,
    ) -> Result<Vec<Event>, Refused> {
        let record = self.writable(context)?;
        if record.consent.as_ref() == Some(version) {
            return Ok(vec![]);
        }
        let reference = free_text(record, reference, context)?;
        Ok(vec![Event::ConsentGiven { version: version.clone(), reference }])
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
fn free_text(
    record: &Record,
    text: Option<&Plain>,
    context: &Context<'_, Study>,
) -> Result<Option<Personal<String, tag::HealthFreeText>>, Refused> {
    match text {
        None => Ok(None),
        Some(_) if record.fenced.contains(&Scope::HealthFreeText) => Err(Refused::Erased(Scope::HealthFreeText)),
        Some(text) => {
            let part = Part::of_command(context.command, 0);
            Ok(Some(Personal::in_part(part, Erasable::Known(text.0.clone()))))
        }
    }
}

#[cfg(test)]
mod tests;
