//! What of a design would tell a blinded item's value to those who are blinded.
//!
//! That a check fired, what a computed item came to and which item was left out are seen by all who see the record, in
//! the casebook, the queries, the audit trail, the counts and the export. So nothing that has such an outcome reads a
//! blinded item; whether data agree with the arm is looked at outside, by those who may know it.

use super::expression::{Compiled, Here, Read, is_executed};
use super::{Expression, ItemDef, StudyDesign};
use crate::ids::Oid;
use crate::rejection::Fault;
use crate::scope::Scope;

impl StudyDesign {
    /// Whether an item's values are for those only who are not blinded.
    pub fn is_blinded(&self, item: &Oid) -> bool {
        self.item(item).is_some_and(|item| item.blinded || self.scope_of(item) == Scope::HealthBlinded)
    }

    /// Whether an expression that stands at `item` reads a blinded one. Such a one is not carried out: it may stand in
    /// a version that was published before this was looked at.
    pub(crate) fn reads_blinded(&self, compiled: &Compiled, item: &Oid) -> bool {
        self.blinded_reads(compiled, Some(item)).next().is_some()
    }

    /// Everything whose outcome hangs on a blinded item, named by its place.
    pub(super) fn blinding_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut tells = |pointer: String, what: String, item: &Oid| {
            let detail = format!(
                "{what} reads {item}, which is blinded: its outcome would tell the value to those who are blinded. \
                 Leave it out, and look at it outside with those who may know"
            );
            faults.push(Fault { pointer, detail });
        };
        for (n, item) in self.items.iter().enumerate() {
            self.ranges_that_tell(n, item, &mut tells);
        }
        for (n, check) in self.checks.iter().enumerate() {
            let here = Here { form: Some(&check.form), item: Some(&check.item) };
            for read in self.blinded_in(&check.expression, here) {
                tells(format!("/checks/{n}/expression"), format!("the check {} at {}", check.oid, check.item), &read);
            }
        }
        let named = [("condition", "conditions", &self.conditions), ("method", "methods", &self.methods)];
        for (word, list, all) in named {
            for (n, one) in all.iter().enumerate() {
                for (m, read) in self.each_blinded_in(&one.expressions, Here::default()) {
                    tells(format!("/{list}/{n}/expressions/{m}"), format!("the {word} {}", one.oid), &read);
                }
            }
        }
        faults.extend(self.scopes_that_tell());
        faults
    }

    fn ranges_that_tell(&self, n: usize, item: &ItemDef, tells: &mut impl FnMut(String, String, &Oid)) {
        for (m, check) in item.range_checks.iter().enumerate() {
            let at = format!("/items/{n}/range_checks/{m}");
            let what = format!("the range check {m} at {}", item.oid);
            if check.is_executed_on(item) && self.is_blinded(&item.oid) {
                tells(at.clone(), what.clone(), &item.oid);
            }
            let here = Here { form: None, item: Some(&item.oid) };
            for (k, read) in self.each_blinded_in(&check.expressions, here) {
                tells(format!("{at}/expressions/{k}"), what.clone(), &read);
            }
        }
    }

    /// The flag says who may see it, the scope under which key it is sealed: they say the same.
    fn scopes_that_tell(&self) -> impl Iterator<Item = Fault> {
        let open = |item: &ItemDef| item.blinded && self.scope_of(item) != Scope::HealthBlinded;
        self.items.iter().enumerate().filter(move |(_, item)| open(item)).map(|(n, item)| Fault {
            pointer: format!("/items/{n}/scope"),
            detail: format!("{} is blinded, so its scope is {}: leave the scope out", item.oid, Scope::HealthBlinded),
        })
    }

    fn each_blinded_in(&self, all: &[Expression], here: Here<'_>) -> Vec<(usize, Oid)> {
        let executed = all.iter().enumerate().filter(|(_, one)| is_executed(&one.context));
        executed.flat_map(|(m, one)| self.blinded_in(&one.text, here).into_iter().map(move |read| (m, read))).collect()
    }

    /// The blinded items that an expression reads; one that does not fit the design is a fault by itself.
    fn blinded_in(&self, text: &str, here: Here<'_>) -> Vec<Oid> {
        match self.compile(text, here) {
            Ok(compiled) => self.blinded_reads(&compiled, here.item).cloned().collect(),
            Err(_) => vec![],
        }
    }

    fn blinded_reads<'a>(&'a self, compiled: &'a Compiled, own: Option<&'a Oid>) -> impl Iterator<Item = &'a Oid> {
        let items = compiled.reads.iter().filter_map(move |read| match read {
            Read::Item(item) | Read::At { item, .. } => Some(item),
            Read::Value => own,
            Read::VisitDate(_) => None,
        });
        items.filter(|item| self.is_blinded(item))
    }
}

#[cfg(test)]
mod tests;
