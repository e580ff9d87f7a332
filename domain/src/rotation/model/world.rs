//! What there is: a KMS, an off-site target, sites with a live tree and a journal, backups, and two processes.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::driver::Driver;
use super::explore::Scenario;
use crate::rotation::{Head, InstallationId};

/// A set of people, one bit each.
pub(super) type People = u8;

/// Anna and Boris are those who may be erased; Carla is a survivor, Dora is one who enrols on the way.
pub(super) const ANNA: People = 1;
pub(super) const BORIS: People = 2;
pub(super) const CARLA: People = 4;
pub(super) const DORA: People = 8;

/// One root key: a number that is destroyed and created again has other bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RootKey {
    pub(super) number: u8,
    bits: u8,
}

/// The root keys: how often each number was created, and which live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Roots {
    born: [u8; 16],
    alive: u16,
}

impl Roots {
    fn first() -> Self {
        let mut roots = Self { born: [0; 16], alive: 0 };
        roots.create(1);
        roots
    }

    pub(super) fn create(&mut self, number: u64) {
        let at = usize::try_from(number).expect("root numbers are small");
        if self.alive & (1 << at) == 0 {
            self.born[at] += 1;
            self.alive |= 1 << at;
        }
    }

    pub(super) fn destroy(&mut self, number: u64) {
        self.alive &= !(1 << number);
    }

    /// The living key of this number.
    pub(super) fn key(&self, number: u64) -> Option<RootKey> {
        let at = u8::try_from(number).expect("root numbers are small");
        (self.alive & (1 << at) != 0).then(|| RootKey { number: at, bits: self.born[usize::from(at)] })
    }

    pub(super) fn has(&self, key: RootKey) -> bool {
        self.alive & (1 << key.number) != 0 && self.born[usize::from(key.number)] == key.bits
    }

    pub(super) fn numbers(&self) -> BTreeSet<u64> {
        (0..16).filter(|number| self.alive & (1 << number) != 0).collect()
    }
}

/// A whole key tree, live or copied. Its node keys are as fresh as its root, unless a mistake keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyTree {
    pub(super) root: RootKey,
    pub(super) nodes: RootKey,
    /// Whose keys are in it.
    pub(super) people: People,
    /// Counts writes: the sequence of the last message.
    pub(super) sequence: u8,
    /// A path of which only a part was written.
    pub(super) is_torn: bool,
}

impl KeyTree {
    pub(super) fn opens(&self, roots: &Roots) -> bool {
        !self.is_torn && roots.has(self.root)
    }
}

/// A copy of a tree somewhere: backups, packs, replicas, freed blocks. Nobody forgets any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Copied {
    pub(super) root: RootKey,
    pub(super) nodes: RootKey,
    pub(super) people: People,
}

/// A site: its live tree and whose commits its journal holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Site {
    pub(super) id: InstallationId,
    pub(super) tree: KeyTree,
    pub(super) journal: People,
    /// The root of the tree that was loaded into a restored or promoted site: it must be replaced.
    pub(super) loaded_under: Option<RootKey>,
}

impl Site {
    /// Whether there is something to do for a rotation that is to remove `job`.
    pub(super) fn is_due(&self, job: People) -> bool {
        self.tree.people & job != 0 || self.loaded_under == Some(self.tree.root)
    }
}

/// A complete backup: whose commits are in its journal part, and its copy of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Backup {
    pub(super) journal: People,
    pub(super) tree: KeyTree,
}

/// A backup under way at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum BackupStep {
    Idle,
    Journal { site: usize, journal: People },
    Keys { site: usize, tree: KeyTree },
    Both { site: usize, journal: People, tree: KeyTree },
}

/// A change of the head on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Swap {
    /// Which process waits for the answer; none if nobody does any more.
    pub(super) by: Option<usize>,
    pub(super) from: Head,
    pub(super) to: Head,
    /// The tree that is shipped with it.
    pub(super) tree: Option<KeyTree>,
}

/// A key creation (Dora's) as far as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Insert {
    Idle,
    /// The node has been read, the new key is about to be written.
    Read {
        site: usize,
        seen: KeyTree,
    },
    Written,
}

/// A restore or a promotion as far as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Restore {
    Idle,
    Wanted,
    Listed(BTreeSet<u64>),
    Taken(InstallationId),
}

/// What a process has done of the last thing that its rotation asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Work {
    None,
    /// The tree is open; what it is to be wrapped under is known.
    Opened {
        seen: KeyTree,
        under: RootKey,
    },
    /// Only a part of the path was written (a mistake).
    Half {
        whole: KeyTree,
    },
    /// A change of the head is on its way.
    Waiting,
}

