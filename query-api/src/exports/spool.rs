//! Where tables are put together before they are written: those of an export sealed on disk, those of an answer in memory.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::port::HeldSpool;
use exchange::table::Spool;

/// How much the tables of one answer may take together.
pub(crate) const TABLES_BYTES: usize = 48 << 20;

/// A spool of the vault's.
pub(crate) struct Sealed(pub(crate) Box<dyn HeldSpool>);

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Spool for Sealed {
    fn again(&mut self) -> io::Result<Box<dyn BufRead + '_>> {
        self.0.again()
    }
}

/// A spool in memory. All spools of an answer share one bound.
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
            let detail = "it is larger than an answer may be: ask for fewer records, or order an export";
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
