//! What a writer is given: a study's frame once, then one participant after another.
//!
//! Everything is as the recipient may see it. A value that is not shown says why, so that no file makes *erased* or
//! *withheld* look like *never entered*.

use std::fmt;

use domain::design::StudyDesign;
use domain::history::CommitHash;
use domain::ids::{
    CheckId, Environment, Label, Oid, OrganisationId, QueryId, SignatureId, SiteId, StudyId, SubjectNumber, UserId,
};
use domain::participant::{Meaning, NotDone, QueryKind, QueryState, Source};
use domain::permit::Role;
use domain::{Day, Moment};

/// What is the same for the whole export.
#[derive(Debug, Clone)]
pub struct StudyExport<'a> {
    /// The study.
    pub study: StudyId,
    /// Where it runs.
    pub environment: Environment,
    /// The design in whose terms the data is written.
    pub design: &'a StudyDesign,
    /// When the file is made.
    pub created_at: Moment,
    /// Up to when data was taken.
    pub as_of: Moment,
    /// What the file is known by; another for each export.
    pub file_oid: String,
    /// The platform's version.
    pub software_version: &'a str,
    /// The users who did something in this data. Names only if the recipient may see them.
    pub users: Vec<UserEntry>,
    /// The sites of the participants.
    pub sites: Vec<SiteEntry>,
}

/// A user who did something.
#[derive(Debug, Clone)]
pub struct UserEntry {
    /// Who.
    pub user: UserId,
    /// The role that the user has now.
    pub role: Role,
    /// For whom the user acts.
    pub organisation: OrganisationId,
    /// The name, if it may be seen.
    pub name: Option<Shown>,
}

/// A site.
#[derive(Debug, Clone)]
pub struct SiteEntry {
    /// Its id.
    pub site: SiteId,
    /// Its name.
    pub name: Label,
    /// Since when the design is live there.
    pub live_since: Day,
}

/// One participant's data.
#[derive(Debug, Clone)]
pub struct ParticipantRecord {
    /// The pseudonym.
    pub subject_number: SubjectNumber,
    /// Where the participant is treated.
    pub site: SiteId,
    /// Processing is restricted (GDPR Art 18): whoever fills this leaves everything else out.
    pub restricted: bool,
    /// The participant left the study.
    pub withdrawn: bool,
    /// Who registered the participant, and when.
    pub registered: Option<Act>,
    /// The visits, in the design's order.
    pub visits: Vec<VisitRecord>,
    /// What concerns the participant as a whole.
    pub notes: Notes,
}

/// One occurrence of a visit.
#[derive(Debug, Clone)]
pub struct VisitRecord {
    /// The visit's OID.
    pub visit: Oid,
    /// Which occurrence, from 1.
    pub repeat: u32,
    /// Whether it took place.
    pub state: VisitState,
    /// Its forms, in the design's order.
    pub forms: Vec<FormRecord>,
    /// What concerns the visit as a whole.
    pub notes: Notes,
}

/// Whether a visit took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VisitState {
    /// Nobody has said.
    Unsaid,
    /// It took place, or began, on this day.
    Started(Shown),
    /// It did not, for this reason.
    Missed(Shown),
}

/// One occurrence of a form.
#[derive(Debug, Clone)]
pub struct FormRecord {
    /// The form's OID.
    pub form: Oid,
    /// Which occurrence in its visit, from 1.
    pub repeat: u32,
    /// Its item groups, in the design's order.
    pub groups: Vec<GroupRecord>,
    /// What concerns the form as a whole.
    pub notes: Notes,
}

/// One occurrence of an item group.
#[derive(Debug, Clone)]
pub struct GroupRecord {
    /// The group's OID.
    pub group: Oid,
    /// Which occurrence on its form, from 1.
    pub repeat: u32,
    /// Its items, in the design's order; those never touched are left out.
    pub items: Vec<ItemRecord>,
}

/// One item.
#[derive(Debug, Clone)]
pub struct ItemRecord {
    /// The item's OID.
    pub item: Oid,
    /// What stands there.
    pub state: ItemState,
    /// The platform computed it.
    pub computed: bool,
    /// How it came about, oldest first; the last one made `state`. Empty if the recipient may not see it.
    pub changes: Vec<Change>,
    /// What concerns this item.
    pub notes: Notes,
}

/// What stands in an item.
#[derive(Clone, PartialEq, Eq)]
pub enum ItemState {
    /// A value, exactly as captured.
    Value(String),
    /// None, and why.
    NotDone(NotDone),
    /// There was one.
    Cleared,
    /// There was one; its key was destroyed.
    Erased,
    /// The recipient may not see whether or what.
    Withheld(Withheld),
}

/// Why the recipient may not see something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Withheld {
    /// It tells, or could tell, the arm.
    Blinded,
    /// The participant's data may be stored and not processed.
    Restricted,
    /// It is of a kind that the recipient has no right to.
    NoRight,
}

/// A text other than a value, or why it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// The text.
    Text(String),
    /// Its key was destroyed.
    Erased,
    /// The recipient may not see it.
    Withheld(Withheld),
}

