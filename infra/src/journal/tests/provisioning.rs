//! Journal streams are made by an explicit command, and a missing one is a clear error.

use domain::history::JournalId;
use domain::port::{Failure, Journal as _};
use serde_json::json;

use super::world::{START, World, cardio, participant, tenant};
use crate::journal::{JetStreamJournal, Lane, ProvisionError, Provisioned, Provisioner, Wire};

async fn open(world: &World, expected: &[JournalId]) -> Result<JetStreamJournal, Failure> {
    JetStreamJournal::open(world.client().await, &tenant(), world.sealer.clone(), expected, &Lane::default()).await
}

fn other(study: &str) -> JournalId {
    JournalId { tenant: tenant(), study: Some(study.parse().unwrap()) }
}

#[tokio::test]
async fn what_is_missing_is_named_and_never_made() {
    let world = World::bare().await;
    let missing = async |expected: &[JournalId]| match open(&world, expected).await.map(drop).unwrap_err() {
        failure @ Failure::Missing { .. } => failure.to_string(),
        other => panic!("{other}"),
    };
    let text = missing(&[]).await;
    assert!(text.contains("KEYS_acme") && text.contains("lethe tenant create"), "{text}");

    let provisioner = world.provisioner().await;
    assert_eq!(provisioner.tenant(&tenant()).await.unwrap(), Provisioned::Created);
    let journal = open(&world, &[]).await.unwrap();
    assert!(missing(&[cardio()]).await.contains("EVT_acme_cardio"));

    // Not by use either.
    for failure in [
        journal.load(&participant(), START).await.map(drop).unwrap_err(),
        journal.head(&cardio()).await.map(drop).unwrap_err(),
        journal.hash_at(&cardio(), 1).await.map(drop).unwrap_err(),
        journal.follow(&cardio(), 0).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(failure, Failure::Missing { .. }), "{failure}");
    }
    assert_eq!(journal.journals().await.unwrap(), vec![JournalId { tenant: tenant(), study: None }]);

    assert_eq!(provisioner.journal(&cardio()).await.unwrap(), Provisioned::Created);
    assert_eq!(journal.head(&cardio()).await.unwrap().to_string(), "cardio:1:0");
    open(&world, &[cardio()]).await.unwrap();
}

#[tokio::test]
async fn again_is_no_error_and_changes_nothing() {
    let world = World::new().await;
    let provisioner = world.provisioner().await;
    assert_eq!(provisioner.tenant(&tenant()).await.unwrap(), Provisioned::Existed);
    assert_eq!(provisioner.journal(&cardio()).await.unwrap(), Provisioned::Existed);
    provisioner.journal(&other("renal")).await.unwrap();
    provisioner.journal(&other("a-2")).await.unwrap();
    let own = JournalId { tenant: tenant(), study: None };
    let expected = vec![own, other("a-2"), cardio(), other("renal")];
    assert_eq!(world.journal().await.journals().await.unwrap(), expected);
}

#[tokio::test]
async fn other_settings_are_a_clear_error() {
    let world = World::new().await;
    let client = world.provisioner_client().await;
    let settings = json!({
        "name": "EVT_acme_renal", "subjects": ["evt.acme.renal.>"], "storage": "file", "retention": "limits",
        "allow_direct": true, "allow_atomic": true, "deny_delete": true, "max_age": 3_600_000_000_000_u64,
    });
    Wire::new(client.clone()).api("STREAM.CREATE.EVT_acme_renal", settings).await.unwrap();

    let error = Provisioner::new(client.clone(), 1).journal(&other("renal")).await.unwrap_err();
    let ProvisionError::Differs { name, differences } = error else { panic!("{error}") };
    assert_eq!(name, "EVT_acme_renal");
    for setting in ["max_age is 3600000000000, not 0", "deny_purge", "lethe.format", "discard"] {
        assert!(differences.contains(setting), "{setting}: {differences}");
    }
    assert!(!differences.contains("deny_delete") && !differences.contains("storage"), "{differences}");

    let failure = open(&world, &[other("renal")]).await.map(drop).unwrap_err();
    assert!(matches!(failure, Failure::Damaged { .. }), "{failure}");

    let error = Provisioner::new(client, 3).journal(&cardio()).await.unwrap_err().to_string();
    assert!(error.contains("num_replicas is 1, not 3"), "{error}");
}

#[tokio::test]
async fn another_tenants_journal_is_missing() {
    let world = World::new().await;
    let journal = world.journal().await;
    let theirs = JournalId { tenant: "beta".parse().unwrap(), study: None };
    assert!(matches!(journal.head(&theirs).await, Err(Failure::Missing { .. })));
}

#[tokio::test]
async fn the_service_may_not_provision() {
    let world = World::new().await;
    let error = Provisioner::new(world.client().await, 1).journal(&other("renal")).await.unwrap_err();
    assert!(matches!(error, ProvisionError::Refused { .. }), "{error}");
    assert!(!world.journal().await.journals().await.unwrap().contains(&other("renal")));
}
