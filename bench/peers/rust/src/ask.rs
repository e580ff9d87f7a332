//! What is asked, and how it is answered.

use std::io::Write as _;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use uuid::Uuid;

use crate::Fault;
use crate::rounds::{self, Person};
use crate::seal;

/// A place that keeps commits.
pub(crate) trait Store: Send + Sync + 'static {
    /// Seals a text under the person's key and appends it, expecting that nothing came since; durable when it returns.
    fn append(&self, person: &Person, text: &str) -> impl Future<Output = Result<(), Fault>> + Send;

    /// All texts of a person, opened with this key.
    fn read(&self, person: Uuid, key: &seal::Key) -> impl Future<Output = Result<Vec<String>, Fault>> + Send;

    /// How many appends were sent again because the store took two that did not touch each other for a conflict.
    fn again(&self) -> u64 {
        0
    }
}

/// The first line: where the store is, who there is with which key (in hex), what a commit says.
#[derive(Deserialize)]
pub(crate) struct Start {
    pub(crate) url: String,
    pub(crate) people: Vec<(Uuid, String)>,
    pub(crate) text: String,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Ask {
    /// So many commits by so many clients, each its next once the last is durable.
    Append { clients: usize, commits: usize },
    /// One commit of the person of that number.
    Write { person: usize, text: String },
    /// What can be read of a person with this key.
    Read { person: Uuid, key: String },
}

pub(crate) struct Asked {
    lines: Lines<BufReader<Stdin>>,
}

impl Asked {
    pub(crate) async fn start() -> Result<(Self, Start), Fault> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let first = lines.next_line().await?.ok_or("nothing was asked")?;
        Ok((Self { lines }, serde_json::from_str(&first)?))
    }

    pub(crate) async fn answer<S: Store>(&mut self, store: S, people: Vec<Person>, text: String) -> Result<(), Fault> {
        let (store, people): (_, Arc<[Person]>) = (Arc::new(store), people.into());
        say(&json!({"ready": true}))?;
        while let Some(line) = self.lines.next_line().await? {
            let answer = match serde_json::from_str(&line)? {
                Ask::Append { clients, commits } => {
                    let before = store.again();
                    let mut answer = rounds::side_by_side(&store, &people, &text, clients, commits).await?;
                    answer["again"] = json!(store.again() - before);
                    answer
                }
                Ask::Write { person, text } => {
                    store.append(&people[person], &text).await?;
                    json!({})
                }
                Ask::Read { person, key } => match store.read(person, &seal::key(&key)?).await {
                    Ok(texts) => json!({"texts": texts}),
                    Err(fault) => json!({"texts": [], "fault": fault.to_string()}),
                },
            };
            say(&answer)?;
        }
        Ok(())
    }
}

fn say(answer: &Value) -> Result<(), Fault> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    Ok(out.flush()?)
}
