//! Commands one by one over HTTP, by one client and by many, beside single conditional publishes by as many clients.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::history::JournalId;
use domain::ids::TenantId;
use infra::journal::{Outgoing, Provisioner, Wire, connect};
use infra::nats_server::{NatsServer, NatsServerOptions, TenantAccount, locate_or_install};
use serde_json::{Value, json};

use super::figures::{Figure, Figures, median, percentile};
use super::fill::participant;
use super::ground::{Ground, ITEMS, SITES, STUDY, Scene, item, visit};
use super::{Plan, fill};
use crate::cli::{ApiError, CliError, Client};
use crate::platform::random_id;

/// How many values a command carries: a small form.
const VALUES: u32 = 4;

/// What the raw message holds, bytes: about what a sealed commit of so many values takes.
const RAW_BYTES: usize = 1024;

/// How many visits there are to save at.
const VISITS: u32 = 50;

/// No more connections than this are opened for the raw publishes: a connection carries many clients.
const CONNECTIONS: usize = 16;

/// How often, by how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendPlan {
    /// Numbers of clients that send side by side, each its next command once the last was answered.
    pub clients: Vec<usize>,
    /// How many commands each of several clients' rounds has; one client sends a fifth of it.
    pub commands: usize,
    /// How many rounds, ours and the raw limit in turn.
    pub rounds: usize,
}

/// Measures how many commands a second are answered as durable.
///
/// # Errors
/// Whatever is refused or does not answer.
pub async fn append(plan: &AppendPlan, ground: &Ground) -> Result<Figures, CliError> {
    let people = people_for(plan);
    let study =
        Plan { participants: people, values: VISITS * ITEMS, clients: 1, requests: 1, rounds: 1, formats: vec![] };
    let scene = ground.open(&study).await?;
    fill::register(&scene, people).await?;
    let raw = Raw::start(&ground.folder().join("raw")).await?;
    let mut figures = Figures::about(json!({
        "clients": plan.clients, "commands": plan.commands, "rounds": plan.rounds, "values": VALUES,
        "raw_bytes": RAW_BYTES, "sync": "always", "replicas": 1,
    }));
    let next = AtomicUsize::new(0);
    for clients in &plan.clients {
        figures.results.push(measure(plan, *clients, &scene, &raw, (&next, people)).await?);
    }
    raw.server.shutdown().await;
    scene.close();
    Ok(figures)
}

fn people_for(plan: &AppendPlan) -> u32 {
    let per_client = |clients: &usize| commands(plan, *clients) * (plan.rounds + 1);
    let all: usize = plan.clients.iter().map(per_client).sum();
    // Each visit of each participant is saved once, and no stream gets longer than twenty commits for it.
    u32::try_from(all.div_ceil(20)).unwrap_or(u32::MAX).max(SITES)
}

fn commands(plan: &AppendPlan, clients: usize) -> usize {
    if clients == 1 { plan.commands.div_ceil(5) } else { plan.commands }
}

async fn measure(
    plan: &AppendPlan,
    clients: usize,
    scene: &Scene,
    raw: &Raw,
    (next, people): (&AtomicUsize, u32),
) -> Result<Figure, CliError> {
    let commands = commands(plan, clients);
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    let (mut times, mut raw_times) = (Vec::new(), Vec::new());
    for round in 0..=plan.rounds {
        let from = next.fetch_add(commands, Ordering::Relaxed);
        let (rate, mut took) = side_by_side(clients, commands, |n| save(&scene.integrator, from + n, people)).await?;
        let (raw_rate, mut raw_took) = side_by_side(clients, commands, |n| raw.publish(n)).await?;
        // The first round opens connections and fills caches.
        if round > 0 {
            ours.push(rate);
            limits.push(raw_rate);
            times.append(&mut took);
            raw_times.append(&mut raw_took);
        }
    }
    let ((ours, spread), (limit, _)) = (median(ours), median(limits));
    let more = vec![
        ("p50_ms", percentile(&mut times, 0.5)),
        ("p99_ms", percentile(&mut times, 0.99)),
        ("raw_p50_ms", percentile(&mut raw_times, 0.5)),
        ("raw_p99_ms", percentile(&mut raw_times, 0.99)),
    ];
    Ok(Figure { name: format!("append.http.{clients}"), ours, raw: limit, unit: "1/s", spread, more })
}

