//! Fixtures are our own. Real files are used where they are present, and their tests say so where they are not.

mod broken;
mod clinical;
mod clinical_two;
mod data_round_trip;
mod design;
mod real;
mod repeats;
mod round_trip;
mod transactions;

use super::{Limits, Mode, OdmError, ParticipantData, Report, read_clinical, read_design};

pub(super) const DESIGN: &str = include_str!("fixtures/design.xml");
pub(super) const CLINICAL: &str = include_str!("fixtures/clinical.xml");

pub(super) fn design(text: &str) -> Result<(domain::design::StudyDesign, Report), OdmError> {
    read_design(text.as_bytes(), &Limits::default(), Mode::Lenient)
}

pub(super) fn clinical(text: &str) -> Result<(Vec<ParticipantData>, Report), OdmError> {
    all_of(text.as_bytes(), &Limits::default())
}

pub(super) fn all_of(
    input: impl std::io::BufRead,
    limits: &Limits,
) -> Result<(Vec<ParticipantData>, Report), OdmError> {
    let mut clinical = read_clinical(input, limits)?;
    let participants = clinical.by_ref().collect::<Result<Vec<_>, _>>()?;
    Ok((participants, clinical.take_report()))
}

/// The rows as `line rule severity`, without the words.
pub(super) fn rows(report: &Report) -> Vec<String> {
    let row = |row: &super::Row| {
        let oid = row.oid.as_deref().unwrap_or("-");
        format!("{} {} {} {} {oid}", row.line.unwrap_or_default(), row.severity.as_str(), row.rule, row.element)
    };
    report.rows.iter().map(row).collect()
}

/// The line of the fixture in which `part` stands for the first time.
pub(super) fn line_of(text: &str, part: &str) -> u64 {
    let before = text.split_once(part).unwrap_or_else(|| panic!("{part} is not there")).0;
    1 + before.matches('\n').count() as u64
}
