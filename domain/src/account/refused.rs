//! Why an account's command is refused.

use crate::rejection::{Kind, Rejection};

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Rights, links and sessions of others are for those who administer; nobody administers themselves.
    #[error("nobody gives rights or links to themselves: ask another who administers")]
    OwnAccount,
    /// The holder alone may.
    #[error("only the holder of this account may do this")]
    NotOwnAccount,
    /// Who administers in one environment does so there alone, unless it is PROD.
    #[error("a right in another environment is given by who administers in PROD")]
    OtherEnvironment,
    /// Not for people.
    #[error("this role is for programs: issue a token instead")]
    NotForPeople,
    /// Opens nothing.
    #[error("a right for no site opens nothing: name at least one, or all")]
    NoSites,
    /// Over before it begins.
    #[error("it would have expired already: name a time to come")]
    Expired,
    /// The id is taken.
    #[error("this right id was used before: choose a new random id")]
    RightExists,
    /// Not there.
    #[error("the account has no such right")]
    NoSuchRight,
    /// Used, replaced, over, or never there.
    #[error("the link is unknown, used or over: ask for a new one")]
    NoSuchLink,
    /// No good name to sign in by.
    #[error("a login name is needed: 3 to 200 characters without blanks")]
    InvalidLogin,
    /// Nobody has used a link yet.
    #[error("nobody has opened this account yet")]
    NotOpened,
    /// A code counts once.
    #[error("this code was used before: wait for the next one")]
    CodeUsed,
    /// Ended, over, or never there.
    #[error("there is no such session any more")]
    NoSuchSession,
    /// The id is taken.
    #[error("this session id was used before: choose a new random id")]
    SessionExists,
    /// 21 CFR 11.200(a)(1)(i).
    #[error("the first signature of a session takes the password and a code, or a passkey; later ones one of them")]
    TooFewFactors,
    /// A review of nothing.
    #[error("a review covers at least one entry: its last position comes after its first")]
    NothingReviewed,
    /// A review says what it found.
    #[error("a review says what was found, and if that is nothing, it says so")]
    NoFinding,
    /// The id is taken.
    #[error("this passkey id was used before: choose a new random id")]
    PasskeyExists,
    /// Removed, or never there.
    #[error("the account has no such passkey")]
    NoSuchPasskey,
    /// One authenticator holds one passkey of an account.
    #[error("this authenticator holds a passkey of this account already")]
    PasskeyKnown,
    /// Enough.
    #[error("the account has as many passkeys as it can have: remove one first")]
    TooManyPasskeys,
    /// No name.
    #[error("a passkey needs a name to be told from others: 1 to 60 printable characters")]
    InvalidPasskeyName,
    /// A person's.
    #[error("this account is not that of a machine")]
    NotAMachine,
    /// A machine's.
    #[error("this account is that of a machine: it has terms and secrets, and neither links nor rights")]
    OfAMachine,
    /// Not for programs.
    #[error("this role is for people: what it decides is decided by somebody who proves who they are")]
    NotForMachines,
    /// The id is taken.
    #[error("this secret id was used before: choose a new random id")]
    SecretExists,
    /// Revoked, or never there.
    #[error("the machine has no such secret")]
    NoSuchSecret,
    /// Two count side by side.
    #[error("two secrets count already: say when those before end, or revoke one")]
    TooManySecrets,
    /// For ever is too long.
    #[error("a secret counts for a year and a day at most")]
    LastsTooLong,
    /// It counts its uses, and has counted back: there is a second one like it.
    #[error("this passkey was used elsewhere since, as only a copy of it can be: remove it")]
    PasskeyCopied,
}

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::OwnAccount => "own-account",
            Self::NotOwnAccount => "not-own-account",
            Self::OtherEnvironment => "other-environment",
            Self::NotForPeople => "not-for-people",
            Self::NoSites => "no-sites",
            Self::Expired => "expired",
            Self::RightExists => "right-exists",
            Self::NoSuchRight => "no-such-right",
            Self::NoSuchLink => "no-such-link",
            Self::InvalidLogin => "invalid-login",
            Self::NotOpened => "not-opened",
            Self::CodeUsed => "code-used",
            Self::NoSuchSession => "no-such-session",
            Self::SessionExists => "session-exists",
            Self::TooFewFactors => "too-few-factors",
            Self::NothingReviewed => "nothing-reviewed",
            Self::NoFinding => "no-finding",
            Self::PasskeyExists => "passkey-exists",
            Self::NoSuchPasskey => "no-such-passkey",
            Self::PasskeyKnown => "passkey-known",
            Self::TooManyPasskeys => "too-many-passkeys",
            Self::InvalidPasskeyName => "invalid-passkey-name",
            Self::PasskeyCopied => "passkey-copied",
            Self::NotAMachine => "not-a-machine",
            Self::OfAMachine => "of-a-machine",
            Self::NotForMachines => "not-for-machines",
            Self::SecretExists => "secret-exists",
            Self::NoSuchSecret => "no-such-secret",
            Self::TooManySecrets => "too-many-secrets",
            Self::LastsTooLong => "lasts-too-long",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::OwnAccount
            | Self::NotOwnAccount
            | Self::OtherEnvironment
            | Self::TooFewFactors
            | Self::CodeUsed
            | Self::PasskeyCopied => Kind::Forbidden,
            Self::NotForPeople
            | Self::NotForMachines
            | Self::NoSites
            | Self::Expired
            | Self::LastsTooLong
            | Self::InvalidLogin
            | Self::InvalidPasskeyName
            | Self::NothingReviewed
            | Self::NoFinding => Kind::Invalid,
            Self::NoSuchRight | Self::NoSuchLink | Self::NoSuchSession | Self::NoSuchPasskey | Self::NoSuchSecret => {
                Kind::NotFound
            }
            Self::RightExists
            | Self::NotOpened
            | Self::SessionExists
            | Self::PasskeyExists
            | Self::PasskeyKnown
            | Self::NotAMachine
            | Self::OfAMachine
            | Self::SecretExists
            | Self::TooManySecrets
            | Self::TooManyPasskeys => Kind::Conflict,
        }
    }
}
