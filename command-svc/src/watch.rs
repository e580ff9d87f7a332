//! Looks at what is read and at who tries to sign in, and opens an incident where a rule finds too much of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::history::{Aggregate, StreamId};
use domain::ids::{Environment, IncidentId, TenantId};
use domain::incident::watch::{Limits, Sighting, Watch};
use domain::incident::{Alert, Command, Incident};
use domain::permit::Principal;
use domain::port::Watching;
use serde::Deserialize;
use tracing::Level;

use crate::commands::Commands;

/// How often it is tried to open an incident: what was noticed must not be lost because a disk was slow.
const TRIES: u32 = 5;

/// How much is too much, where nothing else is said and at some tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// At every tenant that is not named.
    pub limits: Limits,
    /// At these.
    pub tenants: BTreeMap<TenantId, Limits>,
}

impl Rules {
    fn of(&self, tenant: &TenantId) -> &Limits {
        self.tenants.get(tenant).unwrap_or(&self.limits)
    }
}

/// The watch of one process, over all its tenants.
pub struct Watcher {
    commands: Arc<Commands>,
    rules: Rules,
    watches: Mutex<BTreeMap<TenantId, Watch>>,
}

impl Watcher {
    /// Watches by these rules.
    pub fn new(commands: Arc<Commands>, rules: Rules) -> Arc<Self> {
        Arc::new(Self { commands, rules, watches: Mutex::default() })
    }

    fn raise(&self, tenant: &TenantId, alert: Alert) {
        let (rule, count) = (alert.rule.as_str(), alert.count);
        tracing::warn!(%tenant, rule, count, "a rule of detection found more than it lets pass: an incident is opened");
        tracing::event!(target: "metrics", Level::WARN, monotonic_counter.lethe_security_alerts = 1_u64, rule);
        let (commands, tenant) = (Arc::clone(&self.commands), tenant.clone());
        tokio::spawn(async move { open(&commands, &tenant, alert).await });
    }
}

async fn open(commands: &Arc<Commands>, id: &TenantId, alert: Alert) {
    let incident = IncidentId(commands.dice.uuid());
    let stream = StreamId::in_tenant(id, Aggregate::Incident, incident);
    // Of the tenant, and of no study: it is real even where a study is a test.
    let request = commands.request(Principal::system(id.clone(), Environment::Prod));
    let command = Command::Open { alert };
    for attempt in 1..=TRIES {
        let Some(tenant) = commands.tenants.tenant(id) else { return };
        match commands.execute::<Incident>(&tenant, &stream, &command, &request).await {
            Ok(_) => return,
            Err(refusal) => {
                tracing::error!(tenant = %id, %incident, %refusal, attempt, "an incident could not be opened")
            }
        }
        tokio::time::sleep(std::time::Duration::from_secs(1 << attempt)).await;
    }
}

impl Watching for Watcher {
    fn saw(&self, tenant: &TenantId, sighting: Sighting) {
        let now = self.commands.clock.now();
        let alerts = {
            let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
            watches.entry(tenant.clone()).or_default().take(&sighting, self.rules.of(tenant), now)
        };
        alerts.into_iter().for_each(|alert| self.raise(tenant, alert));
    }
}
