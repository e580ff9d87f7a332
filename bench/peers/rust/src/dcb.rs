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
        Ok(Self { store: PgEventStore::try_new(pool, Json::default()).await?, again: AtomicU64::new(0) })
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
