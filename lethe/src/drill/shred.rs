//! What one shred costs, by the number of keys in the tree: on a real nats-server that syncs every write, with the file
//! KMS and an off-site folder. The time spent in the KMS and off-site is told apart: it is theirs. `docs/shred-cost.md`
//! has figures, and what each of them means.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::history::DataSubject;
use domain::ids::TenantId;
use domain::port::{Destruction, Failure, HeadTag, Keys, Kms, KmsDescription, KmsError, OffSite, SwapError, Target};
use domain::scope::{Part, Scope};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use infra::journal::{JetStreamNodes, Provisioner, connect};
use infra::keys::{KeyTree, NodeStore, NodeWrite, NodeWriteError, Options, StoredNode};
use infra::nats_server::{NatsServer, NatsServerOptions, TenantAccount, locate_or_install};
use serde_json::{Value, json};

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
    let bench = Bench::start(ground).await?;
    let bar = bar(sizes.last().copied().unwrap_or_default(), quiet);
    let (mut people, mut rows) = (Vec::new(), Vec::new());
    for size in sizes {
        let took = bench.enrol(&mut people, *size, &bar).await?;
        rows.push(bench.measure(&mut people, *size).await?.json(took));
    }
    bar.finish_and_clear();
    bench.nats.shutdown().await;
    Ok(json!({"results": rows, "sync": "always", "shreds_each": SHREDS}))
}

struct Bench {
    nats: NatsServer,
    tree: Arc<KeyTree>,
    kms: Arc<Timed<dyn Kms>>,
    off_site: Arc<Timed<dyn OffSite>>,
    nodes: Arc<Told>,
}

impl Bench {
    async fn start(ground: &Ground) -> Result<Self, CliError> {
        let tenant: TenantId = "bench".parse().expect("a valid tenant id");
        let binary = tokio::task::spawn_blocking(|| locate_or_install(|step| note!("{step}")));
        let binary = binary.await.map_err(CliError::unavailable)?.map_err(CliError::unavailable)?;
        let account = TenantAccount::new(tenant.as_str()).map_err(CliError::unavailable)?;
        let options = NatsServerOptions::within(binary, ground.data_dir().join("nats"), vec![account]);
        let nats = NatsServer::start(options).await.map_err(CliError::unavailable)?;
        let logins = nats.credentials(tenant.as_str()).ok_or_else(|| CliError::unavailable("no account"))?;
        let client = connect(logins.provisioner.connect_options(), nats.url(), "lethe-drill").await;
        let provisioner = client.map_err(CliError::unavailable)?;
        Provisioner::new(provisioner, 1).tenant(&tenant).await.map_err(CliError::unavailable)?;
        let client = connect(logins.service.connect_options(), nats.url(), "lethe-drill").await;
        let nodes = Arc::new(Told::new(JetStreamNodes::new(client.map_err(CliError::unavailable)?, &tenant)));
        let (kms, off_site) = ground.elsewhere(&tenant).await?;
        let (kms, off_site) = (Arc::new(Timed::new(kms)), Arc::new(Timed::new(off_site)));
        let options = Options { off_site: Some(off_site.clone()), ..Options::default() };
        let tree = Arc::new(KeyTree::new(tenant, nodes.clone(), kms.clone(), options));
        tree.create().await.map_err(CliError::unavailable)?;
        Ok(Self { nats, tree, kms, off_site, nodes })
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

    async fn measure(&self, people: &mut Vec<DataSubject>, size: usize) -> Result<Figures, CliError> {
        let mut figures = Figures::default();
        for _ in 0..SHREDS {
            let Some(data_subject) = people.pop() else { break };
            let target = [Target { data_subject, scope: Scope::HealthClinical, part: None }];
            let begun = Instant::now();
            self.tree.fence(&target).await.map_err(CliError::unavailable)?;
            figures.fence.push(begun.elapsed());
            let (kms, off_site) = (self.kms.spent(), self.off_site.spent());
            let (asks, asking, write) = self.nodes.spent();
            let begun = Instant::now();
            let receipt = self.tree.shred(&target).await.map_err(CliError::unavailable)?;
            let whole = begun.elapsed();
            if receipt.keys_destroyed() != 1 {
                return Err(CliError::failed("a shred", "it did not destroy the one key that there was"));
            }
            let (kms, off_site) = (self.kms.spent() - kms, self.off_site.spent() - off_site);
            let spent = self.nodes.spent();
            figures.own.push(whole.saturating_sub(kms + off_site));
            figures.kms.push(kms);
            figures.off_site.push(off_site);
            figures.asks.push(spent.0 - asks);
            figures.asking.push(spent.1 - asking);
            figures.write.push(spent.2 - write);
        }
        (figures.keys, figures.resident) = (size, resident());
        Ok(figures)
    }
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
    asks: Vec<u64>,
    /// The time in which at least one question was open: part of `own`.
    asking: Vec<Duration>,
    /// The one atomic write: part of `own`.
    write: Vec<Duration>,
    resident: Option<u64>,
}

impl Figures {
    fn json(mut self, enrolled: Duration) -> Value {
        self.asks.sort_unstable();
        json!({
            "name": format!("shred.{}", self.keys), "keys": self.keys, "unit": "ms",
            "own": median(&mut self.own), "own_min": self.own.first().map(ms), "own_max": self.own.last().map(ms),
            "write": median(&mut self.write), "store_asks": self.asks.get(self.asks.len() / 2),
            "asking": median(&mut self.asking),
            "fence": median(&mut self.fence), "kms": median(&mut self.kms), "off_site": median(&mut self.off_site),
            "resident_kib": self.resident, "enrolled_s": (enrolled.as_secs_f64() * 10.0).round() / 10.0,
        })
    }
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

fn bar(keys: usize, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("creating {bar:40} {pos}/{len} keys, {eta} left: {msg}");
    ProgressBar::new(keys as u64).with_style(style.expect("the template is constant"))
}

/// A port that counts the time spent in it. Nothing here is asked for twice at once.
struct Timed<T: ?Sized> {
    nanos: AtomicU64,
    inner: Arc<T>,
}

impl<T: ?Sized> Timed<T> {
    fn new(inner: Arc<T>) -> Self {
        Self { nanos: AtomicU64::new(0), inner }
    }

