//! What the tests stand on: a server, a place in memory, a signer and an identity.

use std::sync::Arc;

use age::x25519::{Identity, Recipient};
use async_trait::async_trait;
use bytes::Bytes;
use domain::history::{JournalId, StreamId};
use domain::port::{Failure, Journal as _, OffSite, PublicKey, Signature, Signer};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use time::macros::datetime;

use crate::backup::*;
use crate::journal::Outgoing;
use crate::journal::names::{guard_subject, stream_subject};
use crate::journal::raw::{RawMessage, RawReader};
use crate::journal::tests::world::{START, World, cardio, consented, participant, tenant};
use crate::off_site::MemoryOffSite;

pub(super) struct TestSigner(Ed25519KeyPair);

impl TestSigner {
    pub(super) fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub(super) fn key(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().unwrap())
    }
}

#[async_trait]
impl Signer for TestSigner {
    async fn public_key(&self) -> Result<PublicKey, Failure> {
        Ok(self.key())
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Failure> {
        Ok(Signature(self.0.sign(message).as_ref().try_into().unwrap()))
    }
}

pub(super) fn nobody(_: Progress) {}

pub(super) fn own() -> JournalId {
    JournalId { tenant: tenant(), study: None }
}

pub(super) fn order(id: &str) -> Order {
    Order {
        tenant: tenant(),
        id: id.to_owned(),
        created: datetime!(2026-11-22 12:00 UTC),
        journals: vec![own(), cardio()],
        studies: vec![BackedUpStudy { study: "cardio".parse().unwrap(), environment: None }],
    }
}

/// What the tests of this page share.
pub(super) struct Bench {
    pub(super) world: World,
    pub(super) place: MemoryOffSite,
    pub(super) signer: TestSigner,
    pub(super) identity: Identity,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let (signer, identity) = (TestSigner::new(1), Identity::generate());
        Self { world: World::new().await, place: MemoryOffSite::default(), signer, identity }
    }

    pub(super) async fn back_up(&self, id: &str) -> Report {
        self.back_up_to(&self.place, id, &[self.identity.to_public()]).await.unwrap()
    }

    pub(super) async fn back_up_to(
        &self,
        place: &dyn OffSite,
        id: &str,
        to: &[Recipient],
    ) -> Result<Report, BackupError> {
        let client = self.world.client().await;
        create(&order(id), &client, place, to, &self.signer, &nobody).await
    }

    pub(super) async fn verify(&self, id: &str) -> Verified {
        verify(self.shared(), id, &self.signer.key(), Some(&self.identity), &nobody).await.unwrap()
    }

    pub(super) async fn open(&self, id: &str) -> Backup {
        Backup::open(self.shared(), id, &self.signer.key()).await.unwrap()
    }

    pub(super) fn shared(&self) -> Arc<dyn OffSite> {
        Arc::new(self.place.clone())
    }

    /// Commits of one participant each, so large that `count` of them take several chunks.
    pub(super) async fn large_commits(&self, count: usize) {
        let journal = self.world.journal().await;
        let text = "x".repeat(500_000);
        for _ in 0..count {
            journal.append(consented(&participant(), START, &text)).await.unwrap();
        }
    }

    /// A commit with a filler before it, as an append with a guard writes them.
    pub(super) async fn guarded_commit(&self) -> StreamId {
        let stream = participant();
        let sealed = self.world.sealed(&consented(&stream, START, "guarded"), START).await;
        let filler = Outgoing::new(guard_subject(&cardio()), Bytes::new());
        let commit = Outgoing::new(stream_subject(&stream), sealed.bytes).expecting(0);
        self.world.wire().await.publish_batch(vec![filler, commit]).await.unwrap();
        stream
    }

    pub(super) async fn stored(&self) -> Vec<RawMessage> {
        all(&RawReader::new(self.world.client().await, &cardio())).await
    }
}

pub(super) async fn all(reader: &RawReader) -> Vec<RawMessage> {
    let through = reader.state().await.unwrap().last;
    let mut messages: Vec<RawMessage> = Vec::new();
    while (messages.len() as u64) < through {
        messages.extend(reader.page(messages.len() as u64 + 1, through).await.unwrap());
    }
    messages
}

/// What an import brings back: all but times and the headers of expectations and batches.
pub(super) fn essence(messages: &[RawMessage]) -> Vec<(u64, &str, &[u8], Vec<&str>)> {
    let traces = |message: &'_ RawMessage| -> Vec<usize> {
        (0..message.headers.len()).filter(|at| message.headers[*at].0 == "traceparent").collect()
    };
    let each = messages.iter().map(|message| {
        let traces = traces(message).into_iter().map(|at| message.headers[at].1.as_str()).collect();
        (message.sequence, message.subject.as_str(), &message.payload[..], traces)
    });
    each.collect()
}
