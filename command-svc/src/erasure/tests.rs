//! One erasure after another in a world in memory. [`protocol`]: the order of the steps and what they wait for;
//! [`redaction`]: one value alone; [`restore`]: an older world around newer orders; [`others`]: what went wrong elsewhere.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::history::{Aggregate, DataSubject};
use domain::ids::ErasureId;
use domain::port::{Failure, Keys, Target, Tenant};
use domain::scope::Scope;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::testing::*;

mod others;
mod protocol;
mod redaction;
mod restore;

/// Two persons with the same data, and how their erasures stand.
struct Clinic {
    world: Arc<World>,
    commands: Arc<Commands>,
    tenant: Arc<Tenant>,
    http: Http,
}

const ADA: u128 = 0xada;
const BOB: u128 = 0xb0b;
const EVE: u128 = 0xe7e;

fn subject(person: u128) -> DataSubject {
    DataSubject(Uuid::from_u128(person))
}

fn privacy(person: u128) -> StreamId {
    StreamId::in_study(&acme(), &cardio(), Aggregate::Privacy, Uuid::from_u128(person))
}

/// The erasure of a person has the person's own number.
fn erasure(person: u128) -> ErasureId {
    ErasureId(Uuid::from_u128(person))
}

const WHOLE_WAY: [&str; 10] = [
    "erasure-requested",
    "erasure-assessed",
    "erasure-approved",
    "erasure-begun",
    "erasure-committed",
    "keys-destroyed",
    "derived-purged",
    "recipients-notified",
    "erasure-verified",
    "erasure-completed",
];

impl Clinic {
    async fn with(people: &[u128]) -> Self {
        let (world, commands, tenant, http) = live_study().await;
        let clinic = Self { world, commands, tenant, http };
        for person in people {
            clinic.enrol(*person).await;
        }
        clinic
    }

    async fn send(&self, token: &str, person: u128, path: &str, command: serde_json::Value) -> Answer {
        self.http.post(token, &format!("/participants/{}{path}", Uuid::from_u128(person)), &command).await
    }

    async fn enrol(&self, person: u128) {
        let item = |oid: &str, value: &str| json!({"group": "G", "item": oid, "value": value});
        let register = json!({"type": "register", "site": "oslo", "subject_number": person.to_string()});
        let consent = json!({"type": "give-consent", "version": "1"});
        let items = [item("SYSBP", "120"), item("AETERM", "headache")];
        let save = json!({"type": "save-items", "visit": "V1", "form": "VS", "items": items});
        let record = json!({"type": "record", "details": {"family_name": "Lovelace", "email": "ada@example.org"}});
        for (path, command) in [("", register), ("", consent), ("", save), ("/identity", record)] {
            let answer = self.send("investigator", person, path, command).await;
            assert!(answer.status < 300, "{}", answer.body);
        }
        assert_eq!(self.world.live_keys(subject(person)), 4);
    }

    async fn approve(&self, person: u128, single_copy: bool) {
        let ask = json!({"type": "request-erasure", "erasure": erasure(person), "justification": "consent-withdrawn"});
        self.approve_this(person, ask, single_copy).await;
    }

    async fn approve_this(&self, person: u128, ask: serde_json::Value, single_copy: bool) {
        let id = erasure(person);
        let approve = json!({"type": "approve-erasure", "erasure": id, "instruction": "DPA-1", "accept_single_copy": single_copy});
        for (token, command) in [("dpo", ask), ("controller", approve)] {
            let answer = self.send(token, person, "/privacy", command).await;
            assert!(answer.status < 300, "{}", answer.body);
        }
    }

    fn worker(&self) -> ErasureWorker {
        ErasureWorker::new(self.commands.clone(), Arc::new(Open { open: vec![], others: vec![subject(EVE)] }))
    }

    async fn run_once(&self, people: &[u128]) -> Vec<bool> {
        let streams: Vec<_> = people.iter().map(|person| privacy(*person)).collect();
        let outcomes = self.worker().run_once(&self.tenant, &streams).await;
        outcomes.into_iter().map(|outcome| outcome.result.is_ok()).collect()
    }

    fn way(&self, person: u128) -> Vec<String> {
        self.world.events(&privacy(person))
    }

    /// The law: keys go only after the fence and the markers, and it is done only once they are gone.
    fn check(&self, person: u128) {
        let way = self.way(person);
        assert!(way.iter().zip(WHOLE_WAY).all(|(found, expected)| found == expected), "{way:?}");
        let keys = self.world.live_keys(subject(person));
        if way.len() > 5 {
            assert_eq!(keys, 0, "{way:?}");
        }
        if keys == 0 {
            assert!(way.len() >= 5, "keys went before the commitment: {way:?}");
        }
        let marked =
            |aggregate| self.world.events(&privacy(person).sibling(aggregate)).contains(&"scopes-fenced".into());
        if way.len() >= 5 {
            assert!(marked(Aggregate::Participant) && marked(Aggregate::Identity), "{way:?}");
        }
    }
}

