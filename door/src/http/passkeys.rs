//! Passkeys: what a browser asks them, and what they answered. Options are those of `PublicKeyCredential` in JSON (Web
//! Authentication, 5.1.8 and 5.1.9), so a browser reads them as they are.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Moment;
use domain::account::Account;
use domain::ids::{Environment, PasskeyId, SessionId, UserId};
use domain::permit::{Principal, Role, may_query};
use domain::scope::Plain;
use edge::{Caller, Ids, JsonBody, Origin, Parameters, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{Problems, Since, fresh, reflecting};
use super::sign_in::{BODY_MAX, SignedIn, with_cookie};
use crate::Door;
use crate::passkeys::{ANSWER_WITHIN, MadePasskey, NotAdded, PasskeyAnswer, Purpose, bytes, handle};
use crate::proof::Factors;

/// What a passkey says may be longer than other bodies: what made it may say who made it.
const MADE_MAX: usize = 256 * 1024;

/// Nothing: the address says it all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A passkey by the bytes that its authenticator knows it by.
#[derive(Serialize, ToSchema)]
struct Descriptor {
    r#type: &'static str,
    id: String,
}

/// What a browser asks a passkey (`PublicKeyCredentialRequestOptionsJSON`).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestOptions {
    challenge: String,
    timeout: u64,
    rp_id: String,
    allow_credentials: Vec<Descriptor>,
    user_verification: &'static str,
}

/// What a browser has made (`PublicKeyCredentialCreationOptionsJSON`).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreationOptions {
    rp: Party,
    user: Holder,
    challenge: String,
    pub_key_cred_params: Vec<Kind>,
    timeout: u64,
    exclude_credentials: Vec<Descriptor>,
    authenticator_selection: Selection,
    attestation: &'static str,
}

/// Where it counts.
#[derive(Serialize, ToSchema)]
struct Party {
    id: String,
    name: &'static str,
}

/// Whose it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Holder {
    id: String,
    name: String,
    display_name: String,
}

/// A kind of key.
#[derive(Serialize, ToSchema)]
struct Kind {
    r#type: &'static str,
    alg: i32,
}

/// Which authenticators.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Selection {
    resident_key: &'static str,
    require_resident_key: bool,
    user_verification: &'static str,
}

fn request_options(door: &Door, challenge: [u8; 32], allowed: Vec<Descriptor>) -> RequestOptions {
    RequestOptions {
        challenge: URL_SAFE_NO_PAD.encode(challenge),
        timeout: u64::try_from(ANSWER_WITHIN.as_millis()).unwrap_or(u64::MAX),
        rp_id: door.place().id,
        allow_credentials: allowed,
        user_verification: "required",
    }
}

fn descriptors(account: &Account) -> Vec<Descriptor> {
    let known = account.passkeys.values().filter_map(|one| one.credential.known());
    known.map(|id| Descriptor { r#type: "public-key", id: id.clone() }).collect()
}

/// Asks whoever wants to sign in by a passkey. The answer goes to `POST /v1/sign-in/passkey` within five minutes, once.
#[utoipa::path(
    post,
    path = "/v1/sign-in/passkey/challenge",
    operation_id = "ask_for_passkey",
    tag = "door",
    security(()),
    request_body = Nothing,
    responses((status = 200, description = "For `navigator.credentials.get`.", body = RequestOptions), Problems)
)]
pub(super) async fn ask(
    State(door): State<Arc<Door>>,
    Origin { address, .. }: Origin,
    JsonBody(Nothing {}): JsonBody<Nothing, BODY_MAX>,
) -> Result<Response, Problem> {
    let challenge = door.challenge_nobody(address)?;
    Ok(fresh(request_options(&door, challenge, Vec::new())))
}

/// Who wants in, by a passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasskeySignIn {
    /// What it answered.
    passkey: PasskeyAnswer,
    /// In which role, if there are several.
    role: Option<Role>,
    /// In which environment, if there are several. Without: PROD before QA before TEST.
    environment: Option<Environment>,
}

