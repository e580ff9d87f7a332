//! Identity providers of others (OpenID Connect): where people of a tenant prove who they are.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Failure;
use crate::ids::TenantId;

/// What a sign-in at a provider begins with. Each is random, and counts once.
#[derive(Debug, Clone)]
pub struct ProviderAsk<'a> {
    /// Where the browser comes back to.
    pub back: &'a str,
    /// What it brings back (RFC 6749, 4.1.1).
    pub state: &'a str,
    /// What the ID token repeats (OpenID Connect Core, 3.1.2.1).
    pub nonce: &'a str,
    /// What only who began knows (RFC 7636); its hash is sent first.
    pub verifier: &'a str,
}

/// Who somebody is, as a provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// Which provider.
    pub issuer: String,
    /// By what it knows them.
    pub subject: String,
    /// Its own session, by which it says later that it is over.
    pub session: Option<String>,
    /// Whether they proved at least two factors there, as far as it says so.
    pub two_factors: bool,
}

/// What a provider says is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOut {
    /// Which provider.
    pub issuer: String,
    /// Whose sessions.
    pub subject: Option<String>,
    /// Which one of them.
    pub session: Option<String>,
}

/// Why a provider's word does not count.
#[derive(Debug, thiserror::Error)]
pub enum ProviderFault {
    /// The tenant has none.
    #[error("this tenant has no identity provider")]
    None,
    /// What it said is not so, or not for us, or not now. The cause is for the log, and says nothing of a person.
    #[error("the identity provider's answer does not count: {0}")]
    Refused(&'static str),
    /// It does not answer.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// The identity providers of tenants.
#[async_trait]
pub trait Providers: Send + Sync {
    /// Whether any tenant has one.
    fn any(&self) -> bool;

    /// Where to send the browser.
    ///
    /// # Errors
    /// See [`ProviderFault`].
    async fn begin(&self, tenant: &TenantId, ask: &ProviderAsk<'_>) -> Result<String, ProviderFault>;

    /// Who it is that came back with this code.
    ///
    /// # Errors
    /// See [`ProviderFault`].
    async fn redeem(
        &self,
        tenant: &TenantId,
        ask: &ProviderAsk<'_>,
        code: &str,
        now: OffsetDateTime,
    ) -> Result<Identified, ProviderFault>;

    /// What a logout token says (OpenID Connect Back-Channel Logout, 2.6).
    ///
    /// # Errors
    /// See [`ProviderFault`].
    async fn logged_out(&self, tenant: &TenantId, token: &str, now: OffsetDateTime)
    -> Result<LoggedOut, ProviderFault>;

    /// Where to send the browser so that the provider's own session ends too; none if it offers nothing of the kind.
    ///
    /// # Errors
    /// See [`ProviderFault`].
    async fn end(&self, tenant: &TenantId, back: &str) -> Result<Option<String>, ProviderFault>;
}
