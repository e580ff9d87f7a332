//! How forgetting failed elsewhere: each test has the name of the report.

use domain::port::{WaitingOn, Waits as _};

use super::*;

#[tokio::test]
async fn chatto_1379_no_crash_leaves_keys_destroyed_without_a_stored_order() {
    for when in [When::Before, When::After] {
        for n in 0.. {
            let clinic = Clinic::with(&[ADA, EVE]).await;
            clinic.approve(ADA, true).await;
            clinic.world.fail_at(n, when);
            clinic.run_once(&[ADA]).await;
            if clinic.world.heal() {
                assert!(n > 20, "a crash at every call was tried");
                break;
            }
            let begun = clinic.way(ADA).contains(&"erasure-committed".to_owned());
            assert!(begun || clinic.world.live_keys(subject(ADA)) == 4, "{when:?} {n}: a key went without a tombstone");
            assert_eq!(clinic.run_once(&[ADA]).await, [true], "{when:?} {n}: already gone counts as done");
            assert_eq!(clinic.way(ADA), WHOLE_WAY, "{when:?} {n}");
        }
    }
}

#[tokio::test]
async fn cratis_3713_an_erased_key_is_not_made_again() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    let record = json!({"type": "record", "details": {"email": "ada@example.org"}});
    let consent = json!({"type": "give-consent", "version": "2", "reference": "binder 7"});
    let hold = json!({"type": "place-hold", "hold": Uuid::from_u128(9), "authority": "court", "review_on": "2027-01-01", "reason": "late"});
    for (token, path, command) in
        [("investigator", "/identity", record), ("investigator", "", consent), ("dpo", "/privacy", hold)]
    {
        let late = clinic.send(token, ADA, path, command).await;
        assert!(late.status == 410 || late.status == 409, "{}", late.body);
    }
    assert_eq!(clinic.world.live_keys(subject(ADA)), 0);
}

#[tokio::test]
async fn cratis_3713_a_key_store_that_cannot_erase_never_reports_success() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    clinic.world.set_down("KMS", true);
    for _ in 0..3 {
        assert_eq!(clinic.run_once(&[ADA]).await, [false]);
        assert_eq!(clinic.way(ADA), WHOLE_WAY[..5], "it stays committed: unreadable, and not said to be gone");
        let waits = clinic.commands.erasures.waits_on(&acme(), erasure(ADA));
        assert_eq!(waits.map(|(on, _)| on), Some(WaitingOn::Kms));
    }
    clinic.world.set_down("KMS", false);
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.commands.erasures.waits_on(&acme(), erasure(ADA)), None);
}

#[tokio::test]
async fn newtheatre_99_the_reasons_of_orders_are_values_of_the_person_and_go_with_them() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    let restrict =
        json!({"type": "place-restriction", "ground": "accuracy-contested", "reason": "Ada says that it is wrong"});
    assert_eq!(clinic.send("dpo", ADA, "/privacy", restrict).await.status, 201);
    assert_eq!(clinic.world.live_keys(subject(ADA)), 5);
    let ask = json!({"type": "request-erasure", "erasure": erasure(ADA), "justification": "objection", "reason": "Ada called"});
    clinic.approve_this(ADA, ask, true).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.world.live_keys(subject(ADA)), 0);
    let commits = clinic.tenant.journal.load(&privacy(ADA), Default::default()).await.expect("in memory");
    let texts: String =
        commits.iter().flat_map(|commit| commit.events.iter().map(|event| event.body.to_string())).collect();
    assert!(!texts.contains("Ada"), "{texts}");
}

#[tokio::test]
async fn dentalpin_374_an_unknown_scope_is_refused_and_what_was_not_there_counts_as_none() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    let unknown = json!({"type": "request-erasure", "erasure": erasure(ADA), "scopes": ["marketing"], "justification": "objection"});
    assert_eq!(clinic.send("dpo", ADA, "/privacy", unknown).await.status, 400);
    let ask = json!({"type": "request-erasure", "erasure": erasure(ADA), "scopes": ["health.optional", "identity.contact"], "justification": "objection"});
    clinic.approve_this(ADA, ask, true).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    let counted = |scope| {
        let accounts = clinic.world.accounts();
        accounts[0].destroyed.iter().find(|target| target.target.scope == scope).map(|target| target.keys)
    };
    assert_eq!((counted(Scope::HealthOptional), counted(Scope::IdentityContact)), (Some(0), Some(1)));
}

#[tokio::test]
async fn langwatch_7820_a_later_import_does_not_bring_the_person_back() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    let id = Uuid::from_u128(ADA);
    let register = json!({"type": "register", "site": "oslo", "subject_number": ADA.to_string()});
    let save = json!({"type": "save-items", "visit": "V1", "form": "VS", "items": [{"group": "G", "item": "SYSBP", "value": "121", "reason": "import"}]});
    let again = clinic.send("integrator", ADA, "", register).await;
    assert_eq!((again.status, &again.body["events"]), (200, &json!(0)), "who is there is not registered anew");
    let path = format!("/participants/{id}");
    let late = clinic.http.send("integrator", &path, &[("if-match", "\"3\"")], save.to_string().into_bytes()).await;
    assert_eq!((late.status, late.code()), (410, "erased"), "refused, loudly: {}", late.body);
    assert_eq!(clinic.world.live_keys(subject(ADA)), 0);
}

#[tokio::test]
async fn aegis_155_no_digest_of_an_erased_body_is_left_to_guess_against() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    for aggregate in [Aggregate::Participant, Aggregate::Identity, Aggregate::Privacy] {
        let stream = privacy(ADA).sibling(aggregate);
        for commit in clinic.tenant.journal.load(&stream, Default::default()).await.expect("in memory") {
            assert!(commit.erased.is_empty() || commit.body_digest.is_none(), "{stream} {}", commit.header.revision);
        }
    }
}