/// Signs in with a passkey that verified its holder: two factors in one, so nothing else is asked for.
#[utoipa::path(
    post,
    path = "/v1/sign-in/passkey",
    operation_id = "sign_in_by_passkey",
    tag = "door",
    security(()),
    request_body = PasskeySignIn,
    responses((status = 200, description = "Signed in; the cookie and the token are the same session.", body = SignedIn), Problems)
)]
pub(super) async fn sign_in(
    State(door): State<Arc<Door>>,
    Origin { address, .. }: Origin,
    JsonBody(body): JsonBody<PasskeySignIn, BODY_MAX>,
) -> Result<Response, Problem> {
    let PasskeySignIn { passkey, role, environment } = body;
    let begun = door.sign_in_by_passkey(&passkey, (role, environment), address).await?;
    let rules = &door.parts.rules;
    Ok(with_cookie(&begun, rules, SignedIn::of(&begun, rules)))
}

fn session_of(who: &Principal) -> Result<SessionId, Problem> {
    let none = || Problem::new(StatusCode::CONFLICT, "no-session", "this credential is no session: it is a token");
    who.session.ok_or_else(none)
}

/// Asks the holder of this session anew, for a signature or another proof (`Lethe-Signer: Passkey …`).
#[utoipa::path(
    post,
    path = "/v1/passkeys/proof",
    operation_id = "ask_own_passkey",
    tag = "door",
    request_body = Nothing,
    responses((status = 200, description = "For `navigator.credentials.get`.", body = RequestOptions), Problems)
)]
pub(super) async fn proof(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    JsonBody(Nothing {}): JsonBody<Nothing, BODY_MAX>,
) -> Result<Response, Problem> {
    let session = session_of(&who)?;
    let tenant = door.tenant_of(&who)?;
    let account = door.account(&tenant, who.actor.id).await?;
    if account.passkeys.is_empty() {
        let detail = "this account has no passkey: add one first";
        return Err(Problem::new(StatusCode::CONFLICT, "no-passkey", detail));
    }
    let challenge = door.challenge(Purpose::Prove(who.actor.id, session))?;
    Ok(fresh(request_options(&door, challenge, descriptors(&account))))
}

/// What proves both factors: a password with the one-time code of the moment, or a passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BothFactors {
    /// The password.
    password: Option<Plain>,
    /// The one-time code of the moment.
    code: Option<Plain>,
    /// Or what a passkey answered, asked at `/v1/passkeys/proof`.
    passkey: Option<PasskeyAnswer>,
}

/// Begins to add a passkey to one's own account. The answer goes to `POST /v1/passkeys` within five minutes, once.
#[utoipa::path(
    post,
    path = "/v1/passkeys/new",
    operation_id = "begin_passkey",
    tag = "door",
    request_body = BothFactors,
    responses((status = 200, description = "For `navigator.credentials.create`.", body = CreationOptions), Problems)
)]
pub(super) async fn begin(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<BothFactors, BODY_MAX>,
) -> Result<Response, Problem> {
    let session = session_of(&who)?;
    let tenant = door.tenant_of(&who)?;
    let factors = Factors { password: body.password, code: body.code, recovery_code: None };
    let second = door.prove_both(&tenant, &who, session, (&factors, body.passkey.as_ref())).await?;
    let account = door.account(&tenant, who.actor.id).await?;
    let login = account.credentials.as_ref().and_then(|one| one.login.known()).cloned().unwrap_or_default();
    let challenge = door.challenge(Purpose::Add(who.actor.id, session, second))?;
    let kind = |alg| Kind { r#type: "public-key", alg };
    Ok(fresh(CreationOptions {
        rp: Party { id: door.place().id, name: "Lethe" },
        user: Holder {
            id: URL_SAFE_NO_PAD.encode(handle(&who.tenant, who.actor.id)),
            name: login.clone(),
            display_name: login,
        },
        challenge: URL_SAFE_NO_PAD.encode(challenge),
        pub_key_cred_params: [-7, -8, -257].map(kind).into(),
        timeout: u64::try_from(ANSWER_WITHIN.as_millis()).unwrap_or(u64::MAX),
        exclude_credentials: descriptors(&account),
        authenticator_selection: Selection {
            resident_key: "required",
            require_resident_key: true,
            user_verification: "required",
        },
        attestation: "none",
    }))
}

/// A passkey that was made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPasskey {
    /// What its holder calls it, to tell it from others.
    name: Plain,
    /// What the browser says was asked (`clientDataJSON`), in base64url.
    client_data: String,
    /// What the authenticator made (`attestationObject`), in base64url.
    attestation: String,
}

/// A passkey that was added.
#[derive(Serialize, ToSchema)]
pub(super) struct PasskeyAdded {
    /// Its id.
    passkey: PasskeyId,
}

