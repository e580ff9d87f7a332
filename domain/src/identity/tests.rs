use super::*;
use crate::ids::SubjectNumber;
use crate::participant;
use crate::permit::{Role, Sites};
use crate::scope::Part;
use crate::testing::{Given, given, principal, site};
use uuid::Uuid;

fn participant_with(events: impl IntoIterator<Item = participant::Event>) -> Participant {
    let subject_number: SubjectNumber = "001".parse().expect("valid");
    let mut participant = Participant::default();
    participant.evolve(&participant::Event::Registered { site: site("oslo"), subject_number }, Revision(1).into());
    events.into_iter().for_each(|event| participant.evolve(&event, Revision(2).into()));
    participant
}

fn vault(events: impl IntoIterator<Item = Event>) -> Given<Identity> {
    given::<Identity>(events).governed(participant_with([]))
}

fn ada() -> PlainDetails {
    PlainDetails {
        given_name: Some("Ada".into()),
        family_name: Some("Lovelace".into()),
        date_of_birth: Some("1815-12-10".into()),
        email: Some("ada@example.org".into()),
        ..PlainDetails::default()
    }
}

fn record(details: PlainDetails) -> Command {
    Command::Record { details }
}

fn recorded() -> Event {
    let known = ada().present().map(|(detail, plain)| (detail, plain.0.clone())).collect();
    Event::Recorded { details: Details::of(known) }
}

fn email(text: &str) -> PlainDetails {
    PlainDetails { email: Some(text.into()), ..PlainDetails::default() }
}

fn rectify(details: PlainDetails, clear: &[Detail], reason: &str) -> Command {
    let reason = if reason.is_empty() { None } else { Some(reason.into()) };
    Command::Rectify { details, clear: clear.iter().copied().collect(), reason }
}

fn fenced(scopes: &[Scope]) -> Event {
    Event::Fenced { erasure: ErasureId(Uuid::nil()), scopes: scopes.to_vec(), values: vec![] }
}

#[test]
fn a_details_scope_is_the_one_that_its_type_says() {
    let all = Details::of(Detail::ALL.into_iter().map(|detail| (detail, "x".to_owned())).collect());
    let scopes: Vec<_> = all.present().map(|(detail, scope, _)| (detail, scope)).collect();
    assert_eq!(scopes, Detail::ALL.map(|detail| (detail, detail.scope())));
}

#[test]
fn an_identity_is_recorded_once_and_then_rectified() {
    vault([]).when(record(ada())).then([recorded()]);
    vault([recorded()]).when(record(ada())).then([]);
    vault([recorded()]).when(record(email("other@example.org"))).rejected("recorded-otherwise");
    vault([]).when(rectify(email("other@example.org"), &[], "moved")).rejected("nothing-recorded");
    let facts = vault([recorded()]).when(rectify(email("other@example.org"), &[], "moved")).facts();
    let [Event::Rectified { details, cleared, reason: Some(reason) }] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(details.present().count(), 1, "only what changed");
    assert!(cleared.is_empty());
    assert_eq!(reason.value, Erasable::Known("moved".into()));
    assert_ne!(reason.part, Part::all(), "it may name the person, so it can be redacted alone");
}

#[test]
fn what_does_not_change_is_not_a_fact() {
    vault([recorded()]).when(rectify(email("ada@example.org"), &[], "again")).then([]);
    vault([recorded()]).when(rectify(PlainDetails::default(), &[Detail::Telephone], "none")).then([]);
}

#[test]
fn a_detail_can_be_cleared() {
    let facts = vault([recorded()]).when(rectify(PlainDetails::default(), &[Detail::Email], "wrong person")).facts();
    assert!(matches!(&facts[..], [Event::Rectified { cleared, .. }] if cleared[..] == [Detail::Email]));
    let mut state = Identity::default();
    [recorded(), facts[0].clone()].iter().for_each(|event| state.evolve(event, Revision(1).into()));
    let Vault::Recorded { details, .. } = &state.vault else { panic!("recorded") };
    assert!(!details.contains_key(&Detail::Email) && details.contains_key(&Detail::GivenName));
}

#[test]
fn what_does_not_fit_is_refused_by_place() {
    let one = |set: fn(&mut PlainDetails)| {
        let mut details = ada();
        set(&mut details);
        details
    };
    let cases = [
        (one(|d| d.given_name = Some(" ".into())), "/details/given_name"),
        (one(|d| d.family_name = Some("a\nb".into())), "/details/family_name"),
        (one(|d| d.date_of_birth = Some("1815-13-10".into())), "/details/date_of_birth"),
        (one(|d| d.date_of_birth = Some("10.12.1815".into())), "/details/date_of_birth"),
        (one(|d| d.email = Some("ada".into())), "/details/email"),
        (one(|d| d.telephone = Some("call me".into())), "/details/telephone"),
        (one(|d| d.postal_address = Some("x".repeat(1001).into())), "/details/postal_address"),
        (one(|d| d.national_id = Some("".into())), "/details/national_id"),
        (PlainDetails::default(), "/details"),
    ];
    for (details, pointer) in cases {
        let refused = vault([]).when(record(details)).refusal();
        assert_eq!(refused.code(), "invalid-details", "{pointer}");
        let faults = refused.faults();
        assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), [pointer]);
    }
    for good in ["1815", "1815-12", "1815-12-10"] {
        vault([]).when(record(one(|d| d.telephone = Some("+47 (22) 33-44".into())))).facts();
        vault([]).when(record(PlainDetails { date_of_birth: Some(good.into()), ..ada() })).facts();
    }
}

