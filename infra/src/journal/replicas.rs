//! One replica of a journal stream after the other.
//!
//! No request reaches a chosen replica: direct reads are answered by any of them, the others by the leader. So whoever
//! wants to see what one replica holds makes it the leader for as long as it is read. Nothing that is stored changes by
//! that; whoever writes meanwhile waits a moment.

use std::time::Duration;

use async_nats::Client;
use async_trait::async_trait;
use domain::history::{JournalId, StreamId};
use domain::ids::TenantId;
use domain::port::Failure;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::live::LiveJournals;
use super::names::journal_stream;
use super::raw::{RawMessage, RawReader};
use super::read::missing_or_unavailable;
use super::wire::Wire;
use crate::log::{JournalState, RawJournals};

/// How long a replica may take to become the leader.
const ELECTION: Duration = Duration::from_secs(20);
/// How often one that was made the leader may lose it again while it is read.
const TURNS: usize = 5;
/// A follower is heard of every second. One that was not for this long is not made the leader.
const QUIET: Duration = Duration::from_secs(3);
/// How long a replica that is down or behind is waited for.
const UNREADY: Duration = Duration::from_secs(6);
const POLL: Duration = Duration::from_millis(50);
/// So many messages are read before it is asked whether the leader is still the same.
const PAGE: u64 = 256;
/// So many requests are under way at a time.
const AT_ONCE: usize = 16;

/// Who holds a journal stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holders {
    /// Who leads; none: nobody at the moment.
    pub leader: Option<String>,
    /// All of them by their servers' names, the leader first. One: it is not replicated.
    pub all: Vec<String>,
}

/// The replicas of a tenant's journal streams. Reads through the service login, asks for leaders through the
/// provisioner's.
#[derive(Debug, Clone)]
pub struct Replicas {
    live: LiveJournals,
    client: Client,
    wire: Wire,
    mover: Wire,
}

/// Which server led when, so that a leader that was lost and won again is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reign {
    leader: Option<String>,
    since: Option<String>,
}

impl Replicas {
    /// Of `tenant`.
    pub fn new(service: Client, provisioner: Client, tenant: &TenantId) -> Self {
        Self {
            live: LiveJournals::new(service.clone(), tenant.clone()),
            wire: Wire::new(service.clone()),
            client: service,
            mover: Wire::new(provisioner),
        }
    }

    /// Who holds a journal stream, and who leads.
    ///
    /// # Errors
    /// `Missing` if there is none of that name.
    pub async fn holders(&self, journal: &JournalId) -> Result<Holders, Failure> {
        let info = self.info(journal).await?;
        let leader = info["cluster"]["leader"].as_str().map(str::to_owned);
        let others = info["cluster"]["replicas"].as_array().into_iter().flatten();
        let others = others.filter_map(|one| one["name"].as_str().map(str::to_owned));
        let all = leader.iter().cloned().chain(others).collect();
        Ok(Holders { leader, all })
    }

    /// Makes a replica the leader and waits until it is.
    ///
    /// # Errors
    /// `Unavailable` if it does not become the leader: it is down, or too far behind.
    pub async fn lead(&self, journal: &JournalId, server: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + ELECTION;
        let mut last = String::from("there is no leader");
        let mut asked: Option<Reign> = None;
        let unready = Instant::now() + UNREADY;
        while Instant::now() < deadline {
            let info = match self.info(journal).await {
                Ok(info) => info,
                // Between two leaders nobody answers.
                Err(Failure::Unavailable { cause, .. }) => {
                    last = cause;
                    sleep(POLL).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let reign = reign(&info);
            if reign.leader.as_deref() == Some(server) {
                return Ok(());
            }
            if asked.is_none() && !is_ready(&info, server) && Instant::now() > unready {
                return Err(Failure::unavailable("a replica", format!("{server} is down, or behind the leader")));
            }
            // Asked once of each leader: it may take a moment until the next one is there.
            if reign.leader.is_some() && asked.as_ref() != Some(&reign) && is_ready(&info, server) {
                let request = json!({ "placement": { "preferred": server } });
                let name = journal_stream(journal);
                match self.mover.api_once(&format!("STREAM.LEADER.STEPDOWN.{name}"), request).await {
                    Ok(_) => asked = Some(reign),
                    Err(refusal) => last = refusal.to_string(),
                }
            }
            sleep(POLL).await;
        }
        let cause = format!("{server} did not become the leader of {} ({last})", journal_stream(journal));
        Err(Failure::unavailable("a replica", cause))
    }

    /// What one replica holds of one journal stream. It is made the leader whenever it is read and is not.
    pub fn at<'a>(&'a self, journal: &JournalId, server: &str) -> Replica<'a> {
        Replica { replicas: self, journal: journal.clone(), server: server.to_owned() }
    }

