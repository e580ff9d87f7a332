//! A study's design as ODM metadata: `Study` with `MetaDataVersion`.

use std::io::Write;

use domain::design::StudyDesign;

use super::OdmVersion;
use crate::ExchangeError;
use crate::xml::Xml;

/// Writes the element `Study`, with the OID given; its `MetaDataVersion` has the OID `design.version`. Clinical data
/// refers to both, and in ODM 2.0 to forms by [`super::form_oid_v2`].
pub fn write_metadata<W: Write>(
    _writer: &mut Xml<W>,
    _study_oid: &str,
    _design: &StudyDesign,
    _version: OdmVersion,
) -> Result<(), ExchangeError> {
    Ok(())
}
