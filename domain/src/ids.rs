//! Every id type, one list. An id is opaque: nothing personal is in it and nothing personal derives it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Why a text is not a valid id. Names the kind of id and the rule, never the text itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: {rule}")]
pub struct InvalidId {
    /// Which kind of id was expected.
    pub kind: &'static str,
    /// What such an id looks like.
    pub rule: &'static str,
}

/// Declares ids that are random UUIDs.
macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId { kind: $kind, rule: "a UUID" })
            }
        }
    )+};
}

/// Declares ids that are short texts of a closed alphabet.
macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal, $max:literal, $allowed:expr, $rule:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                let allowed: fn(char) -> bool = $allowed;
                if !text.is_empty() && text.chars().count() <= $max && text.chars().all(allowed) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId { kind: $kind, rule: $rule })
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )+};
}

uuid_ids! {
    /// A person in a study. Chosen at random by the client, so that a retry registers once.
    ParticipantId = "participant id";
    /// A person or a service account that acts.
    UserId = "user id";
    /// One bearer token of a user.
    TokenId = "token id";
    /// One right of a user: a role for an organisation, at some sites, in one environment.
    RightId = "right id";
    /// One session of a user, from sign-in to its end.
    SessionId = "session id";
    /// One review of an audit trail, or of who may come in.
    ReviewId = "review id";
    /// One try to prove who somebody is.
    AttemptId = "attempt id";
    /// One passkey of a user.
    PasskeyId = "passkey id";
    /// One command; the client's `Idempotency-Key`.
    CommandId = "command id";
    /// What belongs together: every command that one request set off.
    CorrelationId = "correlation id";
    /// One erasure, from request to completion.
    ErasureId = "erasure id";
    /// One legal hold.
    HoldId = "hold id";
    /// What joins a participant to a slot of a randomisation list: drawn at random, and sealed where the person is named.
    AllocationId = "allocation id";
    /// One export, from order to deletion.
    ExportId = "export id";
    /// One answer that showed personal data, or was refused.
    ReadId = "read id";
    /// One incident, from the alert that opened it to its finding.
    IncidentId = "incident id";
}

text_ids! {
    /// A customer: the data controller.
    TenantId = "tenant id", 32, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', "1 to 32 of a-z, 0-9 and -";
    /// A protocol in one environment.
    StudyId = "study id", 32, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', "1 to 32 of a-z, 0-9 and -";
    /// A place that treats participants.
    SiteId = "site id", 32, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_', "1 to 32 letters, digits, - and _";
    /// The participant's pseudonym in the study, unique per study.
    SubjectNumber = "subject number", 32, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_', "1 to 32 letters, digits, - and _";
    /// The organisation for which somebody acts.
    OrganisationId = "organisation id", 64, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_', "1 to 64 letters, digits, - and _";
    /// The controller's instruction to the processor, as the controller numbers it. Not for words about a person.
    InstructionId = "instruction reference", 64, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'), "1 to 64 letters, digits, - _ . and /";
    /// An object id of the study design (ODM 1.3.2, section 2.12: `oid`).
    Oid = "OID", 128, |c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | '<' | '>' | '&'), "1 to 128 visible ASCII characters without quotes, slashes, < > and &";
    /// The name of a site or study, for people. Not for names of persons.
    Label = "label", 200, |c| !c.is_control(), "1 to 200 printable characters";
    /// An edit check of a design.
    CheckId = "check id", 200, |c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '<' | '>' | '&'), "1 to 200 visible ASCII characters without quotes, < > and &";
    /// A query about data: the command that opened it, and a number.
    QueryId = "query id", 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', "1 to 64 of a-z, 0-9 and -";
    /// A signature: the command that made it.
    SignatureId = "signature id", 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', "1 to 64 of a-z, 0-9 and -";
    /// A request to be shown an arm: the command that made it.
    UnblindingId = "unblinding id", 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', "1 to 64 of a-z, 0-9 and -";
    /// A randomisation list of a study.
    ListId = "randomisation list id", 32, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', "1 to 32 of a-z, 0-9 and -";
    /// An arm, a stratification factor or one of its levels. Not for words about a person.
    Code = "code", 64, |c| c.is_ascii_graphic() && !matches!(c, '"' | ',' | '\\'), "1 to 64 visible ASCII characters without quotes, commas and backslashes";
    /// What a participant's allocation is called where the arm is not told: on a kit, on the telephone.
    RandomisationNumber = "randomisation number", 32, |c| c.is_ascii_alphanumeric() || c == '-', "1 to 32 letters, digits and -";
    /// A retention rule of a study, as the study numbers it.
    RuleId = "rule id", 32, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', "1 to 32 of a-z, 0-9 and -";
    /// What was asked for, as the tables of rights name it.
    ViewName = "view name", 64, |c| c.is_ascii_lowercase() || matches!(c, '-' | '.'), "1 to 64 of a-z, - and .";
    /// The trace of a request (W3C Trace Context).
    TraceId = "trace id", 32, |c| c.is_ascii_digit() || ('a'..='f').contains(&c), "32 hexadecimal digits";
    /// The version of a consent form that was signed.
    ConsentVersion = "consent version", 32, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'), "1 to 32 letters, digits, - _ and .";
}

/// What stands in the place of a study in the name of the access log.
const ACCESS_LOG: &str = "-access";

impl StudyId {
    /// What stands in the place of a study in the name of the access log.
    pub fn access_log() -> Self {
        Self(ACCESS_LOG.to_owned())
    }

    /// Whether no study may be called so: the platform keeps ids that begin with a hyphen to itself.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('-')
    }
}

impl QueryId {
    /// The `n`th query that a command opened.
    pub fn of_command(command: CommandId, n: usize) -> Self {
        Self(format!("{}-{n}", command.0.simple()))
    }
}

impl UnblindingId {
    /// What a command asked for.
    pub fn of_command(command: CommandId) -> Self {
        Self(command.0.simple().to_string())
    }
}

impl SignatureId {
    /// The signature that a command made.
    pub fn of_command(command: CommandId) -> Self {
        Self(command.0.simple().to_string())
    }
}

/// Where a study runs. A credential of one environment is nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Environment {
    /// For trying things out.
    Test,
    /// For acceptance by the sponsor.
    Qa,
    /// Real participants.
    Prod,
}

impl Environment {
    /// The name used in commits and credentials.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "TEST",
            Self::Qa => "QA",
            Self::Prod => "PROD",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        [Self::Test, Self::Qa, Self::Prod]
            .into_iter()
            .find(|environment| environment.as_str().eq_ignore_ascii_case(text))
            .ok_or(InvalidId { kind: "environment", rule: "TEST, QA or PROD" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_ids_are_lower_case_and_short() {
        for (text, good) in [("acme", true), ("a-1", true), ("", false), ("Acme", false), ("a.b", false), ("ä", false)]
        {
            assert_eq!(TenantId::from_str(text).is_ok(), good, "{text}");
        }
        assert!(TenantId::from_str(&"a".repeat(33)).is_err());
    }

    #[test]
    fn a_name_is_as_long_in_every_script() {
        for letter in ["a", "ß", "字"] {
            assert!(Label::from_str(&letter.repeat(200)).is_ok(), "{letter}");
            assert!(Label::from_str(&letter.repeat(201)).is_err(), "{letter}");
        }
    }

    #[test]
    fn the_error_does_not_repeat_the_text() {
        let error = SubjectNumber::from_str("Ada Lovelace").expect_err("a blank is not allowed");
        assert!(!error.to_string().contains("Ada"));
    }
}
