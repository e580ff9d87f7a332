//! Whether a design has a place for a value.

use super::StudyDesign;
use crate::participant::{FormKey, ItemKey};

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
