//! Carries out what follows from orders about a person's data: see [`domain::policy`].

use domain::design::content_hash;
use domain::history::{Commit, StreamId, Tail};
use domain::identity::Identity;
use domain::ids::{CommandId, CorrelationId, Environment};
use domain::participant::Participant;
use domain::permit::Principal;
use domain::policy::{FollowUp, follow_ups};
use domain::port::Tenant;
use domain::privacy::{self, Privacy};

use crate::commands::Commands;
use crate::erasure;
use crate::execute::{Done, Request};
use crate::refusal::Refusal;

/// A command id that follows from another one, so that what is sent again is the same command.
pub(crate) fn derived(from: CommandId, what: &str) -> CommandId {
    let hash = content_hash(format!("{from}/{what}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.0[..16]);
    CommandId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// What set a follow-up off.
pub(crate) struct Cause {
    pub(crate) command: CommandId,
    pub(crate) correlation: CorrelationId,
    pub(crate) environment: Environment,
}

impl Cause {
    fn of(commit: &Commit) -> Self {
        let header = &commit.header;
        Self { command: header.command, correlation: header.correlation, environment: header.environment }
    }
}

impl Commands {
    /// Carries out an order about a person's data and all that follows from it.
    ///
    /// # Errors
    /// After a failure the order may stand without its follow-ups; the next order of this person completes them,
    /// the same one sent again included.
    pub async fn execute_privacy(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        command: &privacy::Command,
        request: &Request,
    ) -> Result<Done, Refusal> {
        let done = self.execute::<Privacy>(tenant, stream, command, request).await?;
        self.settle(tenant, stream).await?;
        Ok(done)
    }

    /// Sends what follows from the last order that anything follows from, and looks again: an order that came in
    /// between may have sent its own before ours.
    pub(crate) async fn settle(&self, tenant: &Tenant, stream: &StreamId) -> Result<(), Refusal> {
        let mut settled = None;
        self.erasures.changed(stream.clone());
        loop {
            let commits = tenant.journal.load(stream, Tail::default()).await?;
            if erasure::has_work(stream, &commits)? {
                self.erasures.wake(stream.clone());
            }
            match last_with_follow_ups(stream, &commits)? {
                Some((commit, follow_ups)) if settled != Some(commit.header.revision) => {
                    settled = Some(commit.header.revision);
                    for follow_up in &follow_ups {
                        self.follow_up(tenant, follow_up, &Cause::of(commit)).await?;
                    }
                }
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Sends a command to another stream of the same person, as the platform.
    pub(crate) async fn follow_up(&self, tenant: &Tenant, next: &FollowUp, cause: &Cause) -> Result<Done, Refusal> {
        let request = Request {
            principal: Principal::system(tenant.id.clone(), cause.environment),
            command: derived(cause.command, &format!("{} {}", next.stream(), next.name())),
            captured_at: None,
            expected: None,
            correlation: cause.correlation,
            causation: Some(cause.command),
        };
        match next {
            FollowUp::Participant(stream, command) => {
                self.execute::<Participant>(tenant, stream, command, &request).await
            }
            FollowUp::Identity(stream, command) => self.execute::<Identity>(tenant, stream, command, &request).await,
            FollowUp::Privacy(stream, command) => self.execute::<Privacy>(tenant, stream, command, &request).await,
        }
    }
}

/// The last commit from which anything follows, and what.
fn last_with_follow_ups<'a>(
    stream: &StreamId,
    commits: &'a [Commit],
) -> Result<Option<(&'a Commit, Vec<FollowUp>)>, Refusal> {
    for commit in commits.iter().rev() {
        let follow_ups = follow_ups(commit).map_err(|fault| Refusal::malformed(stream, &fault))?;
        if !follow_ups.is_empty() {
            return Ok(Some((commit, follow_ups)));
        }
    }
    Ok(None)
}