/// Knows what is open, and whom a trial is held against.
struct Open {
    open: Vec<StreamId>,
    others: Vec<DataSubject>,
}

#[async_trait]
impl OpenErasures for Open {
    async fn open(&self, _: &Tenant) -> Result<Vec<StreamId>, Failure> {
        Ok(self.open.clone())
    }
    async fn others(&self, _: &Tenant, _: &StreamId) -> Result<Vec<DataSubject>, Failure> {
        Ok(self.others.clone())
    }
}

#[tokio::test]
async fn an_approved_erasure_goes_its_whole_way_and_costs_nobody_else_a_key() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY);
    clinic.check(ADA);
    assert_eq!(clinic.world.live_keys(subject(EVE)), 4);
    assert_eq!(clinic.run_once(&[ADA]).await, [true], "nothing is left to do");
    assert_eq!(clinic.way(ADA), WHOLE_WAY);
}

#[tokio::test]
async fn a_crash_at_any_call_costs_nothing_but_the_step() {
    for when in [When::Before, When::After] {
        let mut calls = BTreeMap::new();
        for n in 0.. {
            let clinic = Clinic::with(&[ADA, EVE]).await;
            clinic.approve(ADA, true).await;
            clinic.world.fail_at(n, when);
            let went_through = clinic.run_once(&[ADA]).await == [true];
            if clinic.world.heal() {
                assert!(went_through);
                break;
            }
            let complete = clinic.way(ADA).len() == WHOLE_WAY.len();
            assert!(
                complete || !went_through,
                "{when:?} {n}: a failure is told, unless the journal says that all is done"
            );
            clinic.check(ADA);
            calls.insert(n, clinic.way(ADA).len());
            assert_eq!(clinic.run_once(&[ADA]).await, [true], "{when:?} {n}");
            assert_eq!(clinic.way(ADA), WHOLE_WAY, "{when:?} {n}");
            clinic.check(ADA);
            assert_eq!(clinic.world.live_keys(subject(EVE)), 4, "{when:?} {n}");
        }
        let stopped_at: BTreeSet<_> = calls.values().copied().collect();
        assert!((3..10).all(|events| stopped_at.contains(&events)), "a crash was tried in every step: {calls:?}");
    }
}

#[tokio::test]
async fn erasures_that_come_together_share_one_shred_and_each_keeps_its_own_count() {
    let clinic = Clinic::with(&[ADA, BOB, EVE]).await;
    clinic.approve(ADA, true).await;
    clinic.approve(BOB, true).await;
    assert_eq!(clinic.run_once(&[ADA, BOB]).await, [true, true]);
    for person in [ADA, BOB] {
        assert_eq!(clinic.way(person), WHOLE_WAY);
        let commits = clinic.tenant.journal.load(&privacy(person), Default::default()).await.expect("in memory");
        let facts: Vec<Event> = commits.iter().flat_map(|commit| commit.facts().expect("well formed")).collect();
        let destroyed = facts.iter().find(|fact| matches!(fact, Event::KeysDestroyed { .. }));
        assert!(
            matches!(destroyed, Some(Event::KeysDestroyed { keys: 4, root_before: 0, root_after: 1, .. })),
            "{destroyed:?}"
        );
    }
    assert_eq!(clinic.world.live_keys(subject(EVE)), 4);
}

#[tokio::test]
async fn without_a_copy_elsewhere_it_stops_unreadable_until_the_controller_accepts_that() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, false).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY[..5]);
    assert_eq!(clinic.world.live_keys(subject(ADA)), 4);
    let accept = json!({"type": "accept-single-copy", "erasure": erasure(ADA)});
    assert_eq!(clinic.send("controller", ADA, "/privacy", accept).await.status, 200);
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA).last().map(String::as_str), Some("erasure-completed"));
}

#[tokio::test]
async fn a_hold_that_came_first_stops_it_before_anything_is_fenced() {
    let clinic = Clinic::with(&[ADA]).await;
    clinic.approve(ADA, true).await;
    let hold = json!({"type": "place-hold", "hold": Uuid::from_u128(9), "authority": "court", "review_on": "2027-01-01", "reason": "a trial"});
    assert_eq!(clinic.send("dpo", ADA, "/privacy", hold).await.status, 200);
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.world.live_keys(subject(ADA)), 5, "all, and that of the hold's reason");
    assert!(!clinic.way(ADA).contains(&"erasure-begun".to_owned()));
    let save = json!({"type": "save-items", "visit": "V1", "form": "VS", "items": [{"group": "G", "item": "SYSBP", "value": "120"}]});
    assert_eq!(clinic.send("investigator", ADA, "", save).await.status, 200);
}

