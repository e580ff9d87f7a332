//! A small study.

use domain::Day;
use domain::design::{StudyDesign, content_hash};
use domain::design_part::{self, parts_of};
use domain::history::{Aggregate, CommitHash, StreamId};
use domain::ids::{Environment, Oid};
use domain::participant::{
    CheckOutcome, Ending, Event, Factor, FormKey, ItemKey, ItemPlace, Meaning, Place, QueryKind, Severity, SignedForm,
    VisitKey,
};
use domain::permit::Role;
use domain::scope::{Personal, Scope};
use domain::study;
use serde_json::json;
use time::macros::{date, datetime};
use time::{Date, OffsetDateTime};

use crate::testing::{Story, label, site, tenant};

/// Screening, one visit two weeks later, and visits beside. LAB stands under a condition, KIT tells the arm, and a check
/// at NOTE reads it.
pub(super) fn design() -> StudyDesign {
    let must = |oid: &str| json!({"oid": oid, "mandatory": true});
    let item = |oid: &str, data_type: &str| json!({"oid": oid, "name": oid, "data_type": data_type});
    let design = json!({
        "name": "Cardio", "version": "1",
        "visits": [
            {"oid": "SCREEN", "name": "Screening", "window": {"days": 0, "late": 3}, "forms": [must("VS")]},
            {"oid": "V1", "name": "Week 2", "window": {"after": "SCREEN", "days": 14, "early": 2, "late": 2},
                "forms": [must("VS"), {"oid": "AE"}, {"oid": "LAB", "mandatory": true, "skip_condition": "C"}]},
            {"oid": "UNS", "name": "Unscheduled", "repeating": true, "forms": [must("VS")]},
        ],
        "forms": [
            {"oid": "VS", "name": "Vital signs", "sdv": "all", "signature": true, "item_groups": [must("G")]},
            {"oid": "AE", "name": "Adverse event", "item_groups": [must("G")]},
            {"oid": "LAB", "name": "Laboratory", "item_groups": [must("G")]},
        ],
        "item_groups": [{"oid": "G", "name": "Values", "repeating": true,
            "items": [must("SYSBP"), must("PULSE"), {"oid": "NOTE"}, {"oid": "KIT"}, {"oid": "BORN"}]}],
        "items": [item("SYSBP", "integer"), item("PULSE", "integer"), item("NOTE", "text"),
            {"oid": "KIT", "name": "Kit", "data_type": "text", "blinded": true},
            {"oid": "BORN", "name": "Born", "data_type": "date", "identifier": true}],
        "conditions": [{"oid": "C", "name": "no laboratory", "expressions": []}],
        "checks": [{"oid": "NOTE-OF-KIT", "name": "x", "form": "VS", "group": "G", "item": "NOTE", "hard": false,
            "expression": "item('KIT') != ''"}],
    });
    serde_json::from_value(design).expect("a design")
}

/// The study, live at two sites, before anybody is registered.
pub(super) fn live() -> Story {
    let mut story = Story::new();
    story.at(datetime!(2026-11-02 08:00 UTC));
    let bytes = design().bytes();
    let mut parts = Vec::new();
    for part in parts_of(std::str::from_utf8(&bytes).expect("text")) {
        let hash = content_hash(part.0.as_bytes());
        let stream = StreamId::in_study(&tenant(), &Story::study_id(), Aggregate::DesignPart, hash);
        story.commit(stream, &[design_part::Event::Stored { content: part }]);
        parts.push(hash);
    }
    let design = design().hash();
    story.study(study::Event::Created { name: label("Cardio"), environment: Environment::Test });
    for id in ["oslo", "bergen"] {
        story.study(study::Event::SiteOpened { site: site(id), name: label(id) });
    }
    story.study(study::Event::DesignPublished { design, version: label("1"), parts });
    story.study(study::Event::WentLive { design });
    let by = Day(date!(2026 - 12 - 02));
    story.study(study::Event::EnrolmentTargetSet { site: site("oslo"), participants: 12, by });
    story
}

