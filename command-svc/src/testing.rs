//! The ports in memory, for tests: one world with a journal, keys and read models that are always current.
//!
//! Fences and shreds mean here what they mean in the real ones: a value whose key is fenced is not opened, and a
//! shredded key never opens again. Any call of a port can be told to fail, before or after it took effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request as HttpRequest};
use domain::body::{self, Sections};
use domain::design::content_hash;
use domain::history::{
    Aggregate, Commit, CommitHash, DataSubject, Header, History, JournalId, OpenEvent, Position, StreamId, Tail,
};
use domain::ids::{Environment, ErasureId, StudyId, TenantId, UserId};
use domain::participant::{Factor, Signer};
use domain::permit::{Principal, Role, Sites};
use domain::port::*;
use domain::scope::{Part, Scope};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tower::ServiceExt;
use uuid::Uuid;

use crate::commands::Commands;
use crate::erasure::ErasureTrigger;

/// One key of a person.
type Key = (DataSubject, Scope, Part);

/// A commit as stored: structure and values apart.
#[derive(Clone)]
struct Stored {
    header: Header,
    hash: CommitHash,
    position: Position,
    structure: Vec<OpenEvent>,
    values: Sections,
    body_digest: [u8; 32],
}

/// When a call that is to fail does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing happened.
    Before,
    /// It took effect, and the caller does not learn of it.
    After,
}

/// What is in it, to be put back as from a backup.
#[derive(Default, Clone)]
pub(crate) struct State {
    journals: BTreeSet<JournalId>,
    commits: Vec<Stored>,
    keys: BTreeSet<Key>,
    shredded: BTreeSet<Key>,
    fenced: BTreeSet<Target>,
    receipts: BTreeMap<Target, Shredded>,
    root: u64,
    off_site: bool,
    blind: bool,
    kms_keeps_until: Option<OffsetDateTime>,
    down: BTreeSet<&'static str>,
    shipped: BTreeMap<StreamId, usize>,
    accounts: Vec<ErasureAccount>,
    log: Vec<String>,
    later: Duration,
    behind: bool,
    conflicts: u32,
    drafts: Vec<Draft>,
    calls: u64,
    fail_at: Option<(u64, When)>,
    draws: u64,
}

