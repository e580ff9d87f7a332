//! Reading a stored body as it stands in its text: structure goes straight into its type, and a value is looked up by its
//! place among the values that were opened. The same outcome as [`crate::body::join`] and then
//! [`Field::read`](super::Field::read), without the tree in between: reading a page is mostly this.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
pub use serde_json::value::RawValue;

use super::{Field, Malformed};
use crate::body::{self, Sections};
use crate::scope::{Erasable, Part, Scope};

/// The values that were opened, and the place that is being read.
#[derive(Debug)]
pub struct Reading<'a> {
    opened: &'a mut Sections,
    place: String,
}

impl<'a> Reading<'a> {
    /// At the top of the body with this index.
    pub fn of(index: usize, opened: &'a mut Sections) -> Self {
        Self { opened, place: format!("/{index}") }
    }

    /// One step further down.
    pub fn within<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.place.len();
        body::push_step(&mut self.place, step);
        let found = read(self);
        self.place.truncate(length);
        found
    }

    fn take(&mut self, key: &(Scope, Part)) -> Option<Value> {
        self.opened.get_mut(key)?.remove(&self.place)
    }
}

/// The fields of an object, each as text, in the order in which they stand.
#[derive(Debug)]
pub struct Parts<'t>(pub Vec<(Cow<'t, str>, &'t RawValue)>);

impl<'t> Parts<'t> {
    /// Takes an object apart.
    ///
    /// # Errors
    /// It is none.
    pub fn of(text: &'t RawValue) -> Result<Self, Malformed> {
        serde_json::from_str(text.get()).map_err(|_| Malformed::at("object"))
    }

    /// One field; one that is not there is null.
    pub fn get(&self, name: &str) -> &'t RawValue {
        self.0.iter().find(|(known, _)| known == name).map_or(RawValue::NULL, |(_, text)| *text)
    }

    /// One field, read.
    ///
    /// # Errors
    /// It does not have the promised shape.
    pub fn read<T: Field>(&self, name: &str, reading: &mut Reading<'_>) -> Result<T, Malformed> {
        reading.within(name, |reading| T::read_stored(self.get(name), reading)).map_err(|fault| fault.within(name))
    }
}

#[derive(Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Parts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::with_capacity(16);
                while let Some((Name(name), text)) = map.next_entry()? {
                    parts.push((name, text));
                }
                Ok(Parts(parts))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The parts of a list, each as text.
pub(super) fn list(text: &RawValue) -> Result<Vec<&RawValue>, Malformed> {
    serde_json::from_str(text.get()).map_err(|_| Malformed::at("list"))
}

/// Structure, straight from its text.
pub(super) fn structure<T: DeserializeOwned>(text: &RawValue) -> Result<T, Malformed> {
    serde_json::from_str(text.get()).map_err(|_| Malformed::at("value"))
}

#[derive(Deserialize)]
struct Marked<'t> {
    #[serde(rename = "$personal", borrow)]
    inner: Inner<'t>,
}

#[derive(Deserialize)]
struct Inner<'t> {
    #[serde(borrow)]
    scope: Cow<'t, str>,
    part: String,
    value: Option<Value>,
}

/// A personal place with its value, if that was opened.
pub(super) fn personal<T: DeserializeOwned>(
    text: &RawValue,
    reading: &mut Reading<'_>,
) -> Result<(Scope, Part, Erasable<T>), Malformed> {
    let Marked { inner } = serde_json::from_str(text.get()).map_err(|_| Malformed::at(super::PERSONAL))?;
    let scope = inner.scope.parse().map_err(|_| Malformed::at("scope"))?;
    let part = Part::try_from(inner.part).map_err(|_| Malformed::at("part"))?;
    let key = (scope, part);
    let value = match reading.take(&key).or(inner.value) {
        Some(value) => Erasable::Known(T::deserialize(value).map_err(|_| Malformed::at("value"))?),
        None => Erasable::Erased,
    };
    let (scope, part) = key;
    Ok((scope, part, value))
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro makes public types")]
mod tests {
    use super::*;
    use crate::ids::Oid;
    use crate::scope::{DesignScoped, Personal, tag};

    crate::fields! {
        /// One of each.
        pub struct Row {
            /// Structure.
            pub item: Oid,
            /// A scope by type.
            pub name: Option<Personal<String, tag::IdentityCodeList>>,
            /// A scope by value.
            pub values: Vec<DesignScoped<String>>,
            /// Rows in rows.
            pub more: Vec<Inside>,
        }
    }

    crate::fields! {
        /// A row in a row.
        pub struct Inside {
            /// Not there in older rows.
            pub said: Option<Personal<String, tag::HealthFreeText>>,
        }
    }

    fn row(values: &[&str], said: Option<&str>) -> Row {
        let value = |value: &&str| DesignScoped {
            scope: Scope::HealthClinical,
            part: Part::all(),
            value: Erasable::Known((*value).to_owned()),
        };
        Row {
            item: "AGE".parse().expect("valid"),
            name: Some(Personal::new("Ada \"~/\" L".to_owned())),
            values: values.iter().map(value).collect(),
            more: vec![Inside { said: None }, Inside { said: said.map(|said| Personal::new(said.to_owned())) }],
        }
    }

    /// Takes a row apart, drops some values, and reads what is left both ways.
    fn both(row: &Row, gone: Option<Scope>) -> [Row; 2] {
        let mut bodies = [row.write()];
        let mut sections = body::split(&mut bodies);
        sections.retain(|(scope, _), _| Some(*scope) != gone);
        let text = bodies[0].to_string();
        let straight = serde_json::from_str::<&RawValue>(&text).expect("JSON");
        let stored = Row::read_stored(straight, &mut Reading::of(0, &mut sections.clone())).expect("reads");
        body::join(&mut bodies, &mut sections);
        [stored, Row::read(&bodies[0]).expect("reads")]
    }

    #[test]
    fn it_reads_what_joining_and_reading_would() {
        for row in [row(&[], None), row(&["72"], Some("a headache")), row(&["1", "2"], Some(""))] {
            for gone in [None, Some(Scope::HealthClinical), Some(Scope::HealthFreeText), Some(Scope::IdentityContact)] {
                let [stored, joined] = both(&row, gone);
                assert_eq!(stored, joined, "without {gone:?}");
                assert_eq!(
                    stored == row,
                    gone.is_none_or(|gone| !sections_of(&row).contains(&gone)),
                    "without {gone:?}"
                );
            }
        }
    }

    fn sections_of(row: &Row) -> Vec<Scope> {
        body::split(&mut [row.write()]).into_keys().map(|(scope, _)| scope).collect()
    }

    #[test]
    fn what_has_another_shape_says_where() {
        let text = r#"{"item": "AGE", "values": [{"$personal": {"scope": "nonsense", "part": "all"}}], "more": []}"#;
        let straight = serde_json::from_str::<&RawValue>(text).expect("JSON");
        let fault = Row::read_stored(straight, &mut Reading::of(0, &mut Sections::new())).expect_err("no such scope");
        assert_eq!(fault.at, "values.scope");
        assert!(Row::read_stored(RawValue::NULL, &mut Reading::of(0, &mut Sections::new())).is_err());
    }
}
