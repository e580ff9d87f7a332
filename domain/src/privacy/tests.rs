//! Given orders, when a command, then facts or a code. [`kept`]: what retention and restriction keep; [`redaction`]:
//! one value alone; [`copies`]: what the keys wait for.

use super::*;
use crate::history::Revision;
use crate::ids::SubjectNumber;
use crate::participant;
use crate::permit::{Principal, Role, Sites};
use crate::scope::{Erasable, Plain};
use crate::testing::{Given, given, principal, site};
use uuid::Uuid;

mod copies;
mod kept;
mod redaction;

const E: ErasureId = ErasureId(Uuid::from_u128(1));
const F: ErasureId = ErasureId(Uuid::from_u128(2));
const H: HoldId = HoldId(Uuid::from_u128(3));

fn registered() -> Person {
    let subject_number: SubjectNumber = "001".parse().expect("valid");
    let mut person = Person::default();
    person
        .participant
        .evolve(&participant::Event::Registered { site: site("oslo"), subject_number }, Revision(1).into());
    person
}

fn orders(events: impl IntoIterator<Item = Event>) -> Given<Privacy> {
    given::<Privacy>(events).governed(registered()).by(dpo())
}

fn dpo() -> Principal {
    principal(Role::Dpo, 1)
}

fn controller() -> Principal {
    principal(Role::Controller, 2)
}

fn platform() -> Principal {
    Principal::system(crate::testing::tenant(), crate::ids::Environment::Test)
}

fn day(text: &str) -> Day {
    serde_json::from_value(text.into()).expect("a day")
}

fn why() -> Option<Plain> {
    Some("because".into())
}

fn hold(scopes: &[Scope]) -> Command {
    let authority = "court-14".parse().expect("valid");
    let scopes = Some(scopes.iter().copied().collect());
    Command::PlaceHold { hold: H, scopes, authority, review_on: day("2027-01-31"), reason: why() }
}

fn held(scopes: &[Scope]) -> Event {
    let authority = "court-14".parse().expect("valid");
    Event::HoldPlaced { hold: H, scopes: scopes.to_vec(), authority, review_on: day("2027-01-31"), reason: None }
}

fn request(scopes: &[Scope]) -> Command {
    let scopes = Some(scopes.iter().copied().collect());
    let values = BTreeSet::new();
    Command::RequestErasure { erasure: E, scopes, values, justification: Justification::ConsentWithdrawn, reason: None }
}

fn requested(erasure: ErasureId, scopes: &[Scope]) -> Event {
    Event::ErasureRequested {
        erasure,
        scopes: scopes.to_vec(),
        values: vec![],
        justification: Justification::ConsentWithdrawn,
        requested_by: crate::ids::UserId(Uuid::from_u128(1)),
        reason: None,
    }
}

fn granted(erasure: ErasureId, scopes: &[Scope]) -> Event {
    Event::ErasureAssessed { erasure, granted: scopes.to_vec(), values: vec![], refused: vec![] }
}

fn refused(scope: Scope, ground: RefusalGround, hold: Option<HoldId>, until: Option<Day>) -> RefusedScope {
    RefusedScope { scope, part: None, ground, hold, rule: None, until, after: None }
}

fn by_hold(scope: Scope) -> RefusedScope {
    refused(scope, RefusalGround::LegalHold, Some(H), Some(day("2027-01-31")))
}

fn approve() -> Command {
    Command::ApproveErasure {
        erasure: E,
        instruction: "DPA-2026/14".parse().expect("valid"),
        accept_single_copy: false,
    }
}

fn approved(accept_single_copy: bool) -> Event {
    Event::ErasureApproved {
        erasure: E,
        approved_by: crate::ids::UserId(Uuid::from_u128(2)),
        instruction: "DPA-2026/14".parse().expect("valid"),
        accept_single_copy,
    }
}

