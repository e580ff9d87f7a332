//! The commands that each aggregate is tried with, drawn from few ids so that they meet.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use uuid::Uuid;

use crate::decider::Decider;
use crate::design::{ItemValue, StudyDesign, content_hash};
use crate::design_part::{self, DesignPart, PartText};
use crate::export::{self, Export};
use crate::history::{Aggregate, CommitHash, Revision, StreamId};
use crate::identity::{self, Detail, Identity, PlainDetails};
use crate::ids::{
    AllocationId, CommandId, Environment, ErasureId, HoldId, ParticipantId, QueryId, StudyId, TokenId, UnblindingId,
};
use crate::participant::{
    self, Expect, FormKey, ItemKey, ItemPlace, ItemToSave, Participant, Place, QueryKind, QueryState,
};
use crate::permit::{Principal, Role, Sites};
use crate::port::TreeCopies;
use crate::privacy::{self, Justification, Next, Person, Privacy, RefusalGround, RestrictionGround, Step, TargetKeys};
use crate::randomisation::{self, Levels, Randomisation, Slot};
use crate::scope::{OneValue, Part, Plain, Scope};
use crate::study::{self, Milestones, Rule, Study, Trigger};
use crate::subject_number::{self, SubjectNumber};
use crate::testing::{design, label, live_study, oid, principal, site, tenant};
use crate::user::{self, AccountKind, Grant, User};
use crate::{Day, Moment};

/// What every personal value here contains, and nothing else does.
pub(super) const CANARIES: [&str; 3] = ["CANARY", "98765", "9876-05"];

/// An aggregate with all that can happen to it.
pub(super) trait World:
    Decider<Command: std::fmt::Debug + PartialEq, Governing: std::fmt::Debug, Rules: std::fmt::Debug> + std::fmt::Debug
{
    /// Any command.
    fn commands() -> BoxedStrategy<Self::Command>;

    /// Any state of the stream that governs it.
    fn governing() -> BoxedStrategy<Self::Governing>;

    /// Any rules that hold beside.
    fn rules() -> BoxedStrategy<Self::Rules> {
        Just(Self::Rules::default()).boxed()
    }

    /// Its stream.
    fn stream() -> StreamId;

    /// Whether the decision compares personal values, so that an erasure may change it.
    fn compares_values(command: &Self::Command) -> bool;

    /// The command that brings it forward, if its state asks for one.
    fn asks_for(&self) -> Option<Self::Command> {
        None
    }
}

pub(super) fn principals() -> impl Strategy<Value = Principal> {
    let people = (select(Role::ALL), 1..4_u128, any::<bool>()).prop_map(|(role, n, everywhere)| {
        let mut somebody = principal(role, n);
        if !everywhere {
            somebody.sites = Sites::Only([site("oslo")].into());
        }
        somebody
    });
    prop_oneof![4 => people, 1 => Just(Principal::system(tenant(), Environment::Test))]
}

pub(super) fn scopes() -> impl Strategy<Value = BTreeSet<Scope>> {
    subsequence(Scope::ALL, 0..=Scope::ALL.len()).prop_map(|scopes| scopes.into_iter().collect())
}

fn some_scopes() -> impl Strategy<Value = Option<BTreeSet<Scope>>> {
    let few = subsequence(Scope::of_participants().collect::<Vec<_>>(), 1..3);
    option::weighted(0.8, few.prop_map(|scopes| scopes.into_iter().collect()))
}

pub(super) fn text() -> impl Strategy<Value = Plain> {
    select(vec!["CANARY one", "CANARY two"]).prop_map(Into::into)
}

fn reason() -> impl Strategy<Value = Option<Plain>> {
    option::weighted(0.8, text())
}

fn erasures() -> impl Strategy<Value = ErasureId> {
    (1..4_u128).prop_map(|n| ErasureId(Uuid::from_u128(n)))
}

/// Values that can be redacted alone, and now and then one that cannot.
fn some_values() -> impl Strategy<Value = BTreeSet<OneValue>> {
    let part = prop_oneof![
        9 => (1..3_u128).prop_map(|n| Part::of_command(CommandId(Uuid::from_u128(n)), 0)),
        1 => Just(Part::all()),
    ];
    let scope = select(vec![Scope::HealthFreeText, Scope::HealthFreeText, Scope::HealthClinical]);
    let values = prop::collection::vec((scope, part).prop_map(|(scope, part)| OneValue { scope, part }), 1..3);
    prop_oneof![3 => Just(BTreeSet::new()), 1 => values.prop_map(|values| values.into_iter().collect())]
}

fn days() -> impl Strategy<Value = Day> {
    select(vec!["2020-01-01", "2026-11-20", "2027-01-31", "2028-01-31"])
        .prop_map(|day| serde_json::from_value::<Day>(day.into()).expect("a day"))
}

