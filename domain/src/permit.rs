//! Who may do what: one table of role × command, one of role × query. What is not in a table is denied.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::history::{Actor, ActorKind};
use crate::ids::{Environment, InvalidId, OrganisationId, SessionId, SiteId, TenantId, UserId};
use crate::scope::Scope;

/// Declares the roles and their stored names. `$text` is a `tt` for the reason said at the scopes.
macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident = $text:tt;)+) => {
        /// What a person or service account may be.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        pub enum Role {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl Role {
            /// Every role there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The role's name, as stored.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

roles! {
    /// Publishes designs, opens sites, takes a study live.
    StudyDesigner = "study-designer";
    /// Treats participants: enrols, enters, sees identities of the own sites.
    Investigator = "investigator";
    /// Enters data for an investigator.
    Coordinator = "coordinator";
    /// Reads coded data of assigned sites.
    Monitor = "monitor";
    /// Reads coded data of all sites.
    DataManager = "data-manager";
    /// Reads counts.
    SponsorViewer = "sponsor-viewer";
    /// Reads everything but identities, the audit trail included.
    Auditor = "auditor";
    /// Asks for erasures, holds and restrictions.
    Dpo = "dpo";
    /// Acts for the data controller: approves erasures, issues tokens.
    Controller = "controller";
    /// Is told which arm who has: a pharmacist, an unblinded statistician, a safety board.
    Unblinded = "unblinded";
    /// Runs the platform for a tenant: sees that it works, and nothing of anybody.
    Operator = "operator";
    /// A program that enters data.
    Integrator = "integrator";
    /// The platform, carrying out what was decided. No token can have it.
    System = "system";
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .iter()
            .copied()
            .find(|role| role.as_str() == text)
            .ok_or(InvalidId { kind: "role", rule: "a name such as investigator, monitor, dpo or controller" })
    }
}

/// The sites that a credential reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sites {
    /// Every site of the tenant.
    All,
    /// These and no others.
    Only(BTreeSet<SiteId>),
}

impl Sites {
    /// Whether `site` is among them.
    pub fn contains(&self, site: &SiteId) -> bool {
        match self {
            Self::All => true,
            Self::Only(sites) => sites.contains(site),
        }
    }
}

/// Who acts, as the credential says and never the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose tenant.
    pub tenant: TenantId,
    /// In which environment.
    pub environment: Environment,
    /// Who, in which role, for which organisation.
    pub actor: Actor,
    /// Which sites.
    pub sites: Sites,
    /// In which session; none: by a token, which has none.
    pub session: Option<SessionId>,
}

impl Principal {
    /// The platform itself.
    pub fn system(tenant: TenantId, environment: Environment) -> Self {
        let organisation = OrganisationId::try_from("lethe".to_owned()).expect("a valid organisation id");
        let actor = Actor { id: UserId(uuid::Uuid::nil()), kind: ActorKind::System, role: Role::System, organisation };
        Self { tenant, environment, actor, sites: Sites::All, session: None }
    }
}

use Role::{
    Auditor, Controller, Coordinator, DataManager, Dpo, Integrator, Investigator, Monitor, Operator, SponsorViewer,
    StudyDesigner, System, Unblinded,
};

/// Every role that a person can have.
const PEOPLE: &[Role] = &[
    StudyDesigner,
    Investigator,
    Coordinator,
    Monitor,
    DataManager,
    SponsorViewer,
    Auditor,
    Dpo,
    Controller,
    Unblinded,
    Operator,
];

