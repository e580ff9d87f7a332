use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::decider::Decider;
use crate::history::Revision;
use crate::permit::Principal;
use crate::scope::{Erasable, Part};
use crate::testing::{given, principal};

const LINK: CommitHash = CommitHash([1; 32]);
const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const LATER: Moment = Moment(datetime!(2026-11-22 13:00 UTC));
const RIGHT: RightId = RightId(Uuid::from_u128(1));
const SESSION: SessionId = SessionId(Uuid::from_u128(2));

/// The holder: the account of these tests has the id 7.
fn holder() -> Principal {
    principal(Role::Investigator, 7)
}

fn controller(n: u128) -> Principal {
    principal(Role::Controller, n)
}

fn platform() -> Principal {
    Principal::system(crate::testing::tenant(), Environment::Test)
}

fn terms(role: Role) -> Terms {
    let organisation = "hospital".parse().expect("valid");
    Terms { role, environment: Environment::Test, organisation, sites: Sites::All, expires_at: None }
}

fn given_right(role: Role) -> Event {
    Event::RightGiven { right: RIGHT, terms: terms(role) }
}

fn issued() -> Event {
    Event::LinkIssued { link: LINK, expires_at: LATER }
}

fn set() -> Event {
    Event::CredentialsSet {
        link: LINK,
        login: Personal::new("grace".into()),
        password: Personal::new("$argon2id$".into()),
        one_time: Personal::new("SECRET".into()),
        recovery: Personal::new(vec!["a".into(), "b".into()]),
        step: 10,
    }
}

fn use_link(login: &str) -> Command {
    Command::SetCredentials {
        link: LINK,
        login: login.into(),
        password: "$argon2id$".into(),
        one_time: "SECRET".into(),
        recovery: vec!["a".into(), "b".into()],
        step: 10,
    }
}

fn begin(second: Second) -> Command {
    let (token_hash, address) = (CommitHash([3; 32]), None);
    Command::BeginSession { session: SESSION, token_hash, right: RIGHT, expires_at: LATER, second, address }
}

fn begun(second: Second) -> Event {
    let (token_hash, address) = (CommitHash([3; 32]), None);
    Event::SessionBegun { session: SESSION, token_hash, right: RIGHT, expires_at: LATER, second, address }
}

fn opened() -> Vec<Event> {
    vec![issued(), given_right(Role::Investigator), set()]
}

fn inside() -> Vec<Event> {
    [opened(), vec![begun(Second::OneTime(11))]].concat()
}

fn prove(n: u128, password: bool, second: Option<Second>) -> Command {
    Command::Reauthenticate { attempt: AttemptId(Uuid::from_u128(n)), session: SESSION, password, second }
}

#[test]
fn nobody_gives_themselves_anything() {
    let give = Command::GiveRight { right: RIGHT, terms: terms(Role::Dpo) };
    let link = Command::IssueLink { link: LINK, expires_at: LATER };
    for command in [give.clone(), link.clone(), Command::EndRight { right: RIGHT }] {
        given::<Account>(opened()).by(controller(7)).when(command).rejected("own-account");
    }
    given::<Account>([]).by(controller(1)).when(link).then([issued()]);
    given::<Account>([]).by(controller(1)).when(give).then([given_right(Role::Dpo)]);
}

#[test]
fn a_right_is_for_people_for_somewhere_and_for_the_environment_of_who_gives_it() {
    let give = |terms| Command::GiveRight { right: RIGHT, terms };
    let by = |principal| given::<Account>([]).by(principal);
    for role in [Role::System, Role::Integrator] {
        by(controller(1)).when(give(terms(role))).rejected("not-for-people");
    }
    let nowhere = Terms { sites: Sites::Only([].into()), ..terms(Role::Monitor) };
    by(controller(1)).when(give(nowhere)).rejected("no-sites");
    let over = Terms { expires_at: Some(Moment(NOW)), ..terms(Role::Monitor) };
    by(controller(1)).when(give(over)).rejected("expired");
    let prod = Terms { environment: Environment::Prod, ..terms(Role::Monitor) };
    by(controller(1)).when(give(prod.clone())).rejected("other-environment");
    by(Principal { environment: Environment::Prod, ..controller(1) }).when(give(terms(Role::Monitor))).facts();
    by(platform()).when(give(prod)).facts();
}

