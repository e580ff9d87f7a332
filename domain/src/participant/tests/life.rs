//! Who may take part, how somebody's part in the study ends, and what that leaves open.

use super::queries::text;
use super::randomise::{asked, given_slot, randomise};
use super::*;
use crate::Day;
use crate::design::StudyDesign;
use crate::participant::Ending;

fn day(text: &str) -> Day {
    serde_json::from_value(text.into()).expect("a day")
}

fn visit(on: &str) -> Event {
    Event::VisitStarted { visit: form().visit(), on: Personal::new(day(on)), reason: None }
}

pub(super) fn eligible() -> Event {
    Event::EligibilityConfirmed { on: Personal::new(day("2026-11-20")) }
}

fn end(how: Ending, reason: Option<&str>) -> Command {
    Command::EndParticipation { how, on: day("2026-11-20"), reason: reason.map(Into::into) }
}

pub(super) fn ended(how: Ending) -> Event {
    let reason = (how != Ending::Completed).then(|| text("so"));
    Event::ParticipationEnded { how, on: Personal::new(day("2026-11-20")), reason }
}

fn start(on: &str) -> Command {
    Command::StartVisit { visit: form().visit(), on: day(on), reason: Some("so".into()) }
}

#[test]
fn a_part_in_the_study_ends_once_with_a_day_and_a_reason() {
    let before = || record([registered(), consented(), visit("2026-11-20")]);
    for how in Ending::ALL {
        match how {
            Ending::Completed => before().when(end(how, None)).then([ended(how)]),
            _ => before().when(end(how, None)).rejected("reason-required"),
        }
        assert_eq!(before().when(end(how, Some("so"))).facts().len(), 1);
        before().when(end(how, Some(" "))).rejected("reason-required");
        let after = || record([registered(), consented(), ended(how)]);
        after().when(end(how, Some("so"))).then([]);
        let other = if how == Ending::Died { Ending::LostToFollowUp } else { Ending::Died };
        after().when(end(other, Some("so"))).rejected("ended-otherwise");
        let resumed = Event::ParticipationResumed { reason: text("a mistake") };
        let resume = || Command::ResumeParticipation { reason: "a mistake".into() };
        after().when(resume()).then([resumed.clone()]);
        record([registered(), ended(how), resumed]).when(end(other, Some("so"))).then([ended(other)]);
    }
    before().when(Command::ResumeParticipation { reason: "a mistake".into() }).rejected("not-ended");
}

#[test]
fn it_ends_on_a_day_that_was_and_that_no_visit_came_after() {
    let on = |day_of: &str, facts: Vec<Event>| {
        record(facts).when(Command::EndParticipation { how: Ending::Completed, on: day(day_of), reason: None })
    };
    on("2026-11-21", vec![registered(), consented(), visit("2026-11-22")]).rejected("visit-after-end");
    on("2026-11-22", vec![registered(), consented(), visit("2026-11-22")]).facts();
    on("2026-11-24", vec![registered(), consented()]).rejected("end-to-come");
    on("2026-11-22", vec![registered()]).rejected("no-consent");
    let fenced =
        Event::Fenced { erasure: ErasureId(uuid::Uuid::nil()), scopes: vec![Scope::HealthClinical], values: vec![] };
    on("2026-11-22", vec![registered(), consented(), fenced]).rejected("erased");
    record([registered()]).when(end(Ending::ScreenFailed, Some("so"))).then([ended(Ending::ScreenFailed)]);
    let randomised = [registered(), consented(), eligible(), asked(), given_slot("X-1")];
    record(randomised).when(end(Ending::ScreenFailed, Some("so"))).rejected("randomised");
}

#[test]
fn what_was_before_the_end_is_taken_and_nothing_of_after() {
    let one = || save(vec![to_save("SYSBP", Some("120"), None)]);
    let over = || vec![registered(), consented(), ended(Ending::ScreenFailed)];
    record(over()).when(start("2026-11-21")).rejected("after-end");
    record(over()).when(start("2026-11-20")).facts();
    record(over()).when(one()).rejected("visit-not-begun");
    let begun = [over(), vec![visit("2026-11-20")]].concat();
    record(begun).when(one()).then([saved("120")]);
    let late = [over(), vec![visit("2026-11-21")]].concat();
    record(late).when(one()).rejected("after-end");
    // Corrections of what stands, and what is of no planned visit, such as an adverse event.
    let stands = vec![registered(), consented(), saved("120"), ended(Ending::Completed)];
    record(stands).expecting(3).when(save(vec![to_save("SYSBP", Some("130"), Some("typo"))])).facts();
    let mut unscheduled = crate::testing::design();
    unscheduled.visits[0].optional = true;
    let study = crate::testing::live_study_under(unscheduled);
    given::<Participant>(over()).governed(study).when(one()).then([saved("120")]);
    let not_done = save(vec![ItemToSave { not_done: Some(NotDone::NotDone), ..to_save("SYSBP", None, None) }]);
    assert_eq!(record(over()).when(not_done).facts().len(), 1, "what is missing is accounted for");
}

#[test]
fn nothing_more_is_expected_of_whoever_is_not_in_the_study_any_more() {
    let kinds = |facts: &[Event], design: &StudyDesign| {
        let mut state = Participant::default();
        facts.iter().enumerate().for_each(|(n, fact)| state.evolve(fact, Revision(n as u64 + 1).into()));
        let found = readiness(state.record().expect("registered"), design);
        found.iter().map(Blocker::kind).collect::<Vec<_>>()
    };
    let design = crate::testing::design();
    for how in Ending::ALL {
        assert_eq!(kinds(&[registered(), consented(), ended(how)], &design), [""; 0]);
        assert_eq!(kinds(&[registered(), ended(how)], &design), [""; 0]);
        let resumed = Event::ParticipationResumed { reason: text("a mistake") };
        assert_eq!(kinds(&[registered(), consented(), ended(how), resumed], &design), ["visit-not-started"]);
        // What began is still brought to its end.
        assert_eq!(kinds(&[registered(), consented(), saved("120"), ended(how)], &design), ["form-not-complete"]);
    }
}

#[test]
fn nobody_is_randomised_who_was_not_found_to_be_eligible_or_has_left() {
    let confirm = || Command::ConfirmEligibility { on: day("2026-11-20") };
    let before = || vec![registered(), visit("2026-11-20"), consented()];
    record(before()).when(randomise("f")).rejected("not-eligible");
    record(before()).when(confirm()).then([eligible()]);
    record([before(), vec![eligible()]].concat()).when(confirm()).then([]);
    record([before(), vec![eligible()]].concat()).when(randomise("f")).then([asked()]);
    record([registered()]).when(confirm()).rejected("no-consent");
    let waived = Event::EligibilityWaived { reason: text("too old by a month") };
    let waive = || Command::WaiveEligibility { reason: "too old by a month".into() };
    record(before()).when(waive()).then([waived.clone()]);
    record([before(), vec![eligible()]].concat()).when(waive()).then([]);
    record([before(), vec![waived]].concat()).when(randomise("f")).then([asked()]);
    let failed = [before(), vec![eligible(), ended(Ending::ScreenFailed)]].concat();
    for refused in [randomise("f"), confirm_later()] {
        record(failed.clone()).when(refused).rejected("participation-ended");
    }
}

fn confirm_later() -> Command {
    Command::ConfirmEligibility { on: day("2026-11-21") }
}
