//! An export: who got which data, what for and until when, so that an erasure knows whom to tell (GDPR Art 19).
//!
//! Its facts are structure: the participants whose data it held stand in it by their random ids. Whoever hands a copy on
//! says so here too. The files themselves are no facts; the vault of exports holds them until they are deleted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use crate::Moment;
use crate::decider::{self, Context, Decider, Recorded};
use crate::history::{Aggregate, CommitHash, StreamId};
use crate::ids::{CommandId, InstructionId, Label, ParticipantId, SiteId, UserId};
use crate::permit::Role;
use crate::rejection::{Fault, Kind, Rejection};
use crate::scope::Scope;
use crate::study::Study;

/// How many days a file may be held, at most.
pub const DAYS_MAX: i64 = 366;

/// How many participants one commit lists, at most.
pub const LISTED_MAX: usize = 5_000;

// --- facts

facts! {
    /// What happened to an export.
    pub enum Event for Export {
        /// Somebody ordered it, and may.
        "export-started" 1 Started { order: Order, frame: Frame },
        /// It holds data of these.
        "participants-listed" 1 Listed { participants: Vec<ParticipantId> },
        /// Its files are whole. The hash is of the signed manifest.
        "export-completed" 1 Completed { manifest: CommitHash, files: Vec<File> },
        /// It did not come to an end: nothing of it is there.
        "export-failed" 1 Failed {},
        /// A copy went to somebody.
        "copy-given" 1 CopyGiven { copy: CommandId, recipient: Label, purpose: Label },
        /// Its files are gone from here. Copies that were given are not.
        "export-deleted" 1 Deleted { cause: Cause },
    }
}

/// In which format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ExportFormat)]
pub enum Format {
    /// CDISC ODM 1.3.2.
    Odm132,
    /// CDISC ODM 2.0.
    Odm20,
    /// CSV, one file a table.
    Csv,
    /// CDISC Dataset-JSON 1.1, one file a table.
    DatasetJson,
    /// SAS transport version 5, one file a table, and beside it what its variables are called in full.
    Xpt,
}

/// How much of what happened goes into ODM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ExportHistory)]
pub enum HistoryWanted {
    /// Nothing.
    #[default]
    None,
    /// The last change of each value.
    Last,
    /// All changes.
    Whole,
}

/// What one table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ExportTables)]
pub enum TablesBy {
    /// One item group.
    #[default]
    ItemGroup,
    /// One form.
    Form,
}

/// What is to be exported, for whom and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExportOrder)]
pub struct Order {
    /// Who gets it: an organisation or an office, not the name of a person.
    pub recipient: Label,
    /// What for.
    pub purpose: Label,
    /// When the files are deleted here.
    pub expires_at: Moment,
    /// The controller's instruction, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<InstructionId>,
    /// In which formats; none: no files, it is registered that data is taken by another road, such as the audit trail.
    pub formats: BTreeSet<Format>,
    /// Of which sites; none: of all that the one who orders reaches.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sites: BTreeSet<SiteId>,
    /// In the terms of which design; none: the live one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<CommitHash>,
    /// How much of what happened goes into ODM.
    #[serde(default)]
    pub history: HistoryWanted,
    /// What one table holds.
    #[serde(default)]
    pub tables: TablesBy,
    /// In CSV, puts an apostrophe before texts that a spreadsheet would take for a formula.
    #[serde(default)]
    pub guard_formulas: bool,
}

/// What an order came to, with the rights of the one who ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ExportFrame)]
pub struct Frame {
    /// The sites whose participants are in it.
    pub sites: BTreeSet<SiteId>,
    /// The kinds of data that are not withheld.
    pub scopes: BTreeSet<Scope>,
    /// The design in whose terms it is written.
    pub design: CommitHash,
    /// From which position of the study's journal stream on it may lack what was written.
    pub position: u64,
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ExportFile)]
pub struct File {
    /// Its name: made of the study's and the design's ids.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// SHA-256 of its bytes.
    pub sha256: CommitHash,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many records it has.
    pub records: u64,
}

/// Why files were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ExportDeletion)]
pub enum Cause {
    /// Somebody wanted it so.
    ByHand,
    /// Its time was over.
    Expired,
    /// Data of somebody in it is erased: it must be made anew.
    Erasure,
    /// The processing of somebody's data in it is restricted: it must be made anew.
    Restriction,
    /// The files were found to be gone, as they are after a restore.
    Missing,
}

structural!(Order, Frame, File, Cause);

// --- state

/// An export.
#[derive(Debug, Clone, Default)]
pub enum Export {
    /// Nobody ordered it.
    #[default]
    Absent,
    /// Ordered.
    Known(Box<Known>),
}

/// What is known of an export.
#[derive(Debug, Clone)]
pub struct Known {
    /// What was ordered.
    pub order: Order,
    /// What it came to.
    pub frame: Frame,
    /// By whom.
    pub by: UserId,
    /// Whose data it holds.
    pub participants: BTreeSet<ParticipantId>,
    /// The copies that were given.
    pub copies: Vec<Given>,
    /// How far it is.
    pub stage: Stage,
    /// Its files were whole once.
    pub completed: bool,
}