#[test]
fn a_link_is_used_once_and_in_time() {
    let by = |events: Vec<Event>| given::<Account>(events).by(platform());
    by(vec![issued()]).when(use_link("grace")).then([set()]);
    by(vec![issued(), set()]).when(use_link("grace")).rejected("no-such-link");
    by(vec![]).when(use_link("grace")).rejected("no-such-link");
    let over = Event::LinkIssued { link: LINK, expires_at: Moment(NOW) };
    by(vec![over]).when(use_link("grace")).rejected("no-such-link");
    let newer = Event::LinkIssued { link: CommitHash([2; 32]), expires_at: LATER };
    by(vec![issued(), newer]).when(use_link("grace")).rejected("no-such-link");
    for login in ["me", "two words", "a\u{7}b"] {
        by(vec![issued()]).when(use_link(login)).rejected("invalid-login");
    }
}

#[test]
fn a_code_counts_once() {
    let by = |events: Vec<Event>| given::<Account>(events).by(holder());
    by(opened()).when(begin(Second::OneTime(11))).then([begun(Second::OneTime(11))]);
    for step in [9, 10] {
        by(opened()).when(begin(Second::OneTime(step))).rejected("code-used");
    }
    by(opened()).when(begin(Second::Recovery(1))).then([begun(Second::Recovery(1))]);
    let out = Event::SessionEnded { session: SESSION, cause: EndCause::SignedOut };
    let again = [opened(), vec![begun(Second::Recovery(1)), out]].concat();
    by(again.clone()).when(begin(Second::Recovery(1))).rejected("code-used");
    by(again).when(begin(Second::Recovery(0))).then([begun(Second::Recovery(0))]);
    by(vec![given_right(Role::Investigator)]).when(begin(Second::OneTime(11))).rejected("not-opened");
}

#[test]
fn a_session_is_begun_by_its_holder_with_a_right_that_counts() {
    let second = Second::OneTime(11);
    given::<Account>(opened()).by(principal(Role::Investigator, 8)).when(begin(second)).rejected("not-own-account");
    given::<Account>(opened()).by(principal(Role::Dpo, 7)).when(begin(second)).rejected("no-such-right");
    let ended = [opened(), vec![Event::RightEnded { right: RIGHT }]].concat();
    given::<Account>(ended).by(holder()).when(begin(second)).rejected("no-such-right");
}

#[test]
fn a_session_ends_with_its_time_its_right_and_the_credentials() {
    let account = |more: Vec<Event>| {
        let mut account = Account::default();
        for event in [inside(), more].concat() {
            account.evolve(&event, Revision(1).into());
        }
        account
    };
    assert!(account(vec![]).session_at(SESSION, NOW).is_some());
    assert!(account(vec![]).session_at(SESSION, LATER.0).is_none());
    for more in [Event::RightEnded { right: RIGHT }, set()] {
        assert!(account(vec![more.clone()]).session_at(SESSION, NOW).is_none(), "{more:?}");
    }
}

#[test]
fn a_session_is_ended_by_its_holder_or_by_who_administers() {
    let end = Command::EndSession { session: SESSION };
    let ended = |cause| [Event::SessionEnded { session: SESSION, cause }];
    let here = Principal { session: Some(SESSION), ..holder() };
    given::<Account>(inside()).by(here).when(end.clone()).then(ended(EndCause::SignedOut));
    given::<Account>(inside()).by(holder()).when(end.clone()).then(ended(EndCause::Revoked));
    given::<Account>(inside()).by(controller(1)).when(end.clone()).then(ended(EndCause::Revoked));
    given::<Account>(inside()).by(principal(Role::Dpo, 1)).when(end).rejected("not-own-account");
}