/// A rotation under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) driver: Driver,
    /// Whose keys must go.
    pub(super) job: People,
    pub(super) work: Work,
}

/// A process of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) site: usize,
    pub(super) run: Option<Run>,
    /// It has seen that another site took the head.
    pub(super) has_stopped: bool,
}

impl Process {
    pub(super) fn of(site: usize) -> Self {
        Self { site, run: None, has_stopped: false }
    }
}

/// How many faults are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Faults {
    /// A process or a restore loses its memory.
    pub(super) crashes: u8,
    /// An answer of the off-site target is lost or late, or a request arrives twice.
    pub(super) delays: u8,
    /// The site is lost, or another is promoted beside it.
    pub(super) losses: u8,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) roots: Roots,
    pub(super) head: Head,
    /// The newest tree off-site.
    pub(super) shipped: KeyTree,
    pub(super) sites: [Option<Site>; 2],
    pub(super) processes: [Process; 2],
    pub(super) swaps: Vec<Swap>,
    pub(super) copies: Vec<Copied>,
    pub(super) insert: Insert,
    pub(super) backup: BackupStep,
    pub(super) backups: Vec<Backup>,
    /// How many backups have been begun.
    pub(super) backups_begun: u8,
    pub(super) restore: Restore,
    /// How many sites there have been.
    pub(super) sites_ever: u8,
    /// Whose erasure is committed: fenced, and in the off-site ledger.
    pub(super) ledger: People,
    /// Whose keys are said to be destroyed.
    pub(super) destroyed: People,
    pub(super) faults: Faults,
}

pub(super) fn site_id(number: u8) -> InstallationId {
    InstallationId(Uuid::from_u128(u128::from(number)))
}

impl World {
    /// One site, a tree under root 1, shipped; one backup if there may be a loss.
    pub(super) fn first(faults: Faults) -> Self {
        let roots = Roots::first();
        let root = roots.key(1).expect("just created");
        let people = ANNA | BORIS | CARLA;
        let tree = KeyTree { root, nodes: root, people, sequence: 1, is_torn: false };
        let site = Site { id: site_id(1), tree, journal: people, loaded_under: None };
        let mut world = Self {
            roots,
            head: Head::first(site.id, 1),
            shipped: tree,
            sites: [Some(site), None],
            processes: [Process::of(0), Process::of(0)],
            swaps: Vec::new(),
            copies: Vec::new(),
            insert: Insert::Idle,
            backup: BackupStep::Idle,
            backups: if faults.losses > 0 { vec![Backup { journal: people, tree }] } else { Vec::new() },
            backups_begun: 0,
            restore: Restore::Idle,
            sites_ever: 1,
            ledger: 0,
            destroyed: 0,
            faults,
        };
        world.keep_copy(tree);
        world
    }

    /// Notes that from now on there may be a copy of this tree anywhere.
    pub(super) fn keep_copy(&mut self, tree: KeyTree) {
        let copied = Copied { root: tree.root, nodes: tree.nodes, people: tree.people & (ANNA | BORIS) };
        if copied.people != 0 && !self.copies.contains(&copied) {
            self.copies.push(copied);
            self.copies.sort_unstable();
        }
    }

    /// Drops what cannot matter any more, so that equal worlds look equal: copies that nothing opens and changes of the
    /// head that can never be accepted.
    pub(super) fn tidy(&mut self, keep_all: bool) {
        if keep_all {
            return;
        }
        let (roots, head) = (self.roots, self.head);
        self.copies.retain(|copied| roots.has(copied.root));
        self.swaps.retain(|swap| swap.by.is_some() || swap.from == head);
        self.swaps.sort_unstable();
    }

    /// The site that holds the head, if it is up.
    pub(super) fn serving(&self) -> Option<&Site> {
        self.sites.iter().flatten().find(|site| site.id == self.head.site)
    }

    /// The tree that a restore would load: the newest under the root that the head calls shipped, from the pack or from
    /// a complete backup. Without an off-site target, the newest of a backup that opens.
    pub(super) fn restorable(&self, scenario: &Scenario) -> Option<KeyTree> {
        let backups = self.backups.iter().map(|backup| backup.tree);
        if scenario.has_off_site {
            let shipped = backups.filter(|tree| tree.root == self.shipped.root).chain([self.shipped]);
            return shipped.max_by_key(|tree| tree.sequence);
        }
        backups.filter(|tree| tree.opens(&self.roots)).max_by_key(|tree| (tree.root.number, tree.sequence))
    }
}
