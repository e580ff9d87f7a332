//! Carries out what the pure machine [`Rotation`] asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::port::{Destruction, Failure, HeadTag, Shredded, SwapError};
use domain::rotation::{Answer, Ask, End, Head, InstallationId, Rotation, Tree};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::change::ChangedTarget;
use super::head::{HeadHome, HeadRecord};
use super::map::MapNow;
use super::node::Top;
use super::rekey::{Paths, Piece, Rewritten, StoredPaths, fresh, is_left, remove};
use super::ship::Pace;
use super::store::{BucketPlace, NodeWriteError, Place};
use super::tree::{ATTEMPTS_MAX, KeyTree};
use crate::frame::Fault;

/// A rotation alone asks about fifteen times. Who has asked so often runs in circles.
const ASKS_MAX: usize = 300;

/// The lease clock may lag behind the wait: then it is asked again after this.
const ASK_CLOCK_AGAIN: Duration = Duration::from_millis(20);

/// What a rotation is for.
pub(super) enum Goal<'a> {
    /// Nothing of its own: what another has written is shipped, and the roots that nobody needs die.
    Finish,
    /// These keys must go, and this root and all before it (zero: no root has to).
    Shred { piece: &'a Piece<'a>, above: u64 },
    /// This root must be replaced.
    Renew { above: u64 },
}

impl Goal<'_> {
    fn places(&self) -> BTreeSet<BucketPlace> {
        match self {
            Self::Shred { piece, .. } => piece.keys().copied().collect(),
            Self::Finish | Self::Renew { .. } => BTreeSet::new(),
        }
    }
}

/// How a rotation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rotated {
    /// The root that holds now.
    pub(super) root: u64,
    /// Whether the others are gone, or when the last of them will be.
    pub(super) destruction: Destruction,
    /// What this very run removed. What an earlier one did, before it was interrupted, the store knows.
    pub(super) removed: Vec<Shredded>,
}

impl KeyTree {
    /// One rotation, by the configured home of the head. One at a time in this process; others elsewhere are met at
    /// the head.
    pub(super) async fn rotate(&self, goal: &Goal<'_>) -> Result<Rotated, Failure> {
        if matches!(goal, Goal::Shred { .. }) {
            self.prepare_map().await;
        }
        let _one_at_a_time = self.rotating.lock().await;
        self.attach_once().await?;
        self.rotate_at(&*self.home(), goal).await
    }

    /// The caller holds the lock on rotations.
    pub(super) async fn rotate_at(&self, home: &dyn HeadHome, goal: &Goal<'_>) -> Result<Rotated, Failure> {
        let site = self.site().await?;
        let mut drive = Drive::new(self, home, goal);
        let mut rotation = Rotation::begin(site);
        for _ in 0..ASKS_MAX {
            rotation = match rotation.ask() {
                Ok(ask) => {
                    let answer = drive.carry_out(ask).await?;
                    rotation.answer(answer)
                }
                Err(End::Done { root }) => return Ok(drive.ended(root)),
                Err(End::Superseded) => return Err(self.superseded(drive.holder().unwrap_or(site))),
                Err(End::Foreign) => return Err(self.foreign()),
            };
        }
        Err(Failure::unavailable("key tree", "others keep rotating its root"))
    }

    fn foreign(&self) -> Failure {
        let detail = "the head of rotations is not there, or speaks of roots that this tree never had: is it the \
                      right off-site target, and the right store? Nothing was destroyed";
        Failure::damaged(self.name(), detail)
    }

    /// The root that the stored top is wrapped under, and the top's sequence. Opens nothing.
    pub(super) async fn stored_root(&self) -> Result<(u64, u64), Failure> {
        let Some((bytes, sequence)) = self.store.read(&Place::Top.to_string()).await? else {
            return Err(Failure::missing(format!("{}: it was never created in this store", self.name())));
        };
        let root = Top::root_of(&bytes).map_err(|fault: Fault| Failure::damaged(self.name(), fault))?;
        Ok((root, sequence))
    }
}

struct Drive<'a> {
    tree: &'a KeyTree,
    home: &'a dyn HeadHome,
    goal: &'a Goal<'a>,
    /// From when on leases may still hold what the tree gave before: this run's beginning, or its write.
    since: (Instant, Duration),
    /// Roots that the KMS will destroy by itself on a date. They are dead to us: not listed any more, so that nobody
    /// waits for them here.
    scheduled: BTreeMap<u64, OffsetDateTime>,
    /// The record as it was read last. A swap under its tag finds out whether it still is that.
    read: Option<(HeadRecord, HeadTag)>,
    /// The paths as they were read last, for the first attempt to write them anew.
    paths: Option<Seen>,
    removed: Vec<Shredded>,
}

