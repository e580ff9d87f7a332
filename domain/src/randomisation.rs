//! A randomisation list: sealed before the first participant, used slot by slot, never shown to whoever is blinded.
//!
//! The list says nothing about a person: a slot is given to an *allocation*, a random id that the participant's record
//! keeps under a key of that person. It stands in the structure of its stream, sealed with the tenant's key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decider::{self, Context, Decider, Recorded};
use crate::design::content_hash;
use crate::history::{Aggregate, CommitHash, StreamId};
use crate::ids::{AllocationId, Code, RandomisationNumber};
use crate::rejection::{Fault, Kind, Rejection};
use crate::scope::Plain;
use crate::study::Study;

mod csv;
mod generate;

/// The largest list, in slots: below what a commit may be.
pub const SLOTS_MAX: usize = 20_000;

// --- facts

facts! {
    /// What happened to a list.
    pub enum Event for Randomisation {
        /// It stands, for good. The digest is over [`Document`], so that later tampering shows.
        "list-sealed" 1 Sealed { content: Content, digest: CommitHash },
        /// The next slot of a stratum is somebody's.
        "slot-assigned" 1 SlotAssigned { allocation: AllocationId, stratum: u32, slot: u32 },
        /// No slot is given any more.
        "list-closed" 1 Closed {},
    }
}

/// All of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The arms with their weights.
    pub arms: Vec<Arm>,
    /// The stratification factors; none: one stratum.
    pub factors: Vec<Factor>,
    /// Where it comes from.
    pub origin: Origin,
    /// The slots, stratum by stratum; the levels of the last factor change fastest.
    pub strata: Vec<Stratum>,
    /// Random, so that nobody finds the list by trying which one has the digest.
    pub salt: Seed,
}

/// A treatment, by a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its code.
    pub arm: Code,
    /// Its share: 2 and 1 are two to one.
    pub weight: u32,
}

/// A stratification factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Its name.
    pub factor: Code,
    /// Its levels, in order.
    pub levels: Vec<Code>,
}

/// Where a list comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Origin {
    /// A file.
    #[default]
    Imported,
    /// Permuted blocks, made from a seed: see `randomisation/generate.rs`.
    Generated {
        /// The seed.
        seed: Seed,
        /// The sizes of blocks.
        block_sizes: Vec<u32>,
        /// How many slots a stratum has at least.
        slots: u32,
    },
}

/// The slots of one stratum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stratum {
    /// Each slot's arm, by its place among the arms.
    pub arms: Vec<u32>,
    /// Each slot's number, where the list came with numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<RandomisationNumber>,
}

/// 32 random bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Seed(pub CommitHash);

/// Never printed: from it follows the list.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// For each factor the level that a participant has.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Levels(pub BTreeMap<Code, Code>);

/// Never printed: it says something about a person.
impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Levels(…)")
    }
}

structural!(Content);

/// What the digest is over: these fields, in this order, as JSON without blanks.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    /// `lethe-randomisation-list-1`.
    pub format: &'static str,
    /// The tenant.
    pub tenant: &'a str,
    /// The study.
    pub study: &'a str,
    /// The list.
    pub list: &'a str,
    /// The list itself.
    #[serde(flatten)]
    pub content: &'a Content,
}

impl Content {
    /// The bytes that the digest is over.
    pub fn document(&self, stream: &StreamId) -> Vec<u8> {
        let document = Document {
            format: "lethe-randomisation-list-1",
            tenant: stream.journal.tenant.as_str(),
            study: stream.journal.study.as_ref().map_or("", |study| study.as_str()),
            list: &stream.id,
            content: self,
        };
        serde_json::to_vec(&document).expect("a list is plain data with text keys")
    }

    /// How many strata the levels make.
    fn combinations(&self) -> usize {
        self.factors.iter().map(|factor| factor.levels.len()).product()
    }

    fn stratum_of(&self, levels: &Levels) -> Option<usize> {
        let known = self.factors.iter().all(|factor| levels.0.contains_key(&factor.factor));
        let place = |at: usize, factor: &Factor| {
            let level = levels.0.get(&factor.factor)?;
            Some(at * factor.levels.len() + factor.levels.iter().position(|one| one == level)?)
        };
        if !known || levels.0.len() != self.factors.len() {
            return None;
        }
        self.factors.iter().try_fold(0, place)
    }

