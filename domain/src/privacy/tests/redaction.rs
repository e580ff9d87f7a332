use super::*;
use crate::history::Revision;
use crate::ids::CommandId;
use crate::scope::Part;
use crate::study::{Rule, Trigger};
use crate::testing::{label, live_study};

fn value(n: u128) -> OneValue {
    OneValue { scope: Scope::HealthFreeText, part: Part::of_command(CommandId(Uuid::from_u128(n)), 0) }
}

fn redact(erasure: ErasureId, scopes: Option<&[Scope]>, values: &[OneValue]) -> Command {
    let scopes = scopes.map(|scopes| scopes.iter().copied().collect());
    let values = values.iter().cloned().collect();
    Command::RequestErasure { erasure, scopes, values, justification: Justification::ConsentWithdrawn, reason: None }
}

fn asked(erasure: ErasureId, scopes: &[Scope], values: &[OneValue]) -> [Event; 2] {
    let requested = match requested(erasure, scopes) {
        Event::ErasureRequested { erasure, scopes, justification, requested_by, reason, .. } => {
            let values = values.to_vec();
            Event::ErasureRequested { erasure, scopes, values, justification, requested_by, reason }
        }
        other => other,
    };
    let (granted, values) = (scopes.to_vec(), values.to_vec());
    [requested, Event::ErasureAssessed { erasure, granted, values, refused: vec![] }]
}

#[test]
fn one_value_is_redacted_alone_or_beside_a_scope() {
    orders([]).when(redact(E, None, &[value(1)])).then(asked(E, &[], &[value(1)]));
    let contact = [Scope::IdentityContact];
    orders([]).when(redact(E, Some(&contact), &[value(1)])).then(asked(E, &contact, &[value(1)]));
    let text = [Scope::HealthFreeText];
    orders([]).when(redact(E, Some(&text), &[value(1)])).then(asked(E, &text, &[]));
}

#[test]
fn only_a_value_with_a_key_of_its_own_can_be_redacted() {
    let shared = OneValue { scope: Scope::HealthClinical, part: Part::all() };
    orders([]).when(redact(E, None, &[shared])).rejected("no-key-of-its-own");
    let foreign = OneValue { scope: Scope::UserProfile, part: value(1).part };
    orders([]).when(redact(E, None, &[foreign])).rejected("foreign-scope");
    orders([]).when(redact(E, Some(&[]), &[])).rejected("no-scope");
}

#[test]
fn a_redaction_has_the_whole_way_of_an_erasure() {
    let mut facts = asked(E, &[], &[value(1)]).to_vec();
    facts.extend([approved(true), Event::ErasureBegun { erasure: E }, Event::ErasureCommitted { erasure: E }]);
    let keys = |part| TargetKeys { scope: Scope::HealthFreeText, part, keys: 1, root_before: 1, root_after: 2 };
    let destroy = |part| record(Step::KeysDestroyed { destroyed: vec![keys(part)], copy: TreeCopies::Single });
    orders(facts.clone()).by(platform()).when(destroy(None)).rejected("not-destroyed");
    let part = Some(value(1).part);
    assert_eq!(orders(facts.clone()).by(platform()).when(destroy(part)).facts().len(), 1);
    let mut state = Privacy::default();
    facts.iter().for_each(|event| state.evolve(event, Revision(1).into()));
    assert!(state.is_redacted(&value(1)) && !state.is_redacted(&value(2)));
    assert!(!state.is_forgotten(Scope::HealthFreeText), "everything else of the scope stays");
    orders(facts.clone()).when(redact(F, None, &[value(1)])).rejected("already-erased");
    orders(facts.clone()).when(redact(F, None, &[value(2)])).then(asked(F, &[], &[value(2)]));
    orders(facts).when(redact(F, Some(&[Scope::HealthFreeText]), &[])).then(asked(F, &[Scope::HealthFreeText], &[]));
}

#[test]
fn a_value_waits_for_one_erasure_only() {
    let waiting = || asked(E, &[], &[value(1)]);
    orders(waiting()).when(redact(F, None, &[value(1)])).rejected("erasure-pending");
    orders(waiting()).when(redact(E, None, &[value(1)])).then([]);
    orders(waiting()).when(redact(E, None, &[value(2)])).rejected("erasure-exists");
    orders(waiting()).when(redact(E, None, &[])).rejected("erasure-exists");
    let scope = asked(E, &[Scope::HealthFreeText], &[]);
    orders(scope).when(redact(F, None, &[value(1)])).rejected("erasure-pending");
}

#[test]
fn a_hold_keeps_a_value_and_a_rule_does_unless_it_allows_redaction() {
    let hold = Event::HoldPlaced {
        hold: H,
        scopes: vec![Scope::HealthFreeText],
        authority: "court-14".parse().expect("valid"),
        review_on: day("2027-01-31"),
        reason: None,
    };
    let facts = orders([hold]).when(redact(E, None, &[value(1)])).facts();
    let Event::ErasureAssessed { refused, .. } = &facts[1] else { panic!("{facts:?}") };
    assert_eq!(refused[0], RefusedScope { part: Some(value(1).part), ..by_hold(Scope::HealthFreeText) });
    for allows_redaction in [true, false] {
        let rule = Rule {
            scopes: [Scope::HealthFreeText].into(),
            trigger: Trigger::StudyCompleted,
            months: 300,
            legal_basis: label("ICH E6(R3)"),
            ground: RefusalGround::LegalObligation,
            allows_redaction,
        };
        let mut study = live_study();
        if let Study::Live { setup, .. } = &mut study {
            setup.retention.insert("ich".parse().expect("valid"), Some(rule));
        }
        let whole = orders([]).ruled(study.clone()).when(request(&[Scope::HealthFreeText])).facts();
        assert!(matches!(whole[2], Event::ErasureRefused { .. }), "the scope is kept in either case");
        let one = orders([]).ruled(study).when(redact(E, None, &[value(1)])).facts();
        let Event::ErasureAssessed { values, .. } = &one[1] else { panic!("{one:?}") };
        assert_eq!(values.len(), usize::from(allows_redaction));
    }
}
