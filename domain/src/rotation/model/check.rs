//! What must hold in every world.

use super::explore::Scenario;
use super::world::{ANNA, BORIS, CARLA, DORA, People, World};

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A survivor cannot be read at the site that serves, or could not after a total loss now.
    SurvivorLost,
    /// A copy of the tree opens for somebody whose keys are said to be destroyed.
    ErasedReadable,
    /// Something never comes to its end.
    NoEnd,
}

/// What is broken, and how.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) kind: Kind,
    pub(super) what: String,
}

/// More roots than any run needs that comes to an end.
const ROOT_MAX: u64 = 14;

impl Violation {
    pub(super) fn no_end(what: &str) -> Self {
        Self { kind: Kind::NoEnd, what: what.to_owned() }
    }

    fn lost(who: People, what: &str) -> Self {
        Self { kind: Kind::SurvivorLost, what: format!("{} {what}", names(who)) }
    }
}

impl World {
    pub(super) fn check(&self, scenario: &Scenario) -> Result<(), Violation> {
        self.check_survivors(scenario)?;
        if self.can_be_opened(self.destroyed) {
            let what = format!("a copy of the tree opens though the keys of {} are destroyed", names(self.destroyed));
            return Err(Violation { kind: Kind::ErasedReadable, what });
        }
        if scenario.must_end { self.check_end(scenario) } else { Ok(()) }
    }

    fn check_survivors(&self, scenario: &Scenario) -> Result<(), Violation> {
        if let Some(site) = self.serving() {
            let readable = if site.tree.opens(&self.roots) { site.tree.people } else { 0 };
            let lost = site.journal & !self.ledger & !readable;
            if lost != 0 {
                return Err(Violation::lost(lost, "cannot be read at the site that serves"));
            }
        }
        let Some(tree) = self.restorable(scenario) else { return Ok(()) };
        let kept = if tree.opens(&self.roots) { tree.people } else { 0 };
        for backup in &self.backups {
            let lost = backup.journal & !self.ledger & !kept;
            if lost != 0 && scenario.has_off_site {
                return Err(Violation::lost(lost, "of a backup has no key that opens off-site"));
            }
        }
        Ok(())
    }

    /// Whoever can do nothing more has nothing left to do. (That nobody goes on for ever is seen when everything has been
    /// explored: no world comes again.)
    fn check_end(&self, scenario: &Scenario) -> Result<(), Violation> {
        if self.head.next_root() > ROOT_MAX {
            return Err(Violation::no_end("rotations follow each other for ever"));
        }
        for (at, process) in self.processes.iter().enumerate() {
            let serves = self.sites[process.site].as_ref().is_some_and(|site| site.id == self.head.site);
            let is_stuck = process.run.is_some()
                && self.step(at, scenario.mistake).is_none()
                && self.deliver(at, scenario.mistake).is_none();
            if is_stuck || (serves && process.has_stopped) {
                return Err(Violation::no_end("a process of the site that serves has stopped, or waits for ever"));
            }
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
