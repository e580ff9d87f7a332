//! Two streams, one allocation: no slot twice, none skipped, and no step lost to a crash.

use std::collections::BTreeSet;

use domain::randomisation::{Event as ListEvent, List};
use uuid::Uuid;

use super::*;
use crate::testing::{Http, When, World, acme, cardio, live_study};
use std::sync::Arc;

const LIST: &str = "/randomisation/main";

fn path(n: u128) -> String {
    format!("/participants/{}", Uuid::from_u128(n))
}

fn stream(n: u128) -> StreamId {
    StreamId::in_study(&acme(), &cardio(), Aggregate::Participant, Uuid::from_u128(n))
}

fn seal() -> Value {
    let arms = json!([{"arm": "A", "weight": 1}, {"arm": "B", "weight": 1}]);
    let factors = json!([{"factor": "sex", "levels": ["f", "m"]}]);
    json!({"type": "seal", "arms": arms, "factors": factors, "block_sizes": [2, 4], "slots": 8})
}

fn randomise() -> Value {
    json!({"type": "randomise", "list": "main", "strata": {"sex": "f"}})
}

/// Registered, consented and found to be eligible.
async fn consented(http: &Http, people: std::ops::RangeInclusive<u128>) {
    for n in people {
        let register = json!({"type": "register", "site": "oslo", "subject_number": n.to_string()});
        assert_eq!(http.post("investigator", &path(n), &register).await.status, 201);
        let consent = json!({"type": "give-consent", "version": "1.0"});
        assert_eq!(http.post("investigator", &path(n), &consent).await.status, 200);
        let early = http.post("investigator", &path(n), &randomise()).await;
        assert_eq!((early.status, early.code()), (409, "not-eligible"));
        let eligible = json!({"type": "confirm-eligibility", "on": "2026-11-22"});
        let confirmed = http.post("investigator", &path(n), &eligible).await;
        assert_eq!(confirmed.status, 200, "{}", confirmed.body);
    }
}