fn rules_of_retention() -> impl Strategy<Value = (Rule, RefusalGround)> {
    let triggers =
        select(vec![Trigger::Registration, Trigger::LastVisit, Trigger::ConsentWithdrawn, Trigger::StudyCompleted]);
    let grounds = select(vec![RefusalGround::LegalObligation, RefusalGround::Research, RefusalGround::LegalHold]);
    (some_scopes(), triggers, 0..40_u32, grounds, any::<bool>()).prop_map(
        |(scopes, trigger, months, ground, allows_redaction)| {
            let (scopes, legal_basis) = (scopes.unwrap_or_default(), label("a law"));
            (Rule { scopes, trigger, months, legal_basis, ground, allows_redaction }, ground)
        },
    )
}

/// Another version of the same design, without the text.
fn second_design() -> StudyDesign {
    let mut second = StudyDesign { version: "2".into(), ..design() };
    second.items.truncate(1);
    second.item_groups[0].items.truncate(1);
    second
}

/// A live study in which both versions are published, the second one active in Oslo.
fn study_of_two_versions() -> Study {
    let Study::Live { mut setup, design } = live_study() else { return live_study() };
    let second = second_design();
    setup.designs.insert(second.hash(), vec![second.hash()]);
    setup.versions.active.insert(site("oslo"), second.hash());
    setup.versions.approved.insert(site("oslo"), [(design, label("REK 17"))].into());
    setup.versions.contents.insert(second.hash(), Arc::new(second));
    Study::Live { setup, design }
}

fn in_study(aggregate: Aggregate, id: impl std::fmt::Display) -> StreamId {
    let study: StudyId = "cardio".parse().expect("valid");
    StreamId::in_study(&tenant(), &study, aggregate, id)
}

/// A participant in Oslo, to whom this or that has happened.
fn participants() -> BoxedStrategy<Participant> {
    use participant::Event;
    let fence = scopes().prop_map(|scopes| Event::Fenced {
        erasure: ErasureId(Uuid::nil()),
        scopes: scopes.into_iter().collect(),
        values: vec![],
    });
    let news = prop_oneof![Just(Event::Restricted {}), Just(Event::Withdrawn { reason: None }), fence];
    let some = prop_oneof![6 => Just(vec![]), 1 => prop::collection::vec(news, 1..3)];
    some.prop_map(|news| {
        let mut participant = Participant::default();
        let registered = Event::Registered { site: site("oslo"), subject_number: "001".parse().expect("valid") };
        [registered].iter().chain(&news).for_each(|event| participant.evolve(event, Revision(1).into()));
        participant
    })
    .boxed()
}

fn holds_of_data() -> impl Strategy<Value = study::Command> {
    use study::Command::{
        AskDatabaseLock, AskDatabaseUnlock, FreezeData, LockData, LockDatabase, UnfreezeData, UnlockData,
        UnlockDatabase,
    };
    let places = select(vec![None, Some("oslo"), Some("paris")]);
    let checked = option::of((0..2_u64).prop_map(|blockers| study::Checked { blockers, ..Default::default() }));

    (0..8_u8, places, checked).prop_map(|(which, at, checked)| {
        let (site, reason) = (at.map(site), label("for the analysis"));
        match which {
            0 => FreezeData { site, reason: Some(reason) },
            1 => UnfreezeData { site, reason },
            2 => LockData { site, reason: None },
            3 => UnlockData { site, reason },
            4 => AskDatabaseLock { reason },
            5 => LockDatabase { checked },
            6 => AskDatabaseUnlock { reason },
            _ => UnlockDatabase {},
        }
    })
}

impl World for Study {
    fn commands() -> BoxedStrategy<study::Command> {
        use study::Command::{
            ActivateDesign, ApproveConsent, ApproveDesign, Complete, Create, DemandApprovals, DraftDesign,
            EndRetention, GoLive, OpenSite, PublishConsent, PublishDesign, PublishDraft, RequireConsent,
            SetEnrolmentTarget, SetRetention,
        };
        let ids = || select(vec!["ctr-58", "norm"]).prop_map(|id| id.parse().expect("valid"));
        let set = (ids(), rules_of_retention()).prop_map(|(rule, (terms, ground))| {
            let Rule { scopes, trigger, months, legal_basis, allows_redaction, .. } = terms;
            SetRetention { rule, scopes, trigger, months, legal_basis, ground, allows_redaction }
        });
        let hashes = || select(vec![design().hash(), second_design().hash()]);
        let designs = select(vec![design(), second_design()]);
        let at_sites = || (hashes(), select(vec!["oslo", "bergen"]).prop_map(site));
        let environments = select(vec![Environment::Test, Environment::Prod]);
        let versions = || select(vec!["1.0", "2.0"]).prop_map(|version| version.parse().expect("valid"));
        let consents = (0..4_u8, versions(), option::of(0..30_u32), select(vec!["oslo", "paris"]), days()).prop_map(
            |(which, version, months, at, from)| match which {
                0 | 1 => PublishConsent { version, months },
                2 => ApproveConsent { version, site: site(at), reference: label("EC 7") },
                _ => RequireConsent { version, site: Some(site(at)), from },
            },
        );
        prop_oneof![
            3 => consents,
            1 => environments.prop_map(|environment| Create { name: label("Cardio"), environment }),
            1 => designs.prop_map(|content| PublishDesign {
                design: content.hash(),
                version: label(&content.version),
                parts: vec![content.hash()],
                content: Some(Arc::new(content)),
            }),
            1 => hashes().prop_map(|design| DraftDesign { design, version: label("1"), parts: vec![design] }),
            1 => hashes().prop_map(|design| PublishDraft { design }),
            1 => Just(DemandApprovals {}),
            1 => at_sites().prop_map(|(design, site)| ApproveDesign { design, site, reference: label("REK 17") }),
            1 => at_sites().prop_map(|(design, site)| ActivateDesign { design, site }),
            1 => select(vec!["oslo", "bergen"]).prop_map(|id| OpenSite { site: site(id), name: label(id) }),
            1 => hashes().prop_map(|design| GoLive { design }),
            1 => days().prop_map(|on| Complete { on }),
            1 => (select(vec!["oslo", "paris"]), 0..3_u32, days())
                .prop_map(|(id, participants, by)| SetEnrolmentTarget { site: site(id), participants, by }),
            1 => set,
            1 => ids().prop_map(|rule| EndRetention { rule }),
            4 => holds_of_data(),
        ]
        .boxed()
    }

