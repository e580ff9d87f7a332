//! The difference between two design versions: what was added, removed and changed, and what of it changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::StudyDesign;
use crate::history::CommitHash;

/// What a difference is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = DifferenceKind)]
pub enum Kind {
    /// The design itself: its name and version.
    Design,
    /// A visit.
    Visit,
    /// A form.
    Form,
    /// An item group.
    ItemGroup,
    /// An item.
    Item,
    /// A code list.
    CodeList,
    /// A unit.
    Unit,
    /// A skip condition.
    Condition,
    /// A computation.
    Method,
    /// An edit check.
    Check,
}

/// How it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = DifferenceHow)]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is there in both, and not the same.
    Changed,
}

/// One definition that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DefinitionChange)]
pub struct Change {
    /// What it is.
    pub kind: Kind,
    /// Its OID.
    pub oid: String,
    /// Its name: the newer one, if there are two.
    pub name: String,
    /// How it differs.
    pub how: How,
    /// What of it changed; none where it was added or removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldChange {
    /// Which field: its path in the definition, names of referred definitions instead of numbers (`forms/VS/mandatory`).
    pub field: String,
    /// What it was; none: it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is; none: it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The difference between two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DesignDifference)]
pub struct Difference {
    /// Content hash of the one version.
    pub from: CommitHash,
    /// Content hash of the other.
    pub to: CommitHash,
    /// Every definition that differs: in the order of kinds, within a kind by OID.
    pub changes: Vec<Change>,
}

impl StudyDesign {
    /// What has to be changed in this version to get the `other`.
    pub fn difference(&self, other: &Self) -> Difference {
        let (before, after) = (definitions(self), definitions(other));
        let mut changes = Vec::new();
        for ((kind, oid), old) in &before {
            match after.get(&(*kind, oid.clone())) {
                None => changes.push(change(*kind, oid, old, How::Removed, vec![])),
                Some(new) if new == old => {}
                Some(new) => {
                    let mut fields = Vec::new();
                    compare("", Some(old), Some(new), &mut fields);
                    changes.push(change(*kind, oid, new, How::Changed, fields));
                }
            }
        }
        let added = after.iter().filter(|(key, _)| !before.contains_key(*key));
        changes.extend(added.map(|((kind, oid), new)| change(*kind, oid, new, How::Added, vec![])));
        changes.sort_by(|one, two| (one.kind, &one.oid, one.how).cmp(&(two.kind, &two.oid, two.how)));
        Difference { from: self.hash(), to: other.hash(), changes }
    }
}

fn change(kind: Kind, oid: &str, definition: &Value, how: How, fields: Vec<FieldChange>) -> Change {
    let name = definition.get("name").and_then(Value::as_str).unwrap_or(oid);
    Change { kind, oid: oid.to_owned(), name: name.to_owned(), how, fields }
}

/// Every definition as JSON, by kind and OID; lists of things with an OID (or a coded value) as maps, so that a thing
/// which moved in its list differs by its place and not by all that stands after it.
fn definitions(design: &StudyDesign) -> BTreeMap<(Kind, String), Value> {
    const LISTS: [(&str, Kind); 8] = [
        ("visits", Kind::Visit),
        ("forms", Kind::Form),
        ("item_groups", Kind::ItemGroup),
        ("items", Kind::Item),
        ("code_lists", Kind::CodeList),
        ("conditions", Kind::Condition),
        ("methods", Kind::Method),
        ("checks", Kind::Check),
    ];
    let whole = serde_json::to_value(design).expect("a design is plain data with text keys");
    let mut all = BTreeMap::new();
    for (list, kind) in LISTS {
        for (place, definition) in whole[list].as_array().into_iter().flatten().enumerate() {
            let oid = definition["oid"].as_str().unwrap_or_default().to_owned();
            let mut definition = keyed(definition);
            if kind == Kind::Visit
                && let Some(fields) = definition.as_object_mut()
            {
                // Visits follow each other: their order says something. That of definitions does not.
                fields.insert("place".into(), (place + 1).into());
            }
            all.insert((kind, oid), definition);
        }
    }
    for (oid, labels) in whole["units"].as_object().into_iter().flatten() {
        all.insert((Kind::Unit, oid.clone()), labels.clone());
    }
    let head = serde_json::json!({"name": design.name, "version": design.version});
    all.insert((Kind::Design, design.version.clone()), head);
    all
}

fn keyed(value: &Value) -> Value {
    let key_of = |one: &Value| one.get("oid").or_else(|| one.get("value"))?.as_str().map(str::to_owned);
    match value {
        Value::Array(list) if !list.is_empty() && list.iter().all(|one| key_of(one).is_some()) => {
            let one = |(place, one): (usize, &Value)| {
                let mut fields = keyed(one);
                if let Some(fields) = fields.as_object_mut() {
                    fields.insert("place".into(), (place + 1).into());
                }
                (key_of(one).unwrap_or_default(), fields)
            };
            Value::Object(list.iter().enumerate().map(one).collect())
        }
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, field)| (name.clone(), keyed(field))).collect())
        }
        other => other.clone(),
    }
}

/// The fields that differ, as deep as objects go.
fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, fields: &mut Vec<FieldChange>) {
    if before == after {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) {
        let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
        for name in names {
            let inner = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            compare(&inner, old.get(name), new.get(name), fields);
        }
        return;
    }
    fields.push(FieldChange { field: path.to_owned(), before: before.cloned(), after: after.cloned() });
}

#[cfg(test)]
mod tests;
