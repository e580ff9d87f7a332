//! Replacing a tenant's root key: the protocol as a pure machine. `infra` carries its steps out, a model explores it.
//!
//! The *head* is a small record off-site that is changed by compare-and-set only. It says which root the newest copy
//! of the key tree is wrapped under (*shipped*), which root a rotation has *reserved*, and which *site* may rotate. A
//! restored or promoted site takes the head first, so one that was left behind finds it taken and stops.
//!
//! 1. Reserve the next root on the head, or take over the reservation that a crashed rotation left. Whoever has nothing
//!    to write does neither.
//! 2. Create that root; write the changed paths of the tree under it, all or nothing.
//! 3. Ship the tree: accepted only while the head still holds the reservation.
//! 4. List the KMS's roots, *then* read the head: every listed root that is neither shipped nor reserved dies, once
//!    no lease can use it any more and the tree was read back. That is repeated until there is none.
//! 5. Done only when no other root lives, and a tree under the shipped root was seen in which nothing is left that was to
//!    go: the one that was read back, or else the live one.
//!
//! Every step may be repeated, by the same process or by another. Whatever does not fit begins anew from the head.
//!
//! Two of these rules are there because the model found what happens without them. (1) Two processes that take over each
//! other's reservations with nothing to write can go on for ever, each writing the tree without what the other wants
//! removed. (5) While another rotation is between writing and shipping, what is gone from the live tree is still in the
//! shipped one, and that opens: "nothing is left" said nothing about it.
//!
//! Two looks are not there, because the model shows that nothing changes without them. Once the head was changed to the
//! reservation, compared with what it was when the tree was read, neither is read again: whoever writes the tree finds out
//! whether it still is under the root that the head says is shipped, and who ships, whether the head is still the same. And
//! the tree that was read back is not read once more at the end: keys go only when the root is replaced and fenced ones never
//! come, so what was gone under a root is gone from every tree under that root, the shipped one too; if another rotation
//! has replaced the live one meanwhile, it began with that.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which installation of the platform holds the head: drawn anew whenever one takes it. Not a site of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(pub Uuid);

/// What the head says. Compare-and-set only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Head {
    /// The site that may rotate.
    pub site: InstallationId,
    /// The root that the newest shipped tree is wrapped under.
    pub shipped: u64,
    /// The root that a rotation under way will use.
    pub reserved: Option<u64>,
}

impl Head {
    /// The head of a new tree.
    pub fn first(site: InstallationId, root: u64) -> Self {
        Self { site, shipped: root, reserved: None }
    }

    /// The lowest number that no root had before, as far as the head knows.
    pub fn next_root(&self) -> u64 {
        self.shipped.max(self.reserved.unwrap_or(0)) + 1
    }

    /// The head as a restored or promoted site takes it, before it loads the shipped tree: with a root reserved that
    /// is above all that `live` in the KMS, so that the next rotation of this site cuts off the one before.
    #[must_use]
    pub fn taken_by(&self, site: InstallationId, live: &BTreeSet<u64>) -> Self {
        let above_live = live.last().map_or(0, |newest| newest + 1);
        Self { site, shipped: self.shipped, reserved: Some(self.next_root().max(above_live)) }
    }

    /// Whether the head needs a root: such a root is never destroyed.
    pub fn needs(&self, root: u64) -> bool {
        self.shipped == root || self.reserved == Some(root)
    }
}

/// What the tree says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tree {
    /// The root that its top is wrapped under.
    pub root: u64,
    /// Whether something that this rotation is for is still to be done: a key that must go, a root that must be replaced
    /// (at a restored or promoted site the one under which the tree was loaded).
    pub is_due: bool,
}

/// What a rotation wants done next. Each is carried out once, and its answer given back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Read the head: [`Answer::Head`].
    ReadHead,
    /// Read the tree: [`Answer::Tree`].
    ReadTree,
    /// Change the head from `from` to `from` with `root` reserved, if it has not moved: [`Answer::Accepted`] or [`Answer::Moved`].
    Reserve {
        /// The head as it was read.
        from: Head,
        /// The root to reserve.
        root: u64,
    },
    /// Create a root; if it lives already, that will do: [`Answer::Accepted`].
    CreateRoot {
        /// Which.
        root: u64,
    },
    /// Write the tree under `root`, if it still is under `from`, without what must go: [`Answer::Accepted`], or
    /// [`Answer::Moved`] if it is under another root now, or `from` is gone from the KMS. What is there is opened by the
    /// KMS now, after `root` was created, and not from a cache: a site that was left behind must not be able to.
    WriteTree {
        /// The root that its top is under.
        from: u64,
        /// The root that it will be under.
        root: u64,
    },
    /// Ship the live tree, if it is under `root` and the head still is `from`: the head then says `shipped: root`.
    /// [`Answer::Accepted`] or [`Answer::Moved`].
    Ship {
        /// The head as it was read.
        from: Head,
        /// The root that the shipped tree is under.
        root: u64,
    },
    /// List the roots that live in the KMS: [`Answer::Roots`].
    ListRoots,
    /// Wait until no lease can use an old root, then read the tree as the store has it now, past every cache, and open it
    /// by the KMS: [`Answer::Tree`].
    ReadBack,
    /// Destroy these for good: [`Answer::Accepted`].
    Destroy {
        /// Which.
        roots: BTreeSet<u64>,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The head, if there is one.
    Head(Option<Head>),
    /// The tree.
    Tree(Tree),
    /// It is done.
    Accepted,
    /// Something else was there by then: nothing was done.
    Moved,
    /// The living roots.
    Roots(BTreeSet<u64>),
}

