//! The key tree's nodes.

use std::sync::Arc;
use std::time::Duration;

use domain::history::{DataSubject, History};
use domain::port::{Journal as _, Keys as _, Target};
use domain::scope::{Part, Scope};

use super::proxy::Proxy;
use super::world::{HANGS, START, World, cardio, consent, consented, facts, participant, tenant};
use crate::journal::{JetStreamJournal, JetStreamNodes, Lane, NatsAnnouncements};
use crate::keys::kms::MemoryKms;
use crate::keys::{KeyId, KeyState, KeyTree, NodeStore as _, NodeWrite, NodeWriteError, Options, PersonKey};
use crate::off_site::MemoryOffSite;
use crate::seal::Sealer;

fn write(place: &str, bytes: &str, expected_sequence: u64) -> NodeWrite {
    NodeWrite { place: place.to_owned(), bytes: bytes.as_bytes().to_vec(), expected_sequence }
}

async fn nodes(world: &World) -> JetStreamNodes {
    JetStreamNodes::new(world.client().await, &tenant())
}

fn known(bytes: &str, sequence: u64) -> Option<(Vec<u8>, u64)> {
    Some((bytes.as_bytes().to_vec(), sequence))
}

fn is_conflict(outcome: Result<Vec<u64>, NodeWriteError>) -> bool {
    match outcome {
        Err(NodeWriteError::Conflict) => true,
        Ok(_) => false,
        Err(NodeWriteError::Failed(failure)) => panic!("{failure}"),
    }
}

#[tokio::test]
async fn a_node_is_written_only_where_it_was_read() {
    let world = World::new().await;
    let nodes = nodes(&world).await;
    assert_eq!(nodes.read("top").await.unwrap(), None);
    assert_eq!(nodes.head().await.unwrap(), 0);

    assert_eq!(nodes.write(vec![write("top", "a", 0)]).await.unwrap(), vec![1]);
    assert_eq!(nodes.read("top").await.unwrap(), known("a", 1));
    assert!(is_conflict(nodes.write(vec![write("top", "b", 0)]).await));
    assert_eq!(nodes.write(vec![write("top", "b", 1)]).await.unwrap(), vec![2]);
    assert!(is_conflict(nodes.write(vec![write("top", "c", 1)]).await));
    assert_eq!(nodes.read("top").await.unwrap(), known("b", 2));
    assert_eq!(nodes.head().await.unwrap(), 2);
    assert_eq!(nodes.write(vec![]).await.unwrap(), Vec::<u64>::new());
}

#[tokio::test]
async fn several_nodes_are_written_together_or_not_at_all() {
    let world = World::new().await;
    let nodes = nodes(&world).await;
    nodes.write(vec![write("node/7f", "old", 0)]).await.unwrap();
    let path = |expected| vec![write("top", "a", 0), write("node/7f", "b", expected), write("bucket/7f3a", "c", 0)];

    assert!(is_conflict(nodes.write(path(0)).await));
    assert_eq!(nodes.read("top").await.unwrap(), None);
    assert_eq!(nodes.read("bucket/7f3a").await.unwrap(), None);
    assert_eq!(nodes.read("node/7f").await.unwrap(), known("old", 1));
    assert_eq!(nodes.head().await.unwrap(), 1);

    assert_eq!(nodes.write(path(1)).await.unwrap(), vec![2, 3, 4]);
    for (place, bytes, sequence) in [("top", "a", 2), ("node/7f", "b", 3), ("bucket/7f3a", "c", 4)] {
        assert_eq!(nodes.read(place).await.unwrap(), known(bytes, sequence), "{place}");
    }
}

#[tokio::test]
async fn a_thousand_nodes_fit_and_one_more_does_not() {
    let world = World::new().await;
    let nodes = nodes(&world).await;
    let many = |count: usize| (0..count).map(|n| write(&format!("bucket/{n:04x}"), "x", 0)).collect::<Vec<_>>();
    assert!(matches!(nodes.write(many(1001)).await, Err(NodeWriteError::Failed(_))));
    assert_eq!(nodes.head().await.unwrap(), 0);
    let sequences = nodes.write(many(1000)).await.unwrap();
    assert_eq!(sequences, (1..=1000).collect::<Vec<_>>());
    assert_eq!(nodes.read("bucket/03e7").await.unwrap(), known("x", 1000));
}

