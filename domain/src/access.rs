//! Who was shown whose data: one fact an answer, whoever and however many it is about (ADR 0041).
//!
//! Nobody sends a command here. Whatever answers a query records what it is about to show, and shows it once that is
//! stored. A stream is one user's day at one writer, so that no stream grows without end and nobody waits for another.

use serde::{Deserialize, Serialize};
use time::Date;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Moment;
use crate::decider::{self, Context, Decider, Recorded};
use crate::history::{Aggregate, JournalId, StreamId};
use crate::ids::{ExportId, ParticipantId, ReadId, SessionId, StudyId, TenantId, TraceId, UserId, ViewName};
use crate::permit::{Role, Sites};
use crate::rejection::{Kind, Rejection};
use crate::scope::{Personal, Plain, Scope, tag};

mod views;

pub use views::{Shows, VIEWS, View, view_of};

// --- facts

facts! {
    /// What happened: somebody asked. Who, in which role, for which organisation and in which environment stands in the
    /// commit's header.
    pub enum Event for Access {
        /// Data was shown, or asked for in vain.
        "data-read" 1 Read {
            read: ReadId,
            at: Moment,
            seen: Seen,
            address: Option<Personal<String, tag::TechnicalSession>>,
            agent: Option<Personal<String, tag::TechnicalSession>>,
        },
    }
}

/// What was asked for, and what came of it. Ids and codes only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DataRead)]
pub struct Seen {
    /// What, as the tables of rights name it.
    pub view: ViewName,
    /// What came of it.
    pub outcome: Outcome,
    /// What for.
    pub purpose: Purpose,
    /// In which study; none: an address that names none.
    pub study: Option<StudyId>,
    /// Every participant that the answer named, and the one in its address.
    #[schema(value_type = Vec<ParticipantId>)]
    pub participants: People,
    /// Where an answer goes out piece by piece, nobody is named: everybody of the study at these sites was in it.
    pub everybody_at: Option<Sites>,
    /// The user in the address, where it is about one.
    pub user: Option<UserId>,
    /// The export whose file it was.
    pub export: Option<ExportId>,
    /// The kinds of data that such an answer opens for this role.
    pub scopes: Vec<Scope>,
    /// What the answer reflects of the study.
    pub reflects: Option<Reflects>,
    /// In which session; none: by a token.
    pub session: Option<SessionId>,
    /// The ticket of support under which it was allowed.
    #[schema(value_type = Option<Uuid>)]
    pub ticket: Option<Uuid>,
    /// The trace of the request.
    pub trace: Option<TraceId>,
}

/// Up to where in a journal stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reflects {
    /// Which life of the journal stream.
    pub incarnation: u64,
    /// Its sequence.
    pub sequence: u64,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was answered.
    Shown,
    /// The role may not ask it.
    Forbidden,
    /// There is no such thing for this credential.
    NotFound,
    /// It is there, at a site that the credential does not reach. The answer was the same as if it were not.
    BeyondSite,
    /// It is erased.
    Erased,
}

/// What data is read for: a closed list, never words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Treating the participant, and entering what was found.
    Care,
    /// Keeping the data clean and complete.
    DataManagement,
    /// Checking that the study is run as it should be.
    Monitoring,
    /// Audit and inspection.
    Audit,
    /// The safety of participants.
    Safety,
    /// Statistics.
    Analysis,
    /// Helping a user, under a ticket.
    Support,
    /// Answering a data subject.
    DataSubjectRequest,
    /// Running the platform for a tenant.
    Administration,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 9] = [
        Self::Care,
        Self::DataManagement,
        Self::Monitoring,
        Self::Audit,
        Self::Safety,
        Self::Analysis,
        Self::Support,
        Self::DataSubjectRequest,
        Self::Administration,
    ];

    /// The name, as sent and as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Care => "care",
            Self::DataManagement => "data-management",
            Self::Monitoring => "monitoring",
            Self::Audit => "audit",
            Self::Safety => "safety",
            Self::Analysis => "analysis",
            Self::Support => "support",
            Self::DataSubjectRequest => "data-subject-request",
            Self::Administration => "administration",
        }
    }

    /// What a role reads for, where nobody says.
    pub fn of(role: Role) -> Self {
        match role {
            Role::Investigator | Role::Coordinator => Self::Care,
            Role::StudyDesigner | Role::DataManager | Role::Integrator => Self::DataManagement,
            Role::Monitor | Role::SponsorViewer => Self::Monitoring,
            Role::Auditor => Self::Audit,
            Role::Unblinded => Self::Safety,
            Role::Dpo => Self::DataSubjectRequest,
            _ => Self::Administration,
        }
    }
}

