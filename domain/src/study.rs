//! A study: its designs, its sites, and whether it is live. It governs every participant's record.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decider::{self, Context, Decider};
use crate::design::{StudyDesign, content_hash};
use crate::field::Malformed;
use crate::history::{CommitHash, Revision, StreamId};
use crate::ids::{Environment, Label, SiteId};
use crate::rejection::{Kind, Rejection};

// --- facts

facts! {
    /// What happened to a study.
    pub enum Event for Study {
        /// The study exists, in one environment for good.
        "study-created" 1 Created { name: Label, environment: Environment },
        /// A design version is published: immutable, found by its content hash, stored in parts.
        "design-published" 1 DesignPublished { design: CommitHash, version: Label, parts: Vec<CommitHash> },
        /// A site may treat participants.
        "site-opened" 1 SiteOpened { site: SiteId, name: Label },
        /// Participants may be registered, under this design.
        "study-went-live" 1 WentLive { design: CommitHash },
    }
}

// --- state

/// The study as it stands.
#[derive(Debug, Clone, Default)]
pub enum Study {
    /// Nobody created it yet.
    #[default]
    Absent,
    /// Being set up.
    Configured(Setup),
    /// Open for participants, under one design.
    Live {
        /// What was set up.
        setup: Setup,
        /// The design that is live.
        design: CommitHash,
        /// Its content, once its parts were read.
        content: Option<Arc<StudyDesign>>,
    },
}

/// What is set up so far.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The study's name, for people.
    pub name: Label,
    /// The study's environment.
    pub environment: Environment,
    /// Published designs and their parts.
    pub designs: BTreeMap<CommitHash, Vec<CommitHash>>,
    /// The sites that are open, with their names.
    pub sites: BTreeMap<SiteId, Label>,
}

impl Study {
    /// What is set up, unless the study is absent.
    pub fn setup(&self) -> Option<&Setup> {
        match self {
            Self::Absent => None,
            Self::Configured(setup) | Self::Live { setup, .. } => Some(setup),
        }
    }

    fn setup_mut(&mut self) -> Option<&mut Setup> {
        match self {
            Self::Absent => None,
            Self::Configured(setup) | Self::Live { setup, .. } => Some(setup),
        }
    }

    /// The live design, if the study is live and its parts were read.
    pub fn live_design(&self) -> Option<&Arc<StudyDesign>> {
        match self {
            Self::Live { content, .. } => content.as_ref(),
            Self::Absent | Self::Configured(_) => None,
        }
    }
}

// --- commands

/// What somebody wants of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = StudyCommand)]
pub enum Command {
    /// Creates it. Sent by the platform when the study's journal stream is provisioned.
    Create {
        /// Its name, for people.
        name: Label,
        /// Its environment.
        environment: Environment,
    },
    /// Publishes a design whose parts are stored.
    PublishDesign {
        /// Content hash of the whole.
        design: CommitHash,
        /// The version's name.
        version: Label,
        /// Content hashes of the parts, in order.
        parts: Vec<CommitHash>,
    },
    /// Opens a site.
    OpenSite {
        /// Which site.
        site: SiteId,
        /// Its name, for people.
        name: Label,
    },
    /// Takes the study live under a published design, or moves it to another one.
    GoLive {
        /// Content hash of the design.
        design: CommitHash,
    },
}

impl decider::Command for Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::PublishDesign { .. } => "publish-design",
            Self::OpenSite { .. } => "open-site",
            Self::GoLive { .. } => "go-live",
        }
    }
}

// --- rejections

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such study.
    #[error("there is no such study")]
    NoSuchStudy,
    /// It is there already.
    #[error("the study exists already, with another name or environment: both stay as they are")]
    StudyExists,
    /// The site is open already.
    #[error("the site is open already, under another name: the name stays as it is")]
    SiteExists,
    /// That design is not published.
    #[error("this design is not published in the study: publish it first")]
    NoSuchDesign,
    /// No site is open.
    #[error("no site is open: open one first")]
    NoSite,
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchStudy => "no-such-study",
            Self::StudyExists => "study-exists",
            Self::SiteExists => "site-exists",
            Self::NoSuchDesign => "no-such-design",
            Self::NoSite => "no-site",
        }
    }
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchStudy => Kind::NotFound,
            Self::StudyExists | Self::SiteExists | Self::NoSite | Self::NoSuchDesign => Kind::Conflict,
        }
    }
}

// --- evolve, decide

impl Decider for Study {
    type Command = Command;
    type Event = Event;
    type Rejection = Refused;
    type Governing = ();

    fn governed_by(_: &StreamId) -> Option<StreamId> {
        None
    }