    fn asks_for(&self) -> Option<study::Command> {
        use study::Command::{AskDatabaseLock, AskDatabaseUnlock, LockDatabase, UnlockDatabase};
        let reason = || label("all is in");
        let locks = &self.setup()?.locks;
        Some(match locks.database {
            study::Database::Open if locks.study.is_none() => return None,
            study::Database::Open => AskDatabaseLock { reason: reason() },
            study::Database::LockAsked(_) => LockDatabase { checked: Some(study::Checked::default()) },
            study::Database::Locked => AskDatabaseUnlock { reason: reason() },
            study::Database::UnlockAsked(_) => UnlockDatabase {},
        })
    }

    fn governing() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn stream() -> StreamId {
        in_study(Aggregate::Study, "cardio")
    }

    fn compares_values(_: &study::Command) -> bool {
        false
    }
}

impl World for DesignPart {
    fn commands() -> BoxedStrategy<design_part::Command> {
        select(vec!["a part", "another"])
            .prop_map(|text| design_part::Command::Store { content: PartText(text.to_owned()) })
            .boxed()
    }

    fn governing() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn stream() -> StreamId {
        in_study(Aggregate::DesignPart, content_hash(b"a part"))
    }

    fn compares_values(_: &design_part::Command) -> bool {
        false
    }
}

fn items_to_save() -> impl Strategy<Value = Vec<ItemToSave>> {
    let value = |texts: Vec<&'static str>| option::weighted(0.9, select(texts).prop_map(|text| ItemValue(text.into())));
    let item = prop_oneof![
        value(vec!["98765", "98765", "98765000", "9876500000"]).prop_map(|value| ("SYSBP", value)),
        value(vec!["CANARY one", "CANARY two", "CANARY: far too long to be taken"]).prop_map(|value| ("AETERM", value)),
    ];
    let not_done = option::weighted(0.1, Just(participant::NotDone::Refused));
    let expect = option::weighted(0.2, select(vec![Expect::Nothing, Expect::Something]));
    let saved = (item, 1..3_u32, not_done, reason(), expect).prop_map(
        |((item, value), group_repeat, not_done, reason, expect)| ItemToSave {
            group: oid("G"),
            group_repeat,
            item: oid(item),
            value: if not_done.is_some() { None } else { value },
            not_done,
            reason,
            expect,
        },
    );
    prop::collection::vec(saved, 0..4)
}

fn the_form() -> FormKey {
    FormKey { visit: oid("V1"), visit_repeat: 1, form: oid("VS"), form_repeat: 1 }
}

/// A change of the item that is asked about most.
fn another_value(record: &participant::Record) -> participant::Command {
    let item = ItemKey { group: oid("G"), group_repeat: 1, item: oid("SYSBP") };
    let now = record.forms.get(&the_form()).and_then(|form| form.items.get(&item)?.value.clone());
    let same = now.is_some_and(|now| now.known().is_some_and(|now| now.0 == "98765"));
    let value = Some(ItemValue(if same { "98765000" } else { "98765" }.into()));
    let ItemKey { group, group_repeat, item } = item;
    let item =
        ItemToSave { group, group_repeat, item, value, not_done: None, reason: Some("CANARY".into()), expect: None };
    participant::Command::SaveItems { form: the_form(), items: vec![item], source: participant::Source::User }
}

fn places() -> impl Strategy<Value = Place> {
    let item = |group_repeat| ItemKey { group: oid("G"), group_repeat, item: oid("SYSBP") };
    select(vec![
        Place::Participant,
        Place::Visit(the_form().visit()),
        Place::Form(the_form()),
        Place::Item(ItemPlace::of(&the_form(), &item(1))),
        Place::Item(ItemPlace::of(&the_form(), &ItemKey { item: oid("UNHEARD"), ..item(1) })),
    ])
}

