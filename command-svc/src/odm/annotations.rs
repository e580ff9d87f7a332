//! `Annotation`: what ODM has no element for. In files that we wrote flags say what it means; of other files the comment is
//! a remark.

use std::io::BufRead;

use domain::participant::NotDone;
use exchange::odm::OdmVersion;
use exchange::odm::flags::PREFIX;

use super::clinical::{ClinicalFile, Said};
use super::error::OdmError;
use super::reader::Element;

/// What annotations say of one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Annotations {
    /// Of an item: why there is no value, in our codes.
    pub(super) missing: Option<String>,
    /// Of an item: the platform computed it.
    pub(super) computed: bool,
    /// Of a visit: `STARTED` or `MISSED`, with its day or the reason.
    pub(super) visit: Option<(String, String, u64)>,
    /// Of a form or a participant.
    pub(super) marks: Vec<String>,
    /// Remarks that need no answer.
    pub(super) remarks: Vec<Said>,
}

impl Annotations {
    /// Why there is no value, as a site says it.
    pub(super) fn not_done(&self) -> Option<NotDone> {
        match self.missing.as_deref()? {
            "NOT-DONE" => Some(NotDone::NotDone),
            "NOT-APPLICABLE" => Some(NotDone::NotApplicable),
            "UNKNOWN" => Some(NotDone::Unknown),
            "REFUSED" => Some(NotDone::Refused),
            _ => None,
        }
    }

    /// Whether it was not shown to whoever exported it.
    pub(super) fn withheld(&self) -> bool {
        matches!(self.missing.as_deref(), Some("ERASED" | "BLINDED" | "RESTRICTED" | "NO-RIGHT"))
    }

    /// Reads one more.
    pub(super) fn read<R: BufRead>(&mut self, file: &mut ClinicalFile<R>, element: &Element) -> Result<(), OdmError> {
        let (mut comment, mut flags) = (None, Vec::new());
        while let Some(inner) = file.xml.child(element)? {
            match inner.name.as_str() {
                "Comment" => comment = Some(comment_text(file, &inner)?),
                "Flag" => flags.push(flag(file, &inner)?),
                _ => file.not_kept.inside("Annotation", &inner),
            }
        }
        let ours = flags.iter().any(|(list, _)| list.starts_with(PREFIX));
        let line = element.at.line;
        let value = |list: &str| flags.iter().find(|(of, _)| of.strip_prefix(PREFIX) == Some(list)).map(|(_, v)| v);
        if !ours {
            match comment.filter(|text| !text.trim().is_empty()) {
                Some(text) => self.remarks.push(Said { text: text.trim().to_owned(), line }),
                None => file.not_kept.count("Annotation", element.at, "not-kept"),
            }
        } else if let Some(code) = value("MISSING") {
            self.missing = Some(code.clone());
        } else if value("COMPUTED").is_some() {
            self.computed = true;
        } else if let Some(state) = value("VISIT") {
            self.visit = Some((state.clone(), comment.unwrap_or_default(), line));
        } else if let Some(mark) = value("MARK") {
            self.marks.push(mark.clone());
        } else if value("QUERY-KIND").is_some_and(|kind| kind == "ANNOTATION") {
            let text = without_author(comment.as_deref().unwrap_or_default()).to_owned();
            self.remarks.push(Said { text, line });
        } else {
            let what = if value("SIGNATURE").is_some() { "Signature" } else { "Query" };
            file.not_kept.count(&format!("Annotation ({what})"), element.at, "not-kept");
        }
        Ok(())
    }
}

fn comment_text<R: BufRead>(file: &mut ClinicalFile<R>, comment: &Element) -> Result<String, OdmError> {
    if file.xml.version() == OdmVersion::V1_3_2 {
        return file.xml.verbatim(comment);
    }
    let mut text = String::new();
    while let Some(inner) = file.xml.child(comment)? {
        match inner.name.as_str() {
            "TranslatedText" => text = file.xml.verbatim(&inner)?,
            _ => file.not_kept.inside("Comment", &inner),
        }
    }
    Ok(text)
}

/// The code list of a flag's value, and the value.
fn flag<R: BufRead>(file: &mut ClinicalFile<R>, flag: &Element) -> Result<(String, String), OdmError> {
    let (mut list, mut value) = (String::new(), String::new());
    while let Some(inner) = file.xml.child(flag)? {
        match inner.name.as_str() {
            "FlagValue" => {
                list = inner.attribute("CodeListOID").unwrap_or_default().to_owned();
                value = file.xml.text(&inner)?;
            }
            "FlagType" => {}
            _ => file.not_kept.inside("Flag", &inner),
        }
    }
    Ok((list, value))
}

/// The text of a remark without who made it and when, which our files put behind it in brackets.
fn without_author(comment: &str) -> &str {
    let end = comment.strip_suffix(']').and_then(|rest| rest.rfind('[')).unwrap_or(comment.len());
    comment[..end].strip_suffix(' ').unwrap_or(&comment[..end])
}

#[test]
fn a_remark_is_read_without_its_author() {
    assert_eq!(without_author("see [1] [u-1 monitor 2026-01-01T00:00:00Z]"), "see [1]");
    assert_eq!(without_author("[u-1 monitor 2026-01-01T00:00:00Z]"), "");
    assert_eq!(without_author("plain"), "plain");
}
