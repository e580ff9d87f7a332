//! Messages as they are stored: nothing is opened, nothing is parsed. For whatever copies, checks or proves a journal
//! stream.

use async_nats::Client;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use domain::history::{JournalId, StreamId};
use domain::ids::TenantId;
use domain::port::Failure;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::names::{journal_stream, keys_stream, stream_subject};
use super::provision::{INCARNATION, INCARNATIONS};
use super::read::{JOURNAL, LAST, PAGE_MESSAGES, PENDING, SEQUENCE, SUBJECT, missing_or_unavailable, number};
use super::refusal::{Code, Refusal};
use super::wire::Wire;

/// What the server adds to a stored message when it gives it away.
const ADDED: [&str; 6] = [SUBJECT, SEQUENCE, LAST, PENDING, STREAM, STORED_AT];
const STREAM: &str = "Nats-Stream";
const STORED_AT: &str = "Nats-Time-Stamp";

/// Every subject.
const ANY: &str = ">";

/// One message of a journal stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// Its place in the journal stream, from 1.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Its headers as they are stored, those of expectations and batches too; by name, then in their order.
    pub headers: Vec<(String, String)>,
    /// What was stored.
    pub payload: Bytes,
    /// When, by the server's clock.
    pub stored_at: OffsetDateTime,
}

/// What a journal stream is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawState {
    /// The sequence of its first message; one more than the last if it is empty.
    pub first: u64,
    /// Its last sequence; zero: nothing was ever stored.
    pub last: u64,
    /// How many messages it holds.
    pub messages: u64,
    /// How many bytes they take on disk.
    pub bytes: u64,
    /// Which incarnation it says it is. The key tree's has one, too.
    pub incarnation: Option<u64>,
    /// How many replicas it has.
    pub replicas: u64,
}

/// Reads one journal stream, in ascending order of sequences.
#[derive(Debug, Clone)]
pub struct RawReader {
    wire: Wire,
    name: String,
}

impl RawReader {
    /// Of a journal stream of events.
    pub fn new(client: Client, journal: &JournalId) -> Self {
        Self::named(client, journal_stream(journal))
    }

    /// Of the key tree's journal stream.
    pub fn of_keys(client: Client, tenant: &TenantId) -> Self {
        Self::named(client, keys_stream(tenant))
    }

