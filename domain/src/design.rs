//! A study design: visits, forms, item groups, items, code lists (names after ODM 1.3.2, section 3.1.1).
//!
//! A design is a document: immutable once published, addressed by the SHA-256 of its canonical JSON, and stored in
//! parts (see [`crate::design_part`]) because a large one does not fit in a commit.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::history::CommitHash;
use crate::ids::{CheckId, Oid};
use crate::rejection::Fault;
use crate::scope::Scope;

mod blinding;
pub mod difference;
pub mod expression;
mod place;
mod protection;
mod unfit;
mod value;

pub use difference::Difference;
pub use value::ItemValue;

/// Texts in several languages: language tag (RFC 5646, empty for none) → text.
pub type Labels = BTreeMap<String, String>;

/// A whole design version (ODM `MetaDataVersion`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StudyDesign {
    /// Name of the study, as the protocol says.
    pub name: String,
    /// OID of the design version.
    pub version: String,
    /// The visits (ODM `StudyEventDef`), in protocol order.
    pub visits: Vec<VisitDef>,
    /// The forms.
    pub forms: Vec<FormDef>,
    /// The item groups.
    pub item_groups: Vec<ItemGroupDef>,
    /// The items.
    pub items: Vec<ItemDef>,
    /// The code lists.
    #[serde(default)]
    pub code_lists: Vec<CodeListDef>,
    /// Units of measurement: OID → symbol.
    #[serde(default)]
    pub units: BTreeMap<String, Labels>,
    /// Skip conditions (ODM `ConditionDef`).
    #[serde(default)]
    pub conditions: Vec<ExpressionDef>,
    /// Computations (ODM `MethodDef`).
    #[serde(default)]
    pub methods: Vec<ExpressionDef>,
    /// Edit checks across items, forms and visits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckDef>,
}

/// An edit check: an expression that holds for good data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckDef {
    /// Its OID.
    pub oid: CheckId,
    /// Its name.
    pub name: String,
    /// The form on which it is looked at.
    pub form: Oid,
    /// The item group of the item at which it fires.
    pub group: Oid,
    /// The item at which it fires.
    pub item: Oid,
    /// Hard (refuse) or soft (accept and ask).
    pub hard: bool,
    /// True for good data; see `docs/expressions.md`.
    pub expression: String,
    /// The message by language.
    #[serde(default)]
    pub message: Labels,
}

/// When a visit is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The visit from which days are counted; none: the day of registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Oid>,
    /// So many days later.
    pub days: i32,
    /// So many days earlier is early enough.
    #[serde(default)]
    pub early: u32,
    /// So many days later is not too late.
    #[serde(default)]
    pub late: u32,
}

/// How much of a form is to be compared with its source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SdvPlan {
    /// Nothing.
    #[default]
    None,
    /// The items marked so.
    Part,
    /// Every item.
    All,
}

/// For fields that older designs do not have: they are left out where they say nothing, so that a design keeps its hash.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A visit (ODM `StudyEventDef`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitDef {
    /// Its OID.
    pub oid: Oid,
    /// Its name.
    pub name: String,
    /// Its label by language.
    #[serde(default)]
    pub labels: Labels,
    /// May happen more than once.
    #[serde(default)]
    pub repeating: bool,
    /// Need not take place: unscheduled, or common to all visits (ODM `Mandatory="No"`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub optional: bool,
    /// When it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Its forms, in order.
    pub forms: Vec<Ref>,
}

/// A reference from a visit to a form, from a form to a group, from a group to an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ref {
    /// What is referred to.
    pub oid: Oid,
    /// Must be there for the whole to be complete.
    #[serde(default)]
    pub mandatory: bool,
    /// OID of the condition under which it is left out (ODM `CollectionExceptionConditionOID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_condition: Option<String>,
    /// OID of the method that computes it (ODM `MethodOID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// A form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FormDef {
    /// Its OID.
    pub oid: Oid,
    /// Its name.
    pub name: String,
    /// Its label by language.
    #[serde(default)]
    pub labels: Labels,
    /// May be filled more than once in a visit.
    #[serde(default)]
    pub repeating: bool,
    /// How much of it is compared with its source.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sdv: SdvPlan,
    /// It is to be signed before the database is locked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub signature: bool,
    /// Its item groups, in order.
    pub item_groups: Vec<Ref>,
}

/// A group of items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemGroupDef {
    /// Its OID.
    pub oid: Oid,
    /// Its name.
    pub name: String,
    /// Its label by language.
    #[serde(default)]
    pub labels: Labels,
    /// May stand more than once on a form.
    #[serde(default)]
    pub repeating: bool,
    /// Its items, in order.
    pub items: Vec<Ref>,
}

