//! What each stored shape is today, in typed facts. The line of an old shape says what its upcast makes of it.

use domain::design::ItemValue;
use domain::identity::{Detail, Details};
use domain::ids::{
    AllocationId, AttemptId, CommandId, Environment, ErasureId, HoldId, PasskeyId, RightId, SessionId, TokenId,
    UnblindingId, UserId,
};
use domain::participant::{FormKey, ItemKey, ItemPlace, SavedItem};
use domain::permit::{Role, Sites};
use domain::port::TreeCopies;
use domain::privacy::{Justification, RefusalGround, RefusedScope, RestrictionGround, TargetKeys};
use domain::scope::{DesignScoped, Erasable, OneValue, Part, Personal, Scope, ScopeTag, tag};
use domain::user::{AccountKind, Grant};
use domain::{
    access, account, design_part, export, identity, incident, participant, privacy, randomisation, study,
    subject_number, user,
};
use serde::de::DeserializeOwned;
use uuid::{Uuid, uuid};

const ERASURE: ErasureId = ErasureId(uuid!("11111111-2222-4333-8444-555555555501"));
const HOLD: HoldId = HoldId(uuid!("11111111-2222-4333-8444-555555555502"));
const USER: UserId = UserId(uuid!("11111111-2222-4333-8444-555555555503"));
const TOKEN: TokenId = TokenId(uuid!("11111111-2222-4333-8444-555555555504"));
pub(super) const COMMAND: Uuid = uuid!("5f0c2e8c-6d7a-4b51-9a3e-1d2c4b5a6978");
pub(super) const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
pub(super) const OTHER_HASH: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";

/// A value of any type that is written as a text.
pub(super) fn text<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_value(text.into()).expect("valid")
}

fn personal<S: ScopeTag>(value: &str) -> Option<Personal<String, S>> {
    Some(Personal::new(value.to_owned()))
}

/// A free text, with a key of its own.
pub(super) fn why(value: &str) -> Option<Personal<String, tag::HealthFreeText>> {
    Some(Personal::in_part(Part::of_command(CommandId(COMMAND), 1), Erasable::Known(value.to_owned())))
}

pub(super) fn study() -> Vec<(&'static str, study::Event)> {
    use study::Event::{
        ApprovalsDemanded, Completed, ConsentApproved, ConsentPublished, ConsentRequired, Created, DesignActivated,
        DesignApproved, DesignDrafted, DesignPublished, EnrolmentTargetSet, RetentionEnded, RetentionSet, SiteOpened,
        WentLive,
    };
    let set = RetentionSet {
        rule: text("ctr-58"),
        scopes: vec![Scope::IdentityCodeList, Scope::HealthClinical],
        trigger: study::Trigger::StudyCompleted,
        months: 300,
        legal_basis: text("Regulation (EU) 536/2014 Art 58"),
        ground: RefusalGround::LegalObligation,
        allows_redaction: true,
    };
    let parts = vec![text(OTHER_HASH), text(HASH)];
    vec![
        ("study-created.1", Created { name: text("Cardio"), environment: Environment::Test }),
        ("design-published.1", DesignPublished { design: text(HASH), version: text("1.2"), parts }),
        ("design-drafted.1", DesignDrafted { design: text(HASH), version: text("1.3"), parts: vec![text(OTHER_HASH)] }),
        ("site-opened.1", SiteOpened { site: text("oslo"), name: text("Oslo University Hospital") }),
        ("study-went-live.1", WentLive { design: text(HASH) }),
        ("approvals-demanded.1", ApprovalsDemanded {}),
        (
            "design-approved.1",
            DesignApproved { design: text(HASH), site: text("oslo"), reference: text("REK 2026/17") },
        ),
        ("design-activated.1", DesignActivated { design: text(HASH), site: text("oslo") }),
        ("consent-published.1", ConsentPublished { version: text("2.0"), months: Some(24) }),
        (
            "consent-approved.1",
            ConsentApproved { version: text("2.0"), site: text("oslo"), reference: text("REK 2026/117") },
        ),
        (
            "consent-required.1",
            ConsentRequired { version: text("2.0"), site: Some(text("oslo")), from: text("2026-11-20") },
        ),
        ("enrolment-target-set.1", EnrolmentTargetSet { site: text("oslo"), participants: 20, by: text("2027-01-31") }),
        ("study-completed.1", Completed { on: text("2026-11-20") }),
        ("retention-set.1", set),
        ("retention-ended.1", RetentionEnded { rule: text("ctr-58") }),
    ]
    .into_iter()
    .chain(super::workflow::study())
    .collect()
}

