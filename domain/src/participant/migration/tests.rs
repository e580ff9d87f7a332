use std::sync::Arc;

use super::super::{
    CheckOutcome, Command, Event, FormKey, ItemKey, ItemPlace, ItemToSave, Participant, Place, SavedItem, Source,
};
use super::MigrationReport;
use crate::decider::Decider;
use crate::design::{DataType, ItemDef, ItemValue, Ref, StudyDesign};
use crate::history::Revision;
use crate::scope::{DesignScoped, Erasable, Part, Personal, Scope};
use crate::study::Study;
use crate::testing::{at_most, design, given, live_study, oid, site};

fn form() -> FormKey {
    FormKey { visit: oid("V1"), visit_repeat: 1, form: oid("VS"), form_repeat: 1 }
}

fn key(item: &str) -> ItemKey {
    ItemKey { group: oid("G"), group_repeat: 1, item: oid(item) }
}

fn place(item: &str) -> ItemPlace {
    ItemPlace::of(&form(), &key(item))
}

/// Without the text, with a pulse, and with a day where the pressure was.
fn second() -> StudyDesign {
    let mut second = StudyDesign { version: "2".into(), ..design() };
    let pulse = ItemDef { oid: oid("PULSE"), data_type: DataType::Integer, ..second.items[0].clone() };
    second.items.truncate(1);
    (second.items[0].data_type, second.items[0].scope) = (DataType::Date, Some(Scope::HealthClinical));
    second.items.push(pulse);
    let reference = Ref { oid: oid("PULSE"), mandatory: true, skip_condition: None, method: None };
    second.item_groups[0].items = vec![second.item_groups[0].items[0].clone(), reference];
    second
}

/// A study that has published both, with `second` in use in Oslo.
fn study() -> Study {
    let Study::Live { mut setup, design } = live_study() else { panic!("it is live") };
    setup.designs.insert(second().hash(), vec![]);
    setup.versions.contents.insert(second().hash(), Arc::new(second()));
    setup.versions.active.insert(site("oslo"), second().hash());
    Study::Live { setup, design }
}

fn saved(item: &str, scope: Scope, value: &str) -> SavedItem {
    let value = DesignScoped { scope, part: Part::all(), value: Erasable::Known(ItemValue(value.into())) };
    SavedItem { item: key(item), value: Some(value), not_done: None, computed: false, reason: None }
}

/// Registered under the first version, with two values.
fn history() -> Vec<Event> {
    let items = vec![saved("SYSBP", Scope::HealthClinical, "120"), saved("AETERM", Scope::HealthFreeText, "headache")];
    vec![
        Event::Registered { site: site("oslo"), subject_number: "001".parse().expect("valid") },
        Event::DesignAssigned { design: design().hash() },
        Event::ConsentGiven { version: "1".parse().expect("valid"), reference: None },
        Event::ItemsSaved { form: form(), items, source: Source::User },
    ]
}

fn migrate(to: &StudyDesign) -> Command {
    Command::Migrate { to: to.hash() }
}

fn migrated() -> Event {
    Event::DesignMigrated { from: design().hash(), to: second().hash(), read_only: vec![place("AETERM")] }
}

fn save(item: &str, value: &str) -> Command {
    let (group, reason) = (oid("G"), Some("a mistake".into()));
    let value = Some(ItemValue(value.into()));
    let item = ItemToSave { group, group_repeat: 1, item: oid(item), value, not_done: None, reason, expect: None };
    Command::SaveItems { form: form(), items: vec![item], source: Source::User }
}

fn record(events: &[Event]) -> super::Record {
    let mut participant = Participant::default();
    events.iter().for_each(|event| participant.evolve(event, Revision(1).into()));
    participant.record().expect("it is registered").clone()
}

#[test]
fn who_is_registered_gets_the_version_of_the_site() {
    let register = |at| Command::Register { site: site(at), subject_number: "001".parse().expect("valid") };
    let assigned = |at, design: StudyDesign| {
        let subject_number = "001".parse().expect("valid");
        [Event::Registered { site: site(at), subject_number }, Event::DesignAssigned { design: design.hash() }]
    };
    given::<Participant>([]).governed(study()).when(register("oslo")).then(assigned("oslo", second()));
    given::<Participant>([]).governed(study()).when(register("bergen")).then(assigned("bergen", design()));
    let Study::Live { mut setup, design } = study() else { panic!("it is live") };
    setup.versions.approvals_demanded = true;
    let study = Study::Live { setup, design };
    given::<Participant>([]).governed(study).when(register("oslo")).rejected("no-design-at-site");
}

#[test]
fn data_is_entered_under_the_participants_own_version() {
    let on = |history: Vec<Event>| given::<Participant>(history).governed(study()).expecting(4);
    on(history()).when(save("PULSE", "70")).rejected("invalid-items");
    assert_eq!(on(history()).when(save("SYSBP", "140")).facts().len(), 1);
    let after = || history().into_iter().chain([migrated()]).collect::<Vec<_>>();
    assert_eq!(on(after()).when(save("PULSE", "70")).facts().len(), 1);
    on(after()).when(save("SYSBP", "140")).rejected("hard-check");
    on(after()).when(save("AETERM", "migraine")).rejected("invalid-items");
}

#[test]
fn a_migration_loses_no_value_and_names_those_that_are_read_only() {
    given::<Participant>(history()).governed(study()).when(migrate(&second())).then([migrated()]);
    let after = record(&history().into_iter().chain([migrated()]).collect::<Vec<_>>());
    assert_eq!(after.design, Some(second().hash()));
    assert_eq!(after.read_only.iter().collect::<Vec<_>>(), [&place("AETERM")]);
    let value = |item| after.forms[&form()].items[&key(item)].value.clone();
    assert_eq!(value("AETERM"), Some(Erasable::Known(ItemValue("headache".into()))));
    assert_eq!(value("SYSBP"), Some(Erasable::Known(ItemValue("120".into()))));
}