/// An erasure of contact and names, approved, with the single copy accepted, and as many further facts.
fn carried_out(steps: usize) -> Vec<Event> {
    let all = [
        requested(E, &CONTACT_AND_NAMES),
        granted(E, &CONTACT_AND_NAMES),
        approved(true),
        Event::ErasureBegun { erasure: E },
        Event::ErasureCommitted { erasure: E },
        Event::KeysDestroyed {
            erasure: E,
            keys: 2,
            root_before: 1,
            root_after: 2,
            destroyed: destroyed(),
            copy: TreeCopies::Single,
        },
        Event::DerivedPurged { erasure: E },
        Event::RecipientsNotified { erasure: E, recipients: 0 },
        Event::ErasureVerified { erasure: E, probed: 2, controls: 1 },
        Event::ErasureCompleted { erasure: E, certificate: Some(CERTIFICATE) },
    ];
    all.into_iter().take(3 + steps).collect()
}

const CERTIFICATE: CommitHash = CommitHash([7; 32]);

/// One key of each, under a new root.
fn destroyed() -> Vec<TargetKeys> {
    CONTACT_AND_NAMES.map(|scope| TargetKeys { scope, part: None, keys: 1, root_before: 1, root_after: 2 }).to_vec()
}

const CONTACT_AND_NAMES: [Scope; 2] = [Scope::IdentityContact, Scope::IdentityCodeList];

fn record(step: Step) -> Command {
    Command::RecordProgress { erasure: E, step }
}

fn steps() -> [Step; 7] {
    [
        Step::Begun {},
        Step::Committed {},
        Step::KeysDestroyed { destroyed: destroyed(), copy: TreeCopies::Single },
        Step::DerivedPurged {},
        Step::RecipientsNotified { recipients: 0 },
        Step::Verified { probed: 2, opened: 0, controls: 1, controls_opened: 1 },
        Step::Completed { certificate: CERTIFICATE },
    ]
}

#[test]
fn an_erasure_is_assessed_as_it_is_asked_for() {
    let scopes = [Scope::IdentityContact, Scope::HealthClinical];
    orders([]).when(request(&scopes)).then([requested(E, &scopes), granted(E, &scopes)]);
    orders([held(&[Scope::HealthClinical])]).when(request(&scopes)).then([
        requested(E, &scopes),
        Event::ErasureAssessed {
            erasure: E,
            granted: vec![Scope::IdentityContact],
            values: vec![],
            refused: vec![by_hold(Scope::HealthClinical)],
        },
    ]);
    let refused = Event::ErasureRefused { erasure: E, ground: RefusalGround::LegalHold, reason: None };
    orders([held(&[Scope::HealthClinical])]).when(request(&[Scope::HealthClinical])).then([
        requested(E, &[Scope::HealthClinical]),
        Event::ErasureAssessed {
            erasure: E,
            granted: vec![],
            values: vec![],
            refused: vec![by_hold(Scope::HealthClinical)],
        },
        refused,
    ]);
}

#[test]
fn without_a_list_everything_is_meant_that_is_not_erased() {
    let all = |erasure| Command::RequestErasure {
        erasure,
        scopes: None,
        values: BTreeSet::new(),
        justification: Justification::ConsentWithdrawn,
        reason: None,
    };
    let everything: Vec<_> = Scope::of_participants().collect();
    orders([]).when(all(E)).then([requested(E, &everything), granted(E, &everything)]);
    let rest: Vec<_> = Scope::of_participants().filter(|scope| !CONTACT_AND_NAMES.contains(scope)).collect();
    orders(carried_out(7)).when(all(F)).then([requested(F, &rest), granted(F, &rest)]);
    orders(carried_out(0)).when(all(F)).rejected("erasure-pending");
}

#[test]
fn a_request_names_scopes_that_a_participant_has_and_still_has() {
    orders([]).when(request(&[])).rejected("no-scope");
    orders([]).when(request(&[Scope::UserProfile])).rejected("foreign-scope");
    let again = Command::RequestErasure {
        erasure: F,
        scopes: Some([Scope::IdentityContact].into()),
        values: BTreeSet::new(),
        justification: Justification::Objection,
        reason: None,
    };
    orders(carried_out(0)).when(again.clone()).rejected("erasure-pending");
    orders(carried_out(1)).when(again).rejected("already-erased");
    orders(carried_out(0)).when(request(&[Scope::HealthClinical])).rejected("erasure-exists");
    orders(carried_out(0)).when(request(&CONTACT_AND_NAMES)).then([]);
}

