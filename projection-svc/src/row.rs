//! What a row of a read model is made of.
//!
//! A row is a [`Field`], as an event is: structure, and personal values that carry a scope by type. So a row cannot
//! hold a personal value outside a sealed cell, for the same reason an event cannot: it does not compile.
//! In the store a row is its structure in the clear and one sealed cell for each (scope, part); see [`crate::cells`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use domain::Moment;
use domain::field::{Field, Malformed, Parts, RawValue, Reading, Writing};
use domain::history::{Actor, Commit, DataSubject, Revision};
use domain::ids::{CommandId, ParticipantId, StudyId};
use domain::structural;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What can stand in a read model's table.
pub trait Row: Field + Clone + PartialEq + Send + Sync + 'static {}

impl<T: Field + Clone + PartialEq + Send + Sync + 'static> Row for T {}

/// A row's key: of which study, about whom, and which. Ids only, so that it may stand in the clear.
///
/// Rows about one person share a prefix: that is how a marker finds them. Rows of different studies differ in the
/// first part: that is why journal streams may be followed side by side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// The study; none for what belongs to the tenant.
    pub study: Option<StudyId>,
    /// The person whose values the row holds; none for a row without any.
    pub person: Option<DataSubject>,
    /// Which row. No id of ours holds a slash, so a path of ids is unambiguous.
    pub rest: String,
}

impl RowKey {
    /// A row about nobody.
    pub fn plain(study: Option<&StudyId>, rest: impl Into<String>) -> Self {
        Self { study: study.cloned(), person: None, rest: rest.into() }
    }

    /// A row about a person.
    pub fn about(study: Option<&StudyId>, person: DataSubject, rest: impl Into<String>) -> Self {
        Self { study: study.cloned(), person: Some(person), rest: rest.into() }
    }

    /// The key as stored.
    pub fn bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Reads a stored key; none if it is not a row's.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut steps = std::str::from_utf8(bytes).ok()?.splitn(3, '/');
        let study = match steps.next()? {
            "_" => None,
            study => Some(study.parse().ok()?),
        };
        let person = match steps.next()? {
            "_" => None,
            person => Some(DataSubject(person.parse().ok()?)),
        };
        Some(Self { study, person, rest: steps.next()?.to_owned() })
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let study = self.study.as_ref().map_or("_", StudyId::as_str);
        match &self.person {
            Some(person) => write!(f, "{study}/{person}/{}", self.rest),
            None => write!(f, "{study}/_/{}", self.rest),
        }
    }
}

/// A participant as the one whose data a row holds.
pub fn person(participant: ParticipantId) -> DataSubject {
    DataSubject(participant.0)
}

/// Who did it and when, as the commit's clear header says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Act {
    /// Who, in which role, for which organisation.
    pub actor: Actor,
    /// When it was stored, by the server's clock.
    pub stored_at: Moment,
    /// When it was captured, as the client says; otherwise the time stored.
    pub captured_at: Moment,
    /// The revision of the stream that says so.
    #[schema(value_type = u64)]
    pub revision: Revision,
    /// The command that was carried out.
    pub command: CommandId,
}

impl Act {
    /// What the commit's header says.
    pub fn of(commit: &Commit) -> Self {
        let header = &commit.header;
        Self {
            actor: header.actor.clone(),
            stored_at: Moment(header.stored_at),
            captured_at: Moment(header.captured_at),
            revision: header.revision,
            command: header.command,
        }
    }
}

/// The tag of a form: the last revision that touched it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag(pub Revision);

structural!(Act, Tag);