/// Queries: what follows the opening is what the state asks for.
fn queries() -> impl Strategy<Value = participant::Command> {
    use participant::Command::{
        AnswerQuery, CancelQuery, CloseQuery, ForwardQuery, OpenQuery, RaiseQuery, ReopenQuery,
    };
    let kinds = select(vec![QueryKind::Manual, QueryKind::System, QueryKind::Annotation, QueryKind::SourceData]);
    let to = || select(vec![Role::Investigator, Role::DataManager, Role::Auditor]);
    let open = (places(), kinds, text(), option::of(to()), any::<bool>())
        .prop_map(|(place, kind, text, to, candidate)| OpenQuery { place, kind, text, to, candidate });
    let ids = (1..40_u128).prop_map(|n| QueryId::of_command(CommandId(Uuid::from_u128(n)), 0));
    let later = (0..6_u8, ids, text(), to()).prop_map(|(which, query, text, to)| match which {
        0 => RaiseQuery { query },
        1 => AnswerQuery { query, text },
        2 => ForwardQuery { query, to, text: Some(text) },
        3 => CloseQuery { query, text: Some(text) },
        4 => CancelQuery { query, text },
        _ => ReopenQuery { query, text },
    });
    prop_oneof![2 => open, 1 => later]
}

/// What is done with values that stand.
fn looks() -> impl Strategy<Value = participant::Command> {
    use participant::Command::{Freeze, Lock, ReviewForm, Sign, Unfreeze, Unlock, Verify, WithdrawVerification};
    let signers = option::weighted(0.9, text()).prop_map(|name| {
        name.map(|printed_name| participant::Signer { printed_name, factors: vec![participant::Factor::Token] })
    });
    (0..11_u8, places(), text(), signers).prop_map(|(which, place, reason, signer)| {
        let form = the_form();
        match which {
            0 | 1 => Verify { form, items: vec![] },
            2 => WithdrawVerification { form, items: vec![], reason },
            3 | 10 => ReviewForm { form, group: label("medical") },
            4 => Freeze { place, reason: Some(reason) },
            5 => Unfreeze { place, reason },
            6 => Lock { place, reason: None },
            7 => Unlock { place, reason },
            _ => Sign { place, meaning: participant::Meaning::Responsibility, signer },
        }
    })
}

/// What happens to forms and visits as a whole, and the end of consent.
fn wholes() -> impl Strategy<Value = participant::Command> {
    use participant::Command::{
        CompleteForm, MissVisit, RemoveForm, ReopenForm, RestoreForm, StartVisit, WithdrawConsent,
    };
    (0..9_u8, text(), reason(), days()).prop_map(|(which, reason, maybe, on)| {
        let (form, visit) = (the_form(), the_form().visit());
        match which {
            0 => CompleteForm { form },
            1 => ReopenForm { form, reason },
            2 => RemoveForm { form, reason },
            3..=5 => RestoreForm { form, reason },
            6 => StartVisit { visit, on, reason: maybe },
            7 => MissVisit { visit, reason },
            _ => WithdrawConsent { reason: maybe },
        }
    })
}

/// Whether somebody takes part, and whether and how that ends.
fn lives() -> impl Strategy<Value = participant::Command> {
    use participant::Command::{ConfirmEligibility, EndParticipation, ResumeParticipation, WaiveEligibility};
    let endings = select(participant::Ending::ALL.to_vec());
    (0..8_u8, days(), text(), reason(), endings).prop_map(|(which, on, reason, maybe, how)| match which {
        0..=3 => ConfirmEligibility { on },
        4 => WaiveEligibility { reason },
        5 | 6 => EndParticipation { how, on, reason: maybe },
        _ => ResumeParticipation { reason },
    })
}

fn levels() -> impl Strategy<Value = Levels> {
    let code = |text: &str| text.parse().expect("valid");
    select(vec!["CANARY-low", "CANARY-high"]).prop_map(move |level| Levels([(code("risk"), code(level))].into()))
}

fn code(text: &str) -> crate::ids::Code {
    text.parse().expect("valid")
}

/// Randomisation, and those who want to be told the arm.
fn blinding() -> impl Strategy<Value = participant::Command> {
    use participant::Command::{
        ApproveUnblinding, AskUnblinding, Randomise, RecordInadvertentUnblinding, RecordRandomisation, RecordUnblinding,
    };
    let slot = option::weighted(
        0.8,
        (0..4_u32, any::<bool>()).prop_map(|(slot, numbered)| Slot {
            stratum: 0,
            slot,
            arm: code("CANARY-arm"),
            number: numbered.then(|| "CANARY-1".parse().expect("valid")),
        }),
    );
    let ids = (1..40_u128).prop_map(|n| UnblindingId::of_command(CommandId(Uuid::from_u128(n))));
    (0..12_u8, select(vec!["main", "main", "other"]), levels(), slot, ids, text(), any::<bool>()).prop_map(
        |(which, list, strata, slot, unblinding, reason, yes)| {
            let list = list.parse().expect("valid");
            let lot = participant::Lot {
                allocation: AllocationId(Uuid::from_u128(98765)),
                number: "CANARY-2".parse().expect("valid"),
            };
            match which {
                0..=2 => Randomise { list, strata, drawn: (yes || which > 0).then_some(lot) },
                3 | 4 => RecordRandomisation { list, slot },
                5 | 9..=11 => AskUnblinding { reason, emergency: yes },
                6 => ApproveUnblinding { unblinding },
                7 => RecordUnblinding { unblinding },
                _ => RecordInadvertentUnblinding { reason },
            }
        },
    )
}

