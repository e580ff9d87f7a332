//! Erases one participant: the DPO asks, the controller approves, the platform carries it out.

use serde_json::{Value, json};

use super::people::Person;
use super::study::STUDY;
use super::{Cast, Voice};
use crate::cli::{CliError, follow};
use crate::platform::random_id;

/// What erasing wrote.
pub(super) struct Erased {
    pub(super) erasure: uuid::Uuid,
    pub(super) commits: u64,
    pub(super) events: u64,
    pub(super) shown: Value,
}

pub(super) async fn one(cast: &Cast, person: &Person, voice: &Voice) -> Result<Erased, CliError> {
    let path = format!("/v1/studies/{STUDY}/participants/{}/privacy", person.id);
    let erasure = random_id();
    let request = json!({"type": "request-erasure", "erasure": erasure, "justification": "consent-withdrawn"});
    let approval = json!({"type": "approve-erasure", "erasure": erasure, "instruction": "DEMO-2026/001", "accept_single_copy": true});
    voice.say("\nThe DPO asks to erase one participant, the controller approves. (A demo has no off-site copy, which is accepted here.)");
    let asked = cast.dpo.command(&path, random_id(), None, None, &request).await?;
    let approved = cast.controller.command(&path, random_id(), None, None, &approval).await?;
    let shown =
        follow(&cast.dpo, erasure, approved.position.as_deref(), |phase| voice.say(&format!("  {phase}"))).await?;
    let events = |reply: &crate::cli::Reply| reply.body.get("events").and_then(Value::as_u64).unwrap_or_default();
    Ok(Erased { erasure, commits: 2, events: events(&asked) + events(&approved), shown })
}

impl Erased {
    /// Whether it came to its end.
    pub(super) fn is_completed(&self) -> bool {
        self.shown.get("phase") == Some(&Value::from("completed"))
    }
}
