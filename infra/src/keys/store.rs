//! Where the tree's nodes lie: a port of its own, because a re-keying needs several nodes written as one.

use std::fmt;

use async_trait::async_trait;
use domain::port::Failure;
use sha2::{Digest, Sha256};

use domain::history::DataSubject;

/// So many writes fit into one atomic batch (JetStream's limit).
pub const WRITES_MAX: usize = 1000;

/// One node to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeWrite {
    /// Its place, as `docs/format.md` lists them: `top`, `node/7f`, `bucket/7f3a`, …
    pub place: String,
    /// Its new bytes.
    pub bytes: Vec<u8>,
    /// The sequence of the place's last message; zero: there must be none.
    pub expected_sequence: u64,
}

impl fmt::Debug for NodeWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeWrite({}, {} bytes, after {})", self.place, self.bytes.len(), self.expected_sequence)
    }
}

/// Why a write did not happen, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum NodeWriteError {
    /// A place has moved on: nothing was stored. Read again and decide anew.
    #[error("a node has moved")]
    Conflict,
    /// It is not known whether it was stored. The tree forgets what it remembers and reads again.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A place's last message.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredNode {
    /// Its place.
    pub place: String,
    /// Its sequence.
    pub sequence: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for StoredNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredNode({} at {}, {} bytes)", self.place, self.sequence, self.bytes.len())
    }
}

/// The nodes of one tenant's key tree, last message per place, durable when acknowledged.
#[async_trait]
pub trait NodeStore: Send + Sync {
    /// A place's last message and its sequence; none if it was never written.
    async fn read(&self, place: &str) -> Result<Option<(Vec<u8>, u64)>, Failure>;

    /// Stores all of `writes` (at most [`WRITES_MAX`]), or none. Returns their sequences, in order.
    async fn write(&self, writes: Vec<NodeWrite>) -> Result<Vec<u64>, NodeWriteError>;

    /// The next last messages with a sequence above `after`, ascending, a page of bounded size; empty: there are none.
    /// Whoever reads on from page to page until one is empty has seen every place as it was at the end: what is
    /// written meanwhile comes later.
    async fn changed_since(&self, after: u64) -> Result<Vec<StoredNode>, Failure>;

    /// The last sequence of the whole store; zero: empty. It moves with every write and with nothing else.
    async fn head(&self) -> Result<u64, Failure>;
}

/// A place in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// Says that a tree is being created here: see [`super::KeyTree::create`].
    Creating,
    /// The top node.
    Top,
    /// One of its 256 children.
    Node(u8),
    /// One of their 256 children each.
    Bucket(BucketPlace),
    /// What the re-keying to this root did.
    Change(u64),
    /// Which re-keyings shredded keys of this bucket.
    Changed(BucketPlace),
    /// Proof that a re-keying took the named keys of a bucket and no others.
    Proof(u64, BucketPlace),
    /// The site that this store belongs to.
    Site,
    /// Says that an off-site copy is being loaded here: see [`super::KeyTree::claim`].
    Claiming,
    /// The head, where it does not stand off-site.
    Head,
}

impl Place {
    /// Whether what lies at a place is this site's own affair: it is not shipped.
    pub(crate) fn is_local(place: &str) -> bool {
        [Self::Creating, Self::Site, Self::Claiming, Self::Head].iter().any(|local| local.to_string() == place)
    }
}

/// A bucket's place: which child of the top, which child of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BucketPlace {
    pub(crate) node: u8,
    pub(crate) bucket: u8,
}

impl BucketPlace {
    /// Where it stands among all buckets.
    pub(crate) fn number(self) -> u16 {
        u16::from_be_bytes([self.node, self.bucket])
    }

    pub(crate) fn at(number: u16) -> Self {
        let [node, bucket] = number.to_be_bytes();
        Self { node, bucket }
    }

    /// Where a person's keys are: fixed, and for all keys of the person the same.
    pub(crate) fn of(data_subject: DataSubject) -> Self {
        let hash = Sha256::digest(data_subject.0.as_bytes());
        Self { node: hash[0], bucket: hash[1] }
    }
}

/// The number of the bucket in which a person's keys are: node in the higher byte, bucket in the lower.
pub fn bucket_of(data_subject: DataSubject) -> u16 {
    BucketPlace::of(data_subject).number()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Creating => f.write_str("creating"),
            Self::Top => f.write_str("top"),
            Self::Node(node) => write!(f, "node/{node:02x}"),
            Self::Bucket(BucketPlace { node, bucket }) => write!(f, "bucket/{node:02x}{bucket:02x}"),
            Self::Change(root) => write!(f, "change/{root}"),
            Self::Changed(BucketPlace { node, bucket }) => write!(f, "changed/{node:02x}{bucket:02x}"),
            Self::Proof(root, BucketPlace { node, bucket }) => write!(f, "proof/{root}/{node:02x}{bucket:02x}"),
            Self::Site => f.write_str("site"),
            Self::Claiming => f.write_str("claiming"),
            Self::Head => f.write_str("head"),
        }
    }
}
