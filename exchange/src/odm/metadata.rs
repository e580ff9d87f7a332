//! A study's design as ODM metadata: `Study` with `MetaDataVersion`.
//!
//! What ODM has no place for stands in an `Alias` whose `Context` begins with `lethe.` (the contexts are in
//! [`alias`]): whoever does not know it passes over it, and who reads it back gets the same design, to the same hash.
//! `docs/odm.md` lists them.

use std::io::Write;

use domain::design::{ItemDef, StudyDesign};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::OdmVersion;
use crate::ExchangeError;
use crate::xml::Xml;

pub mod alias;
mod groups;
mod items;
mod lists;
mod oids;
mod texts;

pub use oids::{Oids, VISITS};

/// The code list that holds the units of measurement in ODM 2.0, which has no element for them.
pub const UNITS: &str = "LETHE.UNITS";

/// Writes the element `Study`, with the OID given; its `MetaDataVersion` has the OID `design.version`. Clinical data
/// refers to both, and to all definitions by [`Oids`].
pub fn write_metadata<W: Write>(
    writer: &mut Xml<W>,
    study_oid: &str,
    design: &StudyDesign,
    version: OdmVersion,
) -> Result<(), ExchangeError> {
    write_metadata_as(writer, study_oid, &design.version, design, version)
}

/// The same, with a `MetaDataVersion` of another OID.
pub fn write_metadata_as<W: Write>(
    writer: &mut Xml<W>,
    study_oid: &str,
    version_oid: &str,
    design: &StudyDesign,
    version: OdmVersion,
) -> Result<(), ExchangeError> {
    Metadata { xml: writer, design, version, version_oid, oids: Oids::of(design) }.study(study_oid)
}

/// A whole ODM file with nothing but the design in it.
pub fn metadata_file(
    study_oid: &str,
    design: &StudyDesign,
    version: OdmVersion,
    created_at: OffsetDateTime,
) -> Result<Vec<u8>, ExchangeError> {
    let created_at = created_at.format(&Rfc3339).map_err(|_| ExchangeError::OutOfRange("a time"))?;
    let mut xml = Xml::new(Vec::new())?;
    xml.tag("ODM")
        .attr("xmlns", version.namespace())
        .attr("FileType", "Snapshot")
        .attr("Granularity", "Metadata")
        .attr("FileOID", format!("{study_oid}.{}", design.hash()))
        .attr("CreationDateTime", created_at)
        .attr("ODMVersion", version.as_str())
        .attr("SourceSystem", "Lethe")
        .start()?;
    write_metadata(&mut xml, study_oid, design, version)?;
    Ok(xml.finish()?.0)
}

/// The design while it is written.
struct Metadata<'a, W: Write> {
    xml: &'a mut Xml<W>,
    design: &'a StudyDesign,
    version: OdmVersion,
    version_oid: &'a str,
    oids: Oids,
}

impl<W: Write> Metadata<'_, W> {
    fn is_v2(&self) -> bool {
        self.version == OdmVersion::V2_0
    }

    fn study(&mut self, oid: &str) -> Result<(), ExchangeError> {
        // The name of the study is a text in 1.3.2, and at least one letter in 2.0.
        let name = if self.design.name.is_empty() { oid } else { &self.design.name };
        if self.is_v2() {
            self.xml.tag("Study").attr("OID", oid).attr("StudyName", name).attr("ProtocolName", name).start()?;
        } else {
            self.xml.tag("Study").attr("OID", oid).start()?;
            self.xml.tag("GlobalVariables").start()?;
            for element in ["StudyName", "StudyDescription", "ProtocolName"] {
                self.xml.tag(element).text(name)?;
            }
            self.xml.end()?;
            self.units()?;
        }
        self.xml.tag("MetaDataVersion").attr("OID", self.version_oid).attr("Name", &self.design.version).start()?;
        self.protocol()?;
        self.visits()?;
        self.forms()?;
        self.item_groups()?;
        for item in &self.design.items {
            self.item(item)?;
        }
        self.code_lists()?;
        self.conditions()?;
        self.methods()?;
        self.xml.end()?;
        self.xml.end()
    }

    /// The item's unit, if the design has it.
    fn unit_of(&self, item: &ItemDef) -> Option<String> {
        item.unit.clone()
    }
}

#[cfg(test)]
mod tests;
