//! What the holder of a link does, who is nobody yet.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::Moment;
use domain::ids::{Environment, TenantId};
use domain::scope::Plain;
use edge::{JsonBody, Origin, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{Problems, fresh};
use super::sign_in::{BODY_MAX, SignedIn, with_cookie};
use crate::Door;
use crate::links::{Chosen, NotUsed};

/// A link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    /// What stands behind the `#` of its address.
    link: String,
}

/// What a link is for, and the secret for one-time codes.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkShown {
    /// Into which tenant it leads.
    tenant: TenantId,
    /// Whether a full name has to be said with it: nobody gave one with the invitation.
    name_needed: bool,
    /// Until when it may be used.
    expires_at: Moment,
    /// The secret for what makes one-time codes (RFC 6238, SHA-1, 6 digits, 30 seconds), in base32.
    one_time_secret: String,
    /// The same as authenticators read it from a picture.
    one_time_uri: String,
}

/// Shows what a link is for. It may be looked at again; used it is by `…/use` alone.
#[utoipa::path(
    post,
    path = "/v1/links/look",
    operation_id = "look_at_link",
    tag = "door",
    security(()),
    request_body = Link,
    responses((status = 200, description = "The link may be used.", body = LinkShown), Problems)
)]
pub(super) async fn look(
    State(door): State<Arc<Door>>,
    Origin { address, .. }: Origin,
    JsonBody(body): JsonBody<Link, BODY_MAX>,
) -> Result<Response, Problem> {
    let looked = door.look(&body.link, address).await?;
    let one_time_uri = format!("otpauth://totp/Lethe:{0}?secret={1}&issuer=Lethe", looked.tenant, looked.one_time);
    Ok(fresh(LinkShown {
        tenant: looked.tenant,
        name_needed: !looked.named,
        expires_at: looked.expires_at,
        one_time_secret: looked.one_time,
        one_time_uri,
    }))
}

/// What the holder of a link chooses.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UseLink {
    /// What stands behind the `#` of its address.
    link: String,
    /// The full name, printed with signatures. Needed if nobody gave one with the invitation.
    name: Option<Plain>,
    /// By which name to sign in from now on.
    login: Plain,
    /// 12 to 128 characters.
    password: Plain,
    /// A one-time code of the secret that was shown: it proves that codes can be made.
    code: Plain,
    /// In which environment to begin, if there are several. Without, or without a right there: PROD before QA before TEST.
    environment: Option<Environment>,
}

/// An account that is open, and the session that began with it.
#[derive(Serialize, ToSchema)]
pub(super) struct Opened {
    /// Each brings its holder in once where the one-time codes are lost. They are shown here only.
    recovery_codes: Vec<String>,
    /// The session.
    #[serde(flatten)]
    session: SignedIn,
}

/// Uses a link, once: sets login, password and second factor, and signs in. Sessions and factors of before are over.
#[utoipa::path(
    post,
    path = "/v1/links/use",
    operation_id = "use_link",
    tag = "door",
    security(()),
    request_body = UseLink,
    responses((status = 200, description = "The account is open, and signed in.", body = Opened), Problems)
)]
pub(super) async fn use_link(
    State(door): State<Arc<Door>>,
    Origin { address, .. }: Origin,
    JsonBody(body): JsonBody<UseLink, BODY_MAX>,
) -> Result<Response, Problem> {
    let UseLink { link, name, login, password, code, environment } = body;
    let chosen = Chosen { link, name, login, password, code, environment };
    let (begun, recovery_codes, _) = door.use_link(chosen, address).await.map_err(|not| match not {
        NotUsed::NoEntry(no) => no.into(),
        NotUsed::Chosen(problem) => problem,
    })?;
    let rules = &door.parts.rules;
    Ok(with_cookie(&begun, rules, Opened { recovery_codes, session: SignedIn::of(&begun, rules) }))
}

impl From<NotUsed> for Problem {
    fn from(not: NotUsed) -> Self {
        match not {
            NotUsed::NoEntry(no) => no.into(),
            NotUsed::Chosen(problem) => problem,
        }
    }
}
