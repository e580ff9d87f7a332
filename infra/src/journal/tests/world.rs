//! What the tests stand on: a server of their own, a provisioned tenant and study, drafts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use domain::field::Fact;
use domain::history::{Actor, ActorKind, Aggregate, Commit, EventType, JournalId, OpenEvent, Revision, StreamId, Tail};
use domain::ids::{CommandId, CorrelationId, Environment, TenantId, UserId};
use domain::participant::Event as ParticipantEvent;
use domain::permit::Role;
use domain::port::{Dice as _, Draft, Journal as _, Receipt};
use domain::scope::{Erasable, Part, Personal};
use domain::study::Event as StudyEvent;
use time::macros::datetime;
use uuid::Uuid;

use crate::chance::SystemDice;
use crate::journal::{JetStreamJournal, Lane, Provisioner, Wire, connect};
use crate::keys::kms::MemoryKms;
use crate::keys::memory::MemoryNodes;
use crate::keys::{KeyTree, Options};
use crate::nats_server::{NatsServer, NatsServerOptions, ServerState, TenantAccount, locate_or_install};
use crate::seal::{SealedCommit, Sealer};

/// Longer than anything here takes.
pub(crate) const HANGS: Duration = Duration::from_secs(60);

/// A folder of its own, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("lethe-journal-{}", SystemDice.uuid()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server with one tenant, `acme`, and one study, `cardio`.
pub(crate) struct World {
    pub(crate) server: NatsServer,
    pub(crate) sealer: Arc<Sealer>,
    // Removed last: fields are dropped in order.
    folder: Folder,
}

impl World {
    /// The tenant's journal streams are there.
    pub(crate) async fn new() -> Self {
        let world = Self::bare().await;
        let provisioner = world.provisioner().await;
        provisioner.tenant(&tenant()).await.unwrap();
        provisioner.journal(&cardio()).await.unwrap();
        world
    }

    /// Nothing is provisioned.
    pub(crate) async fn bare() -> Self {
        let folder = Folder::new();
        let server = start(&folder).await;
        let tree = KeyTree::new(
            tenant(),
            Arc::new(MemoryNodes::default()),
            Arc::new(MemoryKms::new(tenant())),
            Options::default(),
        );
        tree.create().await.unwrap();
        Self { server, sealer: Arc::new(Sealer::new(Arc::new(tree))), folder }
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_at(self.server.url()).await
    }

    pub(crate) async fn client_at(&self, url: &str) -> Client {
        let login = self.server.credentials("acme").unwrap().service;
        connect(login.connect_options(), url, "test").await.unwrap()
    }

    pub(crate) async fn provisioner_client(&self) -> Client {
        let login = self.server.credentials("acme").unwrap().provisioner;
        connect(login.connect_options(), self.server.url(), "test").await.unwrap()
    }

    pub(crate) async fn provisioner(&self) -> Provisioner {
        Provisioner::new(self.provisioner_client().await, 1)
    }

    /// A journal of its own, which remembers nothing: another process.
    pub(crate) async fn journal(&self) -> JetStreamJournal {
        self.journal_at(self.server.url()).await
    }

    pub(crate) async fn journal_at(&self, url: &str) -> JetStreamJournal {
        let client = self.client_at(url).await;
        JetStreamJournal::open(client, &tenant(), self.sealer.clone(), &[cardio()], &Lane::default()).await.unwrap()
    }

    /// A raw connection, for what no journal would write.
    pub(crate) async fn wire(&self) -> Wire {
        Wire::new(self.client().await)
    }

    /// A commit, sealed as if it came after `previous`.
    pub(crate) async fn sealed(&self, draft: &Draft, previous: Tail) -> SealedCommit {
        self.sealer.seal(draft, previous.revision.next(), previous.hash).await.unwrap()
    }

    /// Stops the server, lets `change` at the file of the study's messages, and starts it again. Connections of
    /// before are of no more use.
    pub(crate) async fn change_on_disk(&mut self, change: impl FnOnce(&mut [u8])) {
        self.server.shutdown().await;
        let block = self.folder.path().join("store/jetstream/acme/streams/EVT_acme_cardio/msgs/1.blk");
        let mut bytes = std::fs::read(&block).unwrap();
        change(&mut bytes);
        std::fs::write(&block, bytes).unwrap();
        self.server = start(&self.folder).await;
    }

