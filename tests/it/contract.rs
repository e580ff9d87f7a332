//! What integrators build on: the description of the API, and that the API is as described.

mod over_http;
mod schemas;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use domain::permit::Role;
use domain::scope::Scope;
use serde_json::{Value, json};

/// Routes that are for whoever runs the platform; they are not part of the API.
const NOT_DESCRIBED: [&str; 17] = [
    "get /livez",
    "get /metrics",
    "get /openapi.json",
    "get /readyz",
    "post /v1/admin/backup",
    "post /v1/admin/doctor",
    "post /v1/admin/first-link",
    "post /v1/admin/nats/login",
    "post /v1/admin/kms/rotate",
    "post /v1/admin/kms/status",
    "post /v1/admin/probe",
    "post /v1/admin/rebuild",
    "post /v1/admin/studies",
    "post /v1/admin/tenants",
    "post /v1/admin/tokens",
    "post /v1/admin/tokens/revoke",
    "post /v1/admin/verify",
];

/// What somebody needs who has no credential yet.
const OPEN: [&str; 10] = [
    "get /v1/sign-in/provider",
    "post /oidc/{tenant}/back-channel-logout",
    "post /v1/sign-in/provider",
    "post /v1/sign-in/provider/back",
    "post /oauth/token",
    "post /v1/links/look",
    "post /v1/links/use",
    "post /v1/sign-in",
    "post /v1/sign-in/passkey",
    "post /v1/sign-in/passkey/challenge",
];

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn golden_file() -> PathBuf {
    root().join("docs/openapi.json")
}

pub(crate) fn description() -> Value {
    serde_json::to_value(lethe::platform::openapi()).expect("it is plain data")
}

/// Every operation as `get /path`.
pub(crate) fn operations(description: &Value) -> BTreeMap<String, &Value> {
    let paths = description["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("a path item");
        item.iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    operations.collect()
}

/// Set `UPDATE_GOLDEN=1` to take a change on, and look at the difference: integrators will.
#[test]
fn the_description_is_the_one_in_the_repository() {
    let described = serde_json::to_string_pretty(&description()).expect("plain data") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden_file(), &described).expect("it can be written");
    }
    let golden = std::fs::read_to_string(golden_file()).expect("docs/openapi.json is there");
    let differs = described.lines().zip(golden.lines()).find(|(now, before)| now != before);
    assert!(described == golden, "docs/openapi.json is not what is served (UPDATE_GOLDEN=1 takes it on): {differs:?}");
}

#[test]
fn the_description_says_what_it_is() {
    let description = description();
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
    assert_eq!(description["info"]["license"]["identifier"], "Apache-2.0");
    assert!(description["info"]["description"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(words(&description, "Scope"), Scope::ALL.iter().map(|scope| scope.as_str()).collect());
    assert_eq!(words(&description, "Role"), Role::ALL.iter().map(|role| role.as_str()).collect());
}

fn words<'a>(description: &'a Value, schema: &str) -> BTreeSet<&'a str> {
    let words = description["components"]["schemas"][schema]["enum"].as_array().expect("a closed list");
    words.iter().filter_map(Value::as_str).collect()
}

