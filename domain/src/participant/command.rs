//! What somebody wants of a participant's record.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::place::one;
use super::{Ending, FormKey, ItemKey, Lot, Meaning, NotDone, Place, QueryKind, Signer, Source, VisitKey};
use crate::Day;
use crate::decider;
use crate::design::ItemValue;
use crate::history::CommitHash;
use crate::ids::{ConsentVersion, ErasureId, Label, ListId, Oid, QueryId, SiteId, SubjectNumber, UnblindingId};
use crate::permit::Role;
use crate::randomisation::{Levels, Slot};
use crate::scope::{OneValue, Plain, Scope};

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
    /// Records that consent was withdrawn. Always taken; needs no reason.
    WithdrawConsent {
        /// Why, if the participant said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Records that a visit took place, or began.
    StartVisit {
        /// Which visit.
        #[serde(flatten)]
        visit: VisitKey,
        /// On which day.
        on: Day,
        /// Why, if something else was said before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Records that a visit did not take place.
    MissVisit {
        /// Which visit.
        #[serde(flatten)]
        visit: VisitKey,
        /// Why.
        reason: Plain,
    },
    /// Saves values of one form: all or none.
    SaveItems {
        /// Which form.
        #[serde(flatten)]
        form: FormKey,
        /// The values.
        items: Vec<ItemToSave>,
        /// Where they come from.
        #[serde(default, skip_serializing_if = "Source::is_user")]
        source: Source,
    },
    /// Says that everything that is known was entered on a form.
    CompleteForm {
        /// Which form.
        #[serde(flatten)]
        form: FormKey,
    },
    /// Takes that back.
    ReopenForm {
        /// Which form.
        #[serde(flatten)]
        form: FormKey,
        /// Why.
        reason: Plain,
    },
    /// Says that a form does not belong here. Its values stay in the record.
    RemoveForm {
        /// Which form.
        #[serde(flatten)]
        form: FormKey,
        /// Why.
        reason: Plain,
    },
    /// Takes that back.
    RestoreForm {
        /// Which form.
        #[serde(flatten)]
        form: FormKey,
        /// Why.
        reason: Plain,
    },
    /// Asks about something.
    OpenQuery {
        /// About what.
        place: Place,
        /// What kind of question.
        #[serde(default)]
        kind: QueryKind,
        /// The question.
        text: Plain,
        /// Who is to answer; none: the site.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Role>,
        /// It is only a draft: nobody is to answer it before it is raised.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        candidate: bool,
    },
    /// Puts a candidate to whoever is to answer it.
    RaiseQuery {
        /// Which one.
        query: QueryId,
    },
    /// Answers a query.
    AnswerQuery {
        /// Which one.
        query: QueryId,
        /// The answer.
        text: Plain,
    },
    /// Hands a query to somebody else.
    ForwardQuery {
        /// Which one.
        query: QueryId,
        /// To whom.
        to: Role,
        /// With which words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Plain>,
    },
    /// Says that a query is settled.
    CloseQuery {
        /// Which one.
        query: QueryId,
        /// With which words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Plain>,
    },
    /// Says that a query should not have been asked.
    CancelQuery {
        /// Which one.
        query: QueryId,
        /// Why.
        text: Plain,
    },
    /// Says that a query which was closed or answered is not settled: it waits for an answer again.
    ReopenQuery {
        /// Which one.
        query: QueryId,
        /// Why.
        text: Plain,
    },
    /// Says that values agree with their source.
    Verify {
        /// On which form.
        #[serde(flatten)]
        form: FormKey,
        /// Which items; none: all that are saved.
        #[serde(default)]
        items: Vec<ItemKey>,
    },
    /// Takes that back.
    WithdrawVerification {
        /// On which form.
        #[serde(flatten)]
        form: FormKey,
        /// Which items; none: all.
        #[serde(default)]
        items: Vec<ItemKey>,
        /// Why.
        reason: Plain,
    },
    /// Says that a group of reviewers has looked at a form.
    ReviewForm {
        /// Which form.
        #[serde(flatten)]
        form: FormKey,
        /// Which group.
        group: Label,
    },
    /// Lets no value change here for the time being.
    Freeze {
        /// Where.
        place: Place,
        /// Why, if there is more to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Lets values change again.
    Unfreeze {
        /// Where.
        place: Place,
        /// Why.
        reason: Plain,
    },
    /// Lets nothing change here any more.
    Lock {
        /// Where.
        place: Place,
        /// Why, if there is more to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Lets it change again.
    Unlock {
        /// Where.
        place: Place,
        /// Why.
        reason: Plain,
    },
    /// Answers for what stands here.
    Sign {
        /// For what.
        place: Place,
        /// What the signature means.
        meaning: Meaning,
        /// Who signs, as found by asking anew who it is. Never from a body.
        #[serde(skip)]
        signer: Option<Signer>,
    },
    /// Has data entered under another design version from now on: one that is active at the participant's site or that
    /// the site has approved.
    Migrate {
        /// Content hash of that version.
        to: CommitHash,
    },
    /// Has the next slot of a list given to the participant.
    Randomise {
        /// Which list.
        list: ListId,
        /// For each of the list's factors the participant's level.
        #[serde(default)]
        strata: Levels,
        /// What was drawn for it. Never from a body.
        #[serde(skip)]
        drawn: Option<Lot>,
    },
    /// Records which slot was given; none: there was none left. The platform's own.
    RecordRandomisation {
        /// Which list.
        list: ListId,
        /// The slot.
        slot: Option<Slot>,
    },
    /// Asks to be told the arm. Another person has to approve it.
    AskUnblinding {
        /// Why.
        reason: Plain,
        /// Somebody's health hangs on it.
        #[serde(default)]
        emergency: bool,
    },
    /// Agrees that whoever asked is told.
    ApproveUnblinding {
        /// Which request.
        unblinding: UnblindingId,
    },
    /// Records that the one who asked is told: done before the arm is shown.
    RecordUnblinding {
        /// Which request.
        unblinding: UnblindingId,
    },
    /// Records that somebody learned the arm who should not have.
    RecordInadvertentUnblinding {
        /// How it came about.
        reason: Plain,
    },
    /// Says that a participant meets every criterion for taking part. Nobody is randomised before.
    ConfirmEligibility {
        /// On which day that was found.
        on: Day,
    },
    /// Lets somebody take part who does not meet a criterion.
    WaiveEligibility {
        /// Which criterion, and why.
        reason: Plain,
    },
    /// Records that a participant's part in the study has ended, and not because they withdrew. Nothing more is expected of
    /// them; what happened until that day is still taken.
    EndParticipation {
        /// How.
        how: Ending,
        /// On which day.
        on: Day,
        /// Why; may be left out of whoever came to the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Plain>,
    },
    /// Records that it has not ended after all.
    ResumeParticipation {
        /// Why.
        reason: Plain,
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
    /// Why there is none: then it is not cleared but not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_done: Option<NotDone>,
    /// Why, if a saved value is changed or cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Plain>,
    /// What must stand there before; none: whatever does. What stands there as it is sent is unchanged in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}

/// What must stand in an item before it is saved: a program that knows whether it adds or changes says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Nothing: never entered, or cleared.
    Nothing,
    /// A value, or why there is none.
    Something,
}

impl ItemToSave {
    /// Which item of the form.
    pub fn key(&self) -> ItemKey {
        ItemKey { group: self.group.clone(), group_repeat: self.group_repeat, item: self.item.clone() }
    }
}

impl Command {
    /// The form that it is about, or on which the item lies that it is about.
    pub fn form(&self) -> Option<FormKey> {
        match self {
            Self::SaveItems { form, .. }
            | Self::CompleteForm { form }
            | Self::ReopenForm { form, .. }
            | Self::RemoveForm { form, .. }
            | Self::RestoreForm { form, .. }
            | Self::Verify { form, .. }
            | Self::WithdrawVerification { form, .. }
            | Self::ReviewForm { form, .. } => Some(form.clone()),
            Self::OpenQuery { place, .. }
            | Self::Freeze { place, .. }
            | Self::Unfreeze { place, .. }
            | Self::Lock { place, .. }
            | Self::Unlock { place, .. }
            | Self::Sign { place, .. } => place.form(),
            _ => None,
        }
    }
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::GiveConsent { .. } => "give-consent",
            Self::WithdrawConsent { .. } => "withdraw-consent",
            Self::StartVisit { .. } => "start-visit",
            Self::MissVisit { .. } => "miss-visit",
            Self::SaveItems { .. } => "save-items",
            Self::CompleteForm { .. } => "complete-form",
            Self::ReopenForm { .. } => "reopen-form",
            Self::RemoveForm { .. } => "remove-form",
            Self::RestoreForm { .. } => "restore-form",
            Self::OpenQuery { .. } => "open-query",
            Self::RaiseQuery { .. } => "raise-query",
            Self::AnswerQuery { .. } => "answer-query",
            Self::ForwardQuery { .. } => "forward-query",
            Self::CloseQuery { .. } => "close-query",
            Self::CancelQuery { .. } => "cancel-query",
            Self::ReopenQuery { .. } => "reopen-query",
            Self::Verify { .. } => "verify",
            Self::WithdrawVerification { .. } => "withdraw-verification",
            Self::ReviewForm { .. } => "review-form",
            Self::Freeze { .. } => "freeze",
            Self::Unfreeze { .. } => "unfreeze",
            Self::Lock { .. } => "lock",
            Self::Unlock { .. } => "unlock",
            Self::Sign { .. } => "sign",
            Self::Migrate { .. } => "migrate",
            Self::Randomise { .. } => "randomise",
            Self::RecordRandomisation { .. } => "record-randomisation",
            Self::AskUnblinding { .. } => "ask-unblinding",
            Self::ApproveUnblinding { .. } => "approve-unblinding",
            Self::RecordUnblinding { .. } => "record-unblinding",
            Self::RecordInadvertentUnblinding { .. } => "record-inadvertent-unblinding",
            Self::ConfirmEligibility { .. } => "confirm-eligibility",
            Self::WaiveEligibility { .. } => "waive-eligibility",
            Self::EndParticipation { .. } => "end-participation",
            Self::ResumeParticipation { .. } => "resume-participation",
            Self::Withdraw { .. } => "withdraw",
            Self::Fence { .. } => "fence",
            Self::Restrict {} => "restrict",
            Self::LiftRestriction {} => "lift-restriction",
        }
    }
}
