//! What the facts of queries, verification, locks and signatures are today.

use domain::history::Revision;
use domain::ids::{CommandId, QueryId, SignatureId};
use domain::participant::{
    Factor, FormKey, FreeText, ItemKey, ItemPlace, Meaning, Place, QueryKind, SignedForm, VisitKey,
};
use domain::permit::Role;
use domain::scope::Personal;
use domain::{participant, study};

use super::became::{COMMAND, HASH, OTHER_HASH, text, why};

fn form() -> FormKey {
    FormKey { visit: text("BASELINE"), visit_repeat: 2, form: text("VS"), form_repeat: 3 }
}

fn item(name: &str) -> ItemKey {
    ItemKey { group: text("G.1"), group_repeat: 4, item: text(name) }
}

fn query() -> QueryId {
    QueryId::of_command(CommandId(COMMAND), 1)
}

fn words(value: &str) -> FreeText {
    why(value).expect("a text")
}

pub(super) fn participant() -> Vec<(&'static str, participant::Event)> {
    [queries(), looks(), holds(), signatures()].concat()
}

fn queries() -> Vec<(&'static str, participant::Event)> {
    use participant::Event::{
        DataChangedAfterClose, QueryAnswered, QueryCancelled, QueryClosed, QueryForwarded, QueryOpened, QueryRaised,
        QueryReopened,
    };
    let opened = QueryOpened {
        query: query(),
        kind: QueryKind::SourceData,
        place: Place::Item(ItemPlace::of(&form(), &item("SYSBP"))),
        check: Some(text("SYSBP/1")),
        by: Role::Monitor,
        to: Some(Role::Investigator),
        candidate: true,
        text: why("the source says 130"),
    };
    vec![
        ("query-opened.1", opened),
        ("query-raised.1", QueryRaised { query: query() }),
        ("query-answered.1", QueryAnswered { query: query(), text: words("misread") }),
        ("query-forwarded.1", QueryForwarded { query: query(), to: Role::DataManager, text: why("yours") }),
        ("query-closed.1", QueryClosed { query: query(), by_check: true, text: why("thank you") }),
        ("query-cancelled.1", QueryCancelled { query: query(), text: words("asked twice") }),
        ("query-reopened.1", QueryReopened { query: query(), text: words("still 120") }),
        ("data-changed-after-close.1", DataChangedAfterClose { query: query() }),
    ]
}

fn looks() -> Vec<(&'static str, participant::Event)> {
    use participant::Event::{ReviewReset, Reviewed, VerificationReset, VerificationWithdrawn, Verified};
    let items = vec![item("SYSBP"), item("DIABP")];
    let reason = words("wrong person");
    vec![
        ("data-verified.1", Verified { form: form(), items: items.clone() }),
        ("verification-withdrawn.1", VerificationWithdrawn { form: form(), items: items.clone(), reason }),
        ("verification-reset.1", VerificationReset { form: form(), items }),
        ("form-reviewed.1", Reviewed { form: form(), group: text("medical") }),
        ("review-reset.1", ReviewReset { form: form(), groups: vec![text("medical"), text("safety")] }),
    ]
}

fn holds() -> Vec<(&'static str, participant::Event)> {
    use participant::Event::{Frozen, Locked, Unfrozen, Unlocked};
    let visit = VisitKey { visit: text("BASELINE"), visit_repeat: 2 };
    vec![
        ("data-frozen.1", Frozen { place: Place::Visit(visit), reason: why("interim analysis") }),
        ("data-unfrozen.1", Unfrozen { place: Place::Form(form()), reason: words("late laboratory") }),
        ("data-locked.1", Locked { place: Place::Participant, reason: why("last visit is over") }),
        ("data-unlocked.1", Unlocked { place: Place::Participant, reason: words("late laboratory") }),
    ]
}

fn signatures() -> Vec<(&'static str, participant::Event)> {
    let signature = SignatureId::of_command(CommandId(COMMAND));
    let signed = participant::Event::Signed {
        signature: signature.clone(),
        place: Place::Form(form()),
        meaning: Meaning::Responsibility,
        forms: vec![SignedForm { form: form(), tag: Revision(7) }],
        design: text(HASH),
        digest: text(OTHER_HASH),
        factors: vec![Factor::Password, Factor::OneTimeCode],
        printed_name: Personal::new("Grace Hopper".to_owned()),
    };
    let dropped = |place| participant::Event::SignatureDropped { signature: signature.clone(), place };
    vec![
        ("record-signed.1", signed),
        ("signature-dropped.1", dropped(Place::Form(form()))),
        ("signature-dropped.2", dropped(Place::Visit(VisitKey { visit: text("BASELINE"), visit_repeat: 2 }))),
    ]
}

pub(super) fn study() -> Vec<(&'static str, study::Event)> {
    use study::Event::{
        DataFrozen, DataLocked, DataUnfrozen, DataUnlocked, DatabaseLockAsked, DatabaseLocked, DatabaseUnlockAsked,
        DatabaseUnlocked,
    };
    let site = || Some(text("oslo"));
    vec![
        ("data-frozen.1", DataFrozen { site: site(), reason: Some(text("interim analysis")) }),
        ("data-unfrozen.1", DataUnfrozen { site: site(), reason: text("late laboratory") }),
        ("data-locked.1", DataLocked { site: site(), reason: Some(text("the site is closed")) }),
        ("data-unlocked.1", DataUnlocked { site: site(), reason: text("late laboratory") }),
        ("database-lock-asked.1", DatabaseLockAsked { reason: text("all data is in") }),
        ("database-locked.1", DatabaseLocked { participants: 306, digest: text(HASH) }),
        ("database-unlock-asked.1", DatabaseUnlockAsked { reason: text("an error in the coding") }),
        ("database-unlocked.1", DatabaseUnlocked {}),
    ]
}
