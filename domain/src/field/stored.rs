//! A body as it stands in its text: structure goes straight between its type and the text, values stand apart. Without the
//! tree in between that [`Field::read`](super::Field::read) and [`Field::write`](super::Field::write) make: keeping read
//! models and reading a page is mostly this.
//!
//! A value stands apart in one of two ways. In a commit: in its section, by its place
//! ([`crate::body::join`] says the same with trees). In a row: in its cell, by a number that stands in its place; fields
//! may be written in another order one day, and each value is found all the same.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
pub use serde_json::value::RawValue;

use super::{Field, Malformed};
use crate::body::{self, Sections};
use crate::scope::{Erasable, Part, Scope};

// --- writing

/// The cells of a row that was written, plain.
pub type WrittenCells = BTreeMap<(Scope, Part), Vec<u8>>;

/// A row on its way into text and cells.
#[derive(Default)]
pub struct Writing {
    text: Vec<u8>,
    cells: BTreeMap<(Scope, Part), Cell>,
}

/// Its values one after the other, each behind its length.
#[derive(Default)]
struct Cell {
    plain: Vec<u8>,
    places: u32,
    /// One of its values is not erased.
    known: bool,
}

/// Stands for the length of a value that is erased: nothing is as long as that.
const ERASED: u32 = u32::MAX;

impl Writing {
    /// What is written of a field: its text, and its cells. One of which every value is erased is none.
    pub fn of(field: &impl Field) -> (Vec<u8>, WrittenCells) {
        let mut writing = Self { text: Vec::with_capacity(512), cells: BTreeMap::new() };
        field.write_stored(&mut writing);
        let known = writing.cells.into_iter().filter(|(_, cell)| cell.known);
        (writing.text, known.map(|(key, cell)| (key, cell.plain)).collect())
    }

    /// Structure.
    pub fn structure<T: Serialize + ?Sized>(&mut self, value: &T) {
        serde_json::to_writer(&mut self.text, value).expect("structure is plain data with text keys");
    }

    /// Nothing.
    pub fn null(&mut self) {
        self.text.extend_from_slice(b"null");
    }

    /// A personal place: what it is, and where in its cell the value stands.
    pub fn personal<T: Serialize>(&mut self, scope: Scope, part: &Part, value: &Erasable<T>) {
        let cell = self.cells.entry((scope, part.clone())).or_default();
        match value {
            Erasable::Known(value) => {
                let begins = cell.plain.len();
                cell.plain.extend_from_slice(&[0; 4]);
                serde_json::to_writer(&mut cell.plain, value).expect("personal values are plain data with text keys");
                let length = u32::try_from(cell.plain.len() - begins - 4).expect("a commit has at most 768 KiB");
                cell.plain[begins..begins + 4].copy_from_slice(&length.to_le_bytes());
                cell.known = true;
            }
            Erasable::Erased => cell.plain.extend_from_slice(&ERASED.to_le_bytes()),
        }
        let n = cell.places;
        cell.places += 1;
        self.structure(&(scope, part.as_str(), n));
    }

    /// An object.
    pub fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.text.push(b'{');
        fields(self);
        self.text.push(b'}');
    }

    /// A field of an object. Its name comes as JSON, with the colon. One without value is left out: it reads the same.
    pub fn field(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        let begins = self.text.len();
        self.comma(b'{');
        self.text.extend_from_slice(name.as_bytes());
        let after = self.text.len();
        value(self);
        if &self.text[after..] == b"null" {
            self.text.truncate(begins);
        }
    }

    /// A field of an object whose name is data.
    pub fn named(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        self.comma(b'{');
        self.structure(name);
        self.text.push(b':');
        value(self);
    }

    /// A list.
    pub fn list<T>(&mut self, items: impl Iterator<Item = T>, write: impl Fn(T, &mut Self)) {
        self.text.push(b'[');
        for item in items {
            self.comma(b'[');
            write(item, self);
        }
        self.text.push(b']');
    }

    /// Between two of them. No value ends as a list or an object begins.
    fn comma(&mut self, begin: u8) {
        if self.text.last() != Some(&begin) {
            self.text.push(b',');
        }
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writing(…)")
    }
}

// --- reading

/// The cells of a row that were opened.
pub type OpenedCells = BTreeMap<(Scope, Part), OpenedCell>;

/// A cell, opened, and where its values stand.
pub struct OpenedCell {
    plain: Vec<u8>,
    values: Vec<Option<Range<usize>>>,
}

impl OpenedCell {
    /// Takes a plain cell apart.
    ///
    /// # Errors
    /// It is none.
    pub fn of(plain: Vec<u8>) -> Result<Self, Malformed> {
        let (mut values, mut at) = (Vec::new(), 0);
        while at < plain.len() {
            let length = plain.get(at..at + 4).and_then(|length| length.try_into().ok());
            let length = u32::from_le_bytes(length.ok_or_else(|| Malformed::at("cell"))?);
            at += 4;
            if length == ERASED {
                values.push(None);
                continue;
            }
            let end = at + length as usize;
            if end > plain.len() {
                return Err(Malformed::at("cell"));
            }
            values.push(Some(at..end));
            at = end;
        }
        Ok(Self { plain, values })
    }

    /// The cell as it was taken apart.
    pub fn into_plain(self) -> Vec<u8> {
        self.plain
    }