/// Role × command. The key is `aggregate.command`, the command's name as in the API.
pub const COMMANDS: &[(&str, &[Role])] = &[
    ("study.create", &[System]),
    ("study.publish-design", &[StudyDesigner]),
    ("study.draft-design", &[StudyDesigner]),
    ("study.publish-draft", &[StudyDesigner]),
    ("study.open-site", &[StudyDesigner]),
    ("study.go-live", &[StudyDesigner]),
    ("study.demand-approvals", &[StudyDesigner, Controller]),
    ("study.approve-design", &[StudyDesigner, DataManager]),
    ("study.activate-design", &[StudyDesigner, DataManager]),
    ("study.publish-consent", &[StudyDesigner, DataManager]),
    ("study.approve-consent", &[StudyDesigner, DataManager]),
    ("study.require-consent", &[StudyDesigner, DataManager]),
    ("study.set-enrolment-target", &[StudyDesigner, DataManager]),
    ("study.complete", &[DataManager, Controller]),
    ("study.set-retention", &[DataManager, Controller]),
    ("study.freeze-data", &[DataManager]),
    ("study.unfreeze-data", &[DataManager]),
    ("study.lock-data", &[DataManager]),
    ("study.unlock-data", &[DataManager]),
    // Two persons: one asks, the other confirms.
    ("study.ask-database-lock", &[DataManager]),
    ("study.lock-database", &[Controller]),
    ("study.ask-database-unlock", &[DataManager]),
    ("study.unlock-database", &[Controller]),
    // Ending a rule makes data erasable: for the one who answers for it.
    ("study.end-retention", &[Controller]),
    ("design-part.store", &[StudyDesigner]),
    ("participant.register", &[Investigator, Coordinator, Integrator]),
    ("participant.give-consent", &[Investigator, Coordinator, Integrator]),
    ("participant.withdraw-consent", &[Investigator, Coordinator, Integrator]),
    ("participant.start-visit", &[Investigator, Coordinator, Integrator]),
    ("participant.miss-visit", &[Investigator, Coordinator, Integrator]),
    // Blinded items are for the unblinded alone: see `participant/save.rs`.
    ("participant.save-items", &[Investigator, Coordinator, Integrator, Unblinded]),
    ("participant.complete-form", &[Investigator, Coordinator, Integrator]),
    ("participant.reopen-form", &[Investigator, Coordinator, Integrator]),
    ("participant.remove-form", &[Investigator, Coordinator, DataManager, Integrator]),
    ("participant.restore-form", &[Investigator, Coordinator, DataManager, Integrator]),
    // A program brings in remarks, and asks nothing: see `participant/queries.rs`.
    ("participant.open-query", &[Investigator, Coordinator, Monitor, DataManager, Integrator]),
    ("participant.raise-query", &[Investigator, Coordinator, Monitor, DataManager]),
    ("participant.answer-query", &[Investigator, Coordinator, Monitor, DataManager]),
    ("participant.forward-query", &[Investigator, Coordinator, Monitor, DataManager]),
    ("participant.close-query", &[Investigator, Coordinator, Monitor, DataManager]),
    ("participant.cancel-query", &[Monitor, DataManager]),
    ("participant.reopen-query", &[Monitor, DataManager]),
    ("participant.verify", &[Monitor]),
    ("participant.withdraw-verification", &[Monitor]),
    ("participant.review-form", &[Monitor, DataManager]),
    ("participant.freeze", &[Monitor, DataManager]),
    ("participant.unfreeze", &[Monitor, DataManager]),
    ("participant.lock", &[DataManager]),
    ("participant.unlock", &[DataManager]),
    ("participant.sign", &[Investigator]),
    ("participant.randomise", &[Investigator, Coordinator, Integrator]),
    ("participant.record-randomisation", &[System]),
    // Two persons: one asks, another approves. Whoever may ask is told; the platform records it before.
    ("participant.ask-unblinding", &[Investigator, DataManager]),
    ("participant.approve-unblinding", &[Investigator, DataManager, Controller, Unblinded]),
    ("participant.record-unblinding", &[Investigator, DataManager]),
    ("participant.record-inadvertent-unblinding", &[Investigator, Coordinator, Monitor, DataManager, Unblinded]),
    // Who may take part is for a physician to find, and for the sponsor to overlook.
    ("participant.confirm-eligibility", &[Investigator]),
    ("participant.waive-eligibility", &[Controller]),
    ("participant.end-participation", &[Investigator, Coordinator, Integrator]),
    ("participant.resume-participation", &[Investigator, Coordinator]),
    ("participant.withdraw", &[Investigator, Coordinator, Integrator]),
    ("participant.migrate", &[StudyDesigner, DataManager]),
    ("participant.fence", &[System]),
    ("participant.restrict", &[System]),
    ("participant.lift-restriction", &[System]),
    ("identity.record", &[Investigator, Coordinator, Integrator]),
    ("identity.rectify", &[Investigator, Coordinator, Integrator]),
    ("identity.fence", &[System]),
    ("identity.restrict", &[System]),
    ("identity.lift-restriction", &[System]),
    ("privacy.place-hold", &[Dpo, Controller]),
    ("privacy.lift-hold", &[Controller]),
    ("privacy.place-restriction", &[Dpo, Controller]),
    ("privacy.lift-restriction", &[Dpo, Controller]),
    ("privacy.request-erasure", &[Dpo, Investigator]),
    ("privacy.assess-erasure", &[Dpo, Controller, System]),
    ("privacy.approve-erasure", &[Controller]),
    ("privacy.refuse-erasure", &[Controller]),
    ("privacy.accept-single-copy", &[Controller]),
    ("privacy.record-progress", &[System]),
    ("randomisation.seal", &[Unblinded]),
    ("randomisation.import", &[Unblinded]),
    ("randomisation.assign-slot", &[System]),
    ("randomisation.close", &[Unblinded, Controller]),
    ("subject-number.key", &[System]),
    ("subject-number.claim", &[System]),
    // Whoever may read data may export as much: an auditor's copy or a program's is registered like anybody's. The files are for
    // the one who ordered them alone. A DPO, who reads audit trails, registers those only.
    ("export.start", &[Investigator, Coordinator, Monitor, DataManager, Auditor, Integrator, Unblinded, Dpo]),
    ("export.list-participants", &[System]),
    ("export.complete", &[System]),
    ("export.fail", &[System]),
    (
        "export.give-copy",
        &[Investigator, Coordinator, Monitor, DataManager, Auditor, Integrator, Unblinded, Dpo, Controller],
    ),
    (
        "export.delete",
        &[Investigator, Coordinator, Monitor, DataManager, Auditor, Integrator, Unblinded, Dpo, Controller],
    ),
    ("export.withdraw", &[System]),
    // Nobody sends it: what shows data records it.
    ("access.record", &[System]),
    ("incident.open", &[System]),
    ("incident.acknowledge", &[Dpo, Controller]),
    ("incident.close", &[Dpo, Controller]),
    ("user.register", &[System]),
    ("user.issue-token", &[System]),
    ("user.revoke-token", &[System, Controller]),
    // Nobody to themselves: see `account/decide.rs`.
    ("account.issue-link", &[System, Controller]),
    ("account.give-right", &[System, Controller]),
    ("account.end-right", &[System, Controller]),
    // Whoever holds the link is nobody yet.
    ("account.set-credentials", &[System]),
    ("account.record-failure", &[System]),
    // Everybody for themselves; a session may also be ended by who administers.
    ("account.change-password", PEOPLE),
    ("account.begin-session", PEOPLE),
    ("account.end-session", PEOPLE),
    ("account.reauthenticate", PEOPLE),
    // Who reads a trail reviews it (EMA 6.2.2); who administers reviews who may come in.
    ("account.review-trail", &[Monitor, DataManager, Auditor]),
    ("account.review-access", &[Controller]),
    // In a session, proved anew, with a reason: structure alone is shown (ADR 0048).
    ("account.open-commit", &[Operator, Auditor, Dpo]),
    ("account.order-rebuild", &[Operator]),
    ("account.add-passkey", PEOPLE),
    ("account.remove-passkey", PEOPLE),
    ("account.link-identity", &[System]),
    ("account.admit-machine", &[System, Controller]),
    ("account.issue-secret", &[System, Controller]),
    ("account.revoke-secret", &[System, Controller]),
    ("account.dismiss-machine", &[System, Controller]),
];

