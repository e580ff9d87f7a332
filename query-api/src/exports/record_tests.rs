//! Given the platform's answers as JSON, the record that the formats are given.

use super::*;
use exchange::manifest::Counts;
use exchange::model::missing_code;
use serde_json::json;

fn act(at: &str) -> Value {
    json!({"actor": {"id": "9f0c2e8c-6d7a-4b51-9a3e-1d2c4b5a6978", "kind": "user", "role": "investigator", "organisation": "own"},
        "stored_at": at, "captured_at": at, "revision": 3, "command": "9f0c2e8c-6d7a-4b51-9a3e-1d2c4b5a6979"})
}

const MONDAY: &str = "2026-11-16T08:00:00Z";
const TUESDAY: &str = "2026-11-17T08:00:00Z";

fn participant(more: Value) -> Participant {
    let mut participant = json!({"participant": "9f0c2e8c-6d7a-4b51-9a3e-1d2c4b5a6970", "subject_number": "S-001", "site": "oslo",
        "state": "consented", "consent": "v1", "forms": 1, "last_activity": MONDAY, "registered": act(MONDAY), "erased": [],
        "redacted": 0, "restricted": false});
    participant.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    serde_json::from_value(participant).expect("a participant")
}

/// Two visits; items in another order than that of the alphabet.
fn design() -> StudyDesign {
    let named = |oid: &str| json!({"oid": oid, "name": oid});
    let refs = |oids: &[&str]| oids.iter().map(|oid| json!({"oid": oid, "mandatory": false})).collect::<Vec<_>>();
    let with = |mut object: Value, name: &str, value: Value| {
        object[name] = value;
        object
    };
    let items = ["SYSBP", "PULSE", "TEMP", "NOTE", "ARM"];
    let item = |oid: &&str| with(named(oid), "data_type", json!("text"));
    serde_json::from_value(json!({
        "name": "Cardio", "version": "1",
        "visits": [with(with(named("V2"), "repeating", json!(false)), "forms", json!(refs(&["VS"]))),
            with(with(named("V1"), "repeating", json!(false)), "forms", json!(refs(&["VS"])))],
        "forms": [with(with(named("VS"), "repeating", json!(false)), "item_groups", json!(refs(&["G"])))],
        "item_groups": [with(with(named("G"), "repeating", json!(false)), "items", json!(refs(&items)))],
        "items": items.iter().map(item).collect::<Vec<_>>(),
    }))
    .expect("a design")
}

fn casebook(items: Value) -> Option<Casebook> {
    let casebook = json!({
        "visits": [{"visit": "V2", "visit_repeat": 1, "on": null, "reason": {"erased": "health.free-text"}, "act": act(MONDAY)}],
        "forms": [{"visit": "V1", "visit_repeat": 1, "form": "VS", "form_repeat": 1, "tag": 3, "completed": true, "reviewed": ["medical"], "items": items}],
        "held": [{"place": {"level": "visit", "visit": "V1", "visit_repeat": 1}, "held": "frozen"}],
    });
    Some(serde_json::from_value(casebook).expect("a casebook"))
}

fn item(item: &str, value: Value, not_done: Value) -> Value {
    json!({"group": "G", "group_repeat": 1, "item": item, "value": value, "not_done": not_done, "act": act(MONDAY)})
}

fn entry(id: &str, item: &str, (new, details): (Value, Value), at: &str) -> AuditEntry {
    serde_json::from_value(json!({"id": id, "aggregate": "participant", "event": "items-saved", "action": "changed",
        "form": {"visit": "V1", "form": "VS"}, "item": {"group": "G", "item": item}, "old": null, "new": new,
        "reason": "misread", "details": details, "values": {}, "act": act(at)}))
    .expect("an entry")
}

fn loaded(participant: Participant, casebook: Option<Casebook>, audit: Vec<AuditEntry>) -> Loaded {
    Loaded { participant, history: true, casebook, audit, queries: Vec::new(), signatures: Vec::new() }
}

fn items(record: &ParticipantRecord) -> Vec<(String, String)> {
    let items = record.visits.iter().flat_map(|visit| &visit.forms).flat_map(|form| &form.groups);
    let said = |state: &ItemState| match state {
        ItemState::Value(value) => value.clone(),
        other => missing_code(other).unwrap_or_default().to_owned(),
    };
    items.flat_map(|group| &group.items).map(|item| (item.item.to_string(), said(&item.state))).collect()
}

fn named<const N: usize>(items: [(&str, &str); N]) -> Vec<(String, String)> {
    items.map(|(item, said)| (item.to_owned(), said.to_owned())).into()
}

#[test]
fn everything_stands_in_the_order_of_the_design_and_says_why_it_is_missing() {
    let casebook = casebook(json!([
        item("ARM", json!({"withheld": "health.blinded"}), json!(null)),
        item("NOTE", json!({"erased": "health.free-text"}), json!(null)),
        item("PULSE", json!(null), json!(null)),
        item("SYSBP", json!("120"), json!(null)),
        item("TEMP", json!(null), json!("refused")),
    ]));
    let (record, missed) = record(loaded(participant(json!({})), casebook, vec![]), &design());
    assert_eq!(missed, Missed::default());
    let visits: Vec<_> = record.visits.iter().map(|visit| visit.visit.to_string()).collect();
    assert_eq!(visits, ["V2", "V1"]);
    assert_eq!(record.visits[0].state, VisitState::Missed(Shown::Erased));
    assert_eq!(record.visits[1].notes.marks, [Mark::Frozen]);
    assert_eq!(record.visits[1].forms[0].notes.marks, [Mark::Completed, Mark::Reviewed]);
    assert_eq!(
        items(&record),
        named([("SYSBP", "120"), ("PULSE", "CLEARED"), ("TEMP", "REFUSED"), ("NOTE", "ERASED"), ("ARM", "BLINDED")])
    );
}