/// Four participants: P1 with values, P2 and P4 with a visit, P3 who left before consent.
pub(super) fn story() -> Story {
    let mut story = live();
    story.at(datetime!(2026-11-03 09:00 UTC));
    for (n, at) in [(1, "oslo"), (2, "oslo"), (3, "bergen"), (4, "oslo")] {
        story.registered(n, at);
        story.participant(n, Event::DesignAssigned { design: design().hash() });
    }
    story.consented(1);
    story.consented(4);
    story.participant(4, started("SCREEN", date!(2026 - 11 - 03)));
    story.at(datetime!(2026-11-05 09:00 UTC));
    story.participant(1, started("SCREEN", date!(2026 - 11 - 04)));
    story.consented(2);
    story.participant(2, asked("q2", Place::Participant));
    story.participant(3, Event::Withdrawn { reason: None });
    story.at(datetime!(2026-11-06 09:00 UTC));
    story.participant(2, started("SCREEN", date!(2026 - 11 - 10)));
    story.at(datetime!(2026-11-18 09:00 UTC));
    story.participant(1, started("V1", date!(2026 - 11 - 18)));
    values_of_the_first(&mut story);
    story
}

fn values_of_the_first(story: &mut Story) {
    let (vs, text) = (Story::form("VS"), || Personal::new("agreed".to_owned()));
    let query = || "q1".parse().expect("valid");
    story.at(datetime!(2026-11-21 09:00 UTC));
    let values = [("SYSBP", Scope::HealthClinical, "900"), ("NOTE", Scope::HealthFreeText, "rests")];
    story.saved(1, "VS", &values[..1]);
    story.participant(1, fired("SYSBP"));
    story.participant(1, asked("q1", item("SYSBP")));
    let sysbp = || vec![key("SYSBP")];
    story.participant(1, Event::Verified { form: vs.clone(), items: sysbp() });
    story.participant(1, signed("s1", &vs));
    story.at(datetime!(2026-11-21 15:00 UTC));
    story.participant(1, Event::QueryAnswered { query: query(), text: text() });
    story.participant(1, Event::QueryClosed { query: query(), by_check: false, text: Some(text()) });
    story.at(datetime!(2026-11-22 09:00 UTC));
    story.changed(1, "VS", ("SYSBP", Scope::HealthClinical, "901"), "misread");
    story.participant(1, fired("SYSBP"));
    story.participant(1, Event::VerificationReset { form: vs.clone(), items: sysbp() });
    story.participant(1, Event::SignatureDropped { signature: "s1".parse().expect("valid"), place: Place::Form(vs) });
    story.participant(1, Event::QueryReopened { query: query(), text: text() });
    story.saved(1, "VS", &values[1..]);
}

pub(super) fn started(visit: &str, on: Date) -> Event {
    let visit = VisitKey { visit: oid(visit), visit_repeat: 1 };
    Event::VisitStarted { visit, on: Personal::new(Day(on)), reason: None }
}

pub(super) fn ended(how: Ending) -> Event {
    let reason = Some(Personal::new("so".to_owned()));
    Event::ParticipationEnded { how, on: Personal::new(Day(date!(2026 - 11 - 20))), reason }
}

pub(super) fn asked(query: &str, place: Place) -> Event {
    let (kind, by) = (QueryKind::Manual, Role::Monitor);
    let query = query.parse().expect("valid");
    Event::QueryOpened { query, kind, place, check: None, by, to: None, candidate: false, text: None }
}

pub(super) fn fired(item: &str) -> Event {
    let check = format!("range:{item}:0").parse().expect("valid");
    let (severity, outcome) = (Severity::Soft, CheckOutcome::Accepted);
    let (form, item) = (Story::form("VS"), key(item));
    Event::CheckFired { form, item, check, severity, outcome, value: None, at: None, message: None }
}

pub(super) fn signed(signature: &str, form: &FormKey) -> Event {
    Event::Signed {
        signature: signature.parse().expect("valid"),
        place: Place::Form(form.clone()),
        meaning: Meaning::Responsibility,
        forms: vec![SignedForm { form: form.clone(), tag: domain::history::Revision(1) }],
        design: CommitHash([1; 32]),
        digest: CommitHash([2; 32]),
        factors: vec![Factor::Token],
        printed_name: Personal::new("Ada Lovelace".to_owned()),
    }
}

pub(super) fn item(item: &str) -> Place {
    Place::Item(ItemPlace::of(&Story::form("VS"), &key(item)))
}

pub(super) fn key(item: &str) -> ItemKey {
    ItemKey { group: oid("G"), group_repeat: 1, item: oid(item) }
}

fn oid(text: &str) -> Oid {
    text.parse().expect("valid")
}

/// So many days into the study.
pub(super) fn day(n: i64) -> OffsetDateTime {
    datetime!(2026-11-03 09:00 UTC) + time::Duration::days(n)
}
