//! Electronic signatures (21 CFR 11.50, 11.70, 11.200).
//!
//! A signature says who answers for which forms as they stood, and stands on the last commit before it. Commits are
//! chained by the hash of their sealed bytes, so it can be verified when what was signed cannot be read any more. It is
//! dropped by any later change of what it covers, and never deleted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, FormKey, ItemKey, Participant, Place, QueryKind, Record, Refused, SavedItem, locks, queries};
use crate::decider::{Context, Decider, Recorded};
use crate::design::{StudyDesign, content_hash};
use crate::field::Malformed;
use crate::history::{ActorKind, Commit, CommitHash, Revision, StreamId};
use crate::ids::{SignatureId, UserId};
use crate::rejection::{Fault, Kind, Rejection};
use crate::scope::{Erasable, Personal, Plain};
use crate::study::Study;

/// What a signature means (21 CFR 11.50(a)(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// I entered or caused this.
    Authorship,
    /// I have looked at this.
    Review,
    /// I answer for this.
    Approval,
    /// I take responsibility for the participant's data, as investigator.
    Responsibility,
}

/// What somebody proved who they are with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = SignatureFactor)]
pub enum Factor {
    /// A password.
    Password,
    /// A one-time code.
    OneTimeCode,
    /// A passkey.
    Passkey,
    /// The bearer token of the request.
    Token,
}

/// A form as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedForm {
    /// Which form.
    pub form: FormKey,
    /// The revision that had touched it last.
    pub tag: Revision,
}

structural!(Meaning, Factor, SignedForm);

/// Who signs, after it was asked anew who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The name to be printed.
    pub printed_name: Plain,
    /// How they proved who they are.
    pub factors: Vec<Factor>,
}

/// A signature as it stands.
#[derive(Debug, Clone)]
pub struct Signature {
    /// What was signed.
    pub place: Place,
    /// What it means.
    pub meaning: Meaning,
    /// The forms that it covers, as they stood.
    pub forms: Vec<SignedForm>,
    /// The design that was live.
    pub design: CommitHash,
    /// Over what was signed.
    pub digest: CommitHash,
    /// How the signer was known.
    pub factors: Vec<Factor>,
    /// The name printed with it.
    pub printed_name: Erasable<String>,
    /// Who signed, and when.
    pub signed: Recorded,
    /// What changed of it, if something did: then it does not hold any more.
    pub dropped: Option<Dropped>,
}

/// What ended a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// What changed: a form, or a visit's day.
    pub place: Place,
    /// Who changed it, when, in which commit.
    pub by: Recorded,
}

impl Signature {
    /// Nothing that it covers has changed since.
    pub fn holds(&self) -> bool {
        self.dropped.is_none()
    }
}

/// All signatures of a record.
#[derive(Debug, Clone, Default)]
pub struct Signatures(pub BTreeMap<SignatureId, Signature>);

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignRefused {
    /// Nobody was asked anew.
    #[error("a signature needs to know anew who signs: send the credential with it")]
    WhoSigns,
    /// Programs answer for nothing.
    #[error("only a person signs")]
    NotAPerson,
    /// Nothing saved there.
    #[error("nothing is saved there that could be signed")]
    NothingThere,
    /// Forms, visits, participants.
    #[error("a single item is not signed: sign its form")]
    SingleItem,
    /// Somebody is to explain a value first.
    #[error("{0} queries of edit checks wait for an answer here: answer them first")]
    Unanswered(usize),
    /// Something that must be there is not.
    #[error(
        "{} things that must be there are missing: nobody answers for what is not finished; enter them, or say why not", .0.len()
    )]
    Incomplete(Vec<Fault>),
}

impl Rejection for SignRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::WhoSigns => "reauthentication-required",
            Self::NotAPerson => "not-a-person",
            Self::NothingThere => "nothing-to-sign",
            Self::SingleItem => "single-item",
            Self::Unanswered(_) => "unanswered-checks",
            Self::Incomplete(_) => "incomplete",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::WhoSigns | Self::NotAPerson => Kind::Forbidden,
            Self::NothingThere | Self::SingleItem => Kind::Invalid,
            Self::Unanswered(_) | Self::Incomplete(_) => Kind::Conflict,
        }
    }

    fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Incomplete(faults) => faults.clone(),
            _ => Vec::new(),
        }
    }
}

