//! A commit's sections: structure first, then one of values for each key, all bound to the clear header.

use std::collections::BTreeSet;

use domain::body::{self, Sections, Values};
use domain::field::{PERSONAL, RawValue};
use domain::history::{BodyDigest, CommitHash, DataSubject, Decoded, Header, OpenEvent, StreamId};
use domain::open_body::OpenedSections;
use domain::port::Failure;
use domain::scope::{Part, Scope};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Fault, Nonce, open_message, seal};
use crate::frame::{Frame, KeyEntry, Message, StoredHeader, structure_aad, values_aad};
use crate::keys::{Key, KeyId, KeyState, PersonKey};

/// A commit may be this long.
pub const COMMIT_MAX: usize = 768 * 1024;

/// What can be read of a commit without a key. Nothing of it is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    /// The clear header.
    pub header: Header,
    /// Hash of the stored bytes.
    pub hash: CommitHash,
    /// The keys of its sections: the tenant's, then those of the person.
    pub keys: Vec<KeyId>,
}

/// Reads a commit's clear header.
///
/// # Errors
/// `Damaged` if the bytes are not a commit.
pub fn peek(bytes: &[u8]) -> Result<Peeked, Failure> {
    let sealed = SealedSections::read(bytes).map_err(|fault| Failure::damaged("a commit", fault))?;
    let keys = sealed.stored.keys.into_iter().map(|entry| entry.id).collect();
    Ok(Peeked { header: sealed.stored.header, hash: sealed.hash, keys })
}

/// The plain structure section.
#[derive(Serialize)]
struct Structure {
    events: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<CommitHash>,
}

/// A plain values section.
#[derive(Serialize)]
struct ValuesSection {
    values: Values,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<CommitHash>,
}

/// The structure section as it is opened: each event as text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedStructure {
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    digest: Option<CommitHash>,
}

/// A values section as it is opened.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedValues {
    values: Box<RawValue>,
    #[serde(default)]
    digest: Option<CommitHash>,
}

/// What a commit is sealed from.
pub(crate) struct Plain {
    pub(crate) header: Header,
    pub(crate) bodies: Vec<Value>,
    pub(crate) digest: BodyDigest,
    /// The structure's key.
    pub(crate) tenant: (u32, Key),
    /// The values and their keys.
    pub(crate) values: Vec<(PersonKey, Key, Values)>,
}

impl Plain {
    /// The commit's bytes. `nonce` is asked once a section.
    pub(crate) fn seal(mut self, mut nonce: impl FnMut() -> Nonce) -> Result<Vec<u8>, Fault> {
        self.values.sort_by(|(one, ..), (other, ..)| rank(one).cmp(&rank(other)));
        let (generation, tenant_key) = self.tenant;
        let tenant_id = KeyId::Tenant { generation };
        let entry = |id: &KeyId, key: &Key| KeyEntry { id: id.clone(), commitment: key.commitment() };
        let mut keys = vec![entry(&tenant_id, &tenant_key)];
        keys.extend(self.values.iter().map(|(id, key, _)| entry(&KeyId::Person(id.clone()), key)));
        let header = StoredHeader { header: self.header, keys }.encode()?;
        let header_hash = sha256(&header);

        // A digest that outlived the values could be tried against guesses: it dies with the first of them.
        let mut digest = Some(CommitHash(self.digest));
        let mut sections = vec![Vec::new()];
        for (id, key, values) in self.values {
            let plain = json(&ValuesSection { values, digest: digest.take() });
            sections.push(seal(&key, nonce(), &id.to_string(), &values_aad(&header_hash), &plain));
        }
        let plain = json(&Structure { events: self.bodies, digest });
        let aad = structure_aad(&header_hash, &hashes(&sections[1..]));
        sections[0] = seal(&tenant_key, nonce(), &tenant_id.to_string(), &aad, &plain);
        Ok(Frame { header: &header, sections: sections.iter().map(Vec::as_slice).collect() }.encode())
    }
}

