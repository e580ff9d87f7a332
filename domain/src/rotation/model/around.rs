//! Everything that happens around the rotations: the off-site target answers, somebody enrols, a backup is taken, a site
//! is lost, another takes its place.

use std::collections::BTreeSet;

use super::driver::Mistake;
use super::explore::Scenario;
use super::process::{Next, other};
use super::world::{Backup, BackupStep, DORA, Insert, KeyTree, Process, Restore, Site, Swap, World, site_id};
use crate::rotation::{Answer, Head};

/// What becomes of the site when another takes the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Loss {
    /// It is gone with all that was on it.
    Total,
    /// It goes on, and does not know.
    SplitBrain,
}

impl World {
    /// A request arrives at the off-site target: compare and set.
    fn arrive(&mut self, swap: &Swap, mistake: Mistake) -> Answer {
        let is_late_ship = mistake == Mistake::LatePutAccepted && swap.tree.is_some();
        if self.head != swap.from && !is_late_ship {
            return Answer::Moved;
        }
        self.head = swap.to;
        if let Some(tree) = swap.tree {
            self.shipped = tree;
        }
        Answer::Accepted
    }

    /// The off-site target answers a process that waits.
    pub(super) fn deliver(&self, process: usize, mistake: Mistake) -> Option<World> {
        let at = self.swaps.iter().position(|swap| swap.by == Some(process))?;
        let mut world = self.clone();
        let swap = world.swaps.remove(at);
        let answer = world.arrive(&swap, mistake);
        world.say("", process, answer);
        Some(world)
    }

    /// Everything that can happen to the requests on their way.
    pub(super) fn off_site(&self, mistake: Mistake, out: &mut Vec<Next>) {
        for (at, swap) in self.swaps.iter().enumerate() {
            let Some(process) = swap.by else {
                let mut world = self.clone();
                world.swaps.remove(at);
                world.arrive(swap, mistake);
                out.push(other("the off-site target gets a late request", world));
                continue;
            };
            if self.faults.delays == 0 {
                continue;
            }
            // The process gives up waiting; the request may still arrive. An answer that is lost looks the same.
            let mut late = self.clone();
            late.faults.delays -= 1;
            late.swaps[at].by = None;
            late.say("", process, Answer::Moved);
            out.push(other("a request is late: its process goes on without an answer", late));
            let mut twice = self.clone();
            twice.faults.delays -= 1;
            twice.swaps[at].by = None;
            let answer = twice.arrive(swap, mistake);
            twice.say("", process, answer);
            out.push(other("the off-site target answers; the request will arrive again", twice));
        }
    }

    /// Dora enrols: her key is written into the tree, durable; only then a commit uses it.
    pub(super) fn enrol(&self, mistake: Mistake, out: &mut Vec<Next>) {
        match self.insert {
            Insert::Idle => {
                for (at, site) in self.sites.iter().enumerate() {
                    let Some(site) = site.as_ref().filter(|site| site.tree.opens(&self.roots)) else { continue };
                    let mut world = self.clone();
                    world.insert = Insert::Read { site: at, seen: site.tree };
                    out.push(other("Dora enrols: the node of her key is read", world));
                }
            }
            Insert::Read { site, seen } => out.push(self.write_key(site, seen, mistake)),
            Insert::Written => {}
        }
        for at in 0..2 {
            let Some(site) = &self.sites[at] else { continue };
            if site.tree.people & DORA != 0 && site.journal & DORA == 0 {
                let mut world = self.clone();
                world.sites[at].as_mut().expect("just seen").journal |= DORA;
                out.push(other("Dora's first commit is written", world));
            }
        }
    }

    fn write_key(&self, at: usize, seen: KeyTree, mistake: Mistake) -> Next {
        let mut world = self.clone();
        let site = world.sites[at].as_mut().expect("an insert is lost with its site");
        if site.tree != seen && mistake != Mistake::InsertWithoutExpectation {
            world.insert = Insert::Idle;
            return other("Dora's key finds the node written to: reads it again", world);
        }
        site.tree = KeyTree { people: seen.people | DORA, sequence: site.tree.sequence + 1, ..seen };
        let tree = site.tree;
        world.keep_copy(tree);
        world.insert = Insert::Written;
        other("Dora's key is written", world)
    }

    /// A backup: the journal first, the keys last, and then a look at the head.
    pub(super) fn back_up(&self, scenario: &Scenario, out: &mut Vec<Next>) {
        let mistake = scenario.mistake;
        match self.backup {
            BackupStep::Idle if self.backups_begun >= scenario.backups => {}
            BackupStep::Idle => {
                for (at, site) in self.sites.iter().enumerate() {
                    let Some(site) = site else { continue };
                    let mut world = self.clone();
                    world.backups_begun += 1;
                    let (journal, tree) = (site.journal, site.tree);
                    let keys_first = mistake == Mistake::KeysBeforeJournal;
                    world.backup = if keys_first {
                        BackupStep::Keys { site: at, tree }
                    } else {
                        BackupStep::Journal { site: at, journal }
                    };
                    out.push(other(
                        if keys_first { "a backup copies the keys" } else { "a backup copies the journal" },
                        world,
                    ));
                }
            }
            BackupStep::Journal { site, journal } => {
                let tree = self.sites[site].as_ref().expect("a backup is lost with its site").tree;
                let backup = BackupStep::Both { site, journal, tree };
                out.push(other("the backup copies the keys", Self { backup, ..self.clone() }));
            }
            BackupStep::Keys { site, tree } => {
                let journal = self.sites[site].as_ref().expect("a backup is lost with its site").journal;
                let backup = BackupStep::Both { site, journal, tree };
                out.push(other("the backup copies the journal", Self { backup, ..self.clone() }));
            }
            BackupStep::Both { site, journal, tree } => {
                out.push(self.confirm_backup(site, Backup { journal, tree }, mistake))
            }
        }
    }