/// What cannot be undone: an open session is not enough for it, and in PROD a token is not either. Who decides it proves anew
/// both factors, or a passkey.
pub const STEP_UP: &[&str] = &["privacy.approve-erasure", "privacy.accept-single-copy"];

/// Whether a command asks for more than a credential.
pub fn needs_step_up(command: &str) -> bool {
    STEP_UP.contains(&command)
}

/// Role × query.
pub const QUERIES: &[(&str, &[Role])] = &[
    (
        "study.list",
        &[
            StudyDesigner,
            Investigator,
            Coordinator,
            Monitor,
            DataManager,
            SponsorViewer,
            Auditor,
            Dpo,
            Controller,
            Integrator,
            Unblinded,
        ],
    ),
    ("study.design", &[Unblinded, StudyDesigner, Investigator, Coordinator, Monitor, DataManager, Auditor, Integrator]),
    (
        "study.overview",
        &[
            StudyDesigner,
            Investigator,
            Coordinator,
            Monitor,
            DataManager,
            SponsorViewer,
            Auditor,
            Dpo,
            Controller,
            Integrator,
            Unblinded,
        ],
    ),
    (
        "participant.list",
        &[Unblinded, Investigator, Coordinator, Monitor, DataManager, Auditor, Dpo, Controller, Integrator],
    ),
    // How far each form is, without values.
    ("participant.matrix", &[Unblinded, Investigator, Coordinator, Monitor, DataManager, Auditor, Integrator]),
    ("participant.casebook", &[Unblinded, Investigator, Coordinator, Monitor, DataManager, Auditor, Integrator]),
    ("participant.identity", &[Investigator, Coordinator]),
    ("participant.audit", &[Investigator, Coordinator, Monitor, DataManager, Auditor, Dpo, Unblinded]),
    ("study.audit", &[Investigator, Coordinator, Monitor, DataManager, Auditor, Dpo, Unblinded]),
    // What tells the arm, wherever it stands: in the casebook, in the audit trail, in answers about an allocation.
    ("participant.arm", &[Unblinded]),
    ("participant.allocation", &[Investigator, Coordinator, Monitor, DataManager, Auditor, Unblinded]),
    (
        "randomisation.list",
        &[StudyDesigner, Investigator, Coordinator, Monitor, DataManager, Auditor, Controller, Unblinded],
    ),
    ("randomisation.reveal", &[Unblinded]),
    // Counts, and who is behind them for those who read casebooks.
    (
        "study.figures",
        &[
            StudyDesigner,
            Investigator,
            Coordinator,
            Monitor,
            DataManager,
            SponsorViewer,
            Auditor,
            Controller,
            Integrator,
            Unblinded,
        ],
    ),
    ("participant.signatures", &[Investigator, Coordinator, Monitor, DataManager, Auditor, Controller]),
    ("query.list", &[Investigator, Coordinator, Monitor, DataManager, Auditor]),
    ("study.lock-readiness", &[DataManager, Auditor, Controller]),
    (
        "export.list",
        &[Unblinded, Investigator, Coordinator, Monitor, DataManager, Auditor, Integrator, Dpo, Controller],
    ),
    ("export.download", &[Unblinded, Investigator, Coordinator, Monitor, DataManager, Auditor, Integrator]),
    ("user.list", &[Controller]),
    ("study.audit-review", &[Monitor, DataManager, Auditor]),
    ("access.reviews", &[Controller, Auditor]),
    // Who has looked at whom, and from where for those who look into incidents. Everybody may ask what is on record of themselves.
    ("access.participant", &[Dpo, Controller, Auditor]),
    ("access.user", &[Dpo, Controller, Auditor]),
    ("access.list", &[Dpo, Controller, Auditor]),
    ("access.origin", &[Dpo, Controller]),
    ("incident.list", &[Dpo, Controller, Auditor]),
    ("erasure.list", &[Dpo, Controller, Auditor]),
    ("erasure.show", &[Dpo, Controller, Auditor, Investigator]),
    // How the platform fares: figures and structure, nobody's value.
    ("operations.show", &[Operator, Auditor, Controller]),
    ("operations.journals", &[Operator, Auditor, Dpo]),
    ("operations.sign-ins", &[Operator, Auditor, Controller]),
    // Lets a read model that stands still try again.
    ("operations.retry", &[Operator]),
];

