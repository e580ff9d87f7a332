//! Takes an open body apart into structure and values, and puts it together again.
//!
//! Open: `{"value": {"$personal": {"scope": "health.clinical", "part": "all", "value": "72"}}}`.
//! Apart: the structure keeps the place, its scope and its part; the value stands in the section of
//! (scope, part) under its JSON pointer (RFC 6901), prefixed with the event's index in the commit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::field::PERSONAL;
use crate::scope::{Part, Scope};

/// The values of one (scope, part): JSON pointer → value.
pub type Values = Map<String, Value>;

/// All values of a commit, by the key that seals them.
pub type Sections = BTreeMap<(Scope, Part), Values>;

/// Moves every personal value of `bodies` (one an event) into its section; what stays is structure.
pub fn split(bodies: &mut [Value]) -> Sections {
    let mut sections = Sections::new();
    for (index, body) in bodies.iter_mut().enumerate() {
        visit(body, &mut format!("/{index}"), &mut |place, scope, part, inner| {
            if let Some(value) = inner.remove("value") {
                sections.entry((scope, part)).or_default().insert(place.to_owned(), value);
            }
        });
    }
    sections
}

/// Puts the values of every opened section back. A place whose section is missing stays without value: erased.
pub fn join(bodies: &mut [Value], opened: &mut Sections) {
    for (index, body) in bodies.iter_mut().enumerate() {
        visit(body, &mut format!("/{index}"), &mut |place, scope, part, inner| {
            if let Some(value) = opened.get_mut(&(scope, part)).and_then(|values| values.remove(place)) {
                inner.insert("value".to_owned(), value);
            }
        });
    }
}

/// The keys that the personal places of an open body name, those of erased values included.
pub fn named(body: &Value) -> BTreeSet<(Scope, Part)> {
    let mut named = BTreeSet::new();
    visit(&mut body.clone(), &mut String::new(), &mut |_, scope, part, _| {
        named.insert((scope, part));
    });
    named
}

/// What is done at a personal place: its pointer, scope and part, and the object that holds the value.
type Found<'a> = dyn FnMut(&str, Scope, Part, &mut Map<String, Value>) + 'a;

/// Calls `found` at every personal place, without descending into personal values.
fn visit(node: &mut Value, place: &mut String, found: &mut Found<'_>) {
    match node {
        Value::Object(fields) => {
            if let Some(Value::Object(inner)) = fields.get_mut(PERSONAL) {
                if let Some((scope, part)) = tag_of(inner) {
                    found(place, scope, part, inner);
                }
                return;
            }
            for (name, child) in fields {
                descend(child, place, name, found);
            }
        }
        Value::Array(children) => {
            for (index, child) in children.iter_mut().enumerate() {
                descend(child, place, &index.to_string(), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn descend(child: &mut Value, place: &mut String, step: &str, found: &mut Found<'_>) {
    let length = place.len();
    push_step(place, step);
    visit(child, place, found);
    place.truncate(length);
}

/// Goes one step down: `~` and `/` are written as RFC 6901 says.
pub(crate) fn push_step(place: &mut String, step: &str) {
    place.push('/');
    for character in step.chars() {
        match character {
            '~' => place.push_str("~0"),
            '/' => place.push_str("~1"),
            other => place.push(other),
        }
    }
}

fn tag_of(inner: &Map<String, Value>) -> Option<(Scope, Part)> {
    let scope = inner.get("scope")?.as_str()?.parse().ok()?;
    let part = Part::try_from(inner.get("part")?.as_str()?.to_owned()).ok()?;
    Some((scope, part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn open() -> Value {
        json!({"form": "F.1", "items": [
            {"item": "AGE", "value": {"$personal": {"scope": "health.clinical", "part": "all", "value": "72"}}},
            {"item": "WHY", "value": {"$personal": {"scope": "health.free-text", "part": "x-0", "value": {"$personal": "a trap"}}}},
        ]})
    }

    #[test]
    fn the_structure_holds_no_value_and_the_values_come_back() {
        let mut bodies = vec![open()];
        let mut sections = split(&mut bodies);
        assert!(!bodies[0].to_string().contains("72") && !bodies[0].to_string().contains("trap"));
        assert_eq!(sections[&(Scope::HealthClinical, Part::all())]["/0/items/0/value"], "72");
        join(&mut bodies, &mut sections);
        assert_eq!(bodies[0], open());
    }

    #[test]
    fn a_missing_section_leaves_its_places_erased_and_no_other() {
        let mut bodies = vec![open()];
        let mut sections = split(&mut bodies);
        sections.remove(&(Scope::HealthClinical, Part::all()));
        join(&mut bodies, &mut sections);
        assert_eq!(bodies[0]["items"][0]["value"][PERSONAL].get("value"), None);
        assert_eq!(bodies[0]["items"][1]["value"][PERSONAL]["value"]["$personal"], "a trap");
    }
}
