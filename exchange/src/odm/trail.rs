//! The audit trail of a study as ODM, in the order in which it happened: a transactional file, one `SubjectData` an
//! entry, with the `AuditRecord` at the place that it is about.
//!
//! The writer holds what nobody has taken yet and nothing else, so a trail of any length streams.

use domain::Moment;
use domain::ids::{Environment, SiteId, StudyId, SubjectNumber};
use domain::permit::Role;

use super::OdmVersion;
use super::admin::{self, Admin};
use super::flags::TYPES;
use super::metadata::Oids;
use super::notes::source_code;
use super::write::rfc3339;
use crate::ExchangeError;
use crate::model::{Act, Shown, SiteEntry, UserEntry};
use crate::xml::{Tag, Xml};

/// The code list of what an annotation of an audit entry is.
const AUDIT: &str = "LETHE.AUDIT";
/// The code list of events, by their stored names.
const EVENTS: &str = "LETHE.EVENT";
/// The location of what was done for the study as a whole.
const STUDY: &str = "LETHE-STUDY";

/// What is the same for the whole file.
#[derive(Debug, Clone)]
pub struct TrailFrame {
    /// The study.
    pub study: StudyId,
    /// Where it runs.
    pub environment: Environment,
    /// The OID of the design version in whose terms it is written.
    pub design_version: String,
    /// Which OIDs it has there.
    pub oids: Oids,
    /// When the file is made.
    pub created_at: Moment,
    /// What the file is known by.
    pub file_oid: String,
    /// Up to where: an entry's id, or a position.
    pub through: String,
    /// The platform's version.
    pub software_version: &'static str,
    /// Everybody who did something in it.
    pub users: Vec<UserEntry>,
    /// The sites.
    pub sites: Vec<SiteEntry>,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct TrailEntry {
    /// Its id.
    pub id: String,
    /// Whom it is about; none: the study.
    pub subject: Option<TrailSubject>,
    /// Where in the record.
    pub place: TrailPlace,
    /// The event's stored name.
    pub event: String,
    /// What became of an item; none: it is not about one's value.
    pub change: Option<TrailChange>,
    /// Why.
    pub reason: Option<Shown>,
    /// What else the event says, as JSON; empty: nothing.
    pub details: String,
    /// Who and when.
    pub by: Act,
}

/// Whom an entry is about.
#[derive(Debug, Clone)]
pub struct TrailSubject {
    /// The pseudonym.
    pub number: SubjectNumber,
    /// Where the participant is treated.
    pub site: SiteId,
    /// Processing is restricted.
    pub restricted: bool,
}

/// Where in a participant's record; what is not said: all of it.
#[derive(Debug, Clone, Default)]
pub struct TrailPlace {
    /// The visit and which occurrence.
    pub visit: Option<(String, u32)>,
    /// The form and which occurrence in the visit.
    pub form: Option<(String, u32)>,
    /// The item group, which occurrence on the form, and the item.
    pub item: Option<(String, u32, String)>,
}

/// What became of an item.
#[derive(Debug, Clone)]
pub struct TrailChange {
    /// What stood there.
    pub old: Option<Shown>,
    /// What stands there now.
    pub new: Option<Shown>,
    /// Why there is nothing, as files have it.
    pub missing: Option<&'static str>,
    /// The platform computed it.
    pub computed: bool,
}

impl TrailChange {
    /// What was cleared is removed; what comes after that is new.
    fn kind(&self) -> &'static str {
        match (&self.old, &self.new, self.missing) {
            (Some(_), None, Some("CLEARED") | None) => "Remove",
            (None, ..) => "Insert",
            (Some(_), ..) => "Update",
        }
    }
}

/// A file that is being written into memory, from where it is taken piece by piece.
pub struct TrailWriter {
    xml: Xml<Vec<u8>>,
    frame: TrailFrame,
    version: OdmVersion,
    /// `ClinicalData` is open.
    open: bool,
}

