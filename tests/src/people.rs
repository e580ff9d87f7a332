//! People with data, and how they are erased.

use domain::permit::Role;
use lethe::cli::{Client, follow};
use lethe::platform::random_id;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{adverse_event, enrol, identity, participant, send, vital_signs};
use crate::home::Home;

/// The family name of everybody here: a value to look for.
pub const FAMILY: &str = "Kvistberg-Secret";

/// The text in everybody's record.
pub const NARRATIVE: &str = "dizzy on the stairs, case 4711";

/// Somebody with a name, vital signs and a narrative, as the read models show them too. Returns the address.
pub async fn somebody(doctor: &Client, number: &str) -> String {
    let at = participant(enrol(doctor, "oslo", number).await);
    let vault = identity(number, FAMILY, &format!("{number}@post.example"));
    send(doctor, &format!("{at}/identity"), vault).await.expect("recorded");
    send(doctor, &at, vital_signs("137")).await.expect("saved");
    let last = send(doctor, &at, adverse_event(NARRATIVE)).await.expect("saved");
    let position = last.position.expect("a position");
    doctor.get(&format!("{at}/casebook?min_position={position}")).await.expect("readable");
    at
}

/// What a client is told about somebody: casebook and identity, or why not.
pub async fn told(client: &Client, at: &str) -> String {
    let mut all = String::new();
    for view in ["casebook", "identity"] {
        let answer = client.get(&format!("{at}/{view}")).await;
        all += &answer.map_or_else(|error| format!("[{}]", error.code), |reply| reply.body.to_string());
    }
    all
}

/// Asks for an erasure and approves it. Returns who may look, and its id.
pub async fn order(home: &Home, at: &str, scopes: Option<Value>) -> (Client, Uuid) {
    let (dpo, controller) = (home.client(Role::Dpo).await, home.client(Role::Controller).await);
    let (path, erasure) = (format!("{at}/privacy"), random_id());
    let mut request = json!({"type": "request-erasure", "erasure": erasure, "justification": "consent-withdrawn"});
    if let Some(scopes) = scopes {
        request["scopes"] = scopes;
    }
    send(&dpo, &path, request).await.expect("asked for");
    let approve = json!({"type": "approve-erasure", "erasure": erasure, "instruction": "DPA-1"});
    let approved = send(&controller, &path, approve).await.expect("approved");
    known(&dpo, erasure, &approved.position.expect("a position")).await;
    (dpo, erasure)
}

/// Waits until the read models know of an erasure: before that it is unheard-of.
pub async fn known(dpo: &Client, erasure: Uuid, position: &str) {
    for _ in 0..12 {
        match dpo.get(&format!("/v1/erasures/{erasure}?min_position={position}")).await {
            Ok(_) => return,
            Err(error) if error.code == "behind" => {}
            Err(error) => panic!("the erasure is not shown: {error:?}"),
        }
    }
    panic!("the read models have not reached {position} after a minute");
}

/// Erases to the end. Returns the erasure as it is shown then.
pub async fn erase(home: &Home, at: &str, scopes: Option<Value>) -> Value {
    let (dpo, erasure) = order(home, at, scopes).await;
    let done = follow(&dpo, erasure, None, |_| {}).await.expect("followed");
    assert_eq!(done["phase"], "completed", "{done}");
    done
}
