//! What a file wants done with what it says: ODM's `TransactionType`.

use std::io::BufRead;

use domain::ids::Oid;

use super::clinical::ClinicalFile;
use super::reader::Element;
use super::report::Severity;

/// What is to be done with an element. An element that does not say has that of the one around it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transaction {
    /// It is new: what is there already is refused.
    Insert,
    /// It changes what is there: what is not there is refused.
    Update,
    /// It is new or changes what is there.
    #[default]
    Upsert,
    /// It is taken out.
    Remove,
    /// It says only where the others are.
    Context,
}

impl Transaction {
    /// What holds for what stands within, unless it says otherwise.
    pub(super) fn within(self) -> Self {
        if self == Self::Context { Self::Upsert } else { self }
    }

    /// That of an element within one whose own is `around`; none, with a row, for one that ODM does not know.
    pub(super) fn of<R: BufRead>(
        file: &mut ClinicalFile<R>,
        element: &Element,
        oid: Option<&Oid>,
        around: Self,
    ) -> Option<Self> {
        match element.attribute("TransactionType") {
            None => Some(around.within()),
            Some("Insert") => Some(Self::Insert),
            Some("Update") => Some(Self::Update),
            Some("Upsert") => Some(Self::Upsert),
            Some("Remove") => Some(Self::Remove),
            Some("Context") => Some(Self::Context),
            Some(_) => {
                let what = "its TransactionType is none that ODM knows: nothing in it was taken";
                file.row(Severity::Refused, (element.at.line, &element.name, oid), "transaction", what);
                None
            }
        }
    }
}
