//! Clinical data, one `SubjectData` at a time: memory holds one participant, however large the file is.

use std::collections::BTreeSet;
use std::io::BufRead;

use domain::design::ItemValue;
use domain::ids::{Oid, SubjectNumber};
use domain::participant::FormKey;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::OdmError;
use super::limits::Limits;
use super::reader::{Element, Xml};
use super::report::{Counts, Report, Row, Severity, Tally};
use super::subject::Draft;

/// What a file holds of one participant. The same participant may come again later in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParticipantData {
    /// The pseudonym (ODM `SubjectKey`).
    pub subject_number: SubjectNumber,
    /// Where the participant is treated, if the file says so: `SiteRef`, otherwise the `AuditRecord`'s location.
    pub site: Option<String>,
    /// Who recorded it and when, if the file says so.
    pub audit: Option<Audit>,
    /// The forms, in order of appearance, each once.
    pub forms: Vec<ClinicalForm>,
    /// OID of the study that the data belongs to.
    pub study: Option<String>,
    /// OID of the design version under which it was collected.
    pub design_version: Option<String>,
    /// The line on which it begins.
    pub line: u64,
}

impl ParticipantData {
    /// How many values there are, empty ones included.
    pub fn values(&self) -> usize {
        self.forms.iter().map(|form| form.items.len()).sum()
    }
}

/// An `AuditRecord` of a `SubjectData`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// OID of the user in the system that wrote the file.
    pub user: Option<String>,
    /// When.
    pub at: Option<OffsetDateTime>,
}

/// A form with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClinicalForm {
    /// Which form of which visit.
    pub key: FormKey,
    /// The values, as they stand in the file.
    pub items: Vec<ClinicalItem>,
    /// The line on which it begins.
    pub line: u64,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClinicalItem {
    /// The item group's OID.
    pub group: Oid,
    /// Which occurrence of the group on the form, from 1.
    pub group_repeat: u32,
    /// The item's OID.
    pub item: Oid,
    /// The value; none if the file says that it is empty.
    pub value: Option<ItemValue>,
    /// OID of the unit in which it is given, if the file says so.
    pub unit: Option<String>,
    /// Its line.
    pub line: u64,
}

/// Begins to read clinical data: checks that it is ODM and reads nothing more.
pub fn read_clinical<R: BufRead>(input: R, limits: &Limits) -> Result<Clinical<R>, OdmError> {
    let (xml, root) = Xml::open(input, limits)?;
    Ok(Clinical {
        file: ClinicalFile { xml, report: Report::default(), not_kept: Tally::default() },
        root,
        data: None,
        seen: false,
        done: false,
        participant_limit: limits.participant_bytes,
    })
}

/// The participants of a file, read as they are asked for. After an error nothing follows.
pub struct Clinical<R> {
    file: ClinicalFile<R>,
    root: Element,
    data: Option<Element>,
    seen: bool,
    done: bool,
    participant_limit: u64,
}

/// The file while it is read.
pub(super) struct ClinicalFile<R> {
    pub(super) xml: Xml<R>,
    pub(super) report: Report,
    pub(super) not_kept: Tally,
}

impl<R: BufRead> Clinical<R> {
    /// The rows since the last call. Taken after each participant, they need no memory to speak of.
    pub fn take_report(&mut self) -> Report {
        self.file.report.rows.extend(self.file.xml.take_broken());
        std::mem::take(&mut self.file.report)
    }

    /// How many bytes were read, for a progress bar.
    pub fn bytes(&self) -> u64 {
        self.file.xml.bytes()
    }

    fn participant(&mut self) -> Result<Option<ParticipantData>, OdmError> {
        loop {
            let Some(data) = &self.data else {
                match self.file.xml.child(&self.root)? {
                    Some(element) if element.name == "ClinicalData" => {
                        self.seen = true;
                        self.data = Some(element);
                    }
                    Some(other) => self.file.not_kept.inside("ODM", &other),
                    None => return self.end(),
                }
                continue;
            };
            match self.file.xml.child(data)? {
                Some(element) if element.name == "SubjectData" => {
                    let subject = Draft::read(&mut self.file, &element, self.participant_limit)?;
                    if let Some(draft) = subject {
                        return Ok(Some(draft.participant(&mut self.file, data)));
                    }
                }
                Some(other) => self.file.not_kept.inside("ClinicalData", &other),
                None => self.data = None,
            }
        }
    }

