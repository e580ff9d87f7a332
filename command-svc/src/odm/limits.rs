//! How much is read at most, and how strictly.

/// How much is read at most. Whoever knows better may ask for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole design.
    pub design_bytes: u64,
    /// Bytes of one `SubjectData`: it is held in memory.
    pub participant_bytes: u64,
    /// Bytes of one tag, text or comment.
    pub piece_bytes: u64,
    /// Elements within elements.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self { design_bytes: 32 * MIB, participant_bytes: 32 * MIB, piece_bytes: 4 * MIB, depth: 64 }
    }
}

/// What becomes of a file that is not as ODM demands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// What can be read is read; every fault is noted.
    #[default]
    Lenient,
    /// The file is refused; every fault is named.
    Strict,
}