impl World for Participant {
    fn commands() -> BoxedStrategy<participant::Command> {
        use participant::Command::{
            Fence, GiveConsent, LiftRestriction, Migrate, Register, Restrict, SaveItems, Withdraw,
        };
        let register = (select(vec!["oslo", "oslo", "paris"]), select(vec!["001", "002"]))
            .prop_map(|(at, number)| Register { site: site(at), subject_number: number.parse().expect("valid") });
        let consent = (select(vec!["1.0", "2.0"]), reason())
            .prop_map(|(version, reference)| GiveConsent { version: version.parse().expect("valid"), reference });
        let form = the_form();
        let fence = (erasures(), some_scopes(), some_values()).prop_map(|(erasure, scopes, values)| Fence {
            erasure,
            scopes: scopes.unwrap_or_default(),
            values,
        });
        prop_oneof![
            4 => register,
            4 => consent,
            12 => items_to_save().prop_map(move |items| SaveItems {
                form: form.clone(),
                items,
                source: participant::Source::User,
            }),
            2 => select(vec![design().hash(), second_design().hash()]).prop_map(|to| Migrate { to }),
            5 => queries(),
            10 => looks(),
            5 => wholes(),
            9 => blinding(),
            6 => lives(),
            1 => reason().prop_map(|reason| Withdraw { reason }),
            1 => fence,
            1 => Just(Restrict {}),
            2 => Just(LiftRestriction {}),
        ]
        .boxed()
    }

    fn asks_for(&self) -> Option<participant::Command> {
        use participant::Command::{AnswerQuery, CancelQuery, CloseQuery, ForwardQuery, RaiseQuery, ReopenQuery};
        let open = |(_, found): &(&QueryId, &participant::Query)| found.state != QueryState::Cancelled;
        let record = self.record()?;
        if record.ended.is_some() {
            return Some(participant::Command::ResumeParticipation { reason: "CANARY".into() });
        }
        if let Some((place, _)) = record.locks.0.iter().find(|(_, held)| **held == participant::Held::Locked) {
            return Some(participant::Command::Unlock { place: place.clone(), reason: "CANARY".into() });
        }
        if let Some((place, _)) = record.locks.0.iter().find(|(_, held)| **held == participant::Held::Frozen) {
            return Some(participant::Command::Unfreeze { place: place.clone(), reason: "CANARY".into() });
        }
        // What is signed is changed, so that the signature is dropped.
        let signed = record.signatures.0.values().any(participant::Signature::holds);
        let told = next_of_blinding(&record.blinding).filter(|_| !signed);
        if told.is_some() {
            return told;
        }
        let form = record.forms.get(&the_form());
        if form.is_some_and(|form| form.removed) {
            return Some(participant::Command::RestoreForm { form: the_form(), reason: "CANARY".into() });
        }
        if form.is_some_and(|form| form.completed) {
            return Some(participant::Command::ReopenForm { form: the_form(), reason: "CANARY".into() });
        }
        if signed && record.consent.is_some() {
            return Some(another_value(record));
        }
        let Some((query, found)) = record.queries.0.iter().find(open) else {
            let item = ItemKey { group: oid("G"), group_repeat: 1, item: oid("SYSBP") };
            let (form, items, reason) = (the_form(), vec![], "CANARY".into());
            let verified = record.verifications.has(&form, &item);
            return verified.then_some(participant::Command::WithdrawVerification { form, items, reason });
        };
        let (query, text) = (query.clone(), Plain::from("CANARY"));
        Some(match found.state {
            QueryState::Candidate => RaiseQuery { query },
            QueryState::Open if found.to.is_some() => CloseQuery { query, text: None },
            QueryState::Open => ForwardQuery { query, to: Role::Investigator, text: Some(text) },
            QueryState::Forwarded => AnswerQuery { query, text },
            QueryState::Answered => CloseQuery { query, text: None },
            QueryState::Closed if !found.changed_after_close && record.consent.is_some() => another_value(record),
            QueryState::Closed | QueryState::Resolved => ReopenQuery { query, text },
            QueryState::Reopened | QueryState::Cancelled => CancelQuery { query, text },
        })
    }

    fn governing() -> BoxedStrategy<Study> {
        prop_oneof![6 => Just(live_study()), 3 => Just(study_of_two_versions()), 1 => Just(Study::Absent)].boxed()
    }

    fn stream() -> StreamId {
        in_study(Aggregate::Participant, Uuid::from_u128(7))
    }

    fn compares_values(command: &participant::Command) -> bool {
        use participant::Command::{
            CompleteForm, ConfirmEligibility, EndParticipation, Migrate, MissVisit, Randomise, RecordRandomisation,
            SaveItems, StartVisit,
        };
        // What is computed, checked or left out hangs on values; so does whether the same randomisation is asked for,
        // and the number that was drawn is recorded.
        let blinding = matches!(command, Randomise { .. } | RecordRandomisation { .. });
        let of_days = matches!(command, ConfirmEligibility { .. } | EndParticipation { .. });
        let checked = matches!(command, SaveItems { .. } | StartVisit { .. } | MissVisit { .. } | CompleteForm { .. });
        blinding || of_days || checked || matches!(command, Migrate { .. })
    }
}

