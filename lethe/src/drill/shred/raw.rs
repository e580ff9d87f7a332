//! What the machine and the server take for such a write at all, measured beside each shred: one atomic batch of as
//! many messages with as many bytes, to a journal stream with the same settings that holds next to nothing; and one
//! small write to a file with a sync.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use infra::journal::JetStreamNodes;
use infra::keys::{NodeStore as _, NodeWrite};

use crate::cli::CliError;

/// What a file is synced with: a block of most file systems.
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// What each message of a write is, its bytes, and whether it replaces another.
pub(super) type Shape = (&'static str, usize, bool);

/// The same bytes in so many messages, each of which replaces another.
pub(super) fn in_fewer(shape: &[Shape], messages: usize) -> Vec<Shape> {
    const KINDS: [&str; 2] = ["half", "other-half"];
    let bytes: usize = shape.iter().map(|(_, bytes, _)| bytes).sum();
    KINDS.into_iter().take(messages).map(|kind| (kind, bytes / messages, true)).collect()
}

pub(super) struct Raw {
    nodes: JetStreamNodes,
    /// The last sequence of each place that is written again and again.
    sequences: BTreeMap<String, u64>,
    written: u64,
    file: File,
}

impl Raw {
    pub(super) fn new(nodes: JetStreamNodes, folder: &Path) -> Result<Self, CliError> {
        let file = folder.join("sync");
        let file = File::create(&file).map_err(|error| CliError::failed(format!("{}", file.display()), error))?;
        Ok(Self { nodes, sequences: BTreeMap::new(), written: 0, file })
    }

    /// A write of the same shape: what replaced another message does so here, too.
    pub(super) async fn write(&mut self, shape: &[Shape]) -> Result<Duration, CliError> {
        let mut writes = Vec::with_capacity(shape.len());
        for (kind, bytes, replaces) in shape {
            self.written += 1;
            let place = if *replaces { format!("{kind}/again") } else { format!("{kind}/{}", self.written) };
            let expected_sequence = self.sequences.get(&place).copied().unwrap_or_default();
            writes.push(NodeWrite { place, bytes: vec![0x5a; *bytes], expected_sequence });
        }
        let places: Vec<String> = writes.iter().map(|write| write.place.clone()).collect();
        let begun = Instant::now();
        let sequences = self.nodes.write(writes).await;
        let took = begun.elapsed();
        let sequences = sequences.map_err(|error| CliError::failed("a raw write", error))?;
        self.sequences.extend(places.into_iter().zip(sequences));
        Ok(took)
    }

    /// One block, written over the last one, and synced.
    pub(super) fn sync(&mut self) -> Result<Duration, CliError> {
        let begun = Instant::now();
        let synced = self.file.write_all(&BLOCK).and_then(|()| self.file.sync_all());
        synced.map_err(|error| CliError::failed("a sync", error))?;
        Ok(begun.elapsed())
    }
}
