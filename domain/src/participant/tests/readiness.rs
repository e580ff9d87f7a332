use super::queries::{answered, at_item, item, opened, query};
use super::*;
use crate::design::{SdvPlan, StudyDesign};
use crate::testing::design;

fn blockers(news: impl IntoIterator<Item = Event>, change: impl FnOnce(&mut StudyDesign)) -> Vec<Blocker> {
    let mut state = Participant::default();
    let facts = [registered(), consented()].into_iter().chain(news);
    facts.enumerate().for_each(|(n, event)| state.evolve(&event, Revision(n as u64 + 1).into()));
    let mut design = design();
    change(&mut design);
    readiness(state.record().expect("registered"), &design)
}

#[test]
fn a_record_is_held_against_its_own_version() {
    let mut later = StudyDesign { version: "2".into(), ..design() };
    later.visits[0].forms[0].mandatory = true;
    later.forms[0].signature = true;
    let mut study = crate::testing::live_study_under(later.clone());
    let Study::Live { setup, .. } = &mut study else { panic!("a live study") };
    setup.versions.contents.insert(design().hash(), std::sync::Arc::new(design()));
    let found = |study: &Study, assigned: Option<&StudyDesign>| {
        let mut state = Participant::default();
        let assigned = assigned.map(|design| Event::DesignAssigned { design: design.hash() });
        let facts = [registered(), consented()].into_iter().chain(assigned).chain([saved("120"), completed()]);
        facts.enumerate().for_each(|(n, event)| state.evolve(&event, Revision(n as u64 + 1).into()));
        hindrances(state.record().expect("registered"), study)
    };
    assert_eq!(found(&study, Some(&design())), [], "the live one asks for more");
    assert_eq!(found(&study, Some(&later)), [Blocker::UnsignedForm { form: form() }]);
    assert_eq!(found(&study, None), [Blocker::UnsignedForm { form: form() }], "that of its site");
    let Study::Live { setup, .. } = &mut study else { panic!("a live study") };
    setup.versions.approvals_demanded = true;
    assert_eq!(found(&study, Some(&design())), []);
    assert_eq!(found(&study, None), [Blocker::NoDesign {}], "its site has approved none");
}

fn completed() -> Event {
    Event::FormCompleted { form: form() }
}

#[test]
fn a_complete_form_of_which_nothing_more_is_asked_hinders_nothing() {
    assert_eq!(blockers([saved("120"), completed()], |_| {}), []);
    assert_eq!(blockers([saved("120")], |_| {}), [Blocker::FormNotComplete { form: form() }]);
}

#[test]
fn a_visit_that_is_planned_is_begun_or_missed_by_whoever_is_expected_to_come() {
    let to_come = [Blocker::VisitNotStarted { visit: form().visit() }];
    assert_eq!(blockers([], |_| {}), to_come);
    assert_eq!(blockers([], |design| design.visits[0].optional = true), []);
    assert_eq!(blockers([], |design| design.visits[0].repeating = true), [], "nobody says how often");
    let missed = Event::VisitMissed { visit: form().visit(), reason: super::queries::text("on holiday") };
    assert_eq!(blockers([missed], |_| {}), []);
    // To say that a form does not belong is not to say that its visit did not take place.
    let removed = Event::FormRemoved { form: form(), reason: super::queries::text("not his") };
    assert_eq!(blockers([removed], |_| {}), to_come);
    let version = || "1.0".parse().expect("valid");
    let revoked = || Event::ConsentWithdrawn { version: version(), reason: None };
    assert_eq!(blockers([revoked()], |_| {}), [], "nothing can be entered any more");
    assert_eq!(blockers([revoked(), consented()], |_| {}), to_come);
    assert_eq!(blockers([Event::Withdrawn { reason: None }], |_| {}), []);
    let fenced = |scope| Event::Fenced { erasure: ErasureId(uuid::Uuid::nil()), scopes: vec![scope], values: vec![] };
    assert_eq!(blockers([fenced(Scope::HealthClinical)], |_| {}), [], "no day is taken any more");
    assert_eq!(blockers([fenced(Scope::HealthBlinded)], |_| {}), to_come);
}

#[test]
fn who_never_consented_hinders_until_it_is_said_that_they_left() {
    let found = |news: &[Event]| {
        let mut state = Participant::default();
        let facts = [registered()].iter().chain(news).cloned().collect::<Vec<_>>();
        facts.iter().enumerate().for_each(|(n, event)| state.evolve(event, Revision(n as u64 + 1).into()));
        readiness(state.record().expect("registered"), &design())
    };
    assert_eq!(found(&[]), [Blocker::NoConsent {}]);
    assert_eq!(found(&[Event::Withdrawn { reason: None }]), []);
}

