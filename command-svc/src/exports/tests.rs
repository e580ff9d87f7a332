//! An export from order to deletion, with a made clock, a vault in memory and an exporter that does as told.

use async_trait::async_trait;
use domain::export::Event;
use domain::history::{CommitHash, Tail};
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use super::*;
use crate::testing::{Http, World, acme, cardio, live_study};

/// Writes an export of these people, as soon as it may.
struct Told {
    world: Arc<World>,
    people: Vec<u128>,
    go: Notify,
    broken: bool,
}

#[async_trait]
impl Exporter for Told {
    async fn frame(&self, _: &Principal, _: &domain::ids::StudyId, _: &Order) -> Result<Frame, NotFramed> {
        let (sites, scopes) = (BTreeSet::new(), BTreeSet::new());
        Ok(Frame { sites, scopes, design: CommitHash([1; 32]), position: 1 })
    }

    async fn write(&self, _: &Principal, job: &ExportJob) -> Result<ExportWritten, Failure> {
        use domain::port::ExportVault as _;
        self.world.begin(job.export).await?;
        self.go.notified().await;
        if self.broken {
            return Err(Failure::unavailable("the exporter", "as ordered"));
        }
        let participants = self.people.iter().map(|n| ParticipantId(Uuid::from_u128(*n))).collect();
        Ok(ExportWritten { manifest: CommitHash([2; 32]), files: Vec::new(), participants })
    }
}

struct Office {
    world: Arc<World>,
    commands: Arc<Commands>,
    tenant: Arc<Tenant>,
    http: Http,
    told: Arc<Told>,
}

const ONE: ExportId = ExportId(Uuid::from_u128(0x11));

fn stream(export: ExportId) -> StreamId {
    StreamId::in_study(&acme(), &cardio(), Aggregate::Export, export)
}

fn path(export: ExportId) -> String {
    format!("/exports/{export}")
}

fn start() -> Value {
    json!({"type": "start", "order": {"recipient": "Statistics", "purpose": "Interim analysis",
        "expires_at": "2026-11-29T12:00:00Z", "formats": ["csv"]}})
}

