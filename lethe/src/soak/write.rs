//! Invented participants, and what each of them sends.

use std::time::{Duration, Instant};

use infra::chance::SystemDice;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::cast::Clients;
use super::history::{Part, Person, Sent};
use super::reach::{Reach, Said};
use super::tide::Tide;
use crate::cli::{ApiError, Client};
use crate::demo::people::person;
use crate::demo::study::{SITES, STUDY};
use crate::platform::random_id;

/// How many commands everybody sends; those who leave send [`LEAVING`] more.
pub(super) const STAYING: usize = 5;

/// How many commands an erasure takes: it is asked for, and approved.
pub(super) const LEAVING: usize = 2;

/// A client that waits for so long has waited far longer than the platform's patience, which is 20 s for each thing that it
/// waits for.
pub(super) const HANGS: Duration = Duration::from_secs(90);

/// Every third one is hasty: it hangs up and sends the command again while the platform may still be at it.
const HASTE: Duration = Duration::from_secs(2);

/// How long a command is sent again and again.
const PATIENCE: Duration = Duration::from_secs(300);

const PAUSE: Duration = Duration::from_millis(100);

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
        hasty: n % 3 == 2,
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

    /// Sends what is planned, each command until it is answered, as every good client does. Only what sets an erasure off
    /// is sent once: if its answer is lost, it is in doubt, and so it stays.
    ///
    /// # Errors
    /// A refusal: nothing is sent that should be refused. Or no answer, however often it is sent.
    pub(super) async fn write(&mut self, reach: &Reach, tide: &Tide, said: &Said) -> Result<(), ApiError> {
        let patience = if self.hasty { HASTE } else { HANGS };
        while let Some(mut next) = self.plan.pop_front() {
            let deadline = Instant::now() + PATIENCE;
            let mut tries = 0;
            while next.answer.is_none() {
                let clients = reach.now();
                tries += 1;
                let outcome = match timeout(patience, send(&clients, &next)).await {
                    Ok(Ok(body)) => {
                        next.answer = Some(body);
                        break;
                    }
                    Ok(Err(error)) => error,
                    Err(_) => {
                        said.silence(&next, patience);
                        ApiError::local(format!("no answer within {} s", patience.as_secs()))
                    }
                };
                if !leaves_doubt(&outcome) {
                    self.sent.push(next);
                    return Err(outcome);
                }
                said.failure(&next, &outcome);
                if next.approves() {
                    break;
                }
                if Instant::now() > deadline {
                    self.sent.push(next);
                    return Err(outcome);
                }
                sleep(PAUSE).await;
            }
            said.doubted(usize::from(tries > 1 || next.answer.is_none()));
            let answered = next.answer.is_some();
            self.sent.push(next);
            if !answered {
                break;
            }
            tide.rise();
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
