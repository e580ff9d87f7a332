//! Identity providers of others: OpenID Connect Core with the code flow, PKCE (RFC 7636), and back-channel logout. A client of our
//! own: what is asked for is a small part of the standard, and the cryptography is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::TenantId;
use domain::port::{Failure, Identified, LoggedOut, ProviderAsk, ProviderFault, Providers};
use reqwest::Url;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;
use zeroize::Zeroizing;

mod jws;

use ProviderFault::Refused;
use jws::{Keys, Token};

/// How far clocks may be apart.
const SKEW: Duration = Duration::from_secs(60);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what a provider says of itself is believed.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// How soon keys are asked for again when a token names one that is not known.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// One tenant's provider, as its file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    issuer: String,
    client_id: String,
    #[serde(deserialize_with = "zeroized")]
    client_secret: Zeroizing<String>,
    /// Which of its classes (`acr`) are at least two factors. They are asked for.
    #[serde(default)]
    acr_values: Vec<String>,
}

fn zeroized<'de, D: serde::Deserializer<'de>>(read: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(read).map(Zeroizing::new)
}

/// One tenant's provider.
struct Provider {
    written: Written,
    known: Mutex<Option<Known>>,
}

/// What a provider says of itself.
#[derive(Clone)]
struct Known {
    about: Arc<About>,
    keys: Arc<Keys>,
    at: OffsetDateTime,
}

#[derive(Deserialize)]
struct About {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    end_session_endpoint: Option<String>,
}

/// The providers of a file.
pub struct FileProviders {
    http: reqwest::Client,
    providers: BTreeMap<TenantId, Provider>,
    clock: Arc<dyn domain::port::Clock>,
}

#[derive(Deserialize)]
struct Answered {
    id_token: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Value,
    azp: Option<String>,
    exp: Option<i64>,
    iat: i64,
    sub: Option<String>,
    sid: Option<String>,
    nonce: Option<String>,
    acr: Option<String>,
    #[serde(default)]
    amr: Vec<String>,
    events: Option<BTreeMap<String, Value>>,
}

/// Why a file of providers cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the identity providers: {0}")]
pub struct NoProviders(String);

impl FileProviders {
    /// None at all.
    pub fn none(clock: Arc<dyn domain::port::Clock>) -> Self {
        Self { http: reqwest::Client::new(), providers: BTreeMap::new(), clock }
    }

