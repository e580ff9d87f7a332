//! Where in the file a part of the design stands, and what of it is left out because nothing could ever carry it out.

use domain::design::{ItemDef, StudyDesign};

use super::{Draft, Kind};
use crate::odm::error::Place;
use crate::odm::report::Severity;

impl Draft {
    /// The place, element and OID of what a JSON pointer into the design names; at worst those of the version.
    pub(in crate::odm) fn place_of(&self, pointer: &str) -> (Place, &str, Option<&str>) {
        let version = (self.at, "MetaDataVersion", None);
        let mut parts = pointer.split('/').skip(1);
        let (Some(list), Some(n)) = (parts.next(), parts.next().map_or(Some(0), |n| n.parse::<usize>().ok())) else {
            return version;
        };
        let StudyDesign { visits, forms, item_groups, items, code_lists, conditions, methods, .. } = &self.design;
        let (kinds, oid): (&[Kind], _) = match list {
            "visits" => (&[Kind::Visit], visits.get(n).map(|one| one.oid.as_str())),
            // In ODM 2.0 both are item groups.
            "forms" => (&[Kind::Form, Kind::ItemGroup], forms.get(n).map(|one| one.oid.as_str())),
            "item_groups" => (&[Kind::ItemGroup, Kind::Form], item_groups.get(n).map(|one| one.oid.as_str())),
            "items" => (&[Kind::Item], items.get(n).map(|one| one.oid.as_str())),
            "code_lists" => (&[Kind::CodeList], code_lists.get(n).map(|one| one.oid.as_str())),
            "conditions" => (&[Kind::Condition], conditions.get(n).map(|one| one.oid.as_str())),
            "methods" => (&[Kind::Method], methods.get(n).map(|one| one.oid.as_str())),
            "checks" => (&[Kind::Protocol], Some("")),
            _ => return version,
        };
        let found = oid.and_then(|oid| {
            let at = kinds.iter().find_map(|kind| self.defined.get(&(*kind, self.as_written(*kind, oid))));
            at.map(|(at, element)| (*at, element.as_str(), Some(oid).filter(|oid| !oid.is_empty())))
        });
        found.unwrap_or(version)
    }

    /// Leaves out what could never be carried out: references to nothing, and range checks that never fire.
    pub(in crate::odm) fn leave_out_unfit(&mut self) {
        let StudyDesign { visits, forms, item_groups, conditions, methods, items, units, .. } = &mut self.design;
        let refs = visits.iter_mut().map(|one| &mut one.forms);
        let refs = refs.chain(forms.iter_mut().map(|one| &mut one.item_groups));
        let refs = refs.chain(item_groups.iter_mut().map(|one| &mut one.items));
        for one in refs.flatten() {
            // That they are not there was said where they are referred to.
            one.skip_condition.take_if(|oid| !conditions.iter().any(|known| known.oid == *oid));
            one.method.take_if(|oid| !methods.iter().any(|known| known.oid == *oid));
        }
        items.iter_mut().for_each(|item| drop(item.unit.take_if(|unit| !units.contains_key(unit))));
        let mut items = std::mem::take(items);
        items.iter_mut().for_each(|item| self.leave_out_checks(item));
        self.design.items = items;
    }

    fn leave_out_checks(&mut self, item: &mut ItemDef) {
        let places = self.range_checks.remove(item.oid.as_str()).unwrap_or_default();
        let defined = self.defined.get(&(Kind::Item, item.oid.to_string())).map_or(self.at, |(at, _)| *at);
        for (n, check) in std::mem::take(&mut item.range_checks).into_iter().enumerate() {
            let at = (places.get(n).copied().unwrap_or(defined), "RangeCheck", Some(item.oid.as_str()));
            let unknown_unit = check.unit.as_ref().is_some_and(|unit| !self.design.units.contains_key(unit));
            let never = unknown_unit.then_some("its unit is not defined").or_else(|| check.never_fires_on(item));
            let firmness = if check.hard { "hard" } else { "soft" };
            if let Some(why) = never {
                let what = format!("a {firmness} check that never fires is left out: {why}");
                self.report.add(Severity::Warning, at, "range-check-left-out", what);
                continue;
            }
            if check.is_in_another_unit(item) && check.comparator.is_some() {
                let what =
                    format!("a {firmness} check is kept, not executed: its values are in another unit than the item's");
                self.report.add(Severity::Warning, at, "range-check-not-executed", what);
            }
            item.range_checks.push(check);
        }
    }
}