#[test]
fn the_first_signature_of_a_session_takes_both_factors_and_later_ones_one() {
    let by = |events: Vec<Event>| given::<Account>(events).by(holder());
    by(inside()).when(prove(1, true, None)).rejected("too-few-factors");
    by(inside()).when(prove(1, false, Some(Second::OneTime(12)))).rejected("too-few-factors");
    let both = by(inside()).when(prove(1, true, Some(Second::OneTime(12)))).facts();
    let signed = [inside(), both].concat();
    by(signed.clone()).when(prove(2, true, None)).facts();
    by(signed.clone()).when(prove(2, false, Some(Second::OneTime(13)))).facts();
    by(signed.clone()).when(prove(2, false, Some(Second::OneTime(12)))).rejected("code-used");
    by(signed.clone()).when(prove(2, false, None)).rejected("too-few-factors");
    given::<Account>(signed)
        .by(principal(Role::Investigator, 8))
        .when(prove(2, true, None))
        .rejected("not-own-account");
    by(opened()).when(prove(1, true, Some(Second::OneTime(12)))).rejected("no-such-session");
}

#[test]
fn the_pause_grows_with_every_failure_and_ends_with_success() {
    let pauses: Vec<u64> = [4, 5, 6, 7, 12, 100].map(|n| pause_after(n).as_secs()).into();
    assert_eq!(pauses, [0, 30, 60, 120, 3600, 3600]);
    let mut account = Account::default();
    for n in 0..5 {
        account
            .evolve(&Event::SignInFailed { attempt: AttemptId(Uuid::from_u128(n)), address: None }, Revision(1).into());
    }
    let epoch = OffsetDateTime::UNIX_EPOCH;
    assert_eq!(account.locked_until(), Some(epoch + Duration::from_secs(30)));
    account.evolve(&begun(Second::OneTime(11)), Revision(1).into());
    assert_eq!(account.locked_until(), None);
}

#[test]
fn another_password_ends_the_other_sessions() {
    let other = SessionId(Uuid::from_u128(9));
    let Event::SessionBegun { token_hash, right, expires_at, address, .. } = begun(Second::OneTime(12)) else {
        panic!()
    };
    let second =
        Event::SessionBegun { session: other, token_hash, right, expires_at, second: Second::OneTime(12), address };
    let change = Command::ChangePassword { session: SESSION, second: Second::OneTime(13), password: "$new".into() };
    let both = [inside(), vec![second]].concat();
    let facts = given::<Account>(both.clone()).by(holder()).when(change).facts();
    let mut account = Account::default();
    [both, facts].concat().iter().for_each(|event| account.evolve(event, Revision(1).into()));
    assert_eq!(account.sessions.keys().collect::<Vec<_>>(), [&SESSION]);
}

#[test]
fn a_review_is_of_something_says_what_was_found_and_is_the_reviewers_own() {
    let id = ReviewId(Uuid::from_u128(9));
    let trail = |after, through, finding: &str| Command::ReviewTrail {
        review: id,
        study: "cardio".parse().expect("valid"),
        after,
        through,
        finding: finding.into(),
    };
    let auditor = principal(Role::Auditor, 7);
    let found = Event::ReviewRecorded {
        review: id,
        of: Reviewed::AuditTrail {
            study: "cardio".parse().expect("valid"),
            sites: auditor.sites.clone(),
            after: 3,
            through: 40,
        },
        finding: Personal::in_part(
            Part::of_command(crate::ids::CommandId(Uuid::from_u128(99)), 0),
            Erasable::Known("Nothing.".to_owned()),
        ),
    };
    let by = |events: Vec<Event>| given::<Account>(events).by(auditor.clone());
    by(vec![]).when(trail(3, 40, "Nothing.")).then([found.clone()]);
    by(vec![]).when(trail(40, 40, "Nothing.")).rejected("nothing-reviewed");
    by(vec![]).when(trail(3, 40, "  ")).rejected("no-finding");
    by(vec![found]).when(trail(3, 40, "Nothing.")).then([]);
    let other = principal(Role::Auditor, 8);
    given::<Account>([]).by(other).when(trail(3, 40, "Nothing.")).rejected("not-own-account");
}

