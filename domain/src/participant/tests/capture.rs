use super::*;
use crate::history::ActorKind;

fn why(words: &str) -> FreeText {
    Personal::in_part(
        Part::of_command(crate::ids::CommandId(uuid::Uuid::from_u128(99)), 0),
        Erasable::Known(words.into()),
    )
}

fn mandatory() -> Study {
    let mut design = crate::testing::design();
    design.item_groups[0].items[0].mandatory = true;
    design.forms[0].item_groups[0].mandatory = true;
    crate::testing::live_study_under(design)
}

#[test]
fn a_form_is_complete_when_all_that_is_required_is_there_or_said_not_to_be_done() {
    let complete = || Command::CompleteForm { form: form() };
    let on = |events: &[Event]| {
        given::<Participant>([registered(), consented()].into_iter().chain(events.iter().cloned()))
            .governed(mandatory())
    };
    let refused = on(&[]).when(complete()).refusal();
    assert_eq!((refused.code(), refused.faults().len()), ("incomplete-form", 1));
    assert!(refused.faults()[0].detail.starts_with("SYSBP in G (1)"));
    let facts = on(&[]).when(complete()).facts();
    assert!(
        matches!(&facts[..], [Event::CheckFired { check, item, outcome: CheckOutcome::Refused, .. }]
            if check.as_str() == "required:SYSBP" && item.item == oid("SYSBP")),
        "that it was tried is on record: {facts:?}"
    );
    let done = Event::FormCompleted { form: form() };
    on(&[saved("120")]).when(complete()).then([done.clone()]);
    on(&[saved("120"), done.clone()]).when(complete()).then([]);
    let Event::ItemsSaved { mut items, source, .. } = saved("120") else { panic!("saved") };
    (items[0].value, items[0].not_done) = (None, Some(NotDone::Refused));
    on(&[Event::ItemsSaved { form: form(), items, source }]).when(complete()).then([done]);
    let elsewhere = FormKey { visit: oid("V9"), ..form() };
    on(&[]).when(Command::CompleteForm { form: elsewhere }).rejected("invalid-items");
}

#[test]
fn once_complete_a_first_value_needs_a_reason_too_until_it_is_reopened() {
    let done = || [registered(), consented(), saved("120"), Event::FormCompleted { form: form() }];
    let first = |reason| save(vec![to_save("AETERM", Some("headache"), reason)]);
    record(done()).expecting(3).when(first(None)).rejected("invalid-items");
    assert_eq!(record(done()).expecting(3).when(first(Some("found later"))).facts().len(), 1);
    let reopen = |reason: &str| Command::ReopenForm { form: form(), reason: reason.into() };
    let reopened = Event::FormReopened { form: form(), reason: why("more to come") };
    record(done()).when(reopen("more to come")).then([reopened.clone()]);
    record(done()).when(reopen(" ")).rejected("reason-required");
    record([registered(), consented(), saved("120")]).when(reopen("no")).then([]);
    let open = done().into_iter().chain([reopened]);
    assert_eq!(record(open).expecting(3).when(first(None)).facts().len(), 1);
}

#[test]
fn a_removed_form_takes_nothing_until_it_is_restored() {
    let remove = || Command::RemoveForm { form: form(), reason: "other visit".into() };
    let restore = || Command::RestoreForm { form: form(), reason: "it was right".into() };
    let removed = Event::FormRemoved { form: form(), reason: why("other visit") };
    let before = || [registered(), consented(), saved("120")];
    record(before()).when(remove()).then([removed.clone()]);
    record(before()).when(restore()).then([]);
    let gone = || before().into_iter().chain([removed.clone()]);
    record(gone()).when(remove()).then([]);
    record(gone()).expecting(3).when(save(vec![to_save("AETERM", Some("x"), None)])).rejected("form-removed");
    record(gone()).when(Command::CompleteForm { form: form() }).rejected("form-removed");
    record(gone()).when(restore()).then([Event::FormRestored { form: form(), reason: why("it was right") }]);
}

