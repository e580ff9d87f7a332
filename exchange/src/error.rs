//! Why a file could not be written.

use std::io;

/// Why not. Never holds a value of a participant.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The place where the bytes go did not take them.
    #[error("the export could not be written: {0}; check the disk or the connection, then begin again")]
    Write(#[from] io::Error),
    /// The design does not have what the data speaks of.
    #[error(
        "the data speaks of {kind} {oid}, which the design of this export does not have; export with the design that it was entered under"
    )]
    NotInDesign {
        /// Visit, form, item group or item.
        kind: &'static str,
        /// Its OID.
        oid: String,
    },
    /// A number is larger than the format can say.
    #[error("{0} is outside of what the format can say")]
    OutOfRange(&'static str),
}
