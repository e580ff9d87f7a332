//! What one shred costs, by the number of keys in the tree: on a real nats-server that syncs every write, with the file
//! KMS and an off-site folder. The time spent in the KMS and off-site is told apart: it is theirs. `docs/shred-cost.md`
//! has figures, and what each of them means.

mod meter;
mod raw;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::history::DataSubject;
use domain::ids::TenantId;
use domain::port::{Keys as _, Kms, OffSite, Target};
use domain::scope::{Part, Scope};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use infra::journal::{JetStreamNodes, Provisioner, connect};
use infra::keys::{KeyTree, Options};
use infra::nats_server::{NatsServer, NatsServerOptions, TenantAccount, locate_or_install};
use serde_json::{Value, json};

use self::meter::{Meter, Timed, Told, by_kind};
use self::raw::Raw;
use super::ground::Ground;
use crate::cli::CliError;
use crate::platform::random_id;

/// How many people are enrolled side by side: they share writes.
const SIDE_BY_SIDE: usize = 2048;

/// How many shreds are measured at each size.
const SHREDS: usize = 21;

/// Measures a shred at each of `sizes` (numbers of keys, ascending), in one run on one tree.
///
/// # Errors
/// Whatever keeps it from going on.
pub async fn run(sizes: &[usize], ground: &Ground, quiet: bool) -> Result<Value, CliError> {
    let mut bench = Bench::start(ground).await?;
    let bar = bar(sizes.last().copied().unwrap_or_default(), quiet);
    let (mut people, mut rows) = (Vec::new(), Vec::new());
    for size in sizes {
        let took = bench.enrol(&mut people, *size, &bar).await?;
        rows.push(bench.measure(&mut people, *size).await?.json(took));
    }
    bar.finish_and_clear();
    bench.nats.shutdown().await;
    Ok(json!({"results": rows, "sync": "always", "shreds_each": SHREDS, "load": load()}))
}

struct Bench {
    nats: NatsServer,
    tree: Arc<KeyTree>,
    meter: Arc<Meter>,
    raw: Raw,
}

impl Bench {
    async fn start(ground: &Ground) -> Result<Self, CliError> {
        let [tenant, beside]: [TenantId; 2] = ["bench", "raw"].map(|id| id.parse().expect("a valid tenant id"));
        let binary = tokio::task::spawn_blocking(|| locate_or_install(|step| note!("{step}")));
        let binary = binary.await.map_err(CliError::unavailable)?.map_err(CliError::unavailable)?;
        let accounts = [&tenant, &beside].map(|tenant| TenantAccount::new(tenant.as_str()));
        let accounts: Result<Vec<_>, _> = accounts.into_iter().collect();
        let accounts = accounts.map_err(CliError::unavailable)?;
        let options = NatsServerOptions::within(binary, ground.data_dir().join("nats"), accounts);
        let nats = NatsServer::start(options).await.map_err(CliError::unavailable)?;
        let meter = Meter::new();
        let nodes = Arc::new(Told(meter.clone(), nodes(&nats, &tenant).await?));
        let raw = Raw::new(self::nodes(&nats, &beside).await?, ground.folder())?;
        let (kms, off_site) = ground.elsewhere(&tenant).await?;
        let kms: Arc<Timed<dyn Kms>> = Arc::new(Timed(meter.clone(), kms));
        let off_site: Arc<Timed<dyn OffSite>> = Arc::new(Timed(meter.clone(), off_site));
        let options = Options { off_site: Some(off_site), ..Options::default() };
        let tree = Arc::new(KeyTree::new(tenant, nodes, kms, options));
        tree.create().await.map_err(CliError::unavailable)?;
        Ok(Self { nats, tree, meter, raw })
    }

    /// Gives keys to as many new people as are lacking. Says how long it took.
    async fn enrol(&self, people: &mut Vec<DataSubject>, size: usize, bar: &ProgressBar) -> Result<Duration, CliError> {
        bar.set_message(format!("{size} keys"));
        let begun = Instant::now();
        let new: Vec<DataSubject> = (people.len()..size).map(|_| DataSubject(random_id())).collect();
        let keys = stream::iter(&new).map(|person| async {
            let parts = [(Scope::HealthClinical, Part::all())];
            self.tree.current_or_create(*person, &parts).await.map(|_| bar.inc(1))
        });
        let done: Result<Vec<()>, _> = keys.buffer_unordered(SIDE_BY_SIDE).try_collect().await;
        done.map_err(|error| CliError::failed("a key", error))?;
        let took = begun.elapsed();
        people.extend(new);
        // What was inserted goes off-site and into the key map now, as a service does it now and then, and not in the
        // time of the first shred.
        self.tree.ship_inserts().await.map_err(|failure| CliError::failed("shipping", failure))?;
        self.tree.key_map().await.map_err(|failure| CliError::failed("the key map", failure))?;
        Ok(took)
    }

