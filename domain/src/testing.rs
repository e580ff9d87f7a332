//! Tests as data: given facts, when a command, then facts or a rejection.

use std::sync::Arc;

use time::macros::datetime;
use uuid::Uuid;

use crate::decider::{Command as _, Context, Decider, Fold, Recorded};
use crate::design::{DataType, FormDef, ItemDef, ItemGroupDef, RangeCheck, Ref, StudyDesign, VisitDef};
use crate::field::Fact;
use crate::history::{
    Actor, ActorKind, Commit, CommitHash, EventType, Header, OpenEvent, Position, Revision, StreamId, Tail,
};
use crate::ids::{CommandId, CorrelationId, Environment, Label, Oid, SiteId, TenantId, UserId};
use crate::permit::{Principal, Role, Sites};
use crate::rejection::Rejection;
use crate::study::{Setup, Study, Versions};

/// A history, about to be asked something.
pub(crate) struct Given<D: Decider> {
    state: D,
    governing: D::Governing,
    rules: D::Rules,
    principal: Principal,
    expected: Option<Revision>,
}

/// Starts from facts, one commit each.
pub(crate) fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    let mut state = D::default();
    for (n, event) in events.into_iter().enumerate() {
        state.evolve(&event, Revision(n as u64 + 1).into());
    }
    let (governing, rules) = (D::Governing::default(), D::Rules::default());
    Given { state, governing, rules, principal: principal(Role::Investigator, 1), expected: None }
}

impl<D: Decider> Given<D> {
    /// Under the rules of this governing state.
    pub(crate) fn governed(mut self, governing: D::Governing) -> Self {
        self.governing = governing;
        self
    }

    /// Where these rules hold beside.
    pub(crate) fn ruled(mut self, rules: D::Rules) -> Self {
        self.rules = rules;
        self
    }

    /// By somebody else.
    pub(crate) fn by(mut self, principal: Principal) -> Self {
        self.principal = principal;
        self
    }

    /// With `If-Match`.
    pub(crate) fn expecting(mut self, revision: u64) -> Self {
        self.expected = Some(Revision(revision));
        self
    }

    /// Sends the command.
    pub(crate) fn when(self, command: D::Command) -> Outcome<D> {
        let stream = StreamId::in_tenant(&tenant(), crate::history::Aggregate::Participant, Uuid::from_u128(7));
        let context = Context {
            now: datetime!(2026-11-22 12:00 UTC),
            captured_at: datetime!(2026-11-22 11:00 UTC),
            principal: &self.principal,
            command: CommandId(Uuid::from_u128(99)),
            stream: &stream,
            tail: Tail::default(),
            expected: self.expected,
            governing: &self.governing,
            rules: &self.rules,
        };
        let outcome = self.state.decide(&command, &context);
        if let Ok(events) = &outcome {
            // The law of every aggregate: what was carried out is not carried out again. What was refused, and stored as
            // that, may be tried again: each attempt is one.
            let mut after = self.state.clone();
            let (stored_at, captured_at) = (context.now, context.captured_at);
            let recorded =
                Recorded { revision: Revision(1000), actor: UserId(Uuid::from_u128(1)), stored_at, captured_at };
            events.iter().for_each(|event| after.evolve(event, recorded));
            let again = after.decide(&command, &Context { expected: Some(Revision(1000)), ..context });
            if let (Ok(again), None) = (again, D::refusal(events)) {
                assert_eq!(again, vec![], "{} twice must do nothing more", command.name());
            }
        }
        Outcome(outcome)
    }
}

/// What came of it.
pub(crate) struct Outcome<D: Decider>(Result<Vec<D::Event>, D::Rejection>);

impl<D: Decider> Outcome<D> {
    /// These facts.
    #[track_caller]
    pub(crate) fn then(self, expected: impl IntoIterator<Item = D::Event>) {
        let events = self.0.unwrap_or_else(|rejection| panic!("rejected: {rejection}"));
        assert_eq!(events, expected.into_iter().collect::<Vec<_>>());
    }

    /// The facts, to look at.
    #[track_caller]
    pub(crate) fn facts(self) -> Vec<D::Event> {
        self.0.unwrap_or_else(|rejection| panic!("rejected: {rejection}"))
    }

    /// The rejection, to look at.
    #[track_caller]
    pub(crate) fn refusal(self) -> D::Rejection {
        match self.0 {
            Ok(events) => D::refusal(&events).unwrap_or_else(|| panic!("accepted: {events:?}")),
            Err(rejection) => rejection,
        }
    }

    /// A rejection with this code.
    #[track_caller]
    pub(crate) fn rejected(self, code: &str) {
        let rejection = self.refusal();
        assert_eq!(rejection.code(), code, "{rejection}");
    }
}