pub(super) fn design_part() -> Vec<(&'static str, design_part::Event)> {
    let content = text(r#"{"name":"Cardio","visits":["Größe"]}"#);
    vec![("design-part-stored.1", design_part::Event::Stored { content })]
}

fn saved(item: &str, scope: Scope, part: Part, value: &str, reason: &str) -> SavedItem {
    let value = DesignScoped { scope, part, value: Erasable::Known(ItemValue(value.to_owned())) };
    let item = ItemKey { group: text("G.1"), group_repeat: 4, item: text(item) };
    SavedItem { item, value: Some(value), not_done: None, computed: false, reason: why(reason) }
}

pub(super) fn participant() -> Vec<(&'static str, participant::Event)> {
    use participant::Event::{
        ConsentGiven, DesignAssigned, DesignMigrated, EligibilityConfirmed, EligibilityWaived, Fenced, ItemsSaved,
        ParticipationEnded, ParticipationResumed, Registered, Restricted, RestrictionLifted, Withdrawn,
    };
    let own = Part::of_command(CommandId(COMMAND), 2);
    let items = vec![
        saved("SYSBP", Scope::HealthClinical, Part::all(), "120", "typing error"),
        saved("AETERM", Scope::HealthFreeText, own, "headache", "asked again"),
    ];
    let scopes = vec![Scope::HealthClinical, Scope::HealthFreeText];
    vec![
        ("participant-registered.1", Registered { site: text("oslo"), subject_number: text("N-001") }),
        ("design-assigned.1", DesignAssigned { design: text(HASH) }),
        (
            "design-migrated.1",
            DesignMigrated {
                from: text(HASH),
                to: text(HASH),
                read_only: vec![ItemPlace {
                    visit: text("BASELINE"),
                    visit_repeat: 2,
                    form: text("VS"),
                    form_repeat: 3,
                    group: text("G.1"),
                    group_repeat: 4,
                    item: text("AETERM"),
                }],
            },
        ),
        ("consent-given.1", ConsentGiven { version: text("2.0"), reference: why("binder 7") }),
        ("items-saved.1", ItemsSaved { form: form(), items: items.clone(), source: participant::Source::User }),
        ("items-saved.2", ItemsSaved { form: form(), items: whole(items), source: participant::Source::Device }),
        ("eligibility-confirmed.1", EligibilityConfirmed { on: Personal::new(text("2026-11-20")) }),
        ("eligibility-waived.1", EligibilityWaived { reason: why("too old by a month").expect("a reason") }),
        (
            "participation-ended.1",
            ParticipationEnded {
                how: participant::Ending::LostToFollowUp,
                on: Personal::new(text("2026-11-20")),
                reason: why("no answer to three letters"),
            },
        ),
        ("participation-resumed.1", ParticipationResumed { reason: why("came back").expect("a reason") }),
        ("participant-withdrawn.1", Withdrawn { reason: why("moved away") }),
        ("scopes-fenced.1", Fenced { erasure: ERASURE, scopes: scopes.clone(), values: vec![] }),
        ("scopes-fenced.2", Fenced { erasure: ERASURE, scopes, values: vec![one_value(2)] }),
        ("processing-restricted.1", Restricted {}),
        ("restriction-lifted.1", RestrictionLifted {}),
    ]
    .into_iter()
    .chain(captured())
    .chain(blinded())
    .chain(super::workflow::participant())
    .collect()
}

fn form() -> FormKey {
    FormKey { visit: text("BASELINE"), visit_repeat: 2, form: text("VS"), form_repeat: 3 }
}

/// Never all at once in life; a fixture is whole.
fn whole(mut items: Vec<SavedItem>) -> Vec<SavedItem> {
    items.iter_mut().for_each(|item| item.not_done = Some(participant::NotDone::Refused));
    items[1].computed = true;
    items
}

/// Consent, visits, forms and edit checks.
fn captured() -> Vec<(&'static str, participant::Event)> {
    use participant::Event::{
        CheckFired, ConsentWithdrawn, FormCompleted, FormRemoved, FormReopened, FormRestored, VisitMissed, VisitStarted,
    };
    let reason = |words| why(words).expect("a reason");
    let (visit, on) = (form().visit(), Personal::new(text("2026-11-20")));
    let SavedItem { item, value, .. } = saved("SYSBP", Scope::HealthClinical, Part::all(), "1200", "");
    let fired = CheckFired {
        form: form(),
        item,
        check: text("range:SYSBP:0"),
        severity: participant::Severity::Hard,
        outcome: participant::CheckOutcome::Refused,
        value,
        at: Some(2),
        message: Some(text("at most 300")),
    };
    vec![
        ("consent-withdrawn.1", ConsentWithdrawn { version: text("2.0"), reason: why("too tired") }),
        ("visit-started.1", VisitStarted { visit: visit.clone(), on, reason: why("typing error") }),
        ("visit-missed.1", VisitMissed { visit, reason: reason("on holiday") }),
        ("form-completed.1", FormCompleted { form: form() }),
        ("form-reopened.1", FormReopened { form: form(), reason: reason("one more page") }),
        ("form-removed.1", FormRemoved { form: form(), reason: reason("wrong visit") }),
        ("form-restored.1", FormRestored { form: form(), reason: reason("it was right") }),
        ("check-fired.1", fired),
    ]
}

/// One value with a key of its own.
fn one_value(n: usize) -> OneValue {
    OneValue { scope: Scope::HealthFreeText, part: Part::of_command(CommandId(COMMAND), n) }
}

fn details() -> Details {
    Details {
        given_name: personal("Ada"),
        family_name: personal("Lovelace"),
        date_of_birth: personal("1815-12"),
        email: personal("ada@example.org"),
        telephone: personal("+44 20 7946 0958"),
        postal_address: personal("12 St James's Square\nLondon"),
        national_id: personal("QQ 12 34 56 C"),
    }
}

pub(super) fn identity() -> Vec<(&'static str, identity::Event)> {
    use identity::Event::{Fenced, Recorded, Rectified, Restricted, RestrictionLifted};
    let cleared = vec![Detail::Telephone, Detail::NationalId];
    let scopes = vec![Scope::IdentityContact, Scope::IdentityCodeList];
    vec![
        ("identity-recorded.1", Recorded { details: details() }),
        ("identity-rectified.1", Rectified { details: details(), cleared, reason: why("married") }),
        ("scopes-fenced.1", Fenced { erasure: ERASURE, scopes: scopes.clone(), values: vec![] }),
        ("scopes-fenced.2", Fenced { erasure: ERASURE, scopes, values: vec![one_value(2)] }),
        ("processing-restricted.1", Restricted {}),
        ("restriction-lifted.1", RestrictionLifted {}),
    ]
}

pub(super) fn privacy() -> Vec<(&'static str, privacy::Event)> {
    [orders(), decisions(), steps()].concat()
}

fn orders() -> Vec<(&'static str, privacy::Event)> {
    use privacy::Event::{HoldLifted, HoldPlaced, RestrictionLifted, RestrictionPlaced};
    let placed = HoldPlaced {
        hold: HOLD,
        scopes: vec![Scope::HealthClinical],
        authority: text("district-court"),
        review_on: text("2027-01-31"),
        reason: why("claim 12"),
    };
    let restricted = RestrictionPlaced { ground: RestrictionGround::LegalClaims, reason: why("letter of May") };
    vec![
        ("hold-placed.1", placed),
        ("hold-lifted.1", HoldLifted { hold: HOLD, reason: why("claim settled") }),
        ("restriction-placed.1", restricted),
        ("restriction-lifted.1", RestrictionLifted { reason: why("agreed") }),
    ]
}

fn decisions() -> Vec<(&'static str, privacy::Event)> {
    use privacy::Event::{ErasureApproved, ErasureAssessed, ErasureRefused, ErasureRequested};
    let requested = |values| ErasureRequested {
        erasure: ERASURE,
        scopes: vec![Scope::IdentityContact, Scope::HealthClinical],
        values,
        justification: Justification::ConsentWithdrawn,
        requested_by: USER,
        reason: why("by telephone"),
    };
    let held = RefusedScope {
        scope: Scope::HealthClinical,
        part: None,
        ground: RefusalGround::LegalHold,
        hold: Some(HOLD),
        rule: None,
        until: Some(text("2027-01-31")),
        after: None,
    };
    // Never all at once in life; a fixture is whole.
    let whole = RefusedScope {
        scope: Scope::HealthFreeText,
        part: Some(one_value(4).part),
        ground: RefusalGround::LegalObligation,
        rule: Some(text("ctr-58")),
        after: Some(study::Trigger::StudyCompleted),
        ..held.clone()
    };
    let assessed =
        |values, refused| ErasureAssessed { erasure: ERASURE, granted: vec![Scope::IdentityContact], values, refused };
    let approved = ErasureApproved {
        erasure: ERASURE,
        approved_by: USER,
        instruction: text("DPA-2026/7"),
        accept_single_copy: true,
    };
    let ground = RefusalGround::Research;
    vec![
        ("erasure-requested.1", requested(vec![])),
        ("erasure-requested.2", requested(vec![one_value(2)])),
        ("erasure-assessed.1", assessed(vec![], vec![held])),
        ("erasure-assessed.2", assessed(vec![one_value(2)], vec![whole])),
        ("erasure-approved.1", approved),
        ("erasure-refused.1", ErasureRefused { erasure: ERASURE, ground, reason: why("see protocol") }),
    ]
}

fn steps() -> Vec<(&'static str, privacy::Event)> {
    use privacy::Event::{
        DerivedPurged, DestructionScheduled, ErasureBegun, ErasureCommitted, ErasureCompleted, ErasureVerified,
        KeysDestroyed, RecipientsNotified, SingleCopyAccepted,
    };
    let destroyed =
        |destroyed, copy| KeysDestroyed { erasure: ERASURE, keys: 12, root_before: 3, root_after: 4, destroyed, copy };
    let (scope, part) = (Scope::HealthFreeText, Some(one_value(2).part));
    let targets = vec![TargetKeys { scope, part, keys: 12, root_before: 3, root_after: 4 }];
    vec![
        ("erasure-begun.1", ErasureBegun { erasure: ERASURE }),
        ("erasure-committed.1", ErasureCommitted { erasure: ERASURE }),
        ("single-copy-accepted.1", SingleCopyAccepted { erasure: ERASURE }),
        ("destruction-scheduled.1", DestructionScheduled { erasure: ERASURE, until: text("2026-12-22T12:00:00Z") }),
        ("keys-destroyed.1", destroyed(vec![], TreeCopies::Single)),
        ("keys-destroyed.2", destroyed(targets, TreeCopies::OffSite)),
        ("derived-purged.1", DerivedPurged { erasure: ERASURE }),
        ("recipients-notified.1", RecipientsNotified { erasure: ERASURE, recipients: 2 }),
        ("erasure-verified.1", ErasureVerified { erasure: ERASURE, probed: 12, controls: 0 }),
        ("erasure-verified.2", ErasureVerified { erasure: ERASURE, probed: 12, controls: 4 }),
        ("erasure-completed.1", ErasureCompleted { erasure: ERASURE, certificate: None }),
        ("erasure-completed.2", ErasureCompleted { erasure: ERASURE, certificate: Some(text(HASH)) }),
    ]
}

pub(super) fn user() -> Vec<(&'static str, user::Event)> {
    use user::Event::{Registered, TokenIssued, TokenRevoked};
    let grant = Grant {
        token_hash: text(HASH),
        role: Role::Investigator,
        environment: Environment::Prod,
        organisation: text("hospital"),
        sites: Sites::Only([text("oslo"), text("bergen")].into()),
        expires_at: text("2027-11-22T12:00:00Z"),
    };
    let (organisation, name) = (text("hospital"), Personal::new("Ivo Investigator".to_owned()));
    vec![
        ("user-registered.1", Registered { kind: AccountKind::ServiceAccount, organisation, name }),
        ("token-issued.1", TokenIssued { token: TOKEN, grant }),
        ("token-revoked.1", TokenRevoked { token: TOKEN }),
    ]
}

const RIGHT: RightId = RightId(uuid!("11111111-2222-4333-8444-555555555506"));
const SESSION: SessionId = SessionId(uuid!("11111111-2222-4333-8444-555555555507"));
const PASSKEY: PasskeyId = PasskeyId(uuid!("11111111-2222-4333-8444-555555555510"));
const ATTEMPT: AttemptId = AttemptId(uuid!("11111111-2222-4333-8444-555555555508"));

pub(super) fn account() -> Vec<(&'static str, account::Event)> {
    use account::Event::{
        CommitOpened, CredentialsSet, IdentityLinked, LinkIssued, MachineAdmitted, MachineDismissed,
        MachineSecretIssued, MachineSecretRevoked, PasskeyAdded, PasskeyRemoved, PasswordChanged, Reauthenticated,
        RebuildOrdered, ReviewRecorded, RightEnded, RightGiven, SessionBegun, SessionEnded, SignInFailed,
    };
    use account::{EndCause, MachineTerms, OpeningReason, Reviewed, Second, Terms};
    let terms = Terms {
        role: Role::Investigator,
        environment: Environment::Prod,
        organisation: text("hospital"),
        sites: Sites::Only([text("oslo"), text("bergen")].into()),
        expires_at: Some(text("2027-11-22T12:00:00Z")),
    };
    let set = CredentialsSet {
        link: text(HASH),
        login: Personal::new("ivo".to_owned()),
        password: Personal::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned()),
        one_time: Personal::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned()),
        recovery: Personal::new(vec![HASH.to_owned(), OTHER_HASH.to_owned()]),
        step: 59_000_000,
    };
    let changed = PasswordChanged {
        session: SESSION,
        second: Second::OneTime(59_000_002),
        password: Personal::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaDI".to_owned()),
    };
    let begun = SessionBegun {
        session: SESSION,
        token_hash: text(OTHER_HASH),
        right: RIGHT,
        expires_at: text("2026-11-22T23:00:00Z"),
        second: Second::Recovery(3),
        address: personal("203.0.113.7"),
    };
    let second = Some(Second::OneTime(59_000_003));
    let opened = CommitOpened {
        attempt: ATTEMPT,
        session: SESSION,
        study: Some(text("cardio-1")),
        sequence: 42,
        hash: text(HASH),
        reason: OpeningReason::Fault,
    };
    let machine = MachineTerms {
        role: Role::Integrator,
        environment: Environment::Prod,
        organisation: text("hospital"),
        sites: Sites::Only([text("oslo"), text("bergen")].into()),
        study: Some(text("cardio-1")),
        networks: vec![text("198.51.100.0/24")],
        certificate: Some(text(OTHER_HASH)),
    };
    let added = PasskeyAdded {
        passkey: PASSKEY,
        session: SESSION,
        second: Second::OneTime(59_000_004),
        credential: Personal::new("-R85HbTMmy_g3qcBicujtg".to_owned()),
        key: Personal::new("pQECAyYgASFYIA".to_owned()),
        name: Personal::new("Laptop".to_owned()),
        count: 1,
    };
    vec![
        (
            "identity-linked.1",
            IdentityLinked {
                link: text(HASH),
                issuer: Personal::new("https://id.example.org".to_owned()),
                subject: Personal::new("248289761001".to_owned()),
            },
        ),
        ("machine-admitted.1", MachineAdmitted { terms: machine }),
        (
            "machine-secret-issued.1",
            MachineSecretIssued {
                secret: TOKEN,
                hash: text(HASH),
                expires_at: text("2027-11-22T12:00:00Z"),
                others_end: Some(text("2026-11-23T12:00:00Z")),
            },
        ),
        ("machine-secret-revoked.1", MachineSecretRevoked { secret: TOKEN }),
        ("machine-dismissed.1", MachineDismissed {}),
        ("passkey-added.1", added),
        ("passkey-removed.1", PasskeyRemoved { passkey: PASSKEY, session: Some(SESSION) }),
        ("link-issued.1", LinkIssued { link: text(HASH), expires_at: text("2026-11-23T12:00:00Z") }),
        ("right-given.1", RightGiven { right: RIGHT, terms }),
        ("right-ended.1", RightEnded { right: RIGHT }),
        ("credentials-set.1", set),
        ("password-changed.1", changed),
        ("session-begun.1", begun),
        ("session-ended.1", SessionEnded { session: SESSION, cause: EndCause::SignedOut }),
        ("sign-in-failed.1", SignInFailed { attempt: ATTEMPT, address: personal("203.0.113.7") }),
        (
            "review-recorded.1",
            ReviewRecorded {
                review: text("11111111-2222-4333-8444-555555555509"),
                of: Reviewed::AuditTrail {
                    study: text("cardio-1"),
                    sites: Sites::Only([text("oslo"), text("bergen")].into()),
                    after: 12,
                    through: 480,
                },
                finding: Personal::in_part(
                    Part::of_command(CommandId(COMMAND), 0),
                    Erasable::Known("Two late entries, explained by the site.".to_owned()),
                ),
            },
        ),
        ("session-reauthenticated.1", Reauthenticated { attempt: ATTEMPT, session: SESSION, password: true, second }),
        ("commit-opened.1", opened),
        (
            "rebuild-ordered.1",
            RebuildOrdered { attempt: ATTEMPT, session: SESSION, projection: Some(text("casebook")) },
        ),
    ]
}

