//! The hashes of a log, level by level: in memory for what is small, in files for a journal stream.
//!
//! The files are derived from the journal and hold nothing that cannot be computed again. Level 0, the leaves, is the
//! one that counts when the process was killed between two writes: the levels above are made to fit it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use domain::port::Failure;

use super::Hash;
use super::merkle::{Hashes, node_hash};

/// Bytes of one hash.
const HASH: u64 = 32;

/// So many leaves are hashed before they are written when levels are made anew.
const CHUNK: u64 = 4096;

/// The hashes of a small log.
#[derive(Debug, Clone, Default)]
pub struct MemoryLevels(Vec<Vec<Hash>>);

impl MemoryLevels {
    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.0.len() == level {
                self.0.push(Vec::new());
            }
            self.0[level].push(hash);
            match self.0[level][..] {
                [.., left, right] if self.0[level].len().is_multiple_of(2) => hash = node_hash(&left, &right),
                _ => return,
            }
        }
    }
}

impl Hashes for MemoryLevels {
    fn size(&self) -> u64 {
        self.0.first().map_or(0, |leaves| leaves.len() as u64)
    }

    fn node(&self, level: u32, index: u64) -> Result<Hash, Failure> {
        let found = self.0.get(level as usize).and_then(|level| level.get(usize::try_from(index).ok()?));
        found
            .copied()
            .ok_or_else(|| Failure::damaged("Merkle log", format!("node {index} of level {level} is not there")))
    }
}

/// The hashes of a journal stream's log: one file a level, hash after hash.
#[derive(Debug)]
pub struct FileLevels {
    dir: PathBuf,
    files: Vec<File>,
    size: u64,
}

impl FileLevels {
    /// Opens what is in `dir`, but no more than `size` leaves: what stands beyond the last signed root may be torn, and
    /// is computed again. What does not fit is cut off or made anew from the leaves.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be read or written.
    pub fn open(dir: &Path, size: u64) -> Result<Self, Failure> {
        let mut levels = Self { dir: dir.to_owned(), files: Vec::new(), size: 0 };
        levels.tried(std::fs::create_dir_all(dir))?;
        let leaves = levels.count(0)?;
        levels.truncate(leaves.min(size))?;
        Ok(levels)
    }

    /// Forgets all leaves after the first `size`, and fits the levels above.
    ///
    /// # Errors
    /// `Unavailable` if a file cannot be read or written.
    pub fn truncate(&mut self, size: u64) -> Result<(), Failure> {
        self.size = size;
        let mut level = 0;
        loop {
            let wanted = size >> level;
            if wanted == 0 && level > 0 && !self.path(level).exists() {
                return Ok(());
            }
            let there = self.count(level)?;
            let result = self.file(level)?.set_len(there.min(wanted) * HASH);
            self.tried(result)?;
            for start in (there.min(wanted)..wanted).step_by(CHUNK as usize) {
                let parents = self.parents(level, start, wanted.min(start + CHUNK))?;
                self.write(level, start, &parents)?;
            }
            level += 1;
        }
    }

    /// Appends leaves.
    ///
    /// # Errors
    /// `Unavailable` if a file cannot be written: then nothing was appended.
    pub fn append(&mut self, leaves: &[Hash]) -> Result<(), Failure> {
        let (mut hashes, mut level, mut start) = (leaves.to_vec(), 0, self.size);
        let end = self.size + leaves.len() as u64;
        while !hashes.is_empty() {
            self.write(level, start, &hashes)?;
            level += 1;
            let (first, last) = (start >> 1, (end >> level).max(start >> 1));
            hashes = if level == 64 { Vec::new() } else { self.parents(level, first, last)? };
            start = first;
        }
        self.size = end;
        Ok(())
    }

    /// Makes sure that all hashes are on disk.
    ///
    /// # Errors
    /// `Unavailable` if the disk does not take them.
    pub fn sync(&self) -> Result<(), Failure> {
        self.files.iter().try_for_each(|file| self.tried(file.sync_data()))
    }

    /// The nodes `from..to` of a level, from the level below. Those of level 0 have none: there is nothing to give.
    fn parents(&mut self, level: u32, from: u64, to: u64) -> Result<Vec<Hash>, Failure> {
        if level == 0 || from >= to {
            return Ok(Vec::new());
        }
        let children = self.read(level - 1, from * 2, (to - from) * 2)?;
        Ok(children.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect())
    }

