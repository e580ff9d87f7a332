//! Streams, commits and what they say: the words in which the journal and the rest of us talk.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::field::{Fact, Malformed};
use crate::ids::{CommandId, CorrelationId, Environment, InvalidId, OrganisationId, StudyId, TenantId, UserId};
use crate::open_body::Body;
use crate::permit::Role;
use crate::scope::{Part, Scope};

/// The kinds of stream, one a file in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// Design versions, sites, going live.
    Study,
    /// One content-addressed part of a study design.
    DesignPart,
    /// Consent, visits, forms.
    Participant,
    /// The vault: name, contact, national id.
    Identity,
    /// Holds, restrictions, erasures of one person.
    Privacy,
    /// A user or service account and its tokens.
    User,
    /// How a person comes in: links, rights, credentials, sessions.
    Account,
    /// A sealed randomisation list and which of its slots are taken.
    Randomisation,
    /// Who has which subject number.
    SubjectNumber,
    /// Who got which data, what for and until when.
    Export,
    /// Who was shown whose data: one user's day.
    Access,
    /// What looked like an attack, and what was found out about it.
    Incident,
}

impl Aggregate {
    /// Every aggregate.
    pub const ALL: [Self; 12] = [
        Self::Study,
        Self::DesignPart,
        Self::Participant,
        Self::Identity,
        Self::Privacy,
        Self::User,
        Self::Account,
        Self::Randomisation,
        Self::SubjectNumber,
        Self::Export,
        Self::Access,
        Self::Incident,
    ];

    /// The name used in stream ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Study => "study",
            Self::DesignPart => "design-part",
            Self::Participant => "participant",
            Self::Identity => "identity",
            Self::Privacy => "privacy",
            Self::User => "user",
            Self::Account => "account",
            Self::Randomisation => "randomisation",
            Self::SubjectNumber => "subject-number",
            Self::Export => "export",
            Self::Access => "access",
            Self::Incident => "incident",
        }
    }
}

impl FromStr for Aggregate {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|aggregate| aggregate.as_str() == text)
            .ok_or(InvalidId { kind: "aggregate", rule: "a name of the closed list" })
    }
}

/// One journal stream of JetStream: a study's, or (no study) the tenant's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JournalId {
    /// The tenant.
    pub tenant: TenantId,
    /// The study; none is the tenant's own journal stream. The access log stands where a study would (ADR 0041).
    pub study: Option<StudyId>,
}

impl JournalId {
    /// The journal stream of who was shown whose data.
    pub fn access_log(tenant: &TenantId) -> Self {
        Self { tenant: tenant.clone(), study: Some(StudyId::access_log()) }
    }

    /// Whether it is that one, and no study's.
    pub fn is_access_log(&self) -> bool {
        self.study == Some(StudyId::access_log())
    }
}

/// The ordered events of one aggregate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The journal stream that holds it.
    pub journal: JournalId,
    /// What kind of aggregate.
    pub aggregate: Aggregate,
    /// Which one: a UUID, a study id or a content hash. `[a-z0-9-]{1,64}`.
    pub id: String,
}

impl StreamId {
    /// The stream of one aggregate in a study.
    pub fn in_study(tenant: &TenantId, study: &StudyId, aggregate: Aggregate, id: impl fmt::Display) -> Self {
        let journal = JournalId { tenant: tenant.clone(), study: Some(study.clone()) };
        Self { journal, aggregate, id: id.to_string() }
    }

    /// The stream of one aggregate of the tenant.
    pub fn in_tenant(tenant: &TenantId, aggregate: Aggregate, id: impl fmt::Display) -> Self {
        let journal = JournalId { tenant: tenant.clone(), study: None };
        Self { journal, aggregate, id: id.to_string() }
    }

    /// The stream of another aggregate with the same id, in the same journal stream.
    pub fn sibling(&self, aggregate: Aggregate) -> Self {
        Self { journal: self.journal.clone(), aggregate, id: self.id.clone() }
    }

    /// The person whose data a stream holds: its id, where that is a UUID. The others hold none.
    pub fn data_subject(&self) -> Option<DataSubject> {
        match self.aggregate {
            Aggregate::Participant
            | Aggregate::Identity
            | Aggregate::Privacy
            | Aggregate::User
            | Aggregate::Account => Uuid::parse_str(&self.id).ok().map(DataSubject),
            // The one who looked: what is sealed there says from where.
            Aggregate::Access => Uuid::parse_str(self.id.get(..36)?).ok().map(DataSubject),
            Aggregate::Study
            | Aggregate::DesignPart
            | Aggregate::Randomisation
            | Aggregate::SubjectNumber
            | Aggregate::Export
            | Aggregate::Incident => None,
        }
    }
}

/// `aggregate/id`, for messages to people.
impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.aggregate.as_str(), self.id)
    }
}

