//! The NATS that a platform runs on: a server of its own, or one that others run.

use domain::ids::TenantId;
use infra::journal::{Client, Lane, connect};
use infra::nats_server::{DoorLogins, NatsElsewhere, NatsServer, TenantAccount, TenantLogins};

use super::StartError;

/// On one server of one's own there is one of everything.
const OWN: usize = 1;

/// Where the journals are, and the lane in which all that this process writes to them in batches goes.
pub(super) struct Nats {
    servers: Servers,
    lane: Lane,
}

/// Whose servers they are.
enum Servers {
    /// A child process.
    Own(NatsServer),
    /// A cluster, most often.
    Elsewhere(NatsElsewhere),
}

impl Nats {
    /// A child process.
    pub(super) fn own(server: NatsServer) -> Self {
        Self { servers: Servers::Own(server), lane: Lane::default() }
    }

    /// Servers that others run.
    pub(super) fn elsewhere(servers: NatsElsewhere) -> Self {
        Self { servers: Servers::Elsewhere(servers), lane: Lane::default() }
    }

    /// What the journals of all tenants share.
    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// A connection with a tenant's service login.
    pub(super) async fn service(&self, id: &TenantId) -> Result<Client, StartError> {
        let logins = self.logins(id)?;
        Ok(connect(logins.service.connect_options(), &self.url(), "lethe").await?)
    }

    /// A connection with a tenant's provisioner login, for one explicit command.
    pub(super) async fn provisioner(&self, id: &TenantId, name: &str) -> Result<Client, StartError> {
        let logins = self.logins(id)?;
        Ok(connect(logins.provisioner.connect_options(), &self.url(), name).await?)
    }

    /// The logins of a tenant's second door, if its account has one.
    pub(super) fn door(&self, id: &TenantId) -> Result<Option<DoorLogins>, StartError> {
        Ok(self.logins(id)?.door)
    }

    /// Sees to it that a tenant has an account. On servers of others it must be there.
    pub(super) async fn admit(&self, id: &TenantId) -> Result<(), StartError> {
        match &self.servers {
            Servers::Own(server) if server.credentials(id.as_str()).is_none() => {
                server.add_tenant(TenantAccount::new(id.as_str())?).await?;
                Ok(())
            }
            Servers::Own(_) | Servers::Elsewhere(_) => self.logins(id).map(drop),
        }
    }

    /// How many replicas a new journal stream gets.
    pub(super) fn replicas(&self) -> usize {
        match &self.servers {
            Servers::Own(_) => OWN,
            Servers::Elsewhere(elsewhere) => elsewhere.replicas(),
        }
    }

    /// The process id of one's own server, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        match &self.servers {
            Servers::Own(server) => server.pid(),
            Servers::Elsewhere(_) => None,
        }
    }

    /// What is wrong with one's own server.
    pub(super) fn fault(&self) -> Option<String> {
        let is_down = matches!(&self.servers, Servers::Own(server) if server.pid().is_none());
        is_down.then(|| "the nats-server is not running".to_owned())
    }

    /// Ends one's own server.
    pub(super) async fn shutdown(&self) {
        if let Servers::Own(server) = &self.servers {
            server.shutdown().await;
        }
    }

    /// Where clients connect.
    pub(super) fn url(&self) -> String {
        match &self.servers {
            Servers::Own(server) => server.url().to_owned(),
            Servers::Elsewhere(elsewhere) => elsewhere.url(),
        }
    }

    fn logins(&self, id: &TenantId) -> Result<TenantLogins, StartError> {
        match &self.servers {
            Servers::Own(server) => {
                server.credentials(id.as_str()).ok_or_else(|| StartError::NoSuchTenant { tenant: id.clone() })
            }
            Servers::Elsewhere(elsewhere) => Ok(elsewhere.credentials(id.as_str())?),
        }
    }
}
