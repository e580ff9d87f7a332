//! PostgreSQL with pgcrypto: one statement seals under the person's key, which stands in a table, and inserts.

use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use crate::rounds::Person;
use crate::{Fault, ask, seal};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS commits (
    person uuid NOT NULL, revision bigint NOT NULL, sealed bytea NOT NULL, PRIMARY KEY (person, revision))";

/// The key is random, so it needs no stretching: a salt is enough. (pgcrypto has no authenticated cipher but PGP's.)
const APPEND: &str = "INSERT INTO commits (person, revision, sealed)
    SELECT person, $2, pgp_sym_encrypt($3, encode(key, 'hex'), 'cipher-algo=aes256, s2k-mode=1, compress-algo=0')
    FROM person_keys WHERE person = $1";

const READ: &str = "SELECT pgp_sym_decrypt(sealed, $2) FROM commits WHERE person = $1 ORDER BY revision";

pub(crate) struct Store(PgPool);

impl Store {
    pub(crate) async fn open(pool: PgPool) -> Result<Self, Fault> {
        sqlx::query("CREATE EXTENSION IF NOT EXISTS pgcrypto").execute(&pool).await?;
        sqlx::query(TABLE).execute(&pool).await?;
        Ok(Self(pool))
    }
}

impl ask::Store for Store {
    async fn append(&self, person: &Person, text: &str) -> Result<(), Fault> {
        let revision = person.at() + 1;
        let done = sqlx::query(APPEND).bind(person.id).bind(revision).bind(text).execute(&self.0).await?;
        if done.rows_affected() != 1 {
            return Err("there is no key of this person".into());
        }
        person.is_at(revision);
        Ok(())
    }

    async fn read(&self, person: Uuid, key: &seal::Key) -> Result<Vec<String>, Fault> {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let rows = sqlx::query(READ).bind(person).bind(hex).fetch_all(&self.0).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
