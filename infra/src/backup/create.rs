//! Making a backup.

use std::collections::BTreeSet;

use age::x25519::Recipient;
use async_nats::Client;
use domain::history::JournalId;
use domain::ids::TenantId;
use domain::port::{Failure, OffSite, PublicKey, Signer};
use time::OffsetDateTime;

use super::chunk::next_chunk;
use super::error::BackupError;
use super::manifest::{
    BackedUpJournal, BackedUpStudy, Chunk, FORMAT, Incarnation, MANIFEST_LABEL, Manifest, RECEIPT_LABEL, Receipt,
    chunk_folder, manifest_name, range_of, receipt_name,
};
use super::signed::{open, sign};
use super::source::Source;
use super::{OnProgress, Progress, is_backup_id};
use crate::archive::Origin;
use crate::journal::raw::RawReader;
use crate::off_site::sha256_hex;

/// What is to be backed up.
#[derive(Debug, Clone)]
pub struct Order {
    /// Whose record.
    pub tenant: TenantId,
    /// The new backup's id, for instance the time of `created`: `20261122t120000z`.
    pub id: String,
    /// When it is made.
    pub created: OffsetDateTime,
    /// Every journal stream of events that the tenant has.
    pub journals: Vec<JournalId>,
    /// The tenant's studies, as far as known.
    pub studies: Vec<BackedUpStudy>,
}

/// What a backup came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Messages that were sent in this run.
    pub messages_sent: u64,
    /// Bytes that were sent in this run.
    pub bytes_sent: u64,
    /// Chunks that were sent in this run.
    pub chunks_sent: u64,
    /// Chunks that were there already, of an earlier backup or of an interrupted run.
    pub chunks_used_again: u64,
}

/// Makes a backup of every journal stream of a tenant up to where it ends now, then of its key tree. Writing goes on
/// meanwhile. Interrupted at any point and begun again, with the same id or another, it sends what is not there yet.
///
/// # Errors
/// See [`BackupError`].
pub async fn create(
    order: &Order,
    client: &Client,
    place: &dyn OffSite,
    recipients: &[Recipient],
    signer: &dyn Signer,
    progress: OnProgress<'_>,
) -> Result<Report, BackupError> {
    if recipients.is_empty() {
        return Err(BackupError::NoRecipients);
    }
    if !is_backup_id(&order.id) {
        return Err(BackupError::BadId(order.id.clone()));
    }
    let name = manifest_name(&order.id);
    if place.get(&name).await?.is_some() {
        return Err(BackupError::Exists(order.id.clone()));
    }
    let mut sources = sources(order, client).await?;
    let mut run = Run::new(order, place, recipients, signer, progress).await?;
    for (_, state) in &sources {
        run.progress.of_messages += state.messages;
    }
    let mut journals = Vec::new();
    for (source, state) in &mut sources {
        journals.push(run.copy(source, &state.incarnations).await?);
    }
    let manifest = Manifest {
        format: FORMAT,
        id: order.id.clone(),
        tenant: order.tenant.clone(),
        created: order.created,
        recipients: run.names.clone(),
        studies: order.studies.clone(),
        journals,
    };
    let text = sign(signer, MANIFEST_LABEL, &manifest).await?;
    tracing::trace!(target: "failpoint", at = "backup-before-manifest");
    place.put(&name, &text).await?;
    tracing::trace!(target: "failpoint", at = "backup-after-manifest");
    let Run { messages_sent, bytes_sent, chunks_sent, chunks_used_again, .. } = run;
    Ok(Report { manifest, messages_sent, bytes_sent, chunks_sent, chunks_used_again })
}

/// Where a journal stream stood at the start.
struct Start {
    messages: u64,
    incarnations: Vec<(u64, u64)>,
}

/// The journal streams of events, then the key tree's: keys that are newer than the events can open them.
async fn sources(order: &Order, client: &Client) -> Result<Vec<(Source, Start)>, Failure> {
    let events = order.journals.iter().cloned().map(Origin::Events);
    let mut sources = Vec::new();
    for origin in events.chain([Origin::Keys(order.tenant.clone())]) {
        let reader = RawReader::named(client.clone(), origin.stream_name());
        let (state, incarnations) = (reader.state().await?, reader.incarnations().await?);
        let start = Start { messages: state.messages, incarnations };
        sources.push((Source::new(origin, reader, state.last), start));
    }
    Ok(sources)
}

struct Run<'a> {
    order: &'a Order,
    place: &'a dyn OffSite,
    recipients: &'a [Recipient],
    /// The recipients as text, sorted.
    names: Vec<String>,
    signer: &'a dyn Signer,
    trust: PublicKey,
    on_progress: OnProgress<'a>,
    progress: Progress,
    messages_sent: u64,
    bytes_sent: u64,
    chunks_sent: u64,
    chunks_used_again: u64,
}

