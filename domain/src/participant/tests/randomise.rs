//! Who is randomised, once; who is told the arm, by two persons.

use uuid::Uuid;

use super::life::eligible;
use super::*;
use crate::ids::{AllocationId, UnblindingId};
use crate::participant::randomise::Lot;
use crate::randomisation::{Levels, Slot};

fn levels(level: &str) -> Levels {
    Levels([("sex".parse().expect("valid"), level.parse().expect("valid"))].into())
}

fn lot() -> Lot {
    Lot { allocation: AllocationId(Uuid::from_u128(5)), number: "X-1".parse().expect("valid") }
}

pub(super) fn randomise(level: &str) -> Command {
    Command::Randomise { list: "main".parse().expect("valid"), strata: levels(level), drawn: Some(lot()) }
}

pub(super) fn asked() -> Event {
    let Lot { allocation, number } = lot();
    Event::RandomisationAsked {
        list: "main".parse().expect("valid"),
        strata: Personal::new(levels("f")),
        allocation: Personal::new(allocation),
        number: Personal::new(number),
    }
}

fn slot(number: Option<&str>) -> Slot {
    let number = number.map(|number| number.parse().expect("valid"));
    Slot { stratum: 1, slot: 2, arm: "B".parse().expect("valid"), number }
}

pub(super) fn given_slot(number: &str) -> Event {
    Event::Randomised {
        list: "main".parse().expect("valid"),
        number: Personal::new(number.parse().expect("valid")),
        stratum: Personal::new(1),
        slot: Personal::new(2),
        arm: Personal::new("B".parse().expect("valid")),
    }
}

fn give(slot: Option<Slot>) -> Command {
    Command::RecordRandomisation { list: "main".parse().expect("valid"), slot }
}

fn unblinding() -> UnblindingId {
    UnblindingId::of_command(crate::ids::CommandId(Uuid::from_u128(99)))
}

fn why() -> FreeText {
    let part = Part::of_command(crate::ids::CommandId(Uuid::from_u128(99)), 0);
    Personal::in_part(part, Erasable::Known("an overdose".into()))
}

/// A fact by nobody in particular is by the user with the id zero.
fn asker() -> crate::permit::Principal {
    principal(Role::Investigator, 0)
}

fn unblinding_asked() -> Event {
    Event::UnblindingAsked { unblinding: unblinding(), emergency: true, reason: why() }
}

#[test]
fn only_who_consented_and_has_not_left_is_randomised_and_once() {
    record([registered(), consented(), eligible()]).when(randomise("f")).then([asked()]);
    record([registered()]).when(randomise("f")).rejected("no-consent");
    record([]).when(randomise("f")).rejected("no-such-participant");
    record([registered(), consented(), eligible(), Event::Withdrawn { reason: None }])
        .when(randomise("f"))
        .rejected("withdrawn");
    record([registered(), consented(), eligible(), asked()]).when(randomise("f")).then([]);
    record([registered(), consented(), eligible(), asked()])
        .when(randomise("m"))
        .rejected("randomisation-asked-otherwise");
    record([registered(), consented(), eligible(), asked(), given_slot("X-1")])
        .when(randomise("f"))
        .rejected("randomised-already");
    let undrawn = Command::Randomise { list: "main".parse().expect("valid"), strata: levels("f"), drawn: None };
    record([registered(), consented(), eligible()]).when(undrawn).rejected("nothing-drawn");
}

#[test]
fn nobody_is_randomised_whose_record_is_frozen_or_locked() {
    let frozen = Event::Frozen { place: Place::Participant, reason: None };
    let locked = Event::Locked { place: Place::Participant, reason: None };
    record([registered(), consented(), eligible(), frozen]).when(randomise("f")).rejected("frozen");
    record([registered(), consented(), eligible(), locked]).when(randomise("f")).rejected("locked");
}

#[test]
fn nothing_is_asked_of_a_scope_that_is_erased() {
    for scope in [Scope::HealthBlinded, Scope::HealthClinical] {
        let fenced = Event::Fenced { erasure: ErasureId(Uuid::nil()), scopes: vec![scope], values: vec![] };
        record([registered(), consented(), eligible(), fenced.clone()]).when(randomise("f")).rejected("erased");
        record([registered(), consented(), eligible(), asked(), fenced])
            .when(give(Some(slot(None))))
            .rejected("erased");
    }
}

