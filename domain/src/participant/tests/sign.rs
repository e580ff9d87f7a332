use super::queries::{answered, at_item, by_check, opened, started, text};
use super::*;
use crate::decider::Command as _;
use crate::history::{Commit, CommitHash};
use crate::ids::{CommandId, SignatureId};
use crate::participant::{Factor, Meaning, Signer, verify_signature};
use proptest::prelude::*;

pub(in crate::participant) fn signature() -> SignatureId {
    SignatureId::of_command(CommandId(uuid::Uuid::from_u128(99)))
}

pub(in crate::participant) fn signed(form: FormKey) -> Event {
    Event::Signed {
        signature: signature(),
        place: Place::Form(form.clone()),
        meaning: Meaning::Responsibility,
        forms: vec![crate::participant::SignedForm { form, tag: Revision(3) }],
        design: CommitHash([1; 32]),
        digest: CommitHash([2; 32]),
        factors: vec![Factor::Token],
        printed_name: Personal::new("Grace Hopper".into()),
    }
}

fn sign(place: Place) -> Command {
    let signer = Signer { printed_name: "Grace Hopper".into(), factors: vec![Factor::Token] };
    Command::Sign { place, meaning: Meaning::Responsibility, signer: Some(signer) }
}

fn change() -> Command {
    save(vec![to_save("SYSBP", Some("130"), Some("typo"))])
}

#[test]
fn a_signature_says_who_answers_for_what_and_means_what() {
    for place in [Place::Participant, Place::Visit(form().visit()), Place::Form(form())] {
        let facts = started([]).when(sign(place.clone())).facts();
        let [Event::Signed { signature: id, place: at, meaning, forms, factors, printed_name, .. }] = &facts[..] else {
            panic!("{facts:?}")
        };
        assert_eq!((id, at, *meaning), (&signature(), &place, Meaning::Responsibility));
        assert_eq!((forms.len(), &forms[0].form, forms[0].tag), (1, &form(), Revision(3)));
        assert_eq!(
            (&factors[..], &printed_name.value),
            (&[Factor::Token][..], &Erasable::Known("Grace Hopper".into()))
        );
    }
}

#[test]
fn nobody_signs_who_was_not_asked_anew_and_no_program_does() {
    let nobody = Command::Sign { place: Place::Form(form()), meaning: Meaning::Approval, signer: None };
    started([]).when(nobody.clone()).rejected("reauthentication-required");
    // A body never names the signer.
    let named = serde_json::json!({"type": "sign", "place": {"level": "participant"}, "meaning": "approval",
        "signer": {"printed_name": "Grace Hopper", "factors": ["password"]}});
    match serde_json::from_value::<Command>(named) {
        Ok(Command::Sign { signer, .. }) => assert_eq!(signer, None),
        Ok(other) => panic!("{}", other.name()),
        Err(_) => {}
    }
    let mut program = principal(Role::Investigator, 1);
    program.actor.kind = crate::history::ActorKind::ServiceAccount;
    started([]).by(program).when(sign(Place::Participant)).rejected("not-a-person");
}

#[test]
fn only_what_is_saved_is_signed_form_by_form_or_more() {
    record([registered(), consented()]).when(sign(Place::Participant)).rejected("nothing-to-sign");
    started([]).when(sign(at_item())).rejected("single-item");
    let removed = Event::FormRemoved { form: form(), reason: super::queries::text("not his") };
    started([removed]).when(sign(Place::Form(form()))).rejected("nothing-to-sign");
}

#[test]
fn a_value_that_a_check_asks_about_is_explained_before_somebody_answers_for_it() {
    started([by_check()]).when(sign(Place::Participant)).rejected("unanswered-checks");
    started([by_check(), answered()]).when(sign(Place::Participant)).facts();
    started([opened(Role::Monitor)]).when(sign(Place::Participant)).facts();
}