/// Brings a randomisation forward, and whoever asked about it.
fn next_of_blinding(blinding: &participant::Blinding) -> Option<participant::Command> {
    use participant::Command::{ApproveUnblinding, RecordRandomisation, RecordUnblinding};
    if let Some(participant::Allocation::Asked(asked)) = &blinding.allocation {
        let slot = Slot { stratum: 0, slot: 1, arm: code("CANARY-arm"), number: None };
        let slot = (asked.list.as_str() == "main").then_some(slot);
        return Some(RecordRandomisation { list: asked.list.clone(), slot });
    }
    let (unblinding, found) = blinding.unblindings.iter().find(|(_, found)| found.told.is_none())?;
    let unblinding = unblinding.clone();
    Some(match found.approved {
        None => ApproveUnblinding { unblinding },
        Some(_) => RecordUnblinding { unblinding },
    })
}

impl World for Randomisation {
    fn commands() -> BoxedStrategy<randomisation::Command> {
        use randomisation::Command::{AssignSlot, Close, Import, Seal};
        let arm = |arm: &str, weight| randomisation::Arm { arm: code(arm), weight };
        let drawn = |n: u8| {
            let seed = |n| randomisation::Seed(CommitHash([n; 32]));
            (n > 0).then(|| randomisation::Drawn { seed: seed(n), salt: seed(n + 1) })
        };
        let seal = (0..3_u8, select(vec![vec![3], vec![3, 6], vec![4], vec![]]), 0..4_u32).prop_map(
            move |(n, block_sizes, slots)| {
                let levels = ["low", "high"].map(code).into();
                let factors = vec![randomisation::Factor { factor: code("risk"), levels }];
                Seal { arms: vec![arm("A", 2), arm("B", 1)], factors, block_sizes, slots, drawn: drawn(n) }
            },
        );
        let csv = select(vec!["number,arm,risk\n1,A,low\n2,B,high\n", "number,arm,risk\n1,A,low\n", "A,1\n"]);
        let import = (0..3_u8, csv).prop_map(move |(n, csv)| Import { csv: csv.into(), drawn: drawn(n) });
        let levels = select(vec!["low", "high", "none"]);
        let assign = (1..9_u128, levels).prop_map(|(n, level)| AssignSlot {
            allocation: AllocationId(Uuid::from_u128(n)),
            levels: Levels([(code("risk"), code(level))].into()),
        });
        prop_oneof![3 => seal, 2 => import, 8 => assign, 1 => Just(Close {})].boxed()
    }

    fn governing() -> BoxedStrategy<Study> {
        prop_oneof![9 => Just(live_study()), 1 => Just(Study::Absent)].boxed()
    }

    fn stream() -> StreamId {
        in_study(Aggregate::Randomisation, "main")
    }

    fn compares_values(_: &randomisation::Command) -> bool {
        false
    }
}

impl World for SubjectNumber {
    fn commands() -> BoxedStrategy<subject_number::Command> {
        use subject_number::Command::{Claim, Key};
        let key = (1..3_u8).prop_map(|n| Key { key: subject_number::NumberKey(CommitHash([n; 32])) });
        let claim = (1..4_u128).prop_map(|n| Claim { participant: ParticipantId(Uuid::from_u128(n)) });
        prop_oneof![1 => key, 2 => claim].boxed()
    }

    fn governing() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn stream() -> StreamId {
        in_study(Aggregate::SubjectNumber, content_hash(b"a number"))
    }

    fn compares_values(_: &subject_number::Command) -> bool {
        false
    }
}

impl World for Export {
    fn commands() -> BoxedStrategy<export::Command> {
        use export::Command::{Complete, Delete, Fail, GiveCopy, ListParticipants, Start, Withdraw};
        let frame = export::Frame {
            sites: [site("oslo")].into(),
            scopes: [Scope::HealthClinical].into(),
            design: CommitHash([3; 32]),
            position: 7,
        };
        let days = select(vec!["2026-11-29T12:00:00Z", "2020-01-01T00:00:00Z"]);
        let start = (days, any::<bool>(), any::<bool>()).prop_map(move |(until, csv, framed)| Start {
            order: Box::new(export::Order {
                recipient: label("Statistics"),
                purpose: label("Interim analysis"),
                expires_at: serde_json::from_value(until.into()).expect("a moment"),
                instruction: None,
                formats: if csv { [export::Format::Csv].into() } else { BTreeSet::new() },
                sites: BTreeSet::new(),
                design: None,
                history: export::HistoryWanted::None,
                tables: export::TablesBy::ItemGroup,
                guard_formulas: false,
            }),
            frame: framed.then(|| frame.clone()),
        });
        let people = prop::collection::vec((1..4_u128).prop_map(|n| ParticipantId(Uuid::from_u128(n))), 0..3);
        let causes = select(vec![export::Cause::Expired, export::Cause::Erasure, export::Cause::Missing]);
        prop_oneof![
            4 => start,
            3 => people.prop_map(|participants| ListParticipants { participants }),
            3 => Just(Complete { manifest: CommitHash([4; 32]), files: vec![] }),
            1 => Just(Fail {}),
            2 => Just(GiveCopy { recipient: label("Registry"), purpose: label("Safety report") }),
            1 => Just(Delete {}),
            1 => causes.prop_map(|cause| Withdraw { cause }),
        ]
        .boxed()
    }

