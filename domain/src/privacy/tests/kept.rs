use super::*;
use crate::ids::RuleId;
use crate::study::{Rule, Trigger};
use crate::testing::{label, live_study};

const CLINICAL: Scope = Scope::HealthClinical;
const BOTH: [Scope; 2] = [Scope::IdentityContact, CLINICAL];

fn rule(trigger: Trigger, months: u32) -> Rule {
    let legal_basis = label("Regulation (EU) 536/2014 Art 58");
    let ground = RefusalGround::LegalObligation;
    Rule { scopes: [CLINICAL].into(), trigger, months, legal_basis, ground, allows_redaction: false }
}

fn id(text: &str) -> RuleId {
    text.parse().expect("valid")
}

fn study(rules: impl IntoIterator<Item = (&'static str, Rule)>) -> Study {
    let mut study = live_study();
    if let Study::Live { setup, .. } = &mut study {
        setup.retention.extend(rules.into_iter().map(|(name, rule)| (id(name), Some(rule))));
    }
    study
}

fn completed(mut study: Study, on: &str) -> Study {
    if let Study::Live { setup, .. } = &mut study {
        setup.completed = Some(day(on));
    }
    study
}

fn by_rule(name: &str, until: Option<&str>, after: Option<Trigger>) -> RefusedScope {
    let until = until.map(day);
    RefusedScope { rule: Some(id(name)), after, ..refused(CLINICAL, RefusalGround::LegalObligation, None, until) }
}

fn assessed(granted: &[Scope], refused: Vec<RefusedScope>) -> Event {
    Event::ErasureAssessed { erasure: E, granted: granted.to_vec(), values: vec![], refused }
}

fn assess() -> Command {
    Command::AssessErasure { erasure: E }
}

#[test]
fn a_scope_that_the_study_retains_is_refused_with_its_rule_and_its_date() {
    let open = study([("ctr-58", rule(Trigger::StudyCompleted, 300))]);
    let after = Some(Trigger::StudyCompleted);
    let expected = assessed(&[Scope::IdentityContact], vec![by_rule("ctr-58", None, after)]);
    orders([]).ruled(open.clone()).when(request(&BOTH)).then([requested(E, &BOTH), expected]);
    let over = completed(open, "2026-10-31");
    let expected = assessed(&[Scope::IdentityContact], vec![by_rule("ctr-58", Some("2051-10-31"), None)]);
    orders([]).ruled(over).when(request(&BOTH)).then([requested(E, &BOTH), expected]);
}

#[test]
fn a_rule_that_fell_due_keeps_nothing() {
    for (on, kept) in [("2025-11-22", false), ("2025-11-23", true)] {
        let over = completed(study([("a", rule(Trigger::StudyCompleted, 12))]), on);
        let facts = orders([]).ruled(over).when(request(&BOTH)).facts();
        let Event::ErasureAssessed { refused, .. } = &facts[1] else { panic!("{facts:?}") };
        assert_eq!(refused.len(), usize::from(kept), "{on}");
    }
}

#[test]
fn each_trigger_counts_from_its_own_day() {
    let mut person = registered();
    person.milestones.registered = Some(day("2026-01-31"));
    person.milestones.last_visit = Some(day("2026-02-28"));
    person.milestones.withdrawn = Some(day("2026-03-31"));
    let over = |trigger| completed(study([("a", rule(trigger, 12))]), "2026-04-30");
    for (trigger, until) in [
        (Trigger::Registration, "2027-01-31"),
        (Trigger::LastVisit, "2027-02-28"),
        (Trigger::ConsentWithdrawn, "2027-03-31"),
        (Trigger::StudyCompleted, "2027-04-30"),
    ] {
        let facts = orders([]).governed(person.clone()).ruled(over(trigger)).when(request(&BOTH)).facts();
        let expected = assessed(&[Scope::IdentityContact], vec![by_rule("a", Some(until), None)]);
        assert_eq!(facts[1], expected);
    }
}

#[test]
fn of_several_rules_the_one_counts_that_keeps_longest_and_every_ground_is_told() {
    let rules = [
        ("a", rule(Trigger::Registration, 12)),
        ("b", rule(Trigger::StudyCompleted, 12)),
        ("c", rule(Trigger::StudyCompleted, 24)),
    ];
    let mut person = registered();
    person.milestones.registered = Some(day("2026-01-31"));
    let over = completed(study(rules), "2026-04-30");
    let facts = orders([held(&[CLINICAL])]).governed(person).ruled(over).when(request(&BOTH)).facts();
    let kept = vec![by_hold(CLINICAL), by_rule("c", Some("2028-04-30"), None)];
    assert_eq!(facts[1], assessed(&[Scope::IdentityContact], kept));
}

#[test]
fn what_is_retained_as_a_whole_is_refused_on_the_rules_ground() {
    let open = study([("a", Rule { ground: RefusalGround::Research, ..rule(Trigger::StudyCompleted, 12) })]);
    let facts = orders([]).ruled(open).when(request(&[CLINICAL])).facts();
    assert_eq!(facts[2], Event::ErasureRefused { erasure: E, ground: RefusalGround::Research, reason: None });
}

#[test]
fn a_stricter_rule_stops_approval_and_beginning_until_it_is_assessed_anew() {
    let open = || study([("a", rule(Trigger::StudyCompleted, 12))]);
    let waiting = || vec![requested(E, &BOTH), granted(E, &BOTH)];
    orders(waiting()).ruled(open()).by(controller()).when(approve()).rejected("retained");
    let begin = record(Step::Begun {});
    let after_approval = || waiting().into_iter().chain([approved(false)]);
    orders(after_approval()).ruled(open()).by(platform()).when(begin.clone()).rejected("retained");
    let kept = vec![by_rule("a", None, Some(Trigger::StudyCompleted))];
    let anew = assessed(&[Scope::IdentityContact], kept);
    orders(waiting()).ruled(open()).when(assess()).then([anew.clone()]);
    orders(after_approval()).ruled(open()).by(platform()).when(assess()).then([anew.clone()]);
    let assessed_anew = || after_approval().chain([anew.clone()]);
    orders(assessed_anew()).ruled(open()).by(platform()).when(begin).rejected("out-of-order");
    orders(assessed_anew()).ruled(open()).by(controller()).when(approve()).then([approved(false)]);
    // A milder rule widens what waits, never what was approved.
    orders(assessed_anew()).when(assess()).then([granted(E, &BOTH)]);
    orders(assessed_anew().chain([approved(false)])).when(assess()).then([]);
}

#[test]
fn what_has_begun_or_was_refused_is_not_assessed_any_more() {
    orders(carried_out(1)).when(assess()).rejected("too-late");
    let refused = Event::ErasureRefused { erasure: E, ground: RefusalGround::Research, reason: None };
    orders(carried_out(0).into_iter().chain([refused])).when(assess()).rejected("erasure-was-refused");
    orders([]).when(assess()).rejected("no-such-erasure");
}

#[test]
fn what_the_person_wants_kept_is_not_erased_until_the_restriction_is_lifted() {
    let placed = |ground| Event::RestrictionPlaced { ground, reason: None };
    for ground in [RestrictionGround::UnlawfulProcessing, RestrictionGround::LegalClaims] {
        let facts = orders([placed(ground)]).when(request(&BOTH)).facts();
        assert_eq!(facts[2], Event::ErasureRefused { erasure: E, ground: RefusalGround::Restriction, reason: None });
        let place = Command::PlaceRestriction { ground, reason: why() };
        let facts = orders(carried_out(0)).when(place.clone()).facts();
        assert!(
            matches!(&facts[1..], [Event::ErasureAssessed { granted, .. }, Event::ErasureRefused { .. }] if granted.is_empty())
        );
        assert_eq!(orders(carried_out(1)).when(place).facts().len(), 1, "what has begun goes on");
        let begin = orders(carried_out(0).into_iter().chain([placed(ground)])).by(platform());
        begin.when(record(Step::Begun {})).rejected("wanted-kept");
    }
    for ground in [RestrictionGround::AccuracyContested, RestrictionGround::ObjectionPending] {
        orders([placed(ground)]).when(request(&BOTH)).then([requested(E, &BOTH), granted(E, &BOTH)]);
    }
}

#[test]
fn the_days_of_a_record_are_those_on_which_it_was_captured() {
    use crate::decider::Fold as _;
    use crate::testing::commit;
    use time::macros::datetime;
    let stream =
        crate::history::StreamId::in_tenant(&crate::testing::tenant(), Aggregate::Participant, Uuid::from_u128(7));
    let form = participant::FormKey {
        visit: crate::testing::oid("V1"),
        visit_repeat: 1,
        form: crate::testing::oid("VS"),
        form_repeat: 1,
    };
    let saved =
        || participant::Event::ItemsSaved { form: form.clone(), items: vec![], source: participant::Source::User };
    let subject_number: SubjectNumber = "001".parse().expect("valid");
    let facts = [
        (datetime!(2026-01-01 23:30 -1), participant::Event::Registered { site: site("oslo"), subject_number }),
        (datetime!(2026-03-01 12:00 UTC), saved()),
        (datetime!(2026-02-01 12:00 UTC), saved()),
        (datetime!(2026-04-01 12:00 UTC), participant::Event::Withdrawn { reason: None }),
    ];
    let mut person = Person::default();
    for (n, (captured_at, fact)) in facts.into_iter().enumerate() {
        let mut commit = commit(stream.clone(), n as u64 + 1, &[fact]);
        commit.header.captured_at = captured_at;
        person.apply(&commit).expect("well formed");
    }
    let days = person.milestones;
    assert_eq!(days.registered, Some(day("2026-01-02")), "by the day in UTC");
    assert_eq!(days.last_visit, Some(day("2026-03-01")), "the latest, not the last");
    assert_eq!(days.withdrawn, Some(day("2026-04-01")));
}
