//! Who and where: `AdminData`. Audit records and signatures refer to it.

use std::io::Write;

use domain::participant::Meaning;
use domain::permit::Role;

use super::OdmVersion;
use super::write::SIGNATURE_DEF;
use crate::ExchangeError;
use crate::model::{SiteEntry, UserEntry};
use crate::xml::Xml;

const MEANINGS: &[Meaning] = &[Meaning::Authorship, Meaning::Review, Meaning::Approval, Meaning::Responsibility];

/// Who and where, of which study, in which design's terms.
pub(super) struct Admin<'a> {
    pub(super) study: &'a str,
    pub(super) design_version: &'a str,
    pub(super) users: &'a [UserEntry],
    pub(super) sites: &'a [SiteEntry],
}

pub(super) fn write<W: Write>(xml: &mut Xml<W>, export: &Admin<'_>, version: OdmVersion) -> Result<(), ExchangeError> {
    xml.tag("AdminData").attr("StudyOID", export.study).start()?;
    for entry in export.users {
        user(xml, entry, version)?;
    }
    if version == OdmVersion::V2_0 {
        organisations(xml, export)?;
    }
    for entry in export.sites {
        location(xml, entry, export, version)?;
    }
    for meaning in MEANINGS {
        xml.tag("SignatureDef")
            .attr("OID", format!("{SIGNATURE_DEF}{}", meaning_code(*meaning)))
            .attr("Methodology", "Electronic")
            .start()?;
        xml.tag("Meaning").text(meaning_code(*meaning))?;
        xml.tag("LegalReason").text(legal_reason(*meaning))?;
        xml.end()?;
    }
    xml.end()
}

fn user<W: Write>(xml: &mut Xml<W>, entry: &UserEntry, version: OdmVersion) -> Result<(), ExchangeError> {
    let tag = xml.tag("User").attr("OID", entry.user.to_string()).attr("UserType", user_type(entry.role, version));
    match version {
        OdmVersion::V1_3_2 => {
            tag.start()?;
            if let Some(name) = &entry.name {
                xml.tag("FullName").text(name.words())?;
            }
            xml.tag("Organization").text(entry.organisation.as_str())?;
        }
        OdmVersion::V2_0 => {
            tag.attr("OrganizationOID", entry.organisation.as_str()).start()?;
            if let Some(name) = &entry.name {
                xml.tag("FullName").text(name.words())?;
            }
        }
    }
    xml.end()
}

/// ODM 2.0 has organisations of their own; 1.3.2 has a name at the user.
fn organisations<W: Write>(xml: &mut Xml<W>, export: &Admin<'_>) -> Result<(), ExchangeError> {
    let all: std::collections::BTreeSet<_> = export.users.iter().map(|entry| entry.organisation.as_str()).collect();
    for organisation in all {
        xml.tag("Organization").attr("OID", organisation).attr("Name", organisation).attr("Type", "Other").empty()?;
    }
    Ok(())
}

fn location<W: Write>(
    xml: &mut Xml<W>,
    entry: &SiteEntry,
    export: &Admin<'_>,
    version: OdmVersion,
) -> Result<(), ExchangeError> {
    let kind = if version == OdmVersion::V1_3_2 { "LocationType" } else { "Role" };
    xml.tag("Location")
        .attr("OID", entry.site.as_str())
        .attr("Name", entry.name.as_str())
        .attr(kind, "Site")
        .start()?;
    xml.tag("MetaDataVersionRef")
        .attr("StudyOID", export.study)
        .attr("MetaDataVersionOID", export.design_version)
        .attr("EffectiveDate", entry.live_since.0.to_string())
        .empty()?;
    xml.end()
}

fn user_type(role: Role, version: OdmVersion) -> &'static str {
    match (role, version) {
        (Role::Investigator, _) => "Investigator",
        (Role::StudyDesigner | Role::SponsorViewer | Role::Controller, _) => "Sponsor",
        (Role::Monitor, OdmVersion::V2_0) => "Monitor",
        (Role::DataManager, OdmVersion::V2_0) => "Data analyst",
        _ => "Other",
    }
}

pub(super) fn meaning_code(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Authorship => "authorship",
        Meaning::Review => "review",
        Meaning::Approval => "approval",
        Meaning::Responsibility => "responsibility",
    }
}

fn legal_reason(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Authorship => "I entered or caused what stands here.",
        Meaning::Review => "I have looked at what stands here.",
        Meaning::Approval => "I answer for what stands here.",
        Meaning::Responsibility => "I take responsibility for the data of this participant, as investigator.",
    }
}
