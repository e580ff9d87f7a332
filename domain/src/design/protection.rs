//! How well a design protects an item's values. A later version never protects less: what was entered as somebody's
//! address does not become a clinical value because a table was edited.

use super::{ItemDef, StudyDesign};
use crate::ids::Oid;
use crate::rejection::Fault;
use crate::scope::Scope;

/// Scopes from open to closed. Scopes of one step may be exchanged: each is erased by itself either way.
fn step(scope: Scope) -> u8 {
    match scope {
        Scope::HealthClinical => 0,
        Scope::HealthFreeText | Scope::HealthOptional => 1,
        Scope::HealthBlinded => 2,
        Scope::IdentityContact | Scope::IdentityCodeList | Scope::IdentityNationalId => 3,
        // No item can have these; see `StudyDesign::faults`.
        Scope::TechnicalSession
        | Scope::TechnicalCredential
        | Scope::UserProfile
        | Scope::UserSignature
        | Scope::UserFreeText => 3,
    }
}

impl StudyDesign {
    /// What this version protects less than the one `before`; empty if nothing.
    pub fn lowered_from(&self, before: &Self) -> Vec<Fault> {
        let known: std::collections::BTreeMap<&Oid, &ItemDef> =
            before.items.iter().map(|item| (&item.oid, item)).collect();
        let mut faults = Vec::new();
        for (n, item) in self.items.iter().enumerate() {
            let Some(earlier) = known.get(&item.oid) else { continue };
            let mut fault = |field: &str, detail: String| {
                faults.push(Fault { pointer: format!("/items/{n}/{field}"), detail });
            };
            let (was, is) = (before.scope_of(earlier), self.scope_of(item));
            if step(is) < step(was) {
                fault("scope", format!("{} was {was} in an earlier version and is {is} now: declare {was}", item.oid));
            }
            if earlier.identifier && !item.identifier {
                fault("identifier", format!("{} was an identifier in an earlier version", item.oid));
            }
            if earlier.blinded && !item.blinded {
                fault("blinded", format!("{} was blinded in an earlier version", item.oid));
            }
        }
        faults
    }
}
