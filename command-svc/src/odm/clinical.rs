//! Clinical data, one `SubjectData` at a time: memory holds one participant, however large the file is.

use std::collections::BTreeSet;
use std::io::BufRead;

use domain::Day;
use domain::design::ItemValue;
use domain::ids::{Oid, SubjectNumber};
use domain::participant::{FormKey, NotDone, VisitKey};
use domain::scope::Plain;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::OdmError;
use super::limits::Limits;
use super::reader::{Element, Xml};
use super::report::{Counts, Report, Row, Severity, Tally};
use super::subject::Draft;
use super::transaction::Transaction;

/// What a file holds of one participant. The same participant may come again later in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParticipantData {
    /// The pseudonym (ODM `SubjectKey`).
    pub subject_number: SubjectNumber,
    /// Where the participant is treated, if the file says so: `SiteRef`, otherwise the `AuditRecord`'s location.
    pub site: Option<String>,
    /// Who recorded it and when, if the file says so.
    pub audit: Option<Audit>,
    /// Whether the participant is to be new, or there.
    pub transaction: Transaction,
    /// The participant left the study.
    pub withdrawn: bool,
    /// Remarks about the participant as a whole.
    pub remarks: Vec<Said>,
    /// The visits of which the file says more than their forms.
    pub visits: Vec<ClinicalVisit>,
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

/// An `AuditRecord`.
#[derive(Clone, PartialEq, Eq)]
pub struct Audit {
    /// OID of the user in the system that wrote the file.
    pub user: Option<String>,
    /// When it was captured: as `SourceID` says in files that we wrote, otherwise the stamp.
    pub at: Option<OffsetDateTime>,
    /// Why something changed.
    pub reason: Option<Plain>,
}

/// Never prints the reason.
impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Audit({:?}, {})", self.at, if self.reason.is_some() { "with a reason" } else { "no reason" })
    }
}

/// A remark.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    /// Its text.
    pub text: String,
    /// The line on which it stands.
    pub line: u64,
}

/// Never prints the text.
impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Said(line {})", self.line)
    }
}

/// What a file says of a visit as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClinicalVisit {
    /// Which visit.
    pub key: VisitKey,
    /// Whether it took place.
    pub state: Option<VisitSaid>,
    /// Remarks about it.
    pub remarks: Vec<Said>,
    /// Who recorded it, when and why.
    pub audit: Option<Audit>,
    /// The line on which it begins.
    pub line: u64,
}

/// Whether a visit took place.
#[derive(Clone, PartialEq, Eq)]
pub enum VisitSaid {
    /// It did, on this day.
    Started(Day),
    /// It did not, for this reason.
    Missed(String),
}

/// Never prints the day or the reason.
impl std::fmt::Debug for VisitSaid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Started(_)) { "Started(…)" } else { "Missed(…)" })
    }
}

/// A form with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClinicalForm {
    /// Which form of which visit.
    pub key: FormKey,
    /// The values, as they stand in the file.
    pub items: Vec<ClinicalItem>,
    /// Everything that is known was entered.
    pub completed: bool,
    /// It does not belong there.
    pub removed: bool,
    /// Remarks about it.
    pub remarks: Vec<Said>,
    /// Who recorded it, when and why.
    pub audit: Option<Audit>,
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
    /// Why there is none.
    pub not_done: Option<NotDone>,
    /// The platform computed it; so it will again.
    pub computed: bool,
    /// What is to be done.
    pub transaction: Transaction,
    /// It says so itself: then several changes of one item may follow each other.
    pub own_transaction: bool,
    /// Remarks about it.
    pub remarks: Vec<Said>,
    /// Who recorded it, when and why: its own, or the nearest around it.
    pub audit: Option<Audit>,
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
        let mut audit = Audit { user: None, at: None, reason: None };
        let (mut location, mut captured) = (None, None);
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
                "ReasonForChange" => {
                    let text = self.xml.text(&element)?;
                    audit.reason = Some(Plain(text)).filter(|reason| !reason.is_blank());
                }
                "SourceID" => captured = captured_at(&self.xml.text(&element)?),
                _ => self.not_kept.inside("AuditRecord", &element),
            }
        }
        audit.at = captured.or(audit.at);
        Ok((audit, location))
    }
}

/// When something was captured, as our own files say it beside the time at which it was stored.
fn captured_at(source: &str) -> Option<OffsetDateTime> {
    let text = source.split(' ').find_map(|part| part.strip_prefix("captured="))?;
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// The location of a reference. Some systems write a dash for none.
pub(super) fn place(element: &Element) -> Option<String> {
    let oid = element.attribute("LocationOID")?.trim();
    oid.contains(char::is_alphanumeric).then(|| oid.to_owned())
}