#[test]
fn not_done_is_said_with_a_code_and_for_a_saved_value_with_a_reason() {
    let not_done = |reason| ItemToSave { not_done: Some(NotDone::NotDone), ..to_save("SYSBP", None, reason) };
    let before = || record([registered(), consented(), saved("120")]).expecting(3);
    before().when(save(vec![not_done(None)])).rejected("invalid-items");
    let facts = before().when(save(vec![not_done(Some("cuff broken"))])).facts();
    let Event::ItemsSaved { items, .. } = &facts[0] else { panic!("{facts:?}") };
    assert_eq!((items[0].not_done, items[0].value.is_none()), (Some(NotDone::NotDone), true));
    assert_eq!(record([registered(), consented()]).when(save(vec![not_done(None)])).facts().len(), 1);
    let both = ItemToSave { value: Some(ItemValue("1".into())), ..not_done(None) };
    record([registered(), consented()]).when(save(vec![both])).rejected("invalid-items");
}

#[test]
fn a_sender_may_say_whether_an_item_is_new() {
    let expecting = |expect, value, reason| ItemToSave { expect: Some(expect), ..to_save("SYSBP", value, reason) };
    let empty = || record([registered(), consented()]);
    let there = || record([registered(), consented(), saved("120")]).expecting(3);
    let (new, change) = (Expect::Nothing, Expect::Something);
    assert_eq!(empty().when(save(vec![expecting(new, Some("120"), None)])).facts().len(), 1);
    there().when(save(vec![expecting(new, Some("120"), None)])).then([]);
    there().when(save(vec![expecting(change, Some("120"), None)])).then([]);
    assert_eq!(there().when(save(vec![expecting(change, Some("121"), Some("why"))])).facts().len(), 1);
    assert_eq!(there().when(save(vec![expecting(change, None, Some("why"))])).facts().len(), 1, "it is cleared");
    let refused = [
        there().when(save(vec![expecting(new, Some("121"), Some("why"))])).refusal(),
        empty().when(save(vec![expecting(change, Some("121"), Some("why"))])).refusal(),
        empty().when(save(vec![expecting(change, None, Some("why"))])).refusal(),
    ];
    for refused in refused {
        assert_eq!(refused.faults()[0].pointer, "/items/0/expect");
    }
    let command = save(vec![to_save("SYSBP", Some("121"), Some("why")), to_save("AETERM", Some("x"), None)]);
    let report = Participant::report(&command, &there().when(command.clone()).facts());
    assert!(report.iter().all(|item| item.saved && item.queries == 0), "{report:?}");
    assert!(Participant::report(&command, &[]).iter().all(|item| !item.saved));
}

#[test]
fn every_fault_of_a_command_is_named_at_once() {
    let items = vec![
        to_save("SYSBP", Some("high"), None),
        to_save("UNHEARD", Some("1"), None),
        to_save("AETERM", Some("x"), None),
    ];
    let refused = record([registered(), consented()]).when(save(items)).refusal();
    let pointers: Vec<_> = refused.faults().into_iter().map(|fault| fault.pointer).collect();
    assert_eq!(pointers, ["/items/0/value", "/items/1/item"]);
}