#[test]
fn a_rectification_says_why_and_what() {
    let refused = vault([recorded()]).when(rectify(PlainDetails::default(), &[], "")).refusal();
    let pointers: Vec<_> = refused.faults().into_iter().map(|fault| fault.pointer).collect();
    assert_eq!(pointers, ["/details", "/reason"]);
    vault([recorded()]).when(rectify(email("a@b"), &[Detail::Email], "both")).rejected("invalid-details");
}

#[test]
fn an_erased_scope_takes_nothing_more_and_the_others_do() {
    let telephone = || PlainDetails { telephone: Some("22 33 44 55".into()), ..PlainDetails::default() };
    let name = || PlainDetails { given_name: Some("Augusta".into()), ..PlainDetails::default() };
    let before = || vault([recorded(), fenced(&[Scope::IdentityContact])]);
    before().when(rectify(telephone(), &[], "new")).rejected("erased");
    before().when(rectify(PlainDetails::default(), &[Detail::Email], "gone")).rejected("erased");
    before().when(record(ada())).rejected("erased");
    assert_eq!(before().when(rectify(name(), &[], "as she is called")).facts().len(), 1);
    vault([fenced(&[Scope::IdentityContact])]).when(record(ada())).rejected("erased");
    let marked = participant::Event::Fenced {
        erasure: ErasureId(Uuid::nil()),
        scopes: vec![Scope::IdentityContact],
        values: vec![],
    };
    vault([]).governed(participant_with([marked])).when(record(ada())).rejected("erased");
}

#[test]
fn a_rectification_needs_no_reason_once_texts_are_erased() {
    let before = || vault([recorded(), fenced(&[Scope::HealthFreeText])]);
    before().when(rectify(email("b@example.org"), &[], "moved")).rejected("reason-erased");
    let facts = before().when(rectify(email("b@example.org"), &[], "")).facts();
    assert!(matches!(&facts[..], [Event::Rectified { reason: None, .. }]));
}

#[test]
fn a_fence_stands_even_where_nothing_is_recorded_and_counts_once() {
    let fence = || Command::Fence {
        erasure: ErasureId(Uuid::nil()),
        scopes: [Scope::IdentityContact].into(),
        values: [].into(),
    };
    given::<Identity>([]).when(fence()).then([fenced(&[Scope::IdentityContact])]);
    given::<Identity>([fenced(&[Scope::IdentityContact])]).when(fence()).then([]);
}

#[test]
fn restriction_and_withdrawal_of_the_participant_hold_here_too() {
    let restricted = participant_with([participant::Event::Restricted {}]);
    vault([]).governed(restricted).when(record(ada())).rejected("restricted");
    vault([Event::Restricted {}]).when(record(ada())).rejected("restricted");
    vault([Event::Restricted {}, Event::RestrictionLifted {}]).when(record(ada())).then([recorded()]);
    vault([Event::Restricted {}]).when(Command::Restrict {}).then([]);
    vault([]).when(Command::LiftRestriction {}).then([]);
    let withdrawn = || participant_with([participant::Event::Withdrawn { reason: None }]);
    vault([]).governed(withdrawn()).when(record(ada())).rejected("withdrawn");
    let right = rectify(email("b@example.org"), &[], "moved");
    assert_eq!(vault([recorded()]).governed(withdrawn()).when(right).facts().len(), 1);
}

#[test]
fn a_participant_of_another_site_is_not_there() {
    let mut elsewhere = principal(Role::Investigator, 1);
    elsewhere.sites = Sites::Only([site("bergen")].into());
    vault([]).by(elsewhere).when(record(ada())).rejected("no-such-participant");
    given::<Identity>([]).when(record(ada())).rejected("no-such-participant");
}

#[test]
fn a_stale_tag_is_refused() {
    vault([recorded()]).expecting(7).when(rectify(email("b@example.org"), &[], "moved")).rejected("tag-differs");
    assert_eq!(vault([recorded()]).expecting(1).when(rectify(email("b@example.org"), &[], "moved")).facts().len(), 1);
}

#[test]
fn a_command_does_not_print_its_values() {
    let printed = format!("{:?} {:?}", record(ada()), rectify(ada(), &[], "a secret"));
    assert!(!printed.contains("Ada") && !printed.contains("secret"));
}
