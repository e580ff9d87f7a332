//! The OpenAPI description of the views.

use domain::access::Purpose;
use edge::ProblemBody;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::{HeaderBuilder, Object, RefOr, Required, Response, Type};
use utoipa::{IntoResponses, Modify, OpenApi};

use crate::{
    access, audit, casebook, datasets, erasures, exports, figures, identity, incidents, matrix, overview, participants,
    queries, signatures, studies, trail,
};

#[derive(OpenApi)]
#[openapi(
    paths(
        studies::list,
        studies::show,
        studies::design,
        studies::version,
        studies::difference,
        overview::show,
        figures::enrolment,
        figures::visits,
        figures::completeness,
        figures::entry_lag,
        figures::queries,
        figures::verification,
        figures::lock_readiness,
        figures::signatures,
        participants::list,
        participants::show,
        casebook::show,
        matrix::list,
        queries::list,
        signatures::list,
        identity::show,
        audit::page,
        trail::stream,
        erasures::list,
        erasures::show,
        erasures::certificate,
        erasures::certificate_page,
        erasures::holds,
        erasures::restrictions,
        exports::list,
        exports::show,
        exports::file,
        datasets::about,
        datasets::studies,
        datasets::study,
        datasets::snapshots,
        datasets::list,
        datasets::dataset,
        datasets::ndjson,
        access::views::of_participant,
        access::views::of_user,
        access::views::mine,
        access::views::list,
        incidents::list,
        incidents::show,
    ),
    components(schemas(ProblemBody)),
    tags((name = "queries", description = "What dashboards and people ask.")),
    modifiers(&EveryView)
)]
struct Description;

/// What holds for every view is said here once: the position of its answer, and why it may not answer.
struct EveryView;

impl Modify for EveryView {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        for view in description.paths.paths.values_mut().filter_map(|path| path.get.as_mut()) {
            describe(view);
        }
    }
}

fn describe(view: &mut Operation) {
    let responses = &mut view.responses.responses;
    if let Some(RefOr::T(answer)) = responses.get_mut("200") {
        positioned(answer);
    }
    let purposes = Object::builder().schema_type(Type::String).enum_values(Some(Purpose::ALL.map(Purpose::as_str)));
    let purpose = ParameterBuilder::new()
        .name("Lethe-Purpose")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("what for, as it stands in the access log; without it, what the role reads for"))
        .schema(Some(purposes.build()))
        .build();
    view.parameters.get_or_insert_default().push(RefOr::T(purpose));
    responses.extend(Problems::responses());
}

fn positioned(answer: &mut Response) {
    let position = HeaderBuilder::new()
        .schema(Some(Object::with_type(Type::String)))
        .description(Some("the position that the answer reflects at least"))
        .build();
    answer.description = "As it stands at `Lethe-Position`.".to_owned();
    answer.headers.insert("Lethe-Position".to_owned(), RefOr::T(position));
    let entry = HeaderBuilder::new()
        .schema(Some(Object::with_type(Type::String)))
        .description(Some("where the access log says that this was shown, if it shows anybody"))
        .build();
    answer.headers.insert("Lethe-Access".to_owned(), RefOr::T(entry));
}

/// Why a view may not answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro: `Problem` makes the responses")]
enum Problems {
    /// The address or a query parameter cannot be read, or `min_position` is not from this journal.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// No valid token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// The role may not.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// Not there, or not for this credential.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// Not now, or `min_position` is not reached yet (code `behind`): ask again after `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "seconds")))]
    Unavailable(ProblemBody),
}

/// The description of the views (OpenAPI 3.1).
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