    fn spent(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }

    async fn timed<R>(&self, work: impl Future<Output = R>) -> R {
        let begun = Instant::now();
        let result = work.await;
        self.nanos.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::SeqCst);
        result
    }
}

#[async_trait]
impl Kms for Timed<dyn Kms> {
    async fn create_root(&self, version: u64) -> Result<(), Failure> {
        self.timed(self.inner.create_root(version)).await
    }
    async fn wrap(&self, version: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.timed(self.inner.wrap(version, context, plain)).await
    }
    async fn unwrap(&self, version: u64, context: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.timed(self.inner.unwrap(version, context, wrapped)).await
    }
    async fn versions(&self) -> Result<BTreeSet<u64>, Failure> {
        self.timed(self.inner.versions()).await
    }
    async fn destroy(&self, version: u64) -> Result<Destruction, Failure> {
        self.timed(self.inner.destroy(version)).await
    }
    fn describe(&self) -> KmsDescription {
        self.inner.describe()
    }
}

#[async_trait]
impl OffSite for Timed<dyn OffSite> {
    async fn head(&self) -> Result<Option<(Vec<u8>, HeadTag)>, Failure> {
        self.timed(self.inner.head()).await
    }
    async fn swap_head(&self, expected: Option<&HeadTag>, bytes: &[u8]) -> Result<HeadTag, SwapError> {
        self.timed(self.inner.swap_head(expected, bytes)).await
    }
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.timed(self.inner.put(name, bytes)).await
    }
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.timed(self.inner.get(name)).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        self.timed(self.inner.list(prefix)).await
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// A store that counts what it is asked, and times what is written.
struct Told {
    inner: JetStreamNodes,
    asking: Mutex<Asking>,
    writing: AtomicU64,
}

/// Questions, many side by side.
#[derive(Clone, Copy, Default)]
struct Asking {
    asked: u64,
    open: u64,
    since: Option<Instant>,
    /// The time in which at least one was open.
    spent: Duration,
}

impl Told {
    fn new(inner: JetStreamNodes) -> Self {
        Self { inner, asking: Mutex::default(), writing: AtomicU64::new(0) }
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Questions so far with their time, and the time of all writes.
    fn spent(&self) -> (u64, Duration, Duration) {
        let asking = *self.asking();
        (asking.asked, asking.spent, Duration::from_nanos(self.writing.load(Ordering::SeqCst)))
    }

    async fn asked<R>(&self, question: impl Future<Output = R>) -> R {
        {
            let mut asking = self.asking();
            asking.asked += 1;
            asking.open += 1;
            asking.since.get_or_insert_with(Instant::now);
        }
        let answer = question.await;
        let mut asking = self.asking();
        asking.open -= 1;
        if asking.open == 0
            && let Some(since) = asking.since.take()
        {
            asking.spent += since.elapsed();
        }
        answer
    }
}

#[async_trait]
impl NodeStore for Told {
    async fn read(&self, place: &str) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        self.asked(self.inner.read(place)).await
    }
    async fn write(&self, writes: Vec<NodeWrite>) -> Result<Vec<u64>, NodeWriteError> {
        let begun = Instant::now();
        let written = self.inner.write(writes).await;
        self.writing.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::SeqCst);
        written
    }
    async fn changed_since(&self, after: u64) -> Result<Vec<StoredNode>, Failure> {
        self.asked(self.inner.changed_since(after)).await
    }
    async fn head(&self) -> Result<u64, Failure> {
        self.asked(self.inner.head()).await
    }
}