#[test]
fn an_erasure_takes_two_persons() {
    let before = || orders([requested(E, &CONTACT_AND_NAMES), granted(E, &CONTACT_AND_NAMES)]);
    before().by(principal(Role::Controller, 1)).when(approve()).rejected("same-person");
    let mut program = controller();
    program.actor.kind = crate::history::ActorKind::ServiceAccount;
    before().by(program.clone()).when(approve()).rejected("not-a-person");
    orders([]).by(program).when(request(&CONTACT_AND_NAMES)).rejected("not-a-person");
    before().by(controller()).when(approve()).then([approved(false)]);
    let other =
        Command::ApproveErasure { erasure: E, instruction: "X".parse().expect("valid"), accept_single_copy: false };
    orders(carried_out(0)).by(controller()).when(other).rejected("approved-otherwise");
    orders([]).by(controller()).when(approve()).rejected("no-such-erasure");
}

#[test]
fn the_steps_have_one_order_and_each_counts_once() {
    for (at, _) in steps().iter().enumerate() {
        for (n, step) in steps().into_iter().enumerate() {
            let outcome = orders(carried_out(at)).by(platform()).when(record(step));
            match n.cmp(&at) {
                std::cmp::Ordering::Less => outcome.then([]),
                std::cmp::Ordering::Equal => outcome.then([carried_out(7)[3 + n].clone()]),
                std::cmp::Ordering::Greater => outcome.rejected("out-of-order"),
            }
        }
    }
}

#[test]
fn what_is_to_be_done_next_follows_from_the_stage() {
    let next = |steps: usize| {
        let mut state = Privacy::default();
        carried_out(steps).iter().for_each(|event| state.evolve(event, Revision(1).into()));
        state.next(E).expect("there is one")
    };
    let scopes = || Extent::of_scopes(CONTACT_AND_NAMES);
    let doomed = Doomed { extent: scopes(), destroy: Destroy::SingleCopyAccepted, not_before: None };
    assert_eq!(next(0), Next::Begin);
    assert_eq!(next(1), Next::Commit(scopes()));
    assert_eq!(next(2), Next::DestroyKeys(doomed));
    assert_eq!(next(3), Next::PurgeDerived(scopes()));
    assert_eq!(next(4), Next::NotifyRecipients(scopes()));
    assert_eq!(next(5), Next::Verify(scopes()));
    assert_eq!(next(6), Next::Complete);
    assert_eq!(next(7), Next::Nothing);
}

#[test]
fn without_a_copy_elsewhere_the_keys_wait_for_a_word() {
    let mut facts = carried_out(2);
    facts[2] = approved(false);
    let destroy = record(Step::KeysDestroyed { destroyed: destroyed(), copy: TreeCopies::Single });
    orders(facts.clone()).by(platform()).when(destroy.clone()).rejected("no-off-site-copy");
    let mut state = Privacy::default();
    facts.iter().for_each(|event| state.evolve(event, Revision(1).into()));
    let Some(Next::DestroyKeys(doomed)) = state.next(E) else { panic!("{:?}", state.next(E)) };
    assert_eq!(doomed.destroy, Destroy::WaitsForOffSite);
    let accepted = Event::SingleCopyAccepted { erasure: E };
    let accept = Command::AcceptSingleCopy { erasure: E };
    orders(facts.clone()).by(controller()).when(accept.clone()).then([accepted.clone()]);
    facts.push(accepted);
    orders(facts).by(platform()).when(destroy).then([carried_out(3)[5].clone()]);
    orders([requested(E, &CONTACT_AND_NAMES), granted(E, &CONTACT_AND_NAMES)])
        .by(controller())
        .when(accept)
        .rejected("out-of-order");
}

#[test]
fn what_still_opens_is_not_verified() {
    let tried = |probed, opened, controls| Step::Verified { probed, opened, controls: 1, controls_opened: controls };
    let verify = |probed, opened| record(tried(probed, opened, 1));
    orders(carried_out(5)).by(platform()).when(record(tried(2, 0, 0))).rejected("nothing-opens");
    orders(carried_out(5)).by(platform()).when(verify(2, 1)).rejected("still-readable");
    orders(carried_out(5)).by(platform()).when(verify(1, 0)).rejected("probe-incomplete");
    orders(carried_out(5)).by(platform()).when(verify(0, 0)).rejected("probe-incomplete");
}

