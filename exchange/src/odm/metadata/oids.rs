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
    /// The OIDs of this design. The same design gets the same ones in every file.
    pub fn of(design: &StudyDesign) -> Self {
        let mut oids = Self::default();
        let mut taken = BTreeSet::from([VISITS.to_owned()]);
        oids.take(Kind::ItemGroup, design.item_groups.iter().map(|one| one.oid.as_str()), &mut taken);
        oids.take(Kind::Item, design.items.iter().map(|one| one.oid.as_str()), &mut taken);
        oids.take(Kind::Form, design.forms.iter().map(|one| one.oid.as_str()), &mut taken);
        oids.take(Kind::Visit, design.visits.iter().map(|one| one.oid.as_str()), &mut taken);
        oids.take(Kind::CodeList, design.code_lists.iter().map(|one| one.oid.as_str()), &mut taken);
        oids.take(Kind::Condition, design.conditions.iter().map(|one| one.oid.as_str()), &mut taken);
        oids.take(Kind::Method, design.methods.iter().map(|one| one.oid.as_str()), &mut taken);
        oids
    }

    fn take<'a>(&mut self, kind: Kind, all: impl Iterator<Item = &'a str>, taken: &mut BTreeSet<String>) {
        for oid in all {
            let mut written = oid.to_owned();
            while !taken.insert(written.clone()) {
                written.insert_str(0, kind.prefix());
            }
            if written != oid {
                self.others.insert((kind, oid.to_owned()), written);
            }
        }
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
