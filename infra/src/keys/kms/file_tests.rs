use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::str::FromStr;

use super::disk::{FILE_LENGTH, overwrite_and_unlink, write_new};
use super::*;
use crate::chance::SystemDice;
use crate::keys::kms::contract::Scratch;

struct Given {
    scratch: Scratch,
    kms: FileKms,
    wrapped: Vec<u8>,
}

/// A KMS with one root that has wrapped something.
async fn given() -> Given {
    let scratch = Scratch::new();
    let kms = FileKms::new(&scratch.path().join("kms"), &TenantId::from_str("acme").expect("valid"));
    kms.create_root(1).await.expect("a root");
    let wrapped = kms.wrap(1, b"here", b"plain").await.expect("wrapped");
    Given { scratch, kms, wrapped }
}

impl Given {
    fn file(&self, copy: &str, name: &str) -> PathBuf {
        self.scratch.path().join("kms").join(copy).join("acme").join(name)
    }

    async fn unwrap(&self) -> Result<Vec<u8>, KmsError> {
        self.kms.unwrap(1, b"here", &self.wrapped).await
    }

    async fn versions(&self) -> Vec<u64> {
        self.kms.versions().await.expect("an answer").into_iter().collect()
    }
}

#[tokio::test]
async fn a_root_unwraps_what_it_wrapped_in_the_same_place_only() {
    let given = given().await;
    assert_eq!(given.unwrap().await.expect("unwrapped"), b"plain");
    let elsewhere = given.kms.unwrap(1, b"there", &given.wrapped).await;
    assert!(matches!(elsewhere, Err(KmsError::Failed(Failure::Damaged { .. }))), "{elsewhere:?}");
    let other = FileKms::new(&given.scratch.path().join("kms"), &TenantId::from_str("other").expect("valid"));
    other.create_root(1).await.expect("a root");
    let foreign = other.unwrap(1, b"here", &given.wrapped).await;
    assert!(matches!(foreign, Err(KmsError::Failed(Failure::Damaged { .. }))), "{foreign:?}");
}

#[tokio::test]
async fn roots_are_for_their_owner_only_and_the_same_in_both_folders() {
    let given = given().await;
    let contents = ["a", "b"].map(|copy| {
        let file = given.file(copy, "root-1.key");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().expect("a folder"))), (0o600, 0o700));
        fs::read(file).expect("readable")
    });
    assert_eq!((contents[0].len(), &contents[0]), (64, &contents[1]));
}

#[tokio::test]
async fn destroyed_is_no_such_version_and_its_number_is_not_used_again() {
    let given = given().await;
    given.kms.create_root(2).await.expect("a root");
    given.kms.destroy(1).await.expect("destroyed");
    given.kms.destroy(1).await.expect("twice is once");
    assert_eq!(given.versions().await, [2]);
    assert!(matches!(given.unwrap().await, Err(KmsError::NoSuchVersion(1))));
    let left: Vec<_> = ["a", "b"].map(|copy| fs::read_dir(given.file(copy, "")).expect("a folder").count()).into();
    assert_eq!(left, [1, 1]);
    given.kms.create_root(3).await.expect("a root");
}

#[test]
fn destroying_overwrites_the_file_that_was_there() {
    let scratch = Scratch::new();
    let path = scratch.path().join("root-1.dying");
    let secret = [7; FILE_LENGTH];
    write_new(&path, &secret).expect("written");
    // A second name for the same file on disk: what the first one's sectors hold is seen through it.
    let witness = scratch.path().join("witness");
    fs::hard_link(&path, &witness).expect("a link");
    overwrite_and_unlink(&path).expect("destroyed");
    let left = fs::read(witness).expect("the file on disk");
    assert!(!path.exists() && left.len() == FILE_LENGTH && left.windows(4).all(|window| window != &secret[..4]));
}

#[tokio::test]
async fn a_lost_or_torn_copy_is_made_anew_from_the_other() {
    for copy in ["a", "b"] {
        for torn in [None, Some(&b"half"[..]), Some(&[0; 64])] {
            let given = given().await;
            let file = given.file(copy, "root-1.key");
            let whole = fs::read(&file).expect("it is there");
            match torn {
                Some(bytes) => fs::write(&file, bytes).expect("torn"),
                None => fs::remove_file(&file).expect("lost"),
            }
            assert_eq!(given.unwrap().await.expect("from the other copy"), b"plain");
            assert_eq!(fs::read(&file).expect("it is there again"), whole);
        }
    }
}