    fn decide(&self, command: &Command, _: &Context<'_, ()>) -> Result<Vec<Event>, Refused> {
        match command {
            Command::Create { name, environment } => match self.setup() {
                None => Ok(vec![Event::Created { name: name.clone(), environment: *environment }]),
                Some(setup) if setup.environment == *environment && setup.name == *name => Ok(vec![]),
                Some(_) => Err(Refused::StudyExists),
            },
            Command::PublishDesign { design, version, parts } => {
                let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
                let news = Event::DesignPublished { design: *design, version: version.clone(), parts: parts.clone() };
                Ok(if setup.designs.contains_key(design) { vec![] } else { vec![news] })
            }
            Command::OpenSite { site, name } => {
                let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
                match setup.sites.get(site) {
                    None => Ok(vec![Event::SiteOpened { site: site.clone(), name: name.clone() }]),
                    Some(known) if known == name => Ok(vec![]),
                    Some(_) => Err(Refused::SiteExists),
                }
            }
            Command::GoLive { design } => self.go_live(design),
        }
    }

    fn evolve(&mut self, event: &Event, _: Revision) {
        match event {
            Event::Created { name, environment } => {
                *self = Self::Configured(Setup {
                    name: name.clone(),
                    environment: *environment,
                    designs: BTreeMap::new(),
                    sites: BTreeMap::new(),
                });
            }
            Event::DesignPublished { design, parts, .. } => {
                if let Some(setup) = self.setup_mut() {
                    setup.designs.insert(*design, parts.clone());
                }
            }
            Event::SiteOpened { site, name } => {
                if let Some(setup) = self.setup_mut() {
                    setup.sites.insert(site.clone(), name.clone());
                }
            }
            Event::WentLive { design } => {
                if let Some(setup) = self.setup() {
                    *self = Self::Live { setup: setup.clone(), design: *design, content: None };
                }
            }
        }
    }

    fn missing_parts(&self) -> Vec<CommitHash> {
        match self {
            Self::Live { setup, design, content: None } => setup.designs.get(design).cloned().unwrap_or_default(),
            Self::Absent | Self::Configured(_) | Self::Live { .. } => Vec::new(),
        }
    }

    fn supply_parts(&mut self, parts: Vec<String>) -> Result<(), Malformed> {
        if let Self::Live { design, content, .. } = self {
            let text = parts.concat();
            if content_hash(text.as_bytes()) != *design {
                return Err(Malformed::at("design parts: the content hash differs"));
            }
            let read = serde_json::from_str(&text).map_err(|_| Malformed::at("design parts"))?;
            *content = Some(Arc::new(read));
        }
        Ok(())
    }
}

impl Study {
    fn go_live(&self, wanted: &CommitHash) -> Result<Vec<Event>, Refused> {
        let setup = self.setup().ok_or(Refused::NoSuchStudy)?;
        if !setup.designs.contains_key(wanted) {
            return Err(Refused::NoSuchDesign);
        }
        if setup.sites.is_empty() {
            return Err(Refused::NoSite);
        }
        match self {
            Self::Live { design, .. } if design == wanted => Ok(vec![]),
            Self::Absent | Self::Configured(_) | Self::Live { .. } => Ok(vec![Event::WentLive { design: *wanted }]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{given, label, site};

    fn created() -> Event {
        Event::Created { name: label("Cardio"), environment: Environment::Test }
    }
    fn published() -> Event {
        Event::DesignPublished { design: CommitHash([1; 32]), version: label("1"), parts: vec![CommitHash([2; 32])] }
    }
    fn opened() -> Event {
        Event::SiteOpened { site: site("oslo"), name: label("Oslo") }
    }
    fn go_live() -> Command {
        Command::GoLive { design: CommitHash([1; 32]) }
    }

    #[test]
    fn going_live_needs_a_design_and_a_site() {
        given::<Study>([]).when(go_live()).rejected("no-such-study");
        given::<Study>([created()]).when(go_live()).rejected("no-such-design");
        given::<Study>([created(), published()]).when(go_live()).rejected("no-site");
        given::<Study>([created(), published(), opened()])
            .when(go_live())
            .then([Event::WentLive { design: CommitHash([1; 32]) }]);
    }

    #[test]
    fn a_site_keeps_its_name() {
        let open = |name: &str| Command::OpenSite { site: site("oslo"), name: label(name) };
        given::<Study>([created(), opened()]).when(open("Oslo")).then([]);
        given::<Study>([created(), opened()]).when(open("Bergen")).rejected("site-exists");
    }

    #[test]
    fn a_study_keeps_its_environment() {
        let command = Command::Create { name: label("Cardio"), environment: Environment::Prod };
        given::<Study>([created()]).when(command).rejected("study-exists");
    }
}
