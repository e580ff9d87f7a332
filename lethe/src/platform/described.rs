//! The description of the API, put together from its parts, and what is said once for all of them.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{AllOf, AnyOf, Array, ArrayItems, Object, OneOf};
use utoipa::openapi::{OpenApi, RefOr, Schema};

/// The description of the API, put together from the services.
pub fn openapi() -> OpenApi {
    let mut whole = command_svc::openapi();
    whole.merge(query_api::openapi());
    whole.merge(door::openapi());
    whole.info.title = "Lethe".into();
    whole.info.version = env!("CARGO_PKG_VERSION").into();
    whole.info.description = Some(ABOUT.into());
    for part in ["ExportOrder", "FormKey", "ItemKey", "ItemPlace", "RightTerms", "VisitKey"] {
        open(&mut whole, part);
    }
    say_what_texts_look_like(&mut whole);
    let schemas = whole.components.iter_mut().flat_map(|components| components.schemas.iter_mut());
    for (name, schema) in schemas {
        untagged(name, schema);
    }
    whole
}

/// What whoever reads the description must know before the first request.
const ABOUT: &str = "A clinical study data platform that remembers everything and can prove that it forgot. \
    Commands are sent with POST and stored durably before they are answered; queries are GET. \
    Every request carries a bearer token or a session, but those that begin one. Every refusal is a problem (RFC 9457) with a stable `code`.";

/// Lets a schema be part of another. Both refuse unknown fields as soon as the request is read, but said of the
/// part alone, in JSON Schema, it would refuse the fields of the whole.
fn open(description: &mut OpenApi, name: &str) {
    let schemas = description.components.as_mut().map(|components| &mut components.schemas);
    if let Some(RefOr::T(Schema::Object(part))) = schemas.and_then(|schemas| schemas.get_mut(name)) {
        part.additional_properties = None;
    }
}

/// What a short text of a closed alphabet looks like, by the name of its schema: `domain::ids` says the same when it reads one.
const TEXTS: [(&str, &str); 18] = [
    ("CheckId", r##"^[!#-%'-;=?-\[\]-~]{1,200}$"##),
    ("Code", r##"^[!#-+\--\[\]-~]{1,64}$"##),
    ("CommitHash", "^[0-9A-Fa-f]{64}$"),
    ("ConsentVersion", "^[A-Za-z0-9_.-]{1,32}$"),
    ("InstructionId", "^[A-Za-z0-9_./-]{1,64}$"),
    ("ListId", "^[a-z0-9-]{1,32}$"),
    ("Oid", r##"^[!#-%'-.0-;=?-\[\]-~]{1,128}$"##),
    ("OrganisationId", "^[A-Za-z0-9_-]{1,64}$"),
    ("QueryId", "^[a-z0-9-]{1,64}$"),
    ("RandomisationNumber", "^[A-Za-z0-9-]{1,32}$"),
    ("RuleId", "^[a-z0-9-]{1,32}$"),
    ("SignatureId", "^[a-z0-9-]{1,64}$"),
    ("SiteId", "^[A-Za-z0-9_-]{1,32}$"),
    ("StudyId", "^[a-z0-9-]{1,32}$"),
    ("SubjectNumber", "^[A-Za-z0-9_-]{1,32}$"),
    ("TenantId", "^[a-z0-9-]{1,32}$"),
    ("UnblindingId", "^[a-z0-9-]{1,64}$"),
    ("Label", r"^[^\u0000-\u001f\u007f-\u009f]{1,200}$"),
];

/// The same of parameters, by name, wherever they stand.
const PARAMETERS: [(&str, &str); 9] = [
    ("as_of_position", POSITION),
    ("dataset", r##"^[!#-%'-.0-;=?-\[\]-~]{1,128}$"##),
    ("design", "^[0-9A-Fa-f]{64}$"),
    ("format", "^ndjson$"),
    ("list", "^[a-z0-9-]{1,32}$"),
    ("min_position", POSITION),
    ("other", "^[0-9A-Fa-f]{64}$"),
    ("site", "^[A-Za-z0-9_-]{1,32}$"),
    ("study", "^[a-z0-9-]{1,32}$"),
];

/// What `Lethe-Position` says: journal, incarnation and sequence, of each journal that counts.
const POSITION: &str =
    "^(_|[a-z0-9-]{1,32}):[0-9]{1,19}:[0-9]{1,19}(,(_|[a-z0-9-]{1,32}):[0-9]{1,19}:[0-9]{1,19}){0,7}$";

fn say_what_texts_look_like(description: &mut OpenApi) {
    let schemas = description.components.iter_mut().flat_map(|components| components.schemas.iter_mut());
    for (name, schema) in schemas {
        if let (Some(pattern), RefOr::T(Schema::Object(text))) = (pattern_of(&TEXTS, name), schema) {
            text.pattern = Some(pattern);
        }
    }
    let operations = description.paths.paths.values_mut().flat_map(operations);
    for parameter in operations.flat_map(|operation| operation.parameters.iter_mut().flatten()) {
        let RefOr::T(parameter) = parameter else { continue };
        if let (Some(pattern), Some(RefOr::T(Schema::Object(text)))) =
            (pattern_of(&PARAMETERS, &parameter.name), &mut parameter.schema)
        {
            text.pattern = Some(pattern);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

fn pattern_of(table: &[(&str, &str)], name: &str) -> Option<String> {
    table.iter().find(|(named, _)| *named == name).map(|(_, pattern)| (*pattern).to_owned())
}

/// A shown value is one of several shapes, and what stands for itself may look like any of them: so `anyOf`, and also where it
/// may be missing.
fn untagged(name: &str, schema: &mut RefOr<Schema>) {
    if name.starts_with("Shown_") {
        any(schema);
    }
    within(schema);
}

fn within(schema: &mut RefOr<Schema>) {
    let may_be_missing = matches!(schema, RefOr::T(Schema::OneOf(OneOf { items, .. }))
        if items.iter().any(|item| matches!(item, RefOr::Ref(to) if to.ref_location.ends_with("/Shown_Value"))));
    if may_be_missing {
        any(schema);
    }
    match schema {
        RefOr::T(Schema::Object(Object { properties, .. })) => properties.values_mut().for_each(within),
        RefOr::T(Schema::Array(Array { items: ArrayItems::RefOrSchema(items), .. })) => within(items),
        RefOr::T(Schema::AllOf(AllOf { items, .. }) | Schema::OneOf(OneOf { items, .. })) => {
            items.iter_mut().for_each(within);
        }
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

fn any(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::OneOf(one)) = schema {
        let mut any = AnyOf::new();
        any.items = std::mem::take(&mut one.items);
        any.description = one.description.take();
        *schema = RefOr::T(Schema::AnyOf(any));
    }
}
