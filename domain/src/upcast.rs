//! The only file that knows old shapes. An event is opened first, then upcast, then decoded,
//! so a step here sees plain JSON and need not know about keys.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::history::{Aggregate, OpenEvent};

/// Brings an event to today's shape, one version at a time.
pub fn upcast(aggregate: Aggregate, event: &OpenEvent) -> Cow<'_, OpenEvent> {
    let mut event = Cow::Borrowed(event);
    while let Some(step) = step(aggregate, &event.kind.name, event.kind.version) {
        let event = event.to_mut();
        step(&mut event.body);
        event.kind.version += 1;
    }
    event
}

/// What takes this shape to the next version; none if it is today's.
fn step(aggregate: Aggregate, name: &str, version: u32) -> Option<fn(&mut Value)> {
    match (aggregate, name, version) {
        (Aggregate::Participant | Aggregate::Identity, "scopes-fenced", 1)
        | (Aggregate::Privacy, "erasure-requested" | "erasure-assessed", 1) => Some(no_values),
        (Aggregate::Participant, "items-saved", 1) => Some(entered_by_a_user),
        (Aggregate::Participant, "signature-dropped", 1) => Some(dropped_by_a_form),
        (Aggregate::Privacy, "keys-destroyed", 1) => Some(keys_of_all_targets),
        (Aggregate::Privacy, "erasure-verified", 1) => Some(no_control),
        (Aggregate::Privacy, "erasure-completed", 1) => Some(no_certificate),
        _ => None,
    }
}

/// Version 1 did not say what entered a value, and knew neither computed values nor reasons for having none.
fn entered_by_a_user(body: &mut Value) {
    add(body, "source", json!("user"));
    let items = body.get_mut("items").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        add(item, "not_done", Value::Null);
        add(item, "computed", json!(false));
    }
}

/// In version 1 only a form dropped a signature.
fn dropped_by_a_form(body: &mut Value) {
    if let Some(mut form) = body.as_object_mut().and_then(|fields| fields.remove("form")) {
        add(&mut form, "level", json!("form"));
        add(body, "place", form);
    }
}

/// Version 1 knew whole scopes only.
fn no_values(body: &mut Value) {
    add(body, "values", json!([]));
}

/// Version 1 counted the keys of all targets together, and was written where a single copy was accepted.
fn keys_of_all_targets(body: &mut Value) {
    add(body, "destroyed", json!([]));
    add(body, "copy", json!("single"));
}

/// Version 1 tried nobody else's data beside.
fn no_control(body: &mut Value) {
    add(body, "controls", json!(0));
}

/// Version 1 came without a certificate.
fn no_certificate(body: &mut Value) {
    add(body, "certificate", Value::Null);
}

/// A body that is no object is refused by its reader, not here.
fn add(body: &mut Value, field: &str, value: Value) {
    if let Some(fields) = body.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}
