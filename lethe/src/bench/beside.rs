//! The raw limit of what is written: a nats-server with the same settings on the same disk, which holds nothing else.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::history::JournalId;
use domain::ids::TenantId;
use infra::journal::{MAX_BATCH, Outgoing, Provisioner, Wire, connect};
use infra::nats_server::{NatsServer, NatsServerOptions, TenantAccount, locate_or_install};

use crate::cli::{ApiError, CliError};

/// What a raw message holds, bytes: about what a sealed commit of a small form takes.
pub(super) const RAW_BYTES: usize = 1024;

/// No more connections than this are opened: a connection carries many clients.
const CONNECTIONS: usize = 16;

pub(super) struct Beside {
    server: NatsServer,
    wires: Vec<Wire>,
    written: AtomicUsize,
}

impl Beside {
    pub(super) async fn start(folder: &Path) -> Result<Self, CliError> {
        let binary = tokio::task::spawn_blocking(|| locate_or_install(|step| note!("{step}")));
        let binary = binary.await.map_err(CliError::unavailable)?.map_err(CliError::unavailable)?;
        let account = TenantAccount::new("raw").map_err(CliError::unavailable)?;
        let server = NatsServer::start(NatsServerOptions::within(binary, folder, vec![account])).await;
        let server = server.map_err(CliError::unavailable)?;
        let tenant: TenantId = "raw".parse().expect("a valid tenant id");
        let logins = server.credentials("raw").ok_or_else(|| CliError::failed("the raw server", "no logins"))?;
        let provisioner = connect(logins.provisioner.connect_options(), server.url(), "bench").await;
        let provisioner = Provisioner::new(provisioner.map_err(CliError::unavailable)?, 1);
        provisioner.tenant(&tenant).await.map_err(CliError::unavailable)?;
        let journal = JournalId { tenant, study: Some("limit".parse().expect("a valid study id")) };
        provisioner.journal(&journal).await.map_err(CliError::unavailable)?;
        let mut wires = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = connect(logins.service.connect_options(), server.url(), "bench").await;
            wires.push(Wire::new(client.map_err(CliError::unavailable)?));
        }
        Ok(Self { server, wires, written: AtomicUsize::new(0) })
    }

    /// One message to a subject that was never written to.
    pub(super) fn publish(&self, n: usize) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
        let (message, wire) = (self.message(), self.wires[n % self.wires.len()].clone());
        async move { wire.publish(message).await.map(drop).map_err(|refusal| ApiError::local(refusal.to_string())) }
    }

    /// So many messages as atomic batches, each as large as the server takes them, one after the other.
    pub(super) async fn batches(&self, messages: usize) -> Result<(), CliError> {
        for from in (0..messages).step_by(MAX_BATCH) {
            let batch = (from..messages.min(from + MAX_BATCH)).map(|_| self.message()).collect();
            self.wires[0].publish_batch(batch).await.map_err(CliError::unavailable)?;
        }
        Ok(())
    }

    fn message(&self) -> Outgoing {
        let unique = self.written.fetch_add(1, Ordering::Relaxed);
        Outgoing::new(format!("evt.raw.limit.participant.{unique}"), vec![0x5a; RAW_BYTES]).expecting(0)
    }

    pub(super) async fn close(self) {
        self.server.shutdown().await;
    }
}
