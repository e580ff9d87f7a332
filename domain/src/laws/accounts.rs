//! Random histories of an account.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use time::macros::datetime;
use uuid::Uuid;

use super::world::{World, text};
use crate::Moment;
use crate::account::{Account, Command, MachineTerms, OpeningReason, PasskeyUse, Second, Terms};
use crate::history::{Aggregate, CommitHash, StreamId};
use crate::ids::{AttemptId, Environment, PasskeyId, ReviewId, RightId, SessionId, TokenId};
use crate::permit::{Role, Sites};
use crate::testing::tenant;

const LINK: CommitHash = CommitHash([1; 32]);
const LATER: Moment = Moment(datetime!(2026-11-22 13:00 UTC));

fn seconds() -> impl Strategy<Value = Second> {
    let used = (passkeys(), 0..4_u32).prop_map(|(passkey, count)| Second::Passkey(PasskeyUse { passkey, count }));
    let provider = Just(Second::Provider);
    prop_oneof![(0..9_u64).prop_map(Second::OneTime), (0..3_u32).prop_map(Second::Recovery), used, provider]
}

fn passkeys() -> impl Strategy<Value = PasskeyId> {
    (1..4_u128).prop_map(|n| PasskeyId(Uuid::from_u128(n)))
}

fn add_passkey(passkey: PasskeyId, session: SessionId, second: Second, credential: crate::scope::Plain) -> Command {
    let (key, name) = ("CANARY-key".into(), "CANARY-name".into());
    Command::AddPasskey { passkey, session, second, credential, key, name, count: 0 }
}

fn sessions() -> impl Strategy<Value = SessionId> {
    (1..3_u128).prop_map(|n| SessionId(Uuid::from_u128(n)))
}

fn attempts() -> impl Strategy<Value = AttemptId> {
    (1..9_u128).prop_map(|n| AttemptId(Uuid::from_u128(n)))
}

fn rights() -> impl Strategy<Value = RightId> {
    (1..3_u128).prop_map(|n| RightId(Uuid::from_u128(n)))
}

fn reviews() -> impl Strategy<Value = ReviewId> {
    (1..9_u128).prop_map(|n| ReviewId(Uuid::from_u128(n)))
}

fn moments() -> impl Strategy<Value = Moment> {
    select(vec![Moment(datetime!(2026-11-22 11:00 UTC)), LATER])
}

fn terms(role: Role, sites: Sites, expires_at: Option<Moment>) -> Terms {
    Terms { role, environment: Environment::Test, organisation: "hospital".parse().expect("valid"), sites, expires_at }
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let roles = select(vec![Role::Investigator, Role::Controller, Role::System]);
    let sites = prop_oneof![4 => Just(Sites::All), 1 => Just(Sites::Only([].into()))];
    (roles, sites, option::of(moments())).prop_map(|(role, sites, until)| terms(role, sites, until))
}

fn set_credentials(link: CommitHash, login: crate::scope::Plain, step: u64) -> Command {
    let secret = || "CANARY-secret".into();
    Command::SetCredentials { link, login, password: secret(), one_time: secret(), recovery: vec![secret()], step }
}

fn open_commit(attempt: AttemptId, session: SessionId, sequence: u64) -> Command {
    let hash = CommitHash([sequence as u8; 32]);
    Command::OpenCommit { attempt, session, study: None, sequence, hash, reason: OpeningReason::Fault }
}

fn machine_terms(role: Role) -> MachineTerms {
    MachineTerms {
        role,
        environment: Environment::Test,
        organisation: "hospital".parse().expect("valid"),
        sites: Sites::All,
        study: None,
        networks: vec!["198.51.100.0/24".parse().expect("a network")],
        certificate: None,
    }
}

fn machines() -> impl Strategy<Value = Command> {
    let secrets = || (1..4_u128).prop_map(|n| TokenId(Uuid::from_u128(n)));
    let roles = select(vec![Role::Integrator, Role::Monitor, Role::Dpo]);
    prop_oneof![
        roles.prop_map(|role| Command::AdmitMachine { terms: machine_terms(role) }),
        (secrets(), moments(), option::of(moments())).prop_map(|(secret, expires_at, others_end)| {
            Command::IssueSecret { secret, hash: CommitHash([7; 32]), expires_at, others_end }
        }),
        secrets().prop_map(|secret| Command::RevokeSecret { secret }),
        Just(Command::DismissMachine),
    ]
}

