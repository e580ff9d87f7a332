//! What every KMS must do, told once and run against each of them.

mod file;
pub(in crate::keys) mod openbao;
mod pkcs11;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use domain::ids::TenantId;
use domain::port::{Destruction, Failure, KmsError};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::{KmsConfig, MemoryKms, OpenKms};

/// A folder of its own, removed at the end.
pub(in crate::keys) struct Scratch(PathBuf);

impl Scratch {
    pub(in crate::keys) fn new() -> Self {
        let name = format!("lethe-kms-{}", domain::port::Dice::uuid(&crate::chance::SystemDice));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).expect("a new folder");
        Self(folder)
    }

    pub(in crate::keys) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(in crate::keys) fn tenant(name: &str) -> TenantId {
    TenantId::from_str(name).expect("valid")
}

pub(in crate::keys) async fn open(config: &KmsConfig, name: &str) -> OpenKms {
    config.open(&tenant(name)).await.unwrap_or_else(|error| panic!("{config}: {error}"))
}

/// Everything that can be asked of a KMS that is there. Each point has tenants of its own.
async fn holds(config: &KmsConfig) {
    creating_is_idempotent(&open(config, "create").await).await;
    what_is_wrapped_opens_in_its_place_only(&open(config, "wrap").await, &open(config, "wrap-other").await).await;
    destroyed_is_gone_for_good(&open(config, "destroy").await).await;
    a_number_used_again_is_another_key(&open(config, "again").await).await;
    tenants_are_apart(config).await;
    two_instances_see_the_same(config).await;
    signatures_verify_and_the_key_stays(config).await;
    a_stranger_is_not_told_that_anything_is_gone(&open(config, "stranger").await).await;
}

#[tokio::test]
async fn memory_keeps_what_of_the_contract_one_process_can_see() {
    let kms = |name| {
        let both = std::sync::Arc::new(MemoryKms::new(tenant(name)));
        OpenKms { kms: both.clone(), signer: both }
    };
    creating_is_idempotent(&kms("create")).await;
    what_is_wrapped_opens_in_its_place_only(&kms("wrap"), &kms("wrap-other")).await;
    destroyed_is_gone_for_good(&kms("destroy")).await;
    a_number_used_again_is_another_key(&kms("again")).await;
}

async fn versions(open: &OpenKms) -> Vec<u64> {
    open.kms.versions().await.expect("an answer").into_iter().collect()
}

async fn creating_is_idempotent(open: &OpenKms) {
    assert_eq!(versions(open).await, [] as [u64; 0], "nothing yet");
    open.kms.create_root(3).await.expect("a root of any number");
    let wrapped = open.kms.wrap(3, b"here", b"plain").await.expect("wrapped");
    open.kms.create_root(3).await.expect("twice is once");
    assert_eq!(open.kms.unwrap(3, b"here", &wrapped).await.expect("the same root"), b"plain");
    open.kms.create_root(10).await.expect("another");
    assert_eq!(versions(open).await, [3, 10]);
}

async fn what_is_wrapped_opens_in_its_place_only(open: &OpenKms, other: &OpenKms) {
    for open in [open, other] {
        for version in [1, 2] {
            open.kms.create_root(version).await.expect("a root");
        }
    }
    for plain in [&b""[..], b"x", &[7; 32], &[9; 10_000]] {
        let wrapped = open.kms.wrap(1, b"here", plain).await.expect("wrapped");
        assert_eq!(open.kms.unwrap(1, b"here", &wrapped).await.expect("unwrapped"), plain);
        assert_ne!(open.kms.wrap(1, b"here", plain).await.expect("wrapped"), wrapped, "never the same twice");
    }
    let wrapped = open.kms.wrap(1, b"here", b"plain").await.expect("wrapped");
    assert!(!wrapped.windows(5).any(|window| window == b"plain"));
    let mut flipped = wrapped.clone();
    *flipped.last_mut().expect("not empty") ^= 1;
    for (what, answer) in [
        ("another context", open.kms.unwrap(1, b"there", &wrapped).await),
        ("another version", open.kms.unwrap(2, b"here", &wrapped).await),
        ("another tenant", other.kms.unwrap(1, b"here", &wrapped).await),
        ("one bit flipped", open.kms.unwrap(1, b"here", &flipped).await),
        ("cut", open.kms.unwrap(1, b"here", &wrapped[..wrapped.len() / 2]).await),
        ("nothing", open.kms.unwrap(1, b"here", b"").await),
    ] {
        assert!(matches!(answer, Err(KmsError::Failed(Failure::Damaged { .. }))), "{what}: {answer:?}");
    }
    assert_eq!(open.kms.unwrap(1, b"here", &wrapped).await.expect("nothing was harmed"), b"plain");
}