/// Moves the values out of the bodies.
///
/// # Errors
/// A personal place that is not spelt as one: its value would stay in the structure, where no erasure reaches it.
pub(crate) fn split(bodies: &mut [Value]) -> Result<Sections, Fault> {
    let sections = body::split(bodies);
    if bodies.iter().any(keeps_a_value) { Err(Fault::Content) } else { Ok(sections) }
}

fn keeps_a_value(node: &Value) -> bool {
    match node {
        Value::Object(fields) => match fields.get(PERSONAL) {
            Some(place) => fields.len() != 1 || !is_empty_place(place),
            None => fields.values().any(keeps_a_value),
        },
        Value::Array(children) => children.iter().any(keeps_a_value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn is_empty_place(place: &Value) -> bool {
    let text = |key: &str| place.get(key).and_then(Value::as_str);
    let tagged = text("scope").is_some_and(|scope| scope.parse::<Scope>().is_ok())
        && text("part").is_some_and(|part| Part::try_from(part.to_owned()).is_ok());
    tagged && place.as_object().is_some_and(|place| place.len() == 2)
}

/// A commit whose frame and header were read, nothing opened yet.
pub(crate) struct SealedSections<'a> {
    pub(crate) stored: StoredHeader,
    pub(crate) hash: CommitHash,
    header_hash: [u8; 32],
    sections: Vec<&'a [u8]>,
}

/// What a commit holds, opened.
pub(crate) struct OpenedCommit {
    pub(crate) events: Vec<OpenEvent>,
    pub(crate) decoded: Decoded,
    pub(crate) digest: Option<BodyDigest>,
    pub(crate) erased: BTreeSet<(Scope, Part)>,
}

/// Why a commit does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("the key {0} was never heard of")]
    UnknownKey(KeyId),
}

impl<'a> SealedSections<'a> {
    /// Reads frame and header.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let frame = Frame::decode(bytes)?;
        let stored = StoredHeader::decode(frame.header)?;
        let header_hash = sha256(frame.header);
        Ok(Self { stored, hash: CommitHash(sha256(bytes)), header_hash, sections: frame.sections })
    }

    /// Checks that the commit is one of `stream`, with the keys that such a commit may have.
    pub(crate) fn check(&self, stream: &StreamId) -> Result<(), Fault> {
        if self.stored.header.stream != *stream {
            return Err(Fault::OtherStream);
        }
        let Some((tenant, people)) = self.stored.keys.split_first() else {
            return Err(Fault::KeyIds);
        };
        let people =
            people.iter().map(|entry| person_of(&entry.id)).collect::<Option<Vec<_>>>().ok_or(Fault::KeyIds)?;
        let fits = matches!(tenant.id, KeyId::Tenant { .. })
            && self.sections.len() == self.stored.keys.len()
            && people.iter().all(|key| owns(stream, key.data_subject))
            && people.windows(2).all(|pair| rank(pair[0]) < rank(pair[1]));
        if fits { Ok(()) } else { Err(Fault::KeyIds) }
    }

    /// Opens what can be opened. `states` has one entry a section.
    pub(crate) fn open(&self, states: &[KeyState]) -> Result<OpenedCommit, Refusal> {
        if states.len() != self.sections.len() {
            return Err(Fault::KeyIds.into());
        }
        let structure: OpenedStructure = match self.open_section(0, states, &self.structure_aad())? {
            Some(plain) => from_json(&plain)?,
            None => return Err(Fault::KeyIds.into()),
        };
        if structure.events.len() != self.stored.header.events.len() {
            return Err(Fault::Content.into());
        }
        let mut values = Vec::with_capacity(self.sections.len() - 1);
        let mut erased = BTreeSet::new();
        let mut digest = structure.digest;
        for (index, key) in self.people().enumerate() {
            let place = (key.scope, key.part.clone());
            match self.open_section(index + 1, states, &values_aad(&self.header_hash))? {
                None => drop(erased.insert(place)),
                Some(plain) => {
                    let section: OpenedValues = from_json(&plain)?;
                    digest = digest.or(section.digest);
                    values.push((place, section.values));
                }
            }
        }
        let opened = OpenedSections { events: structure.events, values };
        let header = &self.stored.header;
        let events = opened.into_events(header.stream.aggregate, &header.events);
        let (events, decoded) = events.map_err(|_| Fault::Content)?;
        Ok(OpenedCommit { events, decoded, digest: digest.map(|digest| digest.0), erased })
    }

    /// Checks all of the commit's bytes with the tenant's key alone, so also those of a person who was erased: the
    /// structure's tag covers the header and every section.
    pub(crate) fn authenticate(&self, tenant: &KeyState) -> Result<(), Refusal> {
        let mut states = vec![KeyState::Erased; self.sections.len()];
        match states.first_mut() {
            Some(first) => *first = tenant.clone(),
            None => return Err(Fault::KeyIds.into()),
        }
        self.open(&states).map(drop)
    }

    /// One section's plain bytes; none if its key is erased.
    fn open_section(&self, index: usize, states: &[KeyState], aad: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let entry = &self.stored.keys[index];
        // The section is checked even if its key is gone: only the key may be missing, never its place.
        let message = Message::decode(self.sections[index])?;
        if message.kid != entry.id.to_string() {
            return Err(Fault::KeyIds.into());
        }
        match &states[index] {
            KeyState::Erased => Ok(None),
            KeyState::Unknown => Err(Refusal::UnknownKey(entry.id.clone())),
            KeyState::Known(key) if key.commitment() != entry.commitment => Err(Fault::Commitment.into()),
            KeyState::Known(key) => Ok(Some(open_message(key, &message, aad)?.to_vec())),
        }
    }

    fn structure_aad(&self) -> Vec<u8> {
        structure_aad(&self.header_hash, &hashes(&self.sections[1..]))
    }

    fn people(&self) -> impl Iterator<Item = &PersonKey> {
        self.stored.keys.iter().filter_map(|entry| person_of(&entry.id))
    }
}