async fn sealed() -> (Arc<World>, Arc<Commands>, Arc<Tenant>, Http, Value) {
    let (world, commands, tenant, http) = live_study().await;
    let answer = http.post("unblinded", LIST, &seal()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    (world, commands, tenant, http, answer.body["digest"].clone())
}

async fn list_of(commands: &Commands, tenant: &Tenant) -> List {
    let list = list_stream(&stream(1), &"main".parse().expect("valid"));
    let folded = commands.governing.current::<Randomisation>(tenant, &list).await.expect("reads");
    folded.state.list().expect("sealed").clone()
}

/// The slots that were given, in the order in which they were.
async fn slots(tenant: &Tenant) -> Vec<(u32, u32)> {
    let list = list_stream(&stream(1), &"main".parse().expect("valid"));
    let commits = tenant.journal.load(&list, Tail::default()).await.expect("reads");
    let facts = commits.iter().flat_map(|commit| commit.facts::<ListEvent>().expect("reads"));
    let slot = |fact| match fact {
        ListEvent::SlotAssigned { stratum, slot, .. } => Some((stratum, slot)),
        ListEvent::Sealed { .. } | ListEvent::Closed {} => None,
    };
    facts.filter_map(slot).collect()
}

#[tokio::test]
async fn many_at_once_never_get_the_same_slot_and_none_is_skipped() {
    let (_, commands, tenant, http, _) = sealed().await;
    consented(&http, 1..=8).await;
    let paths: Vec<String> = (1..=8).map(path).collect();
    let body = randomise();
    let answers = futures_util::future::join_all(paths.iter().map(|path| http.post("investigator", path, &body))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(slots(&tenant).await, (0..8).map(|slot| (0, slot)).collect::<Vec<_>>());
    let mut numbers = BTreeSet::new();
    let mut arms = Vec::new();
    for path in &paths {
        let shown = http.get("unblinded", &format!("{path}/allocation")).await.body;
        numbers.insert(shown["number"].to_string());
        arms.push(shown["arm"].as_str().expect("told").to_owned());
    }
    let list = list_of(&commands, &tenant).await;
    let mut expected: Vec<_> =
        list.content.strata[0].arms[..8].iter().map(|arm| ["A", "B"][*arm as usize].to_owned()).collect();
    arms.sort();
    expected.sort();
    assert_eq!((numbers.len(), arms), (8, expected));
}

#[tokio::test]
async fn whatever_fails_the_same_command_goes_on_and_gives_one_slot() {
    for when in [When::Before, When::After] {
        for n in 0.. {
            let (world, _, tenant, http, _) = sealed().await;
            consented(&http, 1..=2).await;
            let key = [("idempotency-key", "\"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"")];
            world.fail_at(n, when);
            let body = || randomise().to_string().into_bytes();
            let first = http.send("investigator", &path(1), &key, body()).await;
            let whole = world.heal();
            let again = http.send("investigator", &path(1), &key, body()).await;
            assert_eq!(again.status, 200, "call {n}: {}", again.body);
            assert_eq!(world.events(&stream(1)).iter().filter(|one| *one == "participant-randomised").count(), 1);
            assert_eq!(slots(&tenant).await, [(0, 0)], "call {n} of {when:?}");
            if whole {
                assert_eq!((first.status, &first.body), (200, &again.body), "the same answer");
                assert!(n > 8, "a randomisation is more than {n} calls");
                break;
            }
            assert_eq!(http.post("investigator", &path(2), &randomise()).await.status, 200);
            assert_eq!(slots(&tenant).await, [(0, 0), (0, 1)]);
        }
    }
}

#[tokio::test]
async fn the_start_takes_what_was_left_on_its_way_to_its_end() {
    let (world, commands, tenant, http, _) = sealed().await;
    consented(&http, 1..=1).await;
    let mut resumed = 0;
    for n in 0..40 {
        world.fail_at(n, When::Before);
        http.post("investigator", &path(1), &randomise()).await;
        if world.heal() {
            break;
        }
        let before = world.events(&stream(1)).iter().any(|one| one == "participant-randomised");
        if before {
            break;
        }
        if world.events(&stream(1)).iter().any(|one| one == "randomisation-asked") {
            resumed = commands.resume_randomisations(&tenant).await.expect("nothing fails now");
            break;
        }
    }
    assert_eq!(resumed, 1, "there was something to resume");
    assert_eq!(world.events(&stream(1)).last().map(String::as_str), Some("participant-randomised"));
    assert_eq!(commands.resume_randomisations(&tenant).await.expect("reads"), 0);
    assert_eq!(slots(&tenant).await.len(), 1);
}

#[tokio::test]
async fn nothing_of_the_lists_commit_leads_to_the_person() {
    let (world, _, _, http, _) = sealed().await;
    consented(&http, 1..=1).await;
    assert_eq!(http.post("investigator", &path(1), &randomise()).await.status, 200);
    let drafts = world.drafts();
    let of = |name: &str| drafts.iter().find(|draft| draft.events.iter().any(|event| event.kind.name == name));
    let (assigned, asked) = (of("slot-assigned").expect("is there"), of("randomisation-asked").expect("is there"));
    assert_ne!(assigned.correlation, asked.correlation);
    assert_eq!(assigned.causation, None);
    assert_ne!(assigned.command, asked.command);
    assert_ne!(assigned.actor.id, asked.actor.id);
    let text = serde_json::to_string(&asked.events.iter().map(|event| &event.body).collect::<Vec<_>>()).expect("JSON");
    assert!(text.contains(&assigned.command.0.to_string()), "only the sealed allocation does");
    let mut bodies: Vec<_> = asked.events.iter().map(|event| event.body.to_value()).collect();
    domain::body::split(&mut bodies);
    assert!(!serde_json::to_string(&bodies).expect("JSON").contains(&assigned.command.0.to_string()));
}

#[tokio::test]
async fn a_list_without_a_slot_refuses_and_a_participant_may_be_asked_for_again() {
    let (_, _, tenant, http, _) = sealed().await;
    consented(&http, 1..=1).await;
    let wrong = json!({"type": "randomise", "list": "main", "strata": {"sex": "x"}});
    let absent = json!({"type": "randomise", "list": "none"});
    assert_eq!(http.post("investigator", &path(1), &wrong).await.code(), "no-such-stratum");
    assert_eq!(http.post("investigator", &path(1), &absent).await.code(), "no-such-list");
    assert_eq!(http.post("monitor", &path(1), &absent).await.code(), "forbidden");
    assert_eq!(http.post("investigator", &path(1), &randomise()).await.status, 200);
    assert_eq!(http.post("investigator", &path(1), &randomise()).await.code(), "randomised-already");
    assert_eq!(http.post("investigator", &path(1), &absent).await.code(), "randomised-already");
    assert_eq!(slots(&tenant).await.len(), 1);
}

#[tokio::test]
async fn a_list_is_revealed_once_it_is_closed_and_has_the_digest_that_was_published() {
    let (_, _, _, http, digest) = sealed().await;
    let reveal = format!("{LIST}/reveal");
    assert_eq!(http.get("unblinded", &reveal).await.code(), "list-in-use");
    assert_eq!(http.post("unblinded", LIST, &json!({"type": "close"})).await.status, 200);
    assert_eq!(http.get("investigator", &reveal).await.status, 403);
    let document = http.get("unblinded", &reveal).await.bytes;
    assert_eq!(json!(domain::design::content_hash(&document)), digest);
    let listed = http.get("monitor", "/randomisation").await.body;
    assert_eq!(listed, json!([{"list": "main", "digest": digest, "closed": true}]));
}

#[tokio::test]
async fn the_arm_is_told_in_two_steps_and_that_is_on_record_before() {
    let (world, _, _, http, _) = sealed().await;
    consented(&http, 1..=1).await;
    let shown = format!("{}/allocation", path(1));
    assert_eq!(http.get("investigator", &shown).await.code(), "not-randomised");
    assert_eq!(http.post("investigator", &path(1), &randomise()).await.status, 200);
    let withheld = json!({"withheld": "health.blinded"});
    let arm = http.get("unblinded", &shown).await.body["arm"].clone();
    assert!(["A", "B"].iter().any(|one| arm == *one), "{arm}");
    let ask = json!({"type": "ask-unblinding", "reason": "an overdose", "emergency": true});
    let key = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    let headers = [("idempotency-key", &*format!("\"{key}\""))];
    let asked = http.send("investigator", &path(1), &headers, ask.to_string().into_bytes()).await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    let approve = json!({"type": "approve-unblinding", "unblinding": key.replace('-', "")});
    assert_eq!(http.get("investigator", &shown).await.body["arm"], withheld, "not approved");
    assert_eq!(http.post("investigator", &path(1), &approve).await.code(), "same-person");
    assert_eq!(http.post("controller", &path(1), &approve).await.status, 200);
    assert_eq!(http.get("monitor", &shown).await.body["arm"], withheld, "told to nobody else");
    assert_eq!(http.get("bergen", &shown).await.code(), "no-such-participant");
    let told = |world: &World| world.events(&stream(1)).iter().filter(|one| *one == "unblinded").count();
    assert_eq!(told(&world), 0);
    // The record first: if it cannot be written, nothing is shown.
    for n in 0.. {
        world.fail_at(n, When::Before);
        let answer = http.get("investigator", &shown).await;
        if world.heal() || told(&world) == 1 {
            break;
        }
        assert_eq!((answer.status, answer.body.get("arm")), (503, None));
    }
    assert_eq!(http.get("investigator", &shown).await.body["arm"], arm);
    assert_eq!(told(&world), 1);
}

/// What blinded roles are answered by the write side's own queries does not hang on the arm: the same story is told with
/// the arms the other way round. (Digests and numbers are random; here both are drawn alike but for the list's.)
#[tokio::test]
async fn two_histories_that_differ_in_the_arm_alone_answer_the_blinded_alike() {
    let mut told: Vec<(Vec<String>, String)> = Vec::new();
    for arms in [["A", "B"], ["B", "A"]] {
        let (_, _, _, http) = live_study().await;
        let csv = format!("number,arm\n1,{}\n2,{}\n", arms[0], arms[1]);
        let import = json!({"type": "import", "csv": csv});
        assert_eq!(http.post("unblinded", LIST, &import).await.status, 201);
        consented(&http, 1..=1).await;
        let plain = json!({"type": "randomise", "list": "main"});
        let mut answers = vec![http.post("investigator", &path(1), &plain).await];
        assert_eq!(answers[0].status, 200, "{:?}", answers[0]);
        for role in domain::permit::Role::ALL.iter().filter(|role| !may_query(**role, "participant.arm")) {
            for query in [
                format!("{}/allocation", path(1)),
                "/lock-readiness".into(),
                "/randomisation".into(),
                format!("{LIST}/reveal"),
            ] {
                answers.push(http.get(role.as_str(), &query).await);
            }
            answers.push(http.post(role.as_str(), LIST, &import).await);
            answers.push(http.post(role.as_str(), &path(1), &plain).await);
        }
        let arm = http.get("unblinded", &format!("{}/allocation", path(1))).await.body["arm"].to_string();
        let text = |mut answer: crate::testing::Answer| {
            if let Some(lists) = answer.body.as_array_mut() {
                lists.iter_mut().for_each(|list| list["digest"] = json!("a commitment"));
            }
            format!("{} {} {}", answer.status, answer.body, answer.header("etag"))
        };
        told.push((answers.into_iter().map(text).collect(), arm));
    }
    assert_ne!(told[0].1, told[1].1, "the arms differ");
    assert_eq!(told[0].0, told[1].0);
}
