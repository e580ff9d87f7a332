//! What the server's refusals mean for the question that matters: was it stored?

use std::fmt;

use domain::port::Failure;
use serde::Deserialize;

/// The JetStream error codes that Lethe tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 10071: the expectation does not hold.
    WrongLastSequence,
    /// 10164: another write to the subject is still on its way through the cluster, or stands earlier in the batch.
    WriteInFlight,
    /// 10158: a message with this id is still being stored.
    DuplicateInFlight,
    /// 10201: a message with this id is stored already.
    DuplicateInBatch,
    /// 10176: the server does not know the batch (any more), or a message of it is missing.
    BatchIncomplete,
    /// 10199: more messages than a batch may have.
    BatchTooLarge,
    /// 10210: too many batches are open.
    TooManyBatches,
    /// 10174: the journal stream was made without atomic batches.
    BatchesDisabled,
    /// 10059: there is no such journal stream.
    NoSuchStream,
    /// 10037: there is no such message.
    NoSuchMessage,
    /// 10058: the journal stream exists, with other settings.
    StreamDiffers,
    /// Any other.
    Other(u64),
}

impl From<u64> for Code {
    fn from(code: u64) -> Self {
        match code {
            10071 => Self::WrongLastSequence,
            10164 => Self::WriteInFlight,
            10158 => Self::DuplicateInFlight,
            10201 => Self::DuplicateInBatch,
            10176 => Self::BatchIncomplete,
            10199 => Self::BatchTooLarge,
            10210 => Self::TooManyBatches,
            10174 => Self::BatchesDisabled,
            10059 => Self::NoSuchStream,
            10037 => Self::NoSuchMessage,
            10058 => Self::StreamDiffers,
            other => Self::Other(other),
        }
    }
}

/// An error as the JetStream API words it. The server's words never repeat a payload.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ApiError {
    /// The HTTP-like class: 4xx for the request, 5xx for the server.
    #[serde(rename = "code")]
    pub status: u64,
    /// Which error.
    #[serde(rename = "err_code", default)]
    pub number: u64,
    /// In words.
    #[serde(default)]
    pub description: String,
}

impl ApiError {
    /// Which error, typed.
    pub fn code(&self) -> Code {
        self.number.into()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.description, self.number)
    }
}

/// Why a request or publish did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server answered with an error.
    #[error("the server answered: {0}")]
    Server(ApiError),
    /// Nobody serves that subject: no such journal stream, or the server is not ready.
    #[error("nobody answers")]
    NobodyThere,
    /// No answer in time, or the connection was lost. It may have been stored.
    #[error("no answer: {0}")]
    Silence(String),
}

/// What a refusal says about what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not stored: the subject has moved.
    Moved,
    /// Not stored, and sending it again would not help.
    Refused,
    /// Stored or not: only reading tells. Sending the same again under the same expectation does no harm.
    Unclear,
}

impl Refusal {
    /// What it says about what was sent.
    pub fn verdict(&self) -> Verdict {
        let Self::Server(error) = self else {
            return Verdict::Unclear;
        };
        match error.code() {
            Code::WrongLastSequence | Code::WriteInFlight => Verdict::Moved,
            Code::DuplicateInFlight | Code::DuplicateInBatch | Code::BatchIncomplete | Code::TooManyBatches => {
                Verdict::Unclear
            }
            Code::NoSuchStream
            | Code::NoSuchMessage
            | Code::StreamDiffers
            | Code::BatchTooLarge
            | Code::BatchesDisabled => Verdict::Refused,
            Code::Other(_) if error.status >= 500 => Verdict::Unclear,
            Code::Other(_) => Verdict::Refused,
        }
    }

    /// The same for somebody who only wanted to read.
    pub fn into_failure(self, what: &'static str) -> Failure {
        Failure::unavailable(what, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_conflict_codes_are_conflicts_and_doubt_stays_doubt() {
        let server = |status, number| Refusal::Server(ApiError { status, number, description: String::new() });
        for (refusal, verdict) in [
            (server(400, 10071), Verdict::Moved),
            (server(400, 10164), Verdict::Moved),
            (server(409, 10158), Verdict::Unclear),
            (server(400, 10201), Verdict::Unclear),
            (server(400, 10176), Verdict::Unclear),
            (server(429, 10210), Verdict::Unclear),
            (server(503, 10008), Verdict::Unclear),
            (server(400, 10054), Verdict::Refused),
            (server(400, 10174), Verdict::Refused),
            (Refusal::NobodyThere, Verdict::Unclear),
            (Refusal::Silence("timed out".into()), Verdict::Unclear),
        ] {
            assert_eq!(refusal.verdict(), verdict, "{refusal:?}");
        }
    }
}
