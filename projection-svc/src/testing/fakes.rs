//! The world in memory. The fakes behave as the ports say, keep to the same outcomes, and are no ciphers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use domain::body;
use domain::history::{Aggregate, Commit, CommitHash, DataSubject, History, JournalId, Position, StreamId, Tail};
use domain::ids::{ErasureId, ExportId};
use domain::port::{
    AppendError, CellPlace, Cells, Certified, Certifier, Change, Draft, ErasureAccount, ExportVault, Failure, Feed,
    HeldFile, HeldSpool, Journal, Keys, Ledger, Opened, ReadStore, Receipt, Row, ShredReceipt, Target, TreeCopies,
};
use domain::scope::{Extent, Part, Scope};
use tokio::sync::watch;

/// What of whom is erased: whole scopes, and single parts.
#[derive(Debug, Default)]
pub struct FakeKeys(Mutex<BTreeSet<Target>>);

impl FakeKeys {
    pub fn erase(&self, data_subject: DataSubject, extent: &Extent) {
        let target = |(scope, part): (Scope, Option<&Part>)| Target { data_subject, scope, part: part.cloned() };
        lock(&self.0).extend(extent.each().map(target));
    }

    fn erased(&self, data_subject: DataSubject, scope: Scope, part: &Part) -> bool {
        let erased = lock(&self.0);
        [None, Some(part.clone())].into_iter().any(|part| erased.contains(&Target { data_subject, scope, part }))
    }
}

#[async_trait]
impl Keys for FakeKeys {
    async fn fence(&self, targets: &[Target]) -> Result<(), Failure> {
        lock(&self.0).extend(targets.iter().cloned());
        Ok(())
    }
    fn copies(&self) -> TreeCopies {
        TreeCopies::Single
    }
    async fn shred(&self, _: &[Target]) -> Result<ShredReceipt, Failure> {
        Err(Failure::unavailable("the fake keys", "no test shreds here"))
    }
    async fn probe(&self, _: &[Target]) -> Result<u64, Failure> {
        Err(Failure::unavailable("the fake keys", "no test probes here"))
    }
    async fn vouch(&self) -> Result<u64, Failure> {
        Ok(lock(&self.0).len() as u64)
    }
}

/// "Seals" by turning every bit and binding the place; every sealing differs, as with a nonce.
pub struct FakeCells {
    keys: Arc<FakeKeys>,
    sealed: Mutex<u64>,
}

impl FakeCells {
    pub fn new(keys: Arc<FakeKeys>) -> Self {
        Self { keys, sealed: Mutex::new(0) }
    }

    /// How often something was sealed.
    pub fn count(&self) -> u64 {
        *lock(&self.sealed)
    }

    fn bound(place: &CellPlace, plain: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{place:?}|").into_bytes();
        bytes.extend_from_slice(plain);
        bytes
    }
}

#[async_trait]
impl Cells for FakeCells {
    async fn seal(&self, place: &CellPlace, plain: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        if self.keys.erased(place.data_subject, place.scope, &place.part) {
            return Ok(None);
        }
        let mut nonce = lock(&self.sealed);
        *nonce += 1;
        let mut sealed = nonce.to_be_bytes().to_vec();
        sealed.extend(Self::bound(place, plain).iter().map(|byte| !byte));
        Ok(Some(sealed))
    }

    async fn open(&self, place: &CellPlace, sealed: &[u8]) -> Result<Opened, Failure> {
        if self.keys.erased(place.data_subject, place.scope, &place.part) {
            return Ok(Opened::Erased);
        }
        let plain: Vec<u8> = sealed.iter().skip(8).map(|byte| !byte).collect();
        match plain.strip_prefix(Self::bound(place, b"").as_slice()) {
            Some(plain) => Ok(Opened::Known(plain.to_vec())),
            None => Err(Failure::damaged("a cell", "it belongs elsewhere")),
        }
    }
}

/// Journal streams in memory. What it reads of an erased scope is erased, as in the real one.
#[derive(Clone)]
pub struct FakeJournal(Arc<Told>);

struct Told {
    keys: Arc<FakeKeys>,
    journals: Mutex<BTreeMap<JournalId, Vec<Commit>>>,
    news: watch::Sender<u64>,
    /// Fails this many reads before the next one works.
    failures: Mutex<u32>,
    incarnation: Mutex<u64>,
}

impl FakeJournal {
    pub fn new(keys: Arc<FakeKeys>) -> Self {
        Self(Arc::new(Told {
            keys,
            journals: Mutex::new(BTreeMap::new()),
            news: watch::Sender::new(0),
            failures: Mutex::new(0),
            incarnation: Mutex::new(1),
        }))
    }

