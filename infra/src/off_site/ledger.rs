//! The off-site ledger: `ledger/<study>/<id>/<revision>`, one object for each commit of a `privacy` stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_trait::async_trait;
use domain::history::{Aggregate, JournalId, Revision, StreamId, Tail};
use domain::ids::{StudyId, TenantId};
use domain::port::{Failure, Ledger, OffSite};
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::journal::names::{Subject, parse_subject, stream_subject};
use crate::journal::raw::RawReader;
use crate::journal::{Outgoing, Verdict, Wire};
use crate::seal::peek;

const FOLDER: &str = "ledger";

/// So often a commit whose outcome is not known is put back again.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Stands where a study would, as in the subjects of the tenant's own journal stream.
const NO_STUDY: &str = "_";

/// A ledger for where no off-site target is configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLedger;

#[async_trait]
impl Ledger for NoLedger {
    async fn ship(&self, _: &StreamId) -> Result<(), Failure> {
        Ok(())
    }
}

/// One `privacy` stream as the ledger holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerStream {
    /// Which.
    pub stream: StreamId,
    /// The stored bytes of its commits, revision 1 first.
    pub commits: Vec<Vec<u8>>,
}

/// Where the commits of one stream stand after they were put back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutBack {
    /// How many were written just now.
    pub written: usize,
    /// Of every commit that the ledger holds, those that were there before included: its sequence in the journal, and
    /// when it was first stored.
    pub commits: Vec<(u64, OffsetDateTime)>,
}

/// Copies every commit of the `privacy` streams as it is stored.
pub struct CopiedLedger {
    off_site: Arc<dyn OffSite>,
    client: Client,
    tenant: TenantId,
    shipped: Mutex<BTreeMap<StreamId, Shipped>>,
}

/// How far a stream is known to stand off-site.
#[derive(Debug, Clone, Copy, Default)]
struct Shipped {
    tail: Tail,
    /// Of its last commit, in the journal stream.
    sequence: u64,
}

impl CopiedLedger {
    /// Of a tenant, whose journal is read through the connection of its service login. Asks nothing yet.
    pub fn new(off_site: Arc<dyn OffSite>, client: Client, tenant: &TenantId) -> Self {
        Self { off_site, client, tenant: tenant.clone(), shipped: Mutex::default() }
    }

    /// Ships whatever of these journal streams' `privacy` streams is not there yet, and says how many streams that were.
    /// At start: a crash may have come between an append and its copy.
    ///
    /// # Errors
    /// `Damaged` where the ledger holds more than the journal: then the journal has lost an erasure, and is to be
    /// restored from the ledger before it serves.
    pub async fn catch_up(&self, journals: &[JournalId]) -> Result<usize, Failure> {
        let mut behind = 0;
        for journal in journals {
            let there = self.revisions(journal).await?;
            let reader = RawReader::new(self.client.clone(), journal);
            let study = journal.study.as_ref().map_or(NO_STUDY, StudyId::as_str);
            let filter = format!("evt.{}.{study}.{}.>", journal.tenant, Aggregate::Privacy.as_str());
            let mut stored = BTreeMap::new();
            for (subject, count) in reader.subjects(&filter).await? {
                if let Some(Subject::Stream(stream)) = parse_subject(&subject) {
                    stored.insert(stream, count);
                }
            }
            for (stream, revision) in &there {
                if stored.get(stream).is_none_or(|count| count < revision) {
                    return Err(ahead(stream, *revision));
                }
            }
            for (stream, count) in stored {
                if there.get(&stream).is_none_or(|revision| *revision < count) {
                    self.ship(&stream).await?;
                    behind += 1;
                }
            }
        }
        Ok(behind)
    }

    /// Every stream of the ledger, complete and chained.
    ///
    /// # Errors
    /// `Damaged` names the commit that is missing or does not fit.
    pub async fn read_all(&self) -> Result<Vec<LedgerStream>, Failure> {
        read_ledger(&*self.off_site, &self.tenant).await
    }