    async fn measure(&mut self, people: &mut Vec<DataSubject>, size: usize) -> Result<Figures, CliError> {
        let mut figures = Figures::default();
        for _ in 0..SHREDS {
            let Some(data_subject) = people.pop() else { break };
            let target = [Target { data_subject, scope: Scope::HealthClinical, part: None }];
            let begun = Instant::now();
            self.tree.fence(&target).await.map_err(CliError::unavailable)?;
            figures.fence.push(begun.elapsed());
            drop(self.meter.take());
            let begun = Instant::now();
            let receipt = self.tree.shred(&target).await.map_err(CliError::unavailable)?;
            let whole = begun.elapsed();
            if receipt.keys_destroyed() != 1 {
                return Err(CliError::failed("a shred", "it did not destroy the one key that there was"));
            }
            let spent = self.meter.take();
            figures.own.push(whole.saturating_sub(spent.kms + spent.off_site));
            figures.kms.push(spent.kms);
            figures.off_site.push(spent.off_site);
            figures.asks.push(spent.questions.len());
            figures.asking.push(spent.asking);
            figures.write.push(spent.writing);
            figures.beyond_write.push(whole.saturating_sub(spent.kms + spent.off_site + spent.writing));
            figures.questions.extend(spent.questions);
            figures.raw_write.push(self.raw.write(&spent.written).await?);
            figures.raw_two.push(self.raw.write(&raw::in_fewer(&spent.written, 2)).await?);
            figures.raw_one.push(self.raw.write(&raw::in_fewer(&spent.written, 1)).await?);
            figures.sync.push(self.raw.sync()?);
        }
        (figures.keys, figures.resident) = (size, resident());
        Ok(figures)
    }
}

/// The nodes of a new tenant.
async fn nodes(nats: &NatsServer, tenant: &TenantId) -> Result<JetStreamNodes, CliError> {
    let logins = nats.credentials(tenant.as_str()).ok_or_else(|| CliError::unavailable("no account"))?;
    let client = connect(logins.provisioner.connect_options(), nats.url(), "lethe-drill").await;
    let provisioner = client.map_err(CliError::unavailable)?;
    Provisioner::new(provisioner, 1).tenant(tenant).await.map_err(CliError::unavailable)?;
    let client = connect(logins.service.connect_options(), nats.url(), "lethe-drill").await;
    Ok(JetStreamNodes::new(client.map_err(CliError::unavailable)?, tenant))
}

/// What was measured at one size, shred by shred.
#[derive(Default)]
struct Figures {
    keys: usize,
    fence: Vec<Duration>,
    own: Vec<Duration>,
    kms: Vec<Duration>,
    off_site: Vec<Duration>,
    /// How often the store was asked.
    asks: Vec<usize>,
    /// Each question of all shreds.
    questions: Vec<(&'static str, Duration)>,
    /// The time in which at least one was open: part of `own`.
    asking: Vec<Duration>,
    /// The one atomic write: part of `own`.
    write: Vec<Duration>,
    /// What is own work beside that write.
    beyond_write: Vec<Duration>,
    /// Another of the same shape, to a journal stream that holds nothing else.
    raw_write: Vec<Duration>,
    /// The same bytes in two messages, and in one, which is no batch but a publish.
    raw_two: Vec<Duration>,
    raw_one: Vec<Duration>,
    /// One block of a file, synced.
    sync: Vec<Duration>,
    resident: Option<u64>,
}

impl Figures {
    fn json(mut self, enrolled: Duration) -> Value {
        self.asks.sort_unstable();
        let ratio = ratio(&mut self.own, &mut self.raw_write);
        let shreds = self.own.len().max(1) as f64;
        let kinds = by_kind(self.questions);
        let kinds = kinds.into_iter().map(|(kind, (times, each))| {
            (kind.to_owned(), json!({"a_shred": tenths(times as f64 / shreds), "each": ms(&each)}))
        });
        let kinds: serde_json::Map<String, Value> = kinds.collect();
        json!({
            "name": format!("shred.{}", self.keys), "keys": self.keys, "unit": "ms",
            "own": median(&mut self.own), "own_min": self.own.first().map(ms), "own_max": self.own.last().map(ms),
            "write": median(&mut self.write), "raw_write": median(&mut self.raw_write), "ratio": ratio,
            "beyond_write": median(&mut self.beyond_write), "raw_two": median(&mut self.raw_two),
            "raw_one": median(&mut self.raw_one), "sync": median(&mut self.sync),
            "store_asks": self.asks.get(self.asks.len() / 2), "asking": median(&mut self.asking), "asked": kinds,
            "fence": median(&mut self.fence), "kms": median(&mut self.kms), "off_site": median(&mut self.off_site),
            "resident_kib": self.resident, "enrolled_s": tenths(enrolled.as_secs_f64()),
        })
    }
}

/// How busy the machine is, where the system tells: processes that run or wait, over the last minute.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// The memory of this process in KiB, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok())
}

fn ms(time: &Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

fn median(times: &mut [Duration]) -> Option<f64> {
    times.sort_unstable();
    times.get(times.len() / 2).map(ms)
}

/// Own work by an atomic write of the same shape: medians.
fn ratio(own: &mut [Duration], raw: &mut [Duration]) -> Option<f64> {
    own.sort_unstable();
    raw.sort_unstable();
    let (own, raw) = (own.get(own.len() / 2)?, raw.get(raw.len() / 2)?);
    (!raw.is_zero()).then(|| (own.as_secs_f64() / raw.as_secs_f64() * 100.0).round() / 100.0)
}

fn bar(keys: usize, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("creating {bar:40} {pos}/{len} keys, {eta} left: {msg}");
    ProgressBar::new(keys as u64).with_style(style.expect("the template is constant"))
}
