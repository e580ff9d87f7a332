use domain::port::{TreeCopies, WaitingOn, Waits as _};
use time::macros::datetime;

use super::*;

const EVERY: Duration = Duration::from_secs(3600);

fn held_up(clinic: &Clinic, person: u128) -> Option<WaitingOn> {
    clinic.commands.erasures.waits_on(&acme(), erasure(person)).map(|(on, _)| on)
}

#[tokio::test]
async fn the_steps_come_in_their_order_and_each_stands_off_site_before_the_next() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.world.has_copy();
    clinic.approve(ADA, false).await;
    clinic.world.log();
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    let expected = [
        "checkpoint",
        "append erasure-begun",
        "fence",
        "ship",
        "append scopes-fenced",
        "append scopes-fenced",
        "append erasure-committed",
        "ship",
        "shred",
        "append keys-destroyed",
        "ship",
        "ship",
        "append derived-purged",
        "ship",
        "append recipients-notified",
        "ship",
        "probe",
        "probe",
        "append erasure-verified",
        "ship",
        "certify",
        "append erasure-completed",
        "ship",
    ];
    assert_eq!(clinic.world.log(), expected);
    assert_eq!(clinic.world.shipped(&privacy(ADA)), 9, "every commit");
}

#[tokio::test]
async fn with_a_copy_elsewhere_nobody_needs_to_accept_a_single_one() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, false).await;
    clinic.world.has_copy();
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY);
    clinic.check(ADA);
    let [account] = &clinic.world.accounts()[..] else { panic!("one certificate") };
    let every_scope = domain::scope::Scope::of_participants().count() as u64;
    assert_eq!((account.copy, account.begun, account.probed), (TreeCopies::OffSite, 3, every_scope));
    assert_eq!(account.destroyed.iter().map(|target| target.keys).sum::<u64>(), 4);
    assert_eq!((account.kept.len(), account.next_due, account.recipients), (0, None, 0));
}

#[tokio::test]
async fn a_kms_with_a_pending_window_is_asked_again_when_the_window_is_over() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    let until = datetime!(2026-12-22 12:00 UTC);
    clinic.world.keeps_roots_until(until);
    let streams = [privacy(ADA)];
    let run = async || clinic.worker().run_once(&clinic.tenant, &streams).await.remove(0).result.expect("no failure");
    assert_eq!(run().await, Some(until));
    let scheduled = [&WHOLE_WAY[..5], &["destruction-scheduled"]].concat();
    assert_eq!(clinic.way(ADA), scheduled, "the keys are not said to be gone");
    clinic.world.log();
    assert_eq!(run().await, Some(until), "before that the KMS is not asked");
    assert!(!clinic.world.log().contains(&"shred".to_owned()));
    let window = Duration::try_from(until - datetime!(2026-11-22 12:00 UTC)).expect("to come");
    clinic.world.wait(window - Duration::from_secs(1));
    assert_eq!(run().await, Some(until));
    clinic.world.wait(Duration::from_secs(1));
    assert_eq!(run().await, None);
    assert_eq!(clinic.way(ADA), [&scheduled[..], &WHOLE_WAY[5..]].concat());
    assert_eq!(clinic.world.accounts()[0].cryptographically_complete_by, until);
    assert_eq!(clinic.world.accounts()[0].destroyed.iter().map(|target| target.keys).sum::<u64>(), 4);
}

#[tokio::test]
async fn while_the_place_elsewhere_does_not_answer_it_is_fenced_and_waits_and_says_so() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    clinic.world.set_down("ledger", true);
    assert_eq!(clinic.run_once(&[ADA]).await, [false]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY[..4]);
    assert_eq!(held_up(&clinic, ADA), Some(WaitingOn::OffSite));
    let late = json!({"type": "save-items", "visit": "V1", "form": "VS", "items": [{"group": "G", "item": "SYSBP", "value": "130", "reason": "late"}]});
    let answer = clinic
        .http
        .send(
            "investigator",
            &format!("/participants/{}", Uuid::from_u128(ADA)),
            &[("if-match", "\"3\"")],
            late.to_string().into_bytes(),
        )
        .await;
    assert_eq!((answer.status, answer.code()), (410, "erased"), "{}", answer.body);
    clinic.world.set_down("ledger", false);
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!((clinic.way(ADA), held_up(&clinic, ADA)), (WHOLE_WAY.map(String::from).to_vec(), None));
}

