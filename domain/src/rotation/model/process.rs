//! A process carries out what the rotation asks for, one small step at a time.

use super::driver::{Driver, Mistake};
use super::explore::Scenario;
use super::world::{Copied, KeyTree, People, RootKey, Run, Swap, Work, World};
use crate::rotation::{Answer, Ask, End, Head, Tree};

/// A step, and the world after it.
pub(super) struct Next {
    pub(super) who: &'static str,
    pub(super) what: &'static str,
    pub(super) world: World,
}

/// A step of a process.
pub(super) fn by(process: usize, what: &'static str, world: World) -> Next {
    Next { who: ["P0 ", "P1 "][process], what, world }
}

/// A step of anybody else.
pub(super) fn other(what: &'static str, world: World) -> Next {
    Next { who: "", what, world }
}

impl World {
    /// Whose erasure this process is to carry out: its own, and at a restored site all that is known off-site.
    fn job(&self, process: usize, scenario: &Scenario) -> People {
        let known = if self.processes[process].site == 0 { 0 } else { self.ledger };
        (scenario.erases[process] | known) & !self.destroyed
    }

    /// Begins a rotation: the erasure is committed first. None if there is nothing to do.
    pub(super) fn begin(&self, process: usize, scenario: &Scenario) -> Option<World> {
        let Some(site) = &self.sites[self.processes[process].site] else { return None };
        let job = self.job(process, scenario);
        let is_idle = self.processes[process].run.is_none() && !self.processes[process].has_stopped;
        if !is_idle || (job == 0 && !site.is_due(0)) {
            return None;
        }
        let run = Run { driver: Driver::begin(site.id, scenario.mistake), job, work: Work::None };
        let mut world = self.clone();
        world.ledger |= job;
        world.processes[process].run = Some(run);
        Some(world)
    }

    /// The next step of a process's rotation; none if it waits for an answer, or has nothing to do.
    pub(super) fn step(&self, process: usize, mistake: Mistake) -> Option<Next> {
        let run = self.processes[process].run.as_ref()?;
        let mut world = self.clone();
        let name = match (&run.work, run.driver.ask()) {
            (Work::Waiting, _) => return None,
            (Work::Opened { seen, under }, Ok(Ask::WriteTree { .. })) => world.write(process, *seen, *under, mistake),
            (Work::Half { whole }, _) => world.write_rest(process, *whole),
            (_, Err(end)) => world.end(process, end),
            (_, Ok(ask)) => world.carry_out(process, ask, mistake),
        };
        Some(by(process, name, world))
    }

