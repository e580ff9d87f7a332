use super::queries::{item, started};
use super::*;

fn verified() -> Event {
    Event::Verified { form: form(), items: vec![item("SYSBP")] }
}

fn verify(items: Vec<ItemKey>) -> Command {
    Command::Verify { form: form(), items }
}

fn monitor(news: impl IntoIterator<Item = Event>) -> Given<Participant> {
    started(news).by(principal(Role::Monitor, 5))
}

#[test]
fn values_are_verified_one_by_one_or_all_that_are_saved() {
    monitor([]).when(verify(vec![])).then([verified()]);
    monitor([]).when(verify(vec![item("SYSBP")])).then([verified()]);
    monitor([verified()]).when(verify(vec![])).then([]);
    monitor([]).when(verify(vec![item("AETERM")])).rejected("nothing-there");
    record([registered(), consented()]).when(verify(vec![])).rejected("nothing-there");
    let removed = Event::FormRemoved { form: form(), reason: super::queries::text("not his") };
    monitor([removed]).when(verify(vec![])).rejected("nothing-there");
}

#[test]
fn whoever_saved_a_value_does_not_verify_it() {
    // Facts of these tests are recorded by nobody: the one with the id of all zeros.
    started([]).by(principal(Role::Monitor, 0)).when(verify(vec![])).rejected("own-entry");
}

#[test]
fn a_verification_is_withdrawn_with_a_reason() {
    let withdraw = |why: &str| Command::WithdrawVerification { form: form(), items: vec![], reason: why.into() };
    let reason = super::queries::text("wrong person");
    let withdrawn = Event::VerificationWithdrawn { form: form(), items: vec![item("SYSBP")], reason };
    monitor([verified()]).when(withdraw("wrong person")).then([withdrawn.clone()]);
    monitor([verified()]).when(withdraw(" ")).rejected("reason-required");
    monitor([]).when(withdraw("wrong person")).then([]);
    monitor([verified(), withdrawn]).when(verify(vec![])).then([verified()]);
}

#[test]
fn a_change_resets_verification_and_review_in_the_same_commit() {
    let reviewed = Event::Reviewed { form: form(), group: crate::testing::label("medical") };
    let review = Command::ReviewForm { form: form(), group: crate::testing::label("medical") };
    monitor([]).when(review.clone()).then([reviewed.clone()]);
    monitor([reviewed.clone()]).when(review.clone()).then([]);
    let change = save(vec![to_save("SYSBP", Some("130"), Some("typo"))]);
    let facts = started([verified(), reviewed.clone()]).expecting(3).when(change).facts();
    let reset = Event::VerificationReset { form: form(), items: vec![item("SYSBP")] };
    let unreviewed = Event::ReviewReset { form: form(), groups: vec![crate::testing::label("medical")] };
    assert!(matches!(&facts[..], [Event::ItemsSaved { .. }, one, two] if *one == reset && *two == unreviewed));
    monitor([verified(), reviewed.clone(), reset, unreviewed.clone()]).when(verify(vec![])).then([verified()]);
    monitor([reviewed.clone(), unreviewed]).when(review).then([reviewed.clone()]);
    let other = save(vec![to_save("AETERM", Some("x"), None)]);
    let facts = started([verified()]).expecting(3).when(other).facts();
    assert!(!facts.iter().any(|fact| matches!(fact, Event::VerificationReset { .. })), "another item");
}