/// Adds a passkey to one's own account.
#[utoipa::path(
    post,
    path = "/v1/passkeys",
    operation_id = "add_passkey",
    tag = "door",
    request_body = NewPasskey,
    responses((status = 200, description = "It counts from now on.", body = PasskeyAdded), Problems)
)]
pub(super) async fn add(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<NewPasskey, MADE_MAX>,
) -> Result<Response, Problem> {
    session_of(&who)?;
    let tenant = door.tenant_of(&who)?;
    let unreadable = || Problem::invalid("passkey-unreadable", "what the passkey says is not base64url");
    let made = MadePasskey {
        name: body.name,
        client_data: bytes(&body.client_data).ok_or_else(unreadable)?,
        attestation: bytes(&body.attestation).ok_or_else(unreadable)?,
    };
    let passkey = door.add_passkey(&tenant, &who, made).await?;
    Ok(fresh(PasskeyAdded { passkey }))
}

impl From<NotAdded> for Problem {
    fn from(not: NotAdded) -> Self {
        match not {
            NotAdded::NoEntry(no) => no.into(),
            NotAdded::Fault(fault) => Self::invalid("passkey-refused", fault.to_string()),
            NotAdded::NotAsked => {
                let detail = "no passkey was asked for in this session, or too long ago: begin again";
                Self::new(StatusCode::CONFLICT, "not-asked", detail)
            }
        }
    }
}

/// The passkeys of a user.
#[derive(Serialize, ToSchema)]
pub(super) struct PasskeyList {
    /// Whose.
    user: UserId,
    /// Those that count.
    items: Vec<PasskeyShown>,
}

/// A passkey that counts.
#[derive(Serialize, ToSchema)]
pub(super) struct PasskeyShown {
    /// Its id.
    passkey: PasskeyId,
    /// What its holder calls it; shown to its holder alone.
    name: Option<String>,
    /// Since when it counts.
    added_at: Moment,
    /// When it was used last.
    used_at: Option<Moment>,
}

/// The passkeys of one's own.
#[utoipa::path(
    get,
    path = "/v1/passkeys",
    operation_id = "list_own_passkeys",
    tag = "door",
    params(Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = PasskeyList), Problems)
)]
pub(super) async fn own(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    show(&door, &who, who.actor.id, &since).await
}

/// The passkeys of a user: for who administers, and for the user.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/passkeys",
    operation_id = "list_passkeys",
    tag = "door",
    params(("user" = UserId, Path, description = "the user"), Since),
    responses((status = 200, description = "As they stand at `Lethe-Position`.", body = PasskeyList), Problems)
)]
pub(super) async fn of_user(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids(user): Ids<UserId>,
    Parameters(since): Parameters<Since>,
) -> Result<Response, Problem> {
    if user != who.actor.id && !may_query(who.actor.role, "user.list") {
        return Err(Problem::forbidden("the passkeys of others are for who administers"));
    }
    show(&door, &who, user, &since).await
}

async fn show(door: &Door, who: &Principal, user: UserId, since: &Since) -> Result<Response, Problem> {
    let tenant = door.tenant_of(who)?;
    let positions = since.wait(&tenant).await?;
    let account = door.account(&tenant, user).await?;
    let own = user == who.actor.id;
    let shown = account.passkeys.iter().map(|(id, one)| PasskeyShown {
        passkey: *id,
        name: one.name.known().filter(|_| own).cloned(),
        added_at: Moment(one.added_at),
        used_at: one.used_at.map(Moment),
    });
    Ok(reflecting(&positions, PasskeyList { user, items: shown.collect() }))
}

/// Removes a passkey: one's own, or anybody's for who administers. Every other session of that account ends.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/passkeys/{passkey}/remove",
    operation_id = "remove_passkey",
    tag = "door",
    params(("user" = UserId, Path, description = "the user"), ("passkey" = PasskeyId, Path, description = "the passkey")),
    responses((status = 200, description = "It counts no more."), Problems)
)]
pub(super) async fn remove(
    State(door): State<Arc<Door>>,
    Caller(who): Caller,
    Ids((user, passkey)): Ids<(UserId, PasskeyId)>,
) -> Result<Response, Problem> {
    let tenant = door.tenant_of(&who)?;
    door.remove_passkey(&tenant, who, user, passkey).await?;
    Ok(StatusCode::OK.into_response())
}
