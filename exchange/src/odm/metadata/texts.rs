//! Labels, names and aliases.

use std::io::Write;

use domain::design::Labels;
use serde::Serialize;

use super::{Metadata, alias};
use crate::ExchangeError;

/// Whether `TranslatedText` says it all: no text is empty or has blanks around it, each language is one of XML.
pub(super) fn plain(labels: &Labels) -> bool {
    labels.iter().all(|(language, text)| is_plain(text) && (language.is_empty() || is_language(language)))
}

/// A text that a reader gives back as it was.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.trim() == text
}

/// `xs:language`.
fn is_language(tag: &str) -> bool {
    tag.split('-').enumerate().all(|(n, part)| {
        let letter = |letter: char| letter.is_ascii_alphabetic() || (n > 0 && letter.is_ascii_digit());
        (1..=8).contains(&part.len()) && part.chars().all(letter)
    })
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a part of a design is plain data with text keys")
}

impl<W: Write> Metadata<'_, W> {
    /// An element with the labels in it; none if there is nothing to say.
    pub(super) fn labels(&mut self, element: &'static str, labels: &Labels) -> Result<(), ExchangeError> {
        let shown: Vec<_> = labels.iter().filter(|(_, text)| !text.trim().is_empty()).collect();
        if shown.is_empty() {
            return Ok(());
        }
        self.xml.tag(element).start()?;
        for (language, text) in shown {
            self.translated(Some(language.as_str()).filter(|language| is_language(language)), text)?;
        }
        self.xml.end()
    }

    /// An element with one text in no language: for what ODM demands and the design does not have.
    pub(super) fn filler(&mut self, element: &'static str, text: &str) -> Result<(), ExchangeError> {
        self.xml.tag(element).start()?;
        self.translated(None, text)?;
        self.xml.end()
    }

    fn translated(&mut self, language: Option<&str>, text: &str) -> Result<(), ExchangeError> {
        let kind = self.is_v2().then_some("text/plain");
        self.xml.tag("TranslatedText").maybe("xml:lang", language).maybe("Type", kind).text(text)
    }

    pub(super) fn alias(&mut self, context: &'static str, name: impl AsRef<str>) -> Result<(), ExchangeError> {
        self.xml.tag("Alias").attr("Context", context).attr("Name", name).empty()
    }

    pub(super) fn flag(&mut self, context: &'static str, set: bool) -> Result<(), ExchangeError> {
        if set { self.alias(context, "true") } else { Ok(()) }
    }

    /// The aliases that any definition may need.
    pub(super) fn common_aliases(
        &mut self,
        (oid, written): (&str, &str),
        name: &str,
        labels: Option<&Labels>,
    ) -> Result<(), ExchangeError> {
        if oid != written {
            self.alias(alias::OID, oid)?;
        }
        if name.is_empty() {
            self.alias(alias::NAME, "")?;
        }
        match labels.filter(|labels| !plain(labels)) {
            Some(labels) => self.alias(alias::LABELS, json(labels)),
            None => Ok(()),
        }
    }
}

/// A name as ODM demands it: at least one letter.
pub(super) fn named<'a>(name: &'a str, oid: &'a str) -> &'a str {
    if name.is_empty() { oid } else { name }
}

pub(super) fn yes(yes: bool) -> &'static str {
    if yes { "Yes" } else { "No" }
}