/// Named fields of one kind. A name is a path of ids; the value's place in its sealed cell is bound to that name,
/// so a new neighbour moves nothing and nothing is sealed anew for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T>(pub BTreeMap<String, T>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Field> Field for Named<T> {
    fn write(&self) -> Value {
        Value::Object(self.0.iter().map(|(name, field)| (name.clone(), field.write())).collect())
    }
    fn read(value: &Value) -> Result<Self, Malformed> {
        let fields = value.as_object().ok_or_else(|| Malformed::at("names"))?;
        fields.iter().map(|(name, field)| Ok((name.clone(), T::read(field)?))).collect::<Result<_, _>>().map(Self)
    }
    fn write_stored(&self, writing: &mut Writing) {
        writing.object(|writing| {
            for (name, field) in &self.0 {
                writing.named(name, |writing| field.write_stored(writing));
            }
        });
    }
    fn read_stored(text: &RawValue, reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        let one = |(name, text): (Cow<'_, str>, &RawValue)| {
            let field = reading.within(name.as_ref(), |reading| T::read_stored(text, reading))?;
            Ok((name.into_owned(), field))
        };
        Parts::of(text)?.0.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }
    fn describe(path: &str, report: &mut dyn FnMut(&str, &'static str)) {
        T::describe(&format!("{path}{{}}"), report);
    }
}

/// Marks a row of one kind among several in a table.
pub(crate) fn write_kind(kind: &str, row: Value) -> Value {
    Value::Object(Map::from_iter([("kind".to_owned(), Value::from(kind)), ("row".to_owned(), row)]))
}

/// Takes [`write_kind`] apart.
pub(crate) fn read_kind(value: &Value) -> Result<(&str, &Value), Malformed> {
    let kind = value.get("kind").and_then(Value::as_str).ok_or_else(|| Malformed::at("kind"))?;
    Ok((kind, value.get("row").unwrap_or(&Value::Null)))
}

/// The kind of row that a stored one says it is.
pub(crate) fn kind_of<'t>(parts: &Parts<'t>) -> Result<&'t str, Malformed> {
    serde_json::from_str(parts.get("kind").get()).map_err(|_| Malformed::at("kind"))
}

/// Declares the kinds of row that one table holds: `"stored-name" Variant(Type), …`.
macro_rules! kinds {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $stored:literal $variant:ident($type:ty)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis enum $name { $($(#[$vdoc])* $variant($type)),+ }

        impl domain::field::Field for $name {
            fn write(&self) -> serde_json::Value {
                match self { $(Self::$variant(row) => $crate::row::write_kind($stored, domain::field::Field::write(row))),+ }
            }
            fn read(value: &serde_json::Value) -> Result<Self, domain::field::Malformed> {
                match $crate::row::read_kind(value)? {
                    $(($stored, row) => domain::field::Field::read(row).map(Self::$variant),)+
                    _ => Err(domain::field::Malformed::at("kind")),
                }
            }
            fn write_stored(&self, writing: &mut domain::field::Writing) {
                writing.object(|writing| match self {
                    $(Self::$variant(row) => {
                        writing.field(concat!("\"kind\":\"", $stored, "\""), |_| {});
                        writing.field("\"row\":", |writing| domain::field::Field::write_stored(row, writing));
                    }),+
                });
            }
            fn read_stored(
                text: &domain::field::RawValue,
                reading: &mut domain::field::Reading<'_>,
            ) -> Result<Self, domain::field::Malformed> {
                let parts = domain::field::Parts::of(text)?;
                match $crate::row::kind_of(&parts)? {
                    $($stored => parts.read("row", reading).map(Self::$variant),)+
                    _ => Err(domain::field::Malformed::at("kind")),
                }
            }
            fn describe(path: &str, report: &mut dyn FnMut(&str, &'static str)) {
                $(<$type as domain::field::Field>::describe(path, report);)+
            }
        }
    };
}

pub(crate) use kinds;

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_key_reads_back() {
        let study: StudyId = "cardio".parse().expect("valid");
        let person = DataSubject(Uuid::from_u128(7));
        for key in [
            RowKey::plain(None, "x"),
            RowKey::plain(Some(&study), "a/b"),
            RowKey::about(Some(&study), person, ""),
            RowKey::about(None, person, "token/1"),
        ] {
            assert_eq!(RowKey::parse(&key.bytes()), Some(key));
        }
        assert_eq!(RowKey::parse(b"!/cardio"), None, "a checkpoint is no row");
    }

    #[test]
    fn named_fields_read_back() {
        let named = Named(BTreeMap::from([("a/1".to_owned(), 1_u32), ("b~".to_owned(), 2)]));
        assert_eq!(Named::read(&named.write()), Ok(named));
    }
}
