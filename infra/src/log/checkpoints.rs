//! Follows the journal streams of one tenant off the command path, signs what it sees, and checks it at start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::history::JournalId;
use domain::ids::TenantId;
use domain::port::{Clock, Failure, OffSite, PublicKey, Signer};
use time::OffsetDateTime;

use super::Hash;
use super::checkpoint::{Checkpoint, KeyMapState, origin};
use super::journal_log::JournalLog;
use super::merkle::root;
use super::shelf::{Shelf, Signed, folder, journal_of, object};
use super::source::{KeyMapSource, RawJournals};

/// So many of the newest off-site checkpoints of a journal stream are read at start.
const OFF_SITE_READ: usize = 8;

/// What [`Checkpoints`] is made of.
#[derive(Clone)]
pub struct CheckpointParts {
    /// Whose.
    pub tenant: TenantId,
    /// The tenant's folder beside the read store: `checkpoints/` and `log/` are made in it.
    pub dir: PathBuf,
    /// The journal streams.
    pub source: Arc<dyn RawJournals>,
    /// Who signs.
    pub signer: Arc<dyn Signer>,
    /// Where copies go; none: they are kept here only.
    pub off_site: Option<Arc<dyn OffSite>>,
    /// The key map, for whoever has one.
    pub key_map: Option<Arc<dyn KeyMapSource>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How often there is a new one, if there is news.
    pub every: Duration,
    /// How often one goes off-site, unless it was asked for: then it goes at once.
    pub off_site_every: Duration,
}

/// The checkpoints of one tenant.
pub struct Checkpoints {
    parts: CheckpointParts,
    logs: Mutex<BTreeMap<JournalId, Arc<tokio::sync::Mutex<State>>>>,
}

/// What is known about one journal stream.
#[derive(Default)]
struct State {
    log: Option<JournalLog>,
    newest: Option<Checkpoint>,
    /// The newest one that does not stand off-site yet.
    owed: Option<Signed>,
    /// When one was last put there.
    shipped_at: Option<OffsetDateTime>,
}

impl Checkpoints {
    /// Reads and writes nothing yet.
    pub fn new(parts: CheckpointParts) -> Self {
        Self { parts, logs: Mutex::default() }
    }

    /// Fails unless every one of `expected`, and of the journal streams that have a checkpoint here or off-site, is there
    /// and contains what was signed. What is stored of the log is used where it fits; otherwise the journal stream is read
    /// whole.
    ///
    /// What it finds: a shorter journal stream, a missing one, another end than was signed (an older copy that was written
    /// to again). A change in the middle of an old one is found only by chance here, and always by `verify journal`.
    ///
    /// # Errors
    /// `Damaged` says which messages of which journal stream are lost.
    pub async fn check_at_start(&self, expected: &[JournalId]) -> Result<(), Failure> {
        let own = JournalId { tenant: self.parts.tenant.clone(), study: None };
        let mut journals = expected.to_vec();
        journals.extend(Shelf::known(&self.parts.dir, &own)?);
        if let Some(off_site) = &self.parts.off_site {
            let names = heard(off_site.list("checkpoints/").await)?;
            let folder =
                |name: &str| name.strip_prefix("checkpoints/")?.split_once('/').map(|(folder, _)| folder.to_owned());
            let mut folders: Vec<_> = names.iter().filter_map(|name| folder(name)).collect();
            folders.dedup();
            journals.extend(folders.iter().filter_map(|name| journal_of(&own, name)));
        }
        journals.sort();
        journals.dedup();
        for journal in &journals {
            self.check(journal).await?;
        }
        Ok(())
    }

    /// Signs where a journal stream stands now, and keeps that for good; what is signed already is not signed again.
    ///
    /// # Errors
    /// `Damaged` if the journal stream is not what was signed before; `Unavailable` if something does not answer.
    pub async fn force(&self, journal: &JournalId) -> Result<Signed, Failure> {
        let state = self.state(journal);
        let mut state = state.lock().await;
        let signed = self.sign(journal, &mut state, true).await?;
        let newest = match signed {
            Some(signed) => signed,
            None => self.keep_newest(journal, &mut state).await?,
        };
        self.ship(journal, &mut state, true).await;
        Ok(newest)
    }