#[test]
fn each_change_says_what_it_left_and_with_what_it_was_entered() {
    let casebook = casebook(json!([item("SYSBP", json!(null), json!("unknown"))]));
    let audit = vec![
        entry("1", "SYSBP", (json!("120"), json!({"source": "import"})), MONDAY),
        entry("2", "SYSBP", (json!(null), json!({"not_done": "unknown"})), TUESDAY),
    ];
    let (record, _) = record(loaded(participant(json!({})), casebook, audit), &design());
    let changes = &record.visits[1].forms[0].groups[0].items[0].changes;
    let said: Vec<_> = changes.iter().map(|change| (missing_code(&change.state), change.by.source)).collect();
    assert_eq!(said, [(None, Source::Import), (Some("UNKNOWN"), Source::User)]);
    assert_eq!(changes[1].reason, Some(Shown::Text("misread".into())));
}

#[test]
fn where_the_whole_casebook_is_erased_the_audit_trail_says_what_was_there() {
    let erased = || json!({"erased": "health.clinical"});
    let fact = |event: &str, details: Value, values: Value| -> AuditEntry {
        serde_json::from_value(json!({"id": event, "aggregate": "participant", "event": event, "action": "recorded",
            "old": null, "new": null, "reason": null, "details": details, "values": values, "act": act(MONDAY)}))
        .expect("an entry")
    };
    let form = json!({"form": {"visit": "V1", "visit_repeat": 1, "form": "VS", "form_repeat": 1}});
    let audit = vec![
        fact("visit-started", json!({"visit": {"visit": "V1", "visit_repeat": 1}}), json!({"on": erased()})),
        fact("form-completed", form.clone(), json!({})),
        fact("form-removed", form.clone(), json!({"reason": {"erased": "health.free-text"}})),
        fact("form-restored", form, json!({"reason": {"erased": "health.free-text"}})),
        entry("1", "SYSBP", (erased(), json!(null)), MONDAY),
        entry("2", "PULSE", (erased(), json!(null)), MONDAY),
        entry("3", "PULSE", (json!(null), json!(null)), TUESDAY),
    ];
    let mut erased = loaded(participant(json!({"erased": ["health.clinical"]})), None, audit);
    erased.history = false;
    let (record, missed) = record(erased, &design());
    assert_eq!(items(&record), named([("SYSBP", "ERASED"), ("PULSE", "CLEARED")]));
    assert_eq!(record.visits[0].state, VisitState::Started(Shown::Erased));
    assert_eq!(record.visits[0].forms[0].notes.marks, [Mark::Completed]);
    assert!(missed.erased);
    let mut counts = Counts::default();
    counts.add(&record);
    assert_eq!((counts.erased, counts.cleared, counts.changes), (1, 1, 0), "history was not asked for");
}

#[test]
fn what_the_design_has_no_place_for_is_counted() {
    let casebook =
        casebook(json!([item("SYSBP", json!("120"), json!(null)), item("WEIGHT", json!("70"), json!(null))]));
    let (record, missed) = record(loaded(participant(json!({})), casebook, vec![]), &design());
    assert_eq!((items(&record), missed.not_in_design), (named([("SYSBP", "120")]), 1));
}

#[test]
fn a_restricted_participant_is_named_and_nothing_else() {
    let restricted = participant(json!({"restricted": true, "state": "withdrawn"}));
    let (record, _) = record(loaded(restricted, None, vec![]), &design());
    assert!(record.restricted && !record.withdrawn && record.visits.is_empty() && record.registered.is_none());
    let mut counts = Counts::default();
    counts.add(&record);
    assert_eq!((counts.participants, counts.restricted_participants, counts.forms), (1, 1, 0));
}

#[test]
fn what_is_asked_about_an_item_that_was_never_touched_stands_at_its_form() {
    let mut draft = Draft::default();
    let item = json!({"level": "item", "visit": "V1", "form": "VS", "group": "G", "item": "SYSBP"});
    let query: Query = serde_json::from_value(json!({"query": "q-1",
        "participant": "9f0c2e8c-6d7a-4b51-9a3e-1d2c4b5a6970", "subject_number": "S-001", "site": "oslo", "kind": "manual",
        "place": item, "check": null, "state": "open", "by": "monitor", "to": null, "changed_after_close": false,
        "opened": act(MONDAY), "answered_after": null, "settled_after": null,
        "thread": [{"step": "opened", "actor": act(MONDAY)["actor"], "stored_at": MONDAY, "captured_at": MONDAY, "revision": 4,
            "command": "9f0c2e8c-6d7a-4b51-9a3e-1d2c4b5a6979", "text": "why?"}]}))
    .expect("a query");
    draft.query(query);
    let visits = draft.ordered(&design(), &mut 0);
    assert_eq!(visits[0].forms[0].notes.queries[0].thread[0].text, Some(Shown::Text("why?".into())));
}
