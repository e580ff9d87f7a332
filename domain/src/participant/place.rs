//! Places in a participant's record: a visit, a form of it, an item of that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::design::{FormDef, ItemGroupDef, StudyDesign, VisitDef};
use crate::ids::Oid;

/// Which occurrence of which visit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitKey {
    /// The visit's OID.
    pub visit: Oid,
    /// Which occurrence of the visit, from 1.
    #[serde(default = "one")]
    pub visit_repeat: u32,
}

/// Which form of which visit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FormKey {
    /// The visit's OID.
    pub visit: Oid,
    /// Which occurrence of the visit, from 1.
    #[serde(default = "one")]
    pub visit_repeat: u32,
    /// The form's OID.
    pub form: Oid,
    /// Which occurrence of the form in the visit, from 1.
    #[serde(default = "one")]
    pub form_repeat: u32,
}

impl FormKey {
    /// The visit that the form belongs to.
    pub fn visit(&self) -> VisitKey {
        VisitKey { visit: self.visit.clone(), visit_repeat: self.visit_repeat }
    }
}

/// Which item of a form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemKey {
    /// The item group's OID.
    pub group: Oid,
    /// Which occurrence of the group on the form, from 1.
    #[serde(default = "one")]
    pub group_repeat: u32,
    /// The item's OID.
    pub item: Oid,
}

/// Which item of which form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemPlace {
    /// The visit's OID.
    pub visit: Oid,
    /// Which occurrence of the visit, from 1.
    #[serde(default = "one")]
    pub visit_repeat: u32,
    /// The form's OID.
    pub form: Oid,
    /// Which occurrence of the form in the visit, from 1.
    #[serde(default = "one")]
    pub form_repeat: u32,
    /// The item group's OID.
    pub group: Oid,
    /// Which occurrence of the group on the form, from 1.
    #[serde(default = "one")]
    pub group_repeat: u32,
    /// The item's OID.
    pub item: Oid,
}

impl ItemPlace {
    /// The place of an item of a form.
    pub fn of(form: &FormKey, item: &ItemKey) -> Self {
        let (FormKey { visit, visit_repeat, form, form_repeat }, ItemKey { group, group_repeat, item }) =
            (form.clone(), item.clone());
        Self { visit, visit_repeat, form, form_repeat, group, group_repeat, item }
    }

    /// The form that the item stands on.
    pub fn form(&self) -> FormKey {
        let Self { visit, visit_repeat, form, form_repeat, .. } = self.clone();
        FormKey { visit, visit_repeat, form, form_repeat }
    }

    /// The item on its form.
    pub fn item(&self) -> ItemKey {
        let Self { group, group_repeat, item, .. } = self.clone();
        ItemKey { group, group_repeat, item }
    }
}

/// A part of a participant's record, small or large.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(tag = "level", rename_all = "kebab-case")]
pub enum Place {
    /// All of it.
    Participant,
    /// One visit.
    Visit(VisitKey),
    /// One form.
    Form(FormKey),
    /// One item.
    Item(ItemPlace),
}

impl Place {
    /// Whether `form` lies within it, or holds it.
    pub fn touches(&self, form: &FormKey) -> bool {
        match self {
            Self::Participant => true,
            Self::Visit(visit) => *visit == form.visit(),
            Self::Form(own) => own == form,
            Self::Item(item) => item.form() == *form,
        }
    }

    /// Whether all of `form` lies within it.
    pub fn covers_form(&self, form: &FormKey) -> bool {
        self.touches(form) && !matches!(self, Self::Item(_))
    }

    /// Whether an item of `form` lies within it.
    pub fn covers_item(&self, form: &FormKey, item: &ItemKey) -> bool {
        match self {
            Self::Item(own) => own.form() == *form && own.item() == *item,
            Self::Participant | Self::Visit(_) | Self::Form(_) => self.covers_form(form),
        }
    }
}

impl Place {
    /// Whether all of `other` lies within it.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Participant, _) => true,
            (Self::Visit(own), Self::Visit(visit)) => own == visit,
            (_, Self::Form(form)) => self.covers_form(form),
            (_, Self::Item(item)) => self.covers_item(&item.form(), &item.item()),
            (_, Self::Participant | Self::Visit(_)) => false,
        }
    }

    /// The form that it is, or lies on.
    pub fn form(&self) -> Option<FormKey> {
        match self {
            Self::Participant | Self::Visit(_) => None,
            Self::Form(form) => Some(form.clone()),
            Self::Item(item) => Some(item.form()),
        }
    }

    /// Whether the design has such a place, with as many occurrences as it may have.
    pub(super) fn stands_in(&self, design: &StudyDesign) -> bool {
        match self {
            Self::Participant => true,
            Self::Visit(key) => visit_stands(&key.visit, key.visit_repeat, design),
            Self::Form(form) => form_stands(form, design),
            Self::Item(item) => form_stands(&item.form(), design) && item_stands(&item.form(), &item.item(), design),
        }
    }
}

fn visit_stands(oid: &Oid, repeat: u32, design: &StudyDesign) -> bool {
    design.visit(oid).is_some_and(|visit| occurs(repeat, visit.repeating))
}

fn form_stands(key: &FormKey, design: &StudyDesign) -> bool {
    let in_visit = |visit: &VisitDef| visit.forms.iter().any(|form| form.oid == key.form);
    visit_stands(&key.visit, key.visit_repeat, design)
        && design.visit(&key.visit).is_some_and(in_visit)
        && design.form(&key.form).is_some_and(|form| occurs(key.form_repeat, form.repeating))
}

fn item_stands(form: &FormKey, key: &ItemKey, design: &StudyDesign) -> bool {
    let on_form = |form: &FormDef| form.item_groups.iter().any(|group| group.oid == key.group);
    let in_group = |group: &ItemGroupDef| {
        group.items.iter().any(|item| item.oid == key.item) && occurs(key.group_repeat, group.repeating)
    };
    design.form(&form.form).is_some_and(on_form) && design.item_group(&key.group).is_some_and(in_group)
}

fn occurs(repeat: u32, repeating: bool) -> bool {
    repeat == 1 || (repeating && repeat > 1)
}

pub(super) fn one() -> u32 {
    1
}

structural!(VisitKey, FormKey, ItemKey, ItemPlace, Place);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_is_flat_in_json() {
        let item = json!({"level": "item", "visit": "V1", "visit_repeat": 1, "form": "VS", "form_repeat": 1,
            "group": "G", "group_repeat": 2, "item": "SYSBP"});
        let read: Place = serde_json::from_value(item.clone()).expect("a place");
        assert_eq!(serde_json::to_value(&read).expect("json"), item);
        let short: Place =
            serde_json::from_value(json!({"level": "form", "visit": "V1", "form": "VS"})).expect("a place");
        let Place::Form(form) = &short else { panic!("{short:?}") };
        assert!(read.touches(form) && !read.covers_form(form) && short.covers_form(form));
        assert!(serde_json::from_value::<Place>(json!({"level": "form", "visit": "V1"})).is_err());
    }
}
