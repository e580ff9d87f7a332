//! What a design says and nothing could ever carry out: a check that never fires, a window that never opens, a code that
//! nobody can enter. Nobody would notice, so such a design is not published.

use std::collections::{BTreeMap, BTreeSet};

use super::{DataType, ItemDef, RangeCheck, Ref, StudyDesign};
use crate::ids::Oid;

const COMPARATORS: [&str; 8] = ["LT", "LE", "GT", "GE", "EQ", "NE", "IN", "NOTIN"];

impl StudyDesign {
    pub(super) fn unfit(&self, fault: &mut impl FnMut(String, String)) {
        super::unique("/code_lists", self.code_lists.iter().map(|one| one.oid.as_str()), fault);
        super::unique("/conditions", self.conditions.iter().map(|one| one.oid.as_str()), fault);
        super::unique("/methods", self.methods.iter().map(|one| one.oid.as_str()), fault);
        for (at, refs) in self.references() {
            self.unfit_refs(&at, refs, fault);
        }
        for (n, item) in self.items.iter().enumerate() {
            self.unfit_item(n, item, fault);
        }
        for (n, list) in self.code_lists.iter().enumerate() {
            let mut seen = BTreeSet::new();
            for (m, code) in list.codes.iter().enumerate().filter(|(_, code)| !seen.insert(&code.value)) {
                fault(
                    format!("/code_lists/{n}/codes/{m}/value"),
                    format!("the code {} stands twice in {}", code.value, list.oid),
                );
            }
        }
        self.unfit_windows(fault);
    }

    /// Every list of references, with its place.
    fn references(&self) -> impl Iterator<Item = (String, &[Ref])> {
        let visits = self.visits.iter().enumerate().map(|(n, one)| (format!("/visits/{n}/forms"), &*one.forms));
        let forms =
            self.forms.iter().enumerate().map(|(n, one)| (format!("/forms/{n}/item_groups"), &*one.item_groups));
        let groups = self.item_groups.iter().enumerate();
        visits.chain(forms).chain(groups.map(|(n, one)| (format!("/item_groups/{n}/items"), &*one.items)))
    }

    fn unfit_refs(&self, at: &str, refs: &[Ref], fault: &mut impl FnMut(String, String)) {
        let mut seen = BTreeSet::new();
        for (n, one) in refs.iter().enumerate() {
            if !seen.insert(&one.oid) {
                fault(format!("{at}/{n}"), format!("{} is referred to twice here", one.oid));
            }
            let there = |all: &[super::ExpressionDef], oid: &str| all.iter().any(|known| known.oid == oid);
            if let Some(oid) = one.skip_condition.as_ref().filter(|oid| !there(&self.conditions, oid)) {
                fault(format!("{at}/{n}/skip_condition"), format!("there is no condition {oid} in the design"));
            }
            if let Some(oid) = one.method.as_ref().filter(|oid| !there(&self.methods, oid)) {
                fault(format!("{at}/{n}/method"), format!("there is no method {oid} in the design"));
            }
        }
    }

    fn unfit_item(&self, n: usize, item: &ItemDef, fault: &mut impl FnMut(String, String)) {
        let known = |unit: &Option<String>| unit.as_ref().is_none_or(|unit| self.units.contains_key(unit));
        if !known(&item.unit) {
            fault(format!("/items/{n}/unit"), "there is no such unit in the design".into());
        }
        if item.length == Some(0) {
            fault(format!("/items/{n}/length"), "no value is that short".into());
        }
        for (m, check) in item.range_checks.iter().enumerate() {
            if !known(&check.unit) {
                fault(format!("/items/{n}/range_checks/{m}/unit"), "there is no such unit in the design".into());
            }
            if let Some(why) = check.never_fires_on(item) {
                fault(format!("/items/{n}/range_checks/{m}"), format!("the check of {} never fires: {why}", item.oid));
            }
        }
        let codes =
            item.code_list.as_ref().and_then(|list| self.code_list(list)).into_iter().flat_map(|one| &one.codes);
        for code in codes.filter(|code| !item.data_type.accepts(&code.value)) {
            let rule = item.data_type.rule();
            let detail = format!("nobody can enter the code {} of its list: {} takes {rule}", code.value, item.oid);
            fault(format!("/items/{n}/code_list"), detail);
        }
    }

    /// A window counts from a visit of the design, and not in the end from itself.
    fn unfit_windows(&self, fault: &mut impl FnMut(String, String)) {
        let after = |visit: &super::VisitDef| visit.window.as_ref().and_then(|window| window.after.clone());
        let before: BTreeMap<&Oid, Oid> =
            self.visits.iter().filter_map(|visit| Some((&visit.oid, after(visit)?))).collect();
        for (n, visit) in self.visits.iter().enumerate() {
            let at = format!("/visits/{n}/window/after");
            let Some(first) = before.get(&visit.oid) else { continue };
            if self.visit(first).is_none() {
                fault(at, format!("it counts from {first}, which is no visit of the design"));
                continue;
            }
            let (mut next, mut steps) = (Some(first), 0);
            while let Some(visited) = next.filter(|_| steps <= self.visits.len()) {
                if *visited == visit.oid {
                    fault(at, format!("the window of {} counts from itself in the end", visit.oid));
                    break;
                }
                (next, steps) = (before.get(visited), steps + 1);
            }
        }
    }
}

