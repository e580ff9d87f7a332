//! How much memory it takes to read the audit trail of a study, with a reader who takes it slowly. Says the figures; how
//! many entries there are is said by `LETHE_AUDIT_ENTRIES`, a million in `docs/exchange.md`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::history::Position;
use domain::ids::{Environment, ErasureId, TenantId};
use domain::participant::{Event, ItemKey, SavedItem, Source};
use domain::permit::{Principal, Role};
use domain::port::{Credentials, Failure, Progress, Tenant, Tenants, WaitingOn, Waits};
use domain::scope::{DesignScoped, Erasable, Part, Scope};
use domain::study;
use infra::chance::SystemClock;
use infra::store::RedbStore;
use projection_svc::audit::Audit;
use projection_svc::fold::{Model, Stores, model};
use projection_svc::participants::Participants;
use projection_svc::projection::Projection;
use projection_svc::studies::Studies;
use projection_svc::tables;
use projection_svc::testing::{Story, World, label, site, tenant};

const ITEMS: usize = 100;
const PEOPLE: u128 = 200;

/// One tenant, one reader, all of it reflected.
struct One {
    tenant: Arc<Tenant>,
}

impl Tenants for One {
    fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        (*id == self.tenant.id).then(|| self.tenant.clone())
    }
    fn all(&self) -> Vec<Arc<Tenant>> {
        vec![self.tenant.clone()]
    }
}

impl Waits for One {
    fn waits_on(&self, _: &TenantId, _: ErasureId) -> Option<(WaitingOn, time::OffsetDateTime)> {
        None
    }
}

struct Reader;

#[async_trait]
impl Credentials for Reader {
    async fn authenticate(&self, _: &str) -> Result<Option<Principal>, Failure> {
        let mut principal = Principal::system(tenant(), Environment::Test);
        principal.actor.role = Role::Auditor;
        Ok(Some(principal))
    }
}

struct All(u64);

#[async_trait]
impl Progress for All {
    fn reflected(&self) -> Vec<Position> {
        vec![Position { study: Some(Story::study_id()), incarnation: 1, sequence: self.0 }]
    }
    async fn wait_for(&self, _: &Position, _: Duration) -> Result<bool, Failure> {
        Ok(true)
    }
}

/// What the system says of this process, in KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says it");
    let line = status.lines().find(|line| line.starts_with(name)).expect("it is said");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// A folder that goes when the test does.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn saved(n: usize) -> Vec<SavedItem> {
    let item = |item: usize| SavedItem {
        item: ItemKey {
            group: "G".parse().expect("valid"),
            group_repeat: 1,
            item: format!("ITEM{item:03}").parse().expect("valid"),
        },
        value: Some(DesignScoped {
            scope: Scope::HealthClinical,
            part: Part::all(),
            value: Erasable::Known(domain::design::ItemValue(format!("{}", n + item))),
        }),
        not_done: None,
        computed: false,
        reason: None,
    };
    (0..ITEMS).map(item).collect()
}

/// A read store on disk with so many entries. Gives the position of the last.
async fn filled(stores: &Stores, entries: usize) -> u64 {
    let models: [(Box<dyn Model>, &str, u32); 3] = [
        (model::<Audit>(), Audit::NAME, Audit::VERSION),
        (model::<Participants>(), Participants::NAME, Participants::VERSION),
        (model::<Studies>(), Studies::NAME, Studies::VERSION),
    ];
    for (_, name, version) in &models {
        tables::prepare(stores.store.as_ref(), name, *version).expect("prepares");
    }
    let mut story = Story::new();
    story.study(study::Event::Created { name: label("Cardio"), environment: Environment::Test });
    story.study(study::Event::SiteOpened { site: site("oslo"), name: label("Oslo") });
    (1..=PEOPLE).for_each(|n| story.registered(n, "oslo"));
    let (mut sequence, mut commits) = (0, entries / ITEMS);
    loop {
        for (model, name, _) in &models {
            let table = tables::live_table(stores.store.as_ref(), name).expect("was prepared");
            let mut fold = model.fold(stores, table, &story.journal()).expect("reads");
            for commit in &story.commits {
                fold.take(commit).await.expect("folds");
                sequence = sequence.max(commit.position.sequence);
            }
            fold.flush().await.expect("writes");
        }
        // A story keeps what it told: not here.
        story.commits.clear();
        if commits == 0 {
            return sequence;
        }
        for _ in 0..commits.min(20) {
            commits -= 1;
            let (n, form) = (commits as u128 % PEOPLE + 1, Story::form(&format!("F{}", commits as u128 / PEOPLE)));
            story.participant(n, Event::ItemsSaved { form, items: saved(commits), source: Source::User });
        }
    }
}

/// Serves the trail on a port of its own.
async fn served(tenant: Tenant) -> String {
    let one = Arc::new(One { tenant: Arc::new(tenant) });
    let queries = query_api::Queries::new(one.clone(), one, Arc::new(SystemClock));
    let views = edge::authenticated(query_api::router(queries), Arc::new(Reader));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, views).await });
    url
}

/// Reads it to its end, the first megabytes slowly. Gives how much there was, and how many lines.
async fn read(url: &str, format: &str) -> (u64, u64) {
    let path = format!("{url}/v1/studies/cardio/audit?format={format}");
    let mut answer = reqwest::Client::new().get(path).bearer_auth("reader").send().await.expect("an answer");
    assert!(answer.status().is_success());
    let (mut bytes, mut lines) = (0, 0);
    while let Some(piece) = answer.chunk().await.expect("goes on") {
        // What the server must not do is run ahead of this one.
        if bytes < 8 << 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bytes += piece.len() as u64;
        lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    (bytes, lines)
}

fn store(dir: &Path) -> Arc<RedbStore> {
    Arc::new(RedbStore::open(dir).expect("opens").0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_does_not_grow_with_the_trail() {
    let entries = std::env::var("LETHE_AUDIT_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let folder = Folder(std::env::temp_dir().join(format!("lethe-audit-{}", std::process::id())));
    let world = World::told(&Story::new());
    let stores = Stores { store: store(&folder.0), cells: world.cells.clone() };
    let last = filled(&stores, entries).await;
    let tenant = Tenant { store: stores.store.clone(), progress: Arc::new(All(last)), ..world.tenant.clone() };
    let url = served(tenant).await;
    for format in ["ndjson", "odm132"] {
        // The peak from here on.
        std::fs::write("/proc/self/clear_refs", "5").expect("Linux allows it");
        let (before, began) = (memory("VmRSS:"), Instant::now());
        let (bytes, lines) = read(&url, format).await;
        let grown = memory("VmHWM:").saturating_sub(before) >> 10;
        println!(
            "{format}: {entries} entries, {} MiB in {} s; {} MiB of memory before, at most {grown} MiB more while it was read",
            bytes >> 20,
            began.elapsed().as_secs(),
            before >> 10,
        );
        if format == "ndjson" {
            assert_eq!(lines, (entries / ITEMS * ITEMS) as u64 + u64::try_from(PEOPLE).expect("few") + 2);
        }
        assert!(grown < 64, "{grown} MiB more");
    }
}