async fn destroyed_is_gone_for_good(open: &OpenKms) {
    for version in [1, 2, 3] {
        open.kms.create_root(version).await.expect("a root");
    }
    let wrapped = open.kms.wrap(2, b"here", b"plain").await.expect("wrapped");
    assert_eq!(open.kms.destroy(2).await.expect("destroyed"), Destruction::Done);
    assert_eq!(versions(open).await, [1, 3]);
    for (what, answer) in
        [("unwrap", open.kms.unwrap(2, b"here", &wrapped).await), ("wrap", open.kms.wrap(2, b"here", b"plain").await)]
    {
        assert!(matches!(answer, Err(KmsError::NoSuchVersion(2))), "{what}: {answer:?}");
    }
    assert_eq!(versions(open).await, [1, 3], "and using it does not make it anew");
    assert_eq!(open.kms.destroy(2).await.expect("twice is once"), Destruction::Done);
    assert_eq!(open.kms.destroy(77).await.expect("what was never there is gone"), Destruction::Done);
    let never = open.kms.unwrap(77, b"here", &wrapped).await;
    assert!(matches!(never, Err(KmsError::NoSuchVersion(77))), "{never:?}");
    for version in [1, 3] {
        open.kms.wrap(version, b"here", b"plain").await.expect("the others are untouched");
    }
}

async fn a_number_used_again_is_another_key(open: &OpenKms) {
    open.kms.create_root(1).await.expect("a root");
    let wrapped = open.kms.wrap(1, b"here", b"plain").await.expect("wrapped");
    open.kms.destroy(1).await.expect("destroyed");
    open.kms.create_root(1).await.expect("a root of the same number");
    assert_eq!(versions(open).await, [1]);
    let old = open.kms.unwrap(1, b"here", &wrapped).await;
    assert!(matches!(old, Err(KmsError::Failed(Failure::Damaged { .. }))), "{old:?}");
    let new = open.kms.wrap(1, b"here", b"plain").await.expect("wrapped");
    assert_eq!(open.kms.unwrap(1, b"here", &new).await.expect("unwrapped"), b"plain");
}

async fn tenants_are_apart(config: &KmsConfig) {
    // Names of which one could be taken for the other's.
    let (short, long) = (open(config, "a").await, open(config, "a-root-1").await);
    short.kms.create_root(1).await.expect("a root");
    long.kms.create_root(2).await.expect("a root");
    assert_eq!((versions(&short).await, versions(&long).await), (vec![1], vec![2]));
    assert_ne!(short.signer.public_key().await.expect("a key"), long.signer.public_key().await.expect("a key"));
    short.kms.destroy(1).await.expect("destroyed");
    assert_eq!((versions(&short).await, versions(&long).await), (vec![], vec![2]));
}

async fn two_instances_see_the_same(config: &KmsConfig) {
    let (one, two) = (open(config, "two").await, open(config, "two").await);
    let created = futures_util::future::join(one.kms.create_root(1), two.kms.create_root(1)).await;
    created.0.and(created.1).expect("both at once");
    for (from, to) in [(&one, &two), (&two, &one)] {
        let wrapped = from.kms.wrap(1, b"here", b"plain").await.expect("wrapped");
        assert_eq!(to.kms.unwrap(1, b"here", &wrapped).await.expect("the other's"), b"plain");
    }
    let wrapped = one.kms.wrap(1, b"here", b"plain").await.expect("wrapped");
    two.kms.destroy(1).await.expect("destroyed");
    let answer = one.kms.unwrap(1, b"here", &wrapped).await;
    assert!(matches!(answer, Err(KmsError::NoSuchVersion(1))), "{answer:?}");
    assert_eq!(versions(&one).await, [] as [u64; 0]);
}