#[test]
fn what_the_list_gave_is_recorded_whatever_came_in_between() {
    let before = || vec![registered(), consented(), eligible(), asked()];
    record(before()).when(give(Some(slot(None)))).then([given_slot("X-1")]);
    record(before()).when(give(Some(slot(Some("K-7"))))).then([given_slot("K-7")]);
    let left = [before(), vec![Event::Withdrawn { reason: None }, Event::Restricted {}]].concat();
    record(left).when(give(Some(slot(None)))).then([given_slot("X-1")]);
    record([registered(), consented(), eligible()]).when(give(Some(slot(None)))).then([]);
    let failed = Event::RandomisationFailed { list: "main".parse().expect("valid") };
    record(before()).when(give(None)).then([failed.clone()]);
    record([before(), vec![failed]].concat()).when(randomise("m")).facts();
}

#[test]
fn the_arm_is_told_to_the_one_who_asked_once_another_person_agreed() {
    let ask = || Command::AskUnblinding { reason: "an overdose".into(), emergency: true };
    let before = || vec![registered(), consented(), eligible(), asked(), given_slot("X-1")];
    let tell = || Command::RecordUnblinding { unblinding: unblinding() };
    let approve = || Command::ApproveUnblinding { unblinding: unblinding() };
    record([registered(), consented(), eligible()]).when(ask()).rejected("not-randomised");
    record(before()).when(ask()).then([unblinding_asked()]);
    record(before()).when(Command::AskUnblinding { reason: " ".into(), emergency: true }).rejected("reason-required");
    record(before()).when(approve()).rejected("no-such-unblinding");
    let with_ask = || [before(), vec![unblinding_asked()]].concat();
    record(with_ask()).by(asker()).when(approve()).rejected("same-person");
    record(with_ask()).by(asker()).when(tell()).rejected("unblinding-not-approved");
    let approved = Event::UnblindingApproved { unblinding: unblinding() };
    record(with_ask()).when(approve()).then([approved.clone()]);
    let with_both = || [with_ask(), vec![approved.clone()]].concat();
    record(with_both()).when(tell()).rejected("not-the-asker");
    record(with_both()).by(asker()).when(tell()).then([Event::Unblinded { unblinding: unblinding() }]);
    // A life may hang on it.
    let left = [with_both(), vec![Event::Withdrawn { reason: None }, Event::Restricted {}]].concat();
    record(left).by(asker()).when(tell()).facts();
    let mut program = asker();
    program.actor.kind = crate::history::ActorKind::ServiceAccount;
    record(with_both()).by(program).when(tell()).rejected("not-a-person");
}

#[test]
fn whoever_learned_the_arm_by_accident_is_on_record() {
    let before = [registered(), consented(), eligible(), asked(), given_slot("X-1")];
    let slip = Command::RecordInadvertentUnblinding { reason: "an overdose".into() };
    record(before).when(slip).then([Event::InadvertentUnblinding { reason: why() }]);
}

#[test]
fn a_blinded_item_is_entered_by_the_unblinded_and_compared_for_nobody_else() {
    let mut design = crate::testing::design();
    design.items[0].blinded = true;
    let study = || crate::testing::live_study_under(design.clone());
    let mut before = saved("120");
    if let Event::ItemsSaved { items, .. } = &mut before {
        items.iter_mut().flat_map(|item| &mut item.value).for_each(|value| value.scope = Scope::HealthBlinded);
    }
    let send = |role, item, value| {
        let given = given::<Participant>([registered(), consented(), before.clone()]).governed(study());
        given.by(principal(role, 1)).when(save(vec![to_save(item, Some(value), None)]))
    };
    for value in ["120", "121"] {
        let refused = send(Role::Investigator, "SYSBP", value).refusal();
        assert_eq!(refused.faults()[0].pointer, "/items/0/item", "the same value or another: the same answer");
    }
    send(Role::Unblinded, "SYSBP", "120").then([]);
    assert_eq!(send(Role::Unblinded, "SYSBP", "121").refusal().faults()[0].pointer, "/items/0/reason");
    send(Role::Unblinded, "AETERM", "headache").rejected("invalid-items");
    // Who saved it knows it, and may send it again.
    let mine = given::<Participant>([registered(), consented(), before.clone()]).governed(study());
    mine.by(principal(Role::Integrator, 0)).when(save(vec![to_save("SYSBP", Some("120"), None)])).then([]);
    // A program enters what it does not see, and is told nothing of what stands there.
    for value in ["120", "121"] {
        let refused = send(Role::Integrator, "SYSBP", value).refusal();
        assert_eq!(refused.faults()[0].pointer, "/items/0/reason", "the same value or another: the same answer");
        let given = given::<Participant>([registered(), consented(), before.clone()]).governed(study());
        let command = save(vec![to_save("SYSBP", Some(value), Some("sent again"))]);
        let mut program = principal(Role::Integrator, 1);
        program.sites = crate::permit::Sites::All;
        assert_eq!(given.by(program).expecting(3).when(command).facts().len(), 1, "{value}");
    }
}
