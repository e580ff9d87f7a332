//! What an event may be made of.
//!
//! A field is either *structure* (its type is on the list of [`Structural`] types: ids, codes, counts, times of
//! acts) or *personal* (its type carries a scope). Anything else does not compile:
//!
//! ```compile_fail
//! domain::facts! {
//!     /// A fact with a field that has no scope.
//!     pub enum Wrong for Identity {
//!         /// A bare text could hold a name.
//!         "named" 1 Named { name: String },
//!     }
//! }
//! ```
//!
//! ```
//! use domain::scope::{tag, Personal};
//! domain::facts! {
//!     /// The same with its scope.
//!     pub enum Right for Identity {
//!         /// The type says where the name goes.
//!         "named" 1 Named { name: Personal<String, tag::IdentityCodeList> },
//!     }
//! }
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::history::Aggregate;
use crate::scope::{DesignScoped, Erasable, Part, Personal, Scope, ScopeTag};

mod stored;

pub use stored::{OpenedCell, OpenedCells, Parts, RawValue, Reading, Writing, WrittenCells};

/// The JSON key under which a personal value stands in an open body.
pub const PERSONAL: &str = "$personal";

/// A stored body that does not have the shape its type and version promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored fact does not have the promised shape at {at}")]
pub struct Malformed {
    /// The place, as a path of field names. Never the value.
    pub at: String,
}

impl Malformed {
    /// A fault at one field.
    pub fn at(place: impl Into<String>) -> Self {
        Self { at: place.into() }
    }

    /// The same fault, seen from one level above.
    pub fn within(self, outer: &str) -> Self {
        Self { at: format!("{outer}.{}", self.at) }
    }
}

/// One row of the data map: which field holds what kind of personal data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DataMapRow {
    /// The aggregate.
    pub aggregate: &'static str,
    /// The event type.
    pub event: &'static str,
    /// The field, as a path.
    pub field: String,
    /// The scope's name, or that the design declares it.
    pub scope: &'static str,
}

