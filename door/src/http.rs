//! The addresses of the door: one file a resource.

mod description;
mod links;
mod machines;
mod passkeys;
mod provider;
mod reply;
mod reviews;
mod sessions;
mod sign_in;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use domain::port::Credentials;

pub use description::openapi;

use crate::Door;

/// The door's routes: those that somebody without a session needs, and those behind a credential.
pub fn router(door: Arc<Door>) -> Router {
    let open = Router::new()
        .route("/v1/sign-in", post(sign_in::sign_in))
        .route("/oauth/token", post(machines::token))
        .route("/oidc/{tenant}/back-channel-logout", post(provider::back_channel_logout))
        .route("/v1/sign-in/provider", get(provider::offered).post(provider::go))
        .route("/v1/sign-in/provider/back", post(provider::come_back))
        .route("/v1/sign-in/passkey/challenge", post(passkeys::ask))
        .route("/v1/sign-in/passkey", post(passkeys::sign_in))
        .route("/v1/links/look", post(links::look))
        .route("/v1/links/use", post(links::use_link))
        .with_state(Arc::clone(&door));
    let behind = Router::new()
        .route("/v1/sign-out", post(sessions::sign_out))
        .route("/v1/sign-out/provider", get(provider::end_there))
        .route("/v1/password", post(sign_in::change_password))
        .route("/v1/sessions", get(sessions::own))
        .route("/v1/machines", get(machines::list).post(machines::create))
        .route("/v1/machines/{machine}/secrets", post(machines::rotate))
        .route("/v1/machines/{machine}/secrets/{secret}/revoke", post(machines::revoke))
        .route("/v1/machines/{machine}/dismiss", post(machines::dismiss))
        .route("/v1/passkeys", get(passkeys::own).post(passkeys::add))
        .route("/v1/passkeys/new", post(passkeys::begin))
        .route("/v1/passkeys/proof", post(passkeys::proof))
        .route("/v1/users/{user}/passkeys", get(passkeys::of_user))
        .route("/v1/users/{user}/passkeys/{passkey}/remove", post(passkeys::remove))
        .route("/v1/users", get(users::list).post(users::invite))
        .route("/v1/users/reviews", get(reviews::of_access).post(reviews::review_access))
        .route("/v1/studies/{study}/audit/reviews", get(reviews::of_trail).post(reviews::review_trail))
        .route("/v1/users/{user}/link", post(users::link))
        .route("/v1/users/{user}/rights", post(users::give_right))
        .route("/v1/users/{user}/rights/{right}/end", post(users::end_right))
        .route("/v1/users/{user}/sessions", get(sessions::of_user))
        .route("/v1/users/{user}/sessions/{session}/end", post(sessions::end))
        .route("/v1/users/{user}/sign-ins", get(users::sign_ins))
        .with_state(Arc::clone(&door));
    open.merge(edge::authenticated(behind, door as Arc<dyn Credentials>))
}