    fn end(&mut self) -> Result<Option<ParticipantData>, OdmError> {
        self.file.xml.finish()?;
        let not_kept = std::mem::take(&mut self.file.not_kept);
        self.file.report.rows.extend(not_kept.rows(Severity::Note, |_| "not kept"));
        match self.seen {
            true => Ok(None),
            false => Err(OdmError::Missing {
                wanted: "clinical data (no ClinicalData)",
                hint: "export the data; a file of metadata goes to `lethe study import`",
            }),
        }
    }
}

impl<R: BufRead> Iterator for Clinical<R> {
    type Item = Result<ParticipantData, OdmError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.participant().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// What a file of clinical data holds, without its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many `SubjectData` can be taken.
    pub participants: u64,
    /// How many forms they have.
    pub forms: u64,
    /// How many values, empty ones included.
    pub values: u64,
    /// The places that the file names.
    pub sites: BTreeSet<String>,
    /// The studies and design versions to which the data belongs.
    pub designs: BTreeSet<(Option<String>, Option<String>)>,
    /// How many rows the report will have.
    pub rows: Counts,
    /// Everything in which the file is not as ODM demands, as refused rows: a strict import stops here.
    pub broken: Report,
}

/// Reads a whole file and keeps nothing. To be done before the first value is sent: a file that is cut off in its last
/// line then changes nothing.
pub fn survey(input: impl BufRead, limits: &Limits) -> Result<Survey, OdmError> {
    let mut survey = Survey::default();
    let mut clinical = read_clinical(input, limits)?;
    loop {
        let next = clinical.next();
        let broken = clinical.file.xml.take_broken();
        clinical.file.report.rows.extend(broken.iter().cloned());
        survey.broken.rows.extend(broken.into_iter().map(|row| Row { severity: Severity::Refused, ..row }));
        let Some(participant) = next else { break };
        let participant = participant?;
        survey.participants += 1;
        survey.forms += participant.forms.len() as u64;
        survey.values += participant.values() as u64;
        survey.sites.extend(participant.site);
        survey.designs.insert((participant.study, participant.design_version));
        survey.rows.add(clinical.take_report().counts());
    }
    survey.rows.add(clinical.take_report().counts());
    Ok(survey)
}

impl<R: BufRead> ClinicalFile<R> {
    pub(super) fn row(
        &mut self,
        severity: Severity,
        (line, element, oid): (u64, &str, Option<&Oid>),
        rule: &'static str,
        what: impl Into<String>,
    ) {
        self.report.rows.push(Row {
            line: Some(line),
            element: element.to_owned(),
            oid: oid.map(Oid::to_string),
            severity,
            rule,
            what: what.into(),
        });
    }

    /// An `AuditRecord`, and the location that it names.
    pub(super) fn audit(&mut self, record: &Element) -> Result<(Audit, Option<String>), OdmError> {
        let mut audit = Audit { user: None, at: None };
        let mut location = None;
        while let Some(element) = self.xml.child(record)? {
            match element.name.as_str() {
                "UserRef" => audit.user = element.attribute("UserOID").map(str::to_owned),
                "LocationRef" => location = place(&element),
                "DateTimeStamp" => {
                    let text = self.xml.text(&element)?;
                    audit.at = OffsetDateTime::parse(&text, &Rfc3339).ok();
                    if audit.at.is_none() {
                        let at = (element.at.line, "DateTimeStamp", None);
                        self.row(Severity::Warning, at, "no-time", "it is no date and time with an offset: not kept");
                    }
                }
                _ => self.not_kept.inside("AuditRecord", &element),
            }
        }
        Ok((audit, location))
    }
}

/// The location of a reference. Some systems write a dash for none.
pub(super) fn place(element: &Element) -> Option<String> {
    let oid = element.attribute("LocationOID")?.trim();
    oid.contains(char::is_alphanumeric).then(|| oid.to_owned())
}
