//! The clock of these tests: captured on 2026-11-22 at 11:00; facts that are given were captured in 1970, unless a
//! test says otherwise.

use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::decider::Recorded;
use crate::study::Event::{ConsentApproved, ConsentPublished, ConsentRequired};
use crate::testing::label;

fn version(text: &str) -> ConsentVersion {
    text.parse().expect("valid")
}

fn study(facts: &[crate::study::Event]) -> Study {
    let mut study = live_study();
    facts.iter().for_each(|fact| study.evolve(fact, Revision(1).into()));
    study
}

fn published(name: &str, months: Option<u32>) -> [crate::study::Event; 2] {
    let approved = ConsentApproved { version: version(name), site: site("oslo"), reference: label("EC 7") };
    [ConsentPublished { version: version(name), months }, approved]
}

fn required(name: &str, from: &str) -> crate::study::Event {
    ConsentRequired { version: version(name), site: None, from: serde_json::from_value(from.into()).expect("a day") }
}

/// What comes of saving a value, for somebody who gave and withdrew consent at these times.
fn saving(study: &Study, acts: &[(&str, bool, OffsetDateTime)]) -> Result<usize, &'static str> {
    let mut state = Participant::default();
    state.evolve(&registered(), Revision(1).into());
    for (name, given, at) in acts {
        let recorded = Recorded { captured_at: *at, ..Revision(1).into() };
        let fact = match given {
            true => Event::ConsentGiven { version: version(name), reference: None },
            false => Event::ConsentWithdrawn { version: version(name), reason: None },
        };
        state.evolve(&fact, recorded);
    }
    let stream = StreamId::in_tenant(&crate::testing::tenant(), Aggregate::Participant, 1);
    let context = Context {
        now: datetime!(2026-11-22 12:00 UTC),
        captured_at: datetime!(2026-11-22 11:00 UTC),
        principal: &principal(Role::Investigator, 1),
        command: crate::ids::CommandId(uuid::Uuid::nil()),
        stream: &stream,
        tail: Tail::default(),
        expected: None,
        governing: study,
        rules: &(),
    };
    let facts = state.decide(&save(vec![to_save("SYSBP", Some("120"), None)]), &context);
    facts.map(|facts| facts.len()).map_err(|refused| refused.code())
}

#[test]
fn consent_is_given_to_a_published_version_that_the_site_may_use() {
    let give = |name: &str| Command::GiveConsent { version: version(name), reference: None };
    let given_ = |name: &str| Event::ConsentGiven { version: version(name), reference: None };
    let two = study(&[&published("1", None)[..], &published("2", None)[..1]].concat());
    let on = |study: &Study| given::<Participant>([registered()]).governed(study.clone());
    on(&two).when(give("1")).then([given_("1")]);
    on(&two).when(give("2")).rejected("consent-not-approved");
    on(&two).when(give("3")).rejected("no-such-consent-version");
    on(&live_study()).when(give("3")).then([given_("3")]);
    // What is over is given anew.
    let year = study(&published("1", Some(12)));
    given::<Participant>([registered(), given_("1")]).governed(year).when(give("1")).then([given_("1")]);
}

#[test]
fn nothing_is_entered_outside_a_consent_that_holds() {
    let (open, year) = (study(&published("1", None)), study(&published("1", Some(12))));
    let given = |at| [("1", true, at)];
    assert_eq!(saving(&open, &[]), Err("no-consent"));
    assert_eq!(saving(&open, &given(datetime!(2026-11-22 10:59 UTC))), Ok(1));
    assert_eq!(saving(&open, &given(datetime!(2026-11-22 11:01 UTC))), Err("before-consent"));
    assert_eq!(saving(&year, &given(datetime!(2025-11-23 09:00 UTC))), Ok(1));
    assert_eq!(saving(&year, &given(datetime!(2025-11-22 09:00 UTC))), Err("consent-expired"));
    assert_eq!(saving(&live_study(), &given(datetime!(2026-11-22 11:01 UTC))), Ok(1), "no form, no validity");
    // Withdrawn in between, and given again: what was captured then is not covered.
    let (morning, noon) = (datetime!(2026-11-22 08:00 UTC), datetime!(2026-11-22 12:00 UTC));
    let gap = [("1", true, morning), ("1", false, datetime!(2026-11-22 09:00 UTC)), ("1", true, noon)];
    assert_eq!(saving(&open, &gap), Err("consent-expired"));
    assert_eq!(saving(&open, &gap[..2]), Err("consent-withdrawn"));
}