/// What kind of value an item takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataType {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A decimal number.
    Decimal,
    /// A calendar date, `2026-11-22`.
    Date,
    /// A date that may lack day or month: `2026`, `2026-11`.
    PartialDate,
    /// A time of day, `13:45` or `13:45:30`.
    Time,
    /// Date and time, `2026-11-22T13:45:30`, with or without an offset.
    DateTime,
    /// `true` or `false` (also `1` and `0`).
    Boolean,
    /// A reference to a file that is kept elsewhere: `sha256:` and 64 hex digits, or a URL.
    File,
}

/// An item: one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemDef {
    /// Its OID.
    pub oid: Oid,
    /// Its name.
    pub name: String,
    /// The question by language.
    #[serde(default)]
    pub labels: Labels,
    /// The kind of value.
    pub data_type: DataType,
    /// Longest text, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// OID of its code list, if it takes one of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_list: Option<String>,
    /// OID of its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Its scope, if the design declares one; see [`StudyDesign::scope_of`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// It names or finds a person: not for roles that know pseudonyms only.
    #[serde(default, skip_serializing_if = "is_default")]
    pub identifier: bool,
    /// It tells, or could tell, the arm: not for those who are blinded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub blinded: bool,
    /// It matters for the study's result or for safety.
    #[serde(default, skip_serializing_if = "is_default")]
    pub critical: bool,
    /// It is compared with its source where the form's plan says part.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sdv: bool,
    /// Range checks (ODM `RangeCheck`).
    #[serde(default)]
    pub range_checks: Vec<RangeCheck>,
}

/// A check on one item (ODM `RangeCheck`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeCheck {
    /// `LT`, `LE`, `GT`, `GE`, `EQ`, `NE`, `IN`, `NOTIN`, or none for an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparator: Option<String>,
    /// Hard (refuse) or soft (accept and ask).
    pub hard: bool,
    /// The values to compare with.
    #[serde(default)]
    pub values: Vec<String>,
    /// OID of the unit in which `values` are given, if it is said: it may differ from the item's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The message by language.
    #[serde(default)]
    pub message: Labels,
    /// Expressions in a foreign context.
    #[serde(default)]
    pub expressions: Vec<Expression>,
}

/// A named expression: a condition or a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpressionDef {
    /// Its OID.
    pub oid: String,
    /// Its name.
    pub name: String,
    /// What it is, by language.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: Labels,
    /// The expressions, by context.
    pub expressions: Vec<Expression>,
}

/// An expression in some context's language (ODM `FormalExpression`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// Whose language it is.
    pub context: String,
    /// The expression, as it stood in the file.
    pub text: String,
}

/// A code list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeListDef {
    /// Its OID.
    pub oid: String,
    /// Its name.
    pub name: String,
    /// The coded values, in order, with their labels.
    pub codes: Vec<Code>,
}

/// One entry of a code list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CodeListEntry)]
pub struct Code {
    /// The stored value.
    pub value: String,
    /// Its label by language.
    #[serde(default)]
    pub labels: Labels,
}

impl VisitDef {
    /// Whether it is to take place once in everybody who stays. How often one that repeats is to take place, no design says.
    pub fn is_planned(&self) -> bool {
        !self.optional && !self.repeating
    }
}

