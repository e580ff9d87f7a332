//! Why a file cannot be read as ODM. Names the place and the element, never a value.

use std::fmt;

use super::report::Report;

/// A place in the file, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column in that line.
    pub column: u64,
}

impl Place {
    /// The beginning of a file.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why the file as a whole is refused. What concerns single rows stands in the [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OdmError {
    /// The operating system does not hand over the bytes.
    #[error("the file cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
    /// Something else than ODM.
    #[error("this is not an ODM file ({at}): {what}")]
    NotOdm {
        /// Where that shows.
        at: Place,
        /// What was found instead.
        what: String,
    },
    /// ODM, in a version that is not read yet.
    #[error("ODM {version} is not yet supported ({at}): export the file as ODM 1.3.2 or 2.0")]
    Version {
        /// Where it says so.
        at: Place,
        /// The version that the file says it has.
        version: String,
    },
    /// The end is missing.
    #[error("the file ends inside {element} ({at}): it was cut off; export or copy it again")]
    CutOff {
        /// Where it ends.
        at: Place,
        /// The innermost element that is open there.
        element: String,
    },
    /// The XML is not well-formed.
    #[error("the XML is damaged inside {element} ({at}): {what}")]
    Damaged {
        /// Where.
        at: Place,
        /// The innermost element that is open there.
        element: String,
        /// Which rule of XML is broken.
        what: String,
    },
    /// A DOCTYPE or an entity of its own: a known way to exhaust a reader, and ODM needs neither.
    #[error("the file has {what} ({at}), which is refused for safety: export it without")]
    Entities {
        /// Where.
        at: Place,
        /// Which of them.
        what: &'static str,
    },
    /// Above a limit of size.
    #[error("{what} is larger than {limit} bytes, the most that is read ({at}): split the file or export less")]
    TooLarge {
        /// Where the limit was passed.
        at: Place,
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Elements within elements beyond the limit.
    #[error(
        "elements stand more than {limit} deep inside {element} ({at}): this is no ODM file as any system writes it"
    )]
    TooDeep {
        /// Where the limit was passed.
        at: Place,
        /// The innermost element that is read.
        element: String,
        /// The limit.
        limit: usize,
    },
    /// ODM, but without what is asked for.
    #[error("the file holds no {wanted}: {hint}")]
    Missing {
        /// What is missing.
        wanted: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Several studies in one file.
    #[error("a second Study begins at {at}: export one study a file")]
    SeveralStudies {
        /// Where the second one begins.
        at: Place,
    },
    /// A design that is a difference to another one.
    #[error("the design includes another MetaDataVersion ({at}): export the whole design, without Include")]
    Include {
        /// Where it says so.
        at: Place,
    },
    /// A design that cannot be used; every fault is a refused row.
    #[error("the design cannot be used, {} fault(s); {}", .0.counts().refused, first(.0))]
    Unusable(Report),
}

fn first(report: &Report) -> String {
    report.refused().next().map_or_else(String::new, |row| format!("the first: {row}"))
}

/// At most 64 characters of a word of a design or of the file's head, for people: data types, contexts, versions.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(64).map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
