//! Top and nodes: 256 child keys each, sealed as one message.

use std::collections::BTreeMap;

use domain::ids::TenantId;
use domain::port::{Failure, Kms, KmsError};
use minicbor::Decoder;
use zeroize::Zeroizing;

use super::key::Key;
use super::store::Place;
use crate::frame::{Fault, array_len, array_of, encode, finished, label_texts};
use crate::seal::{Nonce, open, seal};

/// The version of every stored message of the tree.
pub(crate) const TREE_VERSION: u64 = 1;

/// Children of the top, and of each node.
pub(crate) const FAN_OUT: usize = 256;

const KEY_LENGTH: usize = 32;

/// What binds a node to its tenant and place.
pub(crate) fn node_aad(tenant: &TenantId, place: Place) -> Vec<u8> {
    label_texts(&["lethe/node/v1", tenant.as_str(), &place.to_string()])
}

/// What binds a wrapped top key to its tenant.
fn root_context(tenant: &TenantId) -> Vec<u8> {
    label_texts(&["lethe/top/v1", tenant.as_str()])
}

/// 256 child keys, side by side.
pub(crate) struct Children(Zeroizing<Vec<u8>>);

impl Children {
    pub(crate) fn random() -> Self {
        let mut keys = Zeroizing::new(vec![0; FAN_OUT * KEY_LENGTH]);
        crate::chance::fill_random(&mut keys);
        Self(keys)
    }

    fn from_slice(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() != FAN_OUT * KEY_LENGTH {
            return Err(Fault::Content);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    pub(crate) fn key(&self, child: u8) -> Key {
        let at = usize::from(child) * KEY_LENGTH;
        Key::from_slice(&self.0[at..at + KEY_LENGTH]).expect("a slice of the length of a key")
    }

    pub(crate) fn set(&mut self, child: u8, key: &Key) {
        let at = usize::from(child) * KEY_LENGTH;
        self.0[at..at + KEY_LENGTH].copy_from_slice(key.expose());
    }
}

/// The top node, open.
pub(crate) struct Top {
    /// The root that wraps its key.
    pub(crate) root: u64,
    /// Its last message.
    pub(crate) sequence: u64,
    /// The tenant's own keys, by generation: they seal structure and are never shredded.
    pub(crate) structure: BTreeMap<u32, Key>,
    pub(crate) children: Children,
}

/// Why the top does not open.
pub(crate) enum TopFault {
    Fault(Fault),
    Kms(KmsError),
}

impl From<Fault> for TopFault {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Top {
    /// `[version, root version, wrapped top key, sealed body]`, under `key`, that under `root`.
    pub(crate) async fn seal(&self, tenant: &TenantId, kms: &dyn Kms, key: &Key) -> Result<Vec<u8>, KmsError> {
        let context = root_context(tenant);
        let wrapped = kms.wrap(self.root, &context, key.expose()).await?;
        // Every copy of the KMS must be able to give back what it took, before anything depends on it.
        if kms.unwrap(self.root, &context, &wrapped).await?.as_slice() != key.expose() {
            return Err(Failure::damaged("KMS", "it does not unwrap what it has just wrapped").into());
        }
        let sealed = seal(key, Nonce::random(), "top", &node_aad(tenant, Place::Top), &self.body());
        Ok(encode(sealed.len() + wrapped.len() + 16, |e| {
            e.array(4)?.u64(TREE_VERSION)?.u64(self.root)?.bytes(&wrapped)?.bytes(&sealed)?.ok()
        }))
    }

    pub(crate) async fn open(tenant: &TenantId, kms: &dyn Kms, bytes: &[u8], sequence: u64) -> Result<Self, TopFault> {
        let (root, wrapped, sealed) = Self::take_apart(bytes)?;
        let key = kms.unwrap(root, &root_context(tenant), wrapped).await.map(Zeroizing::new).map_err(TopFault::Kms)?;
        let key = Key::from_slice(&key).ok_or(Fault::Content)?;
        let plain = open(&key, "top", &node_aad(tenant, Place::Top), sealed)?;
        let (structure, children) = Self::read_body(&plain)?;
        Ok(Self { root, sequence, structure, children })
    }

    /// The root that a stored top is wrapped under, unopened.
    pub(crate) fn root_of(bytes: &[u8]) -> Result<u64, Fault> {
        Self::take_apart(bytes).map(|(root, _, _)| root)
    }

    /// Root version, wrapped key, sealed body.
    fn take_apart(bytes: &[u8]) -> Result<(u64, &[u8], &[u8]), Fault> {
        let d = &mut Decoder::new(bytes);
        array_of(d, 4)?;
        version(d)?;
        let parts = (d.u64()?, d.bytes()?, d.bytes()?);
        finished(d).map(|()| parts)
    }

    /// `[[[generation, key], …], child keys]`
    fn body(&self) -> Zeroizing<Vec<u8>> {
        let size = self.children.0.len() + self.structure.len() * (KEY_LENGTH + 16) + 32;
        Zeroizing::new(encode(size, |e| {
            e.array(2)?.array(self.structure.len() as u64)?;
            for (generation, key) in &self.structure {
                e.array(2)?.u32(*generation)?.bytes(key.expose())?;
            }
            e.bytes(&self.children.0)?.ok()
        }))
    }

    fn read_body(plain: &[u8]) -> Result<(BTreeMap<u32, Key>, Children), Fault> {
        let d = &mut Decoder::new(plain);
        array_of(d, 2)?;
        let mut structure = BTreeMap::new();
        for _ in 0..array_len(d)? {
            array_of(d, 2)?;
            let generation = d.u32()?;
            structure.insert(generation, Key::from_slice(d.bytes()?).ok_or(Fault::Content)?);
        }
        let children = Children::from_slice(d.bytes()?)?;
        finished(d).map(|()| (structure, children))
    }
}

/// A node below the top, open.
pub(crate) struct Node {
    /// Its last message.
    pub(crate) sequence: u64,
    pub(crate) children: Children,
}

impl Node {
    /// `[version, sealed child keys]`
    pub(crate) fn seal(children: &Children, tenant: &TenantId, node: u8, key: &Key) -> Vec<u8> {
        seal_node(tenant, Place::Node(node), key, &children.0)
    }

    pub(crate) fn open(tenant: &TenantId, node: u8, key: &Key, bytes: &[u8], sequence: u64) -> Result<Self, Fault> {
        let plain = open_node(tenant, Place::Node(node), key, bytes)?;
        Ok(Self { sequence, children: Children::from_slice(&plain)? })
    }
}

/// `[version, sealed body]`
pub(crate) fn seal_node(tenant: &TenantId, place: Place, key: &Key, plain: &[u8]) -> Vec<u8> {
    let sealed = seal(key, Nonce::random(), &place.to_string(), &node_aad(tenant, place), plain);
    encode(sealed.len() + 8, |e| e.array(2)?.u64(TREE_VERSION)?.bytes(&sealed)?.ok())
}

pub(crate) fn open_node(tenant: &TenantId, place: Place, key: &Key, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let d = &mut Decoder::new(bytes);
    array_of(d, 2)?;
    version(d)?;
    let sealed = d.bytes()?;
    finished(d)?;
    open(key, &place.to_string(), &node_aad(tenant, place), sealed)
}

fn version(d: &mut Decoder<'_>) -> Result<(), Fault> {
    if d.u64()? == TREE_VERSION { Ok(()) } else { Err(Fault::Version) }
}
