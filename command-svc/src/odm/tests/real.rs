//! Files of real systems, where they are present.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use domain::decider::{Context, Decider};
use domain::design::{RangeCheck, StudyDesign};
use domain::history::{Actor, ActorKind, Aggregate, Revision, StreamId, Tail};
use domain::ids::{CommandId, Environment, SiteId, TenantId, UserId};
use domain::participant::{CheckOutcome, Command, Event, Participant};
use domain::permit::{Principal, Role, Sites};
use domain::study::{Setup, Study, Versions};
use time::macros::datetime;
use uuid::Uuid;

use super::super::{Limits, Mode, ParticipantData, Report, Severity, plan, read_design, survey};
use super::all_of;

/// A file of `../shared/data`, or none and a line that says which test is skipped.
fn file(test: &str, name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    let bytes = std::fs::read(path).ok();
    if bytes.is_none() {
        println!("skipped: {test} (there is no ../shared/data/{name})");
    }
    bytes
}

fn design(bytes: &[u8]) -> (StudyDesign, Report) {
    let (design, report) =
        read_design(bytes, &Limits::default(), Mode::Lenient).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(design.faults(), []);
    (design, report)
}

fn rule(report: &Report, rule: &str) -> usize {
    report.rows.iter().filter(|row| row.rule == rule).count()
}

fn languages(design: &StudyDesign) -> BTreeSet<&str> {
    let labels = design.visits.iter().map(|visit| &visit.labels).chain(design.items.iter().map(|item| &item.labels));
    let codes = design.code_lists.iter().flat_map(|list| list.codes.iter().map(|code| &code.labels));
    labels.chain(codes).chain(design.units.values()).flat_map(|labels| labels.keys().map(String::as_str)).collect()
}

#[test]
fn the_design_of_a_designer_is_read_whole() {
    let Some(bytes) = file("the_design_of_a_designer_is_read_whole", "odm132_study_ces_metadata.xml") else {
        return;
    };
    let (design, report) = design(&bytes);
    assert_eq!(design.name, "CDISC Example Study");
    assert_eq!(design.version, "CES_MDV_V1");
    let sizes = [design.visits.len(), design.forms.len(), design.item_groups.len(), design.items.len()];
    assert_eq!(sizes, [5, 7, 14, 63]);
    let checks: Vec<_> = design.items.iter().flat_map(|item| &item.range_checks).collect();
    let sizes = [design.code_lists.len(), checks.len(), design.conditions.len(), design.methods.len()];
    assert_eq!(sizes, [12, 14, 13, 1]);
    assert!(checks.iter().any(|check| check.hard) && checks.iter().any(|check| !check.hard));
    assert_eq!(languages(&design), BTreeSet::from(["de", "en", "fr", "it", "ko"]));
    assert_eq!(design.units.len(), 7);
    assert_eq!(rule(&report, "expression-not-executed"), 15);
    assert_eq!(report.counts().refused, 0);
    println!("{report}");
}

#[test]
fn the_design_of_a_capture_system_is_read_whole() {
    let Some(bytes) = file("the_design_of_a_capture_system_is_read_whole", "odm132_openedc_metadata.xml") else {
        return;
    };
    let (design, report) = design(&bytes);
    let sizes = [design.visits.len(), design.forms.len(), design.item_groups.len(), design.items.len()];
    assert_eq!(sizes, [3, 5, 9, 28]);
    assert_eq!(design.items.iter().map(|item| item.range_checks.len()).sum::<usize>(), 8);
    assert_eq!((design.conditions.len(), design.methods.len()), (7, 2));
    let parts: Vec<_> = design.item_groups.iter().flat_map(|group| &group.items).collect();
    let computed: Vec<_> = parts.iter().filter(|part| part.method.is_some()).map(|part| part.oid.as_str()).collect();
    assert_eq!(computed, ["BMI", "I.2"]);
    assert_eq!(languages(&design), BTreeSet::from(["de", "en"]));
    assert_eq!(rule(&report, "expression-not-executed"), 9);
    println!("{report}");
}

