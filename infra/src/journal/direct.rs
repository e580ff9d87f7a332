//! Single messages read past the JetStream API where one server stands alone: its only replica is the leader.
//!
//! The answer comes as it was stored, not as base64 in JSON, in about half the time. In a cluster any replica answers such a
//! read, one that is a moment behind, too: there the leader is asked.

use async_nats::{Request, StatusCode};
use domain::port::Failure;
use serde_json::json;

use super::read::{Stored, Which, stored};
use super::wire::Wire;

impl Wire {
    /// As [`Wire::message`]: what the leader has, asked for in the quickest way.
    ///
    /// # Errors
    /// As [`Wire::message`].
    pub(super) async fn newest(&self, journal: &str, which: Which<'_>) -> Result<Option<Stored>, Failure> {
        if self.stands_alone()
            && let Some(answer) = self.direct(journal, which).await?
        {
            return Ok(answer);
        }
        self.message(journal, which).await
    }

    /// None: there was no answer, or one that says nothing of a message. Why, the leader says.
    async fn direct(&self, journal: &str, which: Which<'_>) -> Result<Option<Option<Stored>>, Failure> {
        let subject = format!("$JS.API.DIRECT.GET.{journal}");
        let (subject, body) = match which {
            Which::At(sequence) => (subject, json!({ "seq": sequence }).to_string()),
            Which::LastOf(of) => (format!("{subject}.{of}"), String::new()),
            Which::NextOf(of, from) => (subject, json!({ "seq": from.max(1), "next_by_subj": of }).to_string()),
        };
        match self.request(subject, Request::new().payload(body.into())).await {
            Ok(reply) if reply.status.is_none() => stored(&reply).map(|stored| Some(Some(stored))),
            Ok(reply) if reply.status == Some(StatusCode::NOT_FOUND) => Ok(Some(None)),
            Ok(_) | Err(_) => Ok(None),
        }
    }
}