    /// The last checkpoint of a journal stream that does not contain a message.
    ///
    /// # Errors
    /// `Missing` if there is none.
    pub async fn before(&self, journal: &JournalId, sequence: u64) -> Result<Signed, Failure> {
        let key = self.parts.signer.public_key().await?;
        let found = self.shelf(journal).below(sequence, &key)?;
        let found = found.ok_or_else(|| {
            Failure::missing(format!("a checkpoint of {} before its message {sequence}", origin(journal)))
        })?;
        self.shelf(journal).put(&found, true)?;
        Ok(found)
    }

    /// The proof that the newer checkpoint only appends to the older one.
    ///
    /// # Errors
    /// `Damaged` if it does not.
    pub async fn consistency(&self, old: &Checkpoint, new: &Checkpoint) -> Result<Vec<Hash>, Failure> {
        let state = self.state(&new.journal);
        let mut state = state.lock().await;
        let log = self.log(&new.journal, &mut state).await?;
        if let Ok(proof) = log.consistency(old, new) {
            return Ok(proof);
        }
        // The stored hashes may be what is damaged: the journal has the last word.
        let stands = self.parts.source.state(&new.journal).await?;
        log.rebuild(&*self.parts.source, &stands).await?;
        log.consistency(old, new)
    }

    /// The proof that a message is in what a checkpoint signs.
    ///
    /// # Errors
    /// `Damaged` if it is not.
    pub async fn inclusion(&self, at: &Checkpoint, sequence: u64, leaf: &Hash) -> Result<Vec<Hash>, Failure> {
        let state = self.state(&at.journal);
        let mut state = state.lock().await;
        let log = self.log(&at.journal, &mut state).await?;
        if let Ok(proof) = log.inclusion(at, sequence, leaf) {
            return Ok(proof);
        }
        let stands = self.parts.source.state(&at.journal).await?;
        log.rebuild(&*self.parts.source, &stands).await?;
        log.inclusion(at, sequence, leaf)
    }

    /// All checkpoints of these journal streams, kept here or newest off-site, that no restore has replaced: their signatures
    /// are checked. To compare a whole journal with.
    ///
    /// # Errors
    /// `Damaged` if one is not what was signed.
    pub async fn signed(&self, journals: &[JournalId]) -> Result<Vec<Checkpoint>, Failure> {
        let key = self.parts.signer.public_key().await?;
        let mut all = Vec::new();
        for journal in journals {
            let kept = self.shelf(journal).all(&key)?.into_iter().chain(self.off_site(journal).await?);
            let mut kept: Vec<Checkpoint> = kept.map(|signed| signed.checkpoint).collect();
            if let Ok(stands) = self.parts.source.state(journal).await {
                kept.retain(|old| !stands.incarnations.supersedes(&old.incarnations, old.size));
            }
            kept.sort_by_key(|checkpoint| checkpoint.size);
            kept.dedup_by_key(|checkpoint| checkpoint.size);
            all.extend(kept);
        }
        Ok(all)
    }

