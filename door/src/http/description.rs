//! The OpenAPI description of the door's addresses.

use utoipa::OpenApi;

use super::{links, machines, passkeys, provider, reviews, sessions, sign_in, users};

#[derive(OpenApi)]
#[openapi(
    paths(
        sign_in::sign_in,
        sign_in::change_password,
        machines::create,
        machines::rotate,
        machines::revoke,
        machines::dismiss,
        machines::list,
        machines::token,
        provider::offered,
        provider::go,
        provider::come_back,
        provider::end_there,
        provider::back_channel_logout,
        passkeys::ask,
        passkeys::sign_in,
        passkeys::proof,
        passkeys::begin,
        passkeys::add,
        passkeys::own,
        passkeys::of_user,
        passkeys::remove,
        links::look,
        links::use_link,
        sessions::sign_out,
        sessions::own,
        sessions::of_user,
        sessions::end,
        users::list,
        users::invite,
        users::link,
        users::give_right,
        users::end_right,
        users::sign_ins,
        reviews::of_trail,
        reviews::review_trail,
        reviews::of_access,
        reviews::review_access,
    ),
    components(schemas(edge::ProblemBody)),
    tags((name = "door", description = "Who comes in: accounts, sessions, rights."))
)]
struct Description;

/// The description of the door's addresses, to be merged with the others.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
