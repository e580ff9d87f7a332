//! Who leaves with a half-filled record: it is brought to an end without anything new.

use super::queries::{item, text};
use super::*;
use crate::design::SdvPlan;
use crate::participant::hindrances;

fn mandatory() -> Study {
    let mut design = crate::testing::design();
    design.item_groups[0].items.iter_mut().for_each(|item| item.mandatory = true);
    design.forms[0].item_groups[0].mandatory = true;
    design.visits[0].forms[0].mandatory = true;
    crate::testing::live_study_under(design)
}

fn visit() -> Event {
    let on = serde_json::from_value::<crate::Day>("2026-11-20".into()).expect("a day");
    Event::VisitStarted { visit: form().visit(), on: Personal::new(on), reason: None }
}

fn left() -> [Event; 2] {
    let version = "1.0".parse().expect("valid");
    [Event::Withdrawn { reason: None }, Event::ConsentWithdrawn { version, reason: None }]
}

fn blockers(facts: &[Event]) -> Vec<&'static str> {
    let mut state = Participant::default();
    facts.iter().enumerate().for_each(|(n, fact)| state.evolve(fact, Revision(n as u64 + 1).into()));
    hindrances(state.record().expect("registered"), &mandatory()).iter().map(Blocker::kind).collect()
}

fn not_done(name: &str) -> Command {
    save(vec![ItemToSave { not_done: Some(NotDone::NotDone), ..to_save(name, None, None) }])
}

#[test]
fn what_is_missing_of_somebody_who_left_is_said_not_to_be_done_and_nothing_new_is_taken() {
    for leaving in left() {
        let mut facts = vec![registered(), consented(), visit(), saved("120"), leaving];
        assert_eq!(blockers(&facts), ["form-not-complete", "missing-item"]);
        let on = |facts: &[Event]| given::<Participant>(facts.to_vec()).governed(mandatory());
        for new in [to_save("AETERM", Some("headache"), None), to_save("SYSBP", Some("121"), Some("typo"))] {
            let code = on(&facts).expecting(4).when(save(vec![new])).refusal().code();
            assert!(["withdrawn", "consent-withdrawn"].contains(&code), "{code}");
        }
        let over = ItemToSave { not_done: Some(NotDone::NotDone), ..to_save("SYSBP", None, Some("typo")) };
        on(&facts).expecting(4).when(save(vec![over])).refusal();
        facts.extend(on(&facts).expecting(4).when(not_done("AETERM")).facts());
        assert_eq!(blockers(&facts), ["form-not-complete"]);
        facts.extend(on(&facts).when(Command::CompleteForm { form: form() }).facts());
        assert_eq!(blockers(&facts), [] as [&str; 0]);
    }
    given::<Participant>([registered()]).governed(mandatory()).when(not_done("AETERM")).rejected("no-consent");
}

#[test]
fn a_form_that_was_never_begun_is_removed_and_a_visit_missed_after_somebody_left() {
    for leaving in left() {
        let facts = [registered(), consented(), visit(), leaving];
        assert_eq!(blockers(&facts), ["form-not-started"]);
        let on = || given::<Participant>(facts.to_vec()).governed(mandatory());
        let removed = Event::FormRemoved { form: form(), reason: text("left before") };
        on().when(Command::RemoveForm { form: form(), reason: "left before".into() }).then([removed.clone()]);
        assert_eq!(blockers(&[&facts[..], &[removed]].concat()), [] as [&str; 0]);
        let missed = Event::VisitMissed { visit: form().visit(), reason: text("left before") };
        on().when(Command::MissVisit { visit: form().visit(), reason: "left before".into() }).then([missed.clone()]);
        assert_eq!(blockers(&[&facts[..], &[missed]].concat()), [] as [&str; 0]);
    }
}

#[test]
fn nothing_is_missing_where_nothing_can_be_entered_any_more() {
    let scopes = vec![Scope::HealthClinical, Scope::HealthFreeText];
    let fenced = Event::Fenced { erasure: ErasureId(uuid::Uuid::nil()), scopes, values: vec![] };
    assert_eq!(blockers(&[registered(), consented(), visit(), fenced.clone()]), [] as [&str; 0]);
    let facts = [registered(), consented(), visit(), saved("120"), fenced];
    assert_eq!(blockers(&facts), ["form-not-complete"]);
    let done = Event::FormCompleted { form: form() };
    given::<Participant>(facts).governed(mandatory()).when(Command::CompleteForm { form: form() }).then([done]);
}

#[test]
fn nobody_verifies_what_is_withheld_and_no_lock_waits_for_it() {
    let mut design = crate::testing::design();
    design.items[0].identifier = true;
    design.forms[0].sdv = SdvPlan::All;
    let study = crate::testing::live_study_under(design.clone());
    assert_eq!(design.scope_of(&design.items[0]), Scope::IdentityCodeList);
    let Event::ItemsSaved { mut items, source, .. } = saved("1980") else { panic!("saved") };
    items.extend(items.clone());
    items[1].item = item("AETERM");
    let facts = [registered(), consented(), Event::ItemsSaved { form: form(), items, source }];
    let verify = |items: Vec<ItemKey>| {
        let monitor = principal(Role::Monitor, 9);
        let given = given::<Participant>(facts.clone()).governed(study.clone()).by(monitor);
        given.when(Command::Verify { form: form(), items })
    };
    let verified = Event::Verified { form: form(), items: vec![item("AETERM")] };
    verify(vec![]).then([verified.clone()]);
    verify(vec![item("SYSBP")]).rejected("withheld-values");
    let mut state = Participant::default();
    let done = Event::FormCompleted { form: form() };
    let all = facts.iter().chain([&verified, &done]);
    all.enumerate().for_each(|(n, fact)| state.evolve(fact, Revision(n as u64 + 1).into()));
    assert_eq!(readiness(state.record().expect("registered"), &design), []);
    // Whoever publishes such a plan is told, and so is whoever looks at how far verification is.
    let left_out: Vec<_> = left_out_items(&design, &oid("VS")).into_iter().collect();
    assert_eq!(left_out, [((&oid("G"), &oid("SYSBP")), LeftOut::Identifier)]);
    let told = design.not_executed();
    let told: Vec<_> = told.iter().map(|fault| (fault.pointer.as_str(), fault.detail.contains("SYSBP"))).collect();
    assert_eq!(told, [("/forms/0/sdv", true)]);
    (design.items[0].identifier, design.items[0].blinded) = (false, true);
    assert_eq!(left_out_items(&design, &oid("VS")).into_values().collect::<Vec<_>>(), [LeftOut::Blinded]);
    design.forms[0].sdv = SdvPlan::Part;
    assert!(left_out_items(&design, &oid("VS")).is_empty(), "the plan does not name it");
}