/// Any person with personal data here. The id is random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Uuid)]
pub struct DataSubject(pub Uuid);

impl fmt::Display for DataSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A commit's number within its stream, contiguous from 1. Zero: before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = u64)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first commit.
    pub const NONE: Self = Self(0);

    /// The revision after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256: of a commit's stored bytes, or of a document's content. All zero stands before the first commit.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String)]
pub struct CommitHash(pub [u8; 32]);

impl fmt::Display for CommitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CommitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for CommitHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CommitHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for CommitHash {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = InvalidId { kind: "commit hash", rule: "64 hexadecimal digits" };
        // A sign would be read as part of a number.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong.clone())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong.clone())?;
        }
        Ok(Self(hash))
    }
}

/// Where a stream ends: what an append builds on and what a later load continues from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tail {
    /// The last commit's revision.
    pub revision: Revision,
    /// The last commit's hash.
    pub hash: CommitHash,
}

/// A sequence in one incarnation of one journal stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The study, or none for the tenant's own journal stream.
    pub study: Option<StudyId>,
    /// Which life of the journal stream: a restored one is a new incarnation.
    pub incarnation: u64,
    /// JetStream's sequence; zero: before the first message.
    pub sequence: u64,
}

/// The opaque token `study:incarnation:sequence`; `_` stands for the tenant's own journal stream.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let study = self.study.as_ref().map_or("_", StudyId::as_str);
        write!(f, "{study}:{}:{}", self.incarnation, self.sequence)
    }
}

impl FromStr for Position {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = InvalidId { kind: "position", rule: "a token from a Lethe-Position header" };
        let [study, incarnation, sequence] =
            text.splitn(3, ':').collect::<Vec<_>>().try_into().map_err(|_| wrong.clone())?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |text: &str| text.parse::<u64>().ok().filter(|_| digits(text)).ok_or_else(|| wrong.clone());
        let study = if study == "_" { None } else { Some(study.parse().map_err(|_| wrong.clone())?) };
        Ok(Self { study, incarnation: number(incarnation)?, sequence: number(sequence)? })
    }
}

/// Whether an actor is a person, a program, or the platform itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// A person.
    User,
    /// A named program with a token of its own.
    ServiceAccount,
    /// The platform, carrying out what was decided.
    System,
}

/// Who did it, as it stands in the clear header for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// Opaque id of the person or service account.
    pub id: UserId,
    /// Person, program or platform.
    pub kind: ActorKind,
    /// In which role.
    pub role: Role,
    /// For which organisation.
    pub organisation: OrganisationId,
}

/// What one event is, in the clear: neutral words and a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventType {
    /// Such as `items-saved`; never a word that is itself personal data.
    pub name: String,
    /// The shape's version.
    pub version: u32,
}

/// The clear part of a commit: what may outlive an erasure. Specified in `docs/format.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The environment of the study or credential.
    pub environment: Environment,
    /// The stream.
    pub stream: StreamId,
    /// The commit's number in the stream.
    pub revision: Revision,
    /// The events, in order.
    pub events: Vec<EventType>,
    /// When it was stored, by the server's clock.
    pub stored_at: OffsetDateTime,
    /// When it was captured, as the client says; otherwise the time stored.
    pub captured_at: OffsetDateTime,
    /// Who.
    pub actor: Actor,
    /// The command that was decided.
    pub command: CommandId,
    /// The command that set this one off, if another did.
    pub causation: Option<CommandId>,
    /// What belongs together.
    pub correlation: CorrelationId,
    /// Hash of the stream's previous commit.
    pub previous: CommitHash,
}

/// One event, open: personal places hold their value or are erased.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenEvent {
    /// Type and version as stored.
    pub kind: EventType,
    /// The open body (see [`crate::body`]).
    pub body: Body,
}

/// SHA-256 over the command's canonical bytes, to tell a retry from another body under the same id.
pub type BodyDigest = [u8; 32];

/// A commit that was read, checked and opened.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The clear header.
    pub header: Header,
    /// Hash of the stored bytes.
    pub hash: CommitHash,
    /// Where it stands in its journal stream.
    pub position: Position,
    /// The events.
    pub events: Vec<OpenEvent>,
    /// The digest of the command's body; none once the section that held it is erased.
    pub body_digest: Option<BodyDigest>,
    /// The sections whose key is destroyed or fenced.
    pub erased: BTreeSet<(Scope, Part)>,
    /// W3C trace context of the command, if it had one.
    pub traceparent: Option<String>,
    /// What [`Commit::facts`] decoded, if it is to be kept.
    pub decoded: Decoded,
}