    fn faults(&self, sizes: &[u32]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault =
            |pointer: &str, detail: &str| faults.push(Fault { pointer: pointer.into(), detail: detail.into() });
        let distinct = |codes: Vec<&Code>| codes.iter().collect::<BTreeSet<_>>().len() == codes.len();
        if self.arms.len() < 2 || !distinct(self.arms.iter().map(|arm| &arm.arm).collect()) {
            fault("/arms", "a list has two or more arms, each once");
        }
        if self.arms.iter().any(|arm| arm.weight == 0 || arm.weight as usize > SLOTS_MAX) {
            fault("/arms", "an arm's weight is 1 or more");
        }
        if !distinct(self.factors.iter().map(|factor| &factor.factor).collect()) {
            fault("/factors", "a factor stands once");
        }
        if self.factors.iter().any(|one| one.levels.is_empty() || !distinct(one.levels.iter().collect())) {
            fault("/factors", "a factor has one or more levels, each once");
        }
        let sum: u64 = self.arms.iter().map(|arm| u64::from(arm.weight)).sum();
        if sizes.iter().any(|size| *size == 0 || *size as usize > SLOTS_MAX || sum == 0 || u64::from(*size) % sum != 0)
        {
            fault("/block_sizes", "a block size is a multiple of the sum of the weights");
        }
        faults
    }
}

// --- state

/// A list, if it is sealed.
#[derive(Debug, Clone, Default)]
pub enum Randomisation {
    /// Not yet.
    #[default]
    Absent,
    /// In use.
    Sealed(List),
    /// Over.
    Closed(List),
}

/// A list and what of it is taken.
#[derive(Debug, Clone)]
pub struct List {
    /// What was sealed.
    pub content: Arc<Content>,
    /// Its digest.
    pub digest: CommitHash,
    /// How many slots of each stratum are taken.
    taken: Vec<u32>,
    /// Whose they are: stratum and slot by allocation.
    allocations: BTreeMap<AllocationId, (u32, u32)>,
}

/// A slot, as it is given to somebody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Which stratum, from 0.
    pub stratum: u32,
    /// Which of its slots, from 0.
    pub slot: u32,
    /// The arm.
    pub arm: Code,
    /// The number, where the list came with numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<RandomisationNumber>,
}

/// Never printed: it says the arm.
impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot(…)")
    }
}

impl Randomisation {
    /// The list, used up or not, closed or not.
    pub fn list(&self) -> Option<&List> {
        match self {
            Self::Absent => None,
            Self::Sealed(list) | Self::Closed(list) => Some(list),
        }
    }

    /// The list, where it may be shown to those who know the arms: nobody is randomised from it any more, or the study's
    /// database is locked.
    ///
    /// # Errors
    /// No such list, or it is in use.
    pub fn revealed(&self, study: &Study) -> Result<&List, Refused> {
        match self {
            Self::Absent => Err(Refused::NoSuchList),
            Self::Closed(list) => Ok(list),
            Self::Sealed(list) if study.is_database_locked() => Ok(list),
            Self::Sealed(_) => Err(Refused::InUse),
        }
    }

    /// The stratum of somebody with these levels, if a slot of it is free.
    ///
    /// # Errors
    /// No such list or levels, or nothing is left.
    pub fn free(&self, levels: &Levels) -> Result<u32, Refused> {
        let Self::Sealed(list) = self else {
            return Err(if self.list().is_some() { Refused::Closed } else { Refused::NoSuchList });
        };
        let stratum = list.content.stratum_of(levels).ok_or(Refused::NoSuchStratum)?;
        let (slots, taken) = (list.content.strata.get(stratum), list.taken.get(stratum));
        match (slots, taken) {
            (Some(slots), Some(taken)) if (*taken as usize) < slots.arms.len() => Ok(stratum as u32),
            _ => Err(Refused::Exhausted),
        }
    }
}

impl List {
    /// The slot that an allocation was given.
    pub fn slot_of(&self, allocation: AllocationId) -> Option<Slot> {
        let (stratum, slot) = *self.allocations.get(&allocation)?;
        let slots = self.content.strata.get(stratum as usize)?;
        let arm = *slots.arms.get(slot as usize)?;
        let arm = self.content.arms.get(arm as usize)?.arm.clone();
        Some(Slot { stratum, slot, arm, number: slots.numbers.get(slot as usize).cloned() })
    }

