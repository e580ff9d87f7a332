//! The OpenAPI description of the write side.

use domain::ids::{ExportId, IncidentId, ParticipantId, StudyId};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{bulk, designs, exports, incidents, participants, randomisation, rehearsal, studies};

#[derive(OpenApi)]
#[openapi(
    paths(
        studies::command,
        studies::lock_readiness,
        designs::publish,
        bulk::commands,
        participants::record,
        rehearsal::rehearse,
        participants::migration_report,
        participants::identity,
        participants::privacy,
        participants::allocation,
        exports::command,
        incidents::command,
        randomisation::list,
        randomisation::command,
        randomisation::reveal,
    ),
    components(schemas(StudyId, ParticipantId, ExportId, IncidentId, edge::ProblemBody)),
    tags((name = "commands", description = "What is to happen. Every command is stored durably before it is answered.")),
    security(("token" = [])),
    modifiers(&Token)
)]
struct Description;

/// Every address takes a bearer token.
struct Token;

impl Modify for Token {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
    }
}

/// The description of the write side's addresses, to be merged with the read side's.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