async fn office(broken: bool) -> Office {
    let (world, commands, tenant, http) = live_study().await;
    for n in [1_u128, 2] {
        let register = json!({"type": "register", "site": "oslo", "subject_number": n.to_string()});
        let answer = http.post("investigator", &format!("/participants/{}", Uuid::from_u128(n)), &register).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    let told = Arc::new(Told { world: world.clone(), people: vec![1], go: Notify::new(), broken });
    commands.export_with(told.clone());
    Office { world, commands, tenant, http, told }
}

impl Office {
    async fn ordered(&self, export: ExportId) {
        let answer = self.http.post("investigator", &path(export), &start()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    /// Ordered, and written to its end.
    async fn written(&self, export: ExportId) {
        self.ordered(export).await;
        self.told.go.notify_one();
        while self.commands.exports.is_running(&stream(export)) {
            tokio::task::yield_now().await;
        }
    }

    async fn facts(&self, export: ExportId) -> Vec<Event> {
        let commits = self.tenant.journal.load(&stream(export), Tail::default()).await.expect("reads");
        commits.iter().flat_map(|commit| commit.facts().expect("reads")).collect()
    }

    async fn last(&self, export: ExportId) -> Option<Event> {
        self.facts(export).await.pop()
    }

    fn holds(&self, export: ExportId) -> bool {
        self.world.held().contains(&export)
    }

    async fn tended(&self) -> usize {
        self.commands.tend_exports(&self.tenant).await.expect("tends")
    }
}

fn deleted(cause: Cause) -> Option<Event> {
    Some(Event::Deleted { cause })
}

#[tokio::test]
async fn files_are_deleted_when_they_expire_and_not_before() {
    let office = office(false).await;
    office.written(ONE).await;
    assert!(matches!(office.last(ONE).await, Some(Event::Completed { .. })) && office.holds(ONE));
    office.world.wait(Duration::from_secs(7 * 86_400 - 1));
    assert_eq!((office.tended().await, office.holds(ONE)), (0, true));
    office.world.wait(Duration::from_secs(1));
    assert_eq!((office.tended().await, office.holds(ONE)), (1, false));
    assert_eq!(office.last(ONE).await, deleted(Cause::Expired));
    let facts = office.facts(ONE).await.len();
    assert_eq!((office.tended().await, office.facts(ONE).await.len()), (0, facts), "once");
}

#[tokio::test]
async fn an_export_that_nobody_writes_any_more_failed() {
    let office = office(false).await;
    office.ordered(ONE).await;
    while !office.holds(ONE) {
        tokio::task::yield_now().await;
    }
    assert_eq!(office.tended().await, 0, "it is being written");
    // What a process that starts again knows: nothing.
    Exports::set(&office.commands.exports.running, &stream(ONE), false);
    assert_eq!((office.tended().await, office.holds(ONE)), (1, false));
    assert_eq!(office.last(ONE).await, Some(Event::Failed {}));
}

#[tokio::test]
async fn a_failure_leaves_no_files() {
    let office = office(true).await;
    office.written(ONE).await;
    assert_eq!((office.last(ONE).await, office.holds(ONE)), (Some(Event::Failed {}), false));
}

#[tokio::test]
async fn files_that_are_gone_are_recorded_as_that() {
    use domain::port::ExportVault as _;
    let office = office(false).await;
    office.written(ONE).await;
    office.world.destroy(ONE).await.expect("destroys");
    assert_eq!(office.tended().await, 1);
    assert_eq!(office.last(ONE).await, deleted(Cause::Missing));
}

#[tokio::test]
async fn a_restriction_takes_back_what_holds_the_person_and_nothing_else() {
    let office = office(false).await;
    office.written(ONE).await;
    let restrict = json!({"type": "place-restriction", "ground": "accuracy-contested", "reason": "asked by letter"});
    let order = |n: u128| format!("/participants/{}/privacy", Uuid::from_u128(n));
    let answer = office.http.post("dpo", &order(2), &restrict).await;
    assert_eq!((answer.status < 300, office.holds(ONE)), (true, true), "{}", answer.body);
    let answer = office.http.post("dpo", &order(1), &restrict).await;
    assert_eq!((answer.status < 300, office.holds(ONE)), (true, false), "{}", answer.body);
    assert_eq!(office.last(ONE).await, deleted(Cause::Restriction));
}

#[tokio::test]
async fn an_export_that_is_overtaken_while_it_is_written_is_never_held() {
    let office = office(false).await;
    office.ordered(ONE).await;
    while !office.holds(ONE) {
        tokio::task::yield_now().await;
    }
    let person = StreamId::in_study(&acme(), &cardio(), Aggregate::Privacy, Uuid::from_u128(2));
    let withdrawn = office.commands.withdraw_exports(&office.tenant, &person, Cause::Erasure, Environment::Test);
    assert_eq!(withdrawn.await.expect("withdraws"), 1, "nobody knows yet whom it holds");
    office.told.go.notify_one();
    while office.commands.exports.is_running(&stream(ONE)) {
        tokio::task::yield_now().await;
    }
    assert_eq!((office.last(ONE).await, office.holds(ONE)), (deleted(Cause::Erasure), false));
}

#[tokio::test]
async fn whoever_got_data_is_known_and_a_copy_counts() {
    let office = office(false).await;
    office.written(ONE).await;
    let copy = json!({"type": "give-copy", "recipient": "Registry", "purpose": "Safety report"});
    assert_eq!(office.http.post("monitor", &path(ONE), &copy).await.code(), "not-yours");
    assert_eq!(office.http.post("investigator", &path(ONE), &copy).await.status, 200);
    let delete = json!({"type": "delete"});
    assert_eq!(office.http.post("investigator", &path(ONE), &delete).await.status, 200);
    assert_eq!((office.last(ONE).await, office.holds(ONE)), (deleted(Cause::ByHand), false));
    let of = |n: u128| StreamId::in_study(&acme(), &cardio(), Aggregate::Privacy, Uuid::from_u128(n));
    let told = office.commands.recipients_of(&office.tenant, &of(1)).await.expect("reads");
    assert_eq!(told.iter().map(Label::as_str).collect::<Vec<_>>(), ["Registry", "Statistics"]);
    assert!(office.commands.recipients_of(&office.tenant, &of(2)).await.expect("reads").is_empty());
}
