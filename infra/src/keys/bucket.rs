//! A bucket: the keys of the people whose id hashes there, and the fences of their erasures.

use std::collections::{BTreeMap, BTreeSet};

use domain::history::DataSubject;
use domain::ids::TenantId;
use domain::port::Target;
use domain::scope::{Part, Scope};
use minicbor::Decoder;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::key::{Key, KeyState};
use super::key_id::PersonKey;
use super::node::{open_node, seal_node};
use super::store::{BucketPlace, Place};
use crate::frame::{Fault, array_len, array_of, encode, finished};
use crate::key_map::tree::Leaves;

/// The first life of a scope. The next one begins by an explicit, recorded act only; that act belongs here, beside
/// [`Bucket::create`], and does not exist yet.
const FIRST_GENERATION: u32 = 1;

/// A bucket with this many bytes takes no more keys. What is left to the largest message (1 MiB) is for fences:
/// an erasure must never fail because a bucket is full.
const SIZE_MAX: usize = 896 * 1024;

/// The tombstone of an erasure: of what it covers, no generation up to `through` is handed out or created again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fence {
    pub(crate) data_subject: DataSubject,
    /// None: every scope, those that do not exist yet included.
    pub(crate) scope: Option<Scope>,
    /// None: every part, those that do not exist yet included.
    pub(crate) part: Option<Part>,
    pub(crate) through: u32,
}

impl Fence {
    fn covers(&self, key: &PersonKey) -> bool {
        self.reaches(key.data_subject, key.scope, Some(&key.part)) && key.generation <= self.through
    }

    /// Whether it is at least as wide as (scope, part); no part: as all parts.
    fn reaches(&self, data_subject: DataSubject, scope: Scope, part: Option<&Part>) -> bool {
        self.data_subject == data_subject
            && self.scope.is_none_or(|fenced| fenced == scope)
            && self.part.as_ref().is_none_or(|fenced| Some(fenced) == part)
    }
}

/// What a bucket says about the key that new data would be sealed under.
#[derive(Debug)]
pub(crate) enum Current {
    Key(PersonKey, Key),
    Erased,
    None,
}

/// A bucket, open.
#[derive(Clone, Default)]
pub(crate) struct Bucket {
    /// Its last message; zero: never written.
    pub(crate) sequence: u64,
    keys: BTreeMap<PersonKey, Key>,
    fences: BTreeSet<Fence>,
}

fn hits(target: &Target, key: &PersonKey) -> bool {
    (target.data_subject, target.scope) == (key.data_subject, key.scope)
        && target.part.as_ref().is_none_or(|part| *part == key.part)
}

impl Bucket {
    /// How much it weighs in memory, in keys and fences.
    pub(crate) fn weight(&self) -> usize {
        1 + self.keys.len() + self.fences.len()
    }

    /// Whether it has no room for more keys.
    pub(crate) fn is_full(&self) -> bool {
        self.size() > SIZE_MAX
    }

    pub(crate) fn state(&self, key: &PersonKey) -> KeyState {
        if self.fences.iter().any(|fence| fence.covers(key)) {
            return KeyState::Erased;
        }
        self.keys.get(key).map_or(KeyState::Unknown, |key| KeyState::Known(key.clone()))
    }

    /// The newest key of a part that no fence covers.
    pub(crate) fn current(&self, data_subject: DataSubject, scope: Scope, part: &Part) -> Current {
        let first = PersonKey { data_subject, scope, part: part.clone(), generation: FIRST_GENERATION };
        let last = PersonKey { generation: u32::MAX, ..first.clone() };
        let newest = self.keys.range(first.clone()..=last).next_back();
        let candidate = newest.map_or(&first, |(id, _)| id);
        if self.fences.iter().any(|fence| fence.covers(candidate)) {
            return Current::Erased;
        }
        newest.map_or(Current::None, |(id, key)| Current::Key(id.clone(), key.clone()))
    }

    /// A fresh key for a part that has none. Ask [`Bucket::current`] first: it knows the fences.
    pub(crate) fn create(&mut self, data_subject: DataSubject, scope: Scope, part: &Part) -> (PersonKey, Key) {
        let id = PersonKey { data_subject, scope, part: part.clone(), generation: FIRST_GENERATION };
        let key = Key::random();
        self.keys.insert(id.clone(), key.clone());
        (id, key)
    }

    /// Fences a target through the highest generation that it has, at least the first. Says whether that is news.
    pub(crate) fn fence(&mut self, target: &Target) -> bool {
        let Target { data_subject, scope, part } = target;
        let highest = self.targeted(target).map(|(id, _)| id.generation).max();
        let through = highest.unwrap_or(FIRST_GENERATION);
        let wide = |fence: &Fence| fence.reaches(*data_subject, *scope, part.as_ref());
        if self.fences.iter().any(|fence| wide(fence) && fence.through >= through) {
            return false;
        }
        let fence = Fence { data_subject: *data_subject, scope: Some(*scope), part: part.clone(), through };
        self.fences.retain(|older| {
            let narrower = (older.data_subject, older.scope) == (*data_subject, Some(*scope))
                && (part.is_none() || older.part == *part);
            !(narrower && older.through <= through)
        });
        self.fences.insert(fence)
    }