#[test]
fn a_query_hinders_until_it_is_settled() {
    let open = Blocker::OpenQuery { query: query(), place: at_item() };
    let asked = || [saved("120"), completed(), opened(Role::Monitor)];
    assert_eq!(blockers(asked(), |_| {}), std::slice::from_ref(&open));
    assert_eq!(blockers(asked().into_iter().chain([answered()]), |_| {}), [open]);
    assert_eq!(blockers(asked().into_iter().chain([super::queries::closed(false)]), |_| {}), []);
}

#[test]
fn what_must_be_there_is_missed_in_each_group_that_was_begun() {
    let must = |design: &mut StudyDesign| design.item_groups[0].items.iter_mut().for_each(|item| item.mandatory = true);
    let missing = Blocker::MissingItem { form: form(), item: item("AETERM") };
    assert_eq!(blockers([saved("120"), completed()], must), std::slice::from_ref(&missing));
    let not_done = |value: Option<ItemValue>, not_done| Event::ItemsSaved {
        form: form(),
        items: vec![SavedItem {
            item: item("AETERM"),
            value: value.map(|value| DesignScoped {
                scope: Scope::HealthFreeText,
                part: Part::all(),
                value: Erasable::Known(value),
            }),
            not_done,
            computed: false,
            reason: None,
        }],
        source: Source::User,
    };
    assert_eq!(blockers([saved("120"), not_done(None, Some(NotDone::NotDone)), completed()], must), []);
    assert_eq!(blockers([saved("120"), not_done(Some(ItemValue("x".into())), None), completed()], must), []);
    assert_eq!(blockers([saved("120"), not_done(None, None), completed()], must), [missing], "cleared");
}

#[test]
fn a_form_that_belongs_to_a_visit_is_begun_once_the_visit_took_place() {
    let must = |design: &mut StudyDesign| design.visits[0].forms[0].mandatory = true;
    let on = Personal::new(serde_json::from_value::<Day>("2026-11-20".into()).expect("a day"));
    let visit = || Event::VisitStarted { visit: form().visit(), on: on.clone(), reason: None };
    let optional = |design: &mut StudyDesign| {
        must(design);
        design.visits[0].optional = true;
    };
    assert_eq!(blockers([], optional), [], "not yet");
    assert_eq!(blockers([visit()], must), [Blocker::FormNotStarted { form: form() }]);
    assert_eq!(blockers([visit(), saved("120"), completed()], must), []);
    let removed = Event::FormRemoved { form: form(), reason: super::queries::text("not his") };
    assert_eq!(blockers([visit(), saved("120"), removed], must), [], "it was decided that it does not belong here");
}

#[test]
fn the_plan_says_what_is_compared_with_its_source() {
    let plan = |plan, item: bool| {
        move |design: &mut StudyDesign| {
            design.forms[0].sdv = plan;
            design.items[0].sdv = item;
        }
    };
    let done = || [saved("120"), completed()];
    let unverified = Blocker::UnverifiedItem { form: form(), item: item("SYSBP") };
    assert_eq!(blockers(done(), plan(SdvPlan::None, true)), []);
    assert_eq!(blockers(done(), plan(SdvPlan::Part, false)), []);
    assert_eq!(blockers(done(), plan(SdvPlan::Part, true)), std::slice::from_ref(&unverified));
    assert_eq!(blockers(done(), plan(SdvPlan::All, false)), [unverified]);
    let verified = Event::Verified { form: form(), items: vec![item("SYSBP")] };
    assert_eq!(blockers(done().into_iter().chain([verified]), plan(SdvPlan::All, false)), []);
}

#[test]
fn a_form_that_is_to_be_signed_is_signed_and_stays_so() {
    let to_sign = |design: &mut StudyDesign| design.forms[0].signature = true;
    let unsigned = Blocker::UnsignedForm { form: form() };
    assert_eq!(blockers([saved("120"), completed()], to_sign), std::slice::from_ref(&unsigned));
    let signed = super::sign::signed(form());
    let dropped = Event::SignatureDropped { signature: super::sign::signature(), place: Place::Form(form()) };
    assert_eq!(blockers([saved("120"), completed(), signed.clone()], to_sign), []);
    assert_eq!(blockers([saved("120"), completed(), signed, dropped], to_sign), [unsigned]);
}