    /// Appends what a story tells.
    pub fn tell(&self, commits: &[Commit]) {
        for commit in commits {
            let journal = commit.header.stream.journal.clone();
            lock(&self.0.journals).entry(journal).or_default().push(commit.clone());
        }
        self.0.news.send_modify(|news| *news += 1);
    }

    /// Loses all but the first `left` commits, as a server may after a crash.
    pub fn cut(&self, journal: &JournalId, left: usize) {
        lock(&self.0.journals).entry(journal.clone()).or_default().truncate(left);
    }

    /// Loses a whole journal stream.
    pub fn lose(&self, journal: &JournalId) {
        lock(&self.0.journals).remove(journal);
    }

    /// Is restored from a backup.
    pub fn restore(&self) {
        *lock(&self.0.incarnation) += 1;
    }

    /// Does not answer this many times.
    pub fn fail(&self, times: u32) {
        *lock(&self.0.failures) = times;
    }
}

impl Told {
    fn try_to_read(&self) -> Result<(), Failure> {
        let mut failures = lock(&self.failures);
        if *failures == 0 {
            return Ok(());
        }
        *failures -= 1;
        Err(Failure::unavailable("the fake journal", "it was told so"))
    }

    fn read(&self, journal: &JournalId, after: u64) -> Vec<Commit> {
        let journals = lock(&self.journals);
        let commits = journals.get(journal).into_iter().flatten();
        commits.filter(|commit| commit.position.sequence > after).map(|commit| self.opened(commit.clone())).collect()
    }

    fn opened(&self, mut commit: Commit) -> Commit {
        if let Some(person) = commit.header.stream.data_subject() {
            let mut bodies: Vec<_> = commit.events.iter_mut().map(|event| event.body.take()).collect();
            let mut sections = body::split(&mut bodies);
            let erased = |(scope, part): &(Scope, Part)| self.keys.erased(person, *scope, part);
            commit.erased = sections.keys().filter(|cell| erased(cell)).cloned().collect();
            sections.retain(|cell, _| !erased(cell));
            body::join(&mut bodies, &mut sections);
            commit.events.iter_mut().zip(bodies).for_each(|(event, body)| event.body = body.into());
        }
        commit
    }
}

#[async_trait]
impl Journal for FakeJournal {
    async fn load(&self, stream: &StreamId, after: Tail) -> Result<History, Failure> {
        let commits = self.0.read(&stream.journal, 0).into_iter();
        let commits = commits.filter(|c| c.header.stream == *stream && c.header.revision > after.revision);
        Ok(History::of(commits.collect()))
    }

    async fn append(&self, _: Draft) -> Result<Receipt, AppendError> {
        Err(AppendError::Failed(Failure::unavailable("the fake journal", "stories are told to it")))
    }

    async fn follow(&self, journal: &JournalId, after: u64) -> Result<Box<dyn Feed>, Failure> {
        self.0.try_to_read()?;
        let news = self.0.news.subscribe();
        Ok(Box::new(FakeFeed { told: Arc::clone(&self.0), journal: journal.clone(), after, news }))
    }

    async fn head(&self, journal: &JournalId) -> Result<Position, Failure> {
        self.0.try_to_read()?;
        let sequence = self.0.read(journal, 0).last().map_or(0, |last| last.position.sequence);
        Ok(Position { study: journal.study.clone(), incarnation: *lock(&self.0.incarnation), sequence })
    }

    async fn hash_at(&self, journal: &JournalId, sequence: u64) -> Result<Option<CommitHash>, Failure> {
        let commits = self.0.read(journal, 0);
        Ok(commits.iter().find(|commit| commit.position.sequence == sequence).map(|commit| commit.hash))
    }

    async fn journals(&self) -> Result<Vec<JournalId>, Failure> {
        Ok(lock(&self.0.journals).keys().cloned().collect())
    }

    async fn streams(&self, journal: &JournalId, aggregate: Aggregate) -> Result<Vec<StreamId>, Failure> {
        let streams = self.0.read(journal, 0).into_iter().map(|commit| commit.header.stream);
        let streams: std::collections::BTreeSet<_> = streams.filter(|stream| stream.aggregate == aggregate).collect();
        Ok(streams.into_iter().collect())
    }
}

struct FakeFeed {
    told: Arc<Told>,
    journal: JournalId,
    after: u64,
    news: watch::Receiver<u64>,
}

