use super::*;
use crate::history::Tail;
use crate::permit::{Role, Sites};
use crate::rejection::Rejection as _;
use crate::testing::{Given, given, live_study, oid, principal, site};

fn registered() -> Event {
    Event::Registered { site: site("oslo"), subject_number: "001".parse().expect("valid") }
}

fn consented() -> Event {
    Event::ConsentGiven { version: "1.0".parse().expect("valid"), reference: None }
}

fn form() -> FormKey {
    FormKey { visit: oid("V1"), visit_repeat: 1, form: oid("VS"), form_repeat: 1 }
}

fn saved(value: &str) -> Event {
    let item = ItemKey { group: oid("G"), group_repeat: 1, item: oid("SYSBP") };
    let value = DesignScoped {
        scope: Scope::HealthClinical,
        part: Part::all(),
        value: Erasable::Known(ItemValue(value.into())),
    };
    Event::ItemsSaved {
        form: form(),
        items: vec![SavedItem { item, value: Some(value), not_done: None, computed: false, reason: None }],
        source: Source::User,
    }
}

fn to_save(item: &str, value: Option<&str>, reason: Option<&str>) -> ItemToSave {
    ItemToSave {
        group: oid("G"),
        group_repeat: 1,
        item: oid(item),
        value: value.map(|value| ItemValue(value.into())),
        not_done: None,
        reason: reason.map(Into::into),
        expect: None,
    }
}

fn save(items: Vec<ItemToSave>) -> Command {
    Command::SaveItems { form: form(), items, source: Source::User }
}

fn record(events: impl IntoIterator<Item = Event>) -> Given<Participant> {
    given::<Participant>(events).governed(live_study())
}

#[test]
fn a_participant_is_registered_once_at_an_open_site() {
    let register = |at: &str| Command::Register { site: site(at), subject_number: "001".parse().expect("valid") };
    let assigned = Event::DesignAssigned { design: crate::testing::design().hash() };
    record([]).when(register("oslo")).then([registered(), assigned]);
    record([registered()]).when(register("oslo")).then([]);
    record([registered()]).when(register("bergen")).rejected("registered-otherwise");
    record([]).when(register("paris")).rejected("no-such-site");
    given::<Participant>([]).when(register("oslo")).rejected("study-not-live");
}

#[test]
fn a_participant_of_another_site_is_not_there() {
    let mut elsewhere = principal(Role::Investigator, 1);
    elsewhere.sites = Sites::Only([site("bergen")].into());
    let consent = Command::GiveConsent { version: "1.0".parse().expect("valid"), reference: None };
    record([registered()]).by(elsewhere.clone()).when(consent).rejected("no-such-participant");
    let register = Command::Register { site: site("bergen"), subject_number: "002".parse().expect("valid") };
    record([registered()]).by(elsewhere).when(register).rejected("no-such-participant");
}

#[test]
fn nothing_is_entered_before_consent_after_withdrawal_or_under_restriction() {
    let one = || save(vec![to_save("SYSBP", Some("120"), None)]);
    record([registered()]).when(one()).rejected("no-consent");
    record([registered(), consented(), Event::Withdrawn { reason: None }]).when(one()).rejected("withdrawn");
    record([registered(), consented(), Event::Restricted {}]).when(one()).rejected("restricted");
    record([registered(), consented()]).when(one()).then([saved("120")]);
}

#[test]
fn a_change_of_a_saved_value_needs_a_reason_and_the_tag() {
    let before = || record([registered(), consented(), saved("120")]);
    before().when(save(vec![to_save("SYSBP", Some("120"), None)])).then([]);
    before().when(save(vec![to_save("SYSBP", Some("130"), None)])).rejected("invalid-items");
    before().when(save(vec![to_save("SYSBP", Some("130"), Some(" "))])).rejected("invalid-items");
    before().when(save(vec![to_save("SYSBP", None, None)])).rejected("invalid-items");
    before().when(save(vec![to_save("SYSBP", Some("130"), Some("typo"))])).rejected("tag-required");
    before().expecting(2).when(save(vec![to_save("SYSBP", Some("130"), Some("typo"))])).rejected("tag-differs");
    let facts = before().expecting(3).when(save(vec![to_save("SYSBP", Some("130"), Some("typo"))])).facts();
    let [Event::ItemsSaved { items, .. }] = &facts[..] else { panic!("{facts:?}") };
    let reason = items[0].reason.as_ref().expect("the reason is kept");
    assert_eq!(reason.value, Erasable::Known("typo".into()));
    assert_ne!(reason.part, Part::all(), "a reason can be redacted alone");
}

#[test]
fn what_does_not_fit_the_design_is_refused_whole_and_by_place() {
    let second = |value| ItemToSave { group_repeat: 2, ..to_save("SYSBP", Some(value), None) };
    let cases = [
        (to_save("SYSBP", Some(""), None), "/items/1/value"),
        (to_save("UNHEARD", Some("1"), None), "/items/1/item"),
        (ItemToSave { group: oid("H"), ..to_save("SYSBP", Some("1"), None) }, "/items/1/group"),
        (ItemToSave { group_repeat: 0, ..to_save("SYSBP", Some("1"), None) }, "/items/1/group_repeat"),
        (second("121"), "/items/1"),
    ];
    for (wrong, pointer) in cases {
        let command = save(vec![second("120"), wrong]);
        let study = live_study();
        let stream = StreamId::in_tenant(&crate::testing::tenant(), Aggregate::Participant, 1);
        let mut state = Participant::default();
        [registered(), consented()].iter().for_each(|event| state.evolve(event, Revision(1).into()));
        let context = Context {
            now: time::OffsetDateTime::UNIX_EPOCH,
            captured_at: time::OffsetDateTime::UNIX_EPOCH,
            principal: &principal(Role::Investigator, 1),
            command: crate::ids::CommandId(uuid::Uuid::nil()),
            stream: &stream,
            tail: Tail::default(),
            expected: None,
            governing: &study,
            rules: &(),
        };
        let refused = state.decide(&command, &context).expect_err("one item is wrong");
        assert_eq!(refused.faults().iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), [pointer]);
    }
}

#[test]
fn an_erased_scope_takes_nothing_more_and_the_others_do() {
    let fenced =
        Event::Fenced { erasure: ErasureId(uuid::Uuid::nil()), scopes: vec![Scope::HealthClinical], values: vec![] };
    let before = || record([registered(), consented(), fenced.clone()]);
    before().when(save(vec![to_save("SYSBP", Some("120"), None)])).rejected("erased");
    assert_eq!(before().when(save(vec![to_save("AETERM", Some("headache"), None)])).facts().len(), 1);
}

#[test]
fn a_free_text_has_a_part_of_its_own() {
    let facts = record([registered(), consented()]).when(save(vec![to_save("AETERM", Some("headache"), None)])).facts();
    let [Event::ItemsSaved { items, .. }] = &facts[..] else { panic!("{facts:?}") };
    let value = items[0].value.as_ref().expect("saved");
    assert_eq!(value.scope, Scope::HealthFreeText);
    assert_ne!(value.part, Part::all());
}

mod account;
mod capture;
mod checks;
mod consent;
mod life;
mod locks;
mod queries;
mod readiness;
mod sign;
mod verify;

mod randomise;

pub(super) use sign::{signature, signed};
