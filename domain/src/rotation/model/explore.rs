//! Every reachable world, breadth first.
//!
//! Of a world that was seen only a number, the world before and the step between are kept: a trace is played again from
//! the start. Worlds are told apart by 64 bits (two worlds with the same bits would be taken for one: among ten million
//! worlds one chance in hundreds of thousands).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use super::around::Loss;
use super::check::{Kind, Violation};
use super::driver::Mistake;
use super::process::{Next, by, other};
use super::world::{DORA, Faults, People, Restore, World};

/// What may happen in one exploration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) mistake: Mistake,
    /// Whom the first and the second process erase.
    pub(super) erases: [People; 2],
    pub(super) faults: Faults,
    pub(super) loss: Loss,
    /// Whether Dora enrols.
    pub(super) enrols: bool,
    /// How many backups may be begun.
    pub(super) backups: u8,
    /// Without an off-site target the head lies in the key store, and there is one copy of everything.
    pub(super) has_off_site: bool,
    /// Whether it is a fault if something never ends.
    pub(super) must_end: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Explored {
    pub(super) worlds: usize,
    /// Whether nothing was left to look at.
    pub(super) is_exhausted: bool,
    pub(super) violation: Option<(Kind, String)>,
    pub(super) witnessed: Witnessed,
}

/// What happened in one world or another: an exploration that never gets anywhere proves nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Witnessed {
    /// Whose keys were destroyed.
    pub(super) destroyed: People,
    /// Whether somebody who enrolled is in a complete backup, where that may be.
    pub(super) newcomer_in_backup: bool,
    /// Whether all that was to go went after another site had taken over.
    pub(super) ended_at_next_site: bool,
    /// Whether a process was told that another site holds the head.
    pub(super) superseded: bool,
}

impl Witnessed {
    fn note(&mut self, world: &World) {
        self.destroyed |= world.destroyed;
        self.newcomer_in_backup |= world.backups.iter().any(|backup| backup.journal & DORA != 0);
        let is_next = world.sites[1].as_ref().is_some_and(|site| site.id == world.head.site);
        self.ended_at_next_site |= is_next && world.ledger != 0 && world.destroyed == world.ledger;
        self.superseded |= world.processes.iter().any(|process| process.has_stopped);
    }
}

struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 = (mixed ^ (mixed >> 32)).wrapping_mul(0xc4ce_b9fe_1a85_ec53).rotate_left(29);
    }
}

fn print_of(world: &World) -> u64 {
    let mut mixer = Mixer(0x9e37_79b9_7f4a_7c15);
    world.hash(&mut mixer);
    mixer.finish()
}

/// The worlds seen so far, numbered in the order in which they were seen.
struct Seen {
    numbers: BTreeMap<u64, u32>,
    /// The world before, and which of the steps from there.
    reached: Vec<(u32, u8)>,
    /// Every step from a world to a world.
    steps: Vec<(u32, u32)>,
}

impl Seen {
    fn first(world: &World) -> Self {
        Self { numbers: BTreeMap::from([(print_of(world), 0)]), reached: vec![(0, 0)], steps: Vec::new() }
    }

    /// Notes a step; true if it leads to a world that is new.
    fn step(&mut self, from: u32, at: usize, to: &World) -> bool {
        let next = u32::try_from(self.reached.len()).expect("worlds fit into memory");
        let entry = self.numbers.entry(print_of(to));
        let is_new = matches!(entry, Entry::Vacant(_));
        let number = *entry.or_insert(next);
        if is_new {
            self.reached.push((from, u8::try_from(at).expect("few things can happen at once")));
        }
        self.steps.push((from, number));
        is_new
    }

    /// A world from which one can come back to where one was, if there is one: take away again and again the worlds
    /// that no step leads to.
    fn cycle(&self) -> Option<u32> {
        let mut into = vec![0_u32; self.reached.len()];
        let mut from: Vec<Vec<u32>> = vec![Vec::new(); self.reached.len()];
        for (before, after) in &self.steps {
            into[*after as usize] += 1;
            from[*before as usize].push(*after);
        }
        let mut free: Vec<u32> = (0..).zip(&into).filter(|(_, into)| **into == 0).map(|(number, _)| number).collect();
        while let Some(number) = free.pop() {
            for after in &from[number as usize] {
                into[*after as usize] -= 1;
                if into[*after as usize] == 0 {
                    free.push(*after);
                }
            }
        }
        (0..).zip(&into).find(|(_, into)| **into > 0).map(|(number, _)| number)
    }
}

