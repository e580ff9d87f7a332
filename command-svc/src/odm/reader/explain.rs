//! Errors of the XML library in our words. Its own may repeat what stands in the file.

use std::io::BufRead;

use quick_xml::errors::{Error, IllFormedError};
use quick_xml::escape::EscapeError;

use super::Xml;
use crate::odm::error::{OdmError, Place};
use crate::odm::names::named;

impl<R: BufRead> Xml<R> {
    pub(super) fn inside(&self) -> String {
        self.open.last().map_or_else(|| "the file".to_owned(), |name| named(name).to_owned())
    }

    pub(super) fn damaged(&self, at: Place, what: impl Into<String>) -> OdmError {
        OdmError::Damaged { at, element: self.inside(), what: what.into() }
    }

    /// Whether what the library finds wrong is only that the file ends here.
    fn is_cut(&mut self, error: &Error) -> bool {
        let unfinished = match error {
            Error::Syntax(_) | Error::IllFormed(IllFormedError::UnclosedReference) => true,
            Error::Encoding(_) => self.begun,
            Error::Io(_) | Error::IllFormed(_) | Error::InvalidAttr(_) | Error::Escape(_) | Error::Namespace(_) => {
                false
            }
        };
        let expects_more = !self.begun || !self.open.is_empty();
        unfinished && expects_more && self.reader.get_mut().at_end()
    }

    /// What is wrong, in our words.
    pub(super) fn explain(&mut self, error: &Error, at: Place) -> OdmError {
        if self.reader.get_ref().exceeded() {
            return OdmError::TooLarge { at, what: "one tag, text or comment", limit: self.piece_limit };
        }
        if let Error::Io(cause) = error {
            return OdmError::Unreadable(cause.kind());
        }
        if self.is_cut(error) {
            return OdmError::CutOff { at: self.place(), element: self.inside() };
        }
        let what = match error {
            Error::Encoding(_) => "it is not in UTF-8".to_owned(),
            Error::Syntax(_) => "a < does not begin any markup that XML knows, or it is never closed".to_owned(),
            Error::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
                format!("the end of {} stands where that of {} must stand", named(found), named(expected))
            }
            Error::IllFormed(IllFormedError::UnmatchedEndTag(found)) => {
                format!("the end of {} stands where nothing is open", named(found))
            }
            Error::IllFormed(IllFormedError::UnclosedReference) => "an & is not written as &amp;".to_owned(),
            Error::IllFormed(_) => "it is not well-formed".to_owned(),
            Error::InvalidAttr(_) => "an attribute stands twice, or not as name=\"value\"".to_owned(),
            Error::Escape(EscapeError::UnrecognizedEntity(..)) => {
                return OdmError::Entities { at, what: "a reference to an entity of its own" };
            }
            Error::Escape(_) => "an & is not written as &amp;, or a &#…; names no character".to_owned(),
            Error::Namespace(_) => "a namespace is not declared as XML allows".to_owned(),
            Error::Io(_) => "it cannot be read".to_owned(),
        };
        if self.begun { self.damaged(at, what) } else { OdmError::NotOdm { at, what } }
    }
}

pub(super) fn no_xml(at: Place) -> OdmError {
    OdmError::NotOdm { at, what: "it does not begin with an XML element".into() }
}
