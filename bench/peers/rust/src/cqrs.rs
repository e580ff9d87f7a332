//! cqrs-es with postgres-es: its event repository, which refuses a sequence number that is taken.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository as _, SerializedEvent};
use cqrs_es::{Aggregate, DomainEvent};
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::rounds::Person;
use crate::{Fault, ask, seal};

/// The table of its manual.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS events (
    aggregate_type text NOT NULL, aggregate_id text NOT NULL, sequence bigint CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL, event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence))";

#[derive(Default, Serialize, Deserialize)]
struct Participant;

/// A form was saved. JSON holds no bytes, so what is sealed stands in base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Saved {
    sealed: String,
}

impl DomainEvent for Saved {
    fn event_type(&self) -> String {
        "Saved".into()
    }

    fn event_version(&self) -> String {
        "1.0".into()
    }
}

impl Aggregate for Participant {
    const TYPE: &'static str = "participant";
    type Command = ();
    type Event = Saved;
    type Error = std::convert::Infallible;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Self::Error> {
        Ok(())
    }

    fn apply(&mut self, _: Saved) {}
}

pub(crate) struct Store(PostgresEventRepository);

impl Store {
    pub(crate) async fn open(pool: PgPool) -> Result<Self, Fault> {
        sqlx::query(TABLE).execute(&pool).await?;
        Ok(Self(PostgresEventRepository::new(pool)))
    }
}

impl ask::Store for Store {
    async fn append(&self, person: &Person, text: &str) -> Result<(), Fault> {
        let event = Saved { sealed: BASE64_STANDARD.encode(seal::seal(&person.key, person.id, text)?) };
        let sequence = person.at() + 1;
        let event = SerializedEvent::new(
            person.id.to_string(),
            usize::try_from(sequence)?,
            Participant::TYPE.into(),
            event.event_type(),
            event.event_version(),
            serde_json::to_value(&event)?,
            json!({}),
        );
        self.0.persist::<Participant>(&[event], None).await?;
        person.is_at(sequence);
        Ok(())
    }

    async fn read(&self, person: Uuid, key: &seal::Key) -> Result<Vec<String>, Fault> {
        let events = self.0.get_events::<Participant>(&person.to_string()).await?;
        let open = |event: SerializedEvent| {
            let event: Saved = serde_json::from_value(event.payload)?;
            seal::open(key, person, &BASE64_STANDARD.decode(event.sealed)?)
        };
        events.into_iter().map(open).collect()
    }
}