#[async_trait]
impl Feed for FakeFeed {
    async fn next(&mut self, max: usize) -> Result<Vec<Commit>, Failure> {
        loop {
            self.news.mark_unchanged();
            self.told.try_to_read()?;
            let mut commits = self.told.read(&self.journal, self.after);
            commits.truncate(max);
            if let Some(last) = commits.last() {
                self.after = last.position.sequence;
                return Ok(commits);
            }
            self.news.changed().await.map_err(|gone| Failure::unavailable("the fake journal", gone))?;
        }
    }
}

/// Tables in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
    /// Closed, as by a failure of its disk: what it will hold when it is opened again.
    lost: Mutex<Option<Tables>>,
}

/// Rows by key, by table.
type Tables = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

impl MemoryStore {
    /// Whether these bytes stand anywhere, keys included.
    pub fn contains_bytes(&self, bytes: &[u8]) -> bool {
        let within = |whole: &[u8]| whole.windows(bytes.len()).any(|window| window == bytes);
        lock(&self.tables).values().flatten().any(|(key, value)| within(key) || within(value))
    }

    /// Everything in it.
    pub fn dump(&self) -> Tables {
        lock(&self.tables).clone()
    }

    /// Closes it, as a failure of its disk does. Opened again, it holds what it held at an earlier time.
    pub fn fail(&self, earlier: Tables) {
        *lock(&self.lost) = Some(earlier);
    }

    fn open(&self) -> Result<MutexGuard<'_, Tables>, Failure> {
        if self.is_closed() { Err(Failure::unavailable("the read store", "closed")) } else { Ok(lock(&self.tables)) }
    }
}

impl ReadStore for MemoryStore {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.open()?.get(table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: &str, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, Failure> {
        let tables = self.open()?;
        let Some(rows) = tables.get(table) else {
            return Ok(Vec::new());
        };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_vec()),
            Some(_) | None => Bound::Included(prefix.to_vec()),
        };
        let range = rows.range((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(range.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(&self, table: &str, changes: &[Change]) -> Result<(), Failure> {
        let mut tables = self.open()?;
        let rows = tables.entry(table.to_owned()).or_default();
        for change in changes {
            match change.clone() {
                Change::Put { key, value } => rows.insert(key, value),
                Change::Delete { key } => rows.remove(&key),
            };
        }
        Ok(())
    }

    fn drop_table(&self, table: &str) -> Result<(), Failure> {
        self.open()?.remove(table);
        Ok(())
    }

    fn is_closed(&self) -> bool {
        lock(&self.lost).is_some()
    }

    fn open_again(&self) -> Result<(), Failure> {
        if let Some(earlier) = lock(&self.lost).take() {
            *lock(&self.tables) = earlier;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics under this lock")
}

/// No erasure is carried out on the read side.
pub struct NoErasures;

#[async_trait]
impl Ledger for NoErasures {
    async fn ship(&self, _: &StreamId) -> Result<(), Failure> {
        unimplemented!("the read side ships nothing")
    }
}

#[async_trait]
impl Certifier for NoErasures {
    async fn checkpoint(&self, _: &JournalId) -> Result<(), Failure> {
        unimplemented!("the read side signs nothing")
    }
    async fn certify(&self, _: &ErasureAccount) -> Result<Certified, Failure> {
        unimplemented!("the read side signs nothing")
    }
    async fn certificate(&self, _: ErasureId) -> Result<Option<String>, Failure> {
        unimplemented!("no read model asks for a certificate")
    }
    async fn page(&self, _: ErasureId) -> Result<Option<String>, Failure> {
        unimplemented!("no read model asks for a certificate")
    }
}

#[async_trait]
impl ExportVault for NoErasures {
    async fn begin(&self, _: ExportId) -> Result<(), Failure> {
        unimplemented!("no read model exports")
    }
    async fn create(&self, _: ExportId, _: &str) -> Result<Box<dyn HeldFile>, Failure> {
        unimplemented!("no read model exports")
    }
    async fn spool(&self) -> Result<Box<dyn HeldSpool>, Failure> {
        unimplemented!("no read model exports")
    }
    async fn open(&self, _: ExportId, _: &str) -> Result<Option<Box<dyn std::io::Read + Send>>, Failure> {
        unimplemented!("no read model exports")
    }
    async fn holds(&self, _: ExportId) -> Result<bool, Failure> {
        unimplemented!("no read model exports")
    }
    async fn destroy(&self, _: ExportId) -> Result<(), Failure> {
        unimplemented!("no read model exports")
    }
    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Failure> {
        unimplemented!("no read model exports")
    }
}
