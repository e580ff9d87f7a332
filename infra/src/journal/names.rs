//! Names of journal streams and subjects, and back. Ids never hold `_`, so no name can be read in two ways.

use domain::history::{Aggregate, JournalId, StreamId};
use domain::ids::{StudyId, TenantId};

/// Stands where a study would, in the subjects of the tenant's own journal stream.
const NO_STUDY: &str = "_";

/// The last token of the subject that carries guards. No aggregate has this name.
const GUARD: &str = "_guard";

/// What a subject of a journal stream stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The commits of one stream.
    Stream(StreamId),
    /// The fillers that carry a second expectation in a batch; they hold nothing (see [`guard_subject`]).
    Guard(JournalId),
}

/// `EVT_<tenant>_<study>`, or `EVT_<tenant>` for the tenant's own.
pub fn journal_stream(journal: &JournalId) -> String {
    match &journal.study {
        Some(study) => format!("EVT_{}_{study}", journal.tenant),
        None => format!("EVT_{}", journal.tenant),
    }
}

/// The inverse of [`journal_stream`]; none for any other name.
pub fn parse_journal_stream(name: &str) -> Option<JournalId> {
    let rest = name.strip_prefix("EVT_")?;
    let (tenant, study) = match rest.split_once('_') {
        Some((tenant, study)) => (tenant, Some(study.parse().ok()?)),
        None => (rest, None),
    };
    Some(JournalId { tenant: tenant.parse().ok()?, study })
}

/// `KEYS_<tenant>`: the journal stream of the key tree.
pub fn keys_stream(tenant: &TenantId) -> String {
    format!("KEYS_{tenant}")
}

/// `evt.<tenant>.<study>.>`: everything in one journal stream.
pub fn journal_filter(journal: &JournalId) -> String {
    format!("{}.>", journal_prefix(journal))
}

/// `evt.<tenant>.<study>.<aggregate>.*`: every stream of one kind in one journal stream.
pub fn aggregate_filter(journal: &JournalId, aggregate: Aggregate) -> String {
    format!("{}.{}.*", journal_prefix(journal), aggregate.as_str())
}

/// `keys.<tenant>.>`: every node of the key tree.
pub fn keys_filter(tenant: &TenantId) -> String {
    format!("keys.{tenant}.>")
}

/// `evt.<tenant>.<study>.<aggregate>.<id>`: the literal subject of one stream.
pub fn stream_subject(stream: &StreamId) -> String {
    format!("{}.{}.{}", journal_prefix(&stream.journal), stream.aggregate.as_str(), stream.id)
}

/// `evt.<tenant>.<study>._guard`: a message has one expectation only, so an append that depends on two streams sends
/// the second expectation with an empty filler on this subject, in the same batch.
pub fn guard_subject(journal: &JournalId) -> String {
    format!("{}.{GUARD}", journal_prefix(journal))
}

/// `keys.<tenant>.<place>`: the literal subject of one node; the place's slashes become dots.
pub fn node_subject(tenant: &TenantId, place: &str) -> String {
    format!("keys.{tenant}.{}", place.replace('/', "."))
}

/// The inverse of [`node_subject`]; none for any other subject.
pub fn node_place(tenant: &TenantId, subject: &str) -> Option<String> {
    let place = subject.strip_prefix("keys.")?.strip_prefix(tenant.as_str())?.strip_prefix('.')?;
    (!place.is_empty()).then(|| place.replace('.', "/"))
}

/// `announce.<tenant>.fenced`: says that something was fenced. No journal stream takes it in.
pub fn fenced_subject(tenant: &TenantId) -> String {
    format!("announce.{tenant}.fenced")
}

/// The inverse of [`stream_subject`] and [`guard_subject`]; none for any other subject.
pub fn parse_subject(subject: &str) -> Option<Subject> {
    let tokens: Vec<&str> = subject.split('.').collect();
    match tokens.as_slice() {
        ["evt", tenant, study, GUARD] => Some(Subject::Guard(parse_journal(tenant, study)?)),
        ["evt", tenant, study, aggregate, id] if plain(id) => Some(Subject::Stream(StreamId {
            journal: parse_journal(tenant, study)?,
            aggregate: aggregate.parse::<Aggregate>().ok()?,
            id: (*id).to_owned(),
        })),
        _ => None,
    }
}

/// Whether a text may stand as an id in a subject: `[a-z0-9-]{1,64}`.
pub fn plain(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn journal_prefix(journal: &JournalId) -> String {
    let study = journal.study.as_ref().map_or(NO_STUDY, StudyId::as_str);
    format!("evt.{}.{study}", journal.tenant)
}

fn parse_journal(tenant: &str, study: &str) -> Option<JournalId> {
    let study = if study == NO_STUDY { None } else { Some(study.parse().ok()?) };
    Some(JournalId { tenant: tenant.parse().ok()?, study })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn journals() -> impl Strategy<Value = JournalId> {
        ("[a-z0-9-]{1,32}", proptest::option::of("[a-z0-9-]{1,32}")).prop_map(|(tenant, study)| JournalId {
            tenant: tenant.parse().unwrap(),
            study: study.map(|study| study.parse().unwrap()),
        })
    }

    fn streams() -> impl Strategy<Value = StreamId> {
        (journals(), 0..Aggregate::ALL.len(), "[a-z0-9-]{1,64}").prop_map(|(journal, aggregate, id)| StreamId {
            journal,
            aggregate: Aggregate::ALL[aggregate],
            id,
        })
    }

    proptest! {
        #[test]
        fn every_name_reads_back(stream in streams()) {
            let journal = &stream.journal;
            prop_assert_eq!(parse_journal_stream(&journal_stream(journal)), Some(journal.clone()));
            prop_assert_eq!(parse_subject(&guard_subject(journal)), Some(Subject::Guard(journal.clone())));
            prop_assert_eq!(parse_subject(&stream_subject(&stream)), Some(Subject::Stream(stream)));
        }
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        for name in ["EVT_", "EVT_acme_", "EVT__cardio", "EVT_acme_cardio_x", "KEYS_acme", "evt_acme", "EVT_Acme"] {
            assert_eq!(parse_journal_stream(name), None, "{name}");
        }
        for subject in [
            "evt.acme.cardio.study",
            "evt.acme.cardio.study.a.b",
            "evt.acme.cardio.study.A",
            "evt.acme.cardio.nothing.a",
            "evt.acme.cardio._guard.a",
            "evt.acme..study.a",
            "keys.acme.top",
            "",
        ] {
            assert_eq!(parse_subject(subject), None, "{subject}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_format_page() {
        let journal = |study: Option<&str>| JournalId {
            tenant: "acme".parse().unwrap(),
            study: study.map(|study| study.parse().unwrap()),
        };
        assert_eq!(journal_stream(&journal(Some("cardio"))), "EVT_acme_cardio");
        assert_eq!(journal_stream(&journal(None)), "EVT_acme");
        assert_eq!(journal_filter(&journal(None)), "evt.acme._.>");
        let stream = StreamId { journal: journal(Some("cardio")), aggregate: Aggregate::DesignPart, id: "ab".into() };
        assert_eq!(stream_subject(&stream), "evt.acme.cardio.design-part.ab");
    }
}
