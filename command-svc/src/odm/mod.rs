//! ODM 1.3.2 and 2.0 (CDISC), read: study designs and clinical data. Pure: from bytes to domain types, no files, no network.
//!
//! - [`read_design`]: the whole design and a [`Report`] of what was read otherwise than it stands.
//! - [`read_clinical`]: one participant at a time; [`survey`] first, so that a damaged file changes nothing.
//! - [`plan`]: what a file says of a participant as commands, without what does not fit the design.
//!
//! What is read, kept and refused, for people: `docs/odm.md`. An error or a row names the line and the element, and
//! never a value.

mod annotations;
mod clinical;
mod definitions;
mod demands;
mod design;
mod error;
mod items;
mod limits;
mod names;
mod plan;
mod reader;
mod repeats;
mod report;
mod source;
mod subject;
#[cfg(test)]
mod tests;
mod transaction;

pub use clinical::{
    Audit, Clinical, ClinicalForm, ClinicalItem, ClinicalVisit, ParticipantData, Said, Survey, VisitSaid,
    read_clinical, survey,
};
pub use design::read_design;
pub use error::{OdmError, Place};
pub use limits::{Limits, Mode};
pub use plan::{Plan, Step, StepItem, plan};
pub use report::{Counts, Report, Row, Severity};
pub use transaction::Transaction;