#[test]
fn a_value_that_is_too_long_of_another_type_or_in_no_code_list_is_refused_and_on_record() {
    let mut design = crate::testing::design();
    design.code_lists.push(
        serde_json::from_value(serde_json::json!({"oid": "YN", "name": "YN", "codes": [{"value": "1"}]}))
            .expect("a code list"),
    );
    design.items[0].code_list = Some("YN".into());
    let on = |events: &[Event]| {
        let facts = [registered(), consented()].into_iter().chain(events.iter().cloned());
        given::<Participant>(facts).governed(crate::testing::live_study_under(design.clone()))
    };
    let long = "a text of more than twenty characters";
    let facts =
        on(&[]).when(save(vec![to_save("AETERM", Some(long), None), to_save("SYSBP", Some("7"), None)])).facts();
    let fired: Vec<_> = facts
        .iter()
        .map(|fact| match fact {
            Event::CheckFired { check, outcome: CheckOutcome::Refused, value: Some(value), at, .. } => {
                (check.to_string(), value.value.clone(), *at)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let tried = |value: &str| Erasable::Known(ItemValue(value.into()));
    assert_eq!(
        fired,
        [("length:AETERM".into(), tried(long), Some(0)), ("code-list:SYSBP".into(), tried("7"), Some(1))]
    );
    let refused = Participant::refusal(&facts).expect("a refusal");
    assert_eq!((refused.code(), &*refused.faults()[1].pointer), ("hard-check", "/items/1/value"));
    assert_eq!(refused.faults()[1].detail, "code-list:SYSBP: SYSBP takes a value of its code list");
    let facts = on(&[]).when(save(vec![to_save("SYSBP", Some("high"), None)])).facts();
    let [Event::CheckFired { check, value: Some(value), .. }] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!((check.as_str(), &value.value), ("type:SYSBP", &tried("high")));
    // Beside a mistake of the sender, every fault is named and nothing is kept.
    let wrong = save(vec![to_save("UNHEARD", Some("7"), None), to_save("AETERM", Some(long), None)]);
    let refused = on(&[]).when(wrong).refusal();
    assert_eq!((refused.code(), refused.faults().len()), ("invalid-items", 2));
    let frozen = Event::Frozen { place: Place::Participant, reason: None };
    on(&[frozen]).when(save(vec![to_save("SYSBP", Some("7"), None)])).rejected("frozen");
}

#[test]
fn only_a_program_says_that_data_comes_from_elsewhere() {
    let from = |source| Command::SaveItems { form: form(), items: vec![to_save("SYSBP", Some("120"), None)], source };
    let mut program = principal(Role::Integrator, 1);
    program.actor.kind = ActorKind::ServiceAccount;
    for source in [Source::Device, Source::System, Source::Import] {
        record([registered(), consented()]).when(from(source)).rejected("source-of-programs");
        let facts = record([registered(), consented()]).by(program.clone()).when(from(source)).facts();
        assert!(matches!(facts[..], [Event::ItemsSaved { source: kept, .. }] if kept == source));
    }
}

#[test]
fn a_visit_takes_place_or_not_and_a_change_of_that_needs_a_reason() {
    let day = |text: &str| serde_json::from_value::<crate::Day>(text.into()).expect("a day");
    let visit = || form().visit();
    let start = |on: &str, reason: Option<&str>| Command::StartVisit {
        visit: visit(),
        on: day(on),
        reason: reason.map(Into::into),
    };
    let started = |on: &str, reason: Option<&str>| Event::VisitStarted {
        visit: visit(),
        on: Personal::new(day(on)),
        reason: reason.map(why),
    };
    let before = || [registered(), consented()];
    record(before()).when(start("2026-11-20", None)).then([started("2026-11-20", None)]);
    let stands = || before().into_iter().chain([started("2026-11-20", None)]);
    record(stands()).when(start("2026-11-20", None)).then([]);
    record(stands()).when(start("2026-11-21", None)).rejected("reason-required");
    record(stands()).when(start("2026-11-21", Some("typo"))).then([started("2026-11-21", Some("typo"))]);
    let miss = || Command::MissVisit { visit: visit(), reason: "ill".into() };
    let missed = || Event::VisitMissed { visit: visit(), reason: why("ill") };
    record(before()).when(miss()).then([missed()]);
    record(before().into_iter().chain([missed()])).when(miss()).then([]);
    record(before().into_iter().chain([missed()])).when(start("2026-11-20", None)).rejected("reason-required");
    record([registered()]).when(start("2026-11-20", None)).rejected("no-consent");
    let second = Command::MissVisit { visit: VisitKey { visit_repeat: 2, ..visit() }, reason: "ill".into() };
    record(before()).when(second).rejected("no-such-visit");
}