#[tokio::test]
async fn a_lost_acknowledgement_of_nodes_is_found_out() {
    let world = World::new().await;
    let proxy = Proxy::before(world.server.url()).await;
    let behind = Arc::new(JetStreamNodes::new(world.client_at(&proxy.url()).await, &tenant()));
    let direct = nodes(&world).await;
    let single = vec![write("top", "a", 0)];
    let batch = vec![write("top", "b", 1), write("node/00", "c", 0)];

    for (writes, sequences) in [(single, vec![1]), (batch, vec![2, 3])] {
        proxy.swallow_answers(true);
        let nodes = behind.clone();
        let task = tokio::spawn(async move { nodes.write(writes).await });
        while direct.head().await.unwrap() < *sequences.last().unwrap() {
            assert!(!task.is_finished(), "an answer came through");
        }
        proxy.swallow_answers(false);
        proxy.cut();
        assert_eq!(task.await.unwrap().unwrap(), sequences);
        assert_eq!(direct.head().await.unwrap(), *sequences.last().unwrap());
    }
}

#[tokio::test]
async fn a_key_tree_lives_on_it_and_forgets() {
    let world = World::new().await;
    let kms = Arc::new(MemoryKms::new(tenant()));
    let tree = |nodes| Arc::new(KeyTree::new(tenant(), Arc::new(nodes), kms.clone(), Options::default()));
    let first = tree(nodes(&world).await);
    first.create().await.unwrap();
    let sealer = Arc::new(Sealer::new(first.clone()));
    let journal =
        JetStreamJournal::open(world.client().await, &tenant(), sealer, &[cardio()], &Lane::default()).await.unwrap();
    let (forgotten, kept) = (participant(), participant());
    for stream in [&forgotten, &kept] {
        journal.append(consented(stream, START, "binder 1")).await.unwrap();
    }
    let target = Target { data_subject: forgotten.data_subject().unwrap(), scope: Scope::HealthFreeText, part: None };
    first.fence(std::slice::from_ref(&target)).await.unwrap();
    assert_eq!(first.shred(std::slice::from_ref(&target)).await.unwrap().keys_destroyed(), 1);

    // Another process, which knows only what was stored.
    let second = tree(nodes(&world).await);
    assert_eq!(second.probe(&[target]).await.unwrap(), 0);
    let sealer = Arc::new(Sealer::new(second));
    let journal =
        JetStreamJournal::open(world.client().await, &tenant(), sealer, &[cardio()], &Lane::default()).await.unwrap();
    assert_eq!(facts(&journal.load(&kept, START).await.unwrap()), vec![consent("binder 1")]);
    let commits = journal.load(&forgotten, START).await.unwrap();
    assert!(matches!(commits, History::Erased { .. }), "what is forgotten is said, not left out");
    assert_eq!(commits[0].erased.len(), 1);
    assert_ne!(facts(&commits), vec![consent("binder 1")]);
}

#[tokio::test]
async fn what_changed_is_read_in_pages_each_place_once_as_it_is_now() {
    let world = World::new().await;
    let nodes = nodes(&world).await;
    assert_eq!(nodes.changed_since(0).await.unwrap(), []);
    let many: Vec<NodeWrite> = (0..600).map(|n| write(&format!("bucket/{n:04x}"), "old", 0)).collect();
    nodes.write(many).await.unwrap();
    nodes.write(vec![write("bucket/0003", "new", 4), write("change/12", "{}", 0)]).await.unwrap();
    let (mut pages, mut seen) = (0, Vec::new());
    loop {
        let page = nodes.changed_since(seen.last().map_or(0, |(_, sequence, _)| *sequence)).await.unwrap();
        if page.is_empty() {
            break;
        }
        pages += 1;
        seen.extend(page.into_iter().map(|node| (node.place, node.sequence, node.bytes)));
    }
    assert!(pages > 1, "{pages}");
    assert_eq!(seen.len(), 601);
    assert!(seen.is_sorted_by_key(|(_, sequence, _)| *sequence));
    assert_eq!(
        seen[599..],
        [("bucket/0003".to_owned(), 601, b"new".to_vec()), ("change/12".to_owned(), 602, b"{}".to_vec())]
    );
    assert_eq!(nodes.changed_since(600).await.unwrap().len(), 2);
}