    /// Reads a file: for each tenant `issuer`, `client_id`, `client_secret` and, optionally, `acr_values`.
    ///
    /// # Errors
    /// It cannot be read, others could read it, or a provider is not spoken to in TLS.
    pub fn read(file: &std::path::Path, clock: Arc<dyn domain::port::Clock>) -> Result<Self, NoProviders> {
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |why: &dyn std::fmt::Display| NoProviders(format!("{}: {why}", file.display()));
        let mode = std::fs::metadata(file).map_err(|error| failed(&error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(failed(&"others can read it, and it holds secrets: chmod 600"));
        }
        let text = Zeroizing::new(std::fs::read(file).map_err(|error| failed(&error))?);
        let written: BTreeMap<TenantId, Written> = serde_json::from_slice(&text)
            .map_err(|error| failed(&format!("{:?} at line {}", error.classify(), error.line())))?;
        for (tenant, one) in &written {
            let url = Url::parse(&one.issuer).map_err(|error| failed(&format!("issuer of {tenant}: {error}")))?;
            if !is_safe(&url) {
                return Err(failed(&format!("issuer of {tenant}: beyond this machine it is https")));
            }
        }
        // People come seldom: a connection that was kept would be one that the provider has closed meanwhile.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(PATIENCE);
        let http = http.redirect(reqwest::redirect::Policy::none()).build();
        let providers =
            written.into_iter().map(|(tenant, written)| (tenant, Provider { written, known: Mutex::default() }));
        Ok(Self { http: http.map_err(|error| failed(&error))?, providers: providers.collect(), clock })
    }

    fn of(&self, tenant: &TenantId) -> Result<&Provider, ProviderFault> {
        self.providers.get(tenant).ok_or(ProviderFault::None)
    }

    async fn fetch<T: DeserializeOwned>(&self, url: &str) -> Result<T, ProviderFault> {
        let answer = self.http.get(safe(url)?).send().await.map_err(no_answer)?;
        answer.error_for_status().map_err(no_answer)?.json().await.map_err(no_answer)
    }

    /// What a provider says of itself, asked anew once an hour, or when `stale` says so.
    async fn known(&self, provider: &Provider, stale: impl Fn(&Known) -> bool) -> Result<Known, ProviderFault> {
        let now = self.clock.now();
        let kept = provider.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) =
            kept.filter(|known| now < known.at + KEPT_FOR && !(stale(known) && now >= known.at + AGAIN_AFTER))
        {
            return Ok(known);
        }
        let issuer = &provider.written.issuer;
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let about: About = self.fetch(&address).await?;
        if about.issuer != *issuer {
            return Err(Refused("it calls itself otherwise than it was named here"));
        }
        let keys = Arc::new(self.fetch(&about.jwks_uri).await?);
        let known = Known { about: Arc::new(about), keys, at: now };
        *provider.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    /// The claims of a token that this provider signed for us, and that counts now.
    async fn claims(
        &self,
        provider: &Provider,
        token: &Token<'_>,
        now: OffsetDateTime,
    ) -> Result<Claims, ProviderFault> {
        let known = self.known(provider, |known| !token.is_of(&known.keys)).await?;
        let claims: Claims = token.claims(&known.keys).ok_or(Refused("the token is not signed by a key of it"))?;
        let us = &provider.written.client_id;
        let named = match &claims.aud {
            Value::String(one) => one == us,
            Value::Array(all) => all.iter().any(|one| one == us) && (all.len() == 1 || claims.azp.as_ref() == Some(us)),
            _ => false,
        };
        let (now, skew) = (now.unix_timestamp(), i64::try_from(SKEW.as_secs()).unwrap_or_default());
        if claims.iss != provider.written.issuer {
            return Err(Refused("the token is of another provider"));
        }
        if !named || claims.azp.as_ref().is_some_and(|azp| azp != us) {
            return Err(Refused("the token is for somebody else"));
        }
        if claims.exp.is_some_and(|exp| exp + skew <= now) || claims.iat > now + skew {
            return Err(Refused("the token does not count now"));
        }
        Ok(claims)
    }
}

/// An address that may be asked.
fn safe(url: &str) -> Result<Url, ProviderFault> {
    let url = Url::parse(url).map_err(|_| Refused("an address of it is none"))?;
    if is_safe(&url) { Ok(url) } else { Err(Refused("an address of it is not https")) }
}

/// Beyond this machine nothing is said without TLS.
fn is_safe(url: &Url) -> bool {
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    url.scheme() == "https" || url.scheme() == "http" && here
}

fn no_answer(error: reqwest::Error) -> ProviderFault {
    // Without the address: it may hold what somebody brought back.
    Failure::unavailable("the identity provider", error.without_url()).into()
}

/// What a factor is (RFC 8176): known, had, or been.
fn kind_of(method: &str) -> Option<&'static str> {
    match method {
        "pwd" | "pin" | "kba" => Some("known"),
        "otp" | "hwk" | "swk" | "pop" | "sc" | "sms" | "tel" | "wia" => Some("had"),
        "fpt" | "face" | "iris" | "retina" | "vbm" => Some("been"),
        _ => None,
    }
}

impl Claims {
    /// Whether it says of at least two factors.
    fn has_two_factors(&self, classes: &[String]) -> bool {
        let class = self.acr.as_ref().is_some_and(|acr| classes.contains(acr));
        let kinds: BTreeSet<&str> = self.amr.iter().filter_map(|method| kind_of(method)).collect();
        class || self.amr.iter().any(|method| method == "mfa") || kinds.len() >= 2
    }
}

#[async_trait]
impl Providers for FileProviders {
    fn any(&self) -> bool {
        !self.providers.is_empty()
    }