impl TrailWriter {
    /// Writes everything that comes before the first entry.
    ///
    /// # Errors
    /// [`ExchangeError::OutOfRange`].
    pub fn begin(frame: TrailFrame, version: OdmVersion) -> Result<Self, ExchangeError> {
        let mut xml = Xml::new(Vec::new())?;
        // ODM 2.0 has no such attribute.
        let about = format!("Audit trail of {} through {}", frame.study, frame.through);
        let about = (version == OdmVersion::V1_3_2).then_some(about);
        xml.tag("ODM")
            .attr("xmlns", version.namespace())
            .attr("FileType", "Transactional")
            .attr("Granularity", "AllClinicalData")
            .attr("FileOID", &frame.file_oid)
            .attr("CreationDateTime", rfc3339(frame.created_at)?)
            .attr("AsOfDateTime", rfc3339(frame.created_at)?)
            .attr("ODMVersion", version.as_str())
            .attr("SourceSystem", "Lethe")
            .attr("SourceSystemVersion", frame.software_version)
            .maybe("Description", about)
            .start()?;
        let sites = with_the_study(&frame);
        let admin = Admin {
            study: frame.study.as_str(),
            design_version: &frame.design_version,
            users: &frame.users,
            sites: &sites,
        };
        admin::write(&mut xml, &admin, version)?;
        Ok(Self { xml, frame, version, open: false })
    }

