//! The secrets of links and sessions: 256 random bits as text, of which only a hash is ever stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::design::content_hash;
use domain::history::CommitHash;
use domain::ids::TenantId;
use domain::port::Dice;

const SESSION: &str = "lethes_";
const LINK: &str = "lethel_";
const MACHINE: &str = "lethec_";
const ACCESS: &str = "lethea_";

/// How many characters 256 bits are.
const LETTERS: usize = 43;

/// A new secret of a session.
pub(crate) fn session(dice: &dyn Dice, tenant: &TenantId) -> String {
    drawn(SESSION, dice, tenant)
}

/// A new secret of a link.
pub(crate) fn link(dice: &dyn Dice, tenant: &TenantId) -> String {
    drawn(LINK, dice, tenant)
}

/// A new secret of a machine.
pub(crate) fn machine(dice: &dyn Dice, tenant: &TenantId) -> String {
    drawn(MACHINE, dice, tenant)
}

/// A new access token of a machine.
pub(crate) fn access(dice: &dyn Dice, tenant: &TenantId) -> String {
    drawn(ACCESS, dice, tenant)
}

fn drawn(kind: &str, dice: &dyn Dice, tenant: &TenantId) -> String {
    format!("{kind}{tenant}_{}", URL_SAFE_NO_PAD.encode(dice.bytes()))
}

/// What a secret is known by.
pub(crate) fn hash(secret: &str) -> CommitHash {
    content_hash(secret.as_bytes())
}

/// Whose session it says it is; none if it does not look like one.
pub(crate) fn tenant_of_session(text: &str) -> Option<TenantId> {
    tenant_of(SESSION, text)
}

/// Whose link it says it is; none if it does not look like one.
pub(crate) fn tenant_of_link(text: &str) -> Option<TenantId> {
    tenant_of(LINK, text)
}

/// Whose machine's secret it says it is; none if it does not look like one.
pub(crate) fn tenant_of_machine(text: &str) -> Option<TenantId> {
    tenant_of(MACHINE, text)
}

/// Whether it looks like an access token.
pub(crate) fn is_access(text: &str) -> bool {
    tenant_of(ACCESS, text).is_some()
}

fn tenant_of(kind: &str, text: &str) -> Option<TenantId> {
    let (tenant, secret) = text.strip_prefix(kind)?.split_once('_')?;
    (secret.len() == LETTERS).then(|| tenant.parse().ok()).flatten()
}

/// A link as people open it. The secret stands behind the `#`: that part never reaches a log on the way.
pub fn link_address(base: &str, secret: &str) -> String {
    format!("{}/join#{secret}", base.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Loaded;

    impl Dice for Loaded {
        fn uuid(&self) -> uuid::Uuid {
            uuid::Uuid::nil()
        }
        fn bytes(&self) -> [u8; 32] {
            [7; 32]
        }
    }

    #[test]
    fn a_secret_says_whose_it_is_and_of_which_kind() {
        let acme: TenantId = "acme".parse().expect("valid");
        let (session, link) = (session(&Loaded, &acme), link(&Loaded, &acme));
        assert_eq!((tenant_of_session(&session), tenant_of_link(&session)), (Some(acme.clone()), None));
        assert_eq!((tenant_of_session(&link), tenant_of_link(&link)), (None, Some(acme)));
        assert_eq!(tenant_of_session(&session[..session.len() - 1]), None);
        assert_eq!(command_svc::admin::tenant_of_token(&session), None, "no token either");
    }
}