/// Paths as the store had them when it was asked, still sealed.
struct Seen {
    stored: StoredPaths,
    /// Whether the key map took in, beside that, everything that was stored.
    is_map_fresh: bool,
}

impl<'a> Drive<'a> {
    fn new(tree: &'a KeyTree, home: &'a dyn HeadHome, goal: &'a Goal<'a>) -> Self {
        let since = (Instant::now(), tree.options.clock.passed());
        let scheduled = BTreeMap::new();
        Self { tree, home, goal, since, scheduled, read: None, paths: None, removed: Vec::new() }
    }

    fn ended(self, root: u64) -> Rotated {
        Rotated { root, destruction: self.destruction(), removed: self.removed }
    }

    fn destruction(&self) -> Destruction {
        self.scheduled.values().max().map_or(Destruction::Done, |at| Destruction::Scheduled { at: *at })
    }

    async fn carry_out(&mut self, ask: Ask) -> Result<Answer, Failure> {
        match ask {
            Ask::ReadHead => self.read_head().await,
            Ask::ReadTree => self.read_tree().await,
            Ask::Reserve { from, root } => self.reserve(from, root).await,
            Ask::CreateRoot { root } => {
                super::failpoint("keys-root-create");
                self.tree.kms.create_root(root).await?;
                super::failpoint("keys-root-was-created");
                Ok(Answer::Accepted)
            }
            Ask::WriteTree { from, root } => self.write_tree(from, root).await,
            Ask::Ship { from, root } => self.ship(from, root).await,
            Ask::ListRoots => {
                let mut listed = self.tree.kms.versions().await?;
                listed.retain(|root| !self.scheduled.contains_key(root));
                Ok(Answer::Roots(listed))
            }
            Ask::ReadBack => self.read_back().await,
            Ask::Destroy { roots } => self.destroy(&roots).await,
        }
    }

    async fn read_head(&mut self) -> Result<Answer, Failure> {
        self.read = self.home.read().await?;
        Ok(Answer::Head(self.read.as_ref().map(|(record, _)| record.head)))
    }

    /// Who holds the head, as far as is known.
    fn holder(&self) -> Option<InstallationId> {
        self.read.as_ref().map(|(record, _)| record.head.site)
    }

    async fn read_tree(&mut self) -> Result<Answer, Failure> {
        let (root, is_due) = match self.goal {
            Goal::Finish => (self.tree.stored_root().await?.0, false),
            Goal::Renew { above } => {
                let root = self.tree.stored_root().await?.0;
                (root, root <= *above)
            }
            Goal::Shred { piece, .. } => {
                let (paths, is_map_fresh) = tokio::join!(self.tree.read_paths(piece.keys()), self.tree.refresh_map());
                let paths = paths?;
                let (root, is_due) = (paths.top.root, self.is_due(&paths)?);
                self.paths = Some(Seen { stored: paths.as_stored, is_map_fresh });
                (root, is_due)
            }
        };
        Ok(Answer::Tree(Tree { root, is_due }))
    }

    /// Whether the goal is still to be reached in a tree with these paths.
    fn is_due(&self, paths: &Paths) -> Result<bool, Failure> {
        match self.goal {
            Goal::Finish => Ok(false),
            Goal::Renew { above } => Ok(paths.top.root <= *above),
            Goal::Shred { piece, above } => Ok(paths.top.root <= *above || is_left(paths, piece)?),
        }
    }

    /// The record that held `head` when it was read.
    fn take_record_of(&mut self, head: Head) -> Option<(HeadRecord, HeadTag)> {
        self.read.take().filter(|(record, _)| record.head == head)
    }

    /// What is read from now on is what was swapped in.
    async fn swap(&mut self, expected: &HeadTag, record: HeadRecord) -> Result<Answer, Failure> {
        match self.home.swap(Some(expected), &record).await {
            Ok(tag) => {
                self.read = Some((record, tag));
                Ok(Answer::Accepted)
            }
            Err(SwapError::Moved) => Ok(Answer::Moved),
            // Unclear: whoever goes on reads the head first.
            Err(SwapError::Failed(failure)) => Err(failure),
        }
    }

    async fn reserve(&mut self, from: Head, root: u64) -> Result<Answer, Failure> {
        let Some((mut record, tag)) = self.take_record_of(from) else {
            return Ok(Answer::Moved);
        };
        record.head.reserved = Some(root);
        super::failpoint("keys-head-reserve");
        let answer = self.swap(&tag, record).await;
        super::failpoint("keys-head-was-reserved");
        answer
    }

