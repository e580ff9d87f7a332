//! The doors by which a command comes in: HTTP, and the second one.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::ids::TenantId;
use domain::port::Asked;
use infra::nats_server::NatsLogin;
use infra::requests::DoorClient;
use serde_json::{Value, json};
use uuid::Uuid;

use super::VALUES;
use crate::bench::fill::{participant, sequence};
use crate::bench::ground::{STUDY, Scene, TENANT, item, visit};
use crate::cli::{ApiError, CliError, Client};
use crate::platform::random_id;

/// No more connections than this are opened for the second door: a connection carries many clients.
const CONNECTIONS: usize = 16;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that is being sent.
pub(super) type Sent = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send>>;

/// Those that are measured.
pub(super) struct Doors {
    doors: Vec<Door>,
    last: Last,
}

/// The last sequence that was answered.
type Last = Arc<AtomicU64>;

/// One of them.
pub(super) struct Door {
    by: By,
    last: Last,
}

enum By {
    Http(Client),
    Nats { clients: Vec<DoorClient>, token: String },
}

impl Doors {
    pub(super) async fn of(scene: &Scene, names: &[String]) -> Result<Self, CliError> {
        let (mut doors, last) = (Vec::new(), Last::default());
        for name in names {
            let by = match name.as_str() {
                "http" => By::Http(scene.integrator.clone()),
                "nats" => By::second(scene).await?,
                other => return Err(CliError::input(format!("there is no door {other}: http, nats"))),
            };
            doors.push(Door { by, last: last.clone() });
        }
        Ok(Self { doors, last })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Door> {
        self.doors.iter()
    }

    /// The last sequence that was answered by any of them.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

impl By {
    /// With the login that an operator hands to integrators.
    async fn second(scene: &Scene) -> Result<Self, CliError> {
        let login = scene.operator().post("/v1/admin/nats/login", &json!({"tenant": TENANT})).await?.body;
        let text = |name: &str| login[name].as_str().unwrap_or_default().to_owned();
        let (url, login) = (text("url"), NatsLogin::given(&text("user"), text("password")));
        let tenant: TenantId = TENANT.parse().expect("a valid tenant id");
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(DoorClient::connect(&login, &url, &tenant).await.map_err(CliError::unavailable)?);
        }
        Ok(Self::Nats { clients, token: scene.integrator.token().to_owned() })
    }
}

impl Door {
    pub(super) fn name(&self) -> &'static str {
        match self.by {
            By::Http(_) => "http",
            By::Nats { .. } => "nats",
        }
    }

    /// The `n`th command to a crowd: a form of somebody who has none at that visit yet.
    pub(super) fn save(&self, n: usize, crowd: &Range<u32>) -> Sent {
        let (who, command) = command(n, crowd);
        let last = self.last.clone();
        let answered = move |position: Option<&str>| {
            last.fetch_max(position.and_then(sequence).unwrap_or_default(), Ordering::Relaxed);
        };
        match &self.by {
            By::Http(client) => {
                let (client, path) = (client.clone(), format!("/v1/studies/{STUDY}/participants/{who}"));
                Box::pin(async move {
                    let reply = client.command(&path, random_id(), None, None, &command).await?;
                    answered(reply.position.as_deref());
                    Ok(())
                })
            }
            By::Nats { clients, token } => {
                let client = clients[n % clients.len()].clone();
                let asked = Asked {
                    to: [STUDY, "participant", &who.to_string()].map(str::to_owned).to_vec(),
                    headers: vec![
                        ("Authorization".to_owned(), format!("Bearer {token}")),
                        ("Idempotency-Key".to_owned(), random_id().to_string()),
                    ],
                    body: command.to_string().into_bytes(),
                };
                Box::pin(async move {
                    let reply = client.ask(asked, PATIENCE).await;
                    let reply = reply.map_err(|failure| ApiError::local(failure.to_string()))?;
                    if !(200..300).contains(&reply.status) {
                        return Err(ApiError::local(format!("the second door answered {}", reply.status)));
                    }
                    let position = reply.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("lethe-position"));
                    answered(position.map(|(_, position)| position.as_str()));
                    Ok(())
                })
            }
        }
    }
}

fn command(n: usize, crowd: &Range<u32>) -> (Uuid, Value) {
    let (n, people) = (u32::try_from(n).unwrap_or(u32::MAX), crowd.end - crowd.start);
    let (who, when) = (crowd.start + n % people, n / people);
    let items: Vec<Value> = (0..VALUES)
        .map(|i| json!({"group": "G", "item": item(i), "value": format!("{}.5", 40 + (n + i) % 100)}))
        .collect();
    let command = json!({"type": "save-items", "visit": visit(when), "form": "F", "items": items});
    (participant(who), command)
}