    /// Follows all journal streams until it is dropped. What fails is reported and tried again.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(self.parts.every).await;
            self.tick().await;
        }
    }

    /// One round over all journal streams: what has news is signed, what is owed off-site is sent.
    pub async fn tick(&self) {
        let journals = match self.parts.source.journals().await {
            Ok(journals) => journals,
            Err(error) => return tracing::warn!(%error, "no checkpoints: the journal streams cannot be listed"),
        };
        for journal in journals {
            let state = self.state(&journal);
            let mut state = state.lock().await;
            if let Err(error) = self.sign(&journal, &mut state, false).await {
                // What is damaged is an alarm; what does not answer is asked again.
                match error {
                    Failure::Unavailable { .. } => {
                        tracing::warn!(journal = origin(&journal), %error, "no checkpoint for now");
                    }
                    Failure::Damaged { .. } | Failure::Missing { .. } => {
                        tracing::error!(journal = origin(&journal), %error, "no checkpoint");
                    }
                }
            }
            self.ship(&journal, &mut state, false).await;
        }
    }

    async fn check(&self, journal: &JournalId) -> Result<(), Failure> {
        let key = self.parts.signer.public_key().await?;
        let shelf = self.shelf(journal);
        let mut signed = shelf.all(&key)?;
        let mut elsewhere = self.off_site(journal).await?;
        let stands = self.parts.source.state(journal).await;
        if let Ok(stands) = &stands {
            // What a restore could not bring back is lost for good, and was said then.
            let is_ours = |signed: &Signed| {
                let Checkpoint { incarnations, size, .. } = &signed.checkpoint;
                !stands.incarnations.supersedes(incarnations, *size)
            };
            signed.retain(is_ours);
            elsewhere.retain(is_ours);
        }
        for newer in elsewhere
            .iter()
            .filter(|newer| signed.last().is_none_or(|last| last.checkpoint.size < newer.checkpoint.size))
        {
            shelf.put(newer, false)?;
        }
        signed.extend(elsewhere);
        let mut signed: Vec<_> = signed.into_iter().map(|signed| signed.checkpoint).collect();
        signed.sort_by_key(|checkpoint| checkpoint.size);
        let stands = match (stands, signed.last()) {
            (Err(Failure::Missing { .. }), Some(newest)) => {
                let detail = format!("it is not there, and {} messages of it were signed", newest.size);
                return Err(Failure::damaged(format!("journal stream {}", origin(journal)), detail));
            }
            (stands, _) => stands?,
        };
        let mut log = JournalLog::open(&self.parts.dir, journal, signed.last())?;
        log.check(&*self.parts.source, &stands, &signed).await?;
        let state = self.state(journal);
        *state.lock().await = State { log: Some(log), newest: signed.pop(), owed: None, shipped_at: None };
        Ok(())
    }

    async fn off_site(&self, journal: &JournalId) -> Result<Vec<Signed>, Failure> {
        match &self.parts.off_site {
            Some(off_site) => heard(newest_of(&**off_site, journal, &self.parts.signer.public_key().await?).await),
            None => Ok(Vec::new()),
        }
    }

    /// Signs and keeps where a journal stream stands; none if there is no news.
    async fn sign(&self, journal: &JournalId, state: &mut State, for_good: bool) -> Result<Option<Signed>, Failure> {
        // Opened first: it reads the journal to its end, which must not be after the end that is asked for here.
        self.log(journal, state).await?;
        let stands = self.parts.source.state(journal).await?;
        if state.newest.as_ref().is_some_and(|newest| newest.size == stands.last) {
            return Ok(None);
        }
        let log = self.log(journal, state).await?;
        if log.size() > stands.last {
            let detail = format!("it ends at {}, and had {} messages before", stands.last, log.size());
            return Err(Failure::damaged(format!("journal stream {}", origin(journal)), detail));
        }
        log.catch_up(&*self.parts.source, &stands, stands.last).await?;
        log.levels().sync()?;
        let checkpoint = Checkpoint {
            journal: journal.clone(),
            size: stands.last,
            root: root(log.levels(), stands.last)?,
            incarnations: stands.incarnations,
            key_map: self.key_map().await,
            time: self.parts.clock.now(),
        };
        let note = checkpoint.sign(&*self.parts.signer).await?;
        let signed = Signed { checkpoint, note };
        tracing::trace!(target: "failpoint", at = "checkpoint-signed");
        self.shelf(journal).put(&signed, for_good)?;
        tracing::trace!(target: "failpoint", at = "checkpoint-stored");
        self.shelf(journal).thin(&self.parts.signer.public_key().await?)?;
        state.newest = Some(signed.checkpoint.clone());
        state.owed = Some(signed.clone());
        Ok(Some(signed))
    }

    async fn keep_newest(&self, journal: &JournalId, state: &mut State) -> Result<Signed, Failure> {
        let key = self.parts.signer.public_key().await?;
        let size = state.newest.as_ref().map_or(0, |newest| newest.size);
        let newest = self.shelf(journal).read(size, &key)?;
        self.shelf(journal).put(&newest, true)?;
        // Whether it went off-site is not known after a start; to send it again does no harm.
        state.owed = Some(newest.clone());
        Ok(newest)
    }

    /// Off-site as well as can be: what is kept here counts, what is owed there is tried again.
    async fn ship(&self, journal: &JournalId, state: &mut State, at_once: bool) {
        let (Some(off_site), Some(owed)) = (&self.parts.off_site, &state.owed) else {
            return;
        };
        let now = self.parts.clock.now();
        let is_due = state.shipped_at.is_none_or(|last| now - last >= self.parts.off_site_every);
        if !is_due && !at_once {
            return;
        }
        match off_site.put(&object(&owed.checkpoint), owed.note.as_bytes()).await {
            Ok(()) => {
                tracing::trace!(target: "failpoint", at = "checkpoint-off-site");
                state.shipped_at = Some(now);
                state.owed = None;
            }
            Err(error) => {
                tracing::warn!(journal = origin(journal), %error, "a checkpoint did not go off-site: tried again later");
            }
        }
    }

    /// A journal is signed whether or not the keys can be had at the moment.
    async fn key_map(&self) -> Option<KeyMapState> {
        match self.parts.key_map.as_ref()?.state().await {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!(%error, "a checkpoint without the root of the key map");
                None
            }
        }
    }

    /// The log, opened at first use.
    async fn log<'a>(&self, journal: &JournalId, state: &'a mut State) -> Result<&'a mut JournalLog, Failure> {
        if state.log.is_none() {
            let key = self.parts.signer.public_key().await?;
            let stands = self.parts.source.state(journal).await?;
            let all = self.shelf(journal).all(&key)?.into_iter();
            let mut signed: Vec<_> = all.map(|signed| signed.checkpoint).collect();
            let newest = signed.pop();
            let signed: Vec<_> = newest.clone().into_iter().collect();
            let mut log = JournalLog::open(&self.parts.dir, journal, newest.as_ref())?;
            log.check(&*self.parts.source, &stands, &signed).await?;
            state.newest = newest;
            state.log = Some(log);
        }
        state.log.as_mut().ok_or_else(|| Failure::unavailable("Merkle log", "it is not open"))
    }

    /// Where the checkpoints of a journal stream are kept.
    pub fn shelf(&self, journal: &JournalId) -> Shelf {
        Shelf::new(&self.parts.dir, journal)
    }

    fn state(&self, journal: &JournalId) -> Arc<tokio::sync::Mutex<State>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).entry(journal.clone()).or_default().clone()
    }
}

