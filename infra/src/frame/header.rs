//! The clear header: a CBOR map with text keys, in the order of RFC 8949 §4.2.1 (shorter keys first).

use domain::history::{Actor, ActorKind, Aggregate, CommitHash, EventType, Header, JournalId, Revision, StreamId};
use domain::ids::{CommandId, CorrelationId, OrganisationId, StudyId, TenantId, UserId};
use domain::permit::Role;
use minicbor::Decoder;
use minicbor::data::{Tag, Type};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use super::{Encoded, Fault, MemoryEncoder, cbor};
use crate::keys::KeyId;

/// CBOR tag of a date and time as text (RFC 8949 §3.4.1).
pub(crate) const TAG_TIME: Tag = Tag::new(0);

/// CBOR tag of a UUID as bytes (IANA registry of CBOR tags).
const TAG_UUID: Tag = Tag::new(37);

/// UTC, always nine digits: one time has one spelling.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z");

/// Which key seals a section, and what the header says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    /// The key's name.
    pub(crate) id: KeyId,
    /// [`crate::keys::Key::commitment`] of it.
    pub(crate) commitment: [u8; 32],
}

/// The clear header as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredHeader {
    /// What the rest of us reads.
    pub(crate) header: Header,
    /// One entry a section, in the sections' order.
    pub(crate) keys: Vec<KeyEntry>,
}

impl StoredHeader {
    /// The header's bytes.
    ///
    /// # Errors
    /// A time that cannot be written.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Fault> {
        let stored_at = time_text(self.header.stored_at)?;
        let captured_at = time_text(self.header.captured_at)?;
        Ok(cbor::encode(640, |e| self.write(e, &stored_at, &captured_at)))
    }

    fn write(&self, e: &mut MemoryEncoder<'_>, stored_at: &str, captured_at: &str) -> Encoded {
        let Self { header, keys } = self;
        let StreamId { journal, aggregate, id } = &header.stream;
        e.map(15)?;
        e.str("id")?.str(id)?;
        e.str("keys")?;
        write_keys(e, keys)?;
        e.str("actor")?;
        write_actor(e, &header.actor)?;
        e.str("study")?;
        match &journal.study {
            Some(study) => e.str(study.as_str())?,
            None => e.null()?,
        };
        e.str("events")?;
        write_events(e, &header.events)?;
        e.str("tenant")?.str(journal.tenant.as_str())?;
        write_uuid(e.str("command")?, header.command.0)?;
        e.str("previous")?.bytes(&header.previous.0)?;
        e.str("revision")?.u64(header.revision.0)?;
        e.str("aggregate")?.str(aggregate.as_str())?;
        e.str("causation")?;
        match header.causation {
            Some(command) => write_uuid(e, command.0)?,
            None => e.null()?.ok()?,
        }
        e.str("stored_at")?.tag(TAG_TIME)?.str(stored_at)?;
        e.str("captured_at")?.tag(TAG_TIME)?.str(captured_at)?;
        write_uuid(e.str("correlation")?, header.correlation.0)?;
        e.str("environment")?.str(header.environment.as_str())?.ok()
    }

    /// Reads a header's bytes.
    ///
    /// # Errors
    /// Bytes that are not exactly what [`StoredHeader::encode`] writes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let d = &mut Decoder::new(bytes);
        cbor::map_of(d, 15)?;
        let id = named(d, "id")?.str()?.to_owned();
        let keys = read_keys(named(d, "keys")?)?;
        let actor = read_actor(named(d, "actor")?)?;
        let study = match named(d, "study")?.datatype()? {
            Type::Null => d.null().map(|()| None)?,
            _ => Some(id_of::<StudyId>(d)?),
        };
        let events = read_events(named(d, "events")?)?;
        let tenant = id_of::<TenantId>(named(d, "tenant")?)?;
        let command = CommandId(read_uuid(named(d, "command")?)?);
        let previous = CommitHash(read_hash(named(d, "previous")?)?);
        let revision = Revision(named(d, "revision")?.u64()?);
        let aggregate = id_of::<Aggregate>(named(d, "aggregate")?)?;
        let causation = match named(d, "causation")?.datatype()? {
            Type::Null => d.null().map(|()| None)?,
            _ => Some(CommandId(read_uuid(d)?)),
        };
        let stored_at = read_time(named(d, "stored_at")?)?;
        let captured_at = read_time(named(d, "captured_at")?)?;
        let correlation = CorrelationId(read_uuid(named(d, "correlation")?)?);
        let environment = id_of(named(d, "environment")?)?;
        let stream = StreamId { journal: JournalId { tenant, study }, aggregate, id };
        let header = Header {
            environment,
            stream,
            revision,
            events,
            stored_at,
            captured_at,
            actor,
            command,
            causation,
            correlation,
            previous,
        };
        let stored = Self { header, keys };
        if stored.encode()? == bytes { Ok(stored) } else { Err(Fault::Spelling) }
    }
}

