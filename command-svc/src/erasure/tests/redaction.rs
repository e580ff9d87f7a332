use domain::history::Tail;
use domain::scope::{OneValue, Part};

use super::*;

/// Whether each section of the record is open, by scope and part.
async fn sections(clinic: &Clinic, person: u128) -> BTreeSet<(Scope, Part)> {
    let stream = privacy(person).sibling(Aggregate::Participant);
    let commits = clinic.tenant.journal.load(&stream, Tail::default()).await.expect("in memory");
    commits.iter().flat_map(|commit| commit.erased.clone()).collect()
}

#[tokio::test]
async fn one_value_goes_its_whole_way_and_its_neighbours_stay() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    let again = json!({"type": "save-items", "visit": "V1", "form": "VS", "items": [{"group": "G", "item": "AETERM", "value": "Dr Smith said so", "reason": "more exact"}]});
    let path = format!("/participants/{}", Uuid::from_u128(ADA));
    let saved = clinic.http.send("investigator", &path, &[("if-match", "\"3\"")], again.to_string().into_bytes()).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    assert_eq!(clinic.world.live_keys(subject(ADA)), 6, "the new text and its reason have keys of their own");

    let texts: Vec<_> =
        clinic.world.keys_of(subject(ADA)).into_iter().filter(|(scope, _)| *scope == Scope::HealthFreeText).collect();
    let wrong = texts.iter().find(|(_, part)| part.as_str().ends_with("-0")).expect("a value, not a reason");
    let value = OneValue::of(wrong.0, &wrong.1).expect("it has a key of its own");
    let ask =
        json!({"type": "request-erasure", "erasure": erasure(ADA), "values": [value], "justification": "objection"});
    clinic.approve_this(ADA, ask, true).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY);
    assert_eq!(clinic.world.live_keys(subject(ADA)), 5);
    assert_eq!(sections(&clinic, ADA).await, [wrong.clone()].into());
    let [account] = &clinic.world.accounts()[..] else { panic!("one certificate") };
    let [destroyed] = &account.destroyed[..] else { panic!("one target: {:?}", account.destroyed) };
    assert_eq!((destroyed.target.part.as_ref(), destroyed.keys), (Some(&wrong.1), 1));

    let late = json!({"type": "save-items", "visit": "V1", "form": "VS", "items": [{"group": "G", "item": "AETERM", "value": "as the doctor said", "reason": "redacted"}]});
    let tag = saved.header("etag").to_owned();
    let saved = clinic.http.send("investigator", &path, &[("if-match", &tag)], late.to_string().into_bytes()).await;
    assert_eq!(saved.status, 200, "a new value of the same item is taken: {}", saved.body);
}

#[tokio::test]
async fn a_value_that_nothing_of_the_person_has_is_refused_before_anything_is_stored() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    let keys = clinic.world.keys_of(subject(ADA));
    let (scope, part) = keys.iter().find(|(_, part)| *part != Part::all()).expect("a text has a key of its own");
    let ask = async |person: u128, value: serde_json::Value| {
        let ask = json!({"type": "request-erasure", "erasure": erasure(person), "values": [value], "justification": "objection"});
        let answer = clinic.send("dpo", person, "/privacy", ask).await;
        (answer.status, answer.body["code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = (404, "no-such-value".to_owned());
    for nonsense in ["nonsense", &format!("{part}0")] {
        assert_eq!(ask(ADA, json!({"scope": scope, "part": nonsense})).await, refused, "{nonsense}");
    }
    assert_eq!(ask(ADA, json!({"scope": "health.clinical", "part": part})).await, refused, "in another scope");
    assert_eq!(ask(EVE, json!({"scope": scope, "part": part})).await, refused, "another person's");
    assert_eq!(clinic.way(ADA), Vec::<String>::new());
    assert_eq!(ask(ADA, json!({"scope": scope, "part": part})).await.0, 201);
}