    /// How many slots were given.
    pub fn assigned(&self) -> usize {
        self.allocations.len()
    }
}

// --- commands

/// What somebody wants of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = RandomisationCommand)]
pub enum Command {
    /// Makes a list of permuted blocks and seals it.
    Seal {
        /// The arms with their weights.
        arms: Vec<Arm>,
        /// The stratification factors.
        #[serde(default)]
        factors: Vec<Factor>,
        /// The sizes of blocks, each a multiple of the sum of the weights.
        block_sizes: Vec<u32>,
        /// How many slots each stratum has at least.
        slots: u32,
        /// What was drawn for it. Never from a body.
        #[serde(skip)]
        drawn: Option<Drawn>,
    },
    /// Seals a list that was made elsewhere.
    Import {
        /// CSV: `number,arm` and one column a factor; the slots of a stratum in the order of its lines.
        csv: Plain,
        /// What was drawn for it. Never from a body.
        #[serde(skip)]
        drawn: Option<Drawn>,
    },
    /// Gives the next slot of a stratum to an allocation. The platform's own.
    AssignSlot {
        /// To which.
        allocation: AllocationId,
        /// For each factor the level.
        levels: Levels,
    },
    /// Gives no slot any more.
    Close {},
}

/// Chance, as it was drawn outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// For the list.
    pub seed: Seed,
    /// For the digest.
    pub salt: Seed,
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Seal { .. } => "seal",
            Self::Import { .. } => "import",
            Self::AssignSlot { .. } => "assign-slot",
            Self::Close {} => "close",
        }
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody created the study.
    #[error("there is no such study: create it first")]
    NoSuchStudy,
    /// It is over and done with.
    #[error("the database of this study is locked: nothing changes in it any more")]
    DatabaseLocked,
    /// Not this one.
    #[error("there is no such randomisation list: seal or import it first")]
    NoSuchList,
    /// A sealed list is never changed.
    #[error("another list is sealed under this id: choose another id")]
    SealedOtherwise,
    /// Not a list.
    #[error("{} things are wrong with the list, so it was not sealed", .0.len())]
    Faults(Vec<Fault>),
    /// Chance comes from outside, and did not come.
    #[error("nothing was drawn for this list")]
    NothingDrawn,
    /// Over.
    #[error("the randomisation list is closed: nobody is randomised from it any more")]
    Closed,
    /// Not shown to anybody yet.
    #[error("the list is in use: it is shown once it is closed or the database is locked")]
    InUse,
    /// The list has other factors or levels.
    #[error("the list has no such stratum: say one of its levels for each of its factors, and nothing else")]
    NoSuchStratum,
    /// Nothing left.
    #[error("no slot is left in this stratum of the list: seal another list")]
    Exhausted,
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchStudy => "no-such-study",
            Self::DatabaseLocked => "database-locked",
            Self::NoSuchList => "no-such-list",
            Self::SealedOtherwise => "sealed-otherwise",
            Self::Faults(_) => "invalid-list",
            Self::NothingDrawn => "nothing-drawn",
            Self::Closed => "list-closed",
            Self::InUse => "list-in-use",
            Self::NoSuchStratum => "no-such-stratum",
            Self::Exhausted => "stratum-exhausted",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchStudy | Self::NoSuchList => Kind::NotFound,
            Self::Faults(_) | Self::NoSuchStratum => Kind::Invalid,
            Self::DatabaseLocked
            | Self::SealedOtherwise
            | Self::NothingDrawn
            | Self::Closed
            | Self::InUse
            | Self::Exhausted => Kind::Conflict,
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

