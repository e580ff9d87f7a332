use super::*;
use crate::testing::{Given, given, label, live_study, principal};
use uuid::Uuid;

fn moment(text: &str) -> Moment {
    serde_json::from_value(text.into()).expect("a moment")
}

fn order() -> Order {
    Order {
        recipient: label("Statistics"),
        purpose: label("Interim analysis"),
        expires_at: moment("2026-11-29T12:00:00Z"),
        instruction: None,
        formats: [Format::Csv].into(),
        sites: BTreeSet::new(),
        design: None,
        history: HistoryWanted::None,
        tables: TablesBy::ItemGroup,
        guard_formulas: false,
    }
}

fn frame() -> Frame {
    Frame { sites: BTreeSet::new(), scopes: [Scope::HealthClinical].into(), design: CommitHash([1; 32]), position: 7 }
}

fn start(order: Order) -> Command {
    Command::Start { order: Box::new(order), frame: Some(frame()) }
}

fn started() -> Event {
    Event::Started { order: order(), frame: frame() }
}

fn completed() -> Event {
    Event::Completed { manifest: CommitHash([2; 32]), files: vec![] }
}

fn export(events: impl IntoIterator<Item = Event>) -> Given<Export> {
    given::<Export>(events).governed(live_study())
}

fn people(of: &[u128]) -> Vec<ParticipantId> {
    of.iter().map(|n| ParticipantId(Uuid::from_u128(*n))).collect()
}

#[test]
fn an_export_has_a_recipient_a_purpose_and_an_expiry() {
    export([]).when(start(order())).then([started()]);
    // Without a format it says that data is taken by another road.
    let order_of_none = Order { formats: BTreeSet::new(), ..order() };
    export([]).when(start(order_of_none.clone())).then([Event::Started { order: order_of_none, frame: frame() }]);
    for wrong in [
        Order { recipient: label(" "), ..order() },
        Order { purpose: label(" "), ..order() },
        Order { expires_at: moment("2026-11-01T00:00:00Z"), ..order() },
        Order { expires_at: moment("2029-01-01T00:00:00Z"), ..order() },
    ] {
        export([]).when(start(wrong)).rejected("invalid-order");
    }
    export([]).when(Command::Start { order: Box::new(order()), frame: None }).rejected("not-framed");
}

#[test]
fn an_id_stands_for_one_order() {
    export([started()]).when(start(order())).then([]);
    export([started()]).when(start(Order { guard_formulas: true, ..order() })).rejected("ordered-otherwise");
}

#[test]
fn participants_are_listed_once_and_while_files_are_written() {
    let list = |of: &[u128]| Command::ListParticipants { participants: people(of) };
    let listed = |of: &[u128]| Event::Listed { participants: people(of) };
    export([started(), listed(&[1, 2])]).when(list(&[2, 3])).then([listed(&[3])]);
    export([started(), listed(&[1])]).when(list(&[1])).then([]);
    export([started(), completed()]).when(list(&[1])).rejected("export-over");
    export([]).when(list(&[1])).rejected("no-such-export");
}

#[test]
fn what_was_deleted_meanwhile_is_never_completed() {
    let complete = Command::Complete { manifest: CommitHash([2; 32]), files: vec![] };
    let deleted = Event::Deleted { cause: Cause::Erasure };
    export([started()]).when(Command::Withdraw { cause: Cause::Erasure }).then([deleted.clone()]);
    export([started(), deleted.clone()]).when(complete.clone()).rejected("export-over");
    export([started(), Event::Failed {}]).when(complete).rejected("export-over");
    export([started(), completed(), deleted]).when(Command::Withdraw { cause: Cause::Expired }).then([]);
}

#[test]
fn copies_are_told_of_even_after_the_files_are_deleted() {
    let give = Command::GiveCopy { recipient: label("Registry"), purpose: label("Safety") };
    let manager = || principal(Role::DataManager, 1);
    export([started(), completed()]).by(principal(Role::Monitor, 2)).when(give.clone()).rejected("not-yours");
    export([started()]).by(manager()).when(give.clone()).rejected("export-not-completed");
    let facts = export([started(), completed(), Event::Deleted { cause: Cause::Expired }]);
    let facts = facts.by(manager()).when(give).facts();
    assert!(matches!(&facts[..], [Event::CopyGiven { recipient, .. }] if recipient.as_str() == "Registry"));
    let mut state = Export::default();
    let never = Recorded::from(crate::history::Revision(1));
    [started(), completed()].iter().chain(&facts).for_each(|fact| state.evolve(fact, never));
    let known = state.known().expect("it is known");
    assert_eq!(known.recipients().map(Label::as_str).collect::<Vec<_>>(), ["Statistics", "Registry"]);
}