/// A commit of facts, as it is read when every section is open.
pub(crate) fn commit<F: Fact>(stream: StreamId, revision: u64, facts: &[F]) -> Commit {
    let kind = |fact: &F| EventType { name: fact.name().to_owned(), version: fact.version() };
    let header = Header {
        environment: Environment::Test,
        stream,
        revision: Revision(revision),
        events: facts.iter().map(kind).collect(),
        stored_at: datetime!(2026-11-22 12:00 UTC),
        captured_at: datetime!(2026-11-22 12:00 UTC),
        actor: principal(Role::Investigator, 1).actor,
        command: CommandId(Uuid::from_u128(99)),
        causation: None,
        correlation: CorrelationId(Uuid::from_u128(99)),
        previous: CommitHash::default(),
    };
    Commit {
        header,
        hash: CommitHash::default(),
        position: Position { study: None, incarnation: 1, sequence: revision },
        events: facts.iter().map(|fact| OpenEvent { kind: kind(fact), body: fact.write().into() }).collect(),
        body_digest: None,
        erased: Default::default(),
        traceparent: None,
        decoded: Default::default(),
    }
}

/// Somebody in a role; `n` tells people apart.
pub(crate) fn principal(role: Role, n: u128) -> Principal {
    let organisation = "hospital".parse().expect("valid");
    let actor = Actor { id: UserId(Uuid::from_u128(n)), kind: ActorKind::User, role, organisation };
    Principal { tenant: tenant(), environment: Environment::Test, actor, sites: Sites::All, session: None }
}

pub(crate) fn tenant() -> TenantId {
    "acme".parse().expect("valid")
}

pub(crate) fn site(id: &str) -> SiteId {
    id.parse().expect("valid")
}

pub(crate) fn label(text: &str) -> Label {
    text.parse().expect("valid")
}

pub(crate) fn oid(text: &str) -> Oid {
    text.parse().expect("valid")
}

/// One repeating visit with one repeating form of vital signs and an uncoded text.
pub(crate) fn design() -> StudyDesign {
    let reference = |text| Ref { oid: oid(text), mandatory: false, skip_condition: None, method: None };
    let item = |text, data_type, length| ItemDef {
        oid: oid(text),
        name: text.to_owned(),
        labels: Default::default(),
        data_type,
        length,
        code_list: None,
        unit: None,
        scope: None,
        identifier: false,
        blinded: false,
        critical: false,
        sdv: false,
        range_checks: vec![],
    };
    StudyDesign {
        name: "Cardio".into(),
        version: "1".into(),
        visits: vec![VisitDef {
            oid: oid("V1"),
            name: "Visit 1".into(),
            labels: Default::default(),
            repeating: false,
            optional: false,
            window: None,
            forms: vec![reference("VS")],
        }],
        forms: vec![FormDef {
            oid: oid("VS"),
            name: "Vital signs".into(),
            labels: Default::default(),
            repeating: false,
            sdv: Default::default(),
            signature: false,
            item_groups: vec![reference("G")],
        }],
        item_groups: vec![ItemGroupDef {
            oid: oid("G"),
            name: "G".into(),
            labels: Default::default(),
            repeating: true,
            items: vec![reference("SYSBP"), reference("AETERM")],
        }],
        items: vec![
            ItemDef {
                range_checks: vec![at_most("10000000", false), at_most("100000000", true)],
                ..item("SYSBP", DataType::Integer, None)
            },
            item("AETERM", DataType::Text, Some(20)),
        ],
        ..StudyDesign::default()
    }
}

/// A range check: hard or soft.
pub(crate) fn at_most(limit: &str, hard: bool) -> RangeCheck {
    let message = [("en".to_owned(), format!("at most {limit}"))].into();
    RangeCheck {
        comparator: Some("LE".into()),
        hard,
        values: vec![limit.into()],
        unit: None,
        message,
        expressions: vec![],
    }
}

/// A live study under [`design`], with two sites.
pub(crate) fn live_study() -> Study {
    live_study_under(design())
}

/// The same under another design.
pub(crate) fn live_study_under(design: StudyDesign) -> Study {
    let hash = design.hash();
    let setup = Setup {
        environment: Environment::Test,
        designs: [(hash, vec![CommitHash([2; 32])])].into(),
        name: label("Cardio"),
        sites: [(site("oslo"), label("Oslo")), (site("bergen"), label("Bergen"))].into(),
        retention: Default::default(),
        completed: None,
        versions: Versions { contents: [(hash, Arc::new(design))].into(), ..Versions::default() },
        locks: Default::default(),
        consents: Default::default(),
        targets: Default::default(),
    };
    Study::Live { setup, design: hash }
}

/// Folds nothing: proves that unit is a governing state.
#[test]
fn nothing_governs_by_default() {
    assert!(<() as Fold>::missing_parts(&()).is_empty());
}