impl RangeCheck {
    /// Why it can never fire on this item, whatever the unit; none if it can.
    pub fn never_fires_on(&self, item: &ItemDef) -> Option<&'static str> {
        let Some(comparator) = self.comparator.as_deref() else {
            return self.expressions.is_empty().then_some("it has neither a comparator nor an expression");
        };
        if !COMPARATORS.contains(&comparator) {
            return Some("its comparator is none of LT, LE, GT, GE, EQ, NE, IN, NOTIN");
        }
        let single = !matches!(comparator, "IN" | "NOTIN");
        if self.values.is_empty() || (single && self.values.len() > 1) {
            return Some(if single { "its comparator takes one value" } else { "it has no values" });
        }
        // A limit of whole numbers may itself be a fraction.
        let fraction = |value: &String| item.data_type == DataType::Integer && DataType::Decimal.accepts(value);
        let takes =
            |value: &String| item.data_type == DataType::Text || item.data_type.accepts(value) || fraction(value);
        (!self.values.iter().all(takes)).then_some("its values are none that the item could have")
    }

    /// Whether its values are in another unit than the item's.
    pub fn is_in_another_unit(&self, item: &ItemDef) -> bool {
        self.unit.is_some() && self.unit != item.unit
    }

    /// Whether its comparator and values are carried out on this item.
    pub fn is_executed_on(&self, item: &ItemDef) -> bool {
        self.comparator.is_some() && self.never_fires_on(item).is_none() && !self.is_in_another_unit(item)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Code, CodeListDef, Window};
    use super::*;
    use crate::testing::{at_most, design, oid};

    /// What is wrong with the design after `change`.
    fn pointers(change: impl FnOnce(&mut StudyDesign)) -> Vec<String> {
        let mut design = design();
        change(&mut design);
        design.faults().into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn a_range_check_that_never_fires_is_a_fault() {
        let check = |comparator: &str, values: &[&str]| RangeCheck {
            comparator: Some(comparator.into()),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            ..at_most("5", true)
        };
        for bad in [
            check("LTT", &["5"]),
            check("lt", &["5"]),
            check("LT", &["abc"]),
            check("LT", &[]),
            check("LT", &["5", "6"]),
            check("IN", &[]),
            check("IN", &["5", "x"]),
            RangeCheck { comparator: None, ..at_most("5", true) },
        ] {
            let found = pointers(|design| design.items[0].range_checks = vec![at_most("9", false), bad.clone()]);
            assert_eq!(found, ["/items/0/range_checks/1"], "{bad:?}");
        }
        for good in [check("LT", &["5.5"]), check("NOTIN", &["5", "6"])] {
            assert_eq!(pointers(|design| design.items[0].range_checks = vec![good]), [""; 0]);
        }
    }

    #[test]
    fn a_unit_is_one_of_the_design() {
        let found = pointers(|design| {
            design.items[0].unit = Some("MMHG".into());
            design.items[0].range_checks[0].unit = Some("KPA".into());
        });
        assert_eq!(found, ["/items/0/unit", "/items/0/range_checks/0/unit"]);
        let found = pointers(|design| {
            design.units = [("MMHG".to_owned(), Default::default())].into();
            design.items[0].unit = Some("MMHG".into());
        });
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_window_counts_from_a_visit_and_not_from_itself() {
        let window = |after: &str| Some(Window { after: Some(oid(after)), days: 7, early: 0, late: 0 });
        assert_eq!(pointers(|design| design.visits[0].window = window("NOVISIT")), ["/visits/0/window/after"]);
        assert_eq!(pointers(|design| design.visits[0].window = window("V1")), ["/visits/0/window/after"]);
        let three = |windows: [Option<Window>; 3]| {
            pointers(move |design| {
                let visits = windows.into_iter().zip(["V1", "V2", "V3"]);
                let first = design.visits.remove(0);
                design.visits = visits
                    .map(|(window, name)| super::super::VisitDef { oid: oid(name), window, ..first.clone() })
                    .collect();
            })
        };
        assert_eq!(three([None, window("V1"), window("V2")]), [""; 0]);
        assert_eq!(
            three([window("V2"), window("V1"), window("V2")]),
            ["/visits/0/window/after", "/visits/1/window/after"],
            "the third counts from a circle and is not in it"
        );
    }

    #[test]
    fn what_stands_twice_or_refers_to_nothing_is_a_fault() {
        let code = |value: &str| Code { value: value.into(), labels: Default::default() };
        let list = |codes: &[&str]| CodeListDef {
            oid: "YN".into(),
            name: "YN".into(),
            codes: codes.iter().map(|one| code(one)).collect(),
        };
        let coded = |lists: Vec<CodeListDef>, item: usize| {
            pointers(move |design| {
                design.code_lists = lists;
                design.items[item].code_list = Some("YN".into());
            })
        };
        assert_eq!(coded(vec![list(&["Y", "N"])], 1), [""; 0]);
        assert_eq!(coded(vec![list(&["Y", "N", "Y"])], 1), ["/code_lists/0/codes/2/value"]);
        assert_eq!(coded(vec![list(&["Y"]), list(&["Y"])], 1), ["/code_lists/1/oid"]);
        assert_eq!(coded(vec![list(&["1", "N"])], 0), ["/items/0/code_list"], "a whole number is never N");
        let found = pointers(|design| {
            let again = design.item_groups[0].items[0].clone();
            design.item_groups[0].items.push(again);
            design.item_groups[0].items[0].skip_condition = Some("C".into());
            design.item_groups[0].items[1].method = Some("M".into());
        });
        let at = |rest: &str| format!("/item_groups/0/items/{rest}");
        assert_eq!(found, [at("0/skip_condition"), at("1/method"), at("2")]);
        assert_eq!(pointers(|design| design.items[1].length = Some(0)), ["/items/1/length"]);
    }
}