    /// Takes what is written so far.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.xml.to_mut())
    }

    /// How much is written and was not taken.
    pub fn waiting(&mut self) -> usize {
        self.xml.to_mut().len()
    }

    /// Ends the file, and gives the rest of it.
    ///
    /// # Errors
    /// As `std::io::Write` has it; memory has none.
    pub fn finish(self) -> Result<Vec<u8>, ExchangeError> {
        Ok(self.xml.finish()?.0)
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// [`ExchangeError::OutOfRange`].
    pub fn entry(&mut self, entry: &TrailEntry) -> Result<(), ExchangeError> {
        match &entry.subject {
            Some(subject) => {
                self.clinical_data(true)?;
                self.subject(entry, subject)
            }
            None => self.of_study(entry),
        }
    }

    fn v1(&self) -> bool {
        self.version == OdmVersion::V1_3_2
    }

    /// Opens or closes `ClinicalData`: entries of participants follow each other in one, what is about the study has one
    /// of its own.
    fn clinical_data(&mut self, open: bool) -> Result<(), ExchangeError> {
        if open && !self.open {
            self.xml
                .tag("ClinicalData")
                .attr("StudyOID", self.frame.study.as_str())
                .attr("MetaDataVersionOID", &self.frame.design_version)
                .start()?;
        }
        if !open && self.open {
            self.xml.end()?;
        }
        self.open = open;
        Ok(())
    }

    fn of_study(&mut self, entry: &TrailEntry) -> Result<(), ExchangeError> {
        self.clinical_data(false)?;
        self.clinical_data(true)?;
        if self.v1() {
            self.xml.tag("AuditRecords").start()?;
            self.audit_record(entry, STUDY)?;
            self.xml.end()?;
            self.xml.tag("Annotations").start()?;
            self.annotations(entry)?;
            self.xml.end()?;
        } else {
            self.audit_record(entry, STUDY)?;
            self.annotations(entry)?;
        }
        self.clinical_data(false)
    }

    fn subject(&mut self, entry: &TrailEntry, subject: &TrailSubject) -> Result<(), ExchangeError> {
        let here = entry.place.visit.is_none();
        let kind = if here { "Insert" } else { "Context" };
        self.xml
            .tag("SubjectData")
            .attr("SubjectKey", subject.number.as_str())
            .attr("TransactionType", kind)
            .start()?;
        if here && self.v1() {
            self.audit_record(entry, subject.site.as_str())?;
        }
        self.xml.tag("SiteRef").attr("LocationOID", subject.site.as_str()).empty()?;
        if here && self.v1() {
            self.annotations(entry)?;
        }
        if let Some((visit, repeat)) = &entry.place.visit {
            let oid = self.frame.oids.visit(visit);
            let here = entry.place.form.is_none();
            let tag = self.xml.tag("StudyEventData").attr("StudyEventOID", oid);
            place(tag, "StudyEventRepeatKey", *repeat, here).start()?;
            self.form(entry, subject)?;
            self.xml.end()?;
        } else if !self.v1() {
            self.beside(entry, subject)?;
        }
        self.xml.end()
    }

    /// The form below the visit, or the entry itself if it is about the visit.
    fn form(&mut self, entry: &TrailEntry, subject: &TrailSubject) -> Result<(), ExchangeError> {
        let Some((form, repeat)) = &entry.place.form else { return self.beside(entry, subject) };
        let oid = self.frame.oids.form(form);
        let here = entry.place.item.is_none();
        let (tag, key) = if self.v1() {
            (self.xml.tag("FormData").attr("FormOID", oid), "FormRepeatKey")
        } else {
            (self.xml.tag("ItemGroupData").attr("ItemGroupOID", oid), "ItemGroupRepeatKey")
        };
        place(tag, key, *repeat, here).start()?;
        match &entry.place.item {
            None => self.beside(entry, subject)?,
            Some((group, repeat, item)) => {
                let oid = self.frame.oids.item_group(group);
                let tag = self.xml.tag("ItemGroupData").attr("ItemGroupOID", oid);
                place(tag, "ItemGroupRepeatKey", *repeat, false).start()?;
                self.item(entry, subject, item)?;
                self.xml.end()?;
            }
        }
        self.xml.end()
    }

    fn item(&mut self, entry: &TrailEntry, subject: &TrailSubject, item: &str) -> Result<(), ExchangeError> {
        let value = match entry.change.as_ref().and_then(|change| change.new.as_ref()) {
            Some(Shown::Text(text)) => Some(text),
            _ => None,
        };
        let v1 = self.v1();
        // What is about an item and not about its value says nothing of the value.
        let null = entry.change.is_some() && value.is_none();
        self.xml
            .tag("ItemData")
            .attr("ItemOID", self.frame.oids.item(item))
            .attr("TransactionType", entry.change.as_ref().map_or("Context", TrailChange::kind))
            .maybe("Value", value.filter(|_| v1))
            .maybe("IsNull", null.then_some("Yes"))
            .start()?;
        if let Some(value) = value.filter(|_| !v1) {
            self.xml.tag("Value").text(value)?;
        }
        self.beside(entry, subject)?;
        self.xml.end()
    }

    fn beside(&mut self, entry: &TrailEntry, subject: &TrailSubject) -> Result<(), ExchangeError> {
        self.audit_record(entry, subject.site.as_str())?;
        self.annotations(entry)
    }

    /// Who, where, when, why; in `SourceID` which entry, which event, and what ODM has no attribute for.
    fn audit_record(&mut self, entry: &TrailEntry, location: &str) -> Result<(), ExchangeError> {
        let by = &entry.by;
        let source = format!(
            "id={} event={} role={} organisation={} source={} captured={}",
            entry.id,
            entry.event,
            by.role.as_str(),
            by.organisation,
            source_code(by.source),
            rfc3339(by.captured_at)?
        );
        let id = format!("A.{}", entry.id.replace('/', "."));
        let (method, v1) = (if self.v1() { "UsedImputationMethod" } else { "UsedMethod" }, self.v1());
        let computed = entry.change.as_ref().is_some_and(|change| change.computed);
        self.xml
            .tag("AuditRecord")
            .maybe("EditPoint", edit_point(by.role))
            // Nothing is ever imputed; a computed value was made by a method of the design.
            .attr(method, if computed && !v1 { "Yes" } else { "No" })
            .maybe("ID", v1.then_some(id))
            .start()?;
        self.xml.tag("UserRef").attr("UserOID", by.user.to_string()).empty()?;
        self.xml.tag("LocationRef").attr("LocationOID", location).empty()?;
        self.xml.tag("DateTimeStamp").text(rfc3339(by.stored_at)?)?;
        if let Some(reason) = &entry.reason {
            self.xml.tag("ReasonForChange").text(reason.words())?;
        }
        self.xml.tag("SourceID").text(source)?;
        self.xml.end()
    }

    /// What ODM has no place for: the event with its details, the old value, why there is no new one.
    fn annotations(&mut self, entry: &TrailEntry) -> Result<(), ExchangeError> {
        let mut number = 0;
        self.annotation(&mut number, Some(&entry.details), (EVENTS, &entry.event), "EVENT")?;
        if entry.subject.as_ref().is_some_and(|subject| subject.restricted) {
            self.annotation(&mut number, None, ("LETHE.MARK", "RESTRICTED"), "MARK")?;
        }
        let Some(change) = &entry.change else { return Ok(()) };
        if let Some(old) = &change.old {
            let code = match old {
                Shown::Text(_) => "OLD-VALUE",
                Shown::Erased => "OLD-VALUE-ERASED",
                Shown::Withheld(_) => "OLD-VALUE-WITHHELD",
            };
            self.annotation(&mut number, Some(old.words()), (AUDIT, code), "AUDIT")?;
        }
        if let Some(missing) = change.missing {
            self.annotation(&mut number, None, ("LETHE.MISSING", missing), "MISSING")?;
        }
        if change.computed {
            self.annotation(&mut number, None, ("LETHE.COMPUTED", "COMPUTED"), "COMPUTED")?;
        }
        Ok(())
    }

    fn annotation(
        &mut self,
        number: &mut u32,
        comment: Option<&str>,
        (list, code): (&str, &str),
        kind: &str,
    ) -> Result<(), ExchangeError> {
        *number += 1;
        self.xml.tag("Annotation").attr("SeqNum", number.to_string()).start()?;
        if let Some(comment) = comment.filter(|comment| !comment.is_empty()) {
            if self.v1() {
                self.xml.tag("Comment").text(comment)?;
            } else {
                self.xml.tag("Comment").start()?;
                self.xml.tag("TranslatedText").attr("Type", "text/plain").text(comment)?;
                self.xml.end()?;
            }
        }
        self.xml.tag("Flag").start()?;
        self.xml.tag("FlagValue").attr("CodeListOID", list).text(code)?;
        self.xml.tag("FlagType").attr("CodeListOID", TYPES).text(kind)?;
        self.xml.end()?;
        self.xml.end()
    }
}

/// The repeat key, where there is more than one occurrence, and what the element is in the transaction.
fn place<'x>(tag: Tag<'x, Vec<u8>>, key: &'static str, repeat: u32, here: bool) -> Tag<'x, Vec<u8>> {
    tag.maybe(key, (repeat > 1).then(|| repeat.to_string()))
        .attr("TransactionType", if here { "Update" } else { "Context" })
}

/// At which point the record was touched, where ODM has a word for it.
fn edit_point(role: Role) -> Option<&'static str> {
    match role {
        Role::Monitor => Some("Monitoring"),
        Role::DataManager => Some("DataManagement"),
        Role::Auditor => Some("DBAudit"),
        _ => None,
    }
}

/// The sites, and a location for what concerns no site.
fn with_the_study(frame: &TrailFrame) -> Vec<SiteEntry> {
    let mut sites = frame.sites.clone();
    if let (Ok(site), Ok(name)) = (STUDY.parse(), "The study as a whole".parse()) {
        sites.push(SiteEntry { site, name, live_since: domain::Day(frame.created_at.0.date()) });
    }
    sites
}