/// Whether `role` may send `aggregate.command`. Deny by default.
pub fn may_command(role: Role, command: &str) -> bool {
    allows(COMMANDS, role, command)
}

/// Whether `role` may ask `query`. Deny by default.
pub fn may_query(role: Role, query: &str) -> bool {
    allows(QUERIES, role, query)
}

/// Whether `role` is shown values of a scope, by the table of queries: identities if it may ask for an identity, values if
/// it may ask for a casebook, what tells the arm only if it may know arms too, the name of a signer with the signature.
pub fn may_see(role: Role, scope: Scope) -> bool {
    match scope.as_str().split_once('.') {
        Some(("health", _)) => {
            may_query(role, "participant.casebook")
                && (scope != Scope::HealthBlinded || may_query(role, "participant.arm"))
        }
        Some(("identity", _)) => may_query(role, "participant.identity"),
        // Whoever may see a signature sees the name with it (21 CFR 11.50).
        Some(_) if scope == Scope::UserSignature => may_query(role, "participant.signatures"),
        // Who administers accounts sees whose they are.
        Some(_) if scope == Scope::UserProfile => may_query(role, "user.list"),
        // Who reads reviews reads what they found.
        Some(_) if scope == Scope::UserFreeText => {
            may_query(role, "study.audit-review") || may_query(role, "access.reviews")
        }
        // Who looks into an incident sees from where somebody came.
        Some(_) if scope == Scope::TechnicalSession => may_query(role, "access.origin"),
        Some(_) | None => false,
    }
}