#[test]
fn a_frozen_or_locked_form_is_signed_and_one_of_a_locked_database_is_not() {
    let frozen = Event::Frozen { place: Place::Participant, reason: None };
    let locked = Event::Locked { place: Place::Participant, reason: None };
    started([frozen]).when(sign(Place::Form(form()))).facts();
    started([locked]).when(sign(Place::Form(form()))).facts();
    let mut study = live_study();
    if let Study::Live { setup, .. } = &mut study {
        setup.locks.database = crate::study::Database::Locked;
    }
    started([]).governed(study).when(sign(Place::Form(form()))).rejected("database-locked");
}

#[test]
fn a_change_drops_the_signature_in_the_same_commit_and_it_is_to_be_given_again() {
    let dropped = Event::SignatureDropped { signature: signature(), place: Place::Form(form()) };
    let facts = started([signed(form())]).expecting(3).when(change()).facts();
    assert_eq!(facts.last(), Some(&dropped));
    let facts = started([signed(form()), dropped.clone()]).expecting(3).when(change()).facts();
    assert!(!facts.contains(&dropped), "dropped before");
    let mut state = Participant::default();
    let again = |state: &Participant| state.record().map_or(0, |record| record.signatures.to_give_again().count());
    [registered(), consented(), saved("120"), signed(form())].iter().for_each(|e| state.evolve(e, Revision(4).into()));
    assert_eq!(again(&state), 0);
    state.evolve(&dropped, Revision(5).into());
    assert_eq!(again(&state), 1);
    let Event::Signed { place, meaning, forms, design, digest, factors, printed_name, .. } = signed(form()) else {
        panic!("signed")
    };
    let signature = SignatureId::of_command(CommandId(uuid::Uuid::from_u128(100)));
    state.evolve(
        &Event::Signed { signature, place, meaning, forms, design, digest, factors, printed_name },
        Revision(6).into(),
    );
    assert_eq!(again(&state), 0, "given again");
}

#[test]
fn a_visit_on_another_day_or_missed_drops_what_was_signed_of_the_visit_and_not_of_a_form() {
    let visit = form().visit();
    let day = |day: &str| serde_json::from_value(day.into()).expect("a day");
    let took_place = Event::VisitStarted { visit: visit.clone(), on: Personal::new(day("2026-11-20")), reason: None };
    let at = |place: &Place| {
        let Event::Signed { signature, meaning, forms, design, digest, factors, printed_name, .. } = signed(form())
        else {
            panic!("signed")
        };
        Event::Signed { signature, place: place.clone(), meaning, forms, design, digest, factors, printed_name }
    };
    let moved = |on: &str| Command::StartVisit { visit: visit.clone(), on: day(on), reason: Some("misread".into()) };
    let missed = Command::MissVisit { visit: visit.clone(), reason: "the wrong participant".into() };
    let dropped = Event::SignatureDropped { signature: signature(), place: Place::Visit(visit.clone()) };
    for (place, drops) in [(Place::Participant, 1), (Place::Visit(visit.clone()), 1), (Place::Form(form()), 0)] {
        let removed = || Event::FormRemoved { form: form(), reason: text("another's") };
        for (before, command) in [(vec![], moved("2026-11-19")), (vec![removed()], missed.clone())] {
            let news = before.into_iter().chain([took_place.clone(), at(&place)]);
            let facts = started(news).when(command).facts();
            assert_eq!(facts.iter().filter(|fact| **fact == dropped).count(), drops, "{place:?} {facts:?}");
        }
        started([took_place.clone(), at(&place)]).when(moved("2026-11-20")).then([]);
    }
}

#[test]
fn each_signature_is_dropped_once_in_a_commit() {
    let by = |place| Event::SignatureDropped { signature: signature(), place };
    let (first, second) = (by(Place::Form(form())), by(Place::Visit(form().visit())));
    assert_eq!(super::super::sign::once(vec![first.clone(), second, consented()]), [first, consented()]);
}

