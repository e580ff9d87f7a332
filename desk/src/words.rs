//! Every text that a page shows, from one file a language.
//!
//! A line is `key = text`. Names of the API (roles, states, scopes) are looked up as `kind.name`; one that has no words yet
//! is shown as it is.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::http::{HeaderMap, header};

/// The words of one language.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    /// Its tag (BCP 47).
    pub(crate) language: &'static str,
    texts: &'static BTreeMap<&'static str, &'static str>,
}

/// The cookie that names a language.
const COOKIE: &str = "lethe-language";

/// The languages there are: the tag and the file.
const LANGUAGES: [(&str, &str); 1] = [("en", include_str!("../words/en.txt"))];

static READ: OnceLock<Vec<Words>> = OnceLock::new();

impl Words {
    /// The language that the browser's cookie names, or the first.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let wanted = pairs.find(|(name, _)| *name == COOKIE).map(|(_, tag)| tag);
        let all = READ.get_or_init(|| LANGUAGES.map(|(language, file)| Self::read(language, file)).into());
        *all.iter().find(|words| Some(words.language) == wanted).unwrap_or(&all[0])
    }

    fn read(language: &'static str, file: &'static str) -> Self {
        let lines = file.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let texts = lines.filter_map(|line| line.split_once(" = ")).collect();
        // Read once for the life of the process.
        Self { language, texts: Box::leak(Box::new(texts)) }
    }

    /// The text of a key. A key without a text is a fault that a test finds; people see the key.
    pub(crate) fn text(&self, key: &'static str) -> &'static str {
        self.texts.get(key).copied().unwrap_or(key)
    }

    /// The words for a name of the API.
    pub(crate) fn name(&self, kind: &str, name: &str) -> String {
        let key = format!("{kind}.{name}");
        self.texts.get(key.as_str()).map_or_else(|| name.to_owned(), |text| (*text).to_owned())
    }

    /// What to do about a refusal, where the API's own words do not do.
    pub(crate) fn of_problem(&self, code: &str) -> Option<&'static str> {
        self.texts.get(format!("problem.{code}").as_str()).copied()
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.texts.keys().copied()
    }
}