impl Shown {
    /// The text, or the reason in brackets: for where a format has room for words only.
    pub fn words(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Erased => "[erased]",
            Self::Withheld(Withheld::Blinded) => "[withheld: blinded]",
            Self::Withheld(Withheld::Restricted) => "[withheld: restricted]",
            Self::Withheld(Withheld::NoRight) => "[withheld: no right]",
        }
    }
}

/// Never prints the value.
impl fmt::Debug for ItemState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ItemState({})", missing_code(self).unwrap_or("…"))
    }
}

/// Never prints the text.
impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if matches!(self, Self::Text(_)) { "…" } else { self.words() };
        write!(f, "Shown({text})")
    }
}

/// Why there is no value, as a code for files; none if there is one.
pub fn missing_code(state: &ItemState) -> Option<&'static str> {
    match state {
        ItemState::Value(_) => None,
        ItemState::NotDone(NotDone::NotDone) => Some("NOT-DONE"),
        ItemState::NotDone(NotDone::NotApplicable) => Some("NOT-APPLICABLE"),
        ItemState::NotDone(NotDone::Unknown) => Some("UNKNOWN"),
        ItemState::NotDone(NotDone::Refused) => Some("REFUSED"),
        ItemState::Cleared => Some("CLEARED"),
        ItemState::Erased => Some("ERASED"),
        ItemState::Withheld(Withheld::Blinded) => Some("BLINDED"),
        ItemState::Withheld(Withheld::Restricted) => Some("RESTRICTED"),
        ItemState::Withheld(Withheld::NoRight) => Some("NO-RIGHT"),
    }
}

/// One change of an item: its audit entry. The old value is what the change before it left.
#[derive(Debug, Clone)]
pub struct Change {
    /// What it left there.
    pub state: ItemState,
    /// Who, and when.
    pub by: Act,
    /// Why.
    pub reason: Option<Shown>,
}

/// Who did something, and when.
#[derive(Debug, Clone)]
pub struct Act {
    /// Who.
    pub user: UserId,
    /// In which role.
    pub role: Role,
    /// For whom.
    pub organisation: OrganisationId,
    /// When it was captured, as the client says.
    pub captured_at: Moment,
    /// When it was stored, as the platform says.
    pub stored_at: Moment,
    /// What it was entered with.
    pub source: Source,
}

/// What concerns a place beside its values.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// What was asked.
    pub queries: Vec<QueryRecord>,
    /// Who signed.
    pub signatures: Vec<SignatureRecord>,
    /// What else holds of it.
    pub marks: Vec<Mark>,
}

/// What holds of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Everything that is known was entered.
    Completed,
    /// It does not belong there, and counts no more.
    Removed,
    /// It agrees with its source.
    Verified,
    /// A group of reviewers has looked at it as it stands.
    Reviewed,
    /// No value changes for the time being.
    Frozen,
    /// Nothing changes any more.
    Locked,
}

impl Mark {
    /// As files have it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Removed => "REMOVED",
            Self::Verified => "VERIFIED",
            Self::Reviewed => "REVIEWED",
            Self::Frozen => "FROZEN",
            Self::Locked => "LOCKED",
        }
    }
}

/// A query with its thread.
#[derive(Debug, Clone)]
pub struct QueryRecord {
    /// Its id.
    pub query: QueryId,
    /// What kind of question.
    pub kind: QueryKind,
    /// Where it stands.
    pub state: QueryState,
    /// The check that asked, if one did.
    pub check: Option<CheckId>,
    /// Who is to answer; none: the site.
    pub to: Option<Role>,
    /// What was said, oldest first; the first one asked.
    pub thread: Vec<Message>,
}

/// One step of a query.
#[derive(Debug, Clone)]
pub struct Message {
    /// What was done.
    pub step: Step,
    /// By whom, and when.
    pub by: Act,
    /// What was said.
    pub text: Option<Shown>,
}

/// What was done with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Asked.
    Opened,
    /// Answered.
    Answered,
    /// Given to somebody else.
    Forwarded,
    /// Settled.
    Closed,
    /// Taken back.
    Cancelled,
    /// Asked again.
    Reopened,
    /// The data changed after it was settled.
    DataChanged,
}

impl Step {
    /// As files have it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Opened => "OPENED",
            Self::Answered => "ANSWERED",
            Self::Forwarded => "FORWARDED",
            Self::Closed => "CLOSED",
            Self::Cancelled => "CANCELLED",
            Self::Reopened => "REOPENED",
            Self::DataChanged => "DATA-CHANGED",
        }
    }
}

/// A signature.
#[derive(Debug, Clone)]
pub struct SignatureRecord {
    /// Its id.
    pub signature: SignatureId,
    /// What it means.
    pub meaning: Meaning,
    /// The name as it was printed.
    pub printed_name: Shown,
    /// Who, and when.
    pub by: Act,
    /// Over what was signed.
    pub digest: CommitHash,
    /// Nothing that it covers has changed since.
    pub holds: bool,
}
