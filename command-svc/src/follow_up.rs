//! Carries out what follows from orders about a person's data: see [`domain::policy`].

use std::time::Duration;

use domain::design::content_hash;
use domain::export;
use domain::history::{Commit, StreamId, Tail};
use domain::identity::Identity;
use domain::ids::{CommandId, CorrelationId, Environment};
use domain::participant::{self, Participant};
use domain::permit::Principal;
use domain::policy::{FollowUp, follow_ups};
use domain::port::Tenant;
use domain::privacy::{self, Privacy};

use crate::commands::Commands;
use crate::erasure;
use crate::execute::{Done, Request};
use crate::refusal::Refusal;

/// After so long, what a publication left under way stands in the journal or never will.
const UNDER_WAY: Duration = Duration::from_secs(30);

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
    /// After a failure the order may stand, and without its follow-ups. The worker looks; the same order sent again
    /// completes it too.
    pub async fn execute_privacy(
        &self,
        tenant: &Tenant,
        stream: &StreamId,
        command: &privacy::Command,
        request: &Request,
    ) -> Result<Done, Refusal> {
        self.check_values(tenant, stream, command, request).await?;
        let done = match self.execute::<Privacy>(tenant, stream, command, request).await {
            Ok(done) => self.settle(tenant, stream).await.map(|()| done),
            Err(refusal) => Err(refusal),
        };
        if matches!(done, Err(Refusal::Failed(_) | Refusal::Contended)) {
            self.look_into(stream);
        }
        done
    }

    /// Has the worker find out what stands: now, and again when what was still under way has arrived or is lost. Who
    /// sent the order may never ask again.
    fn look_into(&self, stream: &StreamId) {
        self.erasures.doubt(stream.clone());
        let (erasures, stream) = (self.erasures.clone(), stream.clone());
        tokio::spawn(async move {
            tokio::time::sleep(UNDER_WAY).await;
            erasures.doubt(stream);
        });
    }

    /// Sends what follows, and wakes the worker where an erasure has work.
    pub(crate) async fn settle(&self, tenant: &Tenant, stream: &StreamId) -> Result<(), Refusal> {
        self.erasures.changed(stream.clone());
        if self.send_follow_ups(tenant, stream).await? {
            self.erasures.wake(stream.clone());
        }
        Ok(())
    }

    /// Sends what follows from the last order that anything follows from, and looks again: an order that came in
    /// between may have sent its own before ours. Says whether an erasure has work.
    pub(crate) async fn send_follow_ups(&self, tenant: &Tenant, stream: &StreamId) -> Result<bool, Refusal> {
        let mut settled = None;
        loop {
            let commits = tenant.journal.load(stream, Tail::default()).await?;
            match last_with_follow_ups(stream, &commits)? {
                Some((commit, follow_ups)) if settled != Some(commit.header.revision) => {
                    settled = Some(commit.header.revision);
                    for follow_up in &follow_ups {
                        self.follow_up(tenant, follow_up, &Cause::of(commit)).await?;
                    }
                }
                Some(_) | None => return erasure::has_work(stream, &commits),
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
                let done = self.execute::<Participant>(tenant, stream, command, &request).await?;
                if matches!(command, participant::Command::Restrict {}) {
                    // What is held was written before: it must be made anew.
                    let cause = export::Cause::Restriction;
                    self.withdraw_exports(tenant, stream, cause, request.principal.environment).await?;
                }
                Ok(done)
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