#[test]
fn a_hold_wins_until_the_erasure_has_begun_and_never_after() {
    let contact = [Scope::IdentityContact];
    let facts = orders(carried_out(0)).when(hold(&contact)).facts();
    let reassessed = Event::ErasureAssessed {
        erasure: E,
        granted: vec![Scope::IdentityCodeList],
        values: vec![],
        refused: vec![by_hold(Scope::IdentityContact)],
    };
    assert_eq!(facts[1..], [reassessed]);
    let after = || carried_out(0).into_iter().chain(facts.clone());
    orders(after()).by(platform()).when(record(Step::Begun {})).rejected("out-of-order");
    assert_eq!(orders(after()).by(controller()).when(approve()).facts().len(), 1);
    for steps in 1..=7 {
        orders(carried_out(steps)).when(hold(&contact)).rejected("already-erased");
        assert_eq!(orders(carried_out(steps)).when(hold(&[Scope::HealthClinical])).facts().len(), 1);
    }
}

#[test]
fn a_hold_on_everything_that_was_granted_refuses_the_erasure() {
    let facts = orders(carried_out(0)).when(hold(&CONTACT_AND_NAMES)).facts();
    assert_eq!(facts[2], Event::ErasureRefused { erasure: E, ground: RefusalGround::LegalHold, reason: None });
    let after = || carried_out(0).into_iter().chain(facts.clone());
    orders(after()).by(platform()).when(record(Step::Begun {})).rejected("erasure-was-refused");
    orders(after()).by(controller()).when(approve()).rejected("erasure-was-refused");
}

#[test]
fn even_a_hold_that_reassessed_nothing_stops_an_erasure_from_beginning() {
    let facts = carried_out(0).into_iter().chain([held(&[Scope::IdentityContact])]);
    orders(facts).by(platform()).when(record(Step::Begun {})).rejected("held");
}

#[test]
fn lifting_a_hold_assesses_anew_what_waits_and_starts_nothing() {
    let contact = Scope::IdentityContact;
    let waiting = || {
        let refused = vec![by_hold(contact)];
        let assessed =
            Event::ErasureAssessed { erasure: E, granted: vec![Scope::IdentityCodeList], values: vec![], refused };
        [held(&[contact]), requested(E, &CONTACT_AND_NAMES), assessed]
    };
    let lift = || Command::LiftHold { hold: H, reason: why() };
    let facts = orders(waiting()).by(controller()).when(lift()).facts();
    assert_eq!(facts[1..], [granted(E, &CONTACT_AND_NAMES)]);
    let facts = orders(waiting().into_iter().chain([approved(false)])).by(controller()).when(lift()).facts();
    assert_eq!(facts.len(), 1, "an approval is not widened");
    orders([]).by(controller()).when(lift()).rejected("no-such-hold");
    let lifted = Event::HoldLifted { hold: H, reason: None };
    orders([held(&[contact]), lifted]).by(controller()).when(lift()).then([]);
}

#[test]
fn a_refused_scope_falls_due_with_the_last_of_its_holds() {
    let contact = [Scope::IdentityContact];
    let other = HoldId(Uuid::from_u128(4));
    let earlier = Event::HoldPlaced {
        hold: other,
        scopes: contact.to_vec(),
        authority: "court-15".parse().expect("valid"),
        review_on: day("2026-12-24"),
        reason: None,
    };
    let facts = orders([held(&contact), earlier]).when(request(&contact)).facts();
    let Event::ErasureAssessed { refused, .. } = &facts[1] else { panic!("{facts:?}") };
    assert_eq!(refused[..], [by_hold(Scope::IdentityContact)]);
}

