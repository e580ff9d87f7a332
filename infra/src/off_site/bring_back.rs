//! Writes back from the ledger what a restored journal misses: every order about every person.

use async_nats::Client;
use domain::port::Failure;

use super::ledger::LedgerStream;
use crate::journal::names::stream_subject;
use crate::journal::raw::RawReader;
use crate::journal::{Outgoing, Wire};

const JOURNAL: &str = "the journal";

/// Appends the commits of the ledger that their `privacy` streams do not hold, byte for byte. Says how many that were.
/// May be done again.
///
/// # Errors
/// `Damaged` if a stream holds another commit than the ledger at the same revision; nothing is written to it then.
pub async fn bring_back(client: &Client, ledger: &[LedgerStream]) -> Result<u64, Failure> {
    let wire = Wire::new(client.clone());
    let mut written = 0;
    for LedgerStream { stream, commits } in ledger {
        let there = RawReader::new(client.clone(), &stream.journal).of_stream(stream, 1).await?;
        let differs = there.iter().zip(commits).position(|(there, commit)| there.payload != commit.as_slice());
        if let Some(at) = differs {
            let detail = "the ledger holds another: the journal went on elsewhere after this backup";
            return Err(Failure::damaged(format!("commit {} of {stream}", at + 1), detail));
        }
        let mut last = there.last().map_or(0, |message| message.sequence);
        for commit in commits.iter().skip(there.len()) {
            let message = Outgoing::new(stream_subject(stream), commit.clone()).expecting(last);
            tracing::trace!(target: "failpoint", at = "restore-before-order");
            last = wire.publish(message).await.map_err(|refusal| refusal.into_failure(JOURNAL))?.sequence;
            written += 1;
        }
    }
    Ok(written)
}