#[test]
fn who_looks_into_a_commit_does_so_in_a_session_of_their_own_and_once() {
    let look = |n| Command::OpenCommit {
        attempt: AttemptId(Uuid::from_u128(n)),
        session: SESSION,
        study: None,
        sequence: 4,
        hash: CommitHash([9; 32]),
        reason: OpeningReason::Audit,
    };
    let looked = |n| Event::CommitOpened {
        attempt: AttemptId(Uuid::from_u128(n)),
        session: SESSION,
        study: None,
        sequence: 4,
        hash: CommitHash([9; 32]),
        reason: OpeningReason::Audit,
    };
    let looked_before = || [inside(), vec![looked(1)]].concat();
    given::<Account>(inside()).by(holder()).when(look(1)).then([looked(1)]);
    given::<Account>(looked_before()).by(holder()).when(look(1)).then([]);
    given::<Account>(looked_before()).by(holder()).when(look(2)).then([looked(2)]);
    given::<Account>(inside()).by(controller(1)).when(look(1)).rejected("not-own-account");
    given::<Account>(opened()).by(holder()).when(look(1)).rejected("no-such-session");
    let order = Command::OrderRebuild { attempt: AttemptId(Uuid::from_u128(3)), session: SESSION, projection: None };
    given::<Account>(opened()).by(holder()).when(order).rejected("no-such-session");
}

const KEY: PasskeyId = PasskeyId(Uuid::from_u128(20));

fn used(count: u32) -> Second {
    Second::Passkey(PasskeyUse { passkey: KEY, count })
}

fn add(passkey: PasskeyId, second: Second, credential: &str, name: &str) -> Command {
    let (credential, key, name) = (credential.into(), "cose".into(), name.into());
    Command::AddPasskey { passkey, session: SESSION, second, credential, key, name, count: 4 }
}

fn with_passkey() -> Vec<Event> {
    let facts = given::<Account>(inside()).by(holder()).when(add(KEY, Second::OneTime(12), "one", "Laptop")).facts();
    [inside(), facts].concat()
}

#[test]
fn a_passkey_is_added_by_its_holder_with_proof_and_known_once() {
    let by = |events: Vec<Event>| given::<Account>(events).by(holder());
    let (other, second) = (PasskeyId(Uuid::from_u128(21)), Second::OneTime(13));
    given::<Account>(inside()).by(controller(1)).when(add(KEY, second, "one", "x")).rejected("not-own-account");
    by(inside()).when(add(KEY, Second::OneTime(11), "one", "Laptop")).rejected("code-used");
    by(inside()).when(add(KEY, second, "one", " ")).rejected("invalid-passkey-name");
    by(opened()).when(add(KEY, second, "one", "Laptop")).rejected("no-such-session");
    by(with_passkey()).when(add(KEY, second, "one", "Laptop")).then([]);
    by(with_passkey()).when(add(KEY, second, "two", "Laptop")).rejected("passkey-exists");
    by(with_passkey()).when(add(other, second, "one", "Laptop")).rejected("passkey-known");
    by(with_passkey()).when(add(other, used(5), "two", "Phone")).facts();
    let many = (0..9).flat_map(|n| {
        let command = add(PasskeyId(Uuid::from_u128(30 + n)), Second::OneTime(20), &format!("c{n}"), "x");
        given::<Account>(inside()).by(holder()).when(command).facts()
    });
    let full: Vec<Event> = with_passkey().into_iter().chain(many).collect();
    by(full).when(add(other, Second::OneTime(99), "two", "Phone")).rejected("too-many-passkeys");
}