#[test]
fn an_approval_that_falls_does_not_take_what_another_erasure_has_taken() {
    let contact = Scope::IdentityContact;
    let health = Scope::HealthClinical;
    // E: names and health granted, contact held; approved. The hold is lifted; F takes contact.
    let asked = [contact, Scope::IdentityCodeList, health];
    let first = Event::ErasureAssessed {
        erasure: E,
        granted: vec![Scope::IdentityCodeList, health],
        values: vec![],
        refused: vec![by_hold(contact)],
    };
    let lifted = Event::HoldLifted { hold: H, reason: None };
    let facts = [
        held(&[contact]),
        requested(E, &asked),
        first,
        approved(false),
        lifted,
        requested(F, &[contact]),
        granted(F, &[contact]),
    ];
    let authority = "court-15".parse().expect("valid");
    let other = Command::PlaceHold {
        hold: HoldId(Uuid::from_u128(4)),
        scopes: Some([health].into()),
        authority,
        review_on: day("2027-01-31"),
        reason: why(),
    };
    let facts = orders(facts).when(other).facts();
    let [_, Event::ErasureAssessed { erasure: E, granted, refused, .. }] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(granted[..], [Scope::IdentityCodeList]);
    assert_eq!(refused.iter().map(|refused| refused.scope).collect::<Vec<_>>(), [health]);
}

#[test]
fn an_erasure_can_be_refused_until_it_has_begun() {
    let refuse = || Command::RefuseErasure { erasure: E, ground: RefusalGround::Research, reason: why() };
    let facts = orders(carried_out(0)).by(controller()).when(refuse()).facts();
    assert!(matches!(&facts[..], [Event::ErasureRefused { ground: RefusalGround::Research, reason: Some(_), .. }]));
    orders(carried_out(1)).by(controller()).when(refuse()).rejected("too-late");
}

#[test]
fn a_reason_has_a_part_of_its_own_and_is_required_while_texts_are_kept() {
    let restrict = |reason| Command::PlaceRestriction { ground: RestrictionGround::AccuracyContested, reason };
    let facts = orders([]).when(restrict(why())).facts();
    let [Event::RestrictionPlaced { reason: Some(reason), .. }] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(reason.value, Erasable::Known("because".into()));
    assert_ne!(reason.part, crate::scope::Part::all());
    orders([]).when(restrict(None)).rejected("reason-required");
    orders([]).when(restrict(Some(" ".into()))).rejected("reason-required");
    let texts = [Scope::HealthFreeText];
    let mut facts = carried_out(7);
    facts[0] = requested(E, &texts);
    facts[1] = granted(E, &texts);
    orders(facts.clone()).when(restrict(why())).rejected("reason-erased");
    assert_eq!(orders(facts).when(restrict(None)).facts().len(), 1);
}

#[test]
fn there_is_one_restriction_at_a_time() {
    let placed = |ground| Event::RestrictionPlaced { ground, reason: None };
    let place = |ground| Command::PlaceRestriction { ground, reason: why() };
    let before = || orders([placed(RestrictionGround::LegalClaims)]);
    before().when(place(RestrictionGround::LegalClaims)).then([]);
    before().when(place(RestrictionGround::ObjectionPending)).rejected("restricted-otherwise");
    assert_eq!(before().when(Command::LiftRestriction { reason: why() }).facts().len(), 1);
    orders([]).when(Command::LiftRestriction { reason: why() }).then([]);
}

#[test]
fn a_hold_is_placed_once_and_looked_at_in_days_to_come() {
    let contact = [Scope::IdentityContact];
    orders([held(&contact)]).when(hold(&contact)).then([]);
    orders([held(&contact)]).when(hold(&CONTACT_AND_NAMES)).rejected("hold-exists");
    let lifted = Event::HoldLifted { hold: H, reason: None };
    orders([held(&contact), lifted]).when(hold(&contact)).rejected("hold-exists");
    let Command::PlaceHold { hold, scopes, authority, reason, .. } = hold(&contact) else { unreachable!() };
    let past = Command::PlaceHold { hold, scopes, authority, reason, review_on: day("2026-11-21") };
    orders([]).when(past).rejected("review-in-past");
}

#[test]
fn a_participant_of_another_site_is_not_there() {
    let mut elsewhere = principal(Role::Investigator, 1);
    elsewhere.sites = Sites::Only([site("bergen")].into());
    orders([]).by(elsewhere).when(request(&CONTACT_AND_NAMES)).rejected("no-such-participant");
    given::<Privacy>([]).by(dpo()).when(request(&CONTACT_AND_NAMES)).rejected("no-such-participant");
}
