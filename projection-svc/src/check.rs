//! Whether the journal still holds what the read models have seen. A server may cut a journal after a crash, pass
//! every check of its own, and use its sequence numbers again: then the read models are the only witness.

use domain::history::JournalId;
use domain::ids::StudyId;
use domain::port::Failure;

use crate::runner::Shared;
use crate::tables::{self, Checkpoint};

const WHAT_TO_DO: &str = "Stop writing to it, keep the read store (it is the witness), and restore the journal from a \
                          backup that holds that commit";

/// Checks every journal stream, those included that only the read models remember.
pub(crate) async fn check(shared: &Shared) -> Result<(), Failure> {
    let journals = shared.journal.journals().await?;
    let store = shared.stores.store.as_ref();
    for model in &shared.models {
        for (study, seen) in tables::checkpoints(store, &tables::live_table(store, model.name())?)? {
            if !journals.iter().any(|journal| journal.study == study) {
                let detail = format!("it is not there, but the read models have seen {}. {WHAT_TO_DO}", commit(seen));
                return Err(Failure::damaged(name(study.as_ref()), detail));
            }
        }
    }
    for journal in &journals {
        check_one(shared, journal).await?;
    }
    Ok(())
}

/// Checks one journal stream.
pub(crate) async fn check_one(shared: &Shared, journal: &JournalId) -> Result<(), Failure> {
    let store = shared.stores.store.as_ref();
    let mut seen = Vec::new();
    for model in &shared.models {
        seen.extend(tables::checkpoint(store, &tables::live_table(store, model.name())?, journal)?);
    }
    // Most read models stand at the same commit: the journal is asked once for each.
    seen.sort_by_key(|seen| std::cmp::Reverse((seen.sequence, seen.hash)));
    seen.dedup();
    if seen.is_empty() {
        return Ok(());
    }
    let head = shared.journal.head(journal).await?;
    for checkpoint in seen {
        let damaged = |detail: String| Err(Failure::damaged(name(journal.study.as_ref()), detail));
        if checkpoint.incarnation != head.incarnation {
            return damaged(format!(
                "it is incarnation {}, but the read models have seen incarnation {}: it was restored. Set the read \
                 store aside, so that it is built again from this one",
                head.incarnation, checkpoint.incarnation
            ));
        }
        if head.sequence < checkpoint.sequence {
            return damaged(format!(
                "it ends at {}, but the read models have seen {}: the journal has lost commits. {WHAT_TO_DO}",
                head.sequence,
                commit(checkpoint)
            ));
        }
        match shared.journal.hash_at(journal, checkpoint.sequence).await? {
            Some(hash) if hash == checkpoint.hash => {}
            Some(_) => {
                return damaged(format!(
                    "at {} it holds another commit than the read models have seen: it was cut and written again. \
                     {WHAT_TO_DO}",
                    commit(checkpoint)
                ));
            }
            None => {
                let lost = commit(checkpoint);
                return damaged(format!("it does not hold {lost}, which the read models have seen. {WHAT_TO_DO}"));
            }
        }
    }
    Ok(())
}

fn name(study: Option<&StudyId>) -> String {
    match study {
        Some(study) => format!("the journal of study {study}"),
        None => "the tenant's own journal".to_owned(),
    }
}

fn commit(seen: Checkpoint) -> String {
    format!("commit {} (hash {})", seen.sequence, seen.hash)
}

#[cfg(test)]
mod tests;