    /// Of the journal stream that has this name on the server.
    pub fn named(client: Client, name: impl Into<String>) -> Self {
        Self { wire: Wire::new(client), name: name.into() }
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands.
    ///
    /// # Errors
    /// `Missing` if there is no such journal stream.
    pub async fn state(&self) -> Result<RawState, Failure> {
        let info = self.info(json!({})).await?;
        let (state, config) = (&info["state"], &info["config"]);
        let count = |name: &str| {
            let value = state[name].as_u64();
            value.ok_or_else(|| Failure::unavailable(JOURNAL, format!("{} does not say {name}", self.name)))
        };
        Ok(RawState {
            first: count("first_seq")?,
            last: count("last_seq")?,
            messages: count("messages")?,
            bytes: count("bytes")?,
            incarnation: config["metadata"][INCARNATION].as_str().and_then(|text| text.parse().ok()),
            replicas: config["num_replicas"].as_u64().unwrap_or(1),
        })
    }

    /// Its incarnations, each with the sequence at which it begins: one, unless it was restored.
    ///
    /// # Errors
    /// `Missing` if there is no such journal stream.
    pub async fn incarnations(&self) -> Result<Vec<(u64, u64)>, Failure> {
        let info = self.info(json!({})).await?;
        let metadata = &info["config"]["metadata"];
        let read = |text: &str| -> Option<Vec<(u64, u64)>> {
            let pairs = text.split(',').map(|pair| pair.split_once(':'));
            pairs.map(|pair| pair.and_then(|(one, first)| Some((one.parse().ok()?, first.parse().ok()?)))).collect()
        };
        match (metadata[INCARNATIONS].as_str(), metadata[INCARNATION].as_str()) {
            (Some(list), _) => read(list),
            (None, Some(one)) => one.parse().ok().map(|one| vec![(one, 1)]),
            // The key tree's may say nothing: it is written anew in a restore.
            (None, None) => Some(vec![(1, 1)]),
        }
        .ok_or_else(|| Failure::damaged(format!("journal stream {}", self.name), "its incarnations are not readable"))
    }

    /// The messages `from` to `through`, as many as one page holds, at least one: the caller goes on after the last.
    ///
    /// # Errors
    /// `Damaged` names the first sequence that cannot be read: nothing is ever deleted from a journal stream of events.
    pub async fn page(&self, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure> {
        let from = from.max(1);
        if from > through {
            return Ok(Vec::new());
        }
        let mut messages = self.some(ANY, from, through).await?;
        let whole = messages.iter().zip(from..).take_while(|(message, wanted)| message.sequence == *wanted).count();
        messages.truncate(whole);
        if messages.is_empty() {
            // In a cluster the replica that answered may be a moment behind, or damaged, and so may the leader be.
            let message = match self.at(from).await? {
                Some(message) => Some(message),
                None => self.wire.raw_anywhere(&self.name, from).await?.as_ref().map(raw).transpose()?,
            };
            messages.push(message.ok_or_else(|| self.gap(from))?);
        }
        Ok(messages)
    }

    /// The messages that are left of `from` to `through`, at most one page of them; none: there are no more. For the
    /// key tree's journal stream, which keeps the last message of each subject only.
    ///
    /// # Errors
    /// When the journal stream is missing or does not answer.
    pub async fn sparse_page(&self, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure> {
        if from.max(1) > through {
            return Ok(Vec::new());
        }
        self.some(ANY, from, through).await
    }

    /// What is left from a sequence on, at most one page, and whether nothing followed it at that moment.
    pub(crate) async fn rest(&self, from: u64) -> Result<(Vec<RawMessage>, bool), Failure> {
        let page = self.wire.batch_of(&self.name, ANY, from, PAGE_MESSAGES).await?;
        let (page, pending) = page.unwrap_or_default();
        // A page that is full may have ended before what was written meanwhile.
        let is_end = pending == 0 && page.len() < PAGE_MESSAGES;
        Ok((page.iter().map(raw).collect::<Result<Vec<_>, _>>()?, is_end))
    }

    /// The message at a sequence, asked of the leader.
    ///
    /// # Errors
    /// When the journal stream is missing or does not answer.
    pub async fn at(&self, sequence: u64) -> Result<Option<RawMessage>, Failure> {
        self.single(json!({ "seq": sequence })).await
    }

    /// The last message of a literal subject, asked of the leader.
    ///
    /// # Errors
    /// When the journal stream is missing or does not answer.
    pub async fn last_of(&self, subject: &str) -> Result<Option<RawMessage>, Failure> {
        self.single(json!({ "last_by_subj": subject })).await
    }

    /// The commits of one stream from a sequence of the journal stream on, oldest first, all that are stored now.
    ///
    /// # Errors
    /// `Damaged` when the server knows of messages that it does not give.
    pub async fn of_stream(&self, stream: &StreamId, from: u64) -> Result<Vec<RawMessage>, Failure> {
        self.of_subject(&stream_subject(stream), from).await
    }

    /// The messages of a subject from a sequence on, oldest first, all that are stored now: what a replica that is a moment
    /// behind does not give, the leader is asked for.
    ///
    /// # Errors
    /// `Damaged` when the server knows of messages that it does not give.
    pub async fn of_subject(&self, subject: &str, from: u64) -> Result<Vec<RawMessage>, Failure> {
        let end = self.last_of(subject).await?.map_or(0, |last| last.sequence);
        let (given, owed) = self.wire.all_given(&self.name, subject, from).await?;
        let wanted = given.len() as u64 + owed;
        let mut messages = given.iter().map(raw).collect::<Result<Vec<_>, _>>()?;
        if owed > 0 {
            // One of them is hidden, and it is not known which.
            messages.clear();
        }
        loop {
            let next = messages.last().map_or(from, |last| last.sequence + 1);
            if next > end && messages.len() as u64 >= wanted {
                return Ok(messages);
            }
            let message = self.single(json!({ "seq": next.max(1), "next_by_subj": subject })).await?;
            messages.push(message.ok_or_else(|| {
                let detail = format!("a message of a stream, from sequence {next} on, cannot be read");
                Failure::damaged(format!("journal stream {}", self.name), detail)
            })?);
        }
    }

    /// Every subject that matches a filter, with how many messages it has. Reads no message.
    ///
    /// # Errors
    /// When the journal stream is missing or does not answer.
    pub async fn subjects(&self, filter: &str) -> Result<Vec<(String, u64)>, Failure> {
        let mut subjects: Vec<(String, u64)> = Vec::new();
        loop {
            let info = self.info(json!({ "subjects_filter": filter, "offset": subjects.len() })).await?;
            let page = info["state"]["subjects"].as_object();
            let page = page.into_iter().flatten().map(|(name, count)| (name.clone(), count.as_u64().unwrap_or(0)));
            let before = subjects.len();
            subjects.extend(page);
            if subjects.len() == before || subjects.len() as u64 >= info["total"].as_u64().unwrap_or(0) {
                subjects.sort();
                return Ok(subjects);
            }
        }
    }

    async fn info(&self, request: Value) -> Result<Value, Failure> {
        let info = self.wire.api(&format!("STREAM.INFO.{}", self.name), request).await;
        info.map_err(|refusal| missing_or_unavailable(&self.name, refusal))
    }

    async fn some(&self, subject: &str, from: u64, through: u64) -> Result<Vec<RawMessage>, Failure> {
        let count = usize::try_from(through - from).unwrap_or(usize::MAX).saturating_add(1).min(PAGE_MESSAGES);
        let page = self.wire.batch_of(&self.name, subject, from, count).await?;
        let (page, _) = page.unwrap_or_default();
        let mut messages = page.iter().map(raw).collect::<Result<Vec<_>, _>>()?;
        messages.retain(|message| message.sequence <= through);
        Ok(messages)
    }

    async fn single(&self, request: Value) -> Result<Option<RawMessage>, Failure> {
        match self.wire.api(&format!("STREAM.MSG.GET.{}", self.name), request).await {
            Ok(answer) => decode(&answer).map(Some).ok_or_else(|| {
                Failure::unavailable(JOURNAL, "the answer to a read is not what the JetStream API promises")
            }),
            Err(Refusal::Server(error)) if error.code() == Code::NoSuchMessage => Ok(None),
            Err(refusal) => Err(missing_or_unavailable(&self.name, refusal)),
        }
    }

    fn gap(&self, sequence: u64) -> Failure {
        Failure::damaged(format!("journal stream {}", self.name), format!("message {sequence} cannot be read"))
    }
}

fn raw(message: &async_nats::Message) -> Result<RawMessage, Failure> {
    let all = message.headers.iter().flat_map(|headers| headers.iter());
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut subject = None;
    let mut stored_at = None;
    for (name, values) in all {
        let name: &str = name.as_ref();
        if ADDED.contains(&name) {
            let last = values.last().map(|value| value.as_str());
            match name {
                SUBJECT => subject = last.map(str::to_owned),
                STORED_AT => stored_at = last.and_then(time_of),
                _ => {}
            }
        } else {
            headers.extend(values.iter().map(|value| (name.to_owned(), value.as_str().to_owned())));
        }
    }
    // The client keeps them by name, in no order.
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    let lacks = |what: &str| Failure::unavailable(JOURNAL, format!("a read without {what}"));
    Ok(RawMessage {
        sequence: number(message, SEQUENCE)?,
        subject: subject.ok_or_else(|| lacks(SUBJECT))?,
        headers,
        payload: message.payload.clone(),
        stored_at: stored_at.ok_or_else(|| lacks(STORED_AT))?,
    })
}

fn decode(answer: &Value) -> Option<RawMessage> {
    #[derive(Deserialize)]
    struct Answer {
        subject: String,
        seq: u64,
        #[serde(default)]
        data: String,
        #[serde(default)]
        hdrs: String,
        time: String,
    }
    let answer = Answer::deserialize(answer.get("message")?).ok()?;
    let text = String::from_utf8(BASE64.decode(answer.hdrs).ok()?).ok()?;
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    let mut headers: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(RawMessage {
        sequence: answer.seq,
        subject: answer.subject,
        headers,
        payload: BASE64.decode(answer.data).ok()?.into(),
        stored_at: time_of(&answer.time)?,
    })
}

fn time_of(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}