#[test]
fn the_values_of_a_capture_system_become_commands_that_the_domain_takes() {
    let test = "the_values_of_a_capture_system_become_commands_that_the_domain_takes";
    let Some(data) = file(test, "odm132_openedc_clinicaldata.xml") else {
        return;
    };
    let Some(metadata) = file(test, "odm132_openedc_metadata.xml") else {
        return;
    };
    let (participants, report) = all_of(data.as_slice(), &Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    let values: usize = participants.iter().map(ParticipantData::values).sum();
    assert_eq!((participants.len(), values), (90, 1684));
    assert_eq!(
        participants.iter().filter(|one| one.audit.as_ref().is_some_and(|audit| audit.at.is_some())).count(),
        90
    );
    assert_eq!((rule(&report, "out-of-place"), report.rows.len()), (90, 90));
    let counted = survey(data.as_slice(), &Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((counted.participants, counted.values), (90, 1684));

    let (mut design, _) = design(&metadata);
    // The file's own ranges hold. What is absurd in it was computed elsewhere, by expressions that are not carried out.
    let bmi = design.items.iter_mut().find(|item| item.oid.as_str() == "BMI").expect("the item is there");
    let (comparator, values) = (Some("GE".to_owned()), vec!["10".to_owned()]);
    let (message, expressions) = (BTreeMap::new(), vec![]);
    bmi.range_checks.push(RangeCheck { comparator, hard: true, values, unit: None, message, expressions });
    let mut left_out = Report::default();
    let (mut planned, mut fired) = (0, 0);
    for participant in &participants {
        let plan = plan(participant, &design);
        planned += plan.values();
        for mut save in plan.steps {
            let refused: BTreeSet<usize> = decide(&design, &save.command)
                .iter()
                .filter_map(|event| match event {
                    Event::CheckFired { outcome: CheckOutcome::Refused, at, .. } => at.map(|at| at as usize),
                    _ => None,
                })
                .collect();
            fired += refused.len();
            save.leave_out(refused);
            if save.items.is_empty() {
                continue;
            }
            let events = decide(&design, &save.command);
            assert!(matches!(events.as_slice(), [Event::ItemsSaved { items, .. }] if items.len() == save.items.len()));
        }
        left_out.append(plan.report);
    }
    assert_eq!(planned + left_out.rows.len(), 1684, "every value is planned or reported");
    assert!(fired > 0, "absurd values fire checks");
    assert!(left_out.rows.iter().all(|row| row.severity == Severity::Refused));
    println!("{planned} planned, {fired} refused by checks, {} left out\n{left_out}", left_out.rows.len());
}

/// What the domain makes of it for somebody who is registered and has given consent.
fn decide(design: &StudyDesign, command: &Command) -> Vec<Event> {
    let site: SiteId = "S1".parse().expect("valid");
    let mut participant = Participant::default();
    let subject_number = "B-001".parse().expect("valid");
    participant.evolve(&Event::Registered { site: site.clone(), subject_number }, Revision(1).into());
    let version = "1.0".parse().expect("valid");
    participant.evolve(&Event::ConsentGiven { version, reference: None }, Revision(2).into());
    let name: domain::ids::Label = "A study".parse().expect("valid");
    let setup = Setup {
        name: name.clone(),
        environment: Environment::Test,
        designs: [(design.hash(), vec![])].into(),
        sites: [(site, name)].into(),
        retention: BTreeMap::new(),
        completed: None,
        versions: Versions { contents: [(design.hash(), Arc::new(design.clone()))].into(), ..Versions::default() },
        locks: Default::default(),
        consents: Default::default(),
        targets: Default::default(),
    };
    let study = Study::Live { setup, design: design.hash() };
    let tenant: TenantId = "acme".parse().expect("valid");
    let organisation = "hospital".parse().expect("valid");
    let actor =
        Actor { id: UserId(Uuid::from_u128(1)), kind: ActorKind::ServiceAccount, role: Role::Integrator, organisation };
    let stream = StreamId::in_tenant(&tenant, Aggregate::Participant, Uuid::from_u128(2));
    let context = Context {
        now: datetime!(2026-11-22 12:00 UTC),
        captured_at: datetime!(2026-11-22 11:00 UTC),
        principal: &Principal { tenant, environment: Environment::Test, actor, sites: Sites::All, session: None },
        command: CommandId(Uuid::from_u128(3)),
        stream: &stream,
        tail: Tail::default(),
        expected: None,
        governing: &study,
        rules: &(),
    };
    participant.decide(command, &context).unwrap_or_else(|refused| panic!("{refused}: {:?}", refused))
}