#[test]
fn a_passkey_is_both_factors_and_one_that_counts_back_is_a_copy() {
    let by = |events: Vec<Event>| given::<Account>(events).by(holder());
    let again = |second| {
        let (token_hash, address) = (CommitHash([9; 32]), None);
        let session = SessionId(Uuid::from_u128(3));
        Command::BeginSession { session, token_hash, right: RIGHT, expires_at: LATER, second, address }
    };
    by(with_passkey()).when(prove(1, false, Some(used(5)))).facts();
    by(with_passkey()).when(again(used(5))).facts();
    by(with_passkey()).when(again(used(4))).rejected("passkey-copied");
    let on = by(with_passkey()).when(again(used(7))).facts();
    by([with_passkey(), on].concat()).when(prove(1, false, Some(used(6)))).rejected("passkey-copied");
    let unknown = Second::Passkey(PasskeyUse { passkey: PasskeyId(Uuid::from_u128(99)), count: 1 });
    by(with_passkey()).when(again(unknown)).rejected("no-such-passkey");
}

#[test]
fn a_removed_passkey_opens_nothing_and_ends_the_other_sessions() {
    let remove = Command::RemovePasskey { passkey: KEY };
    let here = Principal { session: Some(SESSION), ..holder() };
    let removed = given::<Account>(with_passkey()).by(here).when(remove.clone()).facts();
    assert_eq!(removed, [Event::PasskeyRemoved { passkey: KEY, session: Some(SESSION) }]);
    let after = [with_passkey(), removed].concat();
    let by = |events: Vec<Event>| given::<Account>(events).by(holder());
    by(after.clone()).when(prove(1, false, Some(used(9)))).rejected("no-such-passkey");
    by(after.clone()).when(remove.clone()).then([]);
    by(after.clone()).when(add(KEY, Second::OneTime(20), "one", "Laptop")).rejected("passkey-exists");
    by(inside()).when(remove.clone()).rejected("no-such-passkey");
    given::<Account>(with_passkey()).by(principal(Role::Dpo, 1)).when(remove.clone()).rejected("not-own-account");
    let by_other = given::<Account>(with_passkey()).by(controller(1)).when(remove).facts();
    let mut account = Account::default();
    [with_passkey(), by_other].concat().iter().for_each(|event| account.evolve(event, Revision(1).into()));
    assert!(account.sessions.is_empty() && account.passkeys.is_empty());
    let mut account = Account::default();
    [with_passkey(), vec![set()]].concat().iter().for_each(|event| account.evolve(event, Revision(1).into()));
    assert!(account.passkeys.is_empty(), "new credentials are new ones altogether");
}

const SECRET: TokenId = TokenId(Uuid::from_u128(40));

fn machine_terms(role: Role, environment: Environment) -> MachineTerms {
    let organisation = "hospital".parse().expect("valid");
    let (networks, certificate, study) = (vec![], None, None);
    MachineTerms { role, environment, organisation, sites: Sites::All, study, networks, certificate }
}

fn admit(role: Role, environment: Environment) -> Command {
    Command::AdmitMachine { terms: machine_terms(role, environment) }
}

fn admitted() -> Vec<Event> {
    vec![Event::MachineAdmitted { terms: machine_terms(Role::Integrator, Environment::Test) }]
}

fn issue(n: u128, others_end: Option<Moment>) -> Command {
    let (secret, hash) = (TokenId(Uuid::from_u128(n)), CommitHash([n as u8; 32]));
    Command::IssueSecret { secret, hash, expires_at: LATER, others_end }
}

fn after(events: Vec<Event>) -> Account {
    let mut account = Account::default();
    events.iter().for_each(|event| account.evolve(event, Revision(1).into()));
    account
}