const ALLOCATION: AllocationId = AllocationId(uuid!("11111111-2222-4333-8444-555555555505"));

/// Randomisation, and who was told the arm.
fn blinded() -> Vec<(&'static str, participant::Event)> {
    use participant::Event::{
        InadvertentUnblinding, RandomisationAsked, RandomisationFailed, Randomised, Unblinded, UnblindingApproved,
        UnblindingAsked,
    };
    let unblinding = || UnblindingId::of_command(CommandId(COMMAND));
    let strata = Personal::new(randomisation::Levels([(text("sex"), text("f"))].into()));
    let number = || Personal::new(text("7K3QX-P9D2M"));
    let reason = |value| why(value).expect("a reason");
    let (stratum, slot, arm) = (Personal::new(1), Personal::new(12), Personal::new(text("B")));
    vec![
        (
            "randomisation-asked.1",
            RandomisationAsked { list: text("main"), strata, allocation: Personal::new(ALLOCATION), number: number() },
        ),
        ("participant-randomised.1", Randomised { list: text("main"), number: number(), stratum, slot, arm }),
        ("randomisation-failed.1", RandomisationFailed { list: text("main") }),
        (
            "unblinding-asked.1",
            UnblindingAsked { unblinding: unblinding(), emergency: true, reason: reason("an overdose") },
        ),
        ("unblinding-approved.1", UnblindingApproved { unblinding: unblinding() }),
        ("unblinded.1", Unblinded { unblinding: unblinding() }),
        ("inadvertent-unblinding.1", InadvertentUnblinding { reason: reason("a label was left on") }),
    ]
}

