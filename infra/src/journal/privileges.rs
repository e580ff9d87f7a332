//! What a login could do to journal streams, tried on one that does not exist.

use std::time::Duration;

use async_nats::Client;
use domain::port::Failure;
use futures_util::future::join_all;

/// What nobody but the provisioner may do: with it, commits could be changed or removed.
const DESTRUCTIVE: [&str; 4] = ["STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.MSG.DELETE"];

/// A stream that is never there: its name has upper case, and those of journals have none.
const NOWHERE: &str = "NO-SUCH-STREAM";

/// How long an answer is waited for. A request that is not allowed is not answered at all.
const PATIENCE: Duration = Duration::from_millis(700);

/// What of [`DESTRUCTIVE`] the server would let this connection ask for.
///
/// # Errors
/// When the server does not answer at all.
pub async fn destructive_privileges(client: &Client) -> Result<Vec<&'static str>, Failure> {
    let flushed = tokio::time::timeout(PATIENCE, client.flush()).await;
    if !matches!(flushed, Ok(Ok(()))) {
        return Err(Failure::unavailable("the journal", "it does not answer"));
    }
    let tried = DESTRUCTIVE.map(|what| async move {
        let subject = format!("$JS.API.{what}.{NOWHERE}");
        let answer = tokio::time::timeout(PATIENCE, client.request(subject, bytes::Bytes::new())).await;
        matches!(answer, Ok(Ok(_))).then_some(what)
    });
    Ok(join_all(tried).await.into_iter().flatten().collect())
}