#[test]
fn once_a_newer_version_is_required_an_older_consent_is_not_enough() {
    let both = [published("1", None), published("2", None)].concat();
    let with = |from: &str| study(&[both.clone(), vec![required("2", from)]].concat());
    let early = datetime!(2026-01-01 09:00 UTC);
    assert_eq!(saving(&with("2026-11-23"), &[("1", true, early)]), Ok(1));
    assert_eq!(saving(&with("2026-11-22"), &[("1", true, early)]), Err("re-consent-required"));
    assert_eq!(saving(&with("2026-11-22"), &[("1", true, early), ("2", true, early)]), Ok(1));
    let late = datetime!(2026-11-22 11:30 UTC);
    assert_eq!(saving(&with("2026-11-22"), &[("1", true, early), ("2", true, late)]), Err("re-consent-required"));
}

#[test]
fn withdrawing_consent_is_always_taken() {
    let withdraw = |reason: Option<&str>| Command::WithdrawConsent { reason: reason.map(Into::into) };
    let scopes = vec![Scope::HealthFreeText];
    let fenced = Event::Fenced { erasure: ErasureId(uuid::Uuid::nil()), scopes, values: vec![] };
    let withdrawn = || Event::ConsentWithdrawn { version: version("1.0"), reason: None };
    record([registered(), consented()]).when(withdraw(None)).then([withdrawn()]);
    record([registered(), consented()]).when(withdraw(Some(" "))).then([withdrawn()]);
    record([registered(), consented(), fenced]).when(withdraw(Some("tired"))).then([withdrawn()]);
    record([registered(), consented(), Event::Restricted {}]).when(withdraw(None)).then([withdrawn()]);
    record([registered()]).when(withdraw(None)).then([]);
    record([registered(), consented(), withdrawn()])
        .when(save(vec![to_save("SYSBP", Some("1"), None)]))
        .rejected("consent-withdrawn");
}

#[test]
fn data_is_held_against_the_consent_of_its_visits_day() {
    let day = |text: &str| serde_json::from_value::<crate::Day>(text.into()).expect("a day");
    let year = study(&published("1", Some(12)));
    let on = |visit: Option<&str>| {
        let mut state = Participant::default();
        state.evolve(&registered(), Revision(1).into());
        let given = Recorded { captured_at: datetime!(2025-11-10 09:00 UTC), ..Revision(2).into() };
        state.evolve(&Event::ConsentGiven { version: version("1"), reference: None }, given);
        if let Some(visit) = visit {
            let on = Personal::new(day(visit));
            state.evolve(&Event::VisitStarted { visit: form().visit(), on, reason: None }, Revision(3).into());
        }
        state
    };
    let sent = |state: Participant, command: &Command, study: &Study| {
        let stream = StreamId::in_tenant(&crate::testing::tenant(), Aggregate::Participant, 1);
        let context = Context {
            now: datetime!(2026-11-22 12:00 UTC),
            captured_at: datetime!(2026-11-22 11:00 UTC),
            principal: &principal(Role::Investigator, 1),
            command: crate::ids::CommandId(uuid::Uuid::nil()),
            stream: &stream,
            tail: Tail::default(),
            expected: None,
            governing: study,
            rules: &(),
        };
        let facts = state.decide(command, &context);
        facts.map(|facts| facts.len()).map_err(|refused| refused.code())
    };
    let start = |on: &str| Command::StartVisit { visit: form().visit(), on: day(on), reason: None };
    let entry = save(vec![to_save("SYSBP", Some("120"), None)]);
    let cases = [
        ("2025-11-08", Err("before-consent")),
        ("2025-11-10", Ok(1)),
        ("2026-11-09", Ok(1)),
        ("2026-11-10", Err("consent-expired")),
    ];
    for (on_day, outcome) in cases {
        assert_eq!(sent(on(None), &start(on_day), &year), outcome, "started {on_day}");
        assert_eq!(sent(on(Some(on_day)), &entry, &year), outcome, "saved for {on_day}");
    }
    assert_eq!(sent(on(None), &entry, &year), Err("consent-expired"), "no visit: the day on which it is captured");
    assert_eq!(sent(on(None), &start("2025-11-08"), &live_study()), Ok(1), "no form, no validity");
    assert_eq!(sent(on(None), &start("2026-11-24"), &live_study()), Err("visit-to-come"));
    assert_eq!(sent(on(None), &start("2026-11-23"), &live_study()), Ok(1), "somewhere it is that day already");
}