// --- against the commits

/// A stream in which each command's facts are one commit, chained as the journal does.
struct Stream {
    state: Participant,
    commits: Vec<Commit>,
}

impl Stream {
    fn new() -> Self {
        let mut stream = Self { state: Participant::default(), commits: Vec::new() };
        [registered(), consented()].into_iter().for_each(|fact| stream.append(&[fact]));
        stream
    }

    fn append(&mut self, facts: &[Event]) {
        let id = StreamId::in_tenant(&crate::testing::tenant(), Aggregate::Participant, 1);
        let revision = self.commits.len() as u64 + 1;
        let mut commit = crate::testing::commit(id, revision, facts);
        commit.header.previous = self.commits.last().map_or_else(CommitHash::default, |commit| commit.hash);
        commit.hash = crate::design::content_hash(format!("sealed bytes of commit {revision}").as_bytes());
        facts.iter().for_each(|fact| self.state.evolve(fact, Recorded::of(&commit.header)));
        self.commits.push(commit);
    }

    fn send(&mut self, n: u128, command: &Command) {
        let study = live_study();
        let last = self.commits.last().expect("registered").clone();
        let context = Context {
            now: last.header.stored_at,
            captured_at: last.header.stored_at,
            principal: &principal(Role::Investigator, 1),
            command: CommandId(uuid::Uuid::from_u128(n)),
            stream: &last.header.stream,
            tail: last.tail(),
            expected: Some(self.state.tag(command, Revision::NONE)),
            governing: &study,
            rules: &(),
        };
        let facts = self.state.decide(command, &context).unwrap_or_default();
        if !facts.is_empty() {
            self.append(&facts);
        }
    }

    fn check(&self, id: &SignatureId) -> Option<(bool, bool)> {
        let check = verify_signature(&self.commits, id).expect("well-formed commits")?;
        Some((check.digest, check.chain))
    }
}

fn was_signed() -> (Stream, SignatureId) {
    let mut stream = Stream::new();
    stream.send(1, &save(vec![to_save("SYSBP", Some("120"), None), to_save("AETERM", Some("x"), None)]));
    stream.send(2, &sign(Place::Form(form())));
    stream.send(3, &change());
    (stream, SignatureId::of_command(CommandId(uuid::Uuid::from_u128(2))))
}

#[test]
fn a_signature_is_verified_against_the_commits_when_every_value_is_erased() {
    let (mut stream, id) = was_signed();
    assert_eq!(stream.check(&id), Some((true, true)));
    for event in stream.commits.iter_mut().flat_map(|commit| &mut commit.events) {
        let mut bodies = vec![event.body.to_value()];
        crate::body::split(&mut bodies);
        crate::body::join(&mut bodies, &mut Default::default());
        event.body = bodies.remove(0).into();
    }
    assert_eq!(stream.check(&id), Some((true, true)));
    assert_eq!(stream.check(&signature()), None, "no such signature");
}

#[test]
fn a_record_that_was_tampered_with_before_the_signature_does_not_verify() {
    let (mut stream, id) = was_signed();
    stream.commits[2].hash = CommitHash([9; 32]);
    assert_eq!(stream.check(&id), Some((true, false)), "a commit's bytes");
    let (mut stream, id) = was_signed();
    stream.commits[3].header.actor.id = crate::ids::UserId(uuid::Uuid::from_u128(66));
    assert_eq!(stream.check(&id), Some((false, true)), "who signed");
    let (mut stream, id) = was_signed();
    let Event::ItemsSaved { form, mut items, source } = stream.commits[2].facts().expect("facts").remove(0) else {
        panic!("saved")
    };
    items.pop();
    stream.commits[2].events[0].body = crate::field::Fact::write(&Event::ItemsSaved { form, items, source }).into();
    assert_eq!(stream.check(&id), Some((false, true)), "what was signed");
}