/// How a rotation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// What was to go is gone for good: no root lives but the head's.
    Done {
        /// The root that holds now.
        root: u64,
    },
    /// Another site has taken the head: this one must not serve any more.
    Superseded,
    /// The head does not know this tree, or there is none: an alarm.
    Foreign,
}

/// A rotation as far as it is. It is lost in a crash and begun anew: nothing in it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rotation {
    site: InstallationId,
    step: Step,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    /// Read the head, then the tree: what they say together decides how to go on.
    Begin,
    Look(Head),
    /// They did not fit: has the head moved meanwhile?
    Doubt(Head),
    Reserve(Head),
    Create {
        head: Head,
        root: u64,
    },
    Write {
        head: Head,
        root: u64,
    },
    Ship {
        head: Head,
        root: u64,
    },
    /// List the roots, then judge which must go by a head that is read after it. With the tree that was read back before
    /// others were destroyed.
    List {
        back: Option<Tree>,
    },
    Judge {
        back: Option<Tree>,
        listed: BTreeSet<u64>,
    },
    ReadBack {
        dying: BTreeSet<u64>,
    },
    Destroy {
        dying: BTreeSet<u64>,
        back: Tree,
    },
    Check(Head),
    Ended(End),
}

impl Rotation {
    /// A rotation by a process of `site`.
    pub fn begin(site: InstallationId) -> Self {
        Self { site, step: Step::Begin }
    }

    /// What is to be done next, or how it ended.
    ///
    /// # Errors
    /// None really: the end takes the place of one, so that `?` leaves the loop.
    pub fn ask(&self) -> Result<Ask, End> {
        Ok(match &self.step {
            Step::Begin | Step::Doubt(_) | Step::Judge { .. } => Ask::ReadHead,
            Step::Look(_) | Step::Check(_) => Ask::ReadTree,
            Step::Reserve(head) => Ask::Reserve { from: *head, root: head.next_root() },
            Step::Create { root, .. } => Ask::CreateRoot { root: *root },
            Step::Write { head, root } => Ask::WriteTree { from: head.shipped, root: *root },
            Step::Ship { head, root } => Ask::Ship { from: *head, root: *root },
            Step::List { .. } => Ask::ListRoots,
            Step::ReadBack { .. } => Ask::ReadBack,
            Step::Destroy { dying, .. } => Ask::Destroy { roots: dying.clone() },
            Step::Ended(end) => return Err(*end),
        })
    }

    /// Takes in what came of the last [`Rotation::ask`]. An answer that does not belong to it begins anew.
    #[must_use]
    pub fn answer(self, answer: Answer) -> Self {
        let Self { site, step } = self;
        let step = match answer {
            Answer::Head(None) => Step::Ended(End::Foreign),
            Answer::Head(Some(head)) if head.site != site => Step::Ended(End::Superseded),
            Answer::Head(Some(head)) => step.with_head(head),
            Answer::Tree(tree) => step.with_tree(tree),
            Answer::Accepted => step.accepted(),
            Answer::Roots(listed) => step.with_roots(listed),
            Answer::Moved => Step::Begin,
        };
        Self { site, step }
    }
}

impl Step {
    fn with_head(self, head: Head) -> Self {
        match self {
            Self::Begin => Self::Look(head),
            // Nothing ever brings an old head back: it was this one all the time, and the tree is not its.
            Self::Doubt(before) if before == head => Self::Ended(End::Foreign),
            Self::Doubt(_) => Self::Look(head),
            Self::Judge { back, listed } => {
                let dying: BTreeSet<u64> = listed.into_iter().filter(|root| !head.needs(*root)).collect();
                match back {
                    _ if !dying.is_empty() => Self::ReadBack { dying },
                    Some(back) => Self::Check(head).with_tree(back),
                    None => Self::Check(head),
                }
            }
            _ => Self::Begin,
        }
    }

    fn with_roots(self, listed: BTreeSet<u64>) -> Self {
        match self {
            Self::List { back } => Self::Judge { back, listed },
            _ => Self::Begin,
        }
    }

    fn with_tree(self, tree: Tree) -> Self {
        match self {
            Self::Look(head) => match head.reserved {
                // Whoever has nothing to write leaves a reservation to the one who has: two processes that kept taking
                // over from each other would never end.
                _ if tree.root == head.shipped && !tree.is_due => Self::List { back: None },
                None if tree.root == head.shipped => Self::Reserve(head),
                Some(root) if tree.root == head.shipped => Self::Create { head, root },
                Some(root) if tree.root == root => Self::Ship { head, root },
                None | Some(_) => Self::Doubt(head),
            },
            // Nothing is destroyed that the tree is under.
            Self::ReadBack { dying } if !dying.contains(&tree.root) => Self::Destroy { dying, back: tree },
            // What is gone from the live tree may still be in the shipped one, unless both are under the same root.
            Self::Check(head) if tree.root == head.shipped && !tree.is_due => {
                Self::Ended(End::Done { root: head.shipped })
            }
            _ => Self::Begin,
        }
    }

    fn accepted(self) -> Self {
        match self {
            Self::Reserve(head) => {
                let root = head.next_root();
                Self::Create { head: Head { reserved: Some(root), ..head }, root }
            }
            Self::Create { head, root } => Self::Write { head, root },
            Self::Write { head, root } => Self::Ship { head, root },
            Self::Ship { .. } => Self::List { back: None },
            Self::Destroy { back, .. } => Self::List { back: Some(back) },
            _ => Self::Begin,
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