fn clinical(person: u128) -> Target {
    Target { data_subject: DataSubject(uuid::Uuid::from_u128(person)), scope: Scope::HealthClinical, part: None }
}

async fn key_of(tree: &KeyTree, person: u128) -> PersonKey {
    let parts = [(Scope::HealthClinical, Part::all())];
    tree.current_or_create(clinical(person).data_subject, &parts).await.unwrap().remove(0).0
}

async fn state(tree: &KeyTree, key: &PersonKey) -> KeyState {
    tree.get(&[&KeyId::Person(key.clone())]).await.unwrap().remove(0)
}

#[tokio::test]
async fn a_fence_of_another_process_is_heard_long_before_the_lease_is_over() {
    let world = World::new().await;
    let kms = Arc::new(MemoryKms::new(tenant()));
    let tree = async || {
        let client = world.client().await;
        let announcements = Arc::new(NatsAnnouncements::new(client.clone(), &tenant()));
        let lease = Duration::from_secs(3600);
        let options = Options { lease, announcements: Some(announcements), ..Options::default() };
        Arc::new(KeyTree::new(tenant(), Arc::new(JetStreamNodes::new(client, &tenant())), kms.clone(), options))
    };
    let (first, second, deaf) = (tree().await, tree().await, tree().await);
    first.create().await.unwrap();
    let key = key_of(&first, 1).await;
    let _listening = second.listen().await.unwrap();
    for tree in [&second, &deaf] {
        assert!(matches!(state(tree, &key).await, KeyState::Known(_)));
    }
    first.fence(&[clinical(1)]).await.unwrap();
    let heard = async {
        while !matches!(state(&second, &key).await, KeyState::Erased) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANGS, heard).await.unwrap();
    assert!(matches!(state(&deaf, &key).await, KeyState::Known(_)), "who does not listen has its lease");
}

#[tokio::test]
async fn a_tree_is_shipped_lost_with_its_server_and_claimed_on_another() {
    let (world, other) = (World::new().await, World::new().await);
    let kms = Arc::new(MemoryKms::new(tenant()));
    let there = Arc::new(MemoryOffSite::default());
    let tree = async |world: &World| {
        let options = Options { off_site: Some(there.clone()), ..Options::default() };
        KeyTree::new(tenant(), Arc::new(nodes(world).await), kms.clone(), options)
    };
    let lost = tree(&world).await;
    lost.create().await.unwrap();
    let (forgotten, kept, late) = (key_of(&lost, 1).await, key_of(&lost, 2).await, key_of(&lost, 3).await);
    lost.fence(&[clinical(1)]).await.unwrap();
    let receipt = lost.shred(&[clinical(1)]).await.unwrap();
    assert_eq!((receipt.keys_destroyed(), receipt.targets[0].root_after), (1, 2));
    let KeyState::Known(bytes) = state(&lost, &kept).await else { panic!("it is known") };

    let found = tree(&other).await;
    let claimed = found.claim(&[clinical(1), clinical(3)]).await.unwrap();
    let told = claimed.receipt.targets.iter().map(|told| (told.keys, told.root_after));
    assert_eq!((claimed.loaded, told.collect::<Vec<_>>()), (2, vec![(1, 2), (1, 3)]));
    let found = tree(&other).await;
    found.attach().await.unwrap();
    for key in [&forgotten, &late] {
        assert!(matches!(state(&found, key).await, KeyState::Erased), "{key}");
    }
    assert!(matches!(state(&found, &kept).await, KeyState::Known(known) if known.expose() == bytes.expose()));
    assert!(lost.shred(&[clinical(1)]).await.is_err(), "the other site has the tree now");
    let status = found.status().await.unwrap();
    assert_eq!((status.root, status.living.len(), status.head.site), (3, 1, status.site));
}
