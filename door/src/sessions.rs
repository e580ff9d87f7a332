//! Who stands behind a session. It is over when its time is, when its right is, when it was ended, and when it rested for too
//! long. How long it rests is known in memory alone: after a restart, one that began long ago rests since then.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::account::Command;
use domain::ids::{SessionId, UserId};
use domain::permit::Principal;
use domain::port::{Credentials, Failure, Presented, Tenant};
use projection_svc::accounts;
use time::OffsetDateTime;

use crate::{Door, NoEntry, secret};

/// When each session was last used.
#[derive(Default)]
pub(crate) struct Seen(Mutex<BTreeMap<SessionId, OffsetDateTime>>);

/// How many sessions are remembered before those that are over are let go of.
const KEPT_MAX: usize = 10_000;

impl Seen {
    /// Notes that a session is used now; false if it rested for too long, and so is over.
    fn touch(&self, session: SessionId, begun: OffsetDateTime, now: OffsetDateTime, idle: Duration) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.get(&session).copied().unwrap_or(begun);
        if now > last + idle {
            return false;
        }
        if seen.len() >= KEPT_MAX {
            seen.retain(|_, last| now <= *last + idle);
        }
        seen.insert(session, now.max(last));
        true
    }

    /// When a session was last used, if that was after `begun`.
    pub(crate) fn last(&self, session: SessionId, begun: OffsetDateTime) -> OffsetDateTime {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&session).copied().unwrap_or(begun).max(begun)
    }
}

#[async_trait]
impl Credentials for Door {
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Failure> {
        self.authenticate_from(token, Presented::default()).await
    }

    async fn authenticate_from(&self, token: &str, from: Presented<'_>) -> Result<Option<Principal>, Failure> {
        if secret::is_access(token) {
            return Ok(self.behind_access(token, from));
        }
        let Some(id) = secret::tenant_of_session(token) else {
            return self.parts.tokens.authenticate(token).await;
        };
        let Some(tenant) = self.parts.tenants.tenant(&id) else { return Ok(None) };
        let now = self.now();
        let Some(behind) = accounts::behind(&tenant, &secret::hash(token), now).await? else { return Ok(None) };
        let Some(session) = behind.principal.session else { return Ok(None) };
        let awake = self.seen.touch(session, behind.begun_at.0, now, self.parts.rules.idle);
        Ok(awake.then_some(behind.principal))
    }
}

impl Door {
    /// Ends a session of one's own, or of anybody for who administers. It counts for nothing when this returns.
    pub(crate) async fn end_session(
        &self,
        tenant: &Tenant,
        by: Principal,
        user: UserId,
        session: SessionId,
    ) -> Result<(), NoEntry> {
        let position = self.command(tenant, user, by, &Command::EndSession { session }).await?;
        Ok(self.seen_by_all(tenant, &position).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_session_that_rests_too_long_is_over_and_stays_so() {
        let (begun, idle) = (datetime!(2026-11-22 12:00 UTC), Duration::from_secs(900));
        let (seen, session) = (Seen::default(), SessionId(uuid::Uuid::nil()));
        assert!(seen.touch(session, begun, begun + idle, idle));
        assert!(seen.touch(session, begun, begun + 2 * idle, idle), "it was used meanwhile");
        let over = begun + 3 * idle + Duration::from_secs(1);
        assert!(!seen.touch(session, begun, over, idle) && !seen.touch(session, begun, over, idle));
        assert!(!Seen::default().touch(session, begun, over, idle), "after a restart too");
    }
}