/// The facts of a commit, once they are decoded, for all who read it together. Kept only where that was asked for: what
/// keeps commits for long has no use for them twice.
#[derive(Clone, Default)]
pub struct Decoded(Option<Arc<OnceLock<Arc<dyn Any + Send + Sync>>>>);

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "kept" } else { "not kept" })
    }
}

impl Decoded {
    /// Facts that were decoded when the commit was opened.
    pub(crate) fn of<F: Fact>(facts: Vec<F>) -> Self {
        let facts: Arc<dyn Any + Send + Sync> = Arc::new(facts);
        Self(Some(Arc::new(OnceLock::from(facts))))
    }

    /// They, if they were kept.
    pub(crate) fn facts<F: Fact>(&self) -> Option<Arc<Vec<F>>> {
        Arc::clone(self.0.as_ref()?.get()?).downcast().ok()
    }
}

impl Commit {
    /// From now on what is decoded is kept, for others who ask.
    pub fn keep_decoded(&mut self) {
        self.decoded.0.get_or_insert_default();
    }

    /// The commit as the end of its stream.
    pub fn tail(&self) -> Tail {
        Tail { revision: self.header.revision, hash: self.hash }
    }

    /// Decodes the events of an aggregate, each upcast to today's shape.
    pub fn facts<F: Fact>(&self) -> Result<Vec<F>, Malformed> {
        match &self.decoded.0 {
            Some(_) => self.shared_facts().map(|facts| facts.to_vec()),
            None => self.decode(),
        }
    }

    /// The same for whoever only looks at them: decoded once for all who read the commit, if that is kept.
    pub fn shared_facts<F: Fact>(&self) -> Result<Arc<Vec<F>>, Malformed> {
        let Some(kept) = &self.decoded.0 else {
            return self.decode().map(Arc::new);
        };
        if let Some(facts) = self.decoded.facts() {
            return Ok(facts);
        }
        let facts: Arc<Vec<F>> = Arc::new(self.decode()?);
        // If somebody else was quicker, that is kept: it is the same.
        let _ = kept.set(facts.clone());
        Ok(facts)
    }

    fn decode<F: Fact>(&self) -> Result<Vec<F>, Malformed> {
        self.events
            .iter()
            .map(|event| {
                let event = crate::upcast::upcast(F::AGGREGATE, event);
                F::read(&event.kind.name, event.kind.version, &event.body)
            })
            .collect()
    }
}

/// What a stream says to the one who asks: all of it, or all but what was forgotten.
/// Both carry the same commits; the variant says whether every section was open.
#[derive(Debug, Clone)]
pub enum History {
    /// Every section opened.
    Readable(Vec<Commit>),
    /// Some sections are erased; their places in the commits say so one by one.
    Erased {
        /// The commits, structure whole.
        commits: Vec<Commit>,
        /// The scopes in which something is erased.
        scopes: BTreeSet<Scope>,
    },
}

impl History {
    /// Sorts commits into readable and erased.
    pub fn of(commits: Vec<Commit>) -> Self {
        let scopes: BTreeSet<Scope> =
            commits.iter().flat_map(|commit| commit.erased.iter().map(|(scope, _)| *scope)).collect();
        if scopes.is_empty() { Self::Readable(commits) } else { Self::Erased { commits, scopes } }
    }
}

/// Reads as its commits, oldest first: structure is there in both.
impl Deref for History {
    type Target = [Commit];
    fn deref(&self) -> &[Commit] {
        match self {
            Self::Readable(commits) | Self::Erased { commits, .. } => commits,
        }
    }
}

impl IntoIterator for History {
    type Item = Commit;
    type IntoIter = std::vec::IntoIter<Commit>;
    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::Readable(commits) | Self::Erased { commits, .. } => commits.into_iter(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back() {
        for text in ["cardio:1:42", "_:7:0"] {
            assert_eq!(Position::from_str(text).map(|position| position.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "cardio:1", "cardio:1:x", "CARDIO:1:1", "a:1:1:1"] {
            assert!(Position::from_str(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_kept_decoded_is_what_would_be_decoded() {
        use crate::participant::Event;
        let journal = JournalId { tenant: crate::testing::tenant(), study: None };
        let stream = StreamId { journal, aggregate: Aggregate::Participant, id: "1".to_owned() };
        let fact = Event::ConsentGiven { version: "1.0".parse().expect("valid"), reference: None };
        let mut commit = crate::testing::commit(stream, 1, &[fact]);
        let decoded: Vec<Event> = commit.facts().expect("reads");
        commit.keep_decoded();
        for _ in 0..2 {
            assert_eq!(commit.facts::<Event>().expect("reads"), decoded);
        }
        // A commit that was copied before is not kept by this; what is kept cannot be read as another's facts.
        assert!(commit.facts::<crate::study::Event>().is_err());
        commit.events.clear();
        assert_eq!(commit.facts::<Event>().expect("kept"), decoded);
    }
}