    /// Kills the server and waits until it runs again.
    pub(crate) async fn kill_and_wait(&self) {
        let pid = self.server.pid().expect("it runs");
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        let runs_again = |state: &ServerState| matches!(state, ServerState::Running { pid: new, .. } if *new != pid);
        tokio::time::timeout(HANGS, self.server.state().wait_for(runs_again)).await.unwrap().unwrap();
    }
}

async fn start(folder: &Folder) -> NatsServer {
    let binary = locate_or_install(|line| eprintln!("{line}")).unwrap();
    let accounts = vec![TenantAccount::new("acme").unwrap()];
    NatsServer::start(NatsServerOptions::within(binary, folder.path(), accounts)).await.unwrap()
}

pub(crate) fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

pub(crate) fn cardio() -> JournalId {
    JournalId { tenant: tenant(), study: Some("cardio".parse().unwrap()) }
}

/// The study's stream, which governs its participants.
pub(crate) fn study() -> StreamId {
    StreamId { journal: cardio(), aggregate: Aggregate::Study, id: "cardio".into() }
}

/// A participant's stream that nobody else uses.
pub(crate) fn participant() -> StreamId {
    StreamId { journal: cardio(), aggregate: Aggregate::Participant, id: SystemDice.uuid().to_string() }
}

fn open<F: Fact>(facts: &[F]) -> Vec<OpenEvent> {
    let event = |fact: &F| OpenEvent {
        kind: EventType { name: fact.name().to_owned(), version: fact.version() },
        body: fact.write().into(),
    };
    facts.iter().map(event).collect()
}

fn draft<F: Fact>(stream: &StreamId, expected: Tail, facts: &[F]) -> Draft {
    Draft {
        stream: stream.clone(),
        expected,
        guard: None,
        environment: Environment::Test,
        events: open(facts),
        stored_at: datetime!(2026-11-22 12:00 UTC),
        captured_at: datetime!(2026-11-22 11:00 UTC),
        actor: Actor {
            id: UserId(Uuid::from_u128(1)),
            kind: ActorKind::User,
            role: Role::Investigator,
            organisation: "hospital".parse().unwrap(),
        },
        command: CommandId(SystemDice.uuid()),
        body_digest: SystemDice.bytes(),
        causation: None,
        correlation: CorrelationId(SystemDice.uuid()),
        traceparent: Some(TRACEPARENT.to_owned()),
    }
}

pub(crate) const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A site is opened: structure only.
pub(crate) fn site_opened(expected: Tail, site: &str) -> Draft {
    let fact = StudyEvent::SiteOpened { site: site.parse().unwrap(), name: "Oslo".parse().unwrap() };
    draft(&study(), expected, &[fact])
}

/// Consent with a free text: a value under a key of its own.
pub(crate) fn consented(stream: &StreamId, expected: Tail, reference: &str) -> Draft {
    draft(stream, expected, &[consent(reference)])
}

/// The fact of [`consented`].
pub(crate) fn consent(reference: &str) -> ParticipantEvent {
    let part = Part::try_from("reference-1".to_owned()).unwrap();
    let reference = Personal::in_part(part, Erasable::Known(reference.to_owned()));
    ParticipantEvent::ConsentGiven { version: "2".parse().unwrap(), reference: Some(reference) }
}

/// The facts of commits about a participant.
pub(crate) fn facts(commits: &[Commit]) -> Vec<ParticipantEvent> {
    commits.iter().flat_map(|commit| commit.facts::<ParticipantEvent>().unwrap()).collect()
}

/// Appends to the study until it has `count` more commits.
pub(crate) async fn open_sites(journal: &JetStreamJournal, mut tail: Tail, count: usize) -> Vec<Receipt> {
    let mut receipts: Vec<Receipt> = Vec::new();
    for n in 0..count {
        let receipt = journal.append(site_opened(tail, &format!("site-{n}"))).await.unwrap();
        tail = receipt.tail;
        receipts.push(receipt);
    }
    receipts
}

/// Before the first commit.
pub(crate) const START: Tail = Tail { revision: Revision::NONE, hash: domain::history::CommitHash([0; 32]) };
