use super::*;
use crate::testing::{Story, World, json, participant, site};
use domain::ids::CommandId;
use domain::scope::{Erasable, OneValue, Part, Personal, Scope};
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::Uuid;

fn query(n: usize) -> QueryId {
    QueryId::of_command(CommandId(Uuid::from_u128(900)), n)
}

fn part(n: usize) -> Part {
    Part::of_command(CommandId(Uuid::from_u128(900)), n)
}

fn words(n: usize, words: &str) -> FreeText {
    Personal::in_part(part(n), Erasable::Known(words.to_owned()))
}

fn opened(n: usize, words: FreeText) -> Event {
    Event::QueryOpened {
        query: query(n),
        kind: QueryKind::Manual,
        place: Place::Form(Story::form("VS")),
        check: None,
        by: Role::Monitor,
        to: None,
        candidate: false,
        text: Some(words),
    }
}

/// One in Oslo that was answered and closed after which the data changed, and an open one in Bergen.
fn story() -> Story {
    let mut story = Story::new();
    story.registered(1, "oslo");
    story.registered(2, "bergen");
    story.participant(1, opened(1, words(1, "Sure?")));
    story.participant(2, opened(2, words(2, "Really?")));
    story.at(datetime!(2026-11-22 13:00 UTC));
    story.participant(1, Event::QueryAnswered { query: query(1), text: words(3, "Yes") });
    story.at(datetime!(2026-11-22 14:00 UTC));
    story.participant(1, Event::QueryClosed { query: query(1), by_check: false, text: None });
    story.participant(1, Event::DataChangedAfterClose { query: query(1) });
    story
}

async fn found(world: &World, wanted: Wanted, sites: &Sites) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), None::<String>);
    loop {
        let (who, all) = ((sites, &wanted), Visible::all());
        let page = list(&world.tenant, &Story::study_id(), who, &all, after.as_deref(), 1).await.expect("reads");
        items.extend(page.items.iter().map(json));
        match page.next {
            Some(next) => after = Some(next),
            None => return items,
        }
    }
}

#[tokio::test]
async fn a_query_shows_where_it_stands_how_long_it_took_and_every_word() {
    let world = World::of::<QueryLists>(&story()).await;
    let all = found(&world, Wanted::default(), &Sites::All).await;
    let states: Vec<_> = all.iter().map(|query| &query["state"]).collect();
    assert_eq!(states, ["closed", "open"]);
    for (field, value) in [
        ("subject_number", json!("S-001")),
        ("changed_after_close", json!(true)),
        ("answered_after", json!(3600)),
        ("settled_after", json!(7200)),
    ] {
        assert_eq!(all[0][field], value, "{field}");
    }
    let thread: Vec<_> =
        all[0]["thread"].as_array().expect("a list").iter().map(|said| json!([said["step"], said["text"]])).collect();
    let expected = [["opened", "Sure?"], ["answered", "Yes"]].map(|said| json!(said));
    assert_eq!(thread[..2], expected);
    assert_eq!(thread[2..], [json!(["closed", null]), json!(["data-changed", null])]);
}

#[tokio::test]
async fn the_list_is_filtered_by_state_site_and_participant_and_keeps_to_the_sites() {
    let world = World::of::<QueryLists>(&story()).await;
    let numbers = async |wanted: Wanted, sites: Sites| -> Vec<Value> {
        found(&world, wanted, &sites).await.iter().map(|query| query["subject_number"].clone()).collect()
    };
    let any = Wanted::default;
    assert_eq!(numbers(Wanted { state: Some(QueryState::Open), ..any() }, Sites::All).await, ["S-002"]);
    assert_eq!(numbers(Wanted { state: Some(QueryState::Answered), ..any() }, Sites::All).await, [] as [&str; 0]);
    assert_eq!(numbers(Wanted { site: Some(site("oslo")), ..any() }, Sites::All).await, ["S-001"]);
    assert_eq!(numbers(Wanted { participant: Some(participant(2)), ..any() }, Sites::All).await, ["S-002"]);
    assert_eq!(numbers(any(), Sites::Only([site("bergen")].into())).await, ["S-002"]);
}

