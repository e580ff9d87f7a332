use super::*;
use crate::ids::{CommandId, QueryId};

const BY_MONITOR: Role = Role::Monitor;

pub(super) fn query() -> QueryId {
    QueryId::of_command(CommandId(uuid::Uuid::from_u128(99)), 0)
}

pub(super) fn text(words: &str) -> FreeText {
    Personal::in_part(Part::of_command(CommandId(uuid::Uuid::from_u128(99)), 0), Erasable::Known(words.into()))
}

pub(super) fn item(name: &str) -> ItemKey {
    ItemKey { group: oid("G"), group_repeat: 1, item: oid(name) }
}

pub(super) fn at_item() -> Place {
    Place::Item(ItemPlace::of(&form(), &item("SYSBP")))
}

pub(super) fn opened(by: Role) -> Event {
    Event::QueryOpened {
        query: query(),
        kind: QueryKind::Manual,
        place: at_item(),
        check: None,
        by,
        to: None,
        candidate: false,
        text: Some(text("Sure?")),
    }
}

pub(super) fn by_check() -> Event {
    let Event::QueryOpened { query, place, to, candidate, .. } = opened(Role::System) else { panic!("opened") };
    let check = Some("high".parse().expect("valid"));
    Event::QueryOpened { query, kind: QueryKind::System, place, check, by: Role::System, to, candidate, text: None }
}

pub(super) fn answered() -> Event {
    Event::QueryAnswered { query: query(), text: text("Yes") }
}

pub(super) fn closed(by_check: bool) -> Event {
    Event::QueryClosed { query: query(), by_check, text: None }
}

fn answer() -> Command {
    Command::AnswerQuery { query: query(), text: "Yes".into() }
}

fn close() -> Command {
    Command::CloseQuery { query: query(), text: None }
}

fn reopen() -> Command {
    Command::ReopenQuery { query: query(), text: "No".into() }
}

fn open(place: Place, kind: QueryKind) -> Command {
    Command::OpenQuery { place, kind, text: "Sure?".into(), to: None, candidate: false }
}

pub(super) fn started(news: impl IntoIterator<Item = Event>) -> Given<Participant> {
    record([registered(), consented(), saved("120")].into_iter().chain(news))
}

/// Participants as a role sees them.
fn by(role: Role, news: impl IntoIterator<Item = Event>) -> Given<Participant> {
    started(news).by(principal(role, 5))
}

#[test]
fn a_query_is_opened_answered_by_the_site_and_closed_by_the_group_that_opened_it() {
    by(BY_MONITOR, []).when(open(at_item(), QueryKind::Manual)).then([opened(BY_MONITOR)]);
    let waits = || [opened(BY_MONITOR)];
    by(BY_MONITOR, waits()).when(answer()).rejected("query-for-others");
    by(Role::Coordinator, waits()).when(answer()).then([answered()]);
    let given = || [opened(BY_MONITOR), answered()];
    by(Role::Coordinator, given()).when(answer()).rejected("query-state");
    for other in [Role::Investigator, Role::Coordinator, Role::DataManager] {
        by(other, given()).when(close()).rejected("query-of-others");
    }
    by(BY_MONITOR, given()).when(close()).then([closed(false)]);
    by(BY_MONITOR, waits()).when(close()).then([closed(false)]);
    by(Role::Investigator, [opened(Role::Coordinator)]).when(close()).then([closed(false)]);
    by(BY_MONITOR, [opened(BY_MONITOR), closed(false)]).when(close()).rejected("query-state");
    by(BY_MONITOR, []).when(close()).rejected("no-such-query");
}

#[test]
fn what_was_closed_is_reopened_and_then_waits_again() {
    let reopened = Event::QueryReopened { query: query(), text: text("No") };
    let given = || [opened(BY_MONITOR), closed(false)];
    by(Role::Investigator, given()).when(reopen()).rejected("query-of-others");
    by(BY_MONITOR, given()).when(reopen()).then([reopened.clone()]);
    let unsatisfying = || [opened(BY_MONITOR), answered()];
    by(Role::Investigator, unsatisfying()).when(reopen()).rejected("query-of-others");
    by(BY_MONITOR, unsatisfying()).when(reopen()).then([reopened.clone()]);
    let again = || given().into_iter().chain([reopened.clone()]);
    by(BY_MONITOR, again()).when(reopen()).rejected("query-state");
    by(Role::Investigator, again()).when(answer()).then([answered()]);
}