/// An off-site target that does not answer is passed over: what is kept here counts.
fn heard<T>(answer: Result<Vec<T>, Failure>) -> Result<Vec<T>, Failure> {
    match answer {
        Err(failure @ Failure::Unavailable { .. }) => {
            tracing::warn!(%failure, "checkpoints off-site are not looked at");
            Ok(Vec::new())
        }
        other => other,
    }
}

/// The newest checkpoint of each life of a journal stream that stands off-site, the oldest life first: for a restore, which has nothing else to compare with.
///
/// # Errors
/// `Damaged` if it is not what was signed.
pub async fn newest_off_site(
    off_site: &dyn OffSite,
    journal: &JournalId,
    key: &PublicKey,
) -> Result<Vec<Checkpoint>, Failure> {
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    for name in off_site.list(&folder(journal)).await? {
        // Names ascend: below their life by size.
        let life = name.rsplit_once('/').map(|(life, _)| life.to_owned());
        newest.insert(life.unwrap_or_default(), name);
    }
    let mut signed = Vec::new();
    for name in newest.values() {
        signed.push(read_of(off_site, journal, name, key).await?.checkpoint);
    }
    Ok(signed)
}

/// The newest off-site checkpoints of a journal stream, oldest first.
async fn newest_of(off_site: &dyn OffSite, journal: &JournalId, key: &PublicKey) -> Result<Vec<Signed>, Failure> {
    let names = off_site.list(&folder(journal)).await?;
    let mut signed = Vec::new();
    for name in &names[names.len().saturating_sub(OFF_SITE_READ)..] {
        signed.push(read_of(off_site, journal, name, key).await?);
    }
    Ok(signed)
}

async fn read_of(off_site: &dyn OffSite, journal: &JournalId, name: &str, key: &PublicKey) -> Result<Signed, Failure> {
    let bytes = off_site.get(name).await?.ok_or_else(|| Failure::missing(format!("the off-site object {name}")))?;
    let damaged = |detail: String| Failure::damaged(format!("the off-site object {name}"), detail);
    let note = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
    let checkpoint = Checkpoint::open(&note, journal, key).map_err(|fault| damaged(fault.to_string()))?;
    Ok(Signed { checkpoint, note })
}

#[cfg(test)]
#[path = "checkpoints_tests.rs"]
mod tests;