/// All ports at once.
#[derive(Default)]
pub(crate) struct World(Mutex<State>);

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    pub(crate) fn provision(&self, tenant: &TenantId, study: Option<&StudyId>) {
        self.state().journals.insert(JournalId { tenant: tenant.clone(), study: study.cloned() });
    }

    /// The next appends find that the stream has moved.
    pub(crate) fn conflict_next(&self, times: u32) {
        self.state().conflicts = times;
    }

    /// How many commits there are.
    pub(crate) fn commits(&self) -> usize {
        self.state().commits.len()
    }

    /// What was tried to append, in order.
    pub(crate) fn drafts(&self) -> Vec<Draft> {
        self.state().drafts.clone()
    }

    /// The event types of a stream, in order.
    pub(crate) fn events(&self, stream: &StreamId) -> Vec<String> {
        let state = self.state();
        let commits = state.commits.iter().filter(|commit| commit.header.stream == *stream);
        commits.flat_map(|commit| commit.header.events.iter().map(|event| event.name.clone())).collect()
    }

    /// Lets the `n`th call from now fail.
    pub(crate) fn fail_at(&self, n: u64, when: When) {
        let mut state = self.state();
        state.calls = 0;
        state.fail_at = Some((n, when));
    }

    /// Whether the failure that was ordered has not come yet; from now on nothing fails.
    pub(crate) fn heal(&self) -> bool {
        self.state().fail_at.take().is_some()
    }

    /// What was done at the ports that an erasure uses, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// From now on a copy of the key tree stands elsewhere.
    pub(crate) fn has_copy(&self) {
        self.state().off_site = true;
    }

    /// The KMS keeps destroyed roots until then.
    pub(crate) fn keeps_roots_until(&self, until: OffsetDateTime) {
        self.state().kms_keeps_until = Some(until);
    }

    /// A trial finds nothing any more, whatever is there.
    pub(crate) fn is_blind(&self, blind: bool) {
        self.state().blind = blind;
    }

    /// `ledger`, `KMS` or `certifier` does not answer, or does so again.
    pub(crate) fn set_down(&self, what: &'static str, down: bool) {
        let mut state = self.state();
        if down {
            state.down.insert(what)
        } else {
            state.down.remove(what)
        };
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, time: Duration) {
        self.state().later += time;
    }

    /// How many commits of a stream stand elsewhere.
    pub(crate) fn shipped(&self, stream: &StreamId) -> usize {
        self.state().shipped.get(stream).copied().unwrap_or_default()
    }

    /// What was certified.
    pub(crate) fn accounts(&self) -> Vec<ErasureAccount> {
        self.state().accounts.clone()
    }

    pub(crate) fn backup(&self) -> State {
        self.state().clone()
    }

    /// Puts a backup back, keys and fences included, and brings one stream up to date again as the ledger holds it.
    pub(crate) fn restore(&self, backup: State, stream: &StreamId) {
        let mut state = self.state();
        let newer: Vec<Stored> = state.commits.iter().filter(|c| c.header.stream == *stream).cloned().collect();
        *state = backup;
        let there = state.commits.iter().filter(|commit| commit.header.stream == *stream).count();
        for mut commit in newer.into_iter().skip(there) {
            commit.position.sequence = state.commits.len() as u64 + 1;
            state.commits.push(commit);
        }
    }

    /// A call of a port that may be down by name.
    fn ask<T>(&self, what: &'static str, entry: String, effect: impl FnOnce(&mut State) -> T) -> Result<T, Failure> {
        let called = self.call(|state| {
            if state.down.contains(what) {
                return Err(Failure::unavailable(what, "as ordered"));
            }
            state.log.push(entry);
            Ok(effect(state))
        });
        called?
    }

    pub(crate) fn set_behind(&self, behind: bool) {
        self.state().behind = behind;
    }

    /// The keys of `person` that are not destroyed.
    pub(crate) fn keys_of(&self, person: DataSubject) -> Vec<(Scope, Part)> {
        let state = self.state();
        let theirs = state.keys.iter().filter(|(data_subject, ..)| *data_subject == person);
        theirs.map(|(_, scope, part)| (*scope, part.clone())).collect()
    }

    /// How many keys of `person` are not destroyed.
    pub(crate) fn live_keys(&self, person: DataSubject) -> usize {
        self.state().keys.iter().filter(|(data_subject, ..)| *data_subject == person).count()
    }

    /// A key that was destroyed is back, as from a copy that nobody knew of.
    pub(crate) fn resurrect(&self, person: DataSubject, scope: Scope) {
        self.state().keys.insert((person, scope, Part::all()));
    }

    /// Any call of a port.
    fn call<T>(&self, effect: impl FnOnce(&mut State) -> T) -> Result<T, Failure> {
        let mut state = self.state();
        let now = state.calls;
        state.calls += 1;
        let failure = || Failure::unavailable("the test's world", "as ordered");
        match state.fail_at {
            Some((at, when)) if at == now => {
                state.fail_at = None;
                if when == When::After {
                    effect(&mut state);
                }
                Err(failure())
            }
            _ => Ok(effect(&mut state)),
        }
    }
}

impl State {
    fn is_fenced(&self, (data_subject, scope, part): &Key) -> bool {
        let covers = |part| Target { data_subject: *data_subject, scope: *scope, part };
        self.fenced.contains(&covers(None)) || self.fenced.contains(&covers(Some(part.clone())))
    }

    fn covered(&self, targets: &[Target]) -> Vec<Key> {
        let covers = |target: &Target, (data_subject, scope, part): &Key| {
            target.data_subject == *data_subject
                && target.scope == *scope
                && target.part.as_ref().is_none_or(|one| one == part)
        };
        self.keys.iter().filter(|key| targets.iter().any(|target| covers(target, key))).cloned().collect()
    }