pub(super) fn subject_number() -> Vec<(&'static str, subject_number::Event)> {
    use subject_number::{Event, NumberKey};
    let participant = text("11111111-2222-4333-8444-555555555506");
    vec![
        ("numbers-keyed.1", Event::Keyed { key: NumberKey(text(HASH)) }),
        ("number-claimed.1", Event::Claimed { participant }),
    ]
}

pub(super) fn randomisation() -> Vec<(&'static str, randomisation::Event)> {
    use randomisation::{Arm, Content, Event, Factor, Origin, Seed, Stratum};
    let arm = |arm, weight| Arm { arm: text(arm), weight };
    let numbers = |from: u32| (from..from + 3).map(|n| text(&n.to_string())).collect();
    let content = Content {
        arms: vec![arm("A", 2), arm("B", 1)],
        factors: vec![Factor { factor: text("sex"), levels: vec![text("f"), text("m")] }],
        origin: Origin::Generated { seed: Seed(text(HASH)), block_sizes: vec![3], slots: 3 },
        strata: vec![
            Stratum { arms: vec![0, 1, 0], numbers: numbers(1) },
            Stratum { arms: vec![1, 0, 0], numbers: numbers(4) },
        ],
        salt: Seed(text(OTHER_HASH)),
    };
    vec![
        ("list-sealed.1", Event::Sealed { content, digest: text(HASH) }),
        ("slot-assigned.1", Event::SlotAssigned { allocation: ALLOCATION, stratum: 1, slot: 12 }),
        ("list-closed.1", Event::Closed {}),
    ]
}

