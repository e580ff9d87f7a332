//! The OpenAPI description of these addresses.

use utoipa::OpenApi;

use super::{
    backups, figures, findings, health, journals, keys, opening, projections, rebuilds, sign_ins, standstills,
};

#[derive(OpenApi)]
#[openapi(
    paths(
        health::show,
        findings::show,
        figures::show,
        projections::show,
        rebuilds::list,
        rebuilds::order,
        standstills::show,
        standstills::retry,
        journals::list,
        journals::streams,
        journals::commits,
        opening::open,
        opening::list,
        keys::show,
        keys::kms,
        backups::show,
        sign_ins::show,
    ),
    components(schemas(edge::ProblemBody)),
    tags((name = "operations", description = "How the platform fares: figures and structure, nobody's value."))
)]
struct Description;

/// The description of these addresses, to be merged with the others.
pub(in crate::platform) fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