    fn open(&self, stored: &Stored) -> Commit {
        let mut opened = stored.values.clone();
        let mut erased = BTreeSet::new();
        if let Some(person) = stored.header.stream.data_subject() {
            for (scope, part) in stored.values.keys() {
                let key = (person, *scope, part.clone());
                if self.is_fenced(&key) || self.shredded.contains(&key) {
                    erased.insert((*scope, part.clone()));
                }
            }
        }
        erased.iter().for_each(|section| drop(opened.remove(section)));
        let digest_lives = stored.values.keys().next().is_none_or(|first| !erased.contains(first));
        let mut bodies: Vec<_> = stored.structure.iter().map(|event| event.body.clone()).collect();
        body::join(&mut bodies, &mut opened);
        let kinds = stored.structure.iter().map(|event| event.kind.clone());
        Commit {
            header: stored.header.clone(),
            hash: stored.hash,
            position: stored.position.clone(),
            events: kinds.zip(bodies).map(|(kind, body)| OpenEvent { kind, body }).collect(),
            body_digest: digest_lives.then_some(stored.body_digest),
            erased,
            traceparent: None,
        }
    }

    fn tail(&self, stream: &StreamId) -> Tail {
        let last = self.commits.iter().rev().find(|commit| commit.header.stream == *stream);
        last.map_or_else(Tail::default, |commit| Tail { revision: commit.header.revision, hash: commit.hash })
    }

    fn append(&mut self, draft: Draft) -> Result<Receipt, AppendError> {
        self.drafts.push(draft.clone());
        if self.conflicts > 0 {
            self.conflicts -= 1;
            return Err(AppendError::Conflict);
        }
        let guarded = draft.guard.as_ref().is_none_or(|(stream, tail)| self.tail(stream) == *tail);
        if self.tail(&draft.stream) != draft.expected || !guarded {
            return Err(AppendError::Conflict);
        }
        let mut structure = draft.events;
        let mut bodies: Vec<_> = structure.iter().map(|event| event.body.clone()).collect();
        let values = body::split(&mut bodies);
        structure.iter_mut().zip(bodies).for_each(|(event, body)| event.body = body);
        for (scope, part) in values.keys() {
            let person = draft.stream.data_subject().expect("values are a person's");
            let key = (person, *scope, part.clone());
            if self.is_fenced(&key) {
                return Err(AppendError::Erased(*scope));
            }
            self.keys.insert(key);
        }
        let events = structure.iter().map(|event| event.kind.name.clone()).collect::<Vec<_>>().join(" ");
        self.log.push(format!("append {events}"));
        let sequence = self.commits.len() as u64 + 1;
        let header = Header {
            environment: draft.environment,
            revision: draft.expected.revision.next(),
            events: structure.iter().map(|event| event.kind.clone()).collect(),
            stored_at: draft.stored_at,
            captured_at: draft.captured_at,
            actor: draft.actor,
            command: draft.command,
            causation: draft.causation,
            correlation: draft.correlation,
            previous: draft.expected.hash,
            stream: draft.stream,
        };
        let position = Position { study: header.stream.journal.study.clone(), incarnation: 1, sequence };
        let hash = content_hash(&sequence.to_be_bytes());
        let tail = Tail { revision: header.revision, hash };
        let body_digest = draft.body_digest;
        self.commits.push(Stored { header, hash, position: position.clone(), structure, values, body_digest });
        Ok(Receipt { tail, position })
    }
}

#[async_trait]
impl Journal for World {
    async fn load(&self, stream: &StreamId, after: Tail) -> Result<History, Failure> {
        self.call(|state| {
            if !state.journals.contains(&stream.journal) {
                return Err(Failure::missing("the journal stream"));
            }
            let commits = state.commits.iter().filter(|commit| commit.header.stream == *stream);
            let commits = commits.filter(|commit| commit.header.revision > after.revision);
            Ok(History::of(commits.map(|commit| state.open(commit)).collect()))
        })?
    }

