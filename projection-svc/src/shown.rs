//! How a value is shown: known, erased, or not for this role. Never a silent null.

use std::collections::BTreeSet;

use domain::participant::is_of_site;
use domain::permit::{Role, may_see};
use domain::scope::{DesignScoped, Erasable, Part, Personal, Scope, ScopeTag};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cells::Cell;

/// A value as the API shows it: the bare value, `{"erased": scope}` or `{"withheld": scope}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Shown<T> {
    /// Its key is destroyed; it is gone for good.
    Erased {
        /// The scope that was erased.
        erased: Scope,
    },
    /// It is there, and not for this reader.
    Withheld {
        /// The scope that the reader may not see.
        withheld: Scope,
    },
    /// The value.
    Value(T),
}

/// Never prints the value.
impl<T> std::fmt::Debug for Shown<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Erased { erased } => write!(f, "Erased({erased})"),
            Self::Withheld { withheld } => write!(f, "Withheld({withheld})"),
            Self::Value(_) => f.write_str("Value(…)"),
        }
    }
}

impl<T> Shown<T> {
    /// The value, if it is shown.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Erased { .. } | Self::Withheld { .. } => None,
        }
    }

    fn of(scope: Scope, part: Part, value: Erasable<T>, withheld: &BTreeSet<Cell>) -> Self {
        match value {
            Erasable::Known(value) => Self::Value(value),
            Erasable::Erased if withheld.contains(&(scope, part)) => Self::Withheld { withheld: scope },
            Erasable::Erased => Self::Erased { erased: scope },
        }
    }

    /// A value whose scope the design says. `withheld`: the row's cells that were not opened.
    pub fn of_scoped(value: DesignScoped<T>, withheld: &BTreeSet<Cell>) -> Self {
        Self::of(value.scope, value.part, value.value, withheld)
    }

    /// A value whose scope its type says.
    pub fn of_personal<S: ScopeTag>(value: Personal<T, S>, withheld: &BTreeSet<Cell>) -> Self {
        Self::of(S::SCOPE, value.part, value.value, withheld)
    }
}

/// The scopes that a reader opens. What is outside is shown as withheld; its cells are not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visible {
    scopes: BTreeSet<Scope>,
    /// Drafts of queries too, which the site is not shown before they are put to it.
    drafts: bool,
}

impl Visible {
    /// Every scope.
    pub fn all() -> Self {
        Self { scopes: Scope::ALL.iter().copied().collect(), drafts: true }
    }

    /// No scope: structure only.
    pub fn none() -> Self {
        Self { scopes: BTreeSet::new(), drafts: true }
    }

    /// What a role may see, by the table of queries: identities if it may ask for an identity, values if it may ask
    /// for a casebook, what tells the arm only if it may know arms too. So the audit trail shows nobody more than the
    /// other queries do.
    pub fn of(role: Role) -> Self {
        let scopes = Scope::ALL.iter().copied().filter(|scope| may_see(role, *scope)).collect();
        Self { scopes, drafts: !is_of_site(role) }
    }

    /// Whether `scope` is opened.
    pub fn contains(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether a draft of a query by this role is shown.
    pub(crate) fn shows_draft_by(&self, by: Role) -> bool {
        self.drafts || is_of_site(by)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins: hand it back as `after`. None: this was the last.
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_an_erased_one_and_a_withheld_one_look_different() {
        let cases = [
            (Shown::Value("72".to_owned()), json!("72")),
            (Shown::Erased { erased: Scope::HealthClinical }, json!({"erased": "health.clinical"})),
            (Shown::Withheld { withheld: Scope::IdentityContact }, json!({"withheld": "identity.contact"})),
        ];
        for (shown, expected) in cases {
            let written = serde_json::to_value(&shown).expect("plain data");
            assert_eq!(written, expected);
            assert_eq!(serde_json::from_value::<Shown<String>>(written).expect("reads back"), shown);
        }
    }

    #[test]
    fn a_role_sees_in_the_audit_trail_what_its_queries_show_and_no_more() {
        let sees = |role, scope| Visible::of(role).contains(scope);
        assert!(sees(Role::Investigator, Scope::IdentityContact) && sees(Role::Investigator, Scope::HealthClinical));
        assert!(!sees(Role::Monitor, Scope::IdentityContact) && sees(Role::Monitor, Scope::HealthClinical));
        assert!(!sees(Role::Dpo, Scope::IdentityContact) && !sees(Role::Dpo, Scope::HealthClinical));
        assert!(Role::ALL.iter().all(|role| sees(*role, Scope::UserProfile) == (*role == Role::Controller)));
        assert!(Role::ALL.iter().all(|role| !sees(*role, Scope::TechnicalCredential)));
        assert!(sees(Role::Auditor, Scope::UserSignature) && !sees(Role::Dpo, Scope::UserSignature));
        assert!(Role::ALL.iter().all(|role| sees(*role, Scope::HealthBlinded) == (*role == Role::Unblinded)));
    }
}