pub(super) fn export() -> Vec<(&'static str, export::Event)> {
    use domain::ids::ParticipantId;
    use export::{Cause, Event, File, Format, Frame, HistoryWanted, Order, TablesBy};
    let order = Order {
        recipient: text("Statistics"),
        purpose: text("Interim analysis"),
        expires_at: text("2026-11-29T12:00:00Z"),
        instruction: Some(text("CTRL-7")),
        formats: [Format::Odm132, Format::Odm20, Format::Csv, Format::DatasetJson, Format::Xpt].into(),
        sites: [text("oslo")].into(),
        design: Some(text(HASH)),
        history: HistoryWanted::Whole,
        tables: TablesBy::ItemGroup,
        guard_formulas: true,
    };
    let frame = Frame {
        sites: [text("oslo")].into(),
        scopes: [Scope::HealthClinical].into(),
        design: text(HASH),
        position: 42,
    };
    let file = File {
        name: "cardio.VS.csv".into(),
        media_type: "text/csv".into(),
        sha256: text(OTHER_HASH),
        bytes: 1234,
        records: 7,
    };
    let (copy, recipient, purpose) = (CommandId(COMMAND), text("Registry"), text("Safety report"));
    vec![
        ("export-started.1", Event::Started { order, frame }),
        (
            "participants-listed.1",
            Event::Listed { participants: vec![ParticipantId(ERASURE.0), ParticipantId(HOLD.0)] },
        ),
        ("export-completed.1", Event::Completed { manifest: text(HASH), files: vec![file] }),
        ("export-failed.1", Event::Failed {}),
        ("copy-given.1", Event::CopyGiven { copy, recipient, purpose }),
        ("export-deleted.1", Event::Deleted { cause: Cause::Expired }),
    ]
}

