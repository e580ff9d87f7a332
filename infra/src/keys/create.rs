//! A new tree: part of provisioning, never of a start.

use std::collections::BTreeMap;

use domain::port::Failure;
use domain::rotation::Head;

use super::change::json;
use super::head::HeadRecord;
use super::key::Key;
use super::node::{Children, Node, TREE_VERSION, Top};
use super::site::{SiteRecord, new_site};
use super::store::{NodeWrite, Place};
use super::tree::{KeyTree, kms_failure};
use crate::frame::encode;

impl KeyTree {
    /// Creates the tree: top and all 256 nodes at once, so that a person's first key is one small write of one bucket;
    /// with them the site, and the head, which goes off-site at once if a target is configured. Part of provisioning, never of a start. If it was interrupted, call it again.
    ///
    /// # Errors
    /// A tree that exists already, or roots in the KMS although the store never began a tree: that is another
    /// tenant's KMS, or another store of this one, and a new tree would one day destroy the roots of the old.
    pub async fn create(&self) -> Result<(), Failure> {
        if self.store.read(&Place::Top.to_string()).await?.is_some() {
            return Err(Failure::damaged(self.name(), "it exists already; nothing was changed"));
        }
        let begun = self.store.read(&Place::Creating.to_string()).await?.is_some();
        let root = match self.kms.versions().await?.last() {
            Some(root) if begun => *root,
            Some(_) => {
                let detail =
                    "the KMS has roots of this tenant, and this store has no tree of it: is it the right store?";
                return Err(Failure::damaged(self.name(), detail));
            }
            None => {
                self.begin(begun).await?;
                self.kms.create_root(1).await?;
                1
            }
        };
        self.write_new_tree(root).await?;
        self.attach().await
    }

    /// Says in the store that the roots to come are this tree's.
    async fn begin(&self, begun: bool) -> Result<(), Failure> {
        if begun {
            return Ok(());
        }
        let bytes = encode(1, |e| e.u64(TREE_VERSION)?.ok());
        let write = NodeWrite { place: Place::Creating.to_string(), bytes, expected_sequence: 0 };
        self.store.write(vec![write]).await.map(drop).map_err(|error| self.write_failed(error))
    }

    async fn write_new_tree(&self, root: u64) -> Result<(), Failure> {
        let structure = BTreeMap::from([(1, Key::random())]);
        let top = Top { root, sequence: 0, structure, children: Children::random() };
        let write = |place: Place, bytes| NodeWrite { place: place.to_string(), bytes, expected_sequence: 0 };
        let mut writes: Vec<NodeWrite> = (0..=u8::MAX)
            .map(|node| {
                write(Place::Node(node), Node::seal(&Children::random(), &self.tenant, node, &top.children.key(node)))
            })
            .collect();
        let bytes = top.seal(&self.tenant, &*self.kms, &Key::random()).await.map_err(kms_failure)?;
        writes.push(write(Place::Top, bytes));
        let site = new_site();
        writes.push(SiteRecord::write(Place::Site, site, 0));
        writes.push(write(Place::Head, json(&HeadRecord::first(&self.tenant, Head::first(site, root)))));
        super::failpoint("keys-create-write");
        let written = self.store.write(writes).await;
        self.forget();
        written.map(drop).map_err(|error| self.write_failed(error))
    }
}