pub(super) fn decide(
    record: &Record,
    place: &Place,
    meaning: Meaning,
    signer: Option<&Signer>,
    context: &Context<'_, Study>,
) -> Result<Vec<Event>, Refused> {
    let signature = SignatureId::of_command(context.command);
    let signer = signer.ok_or(SignRefused::WhoSigns)?;
    if context.principal.actor.kind != ActorKind::User {
        return Err(SignRefused::NotAPerson.into());
    }
    if matches!(place, Place::Item(_)) {
        return Err(SignRefused::SingleItem.into());
    }
    if record.signatures.0.contains_key(&signature) {
        return Ok(vec![]);
    }
    queries::known(record, place, context)?;
    locks::gate_database(context)?;
    let by = context.principal.actor.id;
    let stands = stands(record, place);
    if stands.is_empty() {
        return Err(SignRefused::NothingThere.into());
    }
    let forms: Vec<SignedForm> = stands.iter().map(StandingForm::signed).collect();
    let same = |known: &Signature| {
        let (what, who) = ((&known.place, known.meaning, &known.forms), known.signed.actor);
        known.holds() && what == (place, meaning, &forms) && who == by
    };
    if record.signatures.0.values().any(same) {
        return Ok(vec![]);
    }
    no_check_unanswered(record, place)?;
    nothing_missing(record, place, super::save::design(record, context)?)?;
    let design = context.governing.version_of(record).ok_or(Refused::StudyNotLive)?;
    let digest = digest(context.stream, by, &design, meaning, place, &stands, context.tail.hash);
    let (factors, printed_name) = (signer.factors.clone(), Personal::new(signer.printed_name.0.clone()));
    let place = place.clone();
    Ok(vec![Event::Signed { signature, place, meaning, forms, design, digest, factors, printed_name }])
}

/// Whoever answers for a value that a check asks about has seen to an explanation first.
fn no_check_unanswered(record: &Record, place: &Place) -> Result<(), SignRefused> {
    let unanswered = record
        .queries
        .unsettled_within(place)
        .filter(|(_, query)| query.kind == QueryKind::System && query.state.waits_for_answer());
    match unanswered.count() {
        0 => Ok(()),
        some => Err(SignRefused::Unanswered(some)),
    }
}

/// Whoever answers for a form answers for all that must be there: it is entered, or somebody said why not. Of a visit and of
/// the whole record that includes the forms that belong to visits which took place.
fn nothing_missing(record: &Record, place: &Place, design: &StudyDesign) -> Result<(), SignRefused> {
    let forms = record.forms.iter().filter(|(key, form)| place.covers_form(key) && is_standing(form));
    let items = forms.flat_map(|(key, _)| {
        let item = |item: ItemKey| Fault {
            pointer: "/place".into(),
            detail: format!(
                "{} in {} ({}) of form {} ({}) of visit {} ({}) is required",
                item.item, item.group, item.group_repeat, key.form, key.form_repeat, key.visit, key.visit_repeat
            ),
        };
        super::capture::missing(record, key, design).into_iter().map(item)
    });
    let not_begun = super::readiness::forms_not_started(record, design).into_iter();
    let forms = not_begun.filter(|key| place.covers_form(key)).map(|key| Fault {
        pointer: "/place".into(),
        detail: format!("form {} of visit {} ({}) was not begun", key.form, key.visit, key.visit_repeat),
    });
    let faults: Vec<Fault> = items.chain(forms).collect();
    if faults.is_empty() { Ok(()) } else { Err(SignRefused::Incomplete(faults)) }
}

fn is_standing(form: &super::Form) -> bool {
    !form.removed && !form.items.is_empty()
}

// --- what is signed

/// A form as it stands: its tag, and which revision saved each of its items.
#[derive(Serialize)]
struct StandingForm<'a> {
    form: &'a FormKey,
    tag: Revision,
    items: Vec<StandingItem<'a>>,
}

#[derive(Serialize)]
struct StandingItem<'a> {
    item: &'a ItemKey,
    revision: Revision,
}

/// What the digest is over, as JSON with the fields in this order (`docs/adr/0019-signatures-and-locks.md`).
#[derive(Serialize)]
struct Signed<'a> {
    stream: String,
    tenant: String,
    study: Option<String>,
    signer: UserId,
    design: &'a CommitHash,
    meaning: Meaning,
    place: &'a Place,
    forms: &'a [StandingForm<'a>],
    head: CommitHash,
}

impl StandingForm<'_> {
    fn signed(&self) -> SignedForm {
        SignedForm { form: self.form.clone(), tag: self.tag }
    }
}

fn stands<'a>(record: &'a Record, place: &Place) -> Vec<StandingForm<'a>> {
    let covered = |(key, form): &(&FormKey, &super::Form)| place.covers_form(key) && is_standing(form);
    let stands = |(form, found): (&'a FormKey, &'a super::Form)| {
        let items = found.items.iter().map(|(item, found)| StandingItem { item, revision: found.saved.revision });
        StandingForm { form, tag: found.tag, items: items.collect() }
    };
    record.forms.iter().filter(covered).map(stands).collect()
}

