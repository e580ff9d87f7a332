//! What must hold in every world.

use std::collections::HashSet;

use super::explore::{Scenario, print_of};
use super::world::{ANNA, BORIS, CARLA, DORA, People, Process, World};
use crate::rotation::Ask;

/// From every world, without further faults, everything that runs comes to an end: alone, and taking turns.
#[derive(Default)]
pub(super) struct Ends {
    known: HashSet<(u64, u8)>,
}

/// The first process alone, the second alone (the other has stopped for good), and both in turn.
const SCHEDULES: [&[usize]; 3] = [&[0], &[1], &[0, 1]];
const STEPS_MAX: usize = 300;
const ROOT_MAX: u64 = 15;

impl Ends {
    pub(super) fn check(&mut self, scenario: &Scenario, world: &World) -> Result<(), String> {
        for (schedule, turns) in SCHEDULES.iter().enumerate() {
            let mut calm = world.clone();
            let mut path = Vec::new();
            for turn in 0.. {
                let at = turn % turns.len();
                let key = (print_of(&calm), u8::try_from(schedule * 2 + at).expect("few schedules"));
                if self.known.contains(&key) {
                    break;
                }
                path.push(key);
                if path.len() > STEPS_MAX || calm.head.next_root() > ROOT_MAX {
                    return Err(format!("NO END: processes {turns:?} run for ever"));
                }
                let moved = (0..turns.len())
                    .map(|more| turns[(at + more) % turns.len()])
                    .find_map(|process| calm.calm(process, scenario));
                let Some(mut next) = moved else {
                    calm.is_settled(turns)?;
                    break;
                };
                next.tidy(scenario.keeps_all());
                calm = next;
            }
            self.known.extend(path);
        }
        Ok(())
    }
}

impl World {
    /// The next step of a process, if it has one, with an off-site target that answers at once. A restore under way
    /// comes first.
    pub(super) fn calm(&self, process: usize, scenario: &Scenario) -> Option<World> {
        let mut restore = Vec::new();
        self.restore(scenario.loss, scenario.mistake, &mut restore);
        if let Some(next) = restore.pop() {
            return Some(next.world);
        }
        let step = self.step(process, scenario.mistake).map(|next| next.world);
        step.or_else(|| self.deliver(process, scenario.mistake)).or_else(|| self.begin(process, scenario))
    }

    /// Nobody of `processes` has anything left to do: then those of the serving site have done all that they were to do.
    fn is_settled(&self, processes: &[usize]) -> Result<(), String> {
        for process in processes {
            let Process { site, run, has_stopped } = &self.processes[*process];
            let serves = self.sites[*site].as_ref().is_some_and(|site| site.id == self.head.site);
            if run.is_some() || (serves && *has_stopped) {
                return Err(format!("NO END: process {process} waits for ever"));
            }
        }
        Ok(())
    }

    pub(super) fn being_destroyed(&self, process: usize) -> Option<u64> {
        match self.processes[process].run.as_ref()?.driver.ask() {
            Ok(Ask::Destroy { roots }) if roots.len() > 1 => roots.first().copied(),
            _ => None,
        }
    }

    /// The invariants.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.is_foreign {
            return Err("NO END: a site that did nothing wrong is told that its tree is foreign".to_owned());
        }
        if let Some(site) = self.serving() {
            let lost = site.journal & !self.ledger & !if site.tree.opens(&self.roots) { site.tree.people } else { 0 };
            if lost != 0 {
                return Err(format!("SURVIVOR LOST: {} cannot be read at the site that serves", names(lost)));
            }
        }
        let tree = self.restorable();
        let kept = if tree.opens(&self.roots) { tree.people } else { 0 };
        for backup in &self.backups {
            let lost = backup.journal & !self.ledger & !kept;
            if lost != 0 {
                return Err(format!("SURVIVOR LOST: {} of a backup has no key off-site", names(lost)));
            }
        }
        if self.can_be_opened(self.destroyed) {
            return Err(format!("ERASED READABLE: a copy opens for one of {}", names(self.destroyed)));
        }
        Ok(())
    }

    pub(super) fn summary(&self) -> String {
        let head = format!(
            "head: site {} shipped {} reserved {:?}",
            self.head.site.0.as_u128(),
            self.head.shipped,
            self.head.reserved
        );
        let live: Vec<_> = self
            .sites
            .iter()
            .flatten()
            .map(|site| {
                format!(
                    "site {} tree under {} of {}{}",
                    site.id.0.as_u128(),
                    site.tree.root.number,
                    names(site.tree.people),
                    if site.tree.is_torn { ", torn" } else { "" }
                )
            })
            .collect();
        format!("{head}; roots {:?}; {}", self.roots.numbers(), live.join("; "))
    }
}

fn names(people: People) -> String {
    let all = [(ANNA, "Anna"), (BORIS, "Boris"), (CARLA, "Carla"), (DORA, "Dora")];
    all.iter().filter(|(who, _)| people & who != 0).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}