    /// A value; none: it is erased.
    fn value(&self, n: usize) -> Result<Option<&[u8]>, Malformed> {
        let value = self.values.get(n).ok_or_else(|| Malformed::at("cell"))?;
        Ok(value.clone().map(|range| &self.plain[range]))
    }
}

impl fmt::Debug for OpenedCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenedCell(…)")
    }
}

/// The values that were opened, and the place that is being read.
#[derive(Debug)]
pub struct Reading<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Commit { opened: &'a mut Sections, place: String },
    Row(&'a OpenedCells),
}

/// One step into a body.
pub trait Step {
    /// Writes it behind the steps before.
    fn push(&self, place: &mut String);
}

impl Step for str {
    fn push(&self, place: &mut String) {
        body::push_step(place, self);
    }
}

impl Step for &str {
    fn push(&self, place: &mut String) {
        body::push_step(place, self);
    }
}

impl Step for usize {
    fn push(&self, place: &mut String) {
        use fmt::Write as _;
        // A text takes whatever is written.
        let _ = write!(place, "/{self}");
    }
}

impl<'a> Reading<'a> {
    /// At the top of the body with this index of a commit.
    pub fn of(index: usize, opened: &'a mut Sections) -> Self {
        Self(Source::Commit { opened, place: format!("/{index}") })
    }

    /// A row.
    pub fn row(opened: &'a OpenedCells) -> Self {
        Self(Source::Row(opened))
    }

    /// One step further down.
    pub fn within<T>(&mut self, step: impl Step, read: impl FnOnce(&mut Self) -> T) -> T {
        let Source::Commit { place, .. } = &mut self.0 else {
            return read(self);
        };
        let length = place.len();
        step.push(place);
        let found = read(self);
        if let Source::Commit { place, .. } = &mut self.0 {
            place.truncate(length);
        }
        found
    }

    fn take(&mut self, key: &(Scope, Part)) -> Option<Value> {
        match &mut self.0 {
            Source::Commit { opened, place } => opened.get_mut(key)?.remove(place.as_str()),
            Source::Row(_) => None,
        }
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

/// A personal place of a row.
#[derive(Deserialize)]
struct Numbered<'t>(Scope, #[serde(borrow)] Cow<'t, str>, usize);

/// A personal place with its value, if that was opened.
pub(super) fn personal<T: DeserializeOwned>(
    text: &RawValue,
    reading: &mut Reading<'_>,
) -> Result<(Scope, Part, Erasable<T>), Malformed> {
    if let Source::Row(opened) = &reading.0 {
        return of_row(text, opened);
    }
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

fn of_row<T: DeserializeOwned>(text: &RawValue, opened: &OpenedCells) -> Result<(Scope, Part, Erasable<T>), Malformed> {
    let Numbered(scope, part, n) = serde_json::from_str(text.get()).map_err(|_| Malformed::at(super::PERSONAL))?;
    let part = Part::try_from(part.into_owned()).map_err(|_| Malformed::at("part"))?;
    let key = (scope, part);
    let value = match opened.get(&key).map(|cell| cell.value(n)).transpose()?.flatten() {
        Some(value) => Erasable::Known(serde_json::from_slice(value).map_err(|_| Malformed::at("value"))?),
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

    /// Writes a row down, loses some cells, and reads what is left.
    fn stored(row: &Row, gone: Option<Scope>) -> Row {
        let (text, cells) = Writing::of(row);
        let text = String::from_utf8(text).expect("text");
        for value in ["Ada", "72", "headache"] {
            assert!(!text.contains(value), "{text}");
        }
        let left = cells.into_iter().filter(|((scope, _), _)| Some(*scope) != gone);
        let opened = left.map(|(key, plain)| (key, OpenedCell::of(plain).expect("a cell"))).collect();
        let straight = serde_json::from_str::<&RawValue>(&text).expect("JSON");
        Row::read_stored(straight, &mut Reading::row(&opened)).expect("reads")
    }

    #[test]
    fn a_row_reads_back_and_a_cell_that_is_gone_is_erased() {
        for row in [row(&[], None), row(&["72"], Some("a headache")), row(&["1", "2"], Some(""))] {
            assert_eq!(stored(&row, None), row);
            for gone in [Scope::HealthClinical, Scope::HealthFreeText, Scope::IdentityContact] {
                let [expected, _] = both(&row, Some(gone));
                let left = stored(&row, Some(gone));
                assert_eq!(left, expected, "without {gone:?}");
                // What is erased stays so beside what is written later, and a cell without values is none.
                assert_eq!(stored(&left, None), left);
                assert!(Writing::of(&left).1.keys().all(|(scope, _)| *scope != gone));
            }
        }
        let mut some = row(&["1", "2", "3"], None);
        some.values[1].value = Erasable::Erased;
        assert_eq!(stored(&some, None), some);
    }

    #[test]
    fn a_cell_that_is_cut_off_does_not_read() {
        let (_, cells) = Writing::of(&row(&["72", "80"], None));
        let plain = &cells[&(Scope::HealthClinical, Part::all())];
        assert_eq!(OpenedCell::of(plain.clone()).map(|cell| cell.values.len()).ok(), Some(2));
        for end in 1..plain.len() {
            let cut = OpenedCell::of(plain[..end].to_vec());
            assert!(cut.is_err() || cut.is_ok_and(|cell| cell.values.len() == 1 && cell.value(1).is_err()), "{end}");
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
