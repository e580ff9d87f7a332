//! `Alias`: what stands in ours is read into the design, others are passed over.

use std::collections::BTreeMap;
use std::io::BufRead;

use domain::design::{Labels, StudyDesign};
use domain::ids::Oid;
use exchange::odm::metadata::alias;
use serde::de::DeserializeOwned;

use super::{Draft, Kind, name};
use crate::odm::design::File;
use crate::odm::reader::Element;

/// The aliases of one definition that are ours: context to name.
#[derive(Debug, Default)]
pub(in crate::odm) struct Aliases(BTreeMap<String, String>);

impl Aliases {
    /// Takes an `Alias` in, if it is one of ours.
    pub(in crate::odm) fn take<R: BufRead>(&mut self, file: &mut File<R>, element: &Element, parent: &Element) {
        match (element.attribute("Context"), element.attribute("Name")) {
            (Some(context), Some(name)) if context.starts_with("lethe.") => {
                self.0.insert(context.to_owned(), name.to_owned());
            }
            _ => file.not_kept.inside(&parent.name, element),
        }
    }

    pub(in crate::odm) fn has(&self, context: &str) -> bool {
        self.0.contains_key(context)
    }

    pub(in crate::odm) fn text(&self, context: &str) -> Option<&str> {
        self.0.get(context).map(String::as_str)
    }
}

impl Draft {
    /// A value that stands as JSON in an alias.
    pub(in crate::odm) fn json<T: DeserializeOwned>(
        &mut self,
        aliases: &Aliases,
        context: &str,
        of: &Element,
    ) -> Option<T> {
        let read = serde_json::from_str(aliases.text(context)?);
        if read.is_err() {
            self.fault(of, "bad-alias", format!("what stands in its alias {context} cannot be read"));
        }
        read.ok()
    }

    /// The labels of a definition: those that its alias says in full, otherwise those that were read.
    pub(in crate::odm) fn labels_of(&mut self, aliases: &Aliases, read: Labels, of: &Element) -> Labels {
        self.json(aliases, alias::LABELS, of).unwrap_or(read)
    }

    /// The name of a definition.
    pub(in crate::odm) fn name_of(aliases: &Aliases, of: &Element) -> String {
        aliases.text(alias::NAME).map_or_else(|| name(of), str::to_owned)
    }

    /// Remembers that a definition has another OID in the design than in the file.
    pub(in crate::odm) fn original(&mut self, aliases: &Aliases, kind: Kind, of: &Element) {
        if let (Some(original), Some(written)) = (aliases.text(alias::OID), of.attribute("OID")) {
            self.originals.insert((kind, written.to_owned()), original.to_owned());
        }
    }

    /// The OID in the file of what has this one in the design.
    pub(super) fn as_written(&self, kind: Kind, oid: &str) -> String {
        let mut all = self.originals.iter();
        let written = all.find(|((of, _), original)| *of == kind && *original == oid);
        written.map_or_else(|| oid.to_owned(), |((_, written), _)| written.clone())
    }

    /// Gives every definition and reference the OID that it has in the design.
    pub(in crate::odm) fn restore_oids(&mut self) {
        if self.originals.is_empty() {
            return;
        }
        let originals = self.originals.clone();
        let text = |kind, oid: &mut String| {
            if let Some(original) = originals.get(&(kind, oid.clone())) {
                oid.clone_from(original);
            }
        };
        let oid = |kind, oid: &mut Oid| {
            let original = originals.get(&(kind, oid.to_string())).and_then(|original| original.parse().ok());
            if let Some(original) = original {
                *oid = original;
            }
        };
        let StudyDesign { visits, forms, item_groups, items, code_lists, conditions, methods, .. } = &mut self.design;
        visits.iter_mut().for_each(|one| oid(Kind::Visit, &mut one.oid));
        forms.iter_mut().for_each(|one| oid(Kind::Form, &mut one.oid));
        item_groups.iter_mut().for_each(|one| oid(Kind::ItemGroup, &mut one.oid));
        items.iter_mut().for_each(|one| oid(Kind::Item, &mut one.oid));
        code_lists.iter_mut().for_each(|one| text(Kind::CodeList, &mut one.oid));
        conditions.iter_mut().for_each(|one| text(Kind::Condition, &mut one.oid));
        methods.iter_mut().for_each(|one| text(Kind::Method, &mut one.oid));
        let lists = items.iter_mut().filter_map(|item| item.code_list.as_mut());
        lists.for_each(|list| text(Kind::CodeList, list));
        let refs = visits.iter_mut().map(|one| (Kind::Form, &mut one.forms));
        let refs = refs.chain(forms.iter_mut().map(|one| (Kind::ItemGroup, &mut one.item_groups)));
        let refs = refs.chain(item_groups.iter_mut().map(|one| (Kind::Item, &mut one.items)));
        for (kind, reference) in refs.flat_map(|(kind, refs)| refs.iter_mut().map(move |one| (kind, one))) {
            oid(kind, &mut reference.oid);
            reference.skip_condition.iter_mut().for_each(|one| text(Kind::Condition, one));
            reference.method.iter_mut().for_each(|one| text(Kind::Method, one));
        }
    }
}
