//! Whether a design has a place for a value, and whether a form is the same in two of them.

use super::{CodeListDef, ExpressionDef, FormDef, ItemDef, ItemGroupDef, Labels, Ref, StudyDesign};
use crate::participant::{FormKey, ItemKey};

/// A form with all that it is made of.
#[derive(Debug, PartialEq)]
struct WholeForm<'a> {
    /// What the visit says of it.
    reference: Option<&'a Ref>,
    form: &'a FormDef,
    groups: Vec<&'a ItemGroupDef>,
    items: Vec<&'a ItemDef>,
    lists: Vec<&'a CodeListDef>,
    units: Vec<(&'a String, &'a Labels)>,
    /// Conditions under which something of it is left out, and what is computed on it.
    expressions: Vec<&'a ExpressionDef>,
}

impl StudyDesign {
    /// Whether there is a form of this visit in this design, so often repeated.
    pub fn has_form(&self, key: &FormKey) -> bool {
        let (visit, form) = (self.visit(&key.visit), self.form(&key.form));
        let repeats = |repeating: bool, repeat: u32| repeat == 1 || (repeating && repeat > 1);
        visit.zip(form).is_some_and(|(visit, form)| {
            visit.forms.iter().any(|reference| reference.oid == key.form)
                && repeats(visit.repeating, key.visit_repeat)
                && repeats(form.repeating, key.form_repeat)
        })
    }

    /// Whether a form is the same in both: whoever answers for it as it stands in one answers for it in the other. Edit
    /// checks are not of it: they say what is asked about, not what was said.
    pub fn has_same_form(&self, other: &Self, key: &FormKey) -> bool {
        let here = self.whole_form(key);
        here.is_some() && here == other.whole_form(key)
    }

    fn whole_form(&self, key: &FormKey) -> Option<WholeForm<'_>> {
        let form = self.form(&key.form)?;
        let reference = self.visit(&key.visit).and_then(|visit| visit.forms.iter().find(|one| one.oid == key.form));
        let groups: Vec<_> = form.item_groups.iter().filter_map(|one| self.item_group(&one.oid)).collect();
        let items: Vec<_> =
            groups.iter().flat_map(|group| &group.items).filter_map(|one| self.item(&one.oid)).collect();
        let refs = || {
            let inside = groups.iter().flat_map(|group| &group.items);
            reference.into_iter().chain(&form.item_groups).chain(inside)
        };
        let named = |oid: &String| self.conditions.iter().chain(&self.methods).find(|one| one.oid == *oid);
        let expressions = refs().flat_map(|one| one.skip_condition.iter().chain(&one.method)).filter_map(named);
        let lists = items.iter().filter_map(|item| self.code_list(item.code_list.as_ref()?));
        let units = items.iter().filter_map(|item| self.units.get_key_value(item.unit.as_ref()?));
        Some(WholeForm {
            reference,
            form,
            lists: lists.collect(),
            units: units.collect(),
            expressions: expressions.collect(),
            groups,
            items,
        })
    }

    /// Whether that form has this item in this group, so often repeated.
    pub fn has_item(&self, key: &FormKey, item: &ItemKey) -> bool {
        let group = self.item_group(&item.group);
        self.has_form(key)
            && self.form(&key.form).is_some_and(|form| form.item_groups.iter().any(|group| group.oid == item.group))
            && self.item(&item.item).is_some()
            && group.is_some_and(|group| {
                group.items.iter().any(|reference| reference.oid == item.item)
                    && (item.group_repeat == 1 || (group.repeating && item.group_repeat > 1))
            })
    }
}
