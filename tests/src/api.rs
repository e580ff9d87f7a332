//! Requests as a client would write them, and participants to write about.

use lethe::cli::{ApiError, Client, Reply};
use lethe::demo::study::STUDY;
use lethe::platform::random_id;
use serde_json::{Value, json};

/// The address of a participant.
pub fn participant(id: uuid::Uuid) -> String {
    format!("/v1/studies/{STUDY}/participants/{id}")
}

/// Sends a command under an id of its own.
pub async fn send(client: &Client, path: &str, body: Value) -> Result<Reply, ApiError> {
    client.command(path, random_id(), None, None, &body).await
}

/// Registers a participant at a site, with consent.
pub async fn enrol(client: &Client, site: &str, number: &str) -> uuid::Uuid {
    let id = random_id();
    let at = participant(id);
    send(client, &at, json!({"type": "register", "site": site, "subject_number": number})).await.expect("registered");
    send(client, &at, json!({"type": "give-consent", "version": "2.0"})).await.expect("consented");
    id
}

/// A command that saves vital signs at baseline.
pub fn vital_signs(systolic: &str) -> Value {
    json!({"type": "save-items", "visit": "BASELINE", "form": "VS", "items": [{"group": "VS", "item": "SYSBP", "value": systolic}]})
}

/// A command that saves an adverse event at baseline.
pub fn adverse_event(term: &str) -> Value {
    json!({"type": "save-items", "visit": "BASELINE", "form": "AE", "items": [{"group": "AE", "item": "AETERM", "value": term}]})
}

/// A command that records an identity.
pub fn identity(given: &str, family: &str, email: &str) -> Value {
    json!({"type": "record", "details": {"given_name": given, "family_name": family, "email": email}})
}
