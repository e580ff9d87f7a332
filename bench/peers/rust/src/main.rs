//! Drives one event store: reads what to do from stdin, one JSON object a line, and answers each with a line of its own.
//! The first argument says which store. What is asked and answered is in `ask.rs`.
#![forbid(unsafe_code)]

mod ask;
mod cqrs;
mod dcb;
mod pgcrypto;
mod rounds;
mod seal;
mod uma;

use std::error::Error;

use sqlx::postgres::{PgPool, PgPoolOptions};

/// Whatever goes wrong ends the run: nothing is measured that did not succeed.
type Fault = Box<dyn Error + Send + Sync>;

/// As many connections as there may be clients.
const CONNECTIONS: u32 = 64;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let which = std::env::args().nth(1).ok_or("which store? cqrs-es, disintegrate, pgcrypto or umadb")?;
    let (mut asked, start) = ask::Asked::start().await?;
    let people = rounds::people(&start.people)?;
    match which.as_str() {
        "cqrs-es" => asked.answer(cqrs::Store::open(pool(&start.url).await?).await?, people, start.text).await,
        "disintegrate" => asked.answer(dcb::Store::open(pool(&start.url).await?).await?, people, start.text).await,
        "pgcrypto" => asked.answer(pgcrypto::Store::open(pool(&start.url).await?).await?, people, start.text).await,
        "umadb" => asked.answer(uma::Store::open(&start.url).await?, people, start.text).await,
        other => Err(format!("there is no store {other}").into()),
    }
}

async fn pool(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new().max_connections(CONNECTIONS).connect(url).await
}