impl<'a> Run<'a> {
    async fn new(
        order: &'a Order,
        place: &'a dyn OffSite,
        recipients: &'a [Recipient],
        signer: &'a dyn Signer,
        on_progress: OnProgress<'a>,
    ) -> Result<Self, Failure> {
        let names: BTreeSet<String> = recipients.iter().map(Recipient::to_string).collect();
        Ok(Self {
            order,
            place,
            recipients,
            names: names.into_iter().collect(),
            signer,
            trust: signer.public_key().await?,
            on_progress,
            progress: Progress::default(),
            messages_sent: 0,
            bytes_sent: 0,
            chunks_sent: 0,
            chunks_used_again: 0,
        })
    }

    async fn copy(&mut self, source: &mut Source, incarnations: &[(u64, u64)]) -> Result<BackedUpJournal, BackupError> {
        let label = source.origin.label().to_owned();
        if !source.origin.is_contiguous() {
            // The keys of everything that was copied before are to be in it.
            source.through = source.reader.state().await?.last;
        }
        let there = self.there(&source.origin).await?;
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut next = 1;
        loop {
            if let Some(chunk) = self.made_before(source, &there, next).await? {
                next = chunk.through + 1;
                source.jump_to(next);
                self.chunks_used_again += 1;
                self.done(chunk.messages, 0);
                chunks.push(chunk);
                continue;
            }
            let Some(made) = next_chunk(source, next, self.recipients).await? else { break };
            next = made.chunk.through + 1;
            self.send(&label, &made.chunk, &made.bytes).await?;
            chunks.push(made.chunk);
        }
        let incarnations = incarnations.iter().map(|&(incarnation, from)| Incarnation { incarnation, from }).collect();
        Ok(BackedUpJournal {
            stream: source.origin.stream_name(),
            through: next - 1,
            incarnations,
            chunks,
            journal: label,
        })
    }

    /// The chunks of a journal stream that have a receipt. Never those of the key tree: it is small, and of one that
    /// was replaced meanwhile no message would tell.
    async fn there(&self, origin: &Origin) -> Result<BTreeSet<String>, Failure> {
        if !origin.is_contiguous() {
            return Ok(BTreeSet::new());
        }
        let names: BTreeSet<String> = self.place.list(&chunk_folder(origin.label())).await?.into_iter().collect();
        let is_whole = |name: &&String| name.ends_with(".age") && names.contains(&receipt_name(name));
        Ok(names.iter().filter(is_whole).cloned().collect())
    }

    /// The longest chunk that begins at `next`, that we made for the same recipients, and whose last commit is still in
    /// the journal stream.
    async fn made_before(
        &self,
        source: &Source,
        there: &BTreeSet<String>,
        next: u64,
    ) -> Result<Option<Chunk>, BackupError> {
        let fits =
            |name: &&String| range_of(name).is_some_and(|(from, through)| from == next && through <= source.through);
        for name in there.iter().filter(fits).rev() {
            let name = receipt_name(name);
            let Some(bytes) = self.place.get(&name).await? else { continue };
            let Ok(receipt) = open::<Receipt>(&bytes, RECEIPT_LABEL, &self.trust) else { continue };
            let is_ours = receipt.format == FORMAT
                && receipt.tenant == self.order.tenant
                && receipt.journal == source.origin.label()
                && receipt.recipients == self.names
                && receipt_name(&receipt.chunk.name) == name
                && receipt.chunk.from == next;
            if is_ours && self.still_there(source, &receipt.chunk).await? {
                return Ok(Some(receipt.chunk));
            }
        }
        Ok(None)
    }

    async fn still_there(&self, source: &Source, chunk: &Chunk) -> Result<bool, Failure> {
        let Some(last) = &chunk.last else { return Ok(false) };
        let stored = source.reader.at(last.sequence).await?;
        Ok(stored.is_some_and(|stored| sha256_hex(&stored.payload) == last.sha256))
    }

    async fn send(&mut self, label: &str, chunk: &Chunk, bytes: &[u8]) -> Result<(), BackupError> {
        tracing::trace!(target: "failpoint", at = "backup-before-chunk");
        self.place.put(&chunk.name, bytes).await?;
        tracing::trace!(target: "failpoint", at = "backup-after-chunk");
        let receipt = Receipt {
            format: FORMAT,
            tenant: self.order.tenant.clone(),
            journal: label.to_owned(),
            recipients: self.names.clone(),
            chunk: chunk.clone(),
        };
        let receipt = sign(self.signer, RECEIPT_LABEL, &receipt).await?;
        self.place.put(&receipt_name(&chunk.name), &receipt).await?;
        tracing::trace!(target: "failpoint", at = "backup-after-receipt");
        self.messages_sent += chunk.messages;
        self.bytes_sent += chunk.bytes;
        self.chunks_sent += 1;
        self.done(chunk.messages, chunk.bytes);
        Ok(())
    }

    fn done(&mut self, messages: u64, bytes: u64) {
        self.progress.messages += messages;
        self.progress.of_messages = self.progress.of_messages.max(self.progress.messages);
        self.progress.bytes += bytes;
        (self.on_progress)(self.progress);
    }
}