    async fn append(&self, draft: Draft) -> Result<Receipt, AppendError> {
        tokio::task::yield_now().await;
        self.call(|state| state.append(draft))?
    }

    async fn follow(&self, _: &JournalId, _: u64) -> Result<Box<dyn Feed>, Failure> {
        unimplemented!("the write side follows nothing")
    }

    async fn head(&self, journal: &JournalId) -> Result<Position, Failure> {
        let study = journal.study.clone();
        self.call(|state| Position { study, incarnation: 1, sequence: state.commits.len() as u64 })
    }

    async fn hash_at(&self, _: &JournalId, _: u64) -> Result<Option<CommitHash>, Failure> {
        unimplemented!("the write side checks no projection")
    }

    async fn journals(&self) -> Result<Vec<JournalId>, Failure> {
        self.call(|state| state.journals.iter().cloned().collect())
    }

    async fn streams(&self, journal: &JournalId, aggregate: Aggregate) -> Result<Vec<StreamId>, Failure> {
        self.call(|state| {
            let streams = state.commits.iter().map(|commit| &commit.header.stream);
            let wanted = streams.filter(|stream| stream.journal == *journal && stream.aggregate == aggregate);
            wanted.collect::<BTreeSet<_>>().into_iter().cloned().collect()
        })
    }
}

#[async_trait]
impl Keys for World {
    async fn fence(&self, targets: &[Target]) -> Result<(), Failure> {
        self.ask("key tree", "fence".into(), |state| state.fenced.extend(targets.iter().cloned()))
    }

    fn copies(&self) -> TreeCopies {
        if self.state().off_site { TreeCopies::OffSite } else { TreeCopies::Single }
    }

    async fn shred(&self, targets: &[Target]) -> Result<ShredReceipt, Failure> {
        let copy = self.copies();
        let now = self.now();
        self.ask("KMS", "shred".into(), |state| {
            state.root += 1;
            let (root_before, root_after) = (state.root - 1, state.root);
            let mut shredded = Vec::new();
            for target in targets {
                let doomed = state.covered(std::slice::from_ref(target));
                assert!(doomed.iter().all(|key| state.is_fenced(key)), "a key is fenced before it is destroyed");
                state.keys.retain(|key| !doomed.contains(key));
                let keys = doomed.len() as u64;
                let now = Shredded { target: target.clone(), keys, root_before, root_after };
                let before = state.receipts.entry(target.clone()).or_insert_with(|| now.clone());
                if keys > 0 {
                    *before = now;
                }
                shredded.push(before.clone());
                state.shredded.extend(doomed);
            }
            let kept = state.kms_keeps_until.filter(|until| *until > now);
            let destruction = kept.map_or(Destruction::Done, |at| Destruction::Scheduled { at });
            ShredReceipt { targets: shredded, copy, destruction }
        })
    }

    async fn probe(&self, targets: &[Target]) -> Result<u64, Failure> {
        let probe = |state: &mut State| if state.blind { 0 } else { state.covered(targets).len() as u64 };
        self.ask("key tree", "probe".into(), probe)
    }
}

#[async_trait]
impl Ledger for World {
    async fn ship(&self, stream: &StreamId) -> Result<(), Failure> {
        self.ask("ledger", "ship".into(), |state| {
            let commits = state.commits.iter().filter(|commit| commit.header.stream == *stream).count();
            state.shipped.insert(stream.clone(), commits);
        })
    }
}

#[async_trait]
impl Certifier for World {
    async fn checkpoint(&self, _: &JournalId) -> Result<(), Failure> {
        self.ask("certifier", "checkpoint".into(), |_| ())
    }
    async fn certify(&self, account: &ErasureAccount) -> Result<Certified, Failure> {
        self.ask("certifier", "certify".into(), |state| state.accounts.push(account.clone()))?;
        Ok(Certified { digest: CommitHash([7; 32]), bytes: 1 })
    }
    async fn certificate(&self, _: ErasureId) -> Result<Option<String>, Failure> {
        Ok(None)
    }
    async fn page(&self, _: ErasureId) -> Result<Option<String>, Failure> {
        Ok(None)
    }
}

