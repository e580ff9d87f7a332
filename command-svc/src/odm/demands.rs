//! What ODM demands of each element: which attributes, what stands in it, in which order and how often.
//!
//! The tables are taken from CDISC's schemas. The types of texts (dates, numbers) are not in them; whoever
//! reads a text checks it. A strict reader refuses a file with any fault that is found here, a lenient one notes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use exchange::odm::OdmVersion;

use super::error::{Place, shown};
use super::reader::Element;
use super::report::{Report, Row, Severity};

mod table;
mod words;

use table::{Attribute, Demand, Part, Unique};

/// How many faults are kept; of more it is only said that there are more.
const FAULTS_MAX: usize = 10_000;

static ODM_1_3_2: LazyLock<BTreeMap<&'static str, Demand>> =
    LazyLock::new(|| table::parse(include_str!("demands/odm132.txt")));
static ODM_2_0: LazyLock<BTreeMap<&'static str, Demand>> =
    LazyLock::new(|| table::parse(include_str!("demands/odm20.txt")));
static UNIQUE_1_3_2: LazyLock<BTreeMap<&'static str, Vec<Unique>>> =
    LazyLock::new(|| table::uniques(include_str!("demands/unique132.txt")));
static UNIQUE_2_0: LazyLock<BTreeMap<&'static str, Vec<Unique>>> =
    LazyLock::new(|| table::uniques(include_str!("demands/unique20.txt")));

/// Whether ODM, in either version, has an element of this name.
pub(super) fn knows(name: &str) -> bool {
    ODM_1_3_2.contains_key(name) || ODM_2_0.contains_key(name)
}

/// Looks at each tag as it goes by. Memory holds one entry for each element that is open.
pub(super) struct Demands {
    table: &'static BTreeMap<&'static str, Demand>,
    uniques: &'static BTreeMap<&'static str, Vec<Unique>>,
    open: Vec<Open>,
    found: Report,
    count: usize,
}

/// An element that is open: which part of its content was read up to, and how often each came.
struct Open {
    depth: usize,
    at: Place,
    name: String,
    oid: Option<String>,
    demand: Option<&'static Demand>,
    part: usize,
    seen: Vec<u32>,
    branch: Option<usize>,
    /// What stood in it already, of what may stand once only.
    once: BTreeSet<(&'static str, String)>,
}

impl Demands {
    pub(super) fn of(version: OdmVersion) -> Self {
        let (table, uniques) = match version {
            OdmVersion::V1_3_2 => (&*ODM_1_3_2, &*UNIQUE_1_3_2),
            OdmVersion::V2_0 => (&*ODM_2_0, &*UNIQUE_2_0),
        };
        Self { table, uniques, open: Vec::new(), found: Report::default(), count: 0 }
    }

    pub(super) fn take(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.found.rows)
    }

    fn fault(&mut self, (at, name, oid): (Place, &str, Option<&str>), rule: &'static str, what: impl Into<String>) {
        self.count += 1;
        match self.count.cmp(&FAULTS_MAX) {
            std::cmp::Ordering::Less => {
                let name = if self.names() { shown(name) } else { super::names::named(name).to_owned() };
                self.found.add(Severity::Note, (at, &name, oid), rule, what);
            }
            std::cmp::Ordering::Equal => {
                self.found.add(Severity::Note, (at, "ODM", None), "more", "there are more faults than are listed");
            }
            std::cmp::Ordering::Greater => {}
        }
    }

    /// Whether names that ODM does not have may be repeated: in a study's design they are no values.
    fn names(&self) -> bool {
        self.open.get(1).is_some_and(|open| open.name == "Study")
    }

    /// An element begins. Elements of other namespaces may stand anywhere, with whatever is in them.
    pub(super) fn start(&mut self, element: &Element) {
        if element.odm().is_none() {
            return;
        }
        let oid = element.attributes.iter().find(|(name, _)| name == "OID" || name.ends_with("OID"));
        let oid = oid.map(|(_, oid)| oid.clone());
        let place = (element.at, element.name.as_str(), oid.as_deref());
        self.placed(element, place);
        self.once_only(element, place);
        let demand = self.table.get(element.name.as_str());
        match demand {
            Some(demand) => self.attributes(element, demand, place),
            None => self.fault(place, "unknown-element", "ODM has no such element"),
        }
        let seen = vec![0; demand.map_or(0, |demand| demand.parts.len())];
        let (name, at, depth) = (element.name.clone(), element.at, element.depth);
        self.open.push(Open { depth, at, name, oid, demand, part: 0, seen, branch: None, once: BTreeSet::new() });
    }

    /// Everything that is open deeper than `depth` ends.
    pub(super) fn end(&mut self, depth: usize) {
        while self.open.last().is_some_and(|open| open.depth > depth) {
            let Some(open) = self.open.pop() else { return };
            let Some(demand) = open.demand else { continue };
            for (part, seen) in demand.parts.iter().zip(&open.seen) {
                if part.needed && *seen == 0 {
                    let what = format!("it has no {}, and ODM demands one", part.words());
                    self.fault((open.at, &open.name, open.oid.as_deref()), "missing-element", what);
                }
            }
        }
    }