    /// The last revision of each stream of a journal stream that is there.
    async fn revisions(&self, journal: &JournalId) -> Result<BTreeMap<StreamId, u64>, Failure> {
        let study = journal.study.as_ref().map_or(NO_STUDY, StudyId::as_str);
        let mut last = BTreeMap::new();
        for name in self.off_site.list(&format!("{FOLDER}/{study}/")).await? {
            if let Some((stream, revision)) = parse_name(&name, &self.tenant) {
                last.insert(stream, revision);
            }
        }
        Ok(last)
    }

    async fn known(&self, stream: &StreamId) -> Option<Shipped> {
        self.shipped.lock().await.get(stream).copied()
    }

    /// What stands there already, asked once for each stream.
    async fn there(&self, stream: &StreamId) -> Result<u64, Failure> {
        let names = self.off_site.list(&format!("{}/", folder_of(stream))).await?;
        let last = names.iter().filter_map(|name| parse_name(name, &self.tenant)).map(|(_, revision)| revision).max();
        Ok(last.unwrap_or(0))
    }
}

#[async_trait]
impl Ledger for CopiedLedger {
    async fn ship(&self, stream: &StreamId) -> Result<(), Failure> {
        if stream.aggregate != Aggregate::Privacy || stream.journal.tenant != self.tenant {
            return Err(Failure::damaged(
                format!("the ledger entry of {stream}"),
                "it is no privacy stream of this tenant",
            ));
        }
        let (known, there) = match self.known(stream).await {
            Some(known) => (known, known.tail.revision.0),
            None => (Shipped::default(), self.there(stream).await?),
        };
        let reader = RawReader::new(self.client.clone(), &stream.journal);
        let messages = reader.of_stream(stream, known.sequence + 1).await?;
        let mut shipped = known;
        for message in &messages {
            shipped.tail = chained(stream, shipped.tail, &message.payload)?;
            shipped.sequence = message.sequence;
            // The last one that is there is put again: so it is compared.
            if shipped.tail.revision.0 >= there && shipped.tail.revision.0 > known.tail.revision.0 {
                tracing::trace!(target: "failpoint", at = "ledger-before-put");
                self.off_site.put(&name_of(stream, shipped.tail.revision), &message.payload).await?;
                tracing::trace!(target: "failpoint", at = "ledger-after-put");
            }
        }
        if shipped.tail.revision.0 < there {
            return Err(ahead(stream, there));
        }
        let mut all = self.shipped.lock().await;
        let kept = all.entry(stream.clone()).or_default();
        if kept.sequence < shipped.sequence {
            *kept = shipped;
        }
        Ok(())
    }
}

/// Every stream of a tenant's ledger, complete and chained: what a restore must bring back.
///
/// # Errors
/// `Damaged` names the commit that is missing or does not fit.
pub async fn read_ledger(off_site: &dyn OffSite, tenant: &TenantId) -> Result<Vec<LedgerStream>, Failure> {
    let mut streams: Vec<LedgerStream> = Vec::new();
    let mut tail = Tail::default();
    for name in off_site.list(&format!("{FOLDER}/")).await? {
        let damaged = |detail: &str| Failure::damaged(format!("the off-site object {name}"), detail);
        let (stream, _) = parse_name(&name, tenant).ok_or_else(|| damaged("it is no entry of a ledger"))?;
        let bytes = off_site.get(&name).await?.ok_or_else(|| damaged("it is listed and cannot be read"))?;
        if streams.last().is_none_or(|last| last.stream != stream) {
            streams.push(LedgerStream { stream: stream.clone(), commits: Vec::new() });
            tail = Tail::default();
        }
        tail = chained(&stream, tail, &bytes)?;
        if let Some(last) = streams.last_mut() {
            last.commits.push(bytes);
        }
    }
    Ok(streams)
}