/// Sections are ordered by the texts of scope and part: a scope that joins the list later moves none.
fn rank(key: &PersonKey) -> (&str, &str) {
    (key.scope.as_str(), key.part.as_str())
}

fn person_of(id: &KeyId) -> Option<&PersonKey> {
    match id {
        KeyId::Person(key) => Some(key),
        KeyId::Tenant { .. } => None,
    }
}

fn owns(stream: &StreamId, data_subject: DataSubject) -> bool {
    stream.data_subject() == Some(data_subject)
}

fn json(plain: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(plain).expect("JSON values with text keys are JSON")
}

fn from_json<'a, T: Deserialize<'a>>(plain: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(plain).map_err(|_| Fault::Content)
}

fn hashes(sections: &[impl AsRef<[u8]>]) -> Vec<[u8; 32]> {
    sections.iter().map(|section| sha256(section.as_ref())).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_personal_place_that_is_misspelt_is_not_sealed_into_the_structure() {
        for body in [
            json!({"a": {"$personal": {"scope": "health.moods", "part": "all", "value": "Ada"}}}),
            json!({"a": {"$personal": {"scope": "health.clinical", "value": "Ada"}}}),
            json!({"a": [{"$personal": "Ada"}]}),
            json!({"a": {"$personal": {"scope": "health.clinical", "part": "all", "note": "Ada"}}}),
            json!({"a": {"$personal": {"scope": "health.clinical", "part": "all"}, "note": "Ada"}}),
        ] {
            assert_eq!(split(&mut [body.clone()]), Err(Fault::Content), "{body}");
        }
        let good = json!({"a": {"$personal": {"scope": "health.clinical", "part": "all", "value": "Ada"}}});
        assert_eq!(split(&mut [good]).map(|sections| sections.len()), Ok(1));
        let erased = json!({"a": {"$personal": {"scope": "health.clinical", "part": "all"}}});
        assert_eq!(split(&mut [erased]).map(|sections| sections.len()), Ok(0));
    }
}
