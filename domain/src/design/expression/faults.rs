//! Expressions that do not fit their design, and what of a design is kept and not carried out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Compiled, Here, Read, Type, is_executed};
use crate::design::{Expression, Ref, StudyDesign};
use crate::ids::Oid;
use crate::participant::{LeftOut, left_out_items};
use crate::rejection::Fault;

impl StudyDesign {
    /// Every expression that cannot be read, reads what is not there, or comes to something of the wrong kind.
    pub(in crate::design) fn expression_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |pointer: String, detail: String| faults.push(Fault { pointer, detail });
        self.check_faults(&mut fault);
        for (n, item) in self.items.iter().enumerate() {
            for (m, check) in item.range_checks.iter().enumerate() {
                let here = Here { form: None, item: Some(&item.oid) };
                self.each(
                    &check.expressions,
                    here,
                    &Type::Truth,
                    &format!("/items/{n}/range_checks/{m}/expressions"),
                    &mut fault,
                );
            }
        }
        for (n, condition) in self.conditions.iter().enumerate() {
            let at = format!("/conditions/{n}/expressions");
            self.each(&condition.expressions, Here::default(), &Type::Truth, &at, &mut fault);
        }
        self.method_faults(&mut fault);
        faults
    }

    fn check_faults(&self, fault: &mut impl FnMut(String, String)) {
        let mut seen = BTreeSet::new();
        for (n, check) in self.checks.iter().enumerate() {
            if !seen.insert(&check.oid) {
                fault(format!("/checks/{n}/oid"), format!("the OID {} stands twice", check.oid));
            }
            let on_form =
                self.form(&check.form).is_some_and(|form| form.item_groups.iter().any(|one| one.oid == check.group));
            let in_group =
                self.item_group(&check.group).is_some_and(|group| group.items.iter().any(|one| one.oid == check.item));
            if !on_form || !in_group {
                let place = format!("{} in group {} on form {}", check.item, check.group, check.form);
                fault(format!("/checks/{n}"), format!("it stands at {place}, which is not there"));
                continue;
            }
            let here = Here { form: Some(&check.form), item: Some(&check.item) };
            self.one(&check.expression, here, &Type::Truth, format!("/checks/{n}/expression"), fault);
        }
    }

    /// A method comes to the kind of value that its items take, and does not come back to itself.
    fn method_faults(&self, fault: &mut impl FnMut(String, String)) {
        let mut reads: BTreeMap<&Oid, BTreeSet<Oid>> = BTreeMap::new();
        for (n, method) in self.methods.iter().enumerate() {
            let at = format!("/methods/{n}/expressions");
            let items: Vec<&Ref> = self.computed_by(&method.oid).collect();
            let kinds: Vec<Type> = items.iter().filter_map(|item| self.type_of(&item.oid)).collect();
            for (m, expression) in method.expressions.iter().enumerate().filter(|(_, one)| is_executed(&one.context)) {
                match self.compile(&expression.text, Here::default()) {
                    Ok(compiled) => {
                        if kinds.iter().any(|kind| *kind != compiled.result) {
                            fault(
                                format!("{at}/{m}"),
                                format!(
                                    "it comes to {}, which an item that it computes does not take",
                                    compiled.result
                                ),
                            );
                        }
                        items.iter().for_each(|item| reads.entry(&item.oid).or_default().extend(oids(&compiled)));
                    }
                    Err(detail) => fault(format!("{at}/{m}"), detail),
                }
            }
        }
        for item in reads.keys().filter(|item| reaches(&reads, item)) {
            fault("/methods".into(), format!("{item} is computed from itself"));
        }
    }

    fn computed_by<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a Ref> {
        let items = self.item_groups.iter().flat_map(|group| &group.items);
        items.filter(move |item| item.method.as_deref() == Some(method))
    }

    fn each(&self, all: &[Expression], here: Here<'_>, kind: &Type, at: &str, fault: &mut impl FnMut(String, String)) {
        for (m, expression) in all.iter().enumerate().filter(|(_, one)| is_executed(&one.context)) {
            self.one(&expression.text, here, kind, format!("{at}/{m}"), fault);
        }
    }

    fn one(&self, text: &str, here: Here<'_>, kind: &Type, at: String, fault: &mut impl FnMut(String, String)) {
        match self.compile(text, here) {
            Ok(compiled) if compiled.result == *kind => {}
            Ok(compiled) => fault(at, format!("it comes to {}, not to {kind}", compiled.result)),
            Err(detail) => fault(at, detail),
        }
    }

    /// What the design says and nobody carries out: expressions in foreign contexts, ranges in another unit, conditions
    /// and methods without an expression, methods of what is not an item, and what no visit leads to. For the report of
    /// whoever brings the design.
    pub fn not_executed(&self) -> Vec<Fault> {
        let mut kept = Vec::new();
        let mut foreign = |at: String, all: &[Expression]| {
            for (n, one) in all.iter().enumerate().filter(|(_, one)| !is_executed(&one.context)) {
                let detail = format!("the context {} is not carried out: lethe and cel are", one.context);
                kept.push(Fault { pointer: format!("{at}/expressions/{n}"), detail });
            }
        };
        self.conditions.iter().enumerate().for_each(|(n, one)| foreign(format!("/conditions/{n}"), &one.expressions));
        self.methods.iter().enumerate().for_each(|(n, one)| foreign(format!("/methods/{n}"), &one.expressions));
        for (n, item) in self.items.iter().enumerate() {
            for (m, check) in item.range_checks.iter().enumerate() {
                foreign(format!("/items/{n}/range_checks/{m}"), &check.expressions);
            }
        }
        for (n, item) in self.items.iter().enumerate() {
            for (m, check) in item.range_checks.iter().enumerate() {
                if check.comparator.is_some() && check.is_in_another_unit(item) {
                    let detail = "its values are in another unit than the item's: it is not carried out".to_owned();
                    kept.push(Fault { pointer: format!("/items/{n}/range_checks/{m}"), detail });
                }
            }
        }
        self.unused(&mut kept);
        self.unverified(&mut kept);
        kept
    }

    /// What a plan of verification names and nobody can verify.
    fn unverified(&self, kept: &mut Vec<Fault>) {
        for (n, form) in self.forms.iter().enumerate() {
            for ((_, item), why) in left_out_items(self, &form.oid) {
                let why = match why {
                    LeftOut::Identifier => "it is an identifier",
                    LeftOut::Blinded => "it is blinded",
                };
                let detail = format!(
                    "the plan leaves {item} out: {why}, no role that compares values with their source is shown it"
                );
                kept.push(Fault { pointer: format!("/forms/{n}/sdv"), detail });
            }
        }
    }

    fn unused(&self, kept: &mut Vec<Fault>) {
        let mut say = |pointer: String, detail: String| kept.push(Fault { pointer, detail });
        let named = self.conditions.iter().enumerate().map(|(n, one)| (format!("/conditions/{n}"), one));
        let named = named.chain(self.methods.iter().enumerate().map(|(n, one)| (format!("/methods/{n}"), one)));
        for (at, one) in named.filter(|(_, one)| one.expressions.is_empty()) {
            say(at, format!("{} has no expression: it is not carried out", one.oid));
        }
        let of_visits = self.visits.iter().enumerate().map(|(n, one)| (format!("/visits/{n}/forms"), &one.forms));
        let of_forms =
            self.forms.iter().enumerate().map(|(n, one)| (format!("/forms/{n}/item_groups"), &one.item_groups));
        for (at, refs) in of_visits.chain(of_forms) {
            for (n, _) in refs.iter().enumerate().filter(|(_, one)| one.method.is_some()) {
                say(format!("{at}/{n}/method"), "only an item is computed: it is not carried out".to_owned());
            }
        }
        let forms: BTreeSet<_> = self.visits.iter().flat_map(|one| &one.forms).map(|one| &one.oid).collect();
        let groups: BTreeSet<_> = self.forms.iter().flat_map(|one| &one.item_groups).map(|one| &one.oid).collect();
        let items: BTreeSet<_> = self.item_groups.iter().flat_map(|one| &one.items).map(|one| &one.oid).collect();
        for (n, one) in self.forms.iter().enumerate().filter(|(_, one)| !forms.contains(&one.oid)) {
            say(format!("/forms/{n}"), format!("no visit has the form {}", one.oid));
        }
        for (n, one) in self.item_groups.iter().enumerate().filter(|(_, one)| !groups.contains(&one.oid)) {
            say(format!("/item_groups/{n}"), format!("no form has the item group {}", one.oid));
        }
        for (n, one) in self.items.iter().enumerate().filter(|(_, one)| !items.contains(&one.oid)) {
            say(format!("/items/{n}"), format!("no item group has the item {}", one.oid));
        }
    }
}

fn oids(compiled: &Compiled) -> impl Iterator<Item = Oid> {
    compiled.reads.iter().filter_map(|read| match read {
        Read::Item(item) | Read::At { item, .. } => Some(item.clone()),
        Read::VisitDate(_) | Read::Value => None,
    })
}

fn reaches(reads: &BTreeMap<&Oid, BTreeSet<Oid>>, item: &Oid) -> bool {
    let (mut open, mut seen) = (vec![item], BTreeSet::new());
    while let Some(next) = open.pop() {
        for read in reads.get(next).into_iter().flatten() {
            if read == item {
                return true;
            }
            if seen.insert(read) {
                open.push(read);
            }
        }
    }
    false
}