/// How a type reports its personal places: see [`Field::describe`].
pub type Describe = fn(&str, &mut dyn FnMut(&str, &'static str));

/// Can stand in an event.
pub trait Field: Sized {
    /// The field in an open body: personal values are marked with scope and part.
    fn write(&self) -> Value;
    /// The inverse of [`Field::write`]; total on erased values.
    fn read(value: &Value) -> Result<Self, Malformed>;
    /// The field as text; its values go apart.
    fn write_stored(&self, writing: &mut Writing);
    /// Reads such a text, or that of a stored body, whose values stand apart as well.
    fn read_stored(text: &RawValue, reading: &mut Reading<'_>) -> Result<Self, Malformed>;
    /// Reports each personal place below `path` with its scope.
    fn describe(path: &str, report: &mut dyn FnMut(&str, &'static str));
}

/// Marks a type that holds nothing personal. Implement it by [`structural!`](crate::structural) only,
/// after having asked whether a name, a date of birth or a free word could ever stand in it.
pub trait Structural {}

/// Lists types as structure.
#[macro_export]
macro_rules! structural {
    ($($type:ty),+ $(,)?) => { $(impl $crate::field::Structural for $type {})+ };
}

impl<T: Structural + Serialize + DeserializeOwned> Field for T {
    fn write(&self) -> Value {
        serde_json::to_value(self).expect("structure is plain data with text keys")
    }
    fn read(value: &Value) -> Result<Self, Malformed> {
        T::deserialize(value).map_err(|_| Malformed::at("value"))
    }
    fn write_stored(&self, writing: &mut Writing) {
        writing.structure(self);
    }
    fn read_stored(text: &RawValue, _: &mut Reading<'_>) -> Result<Self, Malformed> {
        stored::structure(text)
    }
    fn describe(_: &str, _: &mut dyn FnMut(&str, &'static str)) {}
}

fn write_personal(scope: Scope, part: &Part, value: Option<Value>) -> Value {
    let mut inner = Map::from_iter([
        ("scope".to_owned(), Value::from(scope.as_str())),
        ("part".to_owned(), Value::from(part.as_str())),
    ]);
    inner.extend(value.map(|value| ("value".to_owned(), value)));
    json!({ PERSONAL: inner })
}

fn read_personal<T: DeserializeOwned>(value: &Value) -> Result<(Scope, Part, Erasable<T>), Malformed> {
    let inner = value.get(PERSONAL).ok_or_else(|| Malformed::at(PERSONAL))?;
    let text = |key: &str| inner.get(key).and_then(Value::as_str).ok_or_else(|| Malformed::at(key));
    let scope = text("scope")?.parse().map_err(|_| Malformed::at("scope"))?;
    let part = Part::try_from(text("part")?.to_owned()).map_err(|_| Malformed::at("part"))?;
    let value = match inner.get("value") {
        Some(value) => Erasable::Known(T::deserialize(value).map_err(|_| Malformed::at("value"))?),
        None => Erasable::Erased,
    };
    Ok((scope, part, value))
}

fn known_json<T: Serialize>(value: &Erasable<T>) -> Option<Value> {
    value.known().map(|value| serde_json::to_value(value).expect("personal values are plain data with text keys"))
}

impl<T: Serialize + DeserializeOwned, S: ScopeTag> Field for Personal<T, S> {
    fn write(&self) -> Value {
        write_personal(S::SCOPE, &self.part, known_json(&self.value))
    }
    fn read(value: &Value) -> Result<Self, Malformed> {
        let (scope, part, value) = read_personal(value)?;
        if scope == S::SCOPE { Ok(Self::in_part(part, value)) } else { Err(Malformed::at("scope")) }
    }
    fn write_stored(&self, writing: &mut Writing) {
        writing.personal(S::SCOPE, &self.part, &self.value);
    }
    fn read_stored(text: &RawValue, reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        let (scope, part, value) = stored::personal(text, reading)?;
        if scope == S::SCOPE { Ok(Self::in_part(part, value)) } else { Err(Malformed::at("scope")) }
    }
    fn describe(path: &str, report: &mut dyn FnMut(&str, &'static str)) {
        report(path, S::SCOPE.as_str());
    }
}

impl<T: Serialize + DeserializeOwned> Field for DesignScoped<T> {
    fn write(&self) -> Value {
        write_personal(self.scope, &self.part, known_json(&self.value))
    }
    fn read(value: &Value) -> Result<Self, Malformed> {
        let (scope, part, value) = read_personal(value)?;
        Ok(Self { scope, part, value })
    }
    fn write_stored(&self, writing: &mut Writing) {
        writing.personal(self.scope, &self.part, &self.value);
    }
    fn read_stored(text: &RawValue, reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        let (scope, part, value) = stored::personal(text, reading)?;
        Ok(Self { scope, part, value })
    }
    fn describe(path: &str, report: &mut dyn FnMut(&str, &'static str)) {
        report(path, "declared by the study design");
    }
}

impl<T: Field> Field for Option<T> {
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, Field::write)
    }
    fn read(value: &Value) -> Result<Self, Malformed> {
        if value.is_null() { Ok(None) } else { T::read(value).map(Some) }
    }
    fn write_stored(&self, writing: &mut Writing) {
        match self {
            Some(field) => field.write_stored(writing),
            None => writing.null(),
        }
    }
    fn read_stored(text: &RawValue, reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        if text.get() == "null" { Ok(None) } else { T::read_stored(text, reading).map(Some) }
    }
    fn describe(path: &str, report: &mut dyn FnMut(&str, &'static str)) {
        T::describe(path, report);
    }
}

impl<T: Field> Field for Vec<T> {
    fn write(&self) -> Value {
        self.iter().map(Field::write).collect()
    }
    fn read(value: &Value) -> Result<Self, Malformed> {
        value.as_array().ok_or_else(|| Malformed::at("list"))?.iter().map(T::read).collect()
    }
    fn write_stored(&self, writing: &mut Writing) {
        writing.list(self.iter(), |field, writing| field.write_stored(writing));
    }
    fn read_stored(text: &RawValue, reading: &mut Reading<'_>) -> Result<Self, Malformed> {
        let one = |(n, text): (usize, &RawValue)| reading.within(n, |reading| T::read_stored(text, reading));
        stored::list(text)?.into_iter().enumerate().map(one).collect()
    }
    fn describe(path: &str, report: &mut dyn FnMut(&str, &'static str)) {
        T::describe(&format!("{path}[]"), report);
    }
}

/// An aggregate's facts, as stored. Made by [`facts!`](crate::facts) only.
pub trait Fact: Sized + Clone + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    /// Whose facts they are.
    const AGGREGATE: Aggregate;
    /// Every event type with the version of the shape that is written today.
    const TYPES: &'static [(&'static str, u32)];
    /// The event type in neutral words, as it stands in the clear header.
    fn name(&self) -> &'static str;
    /// The integer version of the shape that is written today.
    fn version(&self) -> u32;
    /// The open body.
    fn write(&self) -> Value;
    /// Reads an open body of today's version (older ones went through [`crate::upcast`]).
    fn read(name: &str, version: u32, body: &Value) -> Result<Self, Malformed>;
    /// The same from the text of a stored body, whose values stand apart.
    fn read_stored(name: &str, version: u32, text: &RawValue, reading: &mut Reading<'_>) -> Result<Self, Malformed>;
    /// The rows of the data map for this aggregate.
    fn data_map() -> Vec<DataMapRow>;
}

/// Declares a group of fields that events share.
#[macro_export]
macro_rules! fields {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),* }

        impl $crate::field::Field for $name {
            fn write(&self) -> serde_json::Value {
                let mut body = serde_json::Map::new();
                $(body.insert(stringify!($field).to_owned(), $crate::field::Field::write(&self.$field));)*
                serde_json::Value::Object(body)
            }
            fn read(value: &serde_json::Value) -> Result<Self, $crate::field::Malformed> {
                Ok(Self { $($field: $crate::field::Field::read(value.get(stringify!($field)).unwrap_or(&serde_json::Value::Null))
                    .map_err(|fault: $crate::field::Malformed| fault.within(stringify!($field)))?),* })
            }
            fn write_stored(&self, writing: &mut $crate::field::Writing) {
                writing.object(|writing| {
                    $(writing.field(concat!("\"", stringify!($field), "\":"), |writing| {
                        $crate::field::Field::write_stored(&self.$field, writing);
                    });)*
                });
            }
            fn read_stored(
                text: &$crate::field::RawValue,
                reading: &mut $crate::field::Reading<'_>,
            ) -> Result<Self, $crate::field::Malformed> {
                let parts = $crate::field::Parts::of(text)?;
                Ok(Self { $($field: parts.read(stringify!($field), reading)?),* })
            }
            fn describe(path: &str, report: &mut dyn FnMut(&str, &'static str)) {
                $(<$type as $crate::field::Field>::describe(&format!("{path}.{}", stringify!($field)), report);)*
            }
        }
    };
}

/// Declares an aggregate's facts: `"stored-name" version Variant { field: Type, … }`.
/// Stored names and versions are for ever; a new shape is a new version and a line in `upcast.rs`.
#[macro_export]
macro_rules! facts {
    ($(#[$doc:meta])* pub enum $name:ident for $aggregate:ident {
        $($(#[$vdoc:meta])* $stored:literal $version:literal $variant:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)? }),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant { $(
                #[doc = concat!("`", stringify!($field), "` of the fact.")]
                $(#[$fdoc])* $field: $type),* }),+
        }

        impl $crate::field::Fact for $name {
            const AGGREGATE: $crate::history::Aggregate = $crate::history::Aggregate::$aggregate;
            const TYPES: &'static [(&'static str, u32)] = &[$(($stored, $version)),+];

            fn name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $stored),+ }
            }

            fn version(&self) -> u32 {
                match self { $(Self::$variant { .. } => $version),+ }
            }

            fn write(&self) -> serde_json::Value {
                match self { $(Self::$variant { $($field),* } => {
                    let fields: Vec<(&str, serde_json::Value)> =
                        vec![$((stringify!($field), $crate::field::Field::write($field))),*];
                    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
                }),+ }
            }

            fn read(name: &str, version: u32, body: &serde_json::Value) -> Result<Self, $crate::field::Malformed> {
                match (name, version) {
                    $(($stored, $version) => Ok(Self::$variant { $(
                        $field: $crate::field::Field::read(body.get(stringify!($field)).unwrap_or(&serde_json::Value::Null))
                            .map_err(|fault: $crate::field::Malformed| fault.within(stringify!($field)))?
                    ),* }),)+
                    _ => Err($crate::field::Malformed::at(format!("event type {name} version {version}"))),
                }
            }

            fn read_stored(
                name: &str,
                version: u32,
                text: &$crate::field::RawValue,
                reading: &mut $crate::field::Reading<'_>,
            ) -> Result<Self, $crate::field::Malformed> {
                let parts = $crate::field::Parts::of(text)?;
                // A group of facts without a field reads nothing.
                let _ = &reading;
                match (name, version) {
                    $(($stored, $version) => Ok(Self::$variant { $($field: parts.read(stringify!($field), reading)?),* }),)+
                    _ => Err($crate::field::Malformed::at(format!("event type {name} version {version}"))),
                }
            }

            fn data_map() -> Vec<$crate::field::DataMapRow> {
                let mut rows = Vec::new();
                $({
                    let fields: Vec<(&str, $crate::field::Describe)> =
                        vec![$((stringify!($field), <$type as $crate::field::Field>::describe)),*];
                    for (name, describe) in fields {
                        describe(name, &mut |field: &str, scope: &'static str| rows.push($crate::field::DataMapRow {
                            aggregate: <Self as $crate::field::Fact>::AGGREGATE.as_str(),
                            event: $stored,
                            field: field.to_owned(),
                            scope,
                        }));
                    }
                })+
                rows
            }
        }
    };
}