impl StudyDesign {
    /// The canonical bytes: JSON with the fields in declared order.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a design is plain data with text keys")
    }

    /// SHA-256 of the canonical bytes: the version's content address.
    pub fn hash(&self) -> CommitHash {
        content_hash(&self.bytes())
    }

    /// The scope of an item's values: as declared; otherwise what tells the arm is `health.blinded`, uncoded text
    /// `health.free-text` and all else `health.clinical`. What tells who somebody is belongs to an identity, whatever scope
    /// of health is declared: so it is shown to those who may know that, and erased with it (ADR 0027).
    pub fn scope_of(&self, item: &ItemDef) -> Scope {
        match self.declared_scope_of(item) {
            Scope::HealthClinical | Scope::HealthFreeText | Scope::HealthOptional if item.identifier => {
                Scope::IdentityCodeList
            }
            scope => scope,
        }
    }

    /// Whether nothing can be entered for an item, because its scope is among those that are erased.
    pub(crate) fn is_fenced(&self, item: &Oid, fenced: &std::collections::BTreeSet<Scope>) -> bool {
        self.item(item).is_some_and(|item| fenced.contains(&self.scope_of(item)))
    }

    fn declared_scope_of(&self, item: &ItemDef) -> Scope {
        match (item.scope, item.data_type, &item.code_list) {
            (Some(declared), _, _) => declared,
            (None, _, _) if item.blinded => Scope::HealthBlinded,
            (None, DataType::Text, None) => Scope::HealthFreeText,
            (None, _, _) => Scope::HealthClinical,
        }
    }

    /// Looks a visit up.
    pub fn visit(&self, oid: &Oid) -> Option<&VisitDef> {
        self.visits.iter().find(|visit| visit.oid == *oid)
    }

    /// Looks a form up.
    pub fn form(&self, oid: &Oid) -> Option<&FormDef> {
        self.forms.iter().find(|form| form.oid == *oid)
    }

    /// Looks an item group up.
    pub fn item_group(&self, oid: &Oid) -> Option<&ItemGroupDef> {
        self.item_groups.iter().find(|group| group.oid == *oid)
    }

    /// Looks an item up.
    pub fn item(&self, oid: &Oid) -> Option<&ItemDef> {
        self.items.iter().find(|item| item.oid == *oid)
    }

    /// Looks a code list up.
    pub fn code_list(&self, oid: &str) -> Option<&CodeListDef> {
        self.code_lists.iter().find(|list| list.oid == oid)
    }

    /// Everything that makes the design unusable; empty if it may be published.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |pointer: String, detail: String| faults.push(Fault { pointer, detail });
        if self.visits.is_empty() {
            fault("/visits".into(), "a design needs at least one visit".into());
        }
        unique("/visits", self.visits.iter().map(|visit| visit.oid.as_str()), &mut fault);
        unique("/forms", self.forms.iter().map(|form| form.oid.as_str()), &mut fault);
        unique("/item_groups", self.item_groups.iter().map(|group| group.oid.as_str()), &mut fault);
        unique("/items", self.items.iter().map(|item| item.oid.as_str()), &mut fault);
        let forms: BTreeSet<_> = self.forms.iter().map(|form| form.oid.as_str()).collect();
        let groups: BTreeSet<_> = self.item_groups.iter().map(|group| group.oid.as_str()).collect();
        let items: BTreeSet<_> = self.items.iter().map(|item| item.oid.as_str()).collect();
        for (n, visit) in self.visits.iter().enumerate() {
            known(&format!("/visits/{n}/forms"), &visit.forms, &forms, &mut fault);
        }
        for (n, form) in self.forms.iter().enumerate() {
            known(&format!("/forms/{n}/item_groups"), &form.item_groups, &groups, &mut fault);
        }
        for (n, group) in self.item_groups.iter().enumerate() {
            known(&format!("/item_groups/{n}/items"), &group.items, &items, &mut fault);
        }
        for (n, item) in self.items.iter().enumerate() {
            if item.code_list.as_ref().is_some_and(|list| self.code_list(list).is_none()) {
                fault(format!("/items/{n}/code_list"), "there is no such code list in the design".into());
            }
            if item.scope.is_some_and(|scope| !Scope::of_participants().any(|allowed| allowed == scope)) {
                fault(format!("/items/{n}/scope"), "an item's scope begins with identity. or health.".into());
            }
        }
        self.unfit(&mut fault);
        faults.extend(self.expression_faults());
        faults.extend(self.blinding_faults());
        faults
    }
}

/// SHA-256 of any content.
pub fn content_hash(bytes: &[u8]) -> CommitHash {
    CommitHash(Sha256::digest(bytes).into())
}

fn unique<'a>(at: &str, oids: impl Iterator<Item = &'a str>, fault: &mut impl FnMut(String, String)) {
    let mut seen = BTreeSet::new();
    for (n, oid) in oids.enumerate() {
        if !seen.insert(oid) {
            fault(format!("{at}/{n}/oid"), format!("the OID {oid} stands twice"));
        }
    }
}

fn known(at: &str, refs: &[Ref], there: &BTreeSet<&str>, fault: &mut impl FnMut(String, String)) {
    for (n, reference) in refs.iter().enumerate() {
        if !there.contains(reference.oid.as_str()) {
            fault(format!("{at}/{n}"), format!("refers to {}, which is not in the design", reference.oid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_without_a_declared_scope_is_clinical_and_uncoded_text_is_free_text() {
        let mut design = crate::testing::design();
        let scopes: Vec<_> = design.items.iter().map(|item| (item.oid.to_string(), design.scope_of(item))).collect();
        assert!(scopes.contains(&("SYSBP".into(), Scope::HealthClinical)));
        assert!(scopes.contains(&("AETERM".into(), Scope::HealthFreeText)));
        design.items[0].scope = Some(Scope::HealthOptional);
        assert_eq!(design.scope_of(&design.items[0]), Scope::HealthOptional);
    }

    #[test]
    fn a_design_with_dangling_references_is_refused_by_name() {
        let mut design = crate::testing::design();
        assert_eq!(design.faults(), []);
        design.items.remove(0);
        assert!(design.faults().iter().any(|fault| fault.pointer.starts_with("/item_groups/0/items")));
    }
}