    /// Fresh keys on every path of the goal. Inserts move buckets meanwhile: then it is read and written anew.
    async fn write_tree(&mut self, from: u64, root: u64) -> Result<Answer, Failure> {
        // Only this holds up whoever wants keys meanwhile, not what comes after it.
        let _writer = self.tree.writer.lock().await;
        let places = self.goal.places();
        for _ in 0..ATTEMPTS_MAX {
            let (read, map) = match self.open_seen(&places).await {
                Some((paths, map)) => (Ok(paths), map),
                // Side by side. A bucket that was written in between makes the write fail, whatever the map says of it.
                None => tokio::join!(self.tree.read_paths(places.iter()), self.map_now()),
            };
            let mut paths = match read {
                Ok(paths) => paths,
                Err(Failure::Missing { .. }) if !self.tree.kms.versions().await?.contains(&from) => {
                    return Ok(Answer::Moved);
                }
                Err(failure) => return Err(failure),
            };
            if paths.top.root != from {
                return Ok(Answer::Moved);
            }
            let targets = match (self.goal, map) {
                (Goal::Shred { piece, .. }, Some(map)) => {
                    let before = paths.buckets.clone();
                    let removed = remove(&mut paths, piece)?;
                    paths.proofs = self.tree.prove(map, &before, &paths.buckets, piece).await;
                    removed
                }
                _ => Vec::new(),
            };
            match self.tree.rewrite(paths, root, targets.clone(), &fresh).await? {
                Rewritten::Done => {
                    self.since = (Instant::now(), self.tree.options.clock.passed());
                    self.note_removed(from, root, targets);
                    return Ok(Answer::Accepted);
                }
                Rewritten::NoRoot => return Ok(Answer::Moved),
                Rewritten::Conflict => {}
            }
        }
        Err(self.tree.write_failed(NodeWriteError::Conflict))
    }

    /// The paths as they were read before, opened by the KMS now, after the new root was created: a site that was left
    /// behind can not. The write expects every node as it was read, so it fails if one has moved since. None: read them.
    async fn open_seen(&mut self, places: &BTreeSet<BucketPlace>) -> Option<(Paths, Option<MapNow<'a>>)> {
        let Seen { stored, is_map_fresh } = self.paths.take()?;
        let paths = self.tree.open_paths(places, stored).await.ok()?;
        let map = if is_map_fresh { Some(self.tree.map_with_own().await) } else { self.map_now().await };
        Some((paths, map))
    }

    async fn map_now(&self) -> Option<MapNow<'a>> {
        match self.goal {
            Goal::Shred { .. } => Some(self.tree.map_now().await),
            Goal::Finish | Goal::Renew { .. } => None,
        }
    }

    fn note_removed(&mut self, root_before: u64, root_after: u64, targets: Vec<ChangedTarget>) {
        let told = |ChangedTarget { target, keys }| Shredded { target, keys, root_before, root_after };
        self.removed.extend(targets.into_iter().filter(|changed| changed.keys > 0).map(told));
    }

    async fn ship(&mut self, from: Head, root: u64) -> Result<Answer, Failure> {
        let Some((mut record, tag)) = self.take_record_of(from) else {
            return Ok(Answer::Moved);
        };
        let is_under_root = match self.home.off_site() {
            Some(off_site) => self.tree.ship_onto(off_site, &mut record, root, Pace::Urgent).await?,
            None => self.tree.stored_root().await?.0 == root,
        };
        if !is_under_root {
            return Ok(Answer::Moved);
        }
        (record.head.shipped, record.head.reserved) = (root, None);
        super::failpoint("keys-head-ship");
        let answer = self.swap(&tag, record).await;
        super::failpoint("keys-head-was-shipped");
        answer
    }

    /// Nothing is destroyed before what was written was read back and opened under a root that stays.
    async fn read_back(&self) -> Result<Answer, Failure> {
        self.wait_for_leases().await;
        let paths = self.tree.read_paths(self.goal.places().iter()).await?;
        Ok(Answer::Tree(Tree { root: paths.top.root, is_due: self.is_due(&paths)? }))
    }

    async fn destroy(&mut self, roots: &BTreeSet<u64>) -> Result<Answer, Failure> {
        for root in roots {
            super::failpoint("keys-root-destroy");
            match self.tree.kms.destroy(*root).await? {
                Destruction::Done => {}
                Destruction::Scheduled { at } => drop(self.scheduled.insert(*root, at)),
            }
            super::failpoint("keys-root-was-destroyed");
        }
        Ok(Answer::Accepted)
    }

    /// Until no process can still use from memory what it read before the write. Both clocks must say so: the lease
    /// clock counts a suspension and jumps with the wall clock, which ends a lease early but must not end this wait.
    async fn wait_for_leases(&self) {
        let settle = self.tree.options.settle;
        if settle.is_zero() {
            return;
        }
        tokio::time::sleep_until(self.since.0 + settle).await;
        while self.tree.options.clock.passed() < self.since.1 + settle {
            tokio::time::sleep(ASK_CLOCK_AGAIN).await;
        }
    }
}