    async fn info(&self, journal: &JournalId) -> Result<Value, Failure> {
        let name = journal_stream(journal);
        let info = self.wire.api(&format!("STREAM.INFO.{name}"), json!({})).await;
        info.map_err(|refusal| missing_or_unavailable(&name, refusal))
    }

    async fn reign(&self, journal: &JournalId) -> Result<Reign, Failure> {
        Ok(reign(&self.info(journal).await?))
    }
}

fn reign(info: &Value) -> Reign {
    let text = |name: &str| info["cluster"][name].as_str().map(str::to_owned);
    Reign { leader: text("leader"), since: text("leader_since") }
}

fn follower<'a>(info: &'a Value, server: &str) -> Option<&'a Value> {
    info["cluster"]["replicas"].as_array()?.iter().find(|one| one["name"] == server)
}

/// How long the leader has heard nothing of a follower.
fn silence(follower: &Value) -> Duration {
    follower["active"].as_u64().map_or(Duration::MAX, Duration::from_nanos)
}

/// A server that was killed counts as current for a while.
fn is_ready(info: &Value, server: &str) -> bool {
    follower(info, server).is_some_and(|one| one["current"] == true && silence(one) < QUIET)
}

/// One replica of one journal stream.
pub struct Replica<'a> {
    replicas: &'a Replicas,
    journal: JournalId,
    server: String,
}

impl Replica<'_> {
    /// Reads while this replica leads, and again if it did not all the time.
    async fn led<T, F>(&self, read: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        for _ in 0..TURNS {
            let before = self.replicas.reign(&self.journal).await;
            if !matches!(&before, Ok(reign) if reign.leader.as_deref() == Some(&*self.server)) {
                self.replicas.lead(&self.journal, &self.server).await?;
                continue;
            }
            let outcome = read().await;
            let after = self.replicas.reign(&self.journal).await;
            if matches!((&before, &after), (Ok(before), Ok(after)) if before == after) {
                return outcome;
            }
        }
        Err(Failure::unavailable("a replica", format!("{} does not stay the leader", self.server)))
    }

    async fn read(&self, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure> {
        let reader = RawReader::new(self.replicas.client.clone(), &self.journal);
        let reads = stream::iter(from..=through.min(from.saturating_add(PAGE - 1)));
        let mut reads = reads.map(|sequence| reader.at(sequence).map(move |read| (sequence, read))).buffered(AT_ONCE);
        let mut messages = Vec::new();
        while let Some((sequence, read)) = reads.next().await {
            match read? {
                Some(message) => messages.push(message),
                None if messages.is_empty() => {
                    let what = format!("journal stream {} on {}", reader.name(), self.server);
                    return Err(Failure::damaged(what, format!("message {sequence} cannot be read")));
                }
                None => break,
            }
        }
        Ok(messages)
    }

    /// The message at a sequence, if this replica can give it.
    ///
    /// # Errors
    /// If the replica does not become the leader, or does not stay it.
    pub async fn message(&self, sequence: u64) -> Result<Option<RawMessage>, Failure> {
        let reader = RawReader::new(self.replicas.client.clone(), &self.journal);
        self.led(|| reader.at(sequence)).await
    }
}

#[async_trait]
impl RawJournals for Replica<'_> {
    async fn journals(&self) -> Result<Vec<JournalId>, Failure> {
        Ok(vec![self.journal.clone()])
    }

    async fn state(&self, journal: &JournalId) -> Result<JournalState, Failure> {
        self.led(|| self.replicas.live.state(journal)).await
    }

    async fn page(&self, _: &JournalId, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure> {
        self.led(|| self.read(from.max(1), through)).await
    }

    async fn commits(&self, stream: &StreamId) -> Result<Vec<RawMessage>, Failure> {
        self.replicas.live.commits(stream).await
    }
}