/// Appends to the journal what the ledger holds of a stream and the journal lacks: after a restore from a backup that is
/// older than an erasure. Begun again, it goes on.
///
/// # Errors
/// `Damaged` if the two differ in a commit that both have.
pub async fn put_back(client: &Client, ledger: &LedgerStream) -> Result<PutBack, Failure> {
    let reader = RawReader::new(client.clone(), &ledger.stream.journal);
    let there = reader.of_stream(&ledger.stream, 1).await?;
    if let Some(at) = there.iter().zip(&ledger.commits).position(|(one, other)| one.payload != other[..]) {
        let what = format!("commit {} of {}", at + 1, ledger.stream);
        return Err(Failure::damaged(what, "the journal and the off-site ledger hold different ones"));
    }
    let lacking = ledger.commits.get(there.len()..).unwrap_or_default();
    let mut sequences: Vec<u64> = there.iter().map(|message| message.sequence).collect();
    for payload in lacking {
        tracing::trace!(target: "failpoint", at = "ledger-put-back");
        let end = sequences.last().copied().unwrap_or_default();
        sequences.push(append_raw(client, &reader, &ledger.stream, payload, end).await?);
    }
    let mut back = PutBack { written: lacking.len(), commits: Vec::new() };
    for (sequence, payload) in sequences.into_iter().zip(&ledger.commits) {
        back.commits.push((sequence, peek(payload)?.header.stored_at));
    }
    Ok(back)
}

/// Appends stored bytes to a stream that ends at `end`, and says where they stand.
async fn append_raw(
    client: &Client,
    reader: &RawReader,
    stream: &StreamId,
    payload: &[u8],
    end: u64,
) -> Result<u64, Failure> {
    let (wire, subject) = (Wire::new(client.clone()), stream_subject(stream));
    let mut refusal = None;
    for _ in 0..TRIES {
        match wire.publish(Outgoing::new(subject.clone(), payload.to_vec()).expecting(end)).await {
            Ok(ack) => return Ok(ack.sequence),
            Err(why) => refusal = Some(why),
        }
        match reader.last_of(&subject).await {
            // It was stored, and only the acknowledgement was lost.
            Ok(Some(last)) if last.payload == payload => return Ok(last.sequence),
            Ok(last) if last.as_ref().map_or(0, |last| last.sequence) == end => {}
            Ok(_) => return Err(Failure::damaged(stream, "somebody else writes to it while it is restored")),
            Err(Failure::Unavailable { .. }) => {}
            Err(failure) => return Err(failure),
        }
        if refusal.as_ref().is_some_and(|refusal| refusal.verdict() == Verdict::Refused) {
            break;
        }
        sleep(PAUSE).await;
    }
    let cause = refusal.map_or_else(String::new, |refusal| refusal.to_string());
    Err(Failure::unavailable("the journal", cause))
}

/// The next commit of a stream must have the next revision and name the hash of the one before.
fn chained(stream: &StreamId, tail: Tail, payload: &[u8]) -> Result<Tail, Failure> {
    let next = tail.revision.next();
    let damaged = |detail: &str| Failure::damaged(format!("commit {next} of {stream}"), detail);
    let peeked = peek(payload)?;
    if peeked.header.stream != *stream {
        return Err(damaged("it names another stream"));
    }
    if peeked.header.revision != next {
        return Err(damaged(&format!("it is missing: what follows has revision {}", peeked.header.revision)));
    }
    if peeked.header.previous != tail.hash {
        return Err(damaged("it does not name the hash of the commit before it"));
    }
    Ok(Tail { revision: next, hash: peeked.hash })
}

fn ahead(stream: &StreamId, revision: u64) -> Failure {
    let detail =
        format!("the off-site ledger holds {revision} commits, the journal fewer: restore it before it serves");
    Failure::damaged(stream, detail)
}

fn folder_of(stream: &StreamId) -> String {
    let study = stream.journal.study.as_ref().map_or(NO_STUDY, StudyId::as_str);
    format!("{FOLDER}/{study}/{}", stream.id)
}

fn name_of(stream: &StreamId, revision: Revision) -> String {
    format!("{}/{:08}", folder_of(stream), revision.0)
}

fn parse_name(name: &str, tenant: &TenantId) -> Option<(StreamId, u64)> {
    let parts: Vec<&str> = name.split('/').collect();
    let [FOLDER, study, id, revision] = parts.as_slice() else { return None };
    let study = if *study == NO_STUDY { None } else { Some(study.parse().ok()?) };
    let journal = JournalId { tenant: tenant.clone(), study };
    let stream = StreamId { journal, aggregate: Aggregate::Privacy, id: (*id).to_owned() };
    let number: u64 = revision.parse().ok()?;
    (name_of(&stream, Revision(number)) == name).then_some((stream, number))
}