fn named<'d, 'b>(d: &'d mut Decoder<'b>, key: &str) -> Result<&'d mut Decoder<'b>, Fault> {
    if d.str()? == key { Ok(d) } else { Err(Fault::Spelling) }
}

fn id_of<T: std::str::FromStr>(d: &mut Decoder<'_>) -> Result<T, Fault> {
    d.str()?.parse().map_err(|_| Fault::Spelling)
}

fn write_keys(e: &mut MemoryEncoder<'_>, keys: &[KeyEntry]) -> Encoded {
    e.array(keys.len() as u64)?;
    keys.iter().try_for_each(|key| e.array(2)?.str(&key.id.to_string())?.bytes(&key.commitment)?.ok())
}

fn read_keys(d: &mut Decoder<'_>) -> Result<Vec<KeyEntry>, Fault> {
    let read = |d: &mut Decoder<'_>| {
        cbor::array_of(d, 2)?;
        Ok(KeyEntry { id: id_of(d)?, commitment: read_hash(d)? })
    };
    (0..cbor::array_len(d)?).map(|_| read(d)).collect()
}

fn write_events(e: &mut MemoryEncoder<'_>, events: &[EventType]) -> Encoded {
    e.array(events.len() as u64)?;
    events.iter().try_for_each(|event| e.array(2)?.str(&event.name)?.u32(event.version)?.ok())
}

fn read_events(d: &mut Decoder<'_>) -> Result<Vec<EventType>, Fault> {
    let read = |d: &mut Decoder<'_>| {
        cbor::array_of(d, 2)?;
        Ok(EventType { name: d.str()?.to_owned(), version: d.u32()? })
    };
    (0..cbor::array_len(d)?).map(|_| read(d)).collect()
}

fn write_actor(e: &mut MemoryEncoder<'_>, actor: &Actor) -> Encoded {
    e.map(4)?;
    write_uuid(e.str("id")?, actor.id.0)?;
    e.str("kind")?.str(kind_text(actor.kind))?;
    e.str("role")?.str(actor.role.as_str())?;
    e.str("organisation")?.str(actor.organisation.as_str())?.ok()
}

fn read_actor(d: &mut Decoder<'_>) -> Result<Actor, Fault> {
    cbor::map_of(d, 4)?;
    let id = UserId(read_uuid(named(d, "id")?)?);
    let kind = kind_of(named(d, "kind")?.str()?)?;
    let role = id_of::<Role>(named(d, "role")?)?;
    let organisation = id_of::<OrganisationId>(named(d, "organisation")?)?;
    Ok(Actor { id, kind, role, organisation })
}

fn kind_text(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::User => "user",
        ActorKind::ServiceAccount => "service-account",
        ActorKind::System => "system",
    }
}

fn kind_of(text: &str) -> Result<ActorKind, Fault> {
    [ActorKind::User, ActorKind::ServiceAccount, ActorKind::System]
        .into_iter()
        .find(|kind| kind_text(*kind) == text)
        .ok_or(Fault::Spelling)
}

fn write_uuid(e: &mut MemoryEncoder<'_>, id: Uuid) -> Encoded {
    e.tag(TAG_UUID)?.bytes(id.as_bytes())?.ok()
}