#[test]
fn a_participant_moves_only_to_a_version_that_its_site_may_use() {
    let at = |study| given::<Participant>(history()).governed(study);
    at(live_study()).when(migrate(&second())).rejected("design-not-active");
    at(study()).when(migrate(&design())).then([]);
    let Study::Live { mut setup, design } = live_study() else { panic!("it is live") };
    setup.versions.contents.insert(second().hash(), Arc::new(second()));
    let approved = [(second().hash(), crate::testing::label("REK 17"))].into();
    setup.versions.approved.insert(site("oslo"), approved);
    at(Study::Live { setup, design }).when(migrate(&second())).then([migrated()]);
    given::<Participant>([]).governed(study()).when(migrate(&second())).rejected("no-such-participant");
}

#[test]
fn who_was_registered_before_versions_were_recorded_follows_the_site_and_is_pinned_by_a_migration() {
    let old = || history().into_iter().filter(|event| !matches!(event, Event::DesignAssigned { .. }));
    let on = || given::<Participant>(old()).governed(study()).expecting(3);
    assert_eq!(study().version_of(&record(&old().collect::<Vec<_>>())), Some(second().hash()));
    on().when(migrate(&second())).then([Event::DesignAssigned { design: second().hash() }]);
}

#[test]
fn the_report_says_what_changes_for_this_participant() {
    let report = MigrationReport::of(&record(&history()), &design(), &second());
    assert_eq!(report.read_only, [place("AETERM")]);
    assert_eq!(report.new_items, [place("PULSE")]);
    let unfit: Vec<_> = report.unfit.iter().map(|one| &one.place).collect();
    assert_eq!(unfit, [&place("SYSBP")]);
    assert!(!report.unfit[0].rule.contains("120"), "a rule never names the value");
    let after = record(&history().into_iter().chain([migrated()]).collect::<Vec<_>>());
    let back = MigrationReport::of(&after, &second(), &design());
    assert_eq!((back.read_only, back.revived), (vec![], vec![place("AETERM")]));
}

/// What a signature of this form, given under the first version, is after a migration to `to`.
fn signed_then(to: StudyDesign) -> (Vec<Event>, Vec<FormKey>) {
    let Study::Live { mut setup, design: live } = live_study() else { panic!("it is live") };
    setup.versions.contents.insert(to.hash(), Arc::new(to.clone()));
    setup.versions.active.insert(site("oslo"), to.hash());
    let signed = crate::participant::tests::signed(form());
    let facts: Vec<_> = history().into_iter().chain([signed]).collect();
    let report = MigrationReport::of(&record(&facts), &design(), &to);
    let study = Study::Live { setup, design: live };
    let mut done = given::<Participant>(facts).governed(study).when(migrate(&to)).facts();
    assert!(matches!(done.remove(0), Event::DesignMigrated { .. }));
    (done, report.to_sign_again)
}

#[test]
fn a_signature_over_a_form_that_the_new_version_defines_otherwise_is_dropped() {
    let signature = crate::participant::tests::signature();
    let place = crate::participant::Place::Form(form());
    let dropped = (vec![Event::SignatureDropped { signature, place }], vec![form()]);
    assert_eq!(signed_then(second()), dropped);
    let relabelled = |change: fn(&mut StudyDesign)| {
        let mut to = StudyDesign { version: "3".into(), ..design() };
        change(&mut to);
        signed_then(to)
    };
    assert_eq!(relabelled(|to| to.items[0].name = "Another question".into()), dropped);
    assert_eq!(relabelled(|to| to.visits[0].forms[0].mandatory = true), dropped);
    let untouched = (vec![], vec![]);
    assert_eq!(relabelled(|to| to.name = "Another study".into()), untouched);
    let visit = |to: &mut StudyDesign| {
        let more = crate::design::VisitDef { oid: oid("V2"), ..to.visits[0].clone() };
        to.visits.push(more);
    };
    assert_eq!(relabelled(visit), untouched, "another visit is nothing that was signed");
}

#[test]
fn what_stands_is_looked_at_by_the_checks_of_the_new_version() {
    let mut third = StudyDesign { version: "3".into(), ..design() };
    third.items[0].range_checks = vec![at_most("119", false)];
    let Study::Live { mut setup, design } = live_study() else { panic!("it is live") };
    setup.versions.contents.insert(third.hash(), Arc::new(third.clone()));
    setup.versions.active.insert(site("oslo"), third.hash());
    let study = Study::Live { setup, design };
    let facts = given::<Participant>(history()).governed(study.clone()).when(migrate(&third)).facts();
    let [Event::DesignMigrated { .. }, fired, asked] = &facts[..] else { panic!("{facts:?}") };
    let Event::CheckFired { outcome, value: None, .. } = fired else { panic!("{fired:?}") };
    assert_eq!(*outcome, CheckOutcome::Accepted);
    let Event::QueryOpened { place: asked, check: Some(check), .. } = asked else { panic!("{asked:?}") };
    assert_eq!((asked, check.as_str()), (&Place::Item(place("SYSBP")), "range:SYSBP:0"));
    // What was removed asks nothing.
    let reason = Personal::in_part(Part::all(), Erasable::Known("another's".into()));
    let removed = Event::FormRemoved { form: form(), reason };
    let without = history().into_iter().chain([removed]);
    assert_eq!(given::<Participant>(without).governed(study).when(migrate(&third)).facts().len(), 1);
}
