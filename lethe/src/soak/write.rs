//! Invented participants, and what each of them sends.

use infra::chance::SystemDice;
use serde_json::{Value, json};

use super::cast::Clients;
use super::history::{Part, Person, Sent};
use super::tide::Tide;
use crate::cli::{ApiError, Client};
use crate::demo::people::person;
use crate::demo::study::{SITES, STUDY};
use crate::platform::random_id;

/// How many commands everybody sends; those who leave send [`LEAVING`] more.
pub(super) const STAYING: usize = 5;

/// How many commands an erasure takes: it is asked for, and approved.
pub(super) const LEAVING: usize = 2;

/// Somebody who has everything still to send.
pub(super) fn invent(round: u32, n: u32, leaves: bool) -> Person {
    let drawn = person(&SystemDice);
    let at = format!("/v1/studies/{STUDY}/participants/{}", drawn.id);
    let narrative = format!("a headache, case {}", drawn.id.simple());
    let (site, _) = SITES[n as usize % SITES.len()];
    let save = |form: &str, item: &str, value: &str| json!({"type": "save-items", "visit": "BASELINE", "form": form, "items": [{"group": form, "item": item, "value": value}]});
    let integrator = |path: &str, body: Value| command(Part::Integrator, path, body);
    let plan = [
        integrator(&at, json!({"type": "register", "site": site, "subject_number": format!("R{}-{n:05}", round + 1)})),
        integrator(&at, json!({"type": "give-consent", "version": "2.0", "reference": "binder"})),
        integrator(&format!("{at}/identity"), drawn.identity),
        integrator(&at, save("VS", "SYSBP", &(100 + n % 60).to_string())),
        integrator(&at, save("AE", "AETERM", &narrative)),
    ];
    Person {
        round,
        at,
        email: drawn.canaries.into_iter().next().unwrap_or_default(),
        narrative,
        erasure: leaves.then(random_id),
        plan: plan.into(),
        sent: Vec::new(),
    }
}

impl Person {
    /// Lets the person ask to be forgotten.
    pub(super) fn leave(&mut self) {
        let Some(erasure) = self.erasure else { return };
        let path = format!("{}/privacy", self.at);
        let ask = json!({"type": "request-erasure", "erasure": erasure, "justification": "consent-withdrawn"});
        let approve = json!({"type": "approve-erasure", "erasure": erasure, "instruction": "SOAK-1"});
        self.plan.push_back(command(Part::Dpo, &path, ask));
        self.plan.push_back(command(Part::Controller, &path, approve));
    }

    /// Sends what is planned, until it is killed under us. What has no answer then is in doubt: nothing was promised.
    ///
    /// # Errors
    /// A refusal: nothing is sent that should be refused.
    pub(super) async fn write(&mut self, clients: &Clients, tide: &Tide) -> Result<(), ApiError> {
        while let Some(mut next) = self.plan.pop_front() {
            let answer = send(clients, &next).await;
            let answered = match answer {
                Ok(body) => {
                    next.answer = Some(body);
                    tide.rise();
                    Ok(true)
                }
                Err(error) if leaves_doubt(&error) => Ok(false),
                Err(error) => Err(error),
            };
            self.sent.push(next);
            if !answered? {
                break;
            }
        }
        Ok(())
    }
}

fn command(by: Part, path: &str, body: Value) -> Sent {
    Sent { id: random_id(), by, path: path.to_owned(), body, answer: None }
}

/// Sends a command under its id.
pub(super) async fn send(clients: &Clients, sent: &Sent) -> Result<Value, ApiError> {
    let client: &Client = match sent.by {
        Part::Integrator => &clients.integrator,
        Part::Dpo => &clients.dpo,
        Part::Controller => &clients.controller,
    };
    client.command(&sent.path, sent.id, None, None, &sent.body).await.map(|reply| reply.body)
}

/// No answer, or one that says to send it again.
pub(super) fn leaves_doubt(error: &ApiError) -> bool {
    error.status.is_none_or(|status| status == 429 || status >= 500)
}
