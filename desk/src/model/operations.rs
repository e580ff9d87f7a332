//! How the platform fares, as the API says it.

use serde::Deserialize;
use serde_json::Value;

use super::Actor;

#[derive(Debug, Deserialize)]
pub(crate) struct Health {
    pub(crate) ready: bool,
    pub(crate) faults: Vec<Fault>,
    pub(crate) behind: u64,
    pub(crate) version: String,
    pub(crate) started_at: String,
    pub(crate) tenants_refused: u64,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) nats_memory_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) found: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Finding {
    pub(crate) about: String,
    pub(crate) verdict: String,
    pub(crate) found: String,
    pub(crate) next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Figures {
    pub(crate) measured: bool,
    pub(crate) minutes: Vec<Minute>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Minute {
    pub(crate) at: String,
    pub(crate) appended: u64,
    pub(crate) append_median_ms: Option<f64>,
    pub(crate) append_p95_ms: Option<f64>,
    pub(crate) commands: u64,
    pub(crate) command_p95_ms: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Projections {
    pub(crate) journals: Vec<Followed>,
    pub(crate) items: Vec<Projection>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Followed {
    pub(crate) study: Option<String>,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) reflected: String,
    pub(crate) behind: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Projection {
    pub(crate) projection: String,
    pub(crate) version: u32,
    pub(crate) generation: u64,
    pub(crate) lag: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Rebuild {
    pub(crate) projection: Option<String>,
    pub(crate) by: String,
    pub(crate) started_at: String,
    pub(crate) stage: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) ended_at: Option<String>,
    pub(crate) failed: Option<String>,
    pub(crate) report: Vec<Rebuilt>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Rebuilt {
    pub(crate) projection: String,
    pub(crate) rows: u64,
    pub(crate) differences: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Standstill {
    pub(crate) study: Option<String>,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) reflected: String,
    pub(crate) behind: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Journal {
    pub(crate) journal: String,
    pub(crate) study: Option<String>,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) incarnation: Option<u64>,
    pub(crate) replicas: u64,
    pub(crate) signed_size: Option<u64>,
    pub(crate) signed_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Streams {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) items: Vec<Stream>,
    pub(crate) next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Kind {
    pub(crate) aggregate: String,
    pub(crate) streams: u64,
    pub(crate) commits: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Stream {
    pub(crate) aggregate: String,
    pub(crate) id: String,
    pub(crate) commits: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Commits {
    pub(crate) items: Vec<Commit>,
    pub(crate) next: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Commit {
    pub(crate) sequence: u64,
    pub(crate) aggregate: String,
    pub(crate) id: String,
    pub(crate) revision: u64,
    pub(crate) facts: Vec<String>,
    pub(crate) stored_at: String,
    pub(crate) captured_at: String,
    pub(crate) actor: Actor,
    pub(crate) environment: String,
    pub(crate) command: String,
    pub(crate) hash: String,
    pub(crate) previous: String,
    pub(crate) bytes: u64,
    pub(crate) scopes: Vec<String>,
}

impl Commit {
    /// So much of the hash that one commit is told from another by sight.
    pub(crate) fn short_hash(&self) -> &str {
        self.hash.get(..12).unwrap_or(&self.hash)
    }

    /// The same of who acted.
    pub(crate) fn short_actor(&self) -> &str {
        self.actor.id.get(..8).unwrap_or(&self.actor.id)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Opened {
    pub(crate) structure: Vec<Fact>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Fact {
    pub(crate) fact: String,
    pub(crate) version: u32,
    pub(crate) structure: Value,
}

impl Fact {
    /// The structure, to be read by people.
    pub(crate) fn lines(&self) -> String {
        serde_json::to_string_pretty(&self.structure).unwrap_or_default()
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Opening {
    pub(crate) at: String,
    pub(crate) user: String,
    pub(crate) study: Option<String>,
    pub(crate) sequence: u64,
    pub(crate) reason: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Keys {
    pub(crate) root: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) off_site: Option<String>,
    pub(crate) shipped_at: Option<String>,
    pub(crate) shipped_root: u64,
    pub(crate) not_shipped_yet: u64,
    pub(crate) superseded: bool,
    pub(crate) rotations: Vec<Rotation>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Rotation {
    pub(crate) at: String,
    pub(crate) root_before: u64,
    pub(crate) root_after: u64,
    pub(crate) targets: u64,
    pub(crate) keys_destroyed: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Kms {
    pub(crate) kind: String,
    pub(crate) device: String,
    pub(crate) exportable: bool,
    pub(crate) limits: String,
    pub(crate) living_roots: Vec<u64>,
    pub(crate) rotation_under_way: bool,
    pub(crate) public_key: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Backups {
    pub(crate) scheduled: bool,
    pub(crate) every_seconds: Option<u64>,
    pub(crate) newest: Option<String>,
    pub(crate) age_seconds: Option<i64>,
    pub(crate) last_verified: Option<String>,
    pub(crate) last_restored: Option<String>,
    pub(crate) failed: Option<String>,
    pub(crate) record_verified: Option<String>,
    pub(crate) record_damages: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SignIns {
    pub(crate) hours: Vec<Hour>,
    pub(crate) items: Vec<SignIn>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Hour {
    pub(crate) at: String,
    pub(crate) begun: u64,
    pub(crate) failed: u64,
    pub(crate) locked: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SignIn {
    pub(crate) at: String,
    pub(crate) what: String,
    pub(crate) user: String,
    pub(crate) by: String,
    pub(crate) cause: Option<String>,
    pub(crate) locked_until: Option<String>,
    pub(crate) name: Option<String>,
}
