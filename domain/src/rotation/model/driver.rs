//! What drives a rotation: the real machine, or the real machine with a mistake planted around it.

use std::collections::BTreeSet;

use crate::rotation::{Answer, Ask, End, Head, InstallationId, Rotation, Step, Tree};

/// A known mistake. The world makes some of them, the driver of the machine the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mistake {
    None,
    /// The path is wrapped anew under the node keys that it had.
    SameNodeKeys,
    /// The root before is never destroyed.
    OldRootKept,
    /// The path is written in two parts.
    TornPath,
    /// A rotation writes the tree over whatever is there.
    RewrapWithoutExpectation,
    /// A new key is written over whatever is there.
    InsertWithoutExpectation,
    /// A tree is shipped whatever the head says by then.
    LatePutAccepted,
    /// Every root but the one that this rotation made is destroyed.
    DestroyAllNotMine,
    /// The head is read before the list of roots.
    HeadBeforeList,
    /// After the destruction nobody looks for further roots.
    NoSecondLook,
    /// The last look at the tree does not ask which root it is under.
    CheckAnyRoot,
    /// What was read back before a destruction is not asked whether something is left.
    BackUnasked,
    /// Whoever finds a reservation takes it over, even with nothing to write.
    TakeOverForNothing,
    /// A backup copies the keys first.
    KeysBeforeJournal,
    /// A backup counts without a look at the head after its keys.
    BackupUnconfirmed,
    /// A restore takes the tree that lies in its backup.
    RestoreOwnTree,
    /// A restore takes the shipped tree, though a backup may hold a newer one under the same root.
    RestoreShippedOnly,
    /// A restored site goes on with the root that the site before had reserved.
    RootNumberReused,
    /// A restored or promoted site begins without taking the head.
    HeadNotTaken,
    /// The tree is opened with what a cache holds, not with what the KMS still has.
    CachedTop,
}

/// The machine, its mistake, and what the mistake must remember.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Driver {
    machine: Rotation,
    mistake: Mistake,
    /// The head as it was read too early.
    early: Option<Head>,
    /// The root that this rotation shipped.
    own: Option<u64>,
}

impl Driver {
    pub(super) fn begin(site: InstallationId, mistake: Mistake) -> Self {
        Self { machine: Rotation::begin(site), mistake, early: None, own: None }
    }

    pub(super) fn ask(&self) -> Result<Ask, End> {
        match self.machine.ask() {
            Ok(Ask::ListRoots) if self.mistake == Mistake::HeadBeforeList && self.early.is_none() => Ok(Ask::ReadHead),
            // The old root is kept: nothing is destroyed, and nobody looks.
            Ok(Ask::Destroy { .. }) if self.mistake == Mistake::OldRootKept => {
                Ok(Ask::Destroy { roots: BTreeSet::new() })
            }
            ask => ask,
        }
    }

    #[must_use]
    pub(super) fn answer(self, answer: Answer) -> Self {
        match self.mistake {
            Mistake::HeadBeforeList => self.head_before_list(answer),
            Mistake::DestroyAllNotMine => self.destroy_all_not_mine(answer),
            Mistake::OldRootKept | Mistake::NoSecondLook => self.no_second_look(answer),
            Mistake::CheckAnyRoot => self.check_any_root(answer),
            Mistake::BackUnasked => self.back_unasked(answer),
            Mistake::TakeOverForNothing => self.take_over_for_nothing(answer),
            _ => self.hand_on(answer),
        }
    }

    fn hand_on(self, answer: Answer) -> Self {
        Self { machine: self.machine.answer(answer), ..self }
    }

    fn head_before_list(mut self, answer: Answer) -> Self {
        match (&self.machine.step, answer) {
            (Step::List { .. }, Answer::Head(Some(head))) if head.site == self.machine.site => {
                Self { early: Some(head), ..self }
            }
            (Step::List { .. }, Answer::Roots(listed)) => {
                let early = self.early.take();
                self.hand_on(Answer::Roots(listed)).hand_on(Answer::Head(early))
            }
            (_, answer) => self.hand_on(answer),
        }
    }

    fn destroy_all_not_mine(mut self, answer: Answer) -> Self {
        match (&self.machine.step, answer) {
            (Step::Ship { root, .. }, Answer::Accepted) => {
                self.own = Some(*root);
                self.hand_on(Answer::Accepted)
            }
            (Step::Judge { .. }, Answer::Head(Some(head))) => {
                let shipped = self.own.unwrap_or(head.shipped);
                self.hand_on(Answer::Head(Some(Head { shipped, reserved: None, ..head })))
            }
            (_, answer) => self.hand_on(answer),
        }
    }

    fn no_second_look(mut self, answer: Answer) -> Self {
        match (&self.machine.step, answer) {
            (Step::Judge { .. }, Answer::Head(head)) => {
                self.early = head;
                self.hand_on(Answer::Head(head))
            }
            (Step::Destroy { .. }, Answer::Accepted) => {
                let early = self.early.take();
                self.hand_on(Answer::Accepted).hand_on(Answer::Roots(BTreeSet::new())).hand_on(Answer::Head(early))
            }
            (_, answer) => self.hand_on(answer),
        }
    }

    fn check_any_root(mut self, answer: Answer) -> Self {
        match (&mut self.machine.step, answer) {
            (Step::Judge { back: Some(back), .. }, Answer::Head(Some(head))) => {
                back.root = head.shipped;
                self.hand_on(Answer::Head(Some(head)))
            }
            (Step::Check(head), Answer::Tree(tree)) => {
                let root = head.shipped;
                self.hand_on(Answer::Tree(Tree { root, ..tree }))
            }
            (_, answer) => self.hand_on(answer),
        }
    }

    fn back_unasked(self, answer: Answer) -> Self {
        match (&self.machine.step, answer) {
            (Step::ReadBack { .. }, Answer::Tree(tree)) => self.hand_on(Answer::Tree(Tree { is_due: false, ..tree })),
            (_, answer) => self.hand_on(answer),
        }
    }

    fn take_over_for_nothing(self, answer: Answer) -> Self {
        match (&self.machine.step, answer) {
            (Step::Look(Head { reserved: Some(_), .. }), Answer::Tree(tree)) => {
                self.hand_on(Answer::Tree(Tree { is_due: true, ..tree }))
            }
            (_, answer) => self.hand_on(answer),
        }
    }
}
