//! Every reachable world, breadth first, and what must hold in each.
//!
//! Of a world that was seen only 64 bits are kept, with the world before and the step between: a trace is played again
//! from the start. (Two worlds with the same 64 bits would be taken for one: at ten million worlds, one chance in
//! hundreds of thousands.)

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use super::around::Loss;
use super::check::Ends;
use super::driver::Mistake;
use super::process::{Next, by, other};
use super::world::{Faults, People, Restore, World};

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
    /// How many complete backups there may be.
    pub(super) backups: usize,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Explored {
    pub(super) worlds: usize,
    /// Whether nothing was left to look at.
    pub(super) is_exhausted: bool,
    /// What was violated, and how one gets there.
    pub(super) violation: Option<String>,
}

#[derive(Clone, Copy)]
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

pub(super) fn print_of(of: &impl Hash) -> u64 {
    let mut mixer = Mixer(0x9e37_79b9_7f4a_7c15);
    of.hash(&mut mixer);
    mixer.finish()
}

impl Scenario {
    pub(super) fn keeps_all(&self) -> bool {
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
        if world.backups.len() < self.backups {
            world.back_up(self.mistake, &mut out);
        }
        if let Some(next) = world.lose(self.loss) {
            let what = if self.loss == Loss::Total { "THE SITE IS LOST" } else { "ANOTHER SITE IS TO TAKE OVER" };
            out.push(other(what, next));
        }
        world.restore(self.loss, self.mistake, &mut out);
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

    /// Explores everything, up to `limit` worlds.
    pub(super) fn explore(&self, limit: usize) -> Explored {
        let mut first = World::first(self.faults);
        first.tidy(self.keeps_all());
        let mut seen: HashMap<u64, (u64, u8)> = HashMap::from([(print_of(&first), (0, 0))]);
        let mut ends = Ends::default();
        let mut queue = VecDeque::from([first]);
        while let Some(world) = queue.pop_front() {
            let print = print_of(&world);
            if let Err(what) = world.check().and_then(|()| ends.check(self, &world)) {
                let violation = Some(self.trace(&seen, print, &what));
                return Explored { worlds: seen.len(), is_exhausted: false, violation };
            }
            if seen.len() >= limit {
                return Explored { worlds: seen.len(), is_exhausted: false, violation: None };
            }
            for (at, Next { world: next, .. }) in self.next(&world).into_iter().enumerate() {
                if let std::collections::hash_map::Entry::Vacant(free) = seen.entry(print_of(&next)) {
                    free.insert((print, u8::try_from(at).expect("few things can happen at once")));
                    queue.push_back(next);
                }
            }
        }
        Explored { worlds: seen.len(), is_exhausted: true, violation: None }
    }

    fn trace(&self, seen: &HashMap<u64, (u64, u8)>, last: u64, what: &str) -> String {
        let mut steps = Vec::new();
        let mut print = last;
        while let Some((before, at)) = seen.get(&print).copied().filter(|(before, _)| *before != 0) {
            steps.push(at);
            print = before;
        }
        let mut world = World::first(self.faults);
        world.tidy(self.keeps_all());
        let mut text = format!("[{}] {what}, after {} steps\n", self.name, steps.len());
        for at in steps.into_iter().rev() {
            let Next { who, what, world: next } = self.next(&world).swap_remove(usize::from(at));
            world = next;
            writeln!(text, "  {who}{what}\n      {}", world.summary()).expect("a string takes everything");
        }
        text
    }
}