    /// Whether the element may stand where it does.
    fn placed(&mut self, element: &Element, place: (Place, &str, Option<&str>)) {
        let Some(parent) = self.open.last_mut().filter(|parent| parent.depth + 1 == element.depth) else { return };
        let Some(demand) = parent.demand else { return };
        let inside = parent.name.clone();
        let Some((n, branch)) = find(&demand.parts, &element.name, parent.part) else {
            let what = format!("ODM has no place for it in {inside}");
            return self.fault(place, "no-place", what);
        };
        let part = &demand.parts[n];
        parent.seen[n] += 1;
        let again = parent.seen[n] > 1 && !part.many;
        let mixed = part.branches.len() > 1 && n == parent.part && parent.branch.is_some_and(|other| other != branch);
        let late = n < parent.part;
        if !late {
            (parent.part, parent.branch) = (n, Some(branch));
        }
        if late {
            let after = demand.parts[parent_part(&self.open)].words();
            let what = format!("in {inside} it stands after {after}, where the ODM schema does not allow it");
            self.fault(place, "out-of-place", what);
        } else if again {
            self.fault(place, "too-many", format!("{inside} may have one of it at most"));
        } else if mixed {
            self.fault(place, "mixed", format!("{inside} has either this or what stands before it, not both"));
        }
    }

    fn attributes(&mut self, element: &Element, demand: &Demand, place: (Place, &str, Option<&str>)) {
        let own = |name: &str| !name.starts_with("xmlns") && (!name.contains(':') || name.starts_with("xml:"));
        for (name, value) in element.attributes.iter().filter(|(name, _)| own(name)) {
            match demand.attributes.iter().find(|attribute| attribute.name == name) {
                None if self.names() => {
                    let what = format!("it has an attribute that ODM does not have there: {}", shown(name));
                    self.fault(place, "unknown-attribute", what);
                }
                None => self.fault(place, "unknown-attribute", "it has an attribute that ODM does not have there"),
                Some(attribute) => self.value(attribute, value, place),
            }
        }
        for attribute in demand.attributes.iter().filter(|attribute| attribute.needed) {
            if element.attribute(attribute.name).is_none() {
                let what = format!("it has no {}, and ODM demands it", attribute.name);
                self.fault(place, "missing-attribute", what);
            }
        }
    }

    fn value(&mut self, attribute: &Attribute, value: &str, place: (Place, &str, Option<&str>)) {
        if let Some(rule) = attribute.words.broken_by(value) {
            self.fault(place, "bad-attribute", format!("its {} {rule}", attribute.name));
        }
    }

    /// Whether what makes the element one of its kind stood beside it already. Of what was there only the line is said.
    fn once_only(&mut self, element: &Element, place: (Place, &str, Option<&str>)) {
        let Some(parent) = self.open.last_mut().filter(|parent| parent.depth + 1 == element.depth) else { return };
        let Some(uniques) = self.uniques.get(parent.name.as_str()) else { return };
        let mut again = Vec::new();
        for unique in uniques.iter().filter(|unique| unique.child.is_none_or(|child| child == element.name)) {
            let values: Option<Vec<_>> = unique.fields.iter().map(|field| element.attribute(field)).collect();
            let Some(values) = values else { continue };
            // `01` is the number `1`.
            let same =
                |value: &&str| value.trim().parse::<i64>().map_or((*value).to_owned(), |number| number.to_string());
            let numbers = unique.fields.iter().all(|field| matches!(*field, "OrderNumber" | "KeySequence"));
            let key = if numbers { values.iter().map(same).collect() } else { values.join("\n") };
            if !parent.once.insert((unique.name, key)) {
                let fields = unique.fields.join(" and ");
                let what = format!("its {fields} stands there already in this {} ({})", parent.name, unique.name);
                again.push(what);
            }
        }
        again.into_iter().for_each(|what| self.fault(place, "not-unique", what));
    }
}

fn parent_part(open: &[Open]) -> usize {
    open.last().map_or(0, |parent| parent.part)
}

/// The part in which an element of this name may stand: from the present one on, otherwise one before.
fn find(parts: &[Part], name: &str, from: usize) -> Option<(usize, usize)> {
    let at = |n: usize| Some((n, parts[n].branches.iter().position(|branch| branch.contains(&name))?));
    (from..parts.len()).find_map(at).or_else(|| (0..from.min(parts.len())).find_map(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_read_whole() {
        for (table, size) in [(&*ODM_1_3_2, 119), (&*ODM_2_0, 149)] {
            assert_eq!(table.len(), size);
            for (name, demand) in table {
                for child in demand.parts.iter().flat_map(|part| part.branches.iter().flatten()) {
                    assert!(
                        table.contains_key(child) || *child == "div" || child.starts_with("ds"),
                        "{child} in {name}"
                    );
                }
            }
        }
        let subject = &ODM_1_3_2["SubjectData"];
        assert!(subject.attributes[0].needed && subject.attributes[0].name == "SubjectKey");
        assert!(ODM_1_3_2["CodeList"].parts[1].needed && ODM_1_3_2["CodeList"].parts[1].branches.len() == 3);
    }
}
