//! What every off-site target must do. Each adapter's tests call this with several handles of one empty place, as
//! several processes would have them.

use std::path::PathBuf;

use domain::port::{Failure, HeadTag, OffSite, SwapError};
use futures_util::future::join_all;

use super::{FolderOffSite, MemoryOffSite};
use crate::chance::SystemDice;
use domain::port::Dice as _;

/// The whole contract.
pub(super) async fn holds<O: OffSite + 'static>(handles: &[O]) {
    let [one, other, ..] = handles else { panic!("two handles at least") };
    objects(one, other).await;
    names(one, other).await;
    heads(one, other).await;
    one_of_many_wins(handles).await;
    one_of_many_puts(handles).await;
}

async fn objects(one: &dyn OffSite, other: &dyn OffSite) {
    assert_eq!(one.get("tree/a.pack").await.unwrap(), None);
    let large = vec![7_u8; 3 << 20];
    one.put("tree/a.pack", &large).await.unwrap();
    assert_eq!(other.get("tree/a.pack").await.unwrap(), Some(large.clone()));
    other.put("tree/a.pack", &large).await.unwrap();
    match other.put("tree/a.pack", b"another").await {
        Err(Failure::Damaged { what, .. }) => assert!(what.contains("tree/a.pack"), "{what}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(one.get("tree/a.pack").await.unwrap(), Some(large));
    one.put("empty", b"").await.unwrap();
    assert_eq!(other.get("empty").await.unwrap(), Some(Vec::new()));
}

async fn names(one: &dyn OffSite, other: &dyn OffSite) {
    let many =
        ["ledger/cardio/p-1/00000002", "ledger/cardio/p-1/00000001", "ledger/cardio/p-10/00000001", "ledger/_/x/1"];
    for name in many {
        one.put(name, name.as_bytes()).await.unwrap();
    }
    let list = async |prefix: &str| other.list(prefix).await.unwrap();
    assert_eq!(list("ledger/cardio/p-1/").await, ["ledger/cardio/p-1/00000001", "ledger/cardio/p-1/00000002"]);
    assert_eq!(list("ledger/cardio/p-1").await.len(), 3);
    assert_eq!(list("ledger/_").await, ["ledger/_/x/1"]);
    assert_eq!(list("nothing/").await, Vec::<String>::new());
    assert_eq!(list("").await.len(), 6);
    for bad in ["", "../x", "head", "A", ".hidden"] {
        assert!(one.put(bad, b"x").await.is_err(), "{bad}");
        assert!(one.get(bad).await.is_err(), "{bad}");
    }
}

async fn heads(one: &dyn OffSite, other: &dyn OffSite) {
    assert_eq!(one.head().await.unwrap(), None);
    let nowhere = HeadTag("\"0\"".to_owned());
    assert!(matches!(one.swap_head(Some(&nowhere), b"x").await, Err(SwapError::Moved)));
    assert_eq!(one.head().await.unwrap(), None);

    let first = one.swap_head(None, b"A").await.unwrap();
    assert_eq!(other.head().await.unwrap(), Some((b"A".to_vec(), first.clone())));
    assert!(matches!(other.swap_head(None, b"B").await, Err(SwapError::Moved)));
    let second = other.swap_head(Some(&first), b"B").await.unwrap();
    assert!(matches!(one.swap_head(Some(&first), b"C").await, Err(SwapError::Moved)));
    // Back to the same bytes: it is another head all the same.
    let third = one.swap_head(Some(&second), b"A").await.unwrap();
    assert_ne!(third, first);
    assert!(matches!(other.swap_head(Some(&first), b"D").await, Err(SwapError::Moved)));
    assert_eq!(other.head().await.unwrap(), Some((b"A".to_vec(), third)));
    assert!(!other.list("").await.unwrap().iter().any(|name| name.starts_with("head")));
}

async fn one_of_many_wins<O: OffSite>(handles: &[O]) {
    for round in 0..10_u8 {
        let (_, tag) = handles[0].head().await.unwrap().unwrap();
        let swaps = handles.iter().zip(0_u8..).map(async |(handle, n)| handle.swap_head(Some(&tag), &[round, n]).await);
        let outcomes = join_all(swaps).await;
        let won: Vec<usize> = (0..handles.len()).filter(|n| outcomes[*n].is_ok()).collect();
        assert_eq!(won.len(), 1, "round {round}: {outcomes:?}");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(SwapError::Moved))), "{outcomes:?}");
        let winner = u8::try_from(won[0]).unwrap();
        assert_eq!(handles[0].head().await.unwrap().unwrap().0, [round, winner]);
    }
}

async fn one_of_many_puts<O: OffSite>(handles: &[O]) {
    for round in 0..10 {
        let name = format!("race/{round}");
        let puts = handles.iter().zip(0_u8..).map(async |(handle, n)| handle.put(&name, &[n; 5000]).await);
        let outcomes = join_all(puts).await;
        let won: Vec<usize> = (0..handles.len()).filter(|n| outcomes[*n].is_ok()).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        let kept = handles[0].get(&name).await.unwrap().unwrap();
        assert_eq!(kept, [u8::try_from(won[0]).unwrap(); 5000]);
    }
}

/// A folder of its own, removed at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("lethe-offsite-{}", SystemDice.uuid()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_holds_it() {
    let one = MemoryOffSite::default();
    holds(&[one.clone(), one.clone(), one.clone(), one]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_holds_it() {
    let scratch = Scratch::new();
    let acme = || FolderOffSite::new(&scratch.0, &"acme".parse().unwrap());
    holds(&[acme(), acme(), acme(), acme()]).await;

    // Another tenant's part is apart.
    let other = FolderOffSite::new(&scratch.0, &"beta".parse().unwrap());
    assert_eq!(other.head().await.unwrap(), None);
    assert_eq!(other.list("").await.unwrap(), Vec::<String>::new());
    // Nothing was left lying about.
    let mut left = Vec::new();
    for folder in ["acme", "acme/tree", "acme/race"] {
        let entries = std::fs::read_dir(scratch.0.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        left.extend(entries.filter(|name| name.to_string_lossy().starts_with('.')));
    }
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_folder_that_is_not_mounted_is_not_made_up_for() {
    let scratch = Scratch::new();
    let root = scratch.0.join("disk");
    let off_site = FolderOffSite::new(&root, &"acme".parse().unwrap());
    assert!(matches!(off_site.put("a", b"a").await, Err(Failure::Unavailable { .. })));
    assert!(matches!(off_site.head().await, Err(Failure::Unavailable { .. })));
    assert!(!root.exists());
}

#[tokio::test]
async fn a_head_that_was_tampered_with_is_damaged() {
    let scratch = Scratch::new();
    let off_site = FolderOffSite::new(&scratch.0, &"acme".parse().unwrap());
    off_site.swap_head(None, b"A").await.unwrap();
    std::fs::write(scratch.0.join("acme/head"), "{}").unwrap();
    assert!(matches!(off_site.head().await, Err(Failure::Damaged { .. })));
}
