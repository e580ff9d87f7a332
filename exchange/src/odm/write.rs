//! A whole ODM file: frame, design, users and sites, then one participant after another.

use std::io::Write;

use time::format_description::well_known::Rfc3339;

use super::metadata::Oids;
use super::{OdmVersion, admin, flags, metadata};
use crate::ExchangeError;
use crate::model::{ParticipantRecord, StudyExport};
use crate::xml::Xml;

/// What the OIDs of the meanings of signatures begin with.
pub(super) const SIGNATURE_DEF: &str = "SD.";

/// How much of what happened goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Nothing: the values as they stand.
    None,
    /// The values as they stand, each with the audit record of its last change.
    Last,
    /// Every change, as a transaction: `FileType="Transactional"`.
    Whole,
}

/// What goes into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OdmOptions {
    /// Which ODM.
    pub version: OdmVersion,
    /// How much of what happened.
    pub history: History,
    /// Queries, signatures and marks too.
    pub notes: bool,
    /// The design too.
    pub metadata: bool,
}

/// A file that is being written. Memory does not grow with the number of participants.
pub struct OdmWriter<'a, W: Write> {
    pub(super) xml: Xml<W>,
    pub(super) export: &'a StudyExport<'a>,
    pub(super) options: OdmOptions,
    pub(super) oids: Oids,
}

impl<'a, W: Write> OdmWriter<'a, W> {
    /// Writes everything that comes before the first participant.
    pub fn begin(to: W, export: &'a StudyExport<'a>, options: OdmOptions) -> Result<Self, ExchangeError> {
        let design = flags::with_code_lists(export.design);
        let mut writer = Self { xml: Xml::new(to)?, export, options, oids: Oids::of(&design) };
        writer.root()?;
        if options.metadata {
            metadata::write_metadata(&mut writer.xml, export.study.as_str(), &design, options.version)?;
        }
        let admin = admin::Admin {
            study: export.study.as_str(),
            design_version: &export.design.version,
            users: &export.users,
            sites: &export.sites,
        };
        admin::write(&mut writer.xml, &admin, options.version)?;
        writer
            .xml
            .tag("ClinicalData")
            .attr("StudyOID", export.study.as_str())
            .attr("MetaDataVersionOID", &export.design.version)
            .start()?;
        Ok(writer)
    }

    fn root(&mut self) -> Result<(), ExchangeError> {
        let export = self.export;
        let kind = if self.options.history == History::Whole { "Transactional" } else { "Snapshot" };
        self.xml
            .tag("ODM")
            .attr("xmlns", self.options.version.namespace())
            .attr("FileType", kind)
            .attr("Granularity", if self.options.metadata { "All" } else { "AllClinicalData" })
            .attr("FileOID", &export.file_oid)
            .attr("CreationDateTime", rfc3339(export.created_at)?)
            .attr("AsOfDateTime", rfc3339(export.as_of)?)
            .attr("ODMVersion", self.options.version.as_str())
            .attr("SourceSystem", "Lethe")
            .attr("SourceSystemVersion", export.software_version)
            .start()
    }

    /// Writes one participant.
    pub fn participant(&mut self, record: &ParticipantRecord) -> Result<(), ExchangeError> {
        self.subject(record)
    }

    /// Ends the file and gives back where it was written to, and how many characters were replaced because XML cannot
    /// hold them.
    pub fn finish(self) -> Result<(W, u64), ExchangeError> {
        self.xml.finish()
    }
}

pub(crate) fn rfc3339(moment: domain::Moment) -> Result<String, ExchangeError> {
    moment.0.format(&Rfc3339).map_err(|_| ExchangeError::OutOfRange("a time"))
}
