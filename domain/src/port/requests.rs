//! Requests that come by another door than HTTP.

use async_trait::async_trait;

/// A request as it came: to what, with which headers, with which body.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    /// What it is for, word by word, the most general first: a study, a kind, an id.
    pub to: Vec<String>,
    /// Names and values. A name may stand more than once.
    pub headers: Vec<(String, String)>,
    /// The body, as HTTP would carry it.
    pub body: Vec<u8>,
}

/// What is sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status that HTTP would have (RFC 9110).
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body, as HTTP would carry it.
    pub body: Vec<u8>,
}

/// Whoever answers requests of one tenant, by whichever door they come: the same rules and the same replies.
#[async_trait]
pub trait Answers: Send + Sync {
    /// Answers one. Never fails: what goes wrong is an answer, too.
    async fn answer(&self, asked: Asked) -> Answered;
}
