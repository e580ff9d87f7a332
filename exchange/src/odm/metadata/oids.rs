//! OIDs in the file. In a design a visit and an item may have the same one; in a file no two definitions may.

use std::collections::{BTreeMap, BTreeSet};

use domain::design::StudyDesign;

/// The group of all visits in ODM 2.0, in protocol order.
pub const VISITS: &str = "LETHE.VISITS";

/// Which OID stands in the file for one of the design: its own, unless another definition has it.
#[derive(Debug, Clone, Default)]
pub struct Oids {
    others: BTreeMap<(Kind, String), String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ItemGroup,
    Item,
    Form,
    Visit,
    CodeList,
    Condition,
    Method,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::ItemGroup => "GROUP.",
            Self::Item => "ITEM.",
            Self::Form => "FORM.",
            Self::Visit => "VISIT.",
            Self::CodeList => "LIST.",
            Self::Condition => "CONDITION.",
            Self::Method => "METHOD.",
        }
    }
}

impl Oids {
    /// The OIDs of this design. The same design gets the same ones in every file, and none of those that are not its own
    /// is one that the design has anywhere: so they can be told apart when the file is read.
    pub fn of(design: &StudyDesign) -> Self {
        let all = [
            (Kind::ItemGroup, design.item_groups.iter().map(|one| one.oid.as_str()).collect::<Vec<_>>()),
            (Kind::Item, design.items.iter().map(|one| one.oid.as_str()).collect()),
            (Kind::Form, design.forms.iter().map(|one| one.oid.as_str()).collect()),
            (Kind::Visit, design.visits.iter().map(|one| one.oid.as_str()).collect()),
            (Kind::CodeList, design.code_lists.iter().map(|one| one.oid.as_str()).collect()),
            (Kind::Condition, design.conditions.iter().map(|one| one.oid.as_str()).collect()),
            (Kind::Method, design.methods.iter().map(|one| one.oid.as_str()).collect()),
        ];
        let own: BTreeSet<&str> = all.iter().flat_map(|(_, oids)| oids.iter().copied()).collect();
        let mut taken = BTreeSet::from([VISITS.to_owned()]);
        let mut oids = Self::default();
        for (kind, oid) in all.iter().flat_map(|(kind, all)| all.iter().map(|oid| (*kind, *oid))) {
            let mut written = oid.to_owned();
            while (written != oid && own.contains(written.as_str())) || !taken.insert(written.clone()) {
                written.insert_str(0, kind.prefix());
            }
            if written != oid {
                oids.others.insert((kind, oid.to_owned()), written);
            }
        }
        oids
    }

    /// Whether every definition has its own OID in the file.
    pub fn are_all_own(&self) -> bool {
        self.others.is_empty()
    }

    fn back(&self, kind: Kind, written: &str) -> Option<&str> {
        let found = self.others.iter().find(|((of, _), other)| *of == kind && *other == written);
        found.map(|((_, own), _)| own.as_str())
    }

    /// The OID of the visit for which another one is written.
    pub fn of_visit(&self, written: &str) -> Option<&str> {
        self.back(Kind::Visit, written)
    }

    /// The OID of the form for which another one is written.
    pub fn of_form(&self, written: &str) -> Option<&str> {
        self.back(Kind::Form, written)
    }

    /// The OID of the item group for which another one is written.
    pub fn of_item_group(&self, written: &str) -> Option<&str> {
        self.back(Kind::ItemGroup, written)
    }

    /// The OID of the item for which another one is written.
    pub fn of_item(&self, written: &str) -> Option<&str> {
        self.back(Kind::Item, written)
    }

    pub(super) fn get(&self, kind: Kind, oid: &str) -> String {
        self.others.get(&(kind, oid.to_owned())).cloned().unwrap_or_else(|| oid.to_owned())
    }

    /// Of a visit.
    pub fn visit(&self, oid: &str) -> String {
        self.get(Kind::Visit, oid)
    }

    /// Of a form.
    pub fn form(&self, oid: &str) -> String {
        self.get(Kind::Form, oid)
    }

    /// Of an item group.
    pub fn item_group(&self, oid: &str) -> String {
        self.get(Kind::ItemGroup, oid)
    }

    /// Of an item.
    pub fn item(&self, oid: &str) -> String {
        self.get(Kind::Item, oid)
    }
}