pub(super) fn access() -> Vec<(&'static str, access::Event)> {
    use access::{Event, Outcome, People, Purpose, Reflects, Seen};
    use domain::ids::{ExportId, ParticipantId, ReadId};
    let seen = Seen {
        view: text("participant.list"),
        outcome: Outcome::Shown,
        purpose: Purpose::DataManagement,
        study: Some(text("cardio")),
        participants: People(vec![ParticipantId(ERASURE.0)]),
        everybody_at: Some(Sites::All),
        user: Some(USER),
        export: Some(ExportId(HOLD.0)),
        scopes: vec![Scope::HealthClinical],
        reflects: Some(Reflects { incarnation: 1, sequence: 42 }),
        session: Some(text("11111111-2222-4333-8444-555555555507")),
        ticket: Some(ERASURE.0),
        trace: Some(text("4bf92f3577b34da6a3ce929d0e0e4736")),
    };
    let (address, agent) = (personal("203.0.113.7"), personal("curl/8"));
    vec![("data-read.1", Event::Read { read: ReadId(COMMAND), at: text("2026-11-22T12:00:00Z"), seen, address, agent })]
}

pub(super) fn incident() -> Vec<(&'static str, incident::Event)> {
    use incident::{Alert, Event, Finding, Rule};
    let (since, until) = (text("2026-11-22T12:00:00Z"), text("2026-11-22T12:10:00Z"));
    let alert = Alert { rule: Rule::BeyondSite, user: Some(USER), count: 5, limit: 5, since, until };
    vec![
        ("security-alert.1", Event::SecurityAlert { alert }),
        ("incident-opened.1", Event::Opened {}),
        ("incident-acknowledged.1", Event::Acknowledged {}),
        ("incident-closed.1", Event::Closed { finding: Finding::AttackRepelled, reference: Some(text("CTRL-7")) }),
    ]
}