/// A copy that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Which.
    pub copy: CommandId,
    /// To whom.
    pub recipient: Label,
    /// What for.
    pub purpose: Label,
}

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ExportStage)]
pub enum Stage {
    /// Its files are being written.
    Writing,
    /// Its files are held.
    Held,
    /// Nothing of it was ever whole.
    Failed,
    /// Its files are deleted.
    Deleted,
}

structural!(Stage);

impl Export {
    /// What is known of it.
    pub fn known(&self) -> Option<&Known> {
        match self {
            Self::Absent => None,
            Self::Known(known) => Some(known),
        }
    }
}

impl Known {
    /// Whether files of it are, or may be, held here.
    pub fn has_files(&self) -> bool {
        matches!(self.stage, Stage::Writing | Stage::Held)
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.order.expires_at.0 <= now
    }

    /// Everybody who got it: the recipient, once files were whole, and those of the copies.
    pub fn recipients(&self) -> impl Iterator<Item = &Label> {
        let first = self.completed.then_some(&self.order.recipient);
        first.into_iter().chain(self.copies.iter().map(|copy| &copy.recipient))
    }
}

// --- commands

/// What somebody wants of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = ExportCommand)]
pub enum Command {
    /// Orders it.
    Start {
        /// What.
        order: Box<Order>,
        /// What it comes to. Never from a body.
        #[serde(skip)]
        frame: Option<Frame>,
    },
    /// Says whose data it holds. The platform's own.
    ListParticipants {
        /// Whose.
        participants: Vec<ParticipantId>,
    },
    /// Its files are whole. The platform's own.
    Complete {
        /// Hash of the signed manifest.
        manifest: CommitHash,
        /// The files.
        files: Vec<File>,
    },
    /// It does not come to an end. The platform's own.
    Fail {},
    /// Says that a copy was given to somebody.
    GiveCopy {
        /// To whom: an organisation or an office, not the name of a person.
        recipient: Label,
        /// What for.
        purpose: Label,
    },
    /// Deletes the files.
    Delete {},
    /// The same for a cause of the platform's own.
    Withdraw {
        /// Which.
        cause: Cause,
    },
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::ListParticipants { .. } => "list-participants",
            Self::Complete { .. } => "complete",
            Self::Fail {} => "fail",
            Self::GiveCopy { .. } => "give-copy",
            Self::Delete {} => "delete",
            Self::Withdraw { .. } => "withdraw",
        }
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody created the study.
    #[error("there is no such study: create it first")]
    NoSuchStudy,
    /// Not this one.
    #[error("there is no such export: order it first")]
    NoSuchExport,
    /// Another one.
    #[error("another export was ordered under this id: choose another id")]
    OrderedOtherwise,
    /// What it came to must come from outside, and did not.
    #[error("nobody has found out what this order comes to")]
    NotFramed,
    /// Nothing to write it by.
    #[error("no design is live in this study, or it has none with this hash: name a published one")]
    NoDesign,
    /// Not this one, or not for this credential.
    #[error("the study has no such site for this credential")]
    NoSuchSite,
    /// Something is wrong with the order.
    #[error("{} things are wrong with the order, so nothing is exported", .0.len())]
    Faults(Vec<Fault>),
    /// Its files were never whole.
    #[error("this export has no files yet: wait until it is completed")]
    NotCompleted,
    /// Over.
    #[error("this export is over: order another one")]
    Over,
    /// For the one who ordered it, and for those who answer for the study's data.
    #[error("only the one who ordered it, a data manager, the DPO or the controller may do this to an export")]
    NotYours,
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchStudy => "no-such-study",
            Self::NoSuchExport => "no-such-export",
            Self::OrderedOtherwise => "ordered-otherwise",
            Self::NotFramed => "not-framed",
            Self::NoDesign => "no-design",
            Self::NoSuchSite => "no-such-site",
            Self::Faults(_) => "invalid-order",
            Self::NotCompleted => "export-not-completed",
            Self::Over => "export-over",
            Self::NotYours => "not-yours",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchStudy | Self::NoSuchExport | Self::NoSuchSite => Kind::NotFound,
            Self::Faults(_) => Kind::Invalid,
            Self::NotYours => Kind::Forbidden,
            Self::OrderedOtherwise | Self::NoDesign | Self::NotFramed | Self::NotCompleted | Self::Over => {
                Kind::Conflict
            }
        }
    }

    fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Faults(faults) => faults.clone(),
            _ => Vec::new(),
        }
    }
}

// --- evolve, decide

impl Decider for Export {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = Study;
    type Rules = ();

    fn governed_by(stream: &StreamId) -> Option<StreamId> {
        let study = stream.journal.study.clone()?;
        Some(StreamId { journal: stream.journal.clone(), aggregate: Aggregate::Study, id: study.to_string() })
    }

