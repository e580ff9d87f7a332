//! A pack: messages of the key tree's store, shipped off-site as one object. In order, packs are the tree.

use std::fmt::Write as _;

use domain::ids::TenantId;
use domain::port::{Failure, OffSite};
use minicbor::Decoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::probe::TreeCopy;
use super::store::StoredNode;
use crate::frame::{Fault, array_len, array_of, encode, finished};

const VERSION: u64 = 1;

/// A pack is closed when it has this many bytes; one message more may still go in.
pub(super) const PACK_BYTES: usize = 7 * 1024 * 1024;

/// What the head says about a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// The object's name: `tree/<sha256>.pack`.
    pub name: String,
    /// SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// The sequence after which its messages begin.
    pub from: u64,
    /// The sequence up to which it holds every place that changed.
    pub through: u64,
}

/// A pack, open. Its messages ascend by sequence, and a later one of a place replaces an earlier one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) tenant: TenantId,
    pub(super) from: u64,
    pub(super) through: u64,
    pub(super) nodes: Vec<StoredNode>,
}

impl Packed {
    /// `[version, tenant, from, through, [[place, sequence, bytes], …]]`
    pub(super) fn encode(&self) -> Vec<u8> {
        let size = self.nodes.iter().map(|node| node.bytes.len() + node.place.len() + 24).sum::<usize>() + 96;
        encode(size, |e| {
            e.array(5)?.u64(VERSION)?.str(self.tenant.as_str())?.u64(self.from)?.u64(self.through)?;
            e.array(self.nodes.len() as u64)?;
            self.nodes
                .iter()
                .try_for_each(|node| e.array(3)?.str(&node.place)?.u64(node.sequence)?.bytes(&node.bytes)?.ok())
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let d = &mut Decoder::new(bytes);
        array_of(d, 5)?;
        if d.u64()? != VERSION {
            return Err(Fault::Version);
        }
        let tenant = d.str()?.parse().map_err(|_| Fault::Content)?;
        let (from, through) = (d.u64()?, d.u64()?);
        let mut nodes: Vec<StoredNode> = Vec::new();
        let mut last = from;
        for _ in 0..array_len(d)? {
            array_of(d, 3)?;
            let node = StoredNode { place: d.str()?.to_owned(), sequence: d.u64()?, bytes: d.bytes()?.to_vec() };
            if node.sequence <= last || node.sequence > through {
                return Err(Fault::Content);
            }
            last = node.sequence;
            nodes.push(node);
        }
        finished(d)?;
        let packed = Self { tenant, from, through, nodes };
        if packed.encode() == bytes { Ok(packed) } else { Err(Fault::Spelling) }
    }

    /// Stores it elsewhere under the name of its content.
    pub(super) async fn put(&self, to: &dyn OffSite) -> Result<Pack, Failure> {
        let bytes = self.encode();
        let sha256 = sha256(&bytes);
        let name = format!("tree/{sha256}.pack");
        super::failpoint("keys-pack-put");
        to.put(&name, &bytes).await?;
        super::failpoint("keys-pack-was-put");
        Ok(Pack { name, sha256, bytes: bytes.len() as u64, from: self.from, through: self.through })
    }
}

impl Pack {
    /// Fetches and checks it.
    pub(super) async fn open(&self, tenant: &TenantId, at: &dyn OffSite) -> Result<Packed, Failure> {
        let Some(bytes) = at.get(&self.name).await? else {
            return Err(Failure::missing(format!("pack {} at {}", self.name, at.describe())));
        };
        let damaged = |detail: &str| Failure::damaged(format!("pack {} at {}", self.name, at.describe()), detail);
        if bytes.len() as u64 != self.bytes || sha256(&bytes) != self.sha256 {
            return Err(damaged("its bytes are not those that were shipped"));
        }
        let packed = Packed::decode(&bytes).map_err(|fault| damaged(&fault.to_string()))?;
        if packed.tenant != *tenant {
            return Err(damaged("it is another tenant's"));
        }
        if (packed.from, packed.through) != (self.from, self.through) {
            return Err(damaged("it does not hold what the head says"));
        }
        Ok(packed)
    }
}

/// Every pack that was ever shipped there, the superseded ones too: what somebody may try to open.
///
/// # Errors
/// When the place does not answer. What is no pack any more is left out: nothing can be opened with it.
pub async fn shipped_copies(at: &dyn OffSite) -> Result<Vec<TreeCopy>, Failure> {
    let mut copies = Vec::new();
    for name in at.list("tree/").await? {
        let packed = at.get(&name).await?.and_then(|bytes| Packed::decode(&bytes).ok());
        copies.extend(packed.map(|packed| packed.nodes.into_iter().map(|node| (node.place, node.bytes)).collect()));
    }
    Ok(copies)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed() -> Packed {
        let node = |place: &str, sequence| StoredNode { place: place.to_owned(), sequence, bytes: vec![7; 3] };
        let nodes = vec![node("node/00", 5), node("top", 9)];
        Packed { tenant: "acme".parse().expect("valid"), from: 4, through: 11, nodes }
    }

    #[test]
    fn a_pack_has_one_spelling() {
        let bytes = packed().encode();
        assert_eq!(Packed::decode(&bytes), Ok(packed()));
        for cut in 0..bytes.len() {
            assert!(Packed::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Packed::decode(&longer), Err(Fault::Spelling));
        let padded = [&[0x98, 0x05], &bytes[1..]].concat();
        assert_eq!(Packed::decode(&padded), Err(Fault::Spelling));
    }

    #[test]
    fn what_does_not_ascend_within_its_bounds_is_refused() {
        for (first, second) in [(4, 9), (9, 9), (9, 5), (5, 12)] {
            let mut packed = packed();
            (packed.nodes[0].sequence, packed.nodes[1].sequence) = (first, second);
            assert_eq!(Packed::decode(&packed.encode()), Err(Fault::Content), "{first}, {second}");
        }
    }
}