/// Lets `clients` do `work` so often in all, each its next once the last is done. How many were done a second, and how long
/// each took.
async fn side_by_side<F, W>(clients: usize, work: usize, one: F) -> Result<(f64, Vec<Duration>), CliError>
where
    F: Fn(usize) -> W,
    W: Future<Output = Result<(), ApiError>> + Send + 'static,
{
    let pieces: Vec<W> = (0..work).map(one).collect();
    let pieces = Arc::new(std::sync::Mutex::new(pieces.into_iter().rev().collect::<Vec<_>>()));
    let begun = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let pieces = pieces.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let piece = pieces.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
                    let Some(piece) = piece else { return Ok::<_, ApiError>(times) };
                    let begun = Instant::now();
                    piece.await?;
                    times.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut times = Vec::with_capacity(work);
    for client in clients {
        times.extend(client.await.map_err(|error| CliError::failed("a client", error))??);
    }
    Ok((work as f64 / begun.elapsed().as_secs_f64(), times))
}

/// The `n`th command: a form of somebody who has none at that visit yet.
fn save(client: &Client, n: usize, people: u32) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    let (who, when) = (n % people, n / people);
    let items: Vec<Value> = (0..VALUES)
        .map(|i| json!({"group": "G", "item": item(i), "value": format!("{}.5", 40 + (n + i) % 100)}))
        .collect();
    let command = json!({"type": "save-items", "visit": visit(when), "form": "F", "items": items});
    let path = format!("/v1/studies/{STUDY}/participants/{}", participant(who));
    let client = client.clone();
    async move { client.command(&path, random_id(), None, None, &command).await.map(drop) }
}

/// A server of the same kind with the same settings, on the same disk, that holds nothing else.
struct Raw {
    server: NatsServer,
    wires: Vec<Wire>,
    written: AtomicUsize,
}

impl Raw {
    async fn start(folder: &Path) -> Result<Self, CliError> {
        let binary = tokio::task::spawn_blocking(|| locate_or_install(|step| note!("{step}")));
        let binary = binary.await.map_err(CliError::unavailable)?.map_err(CliError::unavailable)?;
        let account = TenantAccount::new("raw").map_err(CliError::unavailable)?;
        let server = NatsServer::start(NatsServerOptions::within(binary, folder, vec![account])).await;
        let server = server.map_err(CliError::unavailable)?;
        let tenant: TenantId = "raw".parse().expect("a valid tenant id");
        let logins = server.credentials("raw").ok_or_else(|| CliError::failed("the raw server", "no logins"))?;
        let provisioner = connect(logins.provisioner.connect_options(), server.url(), "bench").await;
        let provisioner = Provisioner::new(provisioner.map_err(CliError::unavailable)?, 1);
        provisioner.tenant(&tenant).await.map_err(CliError::unavailable)?;
        let journal = JournalId { tenant, study: Some("limit".parse().expect("a valid study id")) };
        provisioner.journal(&journal).await.map_err(CliError::unavailable)?;
        let mut wires = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = connect(logins.service.connect_options(), server.url(), "bench").await;
            wires.push(Wire::new(client.map_err(CliError::unavailable)?));
        }
        Ok(Self { server, wires, written: AtomicUsize::new(0) })
    }

    /// One message to a subject of its own, which must not have been written to.
    fn publish(&self, n: usize) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
        let unique = self.written.fetch_add(1, Ordering::Relaxed);
        let message = Outgoing::new(format!("evt.raw.limit.participant.{unique}"), vec![0x5a; RAW_BYTES]).expecting(0);
        let wire = self.wires[n % self.wires.len()].clone();
        async move { wire.publish(message).await.map(drop).map_err(|refusal| ApiError::local(refusal.to_string())) }
    }
}