#[tokio::test]
async fn it_is_not_done_while_read_models_are_behind_or_a_key_still_opens() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    clinic.approve(ADA, true).await;
    clinic.world.set_behind(true);
    assert_eq!(clinic.run_once(&[ADA]).await, [false]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY[..6]);
    clinic.world.set_behind(false);
    clinic.world.resurrect(subject(ADA), Scope::HealthClinical);
    assert_eq!(clinic.run_once(&[ADA]).await, [false]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY[..8], "it still opens, so it is not verified");
    let all = Target { data_subject: subject(ADA), scope: Scope::HealthClinical, part: None };
    clinic.world.shred(&[all]).await.expect("in memory");
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY);
}

#[tokio::test]
async fn the_worker_finds_what_was_left_open_hears_of_new_ones_and_tries_again() {
    let clinic = Clinic::with(&[ADA, BOB]).await;
    clinic.approve(ADA, true).await;
    // A process that starts anew knows nothing but what the list of open erasures says.
    let woken = tokio::time::timeout(Duration::from_secs(60), clinic.commands.erasures.take()).await;
    assert_eq!(woken.expect("the approval wakes the worker"), [privacy(ADA)].into());
    clinic.world.fail_at(2, When::Before);
    let open = Arc::new(Open { open: vec![privacy(ADA)], others: vec![] });
    let worker =
        ErasureWorker { retry_after: Duration::from_millis(1), ..ErasureWorker::new(clinic.commands.clone(), open) };
    let running = tokio::spawn(async move { worker.run().await });
    clinic.until_complete(ADA).await;
    clinic.world.set_down("KMS", true);
    clinic.approve(BOB, true).await;
    let held_up = async {
        while domain::port::Waits::waits_on(&clinic.commands.erasures, &acme(), erasure(BOB)).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), held_up).await.expect("the KMS was asked");
    clinic.world.set_down("KMS", false);
    clinic.until_complete(BOB).await;
    running.abort();
    assert_eq!(
        (clinic.way(ADA), clinic.way(BOB)),
        (WHOLE_WAY.map(String::from).to_vec(), WHOLE_WAY.map(String::from).to_vec())
    );
}

#[tokio::test]
async fn an_order_that_was_stored_and_whose_answer_was_lost_is_carried_out() {
    let mut lost = 0;
    for when in [When::Before, When::After] {
        for n in 0.. {
            let clinic = Clinic::with(&[ADA]).await;
            let ask = json!({"type": "request-erasure", "erasure": erasure(ADA), "justification": "consent-withdrawn"});
            assert_eq!(clinic.send("dpo", ADA, "/privacy", ask).await.status, 201);
            clinic.world.fail_at(n, when);
            let approve = json!({"type": "approve-erasure", "erasure": erasure(ADA), "instruction": "DPA-1"});
            let answer = clinic.send("controller", ADA, "/privacy", approve).await;
            let all_went_well = clinic.world.heal();
            if clinic.way(ADA).contains(&"erasure-approved".to_owned()) {
                lost += usize::from(answer.status == 503);
                let woken = tokio::time::timeout(Duration::from_secs(60), clinic.commands.erasures.take()).await;
                assert_eq!(woken.expect("the worker is told"), [privacy(ADA)].into(), "{when:?} {n}");
            }
            if all_went_well {
                assert_eq!(answer.status, 200);
                break;
            }
        }
    }
    assert!(lost >= 2, "the answer was lost at the commit, and after it: {lost}");
}

#[tokio::test]
async fn what_follows_from_an_order_comes_although_nobody_asks_again() {
    let restriction = json!({"type": "place-restriction", "ground": "accuracy-contested", "reason": "a claim"});
    let mut lost = 0;
    for n in 0.. {
        let clinic = Clinic::with(&[ADA]).await;
        clinic.world.fail_at(n, When::After);
        let answer = clinic.send("dpo", ADA, "/privacy", restriction.clone()).await;
        let all_went_well = clinic.world.heal();
        if !all_went_well && clinic.way(ADA).contains(&"restriction-placed".to_owned()) {
            lost += usize::from(answer.status == 503);
            let (worker, record) = (clinic.worker(), privacy(ADA).sibling(Aggregate::Participant));
            let restricted = async {
                while !clinic.world.events(&record).contains(&"processing-restricted".to_owned()) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = worker.run() => unreachable!("it works until it is dropped"),
                done = tokio::time::timeout(Duration::from_secs(60), restricted) => done.expect("the marker is set"),
            }
        }
        if all_went_well {
            break;
        }
    }
    assert!(lost >= 2, "the answer was lost at the commit, and after it: {lost}");
}

impl Clinic {
    /// Lets the worker work until the stream says so; a worker that never does must not hold the suite up.
    async fn until_complete(&self, person: u128) {
        let complete = async {
            while self.way(person).last().map(String::as_str) != Some("erasure-completed") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), complete).await.expect("the erasure is completed");
    }
}
