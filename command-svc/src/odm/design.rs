//! A study design from ODM metadata: `Study`, its `BasicDefinitions`, its last `MetaDataVersion`.

use std::io::{BufRead, Read};

use domain::design::{Labels, StudyDesign};
use exchange::odm::OdmVersion;
use exchange::odm::metadata::alias;

use super::definitions::Draft;
use super::definitions::aliases::Aliases;
use super::error::{OdmError, Place, shown};
use super::limits::{Limits, Mode};
use super::reader::{Element, Xml};
use super::report::{Report, Row, Severity, Tally};

/// Reads the study design of an ODM file, 1.3 or 2.0. What was read otherwise than it stands is in the report; a design that
/// cannot be used is an error that lists every fault.
pub fn read_design(input: impl BufRead, limits: &Limits, mode: Mode) -> Result<(StudyDesign, Report), OdmError> {
    let bytes = whole(input, limits.design_bytes)?;
    let (xml, root) = Xml::open(bytes.as_slice(), limits)?;
    let mut file = File { xml, report: Report::default(), not_kept: Tally::of_design() };
    let mut study = None;
    while let Some(element) = file.xml.child(&root)? {
        match element.name.as_str() {
            "Study" if study.is_some() => return Err(OdmError::SeveralStudies { at: element.at }),
            "Study" => study = Some(file.study(&element)?),
            _ => file.not_kept.inside(&root.name, &element),
        }
    }
    file.xml.finish()?;
    file.broken(mode)?;
    if root.attribute("ODMVersion").is_none() {
        let what = "the file does not say its ODMVersion: read as its namespace says";
        file.report.add(Severity::Warning, (root.at, "ODM", None), "no-version", what);
    }
    let no_design = OdmError::Missing {
        wanted: "study design (no MetaDataVersion)",
        hint: "export the metadata; a file of values goes to `lethe data import`",
    };
    study.and_then(Study::last).ok_or(no_design)?.design(file, mode)
}

/// The whole input, unless it is larger than the limit: then nothing is built from it.
fn whole(input: impl Read, limit: u64) -> Result<Vec<u8>, OdmError> {
    let mut bytes = Vec::new();
    input.take(limit + 1).read_to_end(&mut bytes).map_err(|error| OdmError::Unreadable(error.kind()))?;
    if bytes.len() as u64 > limit {
        let at = Place { line: 1 + bytes.iter().filter(|byte| **byte == b'\n').count() as u64, column: 1 };
        return Err(OdmError::TooLarge { at, what: "the study design", limit });
    }
    Ok(bytes)
}

/// The file while it is read.
pub(super) struct File<R> {
    pub(super) xml: Xml<R>,
    pub(super) report: Report,
    pub(super) not_kept: Tally,
}

/// A `Study` while it is read.
#[derive(Default)]
struct Study {
    oid: String,
    name: Option<String>,
    units: Vec<Unit>,
    versions: Vec<Draft>,
}

struct Unit {
    oid: String,
    symbol: Labels,
}

impl<R: BufRead> File<R> {
    pub(super) fn is_v2(&self) -> bool {
        self.xml.version() == OdmVersion::V2_0
    }

    /// In which points the file is not as ODM demands: notes, or reasons to refuse it.
    fn broken(&mut self, mode: Mode) -> Result<(), OdmError> {
        let broken = self.xml.take_broken();
        if mode == Mode::Lenient || broken.is_empty() {
            self.report.rows.extend(broken);
            return Ok(());
        }
        let rows = broken.into_iter().map(|row| Row { severity: Severity::Refused, ..row }).collect();
        Err(OdmError::Unusable(Report { rows }))
    }

    fn study(&mut self, study: &Element) -> Result<Study, OdmError> {
        let name = study.attribute("StudyName").or(study.attribute("ProtocolName")).map(str::to_owned);
        let oid = study.attribute("OID").unwrap_or_default().to_owned();
        let mut read = Study { oid, name, ..Study::default() };
        while let Some(element) = self.xml.child(study)? {
            match element.name.as_str() {
                "GlobalVariables" => read.name = self.study_name(&element)?,
                "BasicDefinitions" => self.units(&element, &mut read.units)?,
                "MetaDataVersion" => read.versions.push(Draft::read(self, &element)?),
                _ => self.not_kept.inside(&study.name, &element),
            }
        }
        Ok(read)
    }