    fn governing() -> BoxedStrategy<Study> {
        prop_oneof![9 => Just(live_study()), 1 => Just(Study::Absent)].boxed()
    }

    fn stream() -> StreamId {
        in_study(Aggregate::Export, Uuid::from_u128(9))
    }

    fn compares_values(_: &export::Command) -> bool {
        false
    }
}

fn details() -> impl Strategy<Value = PlainDetails> {
    let one_of = |texts: [&'static str; 3]| option::of(select(texts.to_vec()).prop_map(Plain::from));
    let names = (one_of(["CANARY Ada", "CANARY Eva", "\u{7}CANARY"]), one_of(["CANARY L", "CANARY M", "CANARY N"]));
    let contact = (
        one_of(["CANARY@example.org", "x@CANARY.org", "CANARY"]),
        one_of(["98765", "+98765 1", "98765 CANARY"]),
        one_of(["CANARY street\n1", "CANARY street\n2", "CANARY street\n3"]),
    );
    let rest = (one_of(["9876-05-04", "9876-05", "9876-05-99"]), one_of(["98765 1", "98765 2", "98765\n"]));
    (names, contact, rest).prop_map(|((given_name, family_name), (email, telephone, postal_address), rest)| {
        let (date_of_birth, national_id) = rest;
        PlainDetails { given_name, family_name, date_of_birth, email, telephone, postal_address, national_id }
    })
}

impl World for Identity {
    fn commands() -> BoxedStrategy<identity::Command> {
        use identity::Command::{Fence, LiftRestriction, Record, Rectify, Restrict};
        let clear = subsequence(Detail::ALL.to_vec(), 0..3).prop_map(|clear| clear.into_iter().collect());
        let fence = (erasures(), some_scopes(), some_values()).prop_map(|(erasure, scopes, values)| Fence {
            erasure,
            scopes: scopes.unwrap_or_default(),
            values,
        });
        prop_oneof![
            6 => details().prop_map(|details| Record { details }),
            6 => (details(), clear, reason()).prop_map(|(details, clear, reason)| Rectify { details, clear, reason }),
            1 => fence,
            1 => Just(Restrict {}),
            2 => Just(LiftRestriction {}),
        ]
        .boxed()
    }

    fn governing() -> BoxedStrategy<Participant> {
        participants()
    }

    fn stream() -> StreamId {
        in_study(Aggregate::Identity, Uuid::from_u128(7))
    }

    fn compares_values(command: &identity::Command) -> bool {
        matches!(command, identity::Command::Record { .. } | identity::Command::Rectify { .. })
    }
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Begun {}),
        Just(Step::Committed {}),
        (days(), copies()).prop_map(|(day, copy)| Step::DestructionScheduled { until: moment(day), copy }),
        copies().prop_map(|copy| Step::KeysDestroyed { destroyed: vec![], copy }),
        Just(Step::DerivedPurged {}),
        Just(Step::RecipientsNotified { recipients: 0 }),
        (0..9_u64, 0..2_u64, 0..2_u64).prop_map(|(probed, opened, controls)| Step::Verified {
            probed,
            opened,
            controls,
            controls_opened: controls / 2
        }),
        Just(Step::Completed { certificate: CommitHash([3; 32]) }),
    ]
}

fn copies() -> impl Strategy<Value = TreeCopies> {
    select(vec![TreeCopies::OffSite, TreeCopies::Single])
}

fn moment(day: Day) -> Moment {
    Moment(day.0.midnight().assume_utc())
}

fn holds() -> impl Strategy<Value = privacy::Command> {
    use privacy::Command::{LiftHold, PlaceHold};
    let ids = || (1..3_u128).prop_map(|n| HoldId(Uuid::from_u128(n)));
    prop_oneof![
        (ids(), some_scopes(), days(), reason()).prop_map(|(hold, scopes, review_on, reason)| PlaceHold {
            hold,
            scopes,
            authority: "court".parse().expect("valid"),
            review_on,
            reason
        }),
        (ids(), reason()).prop_map(|(hold, reason)| LiftHold { hold, reason }),
    ]
}

fn approve(erasure: ErasureId, accept_single_copy: bool) -> privacy::Command {
    let instruction = "DPA-1".parse().expect("valid");
    privacy::Command::ApproveErasure { erasure, instruction, accept_single_copy }
}