#[tokio::test]
async fn two_copies_that_differ_or_none_that_is_whole_are_damage() {
    let given = given().await;
    given.kms.create_root(2).await.expect("a root");
    let file = given.file("a", "root-1.key");
    let other = given.kms.0.checksum(Secret::Root(1), &[9; 32]);
    fs::write(&file, [&[9; 32][..], &other].concat()).expect("written");
    assert!(matches!(given.unwrap().await, Err(KmsError::Failed(Failure::Damaged { .. }))), "two whole ones");
    fs::write(&file, b"torn").expect("written");
    fs::write(given.file("b", "root-1.key"), b"torn").expect("written");
    assert!(matches!(given.unwrap().await, Err(KmsError::Failed(Failure::Damaged { .. }))), "no whole one");
}

#[tokio::test]
async fn a_destruction_that_was_interrupted_is_finished_and_never_repaired() {
    // What may be left in folders a and b, in the order in which a destruction goes.
    let states: [[Option<&str>; 2]; 4] = [
        [Some("root-1.dying"), Some("root-1.key")],
        [Some("root-1.dying"), Some("root-1.dying")],
        [None, Some("root-1.dying")],
        [None, None],
    ];
    for state in states {
        let given = given().await;
        given.kms.create_root(2).await.expect("a root");
        for (copy, left) in ["a", "b"].into_iter().zip(state) {
            match left {
                Some(name) => fs::rename(given.file(copy, "root-1.key"), given.file(copy, name)).expect("renamed"),
                None => fs::remove_file(given.file(copy, "root-1.key")).expect("removed"),
            }
        }
        let left = state.iter().flatten().count();
        assert!(matches!(given.unwrap().await, Err(KmsError::NoSuchVersion(1))), "{state:?}");
        assert_eq!(given.versions().await.contains(&1), left > 0, "{state:?}: whatever is left counts as living");
        given.kms.destroy(1).await.expect("destroyed");
        assert_eq!(given.versions().await, [2], "{state:?}");
        given.kms.wrap(2, b"here", b"plain").await.expect("the newer root is untouched");
    }
}

#[tokio::test]
async fn a_creation_that_was_interrupted_takes_no_number_twice() {
    for torn in [b"".to_vec(), b"half".to_vec()] {
        let given = given().await;
        fs::write(given.file("a", "root-2.key"), &torn).expect("written");
        assert_eq!(given.versions().await, [1, 2]);
        given.kms.create_root(3).await.expect("a root");
        given.kms.destroy(2).await.expect("destroyed");
        assert_eq!(given.versions().await, [1, 3]);
        // A destruction that was interrupted holds its number too.
        fs::rename(given.file("a", "root-3.key"), given.file("a", "root-3.dying")).expect("renamed");
        fs::remove_file(given.file("b", "root-3.key")).expect("removed");
        given.kms.create_root(4).await.expect("a root");
    }
}

#[tokio::test]
async fn creating_finishes_what_was_interrupted() {
    // What an interrupted creation or destruction may leave in folders a and b, and whether the root was usable then.
    let states: [([Option<&str>; 2], bool); 7] = [
        ([Some("new"), None], false),
        ([Some("new"), Some("new")], false),
        ([Some("key"), Some("new")], true),
        ([Some("key"), None], true),
        ([Some("dying"), Some("key")], false),
        ([Some("dying"), Some("dying")], false),
        ([None, Some("dying")], false),
    ];
    for (state, was_usable) in states {
        let given = given().await;
        for (copy, left) in ["a", "b"].into_iter().zip(state) {
            let file = given.file(copy, "root-1.key");
            match left {
                Some(left) => fs::rename(&file, file.with_extension(left)).expect("renamed"),
                None => fs::remove_file(&file).expect("removed"),
            }
        }
        given.kms.create_root(1).await.expect("finished");
        for copy in ["a", "b"] {
            let names: Vec<_> = fs::read_dir(given.file(copy, "")).expect("a folder").collect();
            assert_eq!(names.len(), 1, "{state:?}: nothing is left over in {copy}: {names:?}");
        }
        let [a, b] = ["a", "b"].map(|copy| fs::read(given.file(copy, "root-1.key")).expect("a root"));
        assert_eq!(a, b, "{state:?}");
        let opened = given.unwrap().await;
        assert_eq!(opened.is_ok(), was_usable, "{state:?}: {opened:?}");
        let wrapped = given.kms.wrap(1, b"here", b"plain").await.expect("wrapped");
        assert_eq!(given.kms.unwrap(1, b"here", &wrapped).await.expect("unwrapped"), b"plain");
        given.kms.destroy(1).await.expect("destroyed");
        assert_eq!(given.versions().await, [] as [u64; 0], "{state:?}");
    }
}