impl World for Account {
    fn commands() -> BoxedStrategy<Command> {
        let links = || select(vec![LINK, CommitHash([2; 32])]);
        let hashes = select(vec![CommitHash([3; 32]), CommitHash([4; 32])]);
        let logins = prop_oneof![1 => text(), 3 => Just("CANARY".into())];
        prop_oneof![
            (links(), moments()).prop_map(|(link, expires_at)| Command::IssueLink { link, expires_at }),
            (rights(), any_terms()).prop_map(|(right, terms)| Command::GiveRight { right, terms }),
            rights().prop_map(|right| Command::EndRight { right }),
            (links(), logins, 0..9_u64).prop_map(|(link, login, step)| set_credentials(link, login, step)),
            (sessions(), seconds(), text()).prop_map(|(session, second, password)| Command::ChangePassword {
                session,
                second,
                password
            }),
            (sessions(), hashes, rights(), moments(), seconds(), option::of(text())).prop_map(
                |(session, token_hash, right, expires_at, second, address)| Command::BeginSession {
                    session,
                    token_hash,
                    right,
                    expires_at,
                    second,
                    address
                }
            ),
            sessions().prop_map(|session| Command::EndSession { session }),
            (attempts(), option::of(text())).prop_map(|(attempt, address)| Command::RecordFailure { attempt, address }),
            (reviews(), select(vec![0_u64, 5]), text()).prop_map(|(review, after, finding)| Command::ReviewTrail {
                review,
                study: "cardio".parse().expect("valid"),
                after,
                through: 5,
                finding
            }),
            (reviews(), text()).prop_map(|(review, finding)| Command::ReviewAccess { review, finding }),
            (passkeys(), sessions(), seconds(), text())
                .prop_map(|(passkey, session, second, credential)| add_passkey(passkey, session, second, credential)),
            passkeys().prop_map(|passkey| Command::RemovePasskey { passkey }),
            machines(),
            (links(), text(), text()).prop_map(|(link, issuer, subject)| Command::LinkIdentity {
                link,
                issuer,
                subject
            }),
            (attempts(), sessions(), any::<bool>(), option::of(seconds())).prop_map(
                |(attempt, session, password, second)| Command::Reauthenticate { attempt, session, password, second }
            ),
            (attempts(), sessions(), 1..9_u64)
                .prop_map(|(attempt, session, sequence)| { open_commit(attempt, session, sequence) }),
            (attempts(), sessions()).prop_map(|(attempt, session)| Command::OrderRebuild {
                attempt,
                session,
                projection: None
            }),
        ]
        .boxed()
    }

    fn governing() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    /// That of the first of those who act, who so acts on their own now and then.
    fn stream() -> StreamId {
        StreamId::in_tenant(&tenant(), Aggregate::Account, Uuid::from_u128(1))
    }

    /// An authenticator holds one passkey of an account.
    fn compares_values(command: &Command) -> bool {
        matches!(command, Command::AddPasskey { .. })
    }

    fn asks_for(&self) -> Option<Command> {
        let (right, session) = (RightId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(1)));
        let next = Second::OneTime(self.credentials.as_ref().map_or(1, |credentials| credentials.step + 1));
        if let Some(machine) = &self.machines.current {
            let secret = TokenId(Uuid::from_u128(9));
            return Some(match (machine.secrets.is_empty(), self.machines.secrets_ever.contains(&secret)) {
                (_, false) if machine.secrets.len() < 2 => {
                    let (hash, others_end) = (CommitHash([8; 32]), None);
                    Command::IssueSecret { secret, hash, expires_at: LATER, others_end }
                }
                (false, _) => Command::RevokeSecret { secret: *machine.secrets.keys().next()? },
                (true, _) => Command::DismissMachine,
            });
        }
        if self.machines.ever {
            return Some(Command::AdmitMachine { terms: machine_terms(Role::Integrator) });
        }
        if self.provided && self.link.is_none() {
            return Some(Command::IssueLink { link: CommitHash([2; 32]), expires_at: LATER });
        }
        Some(match (&self.credentials, self.link) {
            (None, None) => Command::IssueLink { link: LINK, expires_at: LATER },
            (None, Some(link)) => set_credentials(link.hash, "CANARY".into(), 1),
            (Some(_), _) if self.rights.is_empty() => {
                Command::GiveRight { right, terms: terms(Role::Investigator, Sites::All, None) }
            }
            (Some(_), _) if self.sessions.is_empty() => Command::BeginSession {
                session,
                token_hash: CommitHash([3; 32]),
                right,
                expires_at: LATER,
                second: next,
                address: None,
            },
            (Some(_), _) if self.passkeys_ever.is_empty() => {
                add_passkey(PasskeyId(Uuid::from_u128(9)), session, next, "CANARY-credential".into())
            }
            (Some(_), _) if self.passkeys.contains_key(&PasskeyId(Uuid::from_u128(9))) => {
                Command::RemovePasskey { passkey: PasskeyId(Uuid::from_u128(9)) }
            }
            (Some(_), _) => {
                let attempt = AttemptId(Uuid::from_u128(100));
                Command::Reauthenticate { attempt, session, password: true, second: Some(next) }
            }
        })
    }
}
