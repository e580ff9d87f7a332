use serde_json::json;

use super::*;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn sent(n: u128, by: Part, kind: &str, answer: Option<Value>) -> Sent {
    Sent { id: id(n), by, path: "/p".into(), body: json!({"type": kind}), answer }
}

fn answer(revision: u64) -> Value {
    json!({"revision": revision, "position": format!("s:1:{revision}"), "events": 1})
}

/// Registered, saved two values, and one command in doubt.
fn person() -> Person {
    Person {
        round: 0,
        at: "/p".into(),
        email: "e@post.example".into(),
        narrative: "a headache".into(),
        hasty: false,
        erasure: None,
        plan: [].into(),
        sent: vec![
            sent(1, Part::Integrator, "register", Some(answer(1))),
            sent(2, Part::Integrator, "save-items", Some(answer(2))),
            sent(3, Part::Integrator, "save-items", None),
        ],
    }
}

fn entry(aggregate: &str, revision: u64, command: u128) -> Value {
    json!({"aggregate": aggregate, "event": "items-saved", "act": {"revision": revision, "command": id(command)}})
}

/// The second command touched two fields, and an identity has revisions of its own.
fn trail() -> Vec<Value> {
    vec![entry("participant", 1, 1), entry("participant", 2, 2), entry("participant", 2, 2), entry("identity", 1, 9)]
}

/// What is found when the audit trail was `before` and then `after`, and everything is answered as before.
fn found(before: &[Value], after: &[Value]) -> Found {
    let again = [(id(1), Ok(answer(1))), (id(2), Ok(answer(2)))].into();
    Found { before: effects(before), again, after: effects(after), bent: linear(&person(), after) }
}

fn wrong(found: &Found) -> Vec<(Wrong, bool)> {
    judge(&person(), found).iter().map(|finding| (finding.wrong, finding.what.contains(&id(2).to_string()))).collect()
}

#[test]
fn a_whole_history_is_whole_with_or_without_what_is_in_doubt() {
    assert_eq!(wrong(&found(&trail(), &trail())), []);
    let with = [trail(), vec![entry("participant", 3, 3)]].concat();
    assert_eq!(wrong(&found(&with, &with)), []);
}

#[test]
fn a_lost_command_is_noticed_even_if_sending_it_again_brought_it_back() {
    let without: Vec<Value> = trail().into_iter().filter(|entry| entry["act"]["revision"] != 2).collect();
    assert_eq!(wrong(&found(&without, &without)), [(Wrong::Lost, true)]);
    assert_eq!(wrong(&found(&without, &trail())), [(Wrong::Lost, true)]);
}

#[test]
fn a_doubled_command_is_noticed_before_and_after_it_is_sent_again() {
    let twice = [trail(), vec![entry("participant", 3, 2)]].concat();
    assert_eq!(wrong(&found(&twice, &twice)), [(Wrong::Doubled, true)]);
    assert_eq!(wrong(&found(&trail(), &twice)), [(Wrong::Doubled, true)], "sending it again had an effect");
    let doubt = [trail(), vec![entry("participant", 3, 3), entry("participant", 4, 3)]].concat();
    assert_eq!(wrong(&found(&doubt, &doubt)), [(Wrong::Doubled, false)], "in doubt means once at most");
}

#[test]
fn another_answer_than_before_is_noticed() {
    for again in [Some(Ok(answer(7))), Some(Err("refused (404)".to_owned())), None] {
        let mut found = found(&trail(), &trail());
        match again {
            Some(again) => found.again.insert(id(2), again),
            None => found.again.remove(&id(2)),
        };
        assert_eq!(wrong(&found), [(Wrong::Lost, true)]);
    }
}

#[test]
fn an_erasure_ends_completed_or_not_begun() {
    let leaver = |approval: Option<Option<Value>>| {
        let mut person = person();
        person.sent.extend(approval.map(|answer| sent(8, Part::Controller, "approve-erasure", answer)));
        person
    };
    let (silent, doubt, approved) = (leaver(None), leaver(Some(None)), leaver(Some(Some(answer(2)))));
    use End::*;
    for (phase, expected) in [
        (None, [NotBegun, NotBegun, Between]),
        (Some("assessed"), [NotBegun, NotBegun, Between]),
        (Some("approved"), [Between, Between, Between]),
        (Some("committed"), [Between, Between, Between]),
        (Some("verified"), [Between, Between, Between]),
        (Some("completed"), [Between, Completed, Completed]),
    ] {
        assert_eq!([&silent, &doubt, &approved].map(|person| end(person, phase)), expected, "{phase:?}");
    }
    assert_eq!(half_done(&approved, Some("committed")).wrong, Wrong::HalfDone);
}

#[test]
fn the_erased_are_gone_and_the_others_are_shown() {
    let shown = Ok(json!({"items": ["a headache"]}));
    let empty = Ok(json!({"items": []}));
    let see = |end, answer: &Result<Value, u16>| {
        view(&person(), "casebook", end, Some("a headache"), answer).map(|finding| finding.wrong)
    };
    assert_eq!(see(End::NotBegun, &shown), None);
    assert_eq!(see(End::NotBegun, &empty), Some(Wrong::Lost));
    assert_eq!(see(End::NotBegun, &Err(410)), Some(Wrong::Lost), "somebody else's erasure took it");
    assert_eq!(see(End::Completed, &Err(410)), None);
    assert_eq!(see(End::Completed, &shown), Some(Wrong::HalfDone));
    assert_eq!(see(End::Completed, &Err(404)), Some(Wrong::HalfDone));
    assert_eq!(view(&person(), "casebook", End::NotBegun, None, &Err(404)), None, "nothing was acknowledged");
}

#[test]
fn a_stream_with_a_gap_two_owners_or_another_order_is_not_linear() {
    let bent = |trail: &[Value]| linear(&person(), trail).into_iter().map(|finding| finding.wrong).collect::<Vec<_>>();
    assert_eq!(bent(&trail()), []);
    assert_eq!(bent(&[trail(), vec![entry("identity", 3, 8)]].concat()), [Wrong::NotLinear], "a gap");
    assert_eq!(bent(&[trail(), vec![entry("participant", 2, 8)]].concat()), [Wrong::NotLinear], "two owners");
    let turned = [entry("participant", 1, 2), entry("participant", 2, 1)];
    assert!(bent(&turned).len() >= 2, "order, and other revisions than were answered");
    assert_eq!(bent(&[json!({"aggregate": "participant", "act": {}})]), [Wrong::NotLinear], "no trail");
}