#[tokio::test]
async fn pages_over_several_sites_and_of_one_participant_leave_nothing_out() {
    let mut story = Story::new();
    let sites = ["oslo", "bergen", "oslo-2"];
    for n in 1..=6_usize {
        let person = n as u128;
        story.at(datetime!(2026-11-22 12:00 UTC) + time::Duration::minutes((n % 4) as i64));
        story.registered(person, sites[n % 3]);
        for k in [n, 10 + n, 20 + n] {
            story.participant(person, opened(k, words(k, "Sure?")));
        }
        story.participant(person, Event::QueryClosed { query: query(20 + n), by_check: false, text: None });
    }
    let world = World::of::<QueryLists>(&story).await;
    let ids = |shown: &[Value]| -> Vec<String> { shown.iter().map(|query| query["query"].to_string()).collect() };
    let everywhere = found(&world, Wanted::default(), &Sites::All).await;
    assert_eq!(everywhere.len(), 18);
    let all_sites = Sites::Only(sites.map(site).into());
    assert_eq!(ids(&found(&world, Wanted::default(), &all_sites).await), ids(&everywhere), "merged in the same order");
    for wanted in [Wanted::default(), Wanted { state: Some(QueryState::Closed), ..Wanted::default() }] {
        for (sites, reached) in [(Sites::Only([site("oslo"), site("oslo-2")].into()), ["oslo", "oslo-2"])] {
            let expected = found(&world, wanted.clone(), &Sites::All).await;
            let at = |query: &&Value| reached.iter().any(|site| query["site"] == *site);
            let expected: Vec<Value> = expected.iter().filter(at).cloned().collect();
            assert_eq!(ids(&found(&world, wanted.clone(), &sites).await), ids(&expected));
        }
        let own = Wanted { participant: Some(participant(2)), ..wanted.clone() };
        let expected = found(&world, wanted, &Sites::All).await;
        let of_two = |query: &&Value| query["participant"] == json(&participant(2));
        let expected: Vec<Value> = expected.iter().filter(of_two).cloned().collect();
        assert_eq!(ids(&found(&world, own.clone(), &Sites::All).await), ids(&expected));
        assert_eq!(found(&world, own, &Sites::Only([site("paris")].into())).await, [] as [Value; 0]);
    }
}

#[tokio::test]
async fn what_a_check_asks_is_said_in_the_list_and_in_the_thread() {
    let mut story = story();
    let item = ItemPlace::of(
        &Story::form("VS"),
        &domain::participant::ItemKey {
            group: "G".parse().expect("valid"),
            group_repeat: 1,
            item: "SYSBP".parse().expect("valid"),
        },
    );
    let check: CheckId = "range:SYSBP:1".parse().expect("valid");
    let fired = Event::CheckFired {
        form: item.form(),
        item: item.item(),
        check: check.clone(),
        severity: domain::participant::Severity::Soft,
        outcome: domain::participant::CheckOutcome::Accepted,
        value: None,
        at: None,
        message: "Is it above 180?".parse().ok(),
    };
    let Event::QueryOpened { kind: _, check: _, text: _, place: _, query, by, to, candidate } =
        opened(3, words(9, "-"))
    else {
        panic!("opened")
    };
    let (kind, place, check) = (QueryKind::System, Place::Item(item), Some(check));
    let asked = Event::QueryOpened { query, kind, place, check, by, to, candidate, text: None };
    let stream = domain::history::StreamId::in_study(
        &crate::testing::tenant(),
        &Story::study_id(),
        Aggregate::Participant,
        Uuid::from_u128(1),
    );
    story.commit(stream, &[fired, asked]);
    let world = World::of::<QueryLists>(&story).await;
    let wanted = Wanted { participant: Some(participant(1)), state: Some(QueryState::Open), ..Wanted::default() };
    let found = found(&world, wanted, &Sites::All).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["message"], json!("Is it above 180?"));
    assert_eq!(found[0]["thread"][0]["text"], json!("Is it above 180?"));
}

#[tokio::test]
async fn the_site_is_not_shown_what_others_draft_until_it_is_put_to_it() {
    let mut story = Story::new();
    story.registered(1, "oslo");
    let Event::QueryOpened { query, kind, place, check, by, to, text, .. } = opened(1, words(1, "Sure?")) else {
        panic!("opened")
    };
    story
        .participant(1, Event::QueryOpened { query: query.clone(), kind, place, check, by, to, candidate: true, text });
    let seen = async |world: &World, role| {
        let who = (&Sites::All, &Wanted::default());
        let page = list(&world.tenant, &Story::study_id(), who, &Visible::of(role), None, 9).await.expect("reads");
        page.items.len()
    };
    let world = World::of::<QueryLists>(&story).await;
    assert_eq!((seen(&world, Role::DataManager).await, seen(&world, Role::Coordinator).await), (1, 0));
    story.participant(1, Event::QueryRaised { query });
    let world = World::of::<QueryLists>(&story).await;
    assert_eq!(seen(&world, Role::Coordinator).await, 1);
}

#[tokio::test]
async fn words_are_sealed_withheld_and_redacted_one_by_one() {
    let mut world = World::of::<QueryLists>(&story()).await;
    assert!(!world.store.contains_bytes(b"Sure?") && world.store.contains_bytes(b"S-001"));
    let (wanted, sites) = (Wanted { site: Some(site("oslo")), ..Wanted::default() }, Sites::All);
    let page = list(&world.tenant, &Story::study_id(), (&sites, &wanted), &Visible::none(), None, 9).await;
    let shown = json(&page.expect("reads").items);
    assert_eq!(shown[0]["thread"][0]["text"], json!({"withheld": "health.free-text"}));
    let question = OneValue::of(Scope::HealthFreeText, &part(1)).expect("redactable");
    world.redact::<QueryLists>(1, &[question]).await;
    let all = found(&world, wanted, &sites).await;
    assert_eq!(all[0]["thread"][0]["text"], json!({"erased": "health.free-text"}));
    assert_eq!(all[0]["thread"][1]["text"], json!("Yes"));
}
