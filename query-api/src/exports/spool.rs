//! Where tables are put together before they are written.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use exchange::table::Spool;

/// How much all tables of an export may take together. What they hold is personal, so it is never put on disk plain to
/// make room.
pub(crate) const TABLES_BYTES: usize = 256 << 20;

/// A spool in memory. All spools of an export share one bound.
pub(crate) struct Bounded {
    bytes: Vec<u8>,
    left: Arc<AtomicUsize>,
}

impl Bounded {
    /// A bound that several spools share.
    pub(crate) fn bound(bytes: usize) -> Arc<AtomicUsize> {
        Arc::new(AtomicUsize::new(bytes))
    }

    /// An empty spool that takes what is left of the bound.
    pub(crate) fn new(left: &Arc<AtomicUsize>) -> Self {
        Self { bytes: Vec::new(), left: Arc::clone(left) }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = |left: usize| left.checked_sub(bytes.len());
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            let detail = "the tables need more memory than an export may take: export as ODM, or fewer sites at a time";
            return Err(io::Error::other(detail));
        }
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spool for Bounded {
    fn again(&mut self) -> io::Result<Box<dyn BufRead + '_>> {
        self.bytes.again()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spools_share_one_bound() {
        let left = Bounded::bound(5);
        let (mut one, mut other) = (Bounded::new(&left), Bounded::new(&left));
        one.write_all(b"abc").expect("fits");
        other.write_all(b"de").expect("fits");
        assert!(other.write_all(b"f").is_err());
        let mut back = String::new();
        io::Read::read_to_string(&mut one.again().expect("reads"), &mut back).expect("reads");
        assert_eq!(back, "abc");
    }
}
