//! Every address that shows data, and what its entry in the access log says.
//!
//! What is not in this table is logged all the same, as shown to whoever asked and about everybody: nothing is shown
//! unseen because somebody forgot a row.

use crate::permit::{Role, may_see};
use crate::scope::Scope;

/// Whom an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// Nobody: designs, counts, whatever holds no person.
    Nobody,
    /// Nobody, or those that the answer names: an entry only if it does.
    WhoIsNamed,
    /// Those whom the answer and the address name.
    Named,
    /// Everybody of the study whom the credential reaches.
    Everybody,
    /// Users, or what no answer names anybody in: an entry without participants.
    Users,
}

/// What is said of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Its name, as in the tables of rights.
    pub name: &'static str,
    /// Whom it is about.
    pub shows: Shows,
    /// How the names of the scopes begin that it can open.
    opens: &'static [&'static str],
}

impl View {
    /// The scopes that it opens for a role.
    pub fn scopes(&self, role: Role) -> Vec<Scope> {
        let opens = |scope: &Scope| self.opens.iter().any(|begin| scope.as_str().starts_with(begin));
        Scope::ALL.iter().copied().filter(|scope| opens(scope) && may_see(role, *scope)).collect()
    }
}

const fn view(name: &'static str, shows: Shows, opens: &'static [&'static str]) -> View {
    View { name, shows, opens }
}

const HEALTH: &[&str] = &["health."];
const ANY: &[&str] = &[""];
const NONE: &[&str] = &[];

/// What is said of an address that stands in no row.
const UNLISTED: View = view("unlisted", Shows::Everybody, ANY);

/// Address and what is said of it. The key is method and pattern, as in the description of the API.
pub const VIEWS: &[(&str, View)] = &[
    ("get /v1/studies", view("study.list", Shows::Nobody, NONE)),
    ("get /v1/studies/{study}", view("study.list", Shows::Nobody, NONE)),
    ("get /v1/studies/{study}/design", view("study.design", Shows::Nobody, NONE)),
    ("get /v1/studies/{study}/designs/{design}", view("study.design", Shows::Nobody, NONE)),
    ("get /v1/studies/{study}/designs/{design}/difference/{other}", view("study.design", Shows::Nobody, NONE)),
    ("get /v1/studies/{study}/overview", view("study.overview", Shows::WhoIsNamed, NONE)),
    ("get /v1/studies/{study}/figures/completeness", view("study.figures", Shows::WhoIsNamed, NONE)),
    ("get /v1/studies/{study}/figures/enrolment", view("study.figures", Shows::WhoIsNamed, NONE)),
    ("get /v1/studies/{study}/figures/entry-lag", view("study.figures", Shows::WhoIsNamed, NONE)),
    ("get /v1/studies/{study}/figures/lock-readiness", view("study.figures", Shows::WhoIsNamed, NONE)),
    ("get /v1/studies/{study}/figures/queries", view("study.figures", Shows::WhoIsNamed, NONE)),
    ("get /v1/studies/{study}/figures/signatures", view("study.figures", Shows::WhoIsNamed, NONE)),
    ("get /v1/studies/{study}/figures/verification", view("study.figures", Shows::WhoIsNamed, NONE)),
    ("get /v1/studies/{study}/figures/visits", view("study.figures", Shows::WhoIsNamed, NONE)),
    ("get /v1/studies/{study}/lock-readiness", view("study.lock-readiness", Shows::Named, NONE)),
    ("get /v1/studies/{study}/participants", view("participant.list", Shows::Named, NONE)),
    ("get /v1/studies/{study}/participants/{participant}", view("participant.list", Shows::Named, NONE)),
    ("get /v1/studies/{study}/matrix", view("participant.matrix", Shows::Named, NONE)),
    ("get /v1/studies/{study}/participants/{participant}/casebook", view("participant.casebook", Shows::Named, HEALTH)),
    (
        "get /v1/studies/{study}/participants/{participant}/identity",
        view("participant.identity", Shows::Named, &["identity."]),
    ),
    ("get /v1/studies/{study}/participants/{participant}/audit", view("participant.audit", Shows::Named, ANY)),
    (
        "get /v1/studies/{study}/participants/{participant}/signatures",
        view("participant.signatures", Shows::Named, &["user.signature"]),
    ),
    (
        "get /v1/studies/{study}/participants/{participant}/allocation",
        view("participant.allocation", Shows::Named, &["health.blinded"]),
    ),
    (
        "get /v1/studies/{study}/participants/{participant}/migration/{design}",
        view("participant.migration", Shows::Named, NONE),
    ),
    ("get /v1/studies/{study}/participants/{participant}/access", view("access.participant", Shows::Named, NONE)),
    (
        "post /v1/studies/{study}/participants/{participant}/rehearsal",
        view("participant.rehearsal", Shows::Named, HEALTH),
    ),
    ("get /v1/studies/{study}/queries", view("query.list", Shows::Named, HEALTH)),
    ("get /v1/studies/{study}/audit", view("study.audit", Shows::Everybody, ANY)),
    ("get /v1/studies/{study}/randomisation", view("randomisation.list", Shows::Nobody, NONE)),
    (
        "get /v1/studies/{study}/randomisation/{list}/reveal",
        view("randomisation.reveal", Shows::Everybody, &["health.blinded"]),
    ),
    ("get /v1/studies/{study}/erasures", view("erasure.list", Shows::Named, ANY)),
    ("get /v1/studies/{study}/holds", view("erasure.list", Shows::Named, ANY)),
    ("get /v1/studies/{study}/restrictions", view("erasure.list", Shows::Named, ANY)),
    ("get /v1/erasures/{erasure}", view("erasure.show", Shows::Named, ANY)),
    ("get /v1/erasures/{erasure}/certificate", view("erasure.show", Shows::Named, NONE)),
    ("get /v1/erasures/{erasure}/certificate.html", view("erasure.show", Shows::Named, NONE)),
    ("get /v1/studies/{study}/exports", view("export.list", Shows::Nobody, NONE)),
    ("get /v1/studies/{study}/exports/{export}", view("export.list", Shows::Nobody, NONE)),
    ("get /v1/studies/{study}/exports/{export}/files/{file}", view("export.download", Shows::Everybody, ANY)),
    ("get /v1/dataset-json/about", view("study.list", Shows::Nobody, NONE)),
    ("get /v1/dataset-json/studies", view("study.list", Shows::Nobody, NONE)),
    ("get /v1/dataset-json/studies/{study}", view("study.list", Shows::Nobody, NONE)),
    ("get /v1/dataset-json/studies/{study}/datasets", view("study.design", Shows::Nobody, NONE)),
    ("get /v1/dataset-json/studies/{study}/snapshots", view("study.list", Shows::Nobody, NONE)),
    ("get /v1/dataset-json/studies/{study}/datasets/{dataset}", view("dataset.read", Shows::Everybody, HEALTH)),
    ("get /v1/dataset-json/studies/{study}/datasets/{dataset}/ndjson", view("dataset.read", Shows::Everybody, HEALTH)),
    ("get /RaveWebServices/version", view("study.list", Shows::Nobody, NONE)),
    ("get /RaveWebServices/version/build", view("study.list", Shows::Nobody, NONE)),
    ("get /RaveWebServices/twohundred", view("study.list", Shows::Nobody, NONE)),
    ("get /RaveWebServices/studies", view("study.list", Shows::Nobody, NONE)),
    ("get /RaveWebServices/metadata/studies", view("study.list", Shows::Nobody, NONE)),
    ("get /RaveWebServices/metadata/studies/{project}/versions", view("study.design", Shows::Nobody, NONE)),
    ("get /RaveWebServices/metadata/studies/{project}/versions/{version}", view("study.design", Shows::Nobody, NONE)),
    ("get /RaveWebServices/studies/{study}/subjects", view("participant.list", Shows::Everybody, NONE)),
    ("get /RaveWebServices/datasets/ClinicalAuditRecords.odm", view("study.audit", Shows::Everybody, ANY)),
    ("get /v1/studies/{study}/audit/unusual", view("study.audit", Shows::Named, ANY)),
    ("get /v1/studies/{study}/audit/reviews", view("study.audit", Shows::Nobody, NONE)),
    ("get /v1/studies/{study}/events", view("study.list", Shows::Nobody, NONE)),
    ("get /v1/erasures/{erasure}/impact", view("erasure.show", Shows::Named, NONE)),
    ("get /v1/machines", view("user.list", Shows::Users, &["user.profile"])),
    ("get /v1/passkeys", view("session.list", Shows::Nobody, NONE)),
    ("get /v1/sign-in/provider", view("session.list", Shows::Nobody, NONE)),
    ("get /v1/sign-out/provider", view("session.list", Shows::Nobody, NONE)),
    ("get /v1/users/{user}/passkeys", view("user.list", Shows::Users, NONE)),
    ("get /v1/users/reviews", view("user.list", Shows::Users, NONE)),
    ("get /v1/operations/health", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/findings", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/figures", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/projections", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/rebuilds", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/standstills", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/journals", view("operations.show", Shows::Nobody, NONE)),
    // Ids of streams are ids of people; what is sealed stays so until somebody opens it.
    ("get /v1/operations/journals/{journal}/streams", view("journal.browse", Shows::Users, NONE)),
    ("get /v1/operations/journals/{journal}/commits", view("journal.browse", Shows::Users, NONE)),
    ("post /v1/operations/journals/{journal}/commits/{sequence}/open", view("journal.open", Shows::Users, ANY)),
    ("get /v1/operations/openings", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/keys", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/kms", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/backups", view("operations.show", Shows::Nobody, NONE)),
    ("get /v1/operations/sign-ins", view("user.list", Shows::Users, NONE)),
    ("get /v1/users", view("user.list", Shows::Users, &["user.profile"])),
    ("get /v1/users/{user}/sessions", view("user.list", Shows::Users, NONE)),
    ("get /v1/users/{user}/sign-ins", view("user.list", Shows::Users, NONE)),
    ("get /v1/users/{user}/access", view("access.user", Shows::Users, &["technical.session"])),
    ("get /v1/access", view("access.list", Shows::Users, &["technical.session"])),
    ("get /v1/access/mine", view("access.mine", Shows::Nobody, NONE)),
    ("get /v1/sessions", view("session.list", Shows::Nobody, NONE)),
    ("get /v1/incidents", view("incident.list", Shows::Nobody, NONE)),
    ("get /v1/incidents/{incident}", view("incident.list", Shows::Nobody, NONE)),
];

/// What is said of an address, by its method in small letters and its pattern. None: a command, whose answer shows nobody.
pub fn view_of(method: &str, pattern: &str) -> Option<View> {
    let row = VIEWS.iter().find(|(route, _)| route.split_once(' ') == Some((method, pattern)));
    match row {
        Some((_, view)) => Some(*view),
        None if method == "get" => Some(UNLISTED),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ids::ViewName;

    #[test]
    fn no_row_stands_twice_and_every_name_is_one() {
        let routes: BTreeSet<_> = VIEWS.iter().map(|(route, _)| route).collect();
        assert_eq!(routes.len(), VIEWS.len());
        for (_, view) in VIEWS {
            assert!(view.name.parse::<ViewName>().is_ok(), "{}", view.name);
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_logged_and_commands_are_not() {
        assert_eq!(view_of("get", "/v1/unheard-of").map(|view| view.name), Some("unlisted"));
        assert_eq!(view_of("post", "/v1/unheard-of"), None);
    }

    #[test]
    fn a_view_opens_what_the_role_may_see_and_no_more() {
        let casebook = view_of("get", "/v1/studies/{study}/participants/{participant}/casebook").expect("a row");
        assert!(casebook.scopes(Role::Monitor).contains(&Scope::HealthClinical));
        assert!(!casebook.scopes(Role::Monitor).contains(&Scope::HealthBlinded));
        assert_eq!(casebook.scopes(Role::Dpo), []);
    }
}
