//! CDISC ODM 1.3.2 and 2.0.
//!
//! What ODM has no place for (why a value is missing, a visit's date, marks, in 1.3.2 queries) stands in `Annotation`s,
//! with flags of the code lists in [`flags`], which are written with the design.

mod admin;
mod clinical;
pub mod flags;
pub mod metadata;
mod notes;
mod trail;
mod write;

pub use trail::{TrailChange, TrailEntry, TrailFrame, TrailPlace, TrailSubject, TrailWriter};
pub(crate) use write::rfc3339;
pub use write::{History, OdmOptions, OdmWriter};

/// Which ODM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OdmVersion {
    /// 1.3.2, of 2013: what most systems read.
    V1_3_2,
    /// 2.0, of 2023: with queries, without forms of their own.
    V2_0,
}

impl OdmVersion {
    /// As the attribute `ODMVersion` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_3_2 => "1.3.2",
            Self::V2_0 => "2.0",
        }
    }

    /// The XML namespace.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::V1_3_2 => "http://www.cdisc.org/ns/odm/v1.3",
            Self::V2_0 => "http://www.cdisc.org/ns/odm/v2.0",
        }
    }
}