#[test]
fn a_machine_is_let_in_by_who_administers_there_and_decides_nothing_that_people_do() {
    let by = |principal| given::<Account>([]).by(principal);
    by(controller(1)).when(admit(Role::Integrator, Environment::Test)).then(admitted());
    for role in [Role::System, Role::Controller, Role::Dpo] {
        by(controller(1)).when(admit(role, Environment::Test)).rejected("not-for-machines");
    }
    by(controller(1)).when(admit(Role::Integrator, Environment::Prod)).rejected("other-environment");
    by(controller(7)).when(admit(Role::Integrator, Environment::Test)).rejected("own-account");
    given::<Account>(opened())
        .by(controller(1))
        .when(admit(Role::Monitor, Environment::Test))
        .rejected("not-a-machine");
    let link = Command::IssueLink { link: LINK, expires_at: LATER };
    let give = Command::GiveRight { right: RIGHT, terms: terms(Role::Dpo) };
    for command in [link, give] {
        given::<Account>(admitted()).by(controller(1)).when(command).rejected("of-a-machine");
    }
    let prod = vec![Event::MachineAdmitted { terms: machine_terms(Role::Integrator, Environment::Prod) }];
    given::<Account>(prod).by(controller(1)).when(issue(40, None)).rejected("other-environment");
}

#[test]
fn two_secrets_of_a_machine_count_side_by_side_until_the_older_ends() {
    let by = |events: Vec<Event>| given::<Account>(events).by(controller(1));
    let soon = Moment(datetime!(2026-11-22 12:30 UTC));
    by(vec![]).when(issue(40, None)).rejected("not-a-machine");
    let one = [admitted(), by(admitted()).when(issue(40, None)).facts()].concat();
    by(one.clone()).when(issue(40, None)).then([]);
    let two = [one.clone(), by(one.clone()).when(issue(41, Some(soon))).facts()].concat();
    by(two.clone()).when(issue(42, None)).rejected("too-many-secrets");
    by(two.clone()).when(issue(42, Some(Moment(NOW)))).facts();
    let account = after(two.clone());
    let opens = |n: u8, at| account.machine_by(&CommitHash([n; 32]), at).is_some();
    assert!(opens(40, NOW) && opens(41, NOW));
    assert!(!opens(40, soon.0) && opens(41, soon.0) && !opens(41, LATER.0));
    assert!(!opens(39, NOW));
    let revoke = Command::RevokeSecret { secret: SECRET };
    let revoked = by(two.clone()).when(revoke.clone()).facts();
    assert!(after([two.clone(), revoked.clone()].concat()).machine_by(&CommitHash([40; 32]), NOW).is_none());
    by([two.clone(), revoked].concat()).when(issue(40, None)).rejected("secret-exists");
    by(admitted()).when(revoke).rejected("no-such-secret");
    let gone = [two.clone(), by(two).when(Command::DismissMachine).facts()].concat();
    assert!(after(gone.clone()).machine_by(&CommitHash([41; 32]), NOW).is_none());
    by(gone.clone()).when(issue(50, None)).rejected("not-a-machine");
    by(gone).when(Command::DismissMachine).then([]);
    let long = Moment(NOW + SECRET_LASTS_MAX + Duration::from_secs(1));
    let command = Command::IssueSecret { secret: SECRET, hash: LINK, expires_at: long, others_end: None };
    by(admitted()).when(command).rejected("lasts-too-long");
}

#[test]
fn who_comes_by_a_provider_is_joined_by_a_link_and_has_no_other_way_in() {
    let join = Command::LinkIdentity { link: LINK, issuer: "https://id".into(), subject: "248289761001".into() };
    let by = |events: Vec<Event>| given::<Account>(events).by(platform());
    by(vec![]).when(join.clone()).rejected("no-such-link");
    let linked = by([inside(), vec![issued()]].concat()).when(join.clone()).facts();
    let after = [inside(), vec![issued()], linked].concat();
    by(after.clone()).when(join).rejected("no-such-link");
    let by = |events: Vec<Event>| given::<Account>(events).by(holder());
    by(after.clone()).when(begin(Second::OneTime(99))).rejected("not-opened");
    by(after.clone()).when(begin(Second::Provider)).then([begun(Second::Provider)]);
    by(opened()).when(begin(Second::Provider)).rejected("code-used");
    let there = [after, vec![begun(Second::Provider)]].concat();
    by(there.clone()).when(prove(1, true, Some(Second::Provider))).rejected("not-opened");
    by(there).when(add(KEY, Second::Provider, "one", "Laptop")).rejected("not-opened");
}