    fn study_name(&mut self, globals: &Element) -> Result<Option<String>, OdmError> {
        let mut name = None;
        while let Some(element) = self.xml.child(globals)? {
            let text = self.xml.text(&element)?;
            let better = element.name == "StudyName" || (element.name == "ProtocolName" && name.is_none());
            if better && !text.is_empty() {
                name = Some(text);
            }
        }
        Ok(name)
    }

    fn units(&mut self, definitions: &Element, units: &mut Vec<Unit>) -> Result<(), OdmError> {
        while let Some(unit) = self.xml.child(definitions)? {
            let Some(oid) = unit.attribute("OID").filter(|_| unit.name == "MeasurementUnit") else {
                self.not_kept.inside(&definitions.name, &unit);
                continue;
            };
            let mut symbol = Labels::new();
            let mut aliases = Aliases::default();
            while let Some(element) = self.xml.child(&unit)? {
                match element.name.as_str() {
                    "Symbol" => symbol = self.labels(&element)?,
                    "Alias" => aliases.take(self, &element, &unit),
                    _ => self.not_kept.inside(&unit.name, &element),
                }
            }
            if symbol.is_empty() {
                symbol.extend(unit.attribute("Name").map(|name| (String::new(), name.to_owned())));
            }
            if let Some(said) = aliases.text(alias::LABELS).and_then(|said| serde_json::from_str(said).ok()) {
                symbol = said;
            }
            units.push(Unit { oid: oid.to_owned(), symbol });
        }
        Ok(())
    }

    /// The `TranslatedText`s of an element by language; empty ones are left out.
    pub(super) fn labels(&mut self, parent: &Element) -> Result<Labels, OdmError> {
        let mut labels = Labels::new();
        while let Some(element) = self.xml.child(parent)? {
            let language = element.attribute("xml:lang").unwrap_or_default().to_owned();
            let text = self.xml.text(&element)?;
            if element.name != "TranslatedText" || text.is_empty() {
                continue;
            }
            if labels.contains_key(&language) {
                let what = format!("the {} has a text in this language already: this one is left out", parent.name);
                self.report.add(Severity::Warning, (element.at, &element.name, None), "second-text", what);
                continue;
            }
            labels.insert(language, text);
        }
        Ok(labels)
    }
}

impl Study {
    /// The last version, complete with what the study defines for all of them.
    fn last(mut self) -> Option<Draft> {
        let mut last = self.versions.pop()?;
        for left_out in &self.versions {
            let what =
                format!("another MetaDataVersion follows: only the last one, {}, is read", shown(last.version()));
            let at = (left_out.at, "MetaDataVersion", Some(left_out.version()));
            last.report.add(Severity::Warning, at, "other-version", what);
        }
        last.design.name = if last.nameless { String::new() } else { self.name.unwrap_or(self.oid) };
        last.design.units.extend(self.units.into_iter().map(|unit| (unit.oid, unit.symbol)));
        Some(last)
    }
}

impl Draft {
    /// The design with its report, or every fault.
    fn design<R>(mut self, file: File<R>, mode: Mode) -> Result<(StudyDesign, Report), OdmError> {
        if let Some(at) = self.include {
            return Err(OdmError::Include { at });
        }
        self.check_references(mode);
        self.leave_out_unfit();
        self.settle_external_lists();
        self.sort_visits();
        self.restore_oids();
        let mut report = file.report;
        report.append(std::mem::take(&mut self.report));
        report.rows.extend(file.not_kept.rows(Severity::Note, |_| "not kept: the design has no place for it yet"));
        if report.counts().refused == 0 {
            for fault in self.design.faults() {
                let (at, element, oid) = self.place_of(&fault.pointer);
                let what = format!("{}: {}", fault.pointer, fault.detail);
                report.add(Severity::Refused, (at, element, oid), "design", what);
            }
        }
        report.rows.sort_by_key(|row| row.line);
        if report.counts().refused == 0 { Ok((self.design, report)) } else { Err(OdmError::Unusable(report)) }
    }
}
