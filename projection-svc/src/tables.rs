//! Which table of a projection serves, and how far it is.
//!
//! A projection's table is named after its generation, `casebook@3`. A row of the table `meta` says which generation
//! serves; changing that row is the switch. How far a table is stands in the table itself, one row a journal stream,
//! so that it changes in the same step as the rows.

use domain::history::{Commit, CommitHash, JournalId, Position};
use domain::ids::StudyId;
use domain::port::{Change, Failure, ReadStore};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const META: &str = "meta";

/// Before the keys of rows: no row's key begins with it.
const CHECKPOINT: &str = "!/";

/// The generation that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Counts up with every rebuild.
    pub generation: u64,
    /// The version of the projection that built it.
    pub version: u32,
}

/// How far a table is in one journal stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The journal stream's incarnation.
    pub incarnation: u64,
    /// The sequence of the last commit taken in.
    pub sequence: u64,
    /// That commit's hash: what the journal must still hold there.
    pub hash: CommitHash,
}

impl Checkpoint {
    /// After this commit.
    pub fn after(commit: &Commit) -> Self {
        let Position { incarnation, sequence, .. } = commit.position;
        Self { incarnation, sequence, hash: commit.hash }
    }

    /// The change that stores it.
    pub fn change(&self, journal: &JournalId) -> Change {
        Change::Put { key: checkpoint_key(journal), value: json(self) }
    }
}

fn checkpoint_key(journal: &JournalId) -> Vec<u8> {
    format!("{CHECKPOINT}{}", journal.study.as_ref().map_or("_", StudyId::as_str)).into_bytes()
}

/// The name of a projection's table in one generation.
pub fn table(projection: &str, generation: u64) -> String {
    format!("{projection}@{generation}")
}

/// The generation of a projection that serves, if one was ever begun.
pub fn live(store: &dyn ReadStore, projection: &str) -> Result<Option<Live>, Failure> {
    let row = store.get(META, projection.as_bytes())?;
    row.map(|bytes| read(&bytes, "the list of read models")).transpose()
}

/// The table of a projection that serves.
pub fn live_table(store: &dyn ReadStore, projection: &str) -> Result<String, Failure> {
    match live(store, projection)? {
        Some(live) => Ok(table(projection, live.generation)),
        None => Err(Failure::missing(format!("the read model {projection}: the store was not prepared"))),
    }
}

/// Lets another generation serve, in one step, and drops the one before.
pub fn switch(store: &dyn ReadStore, projection: &str, to: Live) -> Result<(), Failure> {
    let before = live(store, projection)?;
    store.apply(META, &[Change::Put { key: projection.as_bytes().to_vec(), value: json(&to) }])?;
    match before {
        Some(before) if before.generation != to.generation => store.drop_table(&table(projection, before.generation)),
        Some(_) | None => Ok(()),
    }
}

/// Sees to it that a table of this version serves: the one there is, or a new and empty one.
pub fn prepare(store: &dyn ReadStore, projection: &str, version: u32) -> Result<(), Failure> {
    let generation = match live(store, projection)? {
        Some(live) if live.version == version => return Ok(()),
        Some(live) => live.generation + 1,
        None => 1,
    };
    store.drop_table(&table(projection, generation))?;
    switch(store, projection, Live { generation, version })
}

/// How far a table is in a journal stream; none: it has seen nothing of it.
pub fn checkpoint(store: &dyn ReadStore, table: &str, journal: &JournalId) -> Result<Option<Checkpoint>, Failure> {
    let row = store.get(table, &checkpoint_key(journal))?;
    row.map(|bytes| read(&bytes, "a checkpoint of a read model")).transpose()
}

/// Every journal stream that a table has seen something of (none: the tenant's own), with how far it is.
pub fn checkpoints(store: &dyn ReadStore, table: &str) -> Result<Vec<(Option<StudyId>, Checkpoint)>, Failure> {
    let what = "a checkpoint of a read model";
    let rows = store.scan(table, CHECKPOINT.as_bytes(), None, usize::MAX)?;
    let parse = |(key, value): (Vec<u8>, Vec<u8>)| {
        let study = match std::str::from_utf8(&key[CHECKPOINT.len()..]) {
            Ok("_") => None,
            Ok(study) => Some(study.parse().map_err(|fault| Failure::damaged(what, fault))?),
            Err(fault) => return Err(Failure::damaged(what, fault)),
        };
        Ok((study, read(&value, what)?))
    };
    rows.into_iter().map(parse).collect()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data with text keys")
}

fn read<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|_| Failure::damaged(what, "it does not read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryStore;

    #[test]
    fn a_new_version_begins_an_empty_table_and_the_same_one_goes_on() {
        let store = MemoryStore::default();
        prepare(&store, "p", 1).expect("prepares");
        store.apply("p@1", &[Change::Put { key: b"a".into(), value: b"1".into() }]).expect("writes");
        prepare(&store, "p", 1).expect("prepares");
        assert_eq!(live_table(&store, "p").expect("serves"), "p@1");
        assert!(store.contains_bytes(b"1"));
        // What a rebuild that was killed left behind must not become part of the new table.
        store.apply("p@2", &[Change::Put { key: b"b".into(), value: b"left behind".into() }]).expect("writes");
        prepare(&store, "p", 2).expect("prepares");
        assert_eq!(live(&store, "p").expect("reads"), Some(Live { generation: 2, version: 2 }));
        assert_eq!(store.dump().keys().collect::<Vec<_>>(), ["meta"], "no row of another version");
        assert!(matches!(live_table(&store, "q"), Err(Failure::Missing { .. })));
    }
}