fn digest(
    stream: &StreamId,
    signer: UserId,
    design: &CommitHash,
    meaning: Meaning,
    place: &Place,
    forms: &[StandingForm<'_>],
    head: CommitHash,
) -> CommitHash {
    let (tenant, study) = (stream.journal.tenant.to_string(), stream.journal.study.as_ref().map(ToString::to_string));
    let signed = Signed { stream: stream.to_string(), tenant, study, signer, design, meaning, place, forms, head };
    content_hash(&serde_json::to_vec(&signed).expect("structure is plain data with text keys"))
}

// --- verifying

/// What was found when a signature was held against the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignatureCheck {
    /// The digest is that of what stood there when it was signed.
    pub digest: bool,
    /// Every commit from the first to the signature's names the hash of the one before it.
    pub chain: bool,
}

/// Holds a signature against the commits of its stream, oldest first; none if it is not among them. It needs headers,
/// structure and hashes only, so it says the same when every value is erased.
///
/// # Errors
/// A commit that does not have the shape that it promises.
pub fn verify_signature(commits: &[Commit], id: &SignatureId) -> Result<Option<SignatureCheck>, Malformed> {
    let mut state = Participant::default();
    let mut head = CommitHash::default();
    let mut chain = true;
    for commit in commits {
        chain &= commit.header.previous == head;
        let facts = commit.facts::<Event>()?;
        for fact in &facts {
            let Event::Signed { signature, place, meaning, forms, design, digest: signed, .. } = fact else { continue };
            if signature == id {
                let (stream, by) = (&commit.header.stream, commit.header.actor.id);
                let stands = state.record().map(|record| stands(record, place)).unwrap_or_default();
                let same_forms = stands.iter().map(StandingForm::signed).eq(forms.iter().cloned());
                let again = digest(stream, by, design, *meaning, place, &stands, commit.header.previous);
                return Ok(Some(SignatureCheck { digest: same_forms && again == *signed, chain }));
            }
        }
        facts.iter().for_each(|fact| state.evolve(fact, Recorded::of(&commit.header)));
        head = commit.hash;
    }
    Ok(None)
}

// --- dropping

/// What saving these items of `form` means for signatures.
pub(super) fn after_save(record: &Record, form: &FormKey, _saved: &[SavedItem]) -> Vec<Event> {
    after_change(record, &Place::Form(form.clone()))
}

/// What any change at `place` (a form, or whether and when a visit took place) means for signatures: each that answers for
/// it, or for the visit or participant that it is a part of now, is dropped.
pub(super) fn after_change(record: &Record, place: &Place) -> Vec<Event> {
    let covering = record.signatures.0.iter().filter(|(_, one)| one.holds() && one.place.covers(place));
    covering.map(|(id, _)| Event::SignatureDropped { signature: id.clone(), place: place.clone() }).collect()
}

/// Each signature is dropped once in a commit, whatever dropped it first: a visit's day, or a value computed of it.
pub(super) fn once(news: Vec<Event>) -> Vec<Event> {
    let mut dropped = BTreeSet::new();
    let mut kept = news;
    kept.retain(|event| match event {
        Event::SignatureDropped { signature, .. } => dropped.insert(signature.clone()),
        _ => true,
    });
    kept
}

impl Signatures {
    /// Whether somebody answers for the form as it stands.
    pub fn hold_for(&self, form: &FormKey) -> bool {
        let covers = |signature: &Signature| signature.forms.iter().any(|signed| signed.form == *form);
        self.0.values().any(|signature| signature.holds() && covers(signature))
    }

    /// Those that were dropped, and that nobody has given again since: for the same place, with the same meaning.
    pub fn to_give_again(&self) -> impl Iterator<Item = (&SignatureId, &Signature)> {
        let given_again = |lost: &Signature| {
            let same = |one: &Signature| one.place == lost.place && one.meaning == lost.meaning;
            self.0.values().any(|one| same(one) && (one.holds() || one.signed.revision > lost.signed.revision))
        };
        self.0.iter().filter(move |(_, one)| !one.holds() && !given_again(one))
    }

    pub(super) fn evolve(&mut self, event: &Event, recorded: Recorded) {
        match event {
            Event::Signed { signature, place, meaning, forms, design, digest, factors, printed_name } => {
                let signed = Signature {
                    place: place.clone(),
                    meaning: *meaning,
                    forms: forms.clone(),
                    design: *design,
                    digest: *digest,
                    factors: factors.clone(),
                    printed_name: printed_name.value.clone(),
                    signed: recorded,
                    dropped: None,
                };
                self.0.insert(signature.clone(), signed);
            }
            Event::SignatureDropped { signature, place } => {
                if let Some(found) = self.0.get_mut(signature) {
                    found.dropped.get_or_insert_with(|| Dropped { place: place.clone(), by: recorded });
                }
            }
            _ => {}
        }
    }
}