#[tokio::test]
async fn while_the_certifier_does_not_answer_nothing_begins_and_nothing_is_completed() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    clinic.world.set_down("certifier", true);
    assert_eq!(clinic.run_once(&[ADA]).await, [false]);
    assert_eq!(
        (clinic.way(ADA), held_up(&clinic, ADA)),
        (WHOLE_WAY[..3].iter().map(|name| (*name).to_owned()).collect(), Some(WaitingOn::Certificate))
    );
    clinic.world.set_down("certifier", false);
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
}

#[tokio::test]
async fn a_trial_in_which_nothing_of_anybody_opens_proves_nothing() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    clinic.world.is_blind(true);
    assert_eq!(clinic.run_once(&[ADA]).await, [false]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY[..8], "not verified");
    clinic.world.is_blind(false);
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY);
}

#[tokio::test]
async fn a_rule_that_came_first_sends_it_back_to_the_controller() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    let rule = json!({"type": "set-retention", "rule": "ctr-58", "scopes": ["health.clinical"], "trigger": "study-completed", "months": 300, "legal_basis": "Regulation (EU) 536/2014 Art 58", "ground": "legal-obligation"});
    let set = clinic.http.post("data-manager", "", &rule).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(clinic.run_once(&[ADA]).await, [true], "that is no failure");
    assert_eq!(clinic.way(ADA), [&WHOLE_WAY[..3], &["erasure-assessed"]].concat());
    assert_eq!(clinic.world.live_keys(subject(ADA)), 4, "nothing was fenced");
    let approve =
        json!({"type": "approve-erasure", "erasure": erasure(ADA), "instruction": "DPA-2", "accept_single_copy": true});
    assert_eq!(clinic.send("controller", ADA, "/privacy", approve).await.status, 200);
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA).last().map(String::as_str), Some("erasure-completed"));
    assert_eq!(clinic.world.live_keys(subject(ADA)), 1, "what the study retains is still there");
    let [account] = &clinic.world.accounts()[..] else { panic!("one certificate") };
    assert_eq!(account.kept[0].rule.as_ref().map(|rule| rule.as_str()), Some("ctr-58"));
}

#[tokio::test]
async fn contact_only_erasure_takes_the_contact_and_leaves_the_rest() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    let ask = json!({"type": "request-erasure", "erasure": erasure(ADA), "scopes": ["identity.contact"], "justification": "no-longer-necessary"});
    clinic.approve_this(ADA, ask, true).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY);
    assert_eq!(clinic.world.live_keys(subject(ADA)), 3);
    let name = json!({"type": "rectify", "details": {"family_name": "King"}, "reason": "married"});
    assert_eq!(clinic.send("investigator", ADA, "/identity", name).await.status, 200);
    let mail = json!({"type": "rectify", "details": {"email": "ada@example.com"}, "reason": "moved"});
    assert_eq!(clinic.send("investigator", ADA, "/identity", mail).await.status, 410);
}

#[tokio::test]
async fn withdrawal_without_erasure_ends_the_collection_and_keeps_every_key() {
    let clinic = Clinic::with(&[ADA]).await;
    let answer = clinic.send("investigator", ADA, "", json!({"type": "withdraw"})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(clinic.world.live_keys(subject(ADA)), 4);
    let save = json!({"type": "save-items", "visit": "V1", "form": "VS", "items": [{"group": "G", "item": "SYSBP", "value": "130"}]});
    let late = clinic.send("investigator", ADA, "", save).await;
    assert_eq!((late.status, late.code()), (409, "withdrawn"));
    assert_eq!(clinic.way(ADA), [] as [&str; 0], "nobody asked for an erasure");
}

#[tokio::test]
async fn every_order_is_shipped_at_once_and_what_fails_is_tried_again() {
    let clinic = Clinic::with(&[ADA]).await;
    clinic.world.set_down("ledger", true);
    let open = Arc::new(Open { open: vec![], others: vec![] });
    let worker =
        ErasureWorker { retry_after: Duration::from_millis(1), ..ErasureWorker::new(clinic.commands.clone(), open) };
    let running = tokio::spawn(async move { worker.run().await });
    let hold = json!({"type": "place-hold", "hold": Uuid::from_u128(9), "authority": "court", "review_on": "2027-01-01", "reason": "a trial"});
    assert_eq!(clinic.send("dpo", ADA, "/privacy", hold).await.status, 201);
    assert_eq!(clinic.world.shipped(&privacy(ADA)), 0);
    clinic.world.set_down("ledger", false);
    let shipped = async {
        while clinic.world.shipped(&privacy(ADA)) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(EVERY, shipped).await.expect("it is shipped");
    running.abort();
}
