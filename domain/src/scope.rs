//! The closed list of scopes, and the types that tag personal data with one.
//!
//! [`Personal`] and [`DesignScoped`] do not implement `Serialize`: the only way out of the process is
//! [`crate::field::Field`], which marks the value for sealing.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::InvalidId;

/// Declares the closed list: the enum, its names, and one marker type for each.
/// `$text` is a `tt`: utoipa does not see through the group that a `literal` arrives in.
macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:tt;)+) => {
        /// A kind of personal data that can be erased by itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        pub enum Scope {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl Scope {
            /// Every scope there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The scope's name, as stored.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }

        /// One marker type a scope, so that a field's type says its scope.
        pub mod tag {
            use super::{Scope, ScopeTag};
            $(
                #[doc = concat!("Marks a field as `", $text, "`.")]
                #[derive(Debug, Clone, Copy, PartialEq, Eq)]
                pub struct $name;
                impl ScopeTag for $name {
                    const SCOPE: Scope = Scope::$name;
                }
            )+
        }
    };
}

scopes! {
    /// E-mail, telephone, postal address.
    IdentityContact = "identity.contact";
    /// Name and date of birth: what links the subject number to a person.
    IdentityCodeList = "identity.code-list";
    /// National identity number.
    IdentityNationalId = "identity.national-id";
    /// Values of items, unless their design says otherwise.
    HealthClinical = "health.clinical";
    /// Uncoded text: comments, reasons for change, narratives. Every value has a part of its own.
    HealthFreeText = "health.free-text";
    /// What tells, or could tell, the arm: for those only who are not blinded.
    HealthBlinded = "health.blinded";
    /// What the participant may refuse without leaving the study.
    HealthOptional = "health.optional";
    /// Addresses, agents and devices of sessions.
    TechnicalSession = "technical.session";
    /// What proves who a user is: hashes of passwords and recovery codes, secrets of one-time codes.
    TechnicalCredential = "technical.credential";
    /// Names and addresses of users.
    UserProfile = "user.profile";
    /// Printed names on signatures.
    UserSignature = "user.signature";
    /// What users write about their own work: what a review found. Every value has a part of its own.
    UserFreeText = "user.free-text";
}

impl Scope {
    /// The scopes that a participant can have data in (users have their own).
    pub fn of_participants() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|scope| {
            let name = scope.as_str();
            name.starts_with("identity.") || name.starts_with("health.")
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .iter()
            .copied()
            .find(|scope| scope.as_str() == text)
            .ok_or(InvalidId { kind: "scope", rule: "one of the closed list, such as health.clinical" })
    }
}

/// Ties a marker type to its scope.
pub trait ScopeTag: 'static {
    /// The scope that the marker stands for.
    const SCOPE: Scope;
}

/// The part that is the whole scope. Nearly every value has it: it takes no memory of its own.
const ALL: &str = "all";

/// What of a scope one key covers: all of it, or one value that can be redacted alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct Part(Cow<'static, str>);

impl Part {
    /// The whole scope.
    pub fn all() -> Self {
        Self(Cow::Borrowed(ALL))
    }

    /// The `n`th value of its own in what `command` wrote. Unique, because command ids are.
    pub fn of_command(command: crate::ids::CommandId, n: usize) -> Self {
        Self(Cow::Owned(format!("{}-{n}", command.0.simple())))
    }

    /// The part's name, as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Part {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        let good = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if text == ALL {
            return Ok(Self::all());
        }
        if good {
            Ok(Self(Cow::Owned(text)))
        } else {
            Err(InvalidId { kind: "part", rule: "1 to 64 of a-z, 0-9 and -" })
        }
    }
}

impl From<Part> for String {
    fn from(part: Part) -> String {
        part.0.into_owned()
    }
}

/// One value that can be erased alone, because a key of its own covers it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OneValue {
    /// Its kind of data.
    pub scope: Scope,
    /// Its part of that.
    pub part: Part,
}

impl OneValue {
    /// The value under this key, if the key is its own: [`Part::all`] covers many.
    pub fn of(scope: Scope, part: &Part) -> Option<Self> {
        (*part != Part::all()).then(|| Self { scope, part: part.clone() })
    }
}