/// Participants, each as 32 hexadecimal digits in one text: a list of a thousand is one fact and is to stay small.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People(pub Vec<ParticipantId>);

impl Serialize for People {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.iter().map(|one| one.0.simple().to_string()).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for People {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("participants are 32 hexadecimal digits each");
        if !text.is_ascii() || text.len() % 32 != 0 {
            return Err(wrong());
        }
        let each =
            text.as_bytes().chunks(32).map(|one| Uuid::try_parse_ascii(one).map(ParticipantId).map_err(|_| wrong()));
        each.collect::<Result<_, _>>().map(Self)
    }
}

structural!(Seen);

// --- state

/// One user's day at one writer, as far as the next entry needs it.
#[derive(Debug, Clone, Default)]
pub struct AccessLog {
    last: Option<ReadId>,
}

impl AccessLog {
    /// The stream of a user's day at one writer. `writer` is drawn at random: nobody else writes there, so its end is known.
    pub fn stream(tenant: &TenantId, user: UserId, day: Date, writer: u32) -> StreamId {
        let day = format!("{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day());
        StreamId {
            journal: JournalId::access_log(tenant),
            aggregate: Aggregate::Access,
            id: format!("{user}-{day}-{writer:08x}"),
        }
    }
}

// --- commands

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = AccessCommand)]
pub enum Command {
    /// Records what is about to be shown.
    Record {
        /// Which answer.
        read: ReadId,
        /// When.
        at: Moment,
        /// What.
        seen: Box<Seen>,
        /// From which address.
        address: Option<Plain>,
        /// By which program.
        agent: Option<Plain>,
    },
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Record { .. } => "record",
        }
    }
}

// --- rejections

/// Nothing is refused: what is about to be shown is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match *self {}
    }
    fn kind(&self) -> Kind {
        match *self {}
    }
}

// --- evolve, decide

impl Decider for AccessLog {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = ();
    type Rules = ();

    fn governed_by(_: &StreamId) -> Option<StreamId> {
        None
    }

    fn decide(&self, command: &Command, _: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        let Command::Record { read, at, seen, address, agent } = command;
        if self.last == Some(*read) {
            return Ok(vec![]);
        }
        let sealed = |text: &Option<Plain>| text.as_ref().map(|text| Personal::new(text.0.clone()));
        let (address, agent) = (sealed(address), sealed(agent));
        Ok(vec![Event::Read { read: *read, at: *at, seen: seen.as_ref().clone(), address, agent }])
    }

    fn evolve(&mut self, event: &Event, _: Recorded) {
        let Event::Read { read, .. } = event;
        self.last = Some(*read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_one_text_and_read_back() {
        for count in [0, 1, 1000] {
            let people = People((0..count).map(|n| ParticipantId(Uuid::from_u128(n))).collect());
            let text = serde_json::to_string(&people).expect("plain data");
            assert_eq!(text.len(), 2 + 32 * count as usize);
            assert_eq!(serde_json::from_str::<People>(&text).expect("reads back"), people);
        }
        for bad in ["\"abc\"", "\"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\"", "\"äääääääääääääääääääääääääääääääää\""]
        {
            assert!(serde_json::from_str::<People>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stream_says_whose_day_it_is() {
        let user = UserId(Uuid::from_u128(7));
        let day = time::macros::date!(2026 - 11 - 23);
        let stream = AccessLog::stream(&"acme".parse().expect("valid"), user, day, 0xab);
        assert!(stream.id.ends_with("-20261123-000000ab"), "{}", stream.id);
        assert!(stream.journal.is_access_log());
        assert_eq!(stream.data_subject(), Some(crate::history::DataSubject(user.0)));
    }

    #[test]
    fn purposes_are_called_what_they_are_stored_as() {
        for purpose in Purpose::ALL {
            assert_eq!(serde_json::to_value(purpose).expect("plain data"), purpose.as_str());
        }
    }
}