async fn signatures_verify_and_the_key_stays(config: &KmsConfig) {
    let one = open(config, "signer").await;
    let early = one.signer.public_key().await;
    assert!(matches!(early, Err(Failure::Missing { .. })), "the tenant is not at home here yet: {early:?}");
    one.kms.create_root(1).await.expect("a root");
    let key = one.signer.public_key().await.expect("made with the first root, or on first use");
    for message in [&b""[..], b"a message", &[5; 5000]] {
        let signature = one.signer.sign(message).await.expect("signed");
        let public = UnparsedPublicKey::new(&ED25519, key.0);
        public.verify(message, &signature.0).expect("it verifies");
        public.verify(b"another message", &signature.0).expect_err("only that message");
    }
    let two = open(config, "signer").await;
    two.kms.create_root(2).await.expect("a root");
    two.kms.destroy(1).await.expect("destroyed");
    assert_eq!(two.signer.public_key().await.expect("the same"), key, "no erasure touches it");
}

/// A KMS that never heard of a tenant is not one that destroyed its roots.
async fn a_stranger_is_not_told_that_anything_is_gone(open: &OpenKms) {
    let answer = open.kms.unwrap(1, b"here", b"whatever").await;
    assert!(matches!(answer, Err(KmsError::Failed(_))), "{answer:?}");
    let destroyed = open.kms.destroy(1).await;
    assert!(destroyed.is_err(), "{destroyed:?}");
}

/// What is kept over a restart.
struct Kept {
    versions: BTreeSet<u64>,
    wrapped: Vec<u8>,
    public_key: domain::port::PublicKey,
}

impl Kept {
    /// Two roots, one of them destroyed, and a signing key.
    async fn new(open: &OpenKms) -> Self {
        for version in [1, 2] {
            open.kms.create_root(version).await.expect("a root");
        }
        open.kms.destroy(1).await.expect("destroyed");
        Self {
            versions: open.kms.versions().await.expect("an answer"),
            wrapped: open.kms.wrap(2, b"here", b"plain").await.expect("wrapped"),
            public_key: open.signer.public_key().await.expect("a key"),
        }
    }

    async fn is_there(&self, open: &OpenKms) {
        assert_eq!(open.kms.versions().await.expect("an answer"), self.versions);
        assert_eq!(open.kms.unwrap(2, b"here", &self.wrapped).await.expect("unwrapped"), b"plain");
        let gone = open.kms.unwrap(1, b"here", &self.wrapped).await;
        assert!(matches!(gone, Err(KmsError::NoSuchVersion(1))), "{gone:?}");
        assert_eq!(open.signer.public_key().await.expect("a key"), self.public_key);
    }

    /// Every answer is that there is none: nothing is gone, nothing is destroyed, nothing is made.
    async fn is_out_of_reach(&self, open: &OpenKms) {
        let (there, destroyed) = (&self.wrapped, 1);
        for (what, answer) in [
            ("unwrap", open.kms.unwrap(2, b"here", there).await.map(drop)),
            ("unwrap of a destroyed one", open.kms.unwrap(destroyed, b"here", there).await.map(drop)),
            ("wrap", open.kms.wrap(2, b"here", b"plain").await.map(drop)),
            ("versions", open.kms.versions().await.map(drop).map_err(KmsError::from)),
            ("destroy", open.kms.destroy(2).await.map(drop).map_err(KmsError::from)),
            ("destroy of a destroyed one", open.kms.destroy(destroyed).await.map(drop).map_err(KmsError::from)),
            ("create", open.kms.create_root(3).await.map_err(KmsError::from)),
            ("sign", open.signer.sign(b"message").await.map(drop).map_err(KmsError::from)),
        ] {
            assert!(matches!(answer, Err(KmsError::Failed(Failure::Unavailable { .. }))), "{what}: {answer:?}");
        }
    }
}
