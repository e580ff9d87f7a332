//! What ODM demands of each element: which attributes, what stands in it, in which order and how often.
//!
//! The tables are taken from CDISC's schemas. Their types of values (dates, numbers in texts) are not in them; whoever
//! reads a value checks it. A strict reader refuses a file with any fault that is found here, a lenient one notes it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use exchange::odm::OdmVersion;

use super::error::Place;
use super::reader::Element;
use super::report::{Report, Row, Severity};

mod table;

use table::{Attribute, Demand, Part, Words};

/// How many faults are kept; of more it is only said that there are more.
const FAULTS_MAX: usize = 10_000;

static ODM_1_3_2: LazyLock<BTreeMap<&'static str, Demand>> =
    LazyLock::new(|| table::parse(include_str!("demands/odm132.txt")));
static ODM_2_0: LazyLock<BTreeMap<&'static str, Demand>> =
    LazyLock::new(|| table::parse(include_str!("demands/odm20.txt")));

/// Whether ODM, in either version, has an element of this name.
pub(super) fn knows(name: &str) -> bool {
    ODM_1_3_2.contains_key(name) || ODM_2_0.contains_key(name)
}

/// Looks at each tag as it goes by. Memory holds one entry for each element that is open.
pub(super) struct Demands {
    table: &'static BTreeMap<&'static str, Demand>,
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
}

impl Demands {
    pub(super) fn of(version: OdmVersion) -> Self {
        let table = match version {
            OdmVersion::V1_3_2 => &*ODM_1_3_2,
            OdmVersion::V2_0 => &*ODM_2_0,
        };
        Self { table, open: Vec::new(), found: Report::default(), count: 0 }
    }

    pub(super) fn take(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.found.rows)
    }

    fn fault(&mut self, (at, name, oid): (Place, &str, Option<&str>), rule: &'static str, what: impl Into<String>) {
        self.count += 1;
        match self.count.cmp(&FAULTS_MAX) {
            std::cmp::Ordering::Less => {
                self.found.add(Severity::Note, (at, super::names::named(name), oid), rule, what);
            }
            std::cmp::Ordering::Equal => {
                self.found.add(Severity::Note, (at, "ODM", None), "more", "there are more faults than are listed");
            }
            std::cmp::Ordering::Greater => {}
        }
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
        let demand = self.table.get(element.name.as_str());
        match demand {
            Some(demand) => self.attributes(element, demand, place),
            None => self.fault(place, "unknown-element", "ODM has no such element"),
        }
        let seen = vec![0; demand.map_or(0, |demand| demand.parts.len())];
        let (name, at, depth) = (element.name.clone(), element.at, element.depth);
        self.open.push(Open { depth, at, name, oid, demand, part: 0, seen, branch: None });
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
        let rule = match &attribute.words {
            Words::Any => return,
            Words::Some if !value.is_empty() => return,
            Words::Number if value.trim().parse::<i64>().is_ok() => return,
            Words::Of(words) if words.iter().any(|word| word.replace('_', " ") == value) => return,
            Words::Some => "is empty".to_owned(),
            Words::Number => "is no whole number".to_owned(),
            Words::Of(words) if words.len() > 8 => "is none of the words that ODM has for it".to_owned(),
            Words::Of(words) => format!("is none of {}", words.join(", ").replace('_', " ")),
        };
        self.fault(place, "bad-attribute", format!("its {} {rule}", attribute.name));
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