fn allows(table: &[(&str, &[Role])], role: Role, what: &str) -> bool {
    table.iter().any(|(name, roles)| *name == what && roles.contains(&role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_table_is_denied() {
        assert!(!Role::ALL.iter().any(|role| may_command(*role, "participant.unheard-of")));
        assert!(may_command(Investigator, "participant.save-items"));
        assert!(!may_command(Monitor, "participant.save-items"));
    }

    #[test]
    fn a_dpo_never_approves_and_never_sees_values() {
        assert!(!may_command(Dpo, "privacy.approve-erasure"));
        assert!(!may_query(Dpo, "participant.casebook"));
    }

    #[test]
    fn an_operator_sees_no_scope_and_changes_no_data() {
        assert!(!Scope::ALL.iter().any(|scope| may_see(Operator, *scope)));
        let sent: Vec<_> =
            COMMANDS.iter().filter(|(_, roles)| roles.contains(&Operator)).map(|(name, _)| *name).collect();
        assert!(sent.iter().all(|name| name.starts_with("account.")), "{sent:?}");
        let asked: Vec<_> =
            QUERIES.iter().filter(|(_, roles)| roles.contains(&Operator)).map(|(name, _)| *name).collect();
        assert!(asked.iter().all(|name| name.starts_with("operations.")), "{asked:?}");
    }

    #[test]
    fn no_row_stands_twice() {
        for table in [COMMANDS, QUERIES] {
            let names: BTreeSet<_> = table.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), table.len());
        }
    }
}