fn acts() -> impl Strategy<Value = Vec<Command>> {
    let value = prop::sample::select(vec![("SYSBP", "120"), ("SYSBP", "130"), ("AETERM", "x"), ("AETERM", "y")]);
    let saves = value.prop_map(|(item, value)| save(vec![to_save(item, Some(value), Some("corrected"))]));
    let places = prop::sample::select(vec![Place::Participant, Place::Visit(form().visit()), Place::Form(form())]);
    let others = prop::sample::select(vec![
        Command::ReviewForm { form: form(), group: crate::testing::label("medical") },
        Command::Freeze { place: Place::Participant, reason: None },
        Command::Unfreeze { place: Place::Participant, reason: "go on".into() },
    ]);
    prop::collection::vec(prop_oneof![3 => saves, 2 => places.prop_map(sign), 1 => others], 1..25)
}

proptest! {
    /// Whatever happens: a signature holds exactly as long as nothing was saved within its place after it, and it can be
    /// verified for ever.
    #[test]
    fn a_signature_holds_if_and_only_if_nothing_that_it_covers_changed_later(acts in acts()) {
        let mut stream = Stream::new();
        acts.iter().enumerate().for_each(|(n, act)| stream.send(n as u128 + 1, act));
        let record = stream.state.record().expect("registered");
        for (id, signature) in &record.signatures.0 {
            let later = stream.commits.iter().filter(|commit| commit.header.revision > signature.signed.revision);
            let facts = later.flat_map(|commit| commit.facts::<Event>().expect("facts"));
            let changed = facts
                .filter(|fact| matches!(fact, Event::ItemsSaved { form, .. } if signature.place.covers_form(form)))
                .count();
            prop_assert_eq!(signature.holds(), changed == 0);
            prop_assert_eq!(stream.check(id), Some((true, true)));
        }
    }
}

#[test]
fn nobody_answers_for_what_is_not_finished() {
    let mut design = crate::testing::design();
    design.item_groups[0].items[1].mandatory = true;
    let reference = design.visits[0].forms[0].clone();
    let other = crate::design::Ref { mandatory: true, oid: oid("AE"), ..reference };
    design.visits[0].forms.push(other);
    design.forms.push(crate::design::FormDef { oid: oid("AE"), ..design.forms[0].clone() });
    let study = crate::testing::live_study_under(design);
    let given = |more: &[Event]| {
        let facts = [&[registered(), consented(), saved("120")], more].concat();
        given::<Participant>(facts).governed(study.clone())
    };
    let said = |place: Place, more: &[Event]| {
        let refused = given(more).when(sign(place)).refusal();
        assert_eq!(refused.code(), "incomplete");
        refused.faults().iter().map(|fault| fault.detail.clone()).collect::<Vec<_>>()
    };
    let item = "AETERM in G (1) of form VS (1) of visit V1 (1) is required";
    let whole = "form AE of visit V1 (1) was not begun";
    assert_eq!(said(Place::Form(form()), &[]), [item]);
    assert_eq!(said(Place::Visit(form().visit()), &[]), [item, whole]);
    assert_eq!(said(Place::Participant, &[]), [item, whole]);
    let Event::ItemsSaved { mut items, .. } = saved("120") else { panic!("saved") };
    (items[0].item, items[0].value, items[0].not_done) = (super::queries::item("AETERM"), None, Some(NotDone::Refused));
    let accounted = Event::ItemsSaved { form: form(), items, source: Source::User };
    assert_eq!(given(std::slice::from_ref(&accounted)).when(sign(Place::Form(form()))).facts().len(), 1);
    assert_eq!(said(Place::Participant, std::slice::from_ref(&accounted)), [whole]);
    let other = FormKey { form: oid("AE"), ..form() };
    let removed = Event::FormRemoved { form: other, reason: super::queries::text("not hers") };
    assert_eq!(given(&[accounted, removed]).when(sign(Place::Participant)).facts().len(), 1);
}