    fn read(&mut self, level: u32, start: u64, count: u64) -> Result<Vec<Hash>, Failure> {
        let mut bytes = vec![0; (count * HASH) as usize];
        let result = self.file(level)?.read_exact_at(&mut bytes, start * HASH);
        self.tried(result)?;
        Ok(bytes.as_chunks().0.to_vec())
    }

    fn write(&mut self, level: u32, start: u64, hashes: &[Hash]) -> Result<(), Failure> {
        let result = self.file(level)?.write_all_at(hashes.as_flattened(), start * HASH);
        self.tried(result)
    }

    /// How many whole hashes a level's file has.
    fn count(&mut self, level: u32) -> Result<u64, Failure> {
        let result = self.file(level)?.metadata();
        self.tried(result).map(|metadata| metadata.len() / HASH)
    }

    fn file(&mut self, level: u32) -> Result<&File, Failure> {
        while self.files.len() <= level as usize {
            let path = self.path(self.files.len() as u32);
            let result = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            let file = self.tried(result)?;
            self.files.push(file);
        }
        Ok(&self.files[level as usize])
    }

    fn path(&self, level: u32) -> PathBuf {
        self.dir.join(format!("level-{level:02}"))
    }

    fn tried<T>(&self, result: std::io::Result<T>) -> Result<T, Failure> {
        result.map_err(|error| {
            Failure::unavailable("the folder of the Merkle log", format!("{}: {error}", self.dir.display()))
        })
    }
}

impl Hashes for FileLevels {
    fn size(&self) -> u64 {
        self.size
    }

    fn node(&self, level: u32, index: u64) -> Result<Hash, Failure> {
        let mut hash = [0; 32];
        let missing = || Failure::damaged("Merkle log", format!("node {index} of level {level} is not there"));
        let file = self.files.get(level as usize).ok_or_else(missing)?;
        self.tried(file.read_exact_at(&mut hash, index * HASH))?;
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::merkle::{leaf_hash, root};
    use crate::log::scratch::Scratch;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    fn memory(leaves: &[Hash]) -> MemoryLevels {
        let mut levels = MemoryLevels::default();
        leaves.iter().for_each(|leaf| levels.push(*leaf));
        levels
    }

    #[test]
    fn however_it_is_appended_the_roots_are_the_same() {
        let (scratch, leaves) = (Scratch::new(), leaves(1000));
        let mut files = FileLevels::open(scratch.path(), u64::MAX).unwrap();
        let mut rest = &leaves[..];
        for size in [1, 1, 1, 5, 64, 100, 3, 7, 200, 618] {
            let (now, later) = rest.split_at(size);
            files.append(now).unwrap();
            rest = later;
        }
        assert_eq!(rest.len(), 0);
        let memory = memory(&leaves);
        for size in 0..=1000 {
            assert_eq!(root(&files, size).unwrap(), root(&memory, size).unwrap(), "{size}");
        }
    }

    #[test]
    fn after_any_cut_it_opens_and_goes_on() {
        let leaves = leaves(70);
        let memory = memory(&leaves);
        for (level, length) in [(0, 33 * 32 + 7), (0, 0), (1, 5 * 32), (2, 0), (3, 32), (5, 31)] {
            let scratch = Scratch::new();
            FileLevels::open(scratch.path(), u64::MAX).unwrap().append(&leaves[..64]).unwrap();
            let file = OpenOptions::new().write(true).open(scratch.path().join(format!("level-{level:02}"))).unwrap();
            file.set_len(length).unwrap();
            let mut files = FileLevels::open(scratch.path(), u64::MAX).unwrap();
            let size = files.size();
            assert_eq!(size, if level == 0 { length / 32 } else { 64 });
            files.append(&leaves[size as usize..]).unwrap();
            for size in 0..=70 {
                assert_eq!(root(&files, size).unwrap(), root(&memory, size).unwrap(), "level {level}, {size}");
            }
        }
    }

    #[test]
    fn it_opens_no_more_than_what_was_signed() {
        let (scratch, leaves) = (Scratch::new(), leaves(70));
        FileLevels::open(scratch.path(), u64::MAX).unwrap().append(&leaves).unwrap();
        let mut files = FileLevels::open(scratch.path(), 37).unwrap();
        assert_eq!(files.size(), 37);
        assert_eq!(root(&files, 37).unwrap(), root(&memory(&leaves), 37).unwrap());
        files.append(&leaves[37..]).unwrap();
        assert_eq!(root(&files, 70).unwrap(), root(&memory(&leaves), 70).unwrap());
    }
}
