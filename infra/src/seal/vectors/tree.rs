//! One path of a key tree, from the root's file to a person's key.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::history::DataSubject;
use domain::port::{Keys as _, Target};
use domain::scope::{Part, Scope};
use serde::{Deserialize, Serialize};
use uuid::uuid;

use super::{folder, hex, unhex, write_new};
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::keys::{Key, KeyId, KeyState, KeyTree, NodeStore as _, NodeWrite, Options, PersonKey};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeVector {
    about: String,
    tenant: String,
    root_version: u64,
    root_key: String,
    /// The stored messages by place.
    nodes: BTreeMap<String, String>,
    /// By key id: the key, or none if a fence covers it.
    keys: BTreeMap<String, Option<String>>,
}

const NAME: &str = "tree";
const ABOUT: &str = "A path of a key tree: the top under root version 1, the node and the bucket of one person, who \
                     has a key for health.clinical and whose identity.contact is fenced, its key not shredded yet.";

async fn made() -> TreeVector {
    let (tenant, root) = (super::good::tenant(), Key::random());
    let nodes = Arc::new(MemoryNodes::default());
    // A creation that was interrupted after its root was made: so the root can be one that we know.
    let begun = NodeWrite { place: "creating".to_owned(), bytes: vec![1], expected_sequence: 0 };
    nodes.write(vec![begun]).await.expect("memory takes it");
    let tree = KeyTree::new(
        tenant.clone(),
        nodes.clone(),
        Arc::new(MemoryKms::whose_first_root_is(tenant.clone(), root.clone())),
        Options::default(),
    );
    tree.create().await.expect("a tree");
    let data_subject = DataSubject(uuid!("0b9b5c1e-6f0e-4f9a-9d52-3c6f0f7a1c11"));
    let parts = [Scope::HealthClinical, Scope::IdentityContact].map(|scope| (scope, Part::all()));
    let made = tree.current_or_create(data_subject, &parts).await.expect("keys");
    let target = Target { data_subject, scope: Scope::IdentityContact, part: None };
    tree.fence(&[target]).await.expect("a fence");
    let (generation, structure) = tree.structure_key().await.expect("a key");
    let keys = BTreeMap::from([
        (KeyId::Tenant { generation }.to_string(), Some(hex(structure.expose()))),
        (made[0].0.to_string(), Some(hex(made[0].1.expose()))),
        (made[1].0.to_string(), None),
    ]);
    let copy = nodes.copy();
    let bucket = copy.keys().find(|place| place.starts_with("bucket/")).expect("one bucket was written").clone();
    let node = bucket.replace("bucket/", "node/")[..7].to_owned();
    let nodes = ["top".to_owned(), node, bucket].map(|place| (place.clone(), hex(&copy[&place])));
    TreeVector {
        about: ABOUT.to_owned(),
        tenant: tenant.to_string(),
        root_version: 1,
        root_key: hex(root.expose()),
        nodes: nodes.into(),
        keys,
    }
}

#[tokio::test]
async fn a_stored_path_leads_from_the_root_to_the_keys() {
    write_new(NAME, &made().await);
    let text = std::fs::read_to_string(folder().join("tree.json")).expect("readable");
    let vector: TreeVector = serde_json::from_str(&text).expect("a vector");
    let tenant: domain::ids::TenantId = vector.tenant.parse().expect("a tenant");
    let root = Key::from_slice(&unhex(&vector.root_key)).expect("a key");
    let nodes = MemoryNodes::default();
    let write = |(place, bytes): (&String, &String)| NodeWrite {
        place: place.clone(),
        bytes: unhex(bytes),
        expected_sequence: 0,
    };
    nodes.write(vector.nodes.iter().map(write).collect()).await.expect("memory takes them");
    let kms = MemoryKms::whose_first_root_is(tenant.clone(), root);
    let tree = KeyTree::new(tenant, Arc::new(nodes), Arc::new(kms), Options::default());
    assert_eq!(vector.keys.len(), 3);
    for (kid, key) in &vector.keys {
        let id: KeyId = kid.parse().expect("a key id");
        let state = tree.get(&[&id]).await.expect("an answer").remove(0);
        match (state, key) {
            (KeyState::Known(known), Some(key)) => assert_eq!(hex(known.expose()), *key, "{kid}"),
            (KeyState::Erased, None) => assert!(matches!(id, KeyId::Person(PersonKey { .. }))),
            (other, _) => panic!("{kid}: {other:?}"),
        }
    }
}