    /// Whether everything that the target names is fenced.
    pub(crate) fn is_fenced(&self, target: &Target) -> bool {
        self.fences.iter().any(|fence| fence.reaches(target.data_subject, target.scope, target.part.as_ref()))
    }

    /// Whether keys lie here that are fenced and not yet shredded.
    pub(crate) fn holds_fenced_keys(&self) -> bool {
        !self.fences.is_empty() && self.keys.keys().any(|key| self.fences.iter().any(|fence| fence.covers(key)))
    }

    /// Whether the target has fenced keys here.
    pub(crate) fn has_fenced(&self, target: &Target) -> bool {
        self.targeted(target).any(|(key, _)| self.fences.iter().any(|fence| fence.covers(key)))
    }

    /// Removes the target's fenced keys. Says how many.
    pub(crate) fn remove(&mut self, target: &Target) -> u64 {
        let before = self.keys.len();
        let fences = &self.fences;
        self.keys.retain(|key, _| !(hits(target, key) && fences.iter().any(|fence| fence.covers(key))));
        (before - self.keys.len()) as u64
    }

    /// The target's keys, past all fences.
    pub(crate) fn targeted(&self, target: &Target) -> impl Iterator<Item = (&PersonKey, &Key)> {
        self.keys.iter().filter(move |(key, _)| hits(target, key))
    }

    /// What the key map says about it.
    pub(crate) fn leaves(&self) -> Leaves {
        Leaves::of(self.keys.iter().map(|(id, key)| (id, key.commitment())))
    }

    pub(crate) fn seal(&self, tenant: &TenantId, place: BucketPlace, key: &Key) -> Vec<u8> {
        seal_node(tenant, Place::Bucket(place), key, &self.body())
    }

    pub(crate) fn open(
        tenant: &TenantId,
        place: BucketPlace,
        key: &Key,
        bytes: &[u8],
        sequence: u64,
    ) -> Result<Self, Fault> {
        let plain = open_node(tenant, Place::Bucket(place), key, bytes)?;
        Self::read_body(&plain, sequence)
    }

    /// `[[[data subject, scope, part, generation, key], …], [[data subject, scope, part, through], …]]`
    fn body(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it at once: a buffer that grew would leave keys behind in the memory it gave back.
        Zeroizing::new(encode(self.size(), |e| {
            e.array(2)?.array(self.keys.len() as u64)?;
            for (id, key) in &self.keys {
                e.array(5)?.bytes(id.data_subject.0.as_bytes())?;
                e.str(id.scope.as_str())?.str(id.part.as_str())?.u32(id.generation)?.bytes(key.expose())?;
            }
            e.array(self.fences.len() as u64)?;
            for fence in &self.fences {
                e.array(4)?.bytes(fence.data_subject.0.as_bytes())?;
                e.encode(fence.scope.map(Scope::as_str))?.encode(fence.part.as_ref().map(Part::as_str))?;
                e.u32(fence.through)?;
            }
            e.ok()
        }))
    }

    /// At least as many bytes as its body has, and hardly more.
    fn size(&self) -> usize {
        let key = |id: &PersonKey| 62 + id.scope.as_str().len() + id.part.as_str().len();
        let fence = |fence: &Fence| {
            28 + fence.scope.map_or(0, |scope| scope.as_str().len())
                + fence.part.as_ref().map_or(0, |part| part.as_str().len())
        };
        32 + self.keys.keys().map(key).sum::<usize>() + self.fences.iter().map(fence).sum::<usize>()
    }

    fn read_body(plain: &[u8], sequence: u64) -> Result<Self, Fault> {
        let d = &mut Decoder::new(plain);
        array_of(d, 2)?;
        let mut bucket = Self { sequence, ..Self::default() };
        for _ in 0..array_len(d)? {
            array_of(d, 5)?;
            let data_subject = read_data_subject(d)?;
            let (scope, part) = (read_scope(d.str()?)?, read_part(d.str()?)?);
            let id = PersonKey { data_subject, scope, part, generation: d.u32()? };
            bucket.keys.insert(id, Key::from_slice(d.bytes()?).ok_or(Fault::Content)?);
        }
        for _ in 0..array_len(d)? {
            array_of(d, 4)?;
            let data_subject = read_data_subject(d)?;
            let scope = d.decode::<Option<&str>>()?.map(read_scope).transpose()?;
            let part = d.decode::<Option<&str>>()?.map(read_part).transpose()?;
            bucket.fences.insert(Fence { data_subject, scope, part, through: d.u32()? });
        }
        finished(d).map(|()| bucket)
    }
}

fn read_data_subject(d: &mut Decoder<'_>) -> Result<DataSubject, Fault> {
    Uuid::from_slice(d.bytes()?).map(DataSubject).map_err(|_| Fault::Content)
}

fn read_scope(text: &str) -> Result<Scope, Fault> {
    text.parse().map_err(|_| Fault::Content)
}

fn read_part(text: &str) -> Result<Part, Fault> {
    Part::try_from(text.to_owned()).map_err(|_| Fault::Content)
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;