impl World for Privacy {
    fn commands() -> BoxedStrategy<privacy::Command> {
        use privacy::Command::{
            AcceptSingleCopy, AssessErasure, LiftRestriction, PlaceRestriction, RecordProgress, RefuseErasure,
            RequestErasure,
        };
        let grounds = select(vec![RestrictionGround::LegalClaims, RestrictionGround::AccuracyContested]);
        let request =
            (erasures(), some_scopes(), some_values(), reason()).prop_map(|(erasure, scopes, values, reason)| {
                RequestErasure { erasure, scopes, values, justification: Justification::ConsentWithdrawn, reason }
            });
        prop_oneof![
            2 => holds(),
            1 => (grounds, reason()).prop_map(|(ground, reason)| PlaceRestriction { ground, reason }),
            1 => reason().prop_map(|reason| LiftRestriction { reason }),
            4 => request,
            4 => (erasures(), any::<bool>()).prop_map(|(erasure, accept)| approve(erasure, accept)),
            1 => (erasures(), reason()).prop_map(|(erasure, reason)| {
                RefuseErasure { erasure, ground: RefusalGround::Research, reason }
            }),
            1 => erasures().prop_map(|erasure| AcceptSingleCopy { erasure }),
            1 => erasures().prop_map(|erasure| AssessErasure { erasure }),
            2 => (erasures(), steps()).prop_map(|(erasure, step)| RecordProgress { erasure, step }),
        ]
        .boxed()
    }

    fn governing() -> BoxedStrategy<Person> {
        (participants(), prop::option::of(days()))
            .prop_map(|(participant, day)| {
                let milestones = Milestones { registered: day, last_visit: None, withdrawn: None };
                Person { participant, milestones }
            })
            .boxed()
    }

    fn rules() -> BoxedStrategy<Study> {
        let rule = rules_of_retention().prop_map(|(rule, ground)| Rule {
            ground: if ground.is_exemption() { ground } else { RefusalGround::PublicHealth },
            ..rule
        });
        prop_oneof![2 => Just(live_study()), 1 => rule.prop_map(|rule| {
            let mut study = live_study();
            if let Study::Live { setup, .. } = &mut study {
                setup.retention.insert("norm".parse().expect("valid"), Some(rule));
            }
            study
        })]
        .boxed()
    }

    fn stream() -> StreamId {
        in_study(Aggregate::Privacy, Uuid::from_u128(7))
    }

    fn compares_values(_: &privacy::Command) -> bool {
        false
    }

    fn asks_for(&self) -> Option<privacy::Command> {
        self.erasures.iter().find_map(|(id, erasure)| {
            let erasure_id = *id;
            let step = match erasure.next() {
                Next::Decide => return Some(approve(erasure_id, false)),
                Next::Begin => Step::Begun {},
                Next::Commit(_) => Step::Committed {},
                Next::DestroyKeys(doomed) => {
                    let keys = |(scope, part): (Scope, Option<&Part>)| TargetKeys {
                        scope,
                        part: part.cloned(),
                        keys: 1,
                        root_before: 1,
                        root_after: 2,
                    };
                    Step::KeysDestroyed {
                        destroyed: doomed.extent.each().map(keys).collect(),
                        copy: TreeCopies::OffSite,
                    }
                }
                Next::PurgeDerived(_) => Step::DerivedPurged {},
                Next::NotifyRecipients(_) => Step::RecipientsNotified { recipients: 0 },
                Next::Verify(extent) => {
                    Step::Verified { probed: extent.len() as u64, opened: 0, controls: 1, controls_opened: 1 }
                }
                Next::Complete => Step::Completed { certificate: CommitHash([3; 32]) },
                Next::Nothing => return None,
            };
            Some(privacy::Command::RecordProgress { erasure: erasure_id, step })
        })
    }
}

impl World for User {
    fn commands() -> BoxedStrategy<user::Command> {
        use user::Command::{IssueToken, Register, RevokeToken};
        let tokens = || (1..3_u128).prop_map(|n| TokenId(Uuid::from_u128(n)));
        let grants = (select(Role::ALL), any::<bool>(), 2025..2029_i32).prop_map(|(role, everywhere, year)| Grant {
            token_hash: CommitHash([7; 32]),
            role,
            environment: Environment::Test,
            organisation: "hospital".parse().expect("valid"),
            sites: if everywhere { Sites::All } else { Sites::Only(BTreeSet::new()) },
            expires_at: Moment(time::macros::datetime!(2026-01-01 0:00 UTC).replace_year(year).expect("a year")),
        });
        let names = prop_oneof![4 => text(), 1 => Just(Plain::from("\u{7}CANARY"))];
        let kinds = select(vec![AccountKind::User, AccountKind::ServiceAccount]);
        prop_oneof![
            (kinds, names)
                .prop_map(|(kind, name)| { Register { kind, organisation: "hospital".parse().expect("valid"), name } }),
            (tokens(), grants).prop_map(|(token, grant)| IssueToken { token, grant }),
            tokens().prop_map(|token| RevokeToken { token }),
        ]
        .boxed()
    }

    fn governing() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn stream() -> StreamId {
        StreamId::in_tenant(&tenant(), Aggregate::User, Uuid::from_u128(7))
    }

    fn compares_values(command: &user::Command) -> bool {
        matches!(command, user::Command::Register { .. })
    }
}