impl Scenario {
    fn keeps_all(&self) -> bool {
        matches!(self.mistake, Mistake::SameNodeKeys | Mistake::LatePutAccepted)
    }

    /// Everything that can happen next.
    fn next(&self, world: &World) -> Vec<Next> {
        let mut out = Vec::with_capacity(8);
        for process in 0..2 {
            if let Some(next) = world.begin(process, self) {
                out.push(by(process, "begins", next));
            }
            out.extend(world.step(process, self.mistake));
            if let Some(next) = world.deliver(process, self.mistake) {
                out.push(by(process, "is answered by the off-site target", next));
            }
            self.crashes(world, process, &mut out);
        }
        world.off_site(self.mistake, &mut out);
        if self.enrols {
            world.enrol(self.mistake, &mut out);
        }
        if self.backups > 0 {
            world.back_up(self, &mut out);
        }
        if let Some(next) = world.lose(self) {
            let what = if self.loss == Loss::Total { "THE SITE IS LOST" } else { "ANOTHER SITE IS TO TAKE OVER" };
            out.push(other(what, next));
        }
        world.restore(self, &mut out);
        out.iter_mut().for_each(|next| next.world.tidy(self.keeps_all()));
        out
    }

    fn crashes(&self, world: &World, process: usize, out: &mut Vec<Next>) {
        if world.faults.crashes == 0 {
            return;
        }
        if world.processes[process].run.is_some() {
            let mut next = world.clone();
            next.faults.crashes -= 1;
            if let Some(lowest) = next.being_destroyed(process) {
                let mut half = next.clone();
                half.roots.destroy(lowest);
                half.crash(process);
                out.push(by(process, "CRASHES when it has destroyed one root", half));
            }
            next.crash(process);
            out.push(by(process, "CRASHES", next));
        }
        if process == 0 && !matches!(world.restore, Restore::Idle | Restore::Wanted) {
            let mut next = world.clone();
            next.faults.crashes -= 1;
            next.restore = Restore::Wanted;
            out.push(other("the restore CRASHES", next));
        }
    }

    fn first(&self) -> World {
        let mut first = World::first(self.faults);
        first.tidy(self.keeps_all());
        first
    }

    /// Explores everything, up to `limit` worlds.
    pub(super) fn explore(&self, limit: usize) -> Explored {
        let first = self.first();
        let mut seen = Seen::first(&first);
        let mut queue = VecDeque::from([first]);
        let mut witnessed = Witnessed::default();
        let ended = |seen: &Seen, witnessed, is_exhausted, broken: Option<(u32, Violation)>| Explored {
            worlds: seen.reached.len(),
            is_exhausted,
            violation: broken.map(|(number, violation)| (violation.kind, self.trace(seen, number, &violation))),
            witnessed,
        };
        for number in 0.. {
            let Some(world) = queue.pop_front() else { break };
            witnessed.note(&world);
            if let Err(violation) = world.check(self) {
                return ended(&seen, witnessed, false, Some((number, violation)));
            }
            if seen.reached.len() >= limit {
                return ended(&seen, witnessed, false, None);
            }
            for (at, Next { world: next, .. }) in self.next(&world).into_iter().enumerate() {
                if seen.step(number, at, &next) {
                    queue.push_back(next);
                }
            }
        }
        let round = seen.cycle().filter(|_| self.must_end);
        ended(
            &seen,
            witnessed,
            true,
            round.map(|number| (number, Violation::no_end("the same worlds come again and again"))),
        )
    }

    fn trace(&self, seen: &Seen, mut number: u32, violation: &Violation) -> String {
        let mut steps = Vec::new();
        while number != 0 {
            let (before, at) = seen.reached[number as usize];
            steps.push(at);
            number = before;
        }
        let mut world = self.first();
        let mut text = format!("[{}] {}, after {} steps\n", self.name, violation.what, steps.len());
        for at in steps.into_iter().rev() {
            let Next { who, what, world: next } = self.next(&world).swap_remove(usize::from(at));
            world = next;
            writeln!(text, "  {who}{what}\n      {}", world.summary()).expect("a string takes everything");
        }
        text
    }
}