fn read_uuid(d: &mut Decoder<'_>) -> Result<Uuid, Fault> {
    if d.tag()? != TAG_UUID {
        return Err(Fault::Spelling);
    }
    Uuid::from_slice(d.bytes()?).map_err(|_| Fault::Spelling)
}

fn read_hash(d: &mut Decoder<'_>) -> Result<[u8; 32], Fault> {
    d.bytes()?.try_into().map_err(|_| Fault::Spelling)
}

pub(crate) fn time_text(time: OffsetDateTime) -> Result<String, Fault> {
    let utc =
        time.checked_to_offset(UtcOffset::UTC).filter(|utc| (0..=9999).contains(&utc.year())).ok_or(Fault::Time)?;
    utc.format(TIME).map_err(|_| Fault::Time)
}

pub(crate) fn read_time(d: &mut Decoder<'_>) -> Result<OffsetDateTime, Fault> {
    if d.tag()? != TAG_TIME {
        return Err(Fault::Spelling);
    }
    OffsetDateTime::parse(d.str()?, &Rfc3339).map_err(|_| Fault::Spelling)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use domain::ids::Environment;
    use time::macros::datetime;

    use super::*;

    fn stored() -> StoredHeader {
        let tenant = TenantId::from_str("acme").expect("valid");
        let header = Header {
            environment: Environment::Prod,
            stream: StreamId::in_tenant(&tenant, Aggregate::User, Uuid::from_u128(7)),
            revision: Revision(3),
            events: vec![EventType { name: "user-added".to_owned(), version: 1 }],
            stored_at: datetime!(2026-01-02 03:04:05.000000006 +1),
            captured_at: datetime!(2026-01-02 03:04:05 UTC),
            actor: Actor {
                id: UserId(Uuid::from_u128(8)),
                kind: ActorKind::ServiceAccount,
                role: Role::Controller,
                organisation: OrganisationId::from_str("acme").expect("valid"),
            },
            command: CommandId(Uuid::from_u128(9)),
            causation: Some(CommandId(Uuid::from_u128(10))),
            correlation: CorrelationId(Uuid::from_u128(11)),
            previous: CommitHash([1; 32]),
        };
        let id = KeyId::Tenant { generation: 1 };
        StoredHeader { header, keys: vec![KeyEntry { id, commitment: [2; 32] }] }
    }

    #[test]
    fn a_header_reads_back_whole() {
        let bytes = stored().encode().expect("a header");
        assert_eq!(StoredHeader::decode(&bytes), Ok(stored()));
    }

    #[test]
    fn map_keys_stand_in_deterministic_order() {
        let bytes = stored().encode().expect("a header");
        let d = &mut Decoder::new(&bytes);
        let count = d.map().expect("a map").expect("of a stated size");
        let mut keys = Vec::new();
        for _ in 0..count {
            let start = d.position();
            d.str().expect("a text key");
            keys.push(bytes[start..d.position()].to_vec());
            d.skip().expect("a value");
        }
        assert!(keys.is_sorted() && d.position() == bytes.len());
    }

    #[test]
    fn another_spelling_of_the_same_time_or_environment_is_refused() {
        let bytes = stored().encode().expect("a header");
        for (good, other) in
            [("05.000000000Z", "05.000000000z"), ("PROD", "prod"), ("service-account", "service_account")]
        {
            let at = bytes.windows(good.len()).position(|window| window == good.as_bytes()).expect("it is there");
            let mut changed = bytes.clone();
            changed[at..at + good.len()].copy_from_slice(other.as_bytes());
            assert_eq!(StoredHeader::decode(&changed), Err(Fault::Spelling), "{other}");
        }
    }

    #[test]
    fn a_time_that_rfc_3339_cannot_write_is_refused() {
        let mut stored = stored();
        stored.header.captured_at = datetime!(0000-01-01 00:00 +1);
        assert_eq!(stored.encode(), Err(Fault::Time));
        stored.header.captured_at = datetime!(9999-12-31 23:59 -1);
        assert_eq!(stored.encode(), Err(Fault::Time));
    }
}
