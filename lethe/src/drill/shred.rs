//! What one shred costs, by the number of keys in the tree: on a real nats-server that syncs every write, with the file
//! KMS and an off-site folder. The time spent in the KMS and off-site is told apart: it is theirs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::history::DataSubject;
use domain::ids::TenantId;
use domain::port::{Destruction, Failure, HeadTag, Keys, Kms, KmsDescription, KmsError, OffSite, SwapError, Target};
use domain::scope::{Part, Scope};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use infra::journal::{JetStreamNodes, Provisioner, connect};
use infra::keys::{KeyTree, Options};
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
        bench.enrol(&mut people, *size, &bar).await?;
        rows.push(bench.measure(&mut people, *size).await?);
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
        let nodes = Arc::new(JetStreamNodes::new(client.map_err(CliError::unavailable)?, &tenant));
        let (kms, off_site) = ground.elsewhere(&tenant).await?;
        let (kms, off_site) = (Arc::new(Timed::new(kms)), Arc::new(Timed::new(off_site)));
        let options = Options { off_site: Some(off_site.clone()), ..Options::default() };
        let tree = Arc::new(KeyTree::new(tenant, nodes, kms.clone(), options));
        tree.create().await.map_err(CliError::unavailable)?;
        Ok(Self { nats, tree, kms, off_site })
    }

    /// Gives keys to as many new people as are lacking.
    async fn enrol(&self, people: &mut Vec<DataSubject>, size: usize, bar: &ProgressBar) -> Result<(), CliError> {
        bar.set_message(format!("{size} keys"));
        let new: Vec<DataSubject> = (people.len()..size).map(|_| DataSubject(random_id())).collect();
        let keys = stream::iter(&new).map(|person| async {
            let parts = [(Scope::HealthClinical, Part::all())];
            self.tree.current_or_create(*person, &parts).await.map(|_| bar.inc(1))
        });
        let done: Result<Vec<()>, _> = keys.buffer_unordered(SIDE_BY_SIDE).try_collect().await;
        done.map_err(|error| CliError::failed("a key", error))?;
        people.extend(new);
        // What was inserted goes off-site now, as with a daily backup, and not in the time of the first shred.
        self.tree.ship_inserts().await.map_err(|failure| CliError::failed("shipping", failure))?;
        Ok(())
    }

    async fn measure(&self, people: &mut Vec<DataSubject>, size: usize) -> Result<Value, CliError> {
        let (mut own, mut kms, mut off_site) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..SHREDS {
            let Some(data_subject) = people.pop() else { break };
            let target = [Target { data_subject, scope: Scope::HealthClinical, part: None }];
            self.tree.fence(&target).await.map_err(CliError::unavailable)?;
            let (kms_before, off_site_before) = (self.kms.spent(), self.off_site.spent());
            let begun = Instant::now();
            let receipt = self.tree.shred(&target).await.map_err(CliError::unavailable)?;
            let whole = begun.elapsed();
            if receipt.keys_destroyed() != 1 {
                return Err(CliError::failed("a shred", "it did not destroy the one key that there was"));
            }
            let theirs = (self.kms.spent() - kms_before, self.off_site.spent() - off_site_before);
            own.push(whole.saturating_sub(theirs.0 + theirs.1));
            kms.push(theirs.0);
            off_site.push(theirs.1);
        }
        Ok(json!({
            "name": format!("shred.{size}"), "keys": size, "unit": "ms",
            "own": median(&mut own), "own_min": own.first().map(ms), "own_max": own.last().map(ms),
            "kms": median(&mut kms), "off_site": median(&mut off_site),
        }))
    }
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