/// What an erasure covers: whole scopes, and single values of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// Everything of these, what does not exist yet included.
    pub scopes: BTreeSet<Scope>,
    /// These and nothing else of their scopes.
    pub values: BTreeSet<OneValue>,
}

impl Extent {
    /// Whole scopes.
    pub fn of_scopes(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self { scopes: scopes.into_iter().collect(), values: BTreeSet::new() }
    }

    /// Whole scopes and single values.
    pub fn of(scopes: &[Scope], values: &[OneValue]) -> Self {
        Self { scopes: scopes.iter().copied().collect(), values: values.iter().cloned().collect() }
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.values.is_empty()
    }

    /// How many scopes and values it names.
    pub fn len(&self) -> usize {
        self.scopes.len() + self.values.len()
    }

    /// Whether it covers what one key covers.
    pub fn covers(&self, scope: Scope, part: &Part) -> bool {
        self.scopes.contains(&scope) || self.values.iter().any(|value| value.scope == scope && value.part == *part)
    }

    /// Whether everything of `self` is in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.scopes.is_subset(&other.scopes) && self.values.iter().all(|value| other.covers(value.scope, &value.part))
    }

    /// What it names, one by one: a scope has no part.
    pub fn each(&self) -> impl Iterator<Item = (Scope, Option<&Part>)> {
        let scopes = self.scopes.iter().map(|scope| (*scope, None));
        scopes.chain(self.values.iter().map(|value| (value.scope, Some(&value.part))))
    }
}

/// A value that may have been forgotten. There is no default: whoever reads must say what erased means to them.
#[derive(Clone, PartialEq, Eq)]
pub enum Erasable<T> {
    /// The key is there.
    Known(T),
    /// The key is destroyed; the value is gone for good.
    Erased,
}

impl<T> Erasable<T> {
    /// The value, if it is still known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Erased => None,
        }
    }

    /// Applies `f` to a known value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Erasable<U> {
        match self {
            Self::Known(value) => Erasable::Known(f(value)),
            Self::Erased => Erasable::Erased,
        }
    }
}

/// Never prints the value: it would end in a log.
impl<T> fmt::Debug for Erasable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known(_) => "Known(…)",
            Self::Erased => "Erased",
        })
    }
}

/// A personal text on its way in, inside a command: not tagged and sealed yet, and already never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct Plain(pub String);

impl Plain {
    /// Whether there is nothing to read in it.
    pub fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl From<&str> for Plain {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Plain {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(…)")
    }
}

/// A personal value whose scope is fixed by its type.
#[derive(Clone, PartialEq, Eq)]
pub struct Personal<T, S> {
    /// Which part of the scope it belongs to.
    pub part: Part,
    /// The value, or that it is gone.
    pub value: Erasable<T>,
    scope: PhantomData<fn() -> S>,
}

impl<T, S: ScopeTag> Personal<T, S> {
    /// A value that shares the scope's key with all others.
    pub fn new(value: T) -> Self {
        Self::in_part(Part::all(), Erasable::Known(value))
    }

    /// A value with a key of its own, so that it can be redacted alone.
    pub fn in_part(part: Part, value: Erasable<T>) -> Self {
        Self { part, value, scope: PhantomData }
    }

    /// The scope that the type says.
    pub fn scope(&self) -> Scope {
        S::SCOPE
    }
}

impl<T, S> fmt::Debug for Personal<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Personal({:?})", self.value)
    }
}

/// A personal value whose scope the study design says: the value of an item.
#[derive(Clone, PartialEq, Eq)]
pub struct DesignScoped<T> {
    /// The scope that the item's design declares.
    pub scope: Scope,
    /// Which part of the scope it belongs to.
    pub part: Part,
    /// The value, or that it is gone.
    pub value: Erasable<T>,
}

impl<T> fmt::Debug for DesignScoped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DesignScoped({}, {:?})", self.scope, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_found_by_its_name() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_str(scope.as_str()), Ok(*scope));
        }
    }

    #[test]
    fn a_personal_value_is_not_printed() {
        let name = Personal::<_, tag::IdentityCodeList>::new("Ada Lovelace".to_owned());
        assert!(!format!("{name:?}").contains("Ada"));
        assert!(!format!("{:?}", Plain::from("Ada Lovelace")).contains("Ada"));
    }
}
