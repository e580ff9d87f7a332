//! What a login could do to journal streams, tried on one that does not exist.

use std::time::Duration;

use async_nats::Client;
use domain::port::Failure;
use futures_util::future::join_all;

/// What no login here may do: with it, commits could be changed or removed.
const DESTRUCTIVE: [&str; 4] = ["STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.MSG.DELETE"];

/// A stream that is never there: its name has upper case, and those of journals have none.
const NOWHERE: &str = "NO-SUCH-STREAM";

/// How long an answer is waited for. A request that is not allowed is not answered at all.
const PATIENCE: Duration = Duration::from_millis(700);

/// With what of that the server would let this connection come.
///
/// # Errors
/// When the server does not answer at all.
pub async fn destructive_privileges(client: &Client) -> Result<Vec<&'static str>, Failure> {
    privileges(client, &DESTRUCTIVE).await
}

/// Which of these requests are answered, if only with the word that there is no such stream.
pub(super) async fn privileges(client: &Client, tried: &[&'static str]) -> Result<Vec<&'static str>, Failure> {
    let flushed = tokio::time::timeout(PATIENCE, client.flush()).await;
    if !matches!(flushed, Ok(Ok(()))) {
        return Err(Failure::unavailable("the journal", "it does not answer"));
    }
    let ask = |what: &&'static str| {
        let what = *what;
        async move {
            let subject = format!("$JS.API.{what}.{NOWHERE}");
            let answer = tokio::time::timeout(PATIENCE, client.request(subject, bytes::Bytes::new())).await;
            matches!(answer, Ok(Ok(_))).then_some(what)
        }
    };
    Ok(join_all(tried.iter().map(ask)).await.into_iter().flatten().collect())
}