#[test]
fn every_operation_is_named_explained_and_secured_and_refuses_with_problems() {
    let description = description();
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&description) {
        let said = |key: &str| operation[key].as_str().is_some_and(|text| !text.trim().is_empty());
        let id = operation["operationId"].as_str().unwrap_or_default();
        if !said("operationId") || !ids.insert(id.to_owned()) {
            faults.push(format!("{name}: its operationId is missing or not its own"));
        }
        if !said("summary") {
            faults.push(format!("{name}: no summary"));
        }
        if !OPEN.contains(&name.as_str()) && !takes_a_bearer_token(&description, operation) {
            faults.push(format!("{name}: no bearer token"));
        }
        // RFC 6749 and OpenID Connect say what these answer.
        if ["post /oauth/token", "post /oidc/{tenant}/back-channel-logout"].contains(&name.as_str()) {
            continue;
        }
        faults.extend(wrong_responses(operation).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert_eq!(faults, Vec::<String>::new());
}

fn takes_a_bearer_token(description: &Value, operation: &Value) -> bool {
    let asked = operation.get("security").unwrap_or(&description["security"]).as_array();
    let schemes = &description["components"]["securitySchemes"];
    let bearer = |scheme: &String| schemes[scheme]["type"] == "http" && schemes[scheme]["scheme"] == "bearer";
    // Alternatives: each must ask for the token.
    let every = |asked: &Vec<Value>| {
        asked.iter().all(|one| one.as_object().is_some_and(|schemes| !schemes.is_empty() && schemes.keys().all(bearer)))
    };
    asked.is_some_and(|asked| !asked.is_empty() && every(asked))
}

fn wrong_responses(operation: &Value) -> Vec<String> {
    let responses = operation["responses"].as_object().expect("responses");
    let needed = ["200", "400", "401", "403", "404", "503"];
    let missing = needed.into_iter().filter(|status| !responses.contains_key(*status));
    let mut faults: Vec<String> = missing.map(|status| format!("{status} is not described")).collect();
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    for (status, response) in responses {
        if response["description"].as_str().is_none_or(str::is_empty) {
            faults.push(format!("{status} has no words"));
        }
        if status.as_str() >= "400" && response["content"] != problem {
            faults.push(format!("{status} is no problem"));
        }
    }
    faults
}

/// Calls `each` at every object of a document.
fn visit(node: &Value, each: &mut dyn FnMut(&serde_json::Map<String, Value>)) {
    match node {
        Value::Object(fields) => {
            each(fields);
            fields.values().for_each(|child| visit(child, each));
        }
        Value::Array(children) => children.iter().for_each(|child| visit(child, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn referred<'a>(description: &'a Value, node: &Value) -> Option<&'a Value> {
    description.pointer(node.get("$ref")?.as_str()?.strip_prefix('#')?)
}

#[test]
fn every_reference_leads_somewhere_and_no_part_refuses_the_fields_of_its_whole() {
    let description = description();
    visit(&description, &mut |fields| {
        if let Some(target) = fields.get("$ref") {
            assert!(referred(&description, &json!({"$ref": target})).is_some(), "{target} leads nowhere");
        }
        for part in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let whole = referred(&description, part).unwrap_or(part);
            assert_ne!(whole.get("additionalProperties"), Some(&json!(false)), "{part} can never be part of a whole");
        }
    });
}

/// The routes in the source, as `get /path`. A router cannot be asked for them.
pub(crate) fn routes() -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for folder in ["command-svc/src", "query-api/src", "door/src", "lethe/src"] {
        sources(&root().join(folder), &mut |source| routes.extend(routes_in(source)));
    }
    routes
}

/// Every source file under a folder of the repository, tests too.
pub(crate) fn every_source(folder: &str, each: &mut dyn FnMut(&str)) {
    for entry in std::fs::read_dir(root().join(folder)).expect("a source folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            every_source(&path.strip_prefix(root()).expect("within the repository").to_string_lossy(), each);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            each(&std::fs::read_to_string(&path).expect("a source file"));
        }
    }
}

fn sources(folder: &Path, each: &mut dyn FnMut(&str)) {
    for entry in std::fs::read_dir(folder).expect("a source folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, each);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            each(&std::fs::read_to_string(&path).expect("a source file"));
        }
    }
}

fn routes_in(source: &str) -> Vec<String> {
    let mut routes = Vec::new();
    for call in source.split(".route(").skip(1) {
        let path = call.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let (path, rest) = path.expect("a route's path is written out: this test reads it");
        let end = end_of_call(rest);
        let begins = |method: &&str| {
            let call = format!("{method}(");
            let mut before = rest[..end].match_indices(&call).map(|(at, _)| &rest[..at]);
            before.any(|before| !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_'))
        };
        routes.extend(METHODS.iter().filter(|method| begins(method)).map(|method| format!("{method} {path}")));
    }
    routes
}

/// Where the parenthesis closes that was open at the start.
fn end_of_call(rest: &str) -> usize {
    let mut depth = 1;
    let closing = rest.char_indices().find(|(_, letter)| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    closing.map_or(rest.len(), |(at, _)| at)
}

#[test]
fn routes_are_found_in_source() {
    let source = r#"Router::new().route("/a/{b}", get(show)).route(
        "/c",
        post(publish).get(|| async { target(forget(1)) }),
    ).layer(delete(1))"#;
    assert_eq!(routes_in(source), ["get /a/{b}", "get /c", "post /c"]);
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let description = description();
    let described: BTreeSet<String> = operations(&description).into_keys().collect();
    let silent = NOT_DESCRIBED.map(str::to_owned);
    let known: BTreeSet<String> = described.iter().cloned().chain(silent).collect();
    let routes = routes();
    // What is served in Rave's shapes is described by Rave, and by docs/rave.md.
    let forgotten: Vec<_> =
        routes.difference(&known).filter(|route| !route.starts_with("get /RaveWebServices/")).collect();
    let invented: Vec<_> = known.difference(&routes).collect();
    assert!(forgotten.is_empty() && invented.is_empty(), "not described: {forgotten:?}; no route: {invented:?}");
}