    fn carry_out(&mut self, process: usize, ask: Ask, mistake: Mistake) -> &'static str {
        match ask {
            Ask::ReadHead => self.say("reads the head", process, Answer::Head(Some(self.head))),
            Ask::ReadTree | Ask::ReadBack => self.read_tree(process),
            Ask::Reserve { from, root } => {
                self.send(process, from, Head { reserved: Some(root), ..from }, None);
                "asks to reserve the next root"
            }
            Ask::CreateRoot { root } => {
                self.roots.create(root);
                self.say("creates its root", process, Answer::Accepted)
            }
            Ask::WriteTree { from, root } => self.open_tree(process, from, root, mistake),
            Ask::Ship { from, root } => self.ship(process, from, root),
            Ask::ListRoots => self.say("lists the roots", process, Answer::Roots(self.roots.numbers())),
            Ask::Destroy { roots } => {
                roots.iter().for_each(|root| self.roots.destroy(*root));
                self.say("destroys roots", process, Answer::Accepted)
            }
        }
    }

    /// Gives the rotation its answer.
    pub(super) fn say(&mut self, name: &'static str, process: usize, answer: Answer) -> &'static str {
        let run = self.processes[process].run.take().expect("only a rotation under way is answered");
        let driver = run.driver.answer(answer);
        self.processes[process].run = Some(Run { driver, work: Work::None, ..run });
        name
    }

    fn tree_of(&self, process: usize) -> (KeyTree, People) {
        let site = self.sites[self.processes[process].site].as_ref().expect("a process runs at a site that is up");
        let job = self.processes[process].run.as_ref().map_or(0, |run| run.job);
        (site.tree, job)
    }

    fn set_tree(&mut self, process: usize, tree: KeyTree) {
        let site = self.processes[process].site;
        self.sites[site].as_mut().expect("a process runs at a site that is up").tree = tree;
        self.keep_copy(tree);
    }

    fn read_tree(&mut self, process: usize) -> &'static str {
        let (tree, job) = self.tree_of(process);
        let is_due = self.sites[self.processes[process].site].as_ref().is_some_and(|site| site.is_due(job));
        if !tree.opens(&self.roots) {
            return self.say("cannot open the tree", process, Answer::Moved);
        }
        let seen = Tree { root: tree.root.number.into(), is_due };
        self.say("reads the tree", process, Answer::Tree(seen))
    }

    /// The first half of writing the tree: what lies there is opened under the root before, by the KMS.
    fn open_tree(&mut self, process: usize, from: u64, root: u64, mistake: Mistake) -> &'static str {
        let (seen, _) = self.tree_of(process);
        let opens = seen.opens(&self.roots) || mistake == Mistake::CachedTop;
        let Some(under) = self.roots.key(root).filter(|_| opens && u64::from(seen.root.number) == from) else {
            return self.say("cannot write the tree from there", process, Answer::Moved);
        };
        self.processes[process].run.as_mut().expect("a rotation under way").work = Work::Opened { seen, under };
        "opens the tree"
    }

    /// The second half: all or nothing, and only over what was opened.
    fn write(&mut self, process: usize, seen: KeyTree, under: RootKey, mistake: Mistake) -> &'static str {
        let (live, job) = self.tree_of(process);
        if live != seen && mistake != Mistake::RewrapWithoutExpectation {
            if live.root != seen.root {
                return self.say("finds the tree rotated", process, Answer::Moved);
            }
            self.processes[process].run.as_mut().expect("a rotation under way").work = Work::None;
            return "finds the tree written to: opens it again";
        }
        let nodes = if mistake == Mistake::SameNodeKeys { seen.nodes } else { under };
        let people = seen.people & !job;
        let whole = KeyTree { root: under, nodes, people, sequence: live.sequence + 1, is_torn: false };
        if mistake == Mistake::TornPath {
            self.set_tree(process, KeyTree { is_torn: true, ..live });
            self.processes[process].run.as_mut().expect("a rotation under way").work = Work::Half { whole };
            return "writes the lower part of the path";
        }
        self.set_tree(process, whole);
        self.say("writes the tree", process, Answer::Accepted)
    }

    fn write_rest(&mut self, process: usize, whole: KeyTree) -> &'static str {
        self.set_tree(process, whole);
        self.say("writes the top of the path", process, Answer::Accepted)
    }

    fn ship(&mut self, process: usize, from: Head, root: u64) -> &'static str {
        let (tree, _) = self.tree_of(process);
        if u64::from(tree.root.number) != root {
            return self.say("finds another tree than the one to ship", process, Answer::Moved);
        }
        self.send(process, from, Head { shipped: root, reserved: None, ..from }, Some(tree));
        "puts the pack, asks to change the head"
    }

    fn send(&mut self, process: usize, from: Head, to: Head, tree: Option<KeyTree>) {
        self.swaps.push(Swap { by: Some(process), from, to, tree });
        self.processes[process].run.as_mut().expect("a rotation under way").work = Work::Waiting;
    }

    fn end(&mut self, process: usize, end: End) -> &'static str {
        let run = self.processes[process].run.take().expect("a rotation under way");
        match end {
            End::Done { .. } => {
                self.destroyed |= run.job;
                "is done: KeysDestroyed"
            }
            End::Superseded => {
                self.processes[process].has_stopped = true;
                "is superseded"
            }
            End::Foreign => {
                self.processes[process].has_stopped = true;
                "is told that its tree is foreign"
            }
        }
    }

    /// The process loses its memory; what it has sent is on its way all the same.
    pub(super) fn crash(&mut self, process: usize) {
        self.processes[process].run = None;
        for swap in self.swaps.iter_mut().filter(|swap| swap.by == Some(process)) {
            swap.by = None;
        }
    }

    /// Whether someone who has every copy and may ask the living roots opens a key of `who`.
    pub(super) fn can_be_opened(&self, who: People) -> bool {
        let opens = |copied: &Copied| self.roots.has(copied.root);
        let known: Vec<_> = self.copies.iter().filter(|copied| opens(copied)).map(|copied| copied.nodes).collect();
        self.copies.iter().any(|copied| copied.people & who != 0 && (opens(copied) || known.contains(&copied.nodes)))
    }

    /// The root that goes first, if a process is about to destroy several.
    pub(super) fn being_destroyed(&self, process: usize) -> Option<u64> {
        match self.processes[process].run.as_ref()?.driver.ask() {
            Ok(Ask::Destroy { roots }) if roots.len() > 1 => roots.first().copied(),
            _ => None,
        }
    }
}