impl Decider for Randomisation {
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
            Command::Seal { arms, factors, block_sizes, slots, drawn } => {
                let asked = (&arms[..], &factors[..], &block_sizes[..], *slots);
                self.seal(asked, *drawn, context)
            }
            Command::Import { csv, drawn } => self.import(&csv.0, *drawn, context),
            Command::AssignSlot { allocation, levels } => {
                let list = self.list().ok_or(Refused::NoSuchList)?;
                if list.allocations.contains_key(allocation) {
                    return Ok(vec![]);
                }
                let stratum = self.free(levels)?;
                let slot = list.taken.get(stratum as usize).copied().ok_or(Refused::Exhausted)?;
                Ok(vec![Event::SlotAssigned { allocation: *allocation, stratum, slot }])
            }
            Command::Close {} => match self {
                Self::Absent => Err(Refused::NoSuchList),
                Self::Sealed(_) => Ok(vec![Event::Closed {}]),
                Self::Closed(_) => Ok(vec![]),
            },
        }
    }

    fn evolve(&mut self, event: &Event, _: Recorded) {
        match event {
            Event::Sealed { content, digest } => {
                let taken = vec![0; content.strata.len()];
                let content = Arc::new(content.clone());
                *self = Self::Sealed(List { content, digest: *digest, taken, allocations: BTreeMap::new() });
            }
            Event::SlotAssigned { allocation, stratum, slot } => {
                if let Self::Sealed(list) | Self::Closed(list) = self {
                    list.allocations.insert(*allocation, (*stratum, *slot));
                    if let Some(taken) = list.taken.get_mut(*stratum as usize) {
                        *taken = slot.saturating_add(1);
                    }
                }
            }
            Event::Closed {} => {
                if let Self::Sealed(list) = self {
                    *self = Self::Closed(list.clone());
                }
            }
        }
    }
}

/// Arms, factors, sizes of blocks, slots a stratum.
type Asked<'a> = (&'a [Arm], &'a [Factor], &'a [u32], u32);

impl Randomisation {
    fn seal(
        &self,
        (arms, factors, sizes, slots): Asked<'_>,
        drawn: Option<Drawn>,
        context: &Context<'_, Study>,
    ) -> Result<Vec<Event>, Refused> {
        if let Some(list) = self.list() {
            let as_asked = matches!(&list.content.origin, Origin::Generated { block_sizes, slots: asked, .. }
                if block_sizes == sizes && *asked == slots);
            let same = as_asked && list.content.arms == arms && list.content.factors == factors;
            return if same { Ok(vec![]) } else { Err(Refused::SealedOtherwise) };
        }
        let Drawn { seed, salt } = drawn.ok_or(Refused::NothingDrawn)?;
        let origin = Origin::Generated { seed, block_sizes: sizes.to_vec(), slots };
        let (arms, factors) = (arms.to_vec(), factors.to_vec());
        let mut content = Content { arms, factors, origin, strata: Vec::new(), salt };
        let mut faults = content.faults(sizes);
        if sizes.is_empty() {
            faults.push(Fault { pointer: "/block_sizes".into(), detail: "say one or more sizes of blocks".into() });
        }
        let largest = slots as usize + sizes.iter().max().map_or(0, |size| *size as usize);
        if slots == 0 || content.combinations().saturating_mul(largest) > SLOTS_MAX {
            let detail = format!("a list has at least one slot, and all strata together {SLOTS_MAX} at most");
            faults.push(Fault { pointer: "/slots".into(), detail });
        }
        if !faults.is_empty() {
            return Err(Refused::Faults(faults));
        }
        let weights: Vec<u32> = content.arms.iter().map(|arm| arm.weight).collect();
        let strata = generate::permuted_blocks(seed, &weights, sizes, content.combinations(), slots);
        content.strata = strata.into_iter().map(|arms| Stratum { arms, numbers: Vec::new() }).collect();
        sealed(content, context)
    }

    fn import(&self, csv: &str, drawn: Option<Drawn>, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
        let read = csv::read(csv).map_err(Refused::Faults)?;
        if let Some(list) = self.list() {
            let same = *list.content == Content { salt: list.content.salt, ..read };
            return if same { Ok(vec![]) } else { Err(Refused::SealedOtherwise) };
        }
        let mut faults = read.faults(&[]);
        let slots: usize = read.strata.iter().map(|stratum| stratum.arms.len()).sum();
        if slots > SLOTS_MAX || read.strata.len() > SLOTS_MAX {
            faults.push(Fault { pointer: "/csv".into(), detail: format!("a list has {SLOTS_MAX} slots at most") });
        }
        if !faults.is_empty() {
            return Err(Refused::Faults(faults));
        }
        let Drawn { salt, .. } = drawn.ok_or(Refused::NothingDrawn)?;
        sealed(Content { salt, ..read }, context)
    }
}

fn sealed(content: Content, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
    if matches!(context.governing, Study::Absent) {
        return Err(Refused::NoSuchStudy);
    }
    if context.governing.is_database_locked() {
        return Err(Refused::DatabaseLocked);
    }
    let digest = content_hash(&content.document(context.stream));
    Ok(vec![Event::Sealed { content, digest }])
}

#[cfg(test)]
mod tests;
