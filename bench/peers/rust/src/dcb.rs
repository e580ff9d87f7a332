//! disintegrate with disintegrate-postgres: its event store, which refuses if the person's query would bring news.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use disintegrate::serde::json::Json;
use disintegrate::{Event, EventStore as _, StreamItem, query};
use disintegrate_postgres::{Error, PgEventStore};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::rounds::Person;
use crate::{Fault, ask, seal};

/// Transactions are serializable, so PostgreSQL takes some that do not touch each other for a conflict.
const TRIES: usize = 1000;

/// PostgreSQL's word for that.
const SERIALIZATION_FAILURE: &str = "40001";

/// What its migration leaves undone before PostgreSQL 16, which does not know hexadecimal numbers: word for word, with the
/// number in decimal.
const BEFORE_16: [&str; 3] = [
    "CREATE OR REPLACE FUNCTION event_store_begin_epoch() RETURNS void AS $$
    DECLARE
        id BIGINT;
        db_id INT;
    BEGIN
        SELECT last_value INTO id FROM seq_event_event_id;
        SELECT oid INTO db_id FROM pg_database WHERE datname = current_database();
        PERFORM pg_try_advisory_xact_lock_shared(db_id, 0);
        PERFORM pg_try_advisory_xact_lock_shared(1, (id & 4294967295)::bit(32)::integer);
        PERFORM pg_try_advisory_xact_lock_shared(2, (id >> 32)::bit(32)::integer);
    END;
    $$ LANGUAGE plpgsql",
    "ALTER TABLE event ADD COLUMN IF NOT EXISTS person UUID",
    "CREATE INDEX IF NOT EXISTS idx_event_person ON event (person) WHERE person IS NOT NULL",
];

#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
enum Happened {
    Saved {
        #[id]
        person: Uuid,
        sealed: String,
    },
}

pub(crate) struct Store {
    store: PgEventStore<Happened, Json<Happened>>,
    again: AtomicU64,
}

impl Store {
    pub(crate) async fn open(pool: PgPool) -> Result<Self, Fault> {
        let store = match PgEventStore::try_new(pool.clone(), Json::default()).await {
            Err(Error::Migration(_)) => {
                for statement in BEFORE_16 {
                    sqlx::query(statement).execute(&pool).await?;
                }
                PgEventStore::new_uninitialized(pool, Json::default())
            }
            made => made?,
        };
        Ok(Self { store, again: AtomicU64::new(0) })
    }
}

impl ask::Store for Store {
    async fn append(&self, person: &Person, text: &str) -> Result<(), Fault> {
        let sealed = BASE64_STANDARD.encode(seal::seal(&person.key, person.id, text)?);
        let event = Happened::Saved { person: person.id, sealed };
        for _ in 0..TRIES {
            let theirs = query!(Happened; person == person.id);
            match self.store.append(vec![event.clone()], theirs, person.at()).await {
                Ok(done) => {
                    person.is_at(done.last().ok_or("an append without an event")?.id());
                    return Ok(());
                }
                Err(error) if is_conflict(&error) => self.again.fetch_add(1, Ordering::Relaxed),
                Err(error) => return Err(error.into()),
            };
        }
        Err("conflicts without end".into())
    }

    async fn read(&self, person: Uuid, key: &seal::Key) -> Result<Vec<String>, Fault> {
        use futures_util::StreamExt as _;
        let theirs = query!(Happened; person == person);
        let (mut texts, mut events) = (Vec::new(), self.store.stream(&theirs));
        while let Some(item) = events.next().await {
            if let StreamItem::Event(event) = item? {
                let Happened::Saved { sealed, .. } = event.into_inner();
                texts.push(seal::open(key, person, &BASE64_STANDARD.decode(sealed)?)?);
            }
        }
        Ok(texts)
    }

    fn again(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }
}

fn is_conflict(error: &Error) -> bool {
    match error {
        Error::Concurrency => true,
        Error::Database(error) => {
            error.as_database_error().and_then(|error| error.code()).as_deref() == Some(SERIALIZATION_FAILURE)
        }
        _ => false,
    }
}