    fn decide(&self, command: &Command, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
        if let Command::Start { order, frame } = command {
            return self.start(order, frame.as_ref(), context);
        }
        let known = self.known().ok_or(Refused::NoSuchExport)?;
        match command {
            Command::Start { .. } => Ok(vec![]),
            Command::ListParticipants { participants } => known.list(participants),
            Command::Complete { manifest, files } => match known.stage {
                Stage::Writing => Ok(vec![Event::Completed { manifest: *manifest, files: files.clone() }]),
                Stage::Held => Ok(vec![]),
                Stage::Failed | Stage::Deleted => Err(Refused::Over),
            },
            Command::Fail {} if known.stage == Stage::Writing => Ok(vec![Event::Failed {}]),
            Command::Fail {} => Ok(vec![]),
            Command::GiveCopy { recipient, purpose } => {
                known.may(context)?;
                known.give(context.command, recipient, purpose)
            }
            Command::Delete {} => {
                known.may(context)?;
                Ok(known.delete(Cause::ByHand))
            }
            Command::Withdraw { cause } => Ok(known.delete(*cause)),
        }
    }

    fn evolve(&mut self, event: &Event, recorded: Recorded) {
        if let Event::Started { order, frame } = event {
            *self = Self::Known(Box::new(Known {
                order: order.clone(),
                frame: frame.clone(),
                by: recorded.actor,
                participants: BTreeSet::new(),
                copies: Vec::new(),
                stage: Stage::Writing,
                completed: false,
            }));
        }
        let Self::Known(known) = self else { return };
        match event {
            Event::Started { .. } => {}
            Event::Listed { participants } => known.participants.extend(participants.iter().copied()),
            Event::Completed { .. } => (known.stage, known.completed) = (Stage::Held, true),
            Event::Failed {} => known.stage = Stage::Failed,
            Event::CopyGiven { copy, recipient, purpose } => {
                known.copies.push(Given { copy: *copy, recipient: recipient.clone(), purpose: purpose.clone() });
            }
            Event::Deleted { .. } => known.stage = Stage::Deleted,
        }
    }
}

impl Export {
    fn start(&self, order: &Order, frame: Option<&Frame>, context: &Context<'_, Study>) -> Result<Vec<Event>, Refused> {
        if matches!(context.governing, Study::Absent) {
            return Err(Refused::NoSuchStudy);
        }
        if let Some(known) = self.known() {
            return if known.order == *order { Ok(vec![]) } else { Err(Refused::OrderedOtherwise) };
        }
        let faults = order.faults(context.now);
        if !faults.is_empty() {
            return Err(Refused::Faults(faults));
        }
        let frame = frame.ok_or(Refused::NotFramed)?.clone();
        Ok(vec![Event::Started { order: order.clone(), frame }])
    }
}

impl Order {
    /// What is wrong with it, if it is ordered now.
    pub fn faults(&self, now: OffsetDateTime) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |pointer: &str, detail: String| faults.push(Fault { pointer: pointer.into(), detail });
        for (pointer, text) in [("/order/recipient", &self.recipient), ("/order/purpose", &self.purpose)] {
            if text.as_str().trim().is_empty() {
                fault(pointer, "say who gets the files and what for".into());
            }
        }
        if self.expires_at.0 <= now || self.expires_at.0 > now + Duration::days(DAYS_MAX) {
            fault("/order/expires_at", format!("files are held until a time within the next {DAYS_MAX} days"));
        }
        faults
    }
}

impl Known {
    fn may(&self, context: &Context<'_, Study>) -> Result<(), Refused> {
        let actor = &context.principal.actor;
        let answers = matches!(actor.role, Role::DataManager | Role::Dpo | Role::Controller);
        if actor.id == self.by || answers { Ok(()) } else { Err(Refused::NotYours) }
    }

    fn list(&self, participants: &[ParticipantId]) -> Result<Vec<Event>, Refused> {
        let new: BTreeSet<ParticipantId> = participants.iter().copied().collect();
        let new: Vec<ParticipantId> = new.difference(&self.participants).copied().collect();
        match self.stage {
            _ if new.is_empty() => Ok(vec![]),
            Stage::Writing if new.len() <= LISTED_MAX => Ok(vec![Event::Listed { participants: new }]),
            Stage::Writing => {
                let detail = format!("{LISTED_MAX} participants at a time");
                Err(Refused::Faults(vec![Fault { pointer: "/participants".into(), detail }]))
            }
            Stage::Held | Stage::Failed | Stage::Deleted => Err(Refused::Over),
        }
    }

    fn give(&self, copy: CommandId, recipient: &Label, purpose: &Label) -> Result<Vec<Event>, Refused> {
        if self.copies.iter().any(|given| given.copy == copy) {
            return Ok(vec![]);
        }
        if !self.completed {
            return Err(Refused::NotCompleted);
        }
        Ok(vec![Event::CopyGiven { copy, recipient: recipient.clone(), purpose: purpose.clone() }])
    }

    fn delete(&self, cause: Cause) -> Vec<Event> {
        if self.has_files() { vec![Event::Deleted { cause }] } else { vec![] }
    }
}

#[cfg(test)]
mod tests;