#[test]
fn only_what_nobody_answered_is_cancelled() {
    let cancel = || Command::CancelQuery { query: query(), text: "by mistake".into() };
    let cancelled = Event::QueryCancelled { query: query(), text: text("by mistake") };
    by(BY_MONITOR, [opened(BY_MONITOR)]).when(cancel()).then([cancelled.clone()]);
    by(BY_MONITOR, [opened(BY_MONITOR), answered()]).when(cancel()).rejected("query-state");
    by(Role::DataManager, [opened(BY_MONITOR)]).when(cancel()).rejected("query-of-others");
    by(BY_MONITOR, [opened(BY_MONITOR), cancelled]).when(reopen()).rejected("query-state");
}

#[test]
fn a_forwarded_query_waits_for_the_one_it_went_to() {
    let to = |to| Command::ForwardQuery { query: query(), to, text: None };
    let forwarded = Event::QueryForwarded { query: query(), to: Role::DataManager, text: None };
    by(Role::Investigator, [opened(BY_MONITOR)]).when(to(Role::DataManager)).then([forwarded.clone()]);
    by(Role::DataManager, [opened(BY_MONITOR)]).when(to(Role::DataManager)).rejected("query-for-others");
    by(BY_MONITOR, [opened(BY_MONITOR)]).when(to(Role::Auditor)).rejected("cannot-answer");
    by(Role::Investigator, [opened(BY_MONITOR), forwarded.clone()]).when(answer()).rejected("query-for-others");
    by(Role::DataManager, [opened(BY_MONITOR), forwarded]).when(answer()).then([answered()]);
    by(BY_MONITOR, [opened(BY_MONITOR), closed(false)]).when(to(Role::DataManager)).rejected("query-state");
}

#[test]
fn a_candidate_asks_nobody_until_it_is_raised() {
    let Event::QueryOpened { query: id, kind, place, check, by: opener, to, text, .. } = opened(BY_MONITOR) else {
        panic!("opened")
    };
    let candidate = Event::QueryOpened { query: id, kind, place, check, by: opener, to, candidate: true, text };
    let draft = Command::OpenQuery {
        place: at_item(),
        kind: QueryKind::Manual,
        text: "Sure?".into(),
        to: None,
        candidate: true,
    };
    by(BY_MONITOR, []).when(draft).then([candidate.clone()]);
    by(Role::Investigator, [candidate.clone()]).when(answer()).rejected("query-state");
    let raised = Event::QueryRaised { query: query() };
    by(BY_MONITOR, [candidate.clone()]).when(Command::RaiseQuery { query: query() }).then([raised.clone()]);
    by(Role::Investigator, [candidate, raised]).when(answer()).then([answered()]);
}

#[test]
fn an_annotation_is_closed_from_the_beginning_and_stays_so() {
    let facts = by(BY_MONITOR, []).when(open(at_item(), QueryKind::Annotation)).facts();
    by(Role::Investigator, facts.clone()).when(answer()).rejected("query-state");
    by(BY_MONITOR, facts).when(reopen()).rejected("query-state");
}

#[test]
fn a_place_is_one_of_the_design_or_of_what_was_saved() {
    let unheard = Place::Item(ItemPlace::of(&form(), &item("UNHEARD")));
    let second = Place::Visit(VisitKey { visit: oid("V1"), visit_repeat: 2 });
    for place in [unheard, second] {
        by(BY_MONITOR, []).when(open(place, QueryKind::Manual)).rejected("no-such-place");
    }
    for place in [Place::Participant, Place::Visit(form().visit()), Place::Form(form()), at_item()] {
        by(BY_MONITOR, []).when(open(place, QueryKind::Manual)).facts();
    }
}

#[test]
fn a_kind_of_query_belongs_to_who_can_know() {
    by(Role::DataManager, []).when(open(at_item(), QueryKind::System)).rejected("query-kind");
    by(Role::DataManager, []).when(open(at_item(), QueryKind::SourceData)).rejected("query-kind");
    by(Role::Monitor, []).when(open(at_item(), QueryKind::SourceData)).facts();
}