#[async_trait]
impl Cells for World {
    async fn seal(&self, _: &CellPlace, _: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        unimplemented!("the write side keeps no read model")
    }
    async fn open(&self, _: &CellPlace, _: &[u8]) -> Result<Opened, Failure> {
        unimplemented!("the write side keeps no read model")
    }
}

impl ReadStore for World {
    fn get(&self, _: &str, _: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        unimplemented!("the write side keeps no read model")
    }
    fn scan(&self, _: &str, _: &[u8], _: Option<&[u8]>, _: usize) -> Result<Vec<Row>, Failure> {
        unimplemented!("the write side keeps no read model")
    }
    fn apply(&self, _: &str, _: &[Change]) -> Result<(), Failure> {
        unimplemented!("the write side keeps no read model")
    }
    fn drop_table(&self, _: &str) -> Result<(), Failure> {
        unimplemented!("the write side keeps no read model")
    }
}

#[async_trait]
impl Progress for World {
    async fn wait_for(&self, _: &Position, _: Duration) -> Result<bool, Failure> {
        self.call(|state| !state.behind)
    }
    fn reflected(&self) -> Vec<Position> {
        Vec::new()
    }
}

/// Two tenants, each with a world of its own.
pub(crate) struct TwoTenants(pub(crate) BTreeMap<TenantId, Arc<Tenant>>);

impl Tenants for TwoTenants {
    fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.get(id).cloned()
    }
    fn all(&self) -> Vec<Arc<Tenant>> {
        self.0.values().cloned().collect()
    }
}

pub(crate) fn tenant(id: &str, world: &Arc<World>) -> Arc<Tenant> {
    Arc::new(Tenant {
        id: id.parse().expect("valid"),
        journal: world.clone(),
        keys: world.clone(),
        cells: world.clone(),
        store: world.clone(),
        progress: world.clone(),
        ledger: world.clone(),
        certifier: world.clone(),
    })
}

impl Clock for World {
    fn now(&self) -> OffsetDateTime {
        time::macros::datetime!(2026-11-22 12:00 UTC) + self.state().later
    }
}

impl Dice for World {
    fn uuid(&self) -> Uuid {
        let mut state = self.state();
        state.draws += 1;
        Uuid::from_u128(u128::from(state.draws) << 64 | 0xd1ce)
    }
    fn bytes(&self) -> [u8; 32] {
        content_hash(self.uuid().as_bytes()).0
    }
}

pub(crate) fn acme() -> TenantId {
    "acme".parse().expect("valid")
}

pub(crate) fn cardio() -> StudyId {
    "cardio".parse().expect("valid")
}

/// A person of tenant acme in a role; `n` tells people apart.
pub(crate) fn person(role: Role, n: u128) -> Principal {
    let mut principal = Principal::system(acme(), Environment::Test);
    principal.actor.id = UserId(Uuid::from_u128(n));
    principal.actor.kind = domain::history::ActorKind::User;
    principal.actor.role = role;
    principal.sites = Sites::All;
    principal
}

/// The write side of tenants acme and other, with acme's world; acme's journal streams are provisioned.
pub(crate) fn commands() -> (Arc<World>, Arc<Commands>, Arc<Tenant>) {
    let (world, elsewhere) = (World::new(), World::new());
    world.provision(&acme(), None);
    world.provision(&acme(), Some(&cardio()));
    let acme_tenant = tenant("acme", &world);
    let tenants = [acme_tenant.clone(), tenant("other", &elsewhere)];
    let tenants = TwoTenants(tenants.into_iter().map(|tenant| (tenant.id.clone(), tenant)).collect());
    let (tenants, asked) = (Arc::new(tenants), Arc::new(Passwords));
    let commands = Commands::asking(tenants, world.clone(), world.clone(), ErasureTrigger::default(), asked);
    (world, commands, acme_tenant)
}

