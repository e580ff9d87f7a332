//! The code lists of what stands in annotations. Their OIDs begin with `LETHE.`: whoever reads a design back leaves
//! them out of it.

use std::borrow::Cow;

use domain::design::{Code, CodeListDef, StudyDesign};

/// What the OIDs of these code lists begin with.
pub const PREFIX: &str = "LETHE.";

/// A code list: its OID, its name, its codes with what they mean.
struct List(&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Which code list a flag's type is of.
pub(super) const TYPES: &str = "LETHE.FLAG";

/// What an annotation is about: the type of its flag, and the code list that the flag's value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Missing,
    Computed,
    Visit,
    Mark,
    QueryState,
    QueryStep,
    QueryKind,
    Signature,
}

impl Flag {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Computed => "COMPUTED",
            Self::Visit => "VISIT",
            Self::Mark => "MARK",
            Self::QueryState => "QUERY-STATE",
            Self::QueryStep => "QUERY-STEP",
            Self::QueryKind => "QUERY-KIND",
            Self::Signature => "SIGNATURE",
        }
    }

    pub(super) fn list(self) -> &'static str {
        match self {
            Self::Missing => "LETHE.MISSING",
            Self::Computed => "LETHE.COMPUTED",
            Self::Visit => "LETHE.VISIT",
            Self::Mark => "LETHE.MARK",
            Self::QueryState => "LETHE.QUERY-STATE",
            Self::QueryStep => "LETHE.QUERY-STEP",
            Self::QueryKind => "LETHE.QUERY-KIND",
            Self::Signature => "LETHE.SIGNATURE",
        }
    }
}

const LISTS: &[List] = &[
    List(
        TYPES,
        "What an annotation is about",
        &[
            ("MISSING", "Why there is no value"),
            ("COMPUTED", "Whether the platform computed the value"),
            ("VISIT", "Whether the visit took place; the comment is its date, or why it did not"),
            ("MARK", "What holds of the place"),
            ("QUERY-STATE", "Where the query stands"),
            ("QUERY-STEP", "What was done with the query"),
            ("QUERY-KIND", "What kind of query"),
            ("SIGNATURE", "Whether the signature holds; the comment has the printed name, the meaning and the digest"),
        ],
    ),
    List(
        "LETHE.MISSING",
        "Why there is no value",
        &[
            ("NOT-DONE", "Not done"),
            ("NOT-APPLICABLE", "Does not apply"),
            ("UNKNOWN", "Nobody knows"),
            ("REFUSED", "The participant refused"),
            ("CLEARED", "There was a value; it was cleared"),
            ("ERASED", "There was a value; its key was destroyed"),
            ("BLINDED", "Withheld: it tells, or could tell, the arm"),
            ("RESTRICTED", "Withheld: processing is restricted"),
            ("NO-RIGHT", "Withheld: the recipient has no right to this kind of data"),
        ],
    ),
    List("LETHE.COMPUTED", "Whether the platform computed the value", &[("COMPUTED", "Computed")]),
    List("LETHE.VISIT", "Whether a visit took place", &[("STARTED", "It did"), ("MISSED", "It did not")]),
    List(
        "LETHE.MARK",
        "What holds of a place",
        &[
            ("COMPLETED", "Everything that is known was entered"),
            ("REMOVED", "It does not belong there"),
            ("VERIFIED", "It agrees with its source"),
            ("REVIEWED", "A group of reviewers has looked at it as it stands"),
            ("FROZEN", "No value changes for the time being"),
            ("LOCKED", "Nothing changes any more"),
            ("WITHDRAWN", "The participant left the study"),
            ("RESTRICTED", "The participant's data is stored and not processed"),
        ],
    ),
    List(
        "LETHE.QUERY-STATE",
        "Where a query stands",
        &[
            ("CANDIDATE", "Not asked yet"),
            ("OPEN", "Open"),
            ("FORWARDED", "With somebody else"),
            ("ANSWERED", "Answered"),
            ("REOPENED", "Open again"),
            ("RESOLVED", "Settled, to be closed"),
            ("CLOSED", "Closed"),
            ("CANCELLED", "Cancelled"),
        ],
    ),
    List(
        "LETHE.QUERY-STEP",
        "What was done with a query",
        &[
            ("OPENED", "Asked"),
            ("ANSWERED", "Answered"),
            ("FORWARDED", "Given to somebody else"),
            ("CLOSED", "Settled"),
            ("CANCELLED", "Taken back"),
            ("REOPENED", "Asked again"),
            ("DATA-CHANGED", "The data changed after it was settled"),
        ],
    ),
    List(
        "LETHE.QUERY-KIND",
        "What kind of query",
        &[
            ("MANUAL", "Asked by a person"),
            ("SYSTEM", "Asked by an edit check"),
            ("ANNOTATION", "A remark that needs no answer"),
            ("SOURCE-DATA", "Found while comparing with the source"),
        ],
    ),
    List(
        "LETHE.SIGNATURE",
        "Whether a signature holds",
        &[("HOLDS", "It does"), ("DROPPED", "What it covers changed")],
    ),
];

/// The design with these code lists. One that has lists with these OIDs has them already.
pub fn with_code_lists(design: &StudyDesign) -> Cow<'_, StudyDesign> {
    let missing: Vec<_> = LISTS.iter().filter(|List(oid, ..)| design.code_list(oid).is_none()).collect();
    if missing.is_empty() {
        return Cow::Borrowed(design);
    }
    let mut design = design.clone();
    design.code_lists.extend(missing.into_iter().map(code_list));
    Cow::Owned(design)
}

fn code_list(List(oid, name, codes): &List) -> CodeListDef {
    let code = |(value, label): &(&str, &str)| Code {
        value: (*value).to_owned(),
        labels: [("en".to_owned(), (*label).to_owned())].into(),
    };
    CodeListDef { oid: (*oid).to_owned(), name: (*name).to_owned(), codes: codes.iter().map(code).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_added_once_and_every_flag_has_one() {
        let design = StudyDesign::default();
        let once = with_code_lists(&design).into_owned();
        assert!(matches!(with_code_lists(&once), Cow::Borrowed(_)));
        let types = once.code_list(TYPES).unwrap();
        for code in &types.codes {
            assert!(once.code_list(&format!("{PREFIX}{}", code.value)).is_some(), "{}", code.value);
        }
        assert!(once.code_lists.iter().all(|list| list.oid.starts_with(PREFIX)));
    }
}
