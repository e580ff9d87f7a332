//! What Rave calls what happened.

use projection_svc::audit::{Action, AuditEntry};

/// The audit subcategory of an entry: Rave's where it has one, otherwise the event's own name in Rave's spelling.
pub(super) fn of(entry: &AuditEntry) -> String {
    let known = match entry.event.as_str() {
        "items-saved" => match (&entry.new, entry.action, &entry.reason) {
            (None, ..) => "EnteredEmpty",
            (Some(_), Action::Changed, Some(_)) => "EnteredWithChangeCode",
            (Some(_), ..) => "Entered",
        },
        "participant-registered" => "SubjectCreated",
        "query-opened" => "QueryOpen",
        "query-answered" => "QueryAnswer",
        "query-closed" => "QueryClose",
        "query-cancelled" => "QueryCancel",
        "data-verified" => "Verify",
        "verification-withdrawn" | "verification-reset" => "UnVerify",
        "form-reviewed" => "Review",
        "review-reset" => "UnReview",
        "data-frozen" => "Freeze",
        "data-unfrozen" => "UnFreeze",
        "data-locked" => "Lock",
        "data-unlocked" => "UnLock",
        "record-signed" => "ValidESigCredential",
        "signature-dropped" => "SignatureBroken",
        other => return spelled(other),
    };
    known.to_owned()
}

/// `visit-started` as `VisitStarted`.
fn spelled(event: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    event.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rave_has_no_name_for_keeps_its_own() {
        assert_eq!(spelled("visit-started"), "VisitStarted");
        assert_eq!(spelled("unblinded"), "Unblinded");
    }
}