/// A live study with one open site, "oslo", and the design of [`design_json`].
pub(crate) async fn live_study() -> (Arc<World>, Arc<Commands>, Arc<Tenant>, Http) {
    let (world, commands, tenant) = commands();
    let name = "Cardio".parse().expect("valid");
    commands.create_study(&tenant, &cardio(), name, Environment::Test).await.expect("provisioned");
    let http = Http::new(&commands);
    let published = http.post("designer", "/designs", &design_json()).await;
    assert_eq!(published.status, 200, "{}", published.body);
    let open_site = json!({"type": "open-site", "site": "oslo", "name": "Oslo"});
    let go_live = json!({"type": "go-live", "design": published.body["design"]});
    for command in [open_site, go_live] {
        let reply = http.post("designer", "", &command).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    (world, commands, tenant, http)
}

/// One visit with one form of two items.
pub(crate) fn design_json() -> Value {
    let item = |oid: &str, data_type: &str| json!({"oid": oid, "name": oid, "data_type": data_type});
    json!({
        "name": "Cardio",
        "version": "1",
        "visits": [{"oid": "V1", "name": "Visit 1", "forms": [{"oid": "VS"}]}],
        "forms": [{"oid": "VS", "name": "Vital signs", "item_groups": [{"oid": "G"}]}],
        "item_groups": [{"oid": "G", "name": "G", "items": [{"oid": "SYSBP"}, {"oid": "AETERM"}]}],
        "items": [item("SYSBP", "integer"), item("AETERM", "text")],
    })
}

/// Whoever knows the word signs as Grace Hopper.
struct Passwords;

#[async_trait]
impl Reauthentication for Passwords {
    async fn signer(&self, _: &Principal, credential: &str) -> Result<Signer, ReauthenticationError> {
        match credential {
            "the word" => Ok(Signer { printed_name: "Grace Hopper".into(), factors: vec![Factor::Password] }),
            "nameless" => Err(ReauthenticationError::NoPrintedName),
            _ => Err(ReauthenticationError::Refused),
        }
    }
}

/// Who a token is: the role's name, or one of a few others.
struct Tokens;

#[async_trait]
impl Credentials for Tokens {
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Failure> {
        let role = match token {
            "designer" => Role::StudyDesigner,
            "prod" | "elsewhere" | "bergen" => Role::Investigator,
            role => match role.parse() {
                Ok(role) => role,
                Err(_) => return Ok(None),
            },
        };
        let mut principal = person(role, u128::from(token.as_bytes()[0]) << 8 | u128::from(token.as_bytes()[1]));
        match token {
            "prod" => principal.environment = Environment::Prod,
            "elsewhere" => principal.tenant = "other".parse().expect("valid"),
            "bergen" => principal.sites = Sites::Only(["bergen".parse().expect("valid")].into()),
            _ => {}
        }
        Ok(Some(principal))
    }
}

/// The write side as its clients see it.
pub(crate) struct Http(Router);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}

impl Http {
    pub(crate) fn new(commands: &Arc<Commands>) -> Self {
        let routes = edge::authenticated(crate::router(commands.clone()), Arc::new(Tokens));
        Self(edge::traced(edge::fallbacks(routes), || None))
    }

    /// Posts below `/v1/studies/cardio`.
    pub(crate) async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.send(token, path, &[], body.to_string().into_bytes()).await
    }

    /// Posts below `/v1/studies/cardio` with headers.
    pub(crate) async fn send(&self, token: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = HttpRequest::post(format!("/v1/studies/cardio{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(request.body(Body::from(body)).expect("a request")).await
    }

    /// Asks below `/v1/studies/cardio`.
    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        let request = HttpRequest::get(format!("/v1/studies/cardio{path}"));
        let request = request.header("authorization", format!("Bearer {token}"));
        self.ask(request.body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn ask(&self, request: HttpRequest<Body>) -> Answer {
        let (parts, body) = self.0.clone().oneshot(request).await.expect("infallible").into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("in memory").to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes, body }
    }
}
