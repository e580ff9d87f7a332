//! What looked like an attack or a misuse: the alert, the incident that it opens, and what was found out about it.
//!
//! Ids, codes and counts only; what is sealed about who did it stands in the access log. [`watch`] says what is looked for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Moment;
use crate::decider::{self, Context, Decider, Recorded};
use crate::history::StreamId;
use crate::ids::{InstructionId, UserId};
use crate::rejection::{Kind, Rejection};

pub mod watch;

// --- facts

facts! {
    /// What happened.
    pub enum Event for Incident {
        /// A rule found more than it lets pass.
        "security-alert" 1 SecurityAlert { alert: Alert },
        /// So there is something to look into.
        "incident-opened" 1 Opened {},
        /// Somebody looks into it.
        "incident-acknowledged" 1 Acknowledged {},
        /// Somebody found out. `reference` leads to the controller's own register, where words may stand.
        "incident-closed" 1 Closed { finding: Finding, reference: Option<InstructionId> },
    }
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecurityAlert)]
pub struct Alert {
    /// Which rule.
    pub rule: Rule,
    /// Who did it; none: nobody with an account, as far as is known.
    pub user: Option<UserId>,
    /// How often within the window.
    pub count: u64,
    /// How often it may happen before it is told.
    pub limit: u64,
    /// When the first of them happened.
    pub since: Moment,
    /// When the last of them happened.
    pub until: Moment,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = DetectionRule)]
pub enum Rule {
    /// Many sign-ins in vain.
    FailedSignIns,
    /// The data of many participants in a short time.
    MassReads,
    /// Participants of sites that the credential does not reach.
    BeyondSite,
    /// Reads at hours at which nobody works.
    OddHours,
    /// Things that are not there, or not this tenant's.
    Probing,
    /// What was erased, again and again.
    ErasedData,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 6] =
        [Self::FailedSignIns, Self::MassReads, Self::BeyondSite, Self::OddHours, Self::Probing, Self::ErasedData];

    /// The name, as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailedSignIns => "failed-sign-ins",
            Self::MassReads => "mass-reads",
            Self::BeyondSite => "beyond-site",
            Self::OddHours => "odd-hours",
            Self::Probing => "probing",
            Self::ErasedData => "erased-data",
        }
    }
}

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It was work as usual.
    FalseAlarm,
    /// Somebody made a mistake.
    Mistake,
    /// Somebody used a right for what it was not given for.
    Misuse,
    /// Somebody without a right tried, and got nothing.
    AttackRepelled,
    /// Personal data came to somebody who had no right to it: a breach (GDPR, Art. 33).
    Breach,
    /// Somebody tried out whether it would be noticed.
    Exercise,
}

structural!(Alert, Finding);

// --- state

/// The incident as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Incident {
    /// There is none.
    #[default]
    None,
    /// Nobody has looked into it.
    Open,
    /// Somebody looks into it.
    Acknowledged,
    /// This was found out.
    Closed(Finding, Option<InstructionId>),
}

// --- commands

/// What somebody wants of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = IncidentCommand)]
pub enum Command {
    /// Opens one. Only the platform does.
    Open {
        /// What was found.
        alert: Alert,
    },
    /// Says that somebody looks into it.
    Acknowledge {},
    /// Says what was found out.
    Close {
        /// What.
        finding: Finding,
        /// Where in the controller's own register more is said.
        #[serde(default)]
        reference: Option<InstructionId>,
    },
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Acknowledge {} => "acknowledge",
            Self::Close { .. } => "close",
        }
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody opened it.
    #[error("there is no such incident")]
    NoSuchIncident,
    /// It has a finding already.
    #[error("the incident is closed, with another finding: what comes to light later is an incident of its own")]
    Closed,
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchIncident => "no-such-incident",
            Self::Closed => "incident-closed",
        }
    }
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchIncident => Kind::NotFound,
            Self::Closed => Kind::Conflict,
        }
    }
}

// --- evolve, decide

impl Decider for Incident {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = ();
    type Rules = ();

    fn governed_by(_: &StreamId) -> Option<StreamId> {
        None
    }

    fn decide(&self, command: &Command, _: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        match (self, command) {
            (Self::None, Command::Open { alert }) => {
                Ok(vec![Event::SecurityAlert { alert: alert.clone() }, Event::Opened {}])
            }
            (_, Command::Open { .. }) => Ok(vec![]),
            (Self::None, Command::Acknowledge {} | Command::Close { .. }) => Err(Refused::NoSuchIncident),
            (Self::Open, Command::Acknowledge {}) => Ok(vec![Event::Acknowledged {}]),
            (Self::Acknowledged, Command::Acknowledge {}) => Ok(vec![]),
            (Self::Open | Self::Acknowledged, Command::Close { finding, reference }) => {
                Ok(vec![Event::Closed { finding: *finding, reference: reference.clone() }])
            }
            (Self::Closed(was, by), Command::Close { finding, reference }) if was == finding && by == reference => {
                Ok(vec![])
            }
            (Self::Closed(..), Command::Acknowledge {} | Command::Close { .. }) => Err(Refused::Closed),
        }
    }

    fn evolve(&mut self, event: &Event, _: Recorded) {
        match event {
            Event::SecurityAlert { .. } => {}
            Event::Opened {} => *self = Self::Open,
            Event::Acknowledged {} => *self = Self::Acknowledged,
            Event::Closed { finding, reference } => *self = Self::Closed(*finding, reference.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::given;

    fn alert() -> Alert {
        let at = Moment(time::macros::datetime!(2026-11-23 3:00 UTC));
        Alert { rule: Rule::Probing, user: None, count: 20, limit: 20, since: at, until: at }
    }

    fn opened() -> [Event; 2] {
        [Event::SecurityAlert { alert: alert() }, Event::Opened {}]
    }

    #[test]
    fn an_incident_is_opened_once_seen_and_closed_with_a_finding() {
        let close = |finding| Command::Close { finding, reference: None };
        let closed = || Event::Closed { finding: Finding::Exercise, reference: None };
        given::<Incident>([]).when(Command::Open { alert: alert() }).then(opened());
        given::<Incident>(opened()).when(Command::Open { alert: alert() }).then([]);
        given::<Incident>(opened()).when(Command::Acknowledge {}).then([Event::Acknowledged {}]);
        given::<Incident>(opened()).when(close(Finding::Exercise)).then([closed()]);
        given::<Incident>([Event::Opened {}, closed()]).when(close(Finding::Exercise)).then([]);
        given::<Incident>([Event::Opened {}, closed()]).when(close(Finding::Breach)).rejected("incident-closed");
        given::<Incident>([]).when(close(Finding::Breach)).rejected("no-such-incident");
    }

    #[test]
    fn rules_are_called_what_they_are_stored_as() {
        for rule in Rule::ALL {
            assert_eq!(serde_json::to_value(rule).expect("plain data"), rule.as_str());
        }
    }
}