    /// It counts only if the head says now that its tree is shipped, and is still this site's.
    fn confirm_backup(&self, site: usize, backup: Backup, mistake: Mistake) -> Next {
        let mut world = self.clone();
        world.backup = BackupStep::Idle;
        let id = self.sites[site].as_ref().expect("a backup is lost with its site").id;
        let is_shipped = self.head.site == id && self.head.shipped == u64::from(backup.tree.root.number);
        if !is_shipped && mistake != Mistake::BackupUnconfirmed {
            return other("the backup's keys are not under the shipped root: it does not count", world);
        }
        if !world.backups.contains(&backup) {
            world.backups.push(backup);
            world.backups.sort_unstable();
        }
        other("the backup is complete", world)
    }

    /// The site is lost, or one beside it is to take over.
    pub(super) fn lose(&self, scenario: &Scenario) -> Option<World> {
        if self.faults.losses == 0 || self.restore != Restore::Idle || self.backups.is_empty() {
            return None;
        }
        let mut world = self.clone();
        world.faults.losses -= 1;
        world.restore = Restore::Wanted;
        if scenario.loss == Loss::Total {
            world.sites = [None, None];
            (0..2).for_each(|process| world.crash(process));
            world.forget_site(0);
            world.forget_site(1);
            // A head in the key store is lost with it, and nothing is on its way to it any more.
            if !scenario.has_off_site {
                world.swaps.clear();
            }
        }
        Some(world)
    }

    fn forget_site(&mut self, lost: usize) {
        match self.insert {
            Insert::Read { site, .. } if site == lost => self.insert = Insert::Idle,
            _ => {}
        }
        match self.backup {
            BackupStep::Journal { site, .. } | BackupStep::Keys { site, .. } | BackupStep::Both { site, .. }
                if site == lost =>
            {
                self.backup = BackupStep::Idle;
            }
            _ => {}
        }
    }

    /// The next steps of a restore: list the roots, take the head, load a tree and a journal, apply every known fence.
    pub(super) fn restore(&self, scenario: &Scenario, out: &mut Vec<Next>) {
        match &self.restore {
            Restore::Idle => {}
            Restore::Wanted => {
                let listed = Restore::Listed(self.roots.numbers());
                out.push(other("the restore lists the roots", Self { restore: listed, ..self.clone() }));
            }
            Restore::Listed(live) => out.extend(self.take_head(live, scenario)),
            Restore::Taken(_) => {
                for backup in &self.backups {
                    out.push(other("the restore loads journal and tree", self.load(backup, scenario)));
                }
            }
        }
    }

    fn take_head(&self, live: &BTreeSet<u64>, scenario: &Scenario) -> Option<Next> {
        let mut world = self.clone();
        if !scenario.has_off_site {
            // The head that lies in the backup. If no backup opens, the only copy is lost.
            world.head = Head { shipped: self.restorable(scenario)?.root.number.into(), reserved: None, ..self.head };
            world.shipped = self.restorable(scenario)?;
        }
        world.sites_ever += 1;
        let id = site_id(world.sites_ever);
        world.head = match (scenario.mistake, self.head.reserved) {
            (Mistake::HeadNotTaken, _) => {
                world.restore = Restore::Taken(self.head.site);
                return Some(other("the restore goes on without taking the head", world));
            }
            (Mistake::RootNumberReused, Some(_)) => Head { site: id, ..self.head },
            _ => world.head.taken_by(id, live),
        };
        world.restore = Restore::Taken(id);
        Some(other("the restore takes the head", world))
    }

    fn load(&self, backup: &Backup, scenario: &Scenario) -> World {
        let mut world = self.clone();
        let tree = match scenario.mistake {
            Mistake::RestoreOwnTree if backup.tree.opens(&self.roots) => backup.tree,
            Mistake::RestoreShippedOnly => self.shipped,
            _ => self.restorable(scenario).expect("the head was taken for it"),
        };
        let Restore::Taken(id) = self.restore else { unreachable!("loaded once the head is taken") };
        world.sites[1] = Some(Site { id, tree, journal: backup.journal, loaded_under: Some(tree.root) });
        world.restore = Restore::Idle;
        world.crash(1);
        world.forget_site(1);
        world.processes[1] = Process::of(1);
        if scenario.loss == Loss::Total {
            world.processes[0] = Process::of(1);
        }
        world
    }
}