fn change() -> Command {
    save(vec![to_save("SYSBP", Some("130"), Some("typo"))])
}

#[test]
fn a_change_after_closing_is_told_once_and_only_where_it_happened() {
    let told = Event::DataChangedAfterClose { query: query() };
    let changed = |news: Vec<Event>| started(news).expecting(3).when(change()).facts();
    assert!(changed(vec![opened(BY_MONITOR), closed(false)]).contains(&told));
    assert!(!changed(vec![opened(BY_MONITOR)]).contains(&told), "it is open");
    assert!(!changed(vec![opened(BY_MONITOR), closed(false), told.clone()]).contains(&told), "told before");
    let elsewhere = save(vec![to_save("AETERM", Some("x"), None)]);
    let facts = started([opened(BY_MONITOR), closed(false)]).expecting(3).when(elsewhere).facts();
    assert!(!facts.contains(&told), "another item");
}

fn fired(item_name: &str) -> Event {
    Event::CheckFired {
        form: form(),
        item: item(item_name),
        check: "high".parse().expect("valid"),
        severity: Severity::Soft,
        outcome: CheckOutcome::Accepted,
        value: None,
        at: None,
        message: None,
    }
}

fn after_save(news: &[Event], fired: &[Event], passed: &[(CheckId, Place)]) -> Vec<Event> {
    let mut state = Participant::default();
    [registered(), consented(), saved("120")].iter().chain(news).for_each(|e| state.evolve(e, Revision(1).into()));
    let (study, stream) = (live_study(), StreamId::in_tenant(&crate::testing::tenant(), Aggregate::Participant, 1));
    let context = Context {
        now: time::OffsetDateTime::UNIX_EPOCH,
        captured_at: time::OffsetDateTime::UNIX_EPOCH,
        principal: &principal(Role::Investigator, 1),
        command: CommandId(uuid::Uuid::from_u128(99)),
        stream: &stream,
        tail: Tail::default(),
        expected: None,
        governing: &study,
        rules: &(),
    };
    let record = state.record().expect("registered");
    crate::participant::queries::after_save(record, &form(), &[], fired, passed, &context)
}

#[test]
fn a_check_asks_once_and_its_query_resolves_itself_when_it_passes() {
    assert_eq!(after_save(&[], &[fired("SYSBP"), fired("SYSBP")], &[]), [by_check()]);
    assert_eq!(after_save(&[by_check()], &[fired("SYSBP")], &[]), []);
    assert_eq!(after_save(&[by_check(), closed(true)], &[fired("SYSBP")], &[]), [by_check()]);
    let check: CheckId = "high".parse().expect("valid");
    for waits in [vec![by_check()], vec![by_check(), answered()]] {
        assert_eq!(after_save(&waits, &[], &[(check.clone(), at_item())]), [closed(true)]);
    }
    assert_eq!(after_save(&[by_check()], &[], &[(check.clone(), Place::Form(form()))]), [], "another place");
    let other: CheckId = "low".parse().expect("valid");
    assert_eq!(after_save(&[by_check()], &[], &[(other, at_item())]), [], "another check");
    assert_eq!(after_save(&[opened(BY_MONITOR)], &[], &[(check, at_item())]), [], "asked by a person");
}

#[test]
fn a_query_of_a_check_is_answered_by_the_site_and_judged_by_those_who_look_after_the_data() {
    by(Role::Investigator, [by_check()]).when(answer()).then([answered()]);
    by(Role::Investigator, [by_check(), answered()]).when(close()).rejected("query-of-others");
    by(Role::DataManager, [by_check(), answered()]).when(close()).then([closed(false)]);
    by(Role::Monitor, [by_check(), answered()]).when(close()).then([closed(false)]);
}

#[test]
fn a_program_brings_in_remarks_and_asks_nothing() {
    let open = |kind| Command::OpenQuery {
        place: at_item(),
        kind,
        text: Plain("see the letter".into()),
        to: None,
        candidate: false,
    };
    let program = || record([registered(), consented(), saved("120")]).by(principal(Role::Integrator, 1));
    assert_eq!(program().when(open(QueryKind::Annotation)).facts().len(), 1);
    program().when(open(QueryKind::Manual)).rejected("query-kind");
}