#[tokio::test]
async fn the_key_that_signs_lies_as_safely_as_a_root_and_is_no_version() {
    let given = given().await;
    let key = given.kms.public_key().await.expect("made on first use");
    for copy in ["a", "b"] {
        let file = given.file(copy, "signing.key");
        let whole = fs::read(&file).expect("it is there");
        assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
        for torn in [None, Some(&b"half"[..]), Some(&[0; 64])] {
            match torn {
                Some(bytes) => fs::write(&file, bytes).expect("torn"),
                None => fs::remove_file(&file).expect("lost"),
            }
            assert_eq!(given.kms.public_key().await.expect("from the other copy"), key);
            assert_eq!(fs::read(&file).expect("it is there again"), whole);
        }
    }
    assert_eq!(given.versions().await, [1]);
    for copy in ["a", "b"] {
        fs::write(given.file(copy, "signing.key"), b"torn").expect("torn");
    }
    let answer = given.kms.sign(b"message").await;
    assert!(matches!(answer, Err(Failure::Damaged { .. })), "never a new one in its place: {answer:?}");
}

#[tokio::test]
async fn a_folder_that_is_not_mounted_is_unavailable_to_whoever_destroys_and_never_no_such_version() {
    let given = given().await;
    let (folder, away) = (given.file("b", ""), given.scratch.path().join("away"));
    fs::rename(&folder, &away).expect("unmounted");
    assert_eq!(given.unwrap().await.expect("the other copy will do"), b"plain");
    for answer in
        [given.kms.versions().await.map(drop), given.kms.destroy(1).await.map(drop), given.kms.create_root(2).await]
    {
        assert!(matches!(answer, Err(Failure::Unavailable { .. })), "{answer:?}");
    }
    fs::rename(given.file("a", ""), given.scratch.path().join("away-too")).expect("unmounted");
    let answer = given.unwrap().await;
    assert!(matches!(answer, Err(KmsError::Failed(Failure::Unavailable { .. }))), "{answer:?}");
    let answer = given.kms.destroy(1).await;
    assert!(matches!(answer, Err(Failure::Unavailable { .. })), "what is away may live on: {answer:?}");
}

#[test]
fn a_kms_folder_inside_the_data_folder_is_refused_by_whatever_path() {
    let scratch = Scratch::new();
    let data = scratch.path().join("data");
    fs::create_dir_all(data.join("sub")).expect("a folder");
    std::os::unix::fs::symlink(data.join("sub"), scratch.path().join("link")).expect("a link");
    for inside in [
        data.clone(),
        data.join("kms"),
        data.join("not/yet/there"),
        scratch.path().join("link/kms"),
        data.join("sub/../kms"),
    ] {
        assert!(matches!(refuse_inside(&data, &inside), Err(KmsDirError::Inside)), "{}", inside.display());
    }
    for outside in [scratch.path().join("kms"), scratch.path().join("data-kms"), scratch.path().to_path_buf()] {
        refuse_inside(&data, &outside).expect("it lies outside");
    }
    refuse_inside(&scratch.path().join("later"), &scratch.path().join("later-kms")).expect("neither exists yet");
}

#[tokio::test]
async fn a_tree_lives_on_files() {
    use std::sync::Arc;

    use domain::port::{Keys as _, Target};
    use domain::scope::{Part, Scope};

    use crate::keys::memory::MemoryNodes;
    use crate::keys::{KeyTree, Options};

    let scratch = Scratch::new();
    let tenant = TenantId::from_str("acme").expect("valid");
    let kms = Arc::new(FileKms::new(scratch.path(), &tenant));
    let nodes = Arc::new(MemoryNodes::default());
    let tree = KeyTree::new(tenant, nodes.clone(), kms.clone(), Options::default());
    tree.create().await.expect("a tree");
    let data_subject = domain::history::DataSubject(domain::port::Dice::uuid(&SystemDice));
    tree.current_or_create(data_subject, &[(Scope::HealthClinical, Part::all())]).await.expect("a key");
    let (copy, targets) = (nodes.copy(), [Target { data_subject, scope: Scope::HealthClinical, part: None }]);
    tree.fence(&targets).await.expect("a fence");
    let receipt = tree.shred(&targets).await.expect("shredded");
    assert_eq!((receipt.targets[0].root_before, receipt.targets[0].root_after, receipt.keys_destroyed()), (1, 2, 1));
    assert_eq!(kms.versions().await.expect("an answer").into_iter().collect::<Vec<_>>(), [2]);
    assert_eq!(tree.probe_copies(&targets, &[copy]).await.expect("a probe"), 0);
}