    async fn begin(&self, tenant: &TenantId, ask: &ProviderAsk<'_>) -> Result<String, ProviderFault> {
        let provider = self.of(tenant)?;
        let mut url = safe(&self.known(provider, |_| false).await?.about.authorization_endpoint)?;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, ask.verifier.as_bytes()));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.written.client_id)
            .append_pair("redirect_uri", ask.back)
            .append_pair("scope", "openid")
            .append_pair("state", ask.state)
            .append_pair("nonce", ask.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if !provider.written.acr_values.is_empty() {
            url.query_pairs_mut().append_pair("acr_values", &provider.written.acr_values.join(" "));
        }
        Ok(url.into())
    }

    async fn redeem(
        &self,
        tenant: &TenantId,
        ask: &ProviderAsk<'_>,
        code: &str,
        now: OffsetDateTime,
    ) -> Result<Identified, ProviderFault> {
        let provider = self.of(tenant)?;
        let Written { client_id, client_secret, acr_values, .. } = &provider.written;
        let endpoint = safe(&self.known(provider, |_| false).await?.about.token_endpoint)?;
        let mut form = Url::parse("form:").map_err(|_| Refused("no form can be made"))?;
        form.query_pairs_mut()
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", ask.back)
            .append_pair("code_verifier", ask.verifier);
        let body = form.query().unwrap_or_default().to_owned();
        // RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
        let encoded = |text: &str| {
            let mut one = Url::parse("form:").ok()?;
            one.query_pairs_mut().append_pair("", text);
            Some(one.query()?.trim_start_matches('=').to_owned())
        };
        let (id, secret) = encoded(client_id).zip(encoded(client_secret)).ok_or(Refused("no form can be made"))?;
        let request = self.http.post(endpoint).basic_auth(id, Some(Zeroizing::new(secret).as_str())).body(body);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = request.send().await.map_err(no_answer)?;
        if answer.status().is_client_error() {
            return Err(Refused("it takes the code for none"));
        }
        let Answered { id_token } = answer.error_for_status().map_err(no_answer)?.json().await.map_err(no_answer)?;
        let token = Token::read(&id_token).ok_or(Refused("its token cannot be read"))?;
        let claims = self.claims(provider, &token, now).await?;
        if claims.nonce.as_deref() != Some(ask.nonce) {
            return Err(Refused("the token answers another sign-in"));
        }
        if claims.exp.is_none() || claims.events.is_some() {
            return Err(Refused("the token is no ID token"));
        }
        let two_factors = claims.has_two_factors(acr_values);
        let subject = claims.sub.ok_or(Refused("the token is about nobody"))?;
        Ok(Identified { issuer: claims.iss, subject, session: claims.sid, two_factors })
    }

    async fn logged_out(
        &self,
        tenant: &TenantId,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<LoggedOut, ProviderFault> {
        let provider = self.of(tenant)?;
        let token = Token::read(token).ok_or(Refused("its token cannot be read"))?;
        if token.kind().is_some_and(|kind| kind != "logout+jwt" && kind != "jwt") {
            return Err(Refused("the token is no logout token"));
        }
        let claims = self.claims(provider, &token, now).await?;
        let event = "http://schemas.openid.net/event/backchannel-logout";
        let says_so = claims.events.as_ref().is_some_and(|events| events.contains_key(event));
        let recent = claims.iat + 600 >= now.unix_timestamp();
        if !says_so || claims.nonce.is_some() || !recent || claims.sub.is_none() && claims.sid.is_none() {
            return Err(Refused("the token is no logout token"));
        }
        Ok(LoggedOut { issuer: claims.iss, subject: claims.sub, session: claims.sid })
    }

    async fn end(&self, tenant: &TenantId, back: &str) -> Result<Option<String>, ProviderFault> {
        let provider = self.of(tenant)?;
        let about = self.known(provider, |_| false).await?.about;
        let Some(mut url) = about.end_session_endpoint.as_deref().map(safe).transpose()? else { return Ok(None) };
        url.query_pairs_mut()
            .append_pair("client_id", &provider.written.client_id)
            .append_pair("post_logout_redirect_uri", back);
        Ok(Some(url.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(acr: Option<&str>, amr: &[&str]) -> Claims {
        let claims = serde_json::json!({"iss": "i", "aud": "a", "iat": 1, "acr": acr, "amr": amr});
        serde_json::from_value(claims).expect("claims")
    }

    #[test]
    fn two_factors_are_two_kinds_or_a_class_that_was_named() {
        let classes = vec!["urn:two".to_owned()];
        for (acr, amr, two) in [
            (None, &["pwd"][..], false),
            (None, &["pwd", "pin"], false),
            (None, &["otp", "sms"], false),
            (None, &["pwd", "otp"], true),
            (None, &["hwk", "fpt"], true),
            (None, &["mfa"], true),
            (Some("urn:two"), &[], true),
            (Some("urn:one"), &["pwd"], false),
            (None, &[], false),
        ] {
            assert_eq!(claims(acr, amr).has_two_factors(&classes), two, "{acr:?} {amr:?}");
        }
    }

    #[test]
    fn a_provider_elsewhere_is_spoken_to_in_tls_alone() {
        for (url, safe) in [
            ("https://id.example.org", true),
            ("http://id.example.org", false),
            ("http://127.0.0.1:3000", true),
            ("http://127.0.0.1.example.org", false),
            ("ftp://localhost", false),
        ] {
            assert_eq!(is_safe(&Url::parse(url).expect("an address")), safe, "{url}");
        }
    }
}
